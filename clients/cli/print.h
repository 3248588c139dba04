/* Events on stdout, as JSON lines or as tables. */
#ifndef TRIGGERS_CLI_PRINT_H
#define TRIGGERS_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "triggers.h"

/* Prints text from elsewhere for people: characters that could control a terminal or reorder the
 * line (text_is_shown) become '?'. */
void print_clean(FILE *file, const char *text, size_t size);

/* Prints a JSON string with its quotes on stdout. Characters that print_clean would not print
 * become \uXXXX, which keeps the string's value. */
void print_json_string(const char *text);

/* Prints the payload as it was sent, byte for byte; on a terminal the same JSON value, with \uXXXX
 * in place of what print_clean would not print. */
void print_payload(const triggers_event *event);

/* {"event_id":…,"sequence":…,"created_at":…}, {"event_id":…,"acknowledged_at":…}, and
 * {"event_id":…,"sequence":…} */
void print_created_json(const triggers_event *event);
void print_acknowledged_json(const triggers_event *event);
void print_erased_json(const triggers_event *event);
/* All of an event on one line. The payload is as print_payload prints it, except that line breaks
 * between its tokens become spaces. */
void print_event_json(const triggers_event *event);

/* The same, and what is told of a delivery, or of a dead letter. */
void print_delivery_json(const triggers_delivery *delivery);
struct dead_letter_print {
    triggers_event event;
    uint32_t attempts;
    int64_t first_us;
    int64_t dead_us;
    const char *reason;
};
void print_dead_letter_json(const struct dead_letter_print *letter);

/* A time of RFC 3339 in UTC; "" for 0. */
#define PRINT_TIME_SIZE 28
void print_format_time(int64_t time_us, char out[PRINT_TIME_SIZE]);

/* A cell of a table, cut or padded to so many characters, and two spaces. */
void print_cell(const char *text, size_t width);

/* A line of a thing's details. */
void print_part(const char *name, const char *text, size_t size);

/* A table of events; `acknowledged` adds that time as a column. */
void print_event_header(bool acknowledged);
void print_event_row(const triggers_event *event, bool acknowledged);

/* A table of ids, each with a time; `name` is the heading of that column. */
void print_time_header(const char *name);
void print_time_row(const char *event_id, int64_t time_us);

/* A table of ids and sequences. */
void print_sequence_header(void);
void print_sequence_row(const triggers_event *event);

/* A table of kinds, and a kind as JSON. */
void print_kind_header(void);
void print_kind_row(const triggers_kind *kind);
void print_kind_json(const triggers_kind *kind);

/* A table of dead letters. */
void print_dead_letter_header(void);
void print_dead_letter_row(const struct dead_letter_print *letter);

/* One event, a line for each of its parts. */
void print_event_details(const triggers_event *event);

#endif
