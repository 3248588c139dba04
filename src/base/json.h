/* A strict RFC 8259 scanner that never copies and never changes a byte: it yields slices of the
 * text, so that numbers, escapes, duplicate keys and order come back exactly as sent. Depth is
 * capped; nothing recurses; nothing is allocated. Any thread. */
#ifndef TRIGGERS_BASE_JSON_H
#define TRIGGERS_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_MAX_DEPTH 512 /* nested arrays and objects */

enum json_type { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A value inside a checked text: its first to its last byte, a string with its quotes. */
struct json_value {
    enum json_type type;
    const char *text; /* not NUL-terminated, borrowed */
    size_t size;
};

struct json_error {
    size_t offset;      /* byte at which the text stops being JSON */
    const char *reason; /* static text, such as "a string is not closed" */
};

/* Drops a byte order mark from the front, which RFC 8259 section 8.1 lets a parser ignore: some
 * programs begin each file with one. */
void json_skip_mark(const char **text, size_t *size);

/* Checks that `text` is exactly one JSON value with optional white space around it, in valid UTF-8,
 * and yields that value without the white space. Lone surrogate escapes are accepted (RFC 8259
 * section 8.2); raw control characters, a byte order mark and overlong UTF-8 are not. */
bool json_check(const char *text, size_t size, struct json_value *value, struct json_error *error);

/* The same for a text that every JSON reader can take: besides, it is nested at most
 * JSON_PORTABLE_DEPTH deep (RFC 8259 section 9 lets readers limit that, and some stop soon after)
 * and no string in it has half of a surrogate pair (RFC 7493 section 2.1). */
#define JSON_PORTABLE_DEPTH 64
bool json_check_portable(const char *text, size_t size, struct json_value *value,
                         struct json_error *error);

/* Whether a text that json_check accepts is one that json_check_portable does. */
bool json_is_portable(const char *text, size_t size);

/* Steps through a checked array or object: `cursor` starts zeroed. False at the end. */
struct json_cursor {
    size_t offset;
};
bool json_array_next(const struct json_value *array, struct json_cursor *cursor,
                     struct json_value *element);
/* `key` is the string with its quotes, escapes as written. */
bool json_object_next(const struct json_value *object, struct json_cursor *cursor,
                      struct json_value *key, struct json_value *value);

/* Writes the decoded text of a checked JSON string to `out` and a NUL behind it. `out` needs
 * string->size bytes. `length` gets the bytes written without the NUL; the text may hold U+0000.
 * False when it has a surrogate escape without its partner (no UTF-8 exists for it). */
bool json_string_decode(const struct json_value *string, char *out, size_t *length);

/* Whether a checked string's decoded text is `text`. */
bool json_string_equals(const struct json_value *string, const char *text);

#endif
