/* A growing byte buffer with a cap, for text that is built piece by piece. Appending to a full
 * buffer marks it failed and appends nothing more: check once, at the end. One owner at a time. */
#ifndef TRIGGERS_BASE_BUFFER_H
#define TRIGGERS_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/status.h"

struct buffer {
    char *data; /* NUL-terminated when not NULL; malloc'd, may be taken by setting it NULL */
    size_t size;
    size_t room;
    size_t cap;
    struct charge *charge; /* for `room`; NULL: not counted. May be set while there is none */
    bool failed;           /* the cap, the budget or memory was exhausted */
    bool over_budget;      /* because of the budget: it may fit later */
};

void buffer_init(struct buffer *buffer, size_t cap);
void buffer_fini(struct buffer *buffer);

/* Makes room for `size` bytes in all if it can, so that appending moves nothing. */
void buffer_reserve(struct buffer *buffer, size_t size);

/* Frees the unused room when it is more than a kilobyte. */
void buffer_trim(struct buffer *buffer);

void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* A JSON string with its quotes; escapes what RFC 8259 requires, the rest (valid UTF-8) as is. */
void buffer_append_json_string(struct buffer *buffer, const char *text, size_t size);

/* The form in which buffer_append_shown writes a text. */
enum shown_form {
    SHOWN_TEXT,        /* text: characters that may not be shown become \x1b or \u202e */
    SHOWN_JSON_STRING, /* a JSON string with its quotes */
    SHOWN_JSON,        /* JSON, given as JSON: the same value, the space between tokens as it was */
};

/* Appends text from elsewhere in a form that can be shown to people (text_is_shown): in JSON other
 * characters become \uXXXX, and bytes that are not UTF-8 become U+FFFD. A text that would take over
 * `max` bytes (and some for the quotes) is cut, with "..." at its end. */
void buffer_append_shown(struct buffer *buffer, const char *text, size_t size, enum shown_form form,
                         size_t max);

/* A JSON string holding RFC 3339 in UTC with microseconds: "2026-01-31T23:59:59.000001Z". */
void buffer_append_json_time(struct buffer *buffer, int64_t time_us);

#endif
