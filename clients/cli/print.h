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

/* {"event_id":…,"created_at":…} */
void print_created_json(const triggers_event *event);
void print_acknowledged_json(const triggers_event *event);
/* All of an event on one line. The payload is as print_payload prints it, except that line breaks
 * between its tokens become spaces. */
void print_event_json(const triggers_event *event);

/* A table of events; `acknowledged` adds that time as a column. */
void print_event_header(bool acknowledged);
void print_event_row(const triggers_event *event, bool acknowledged);

/* A table of ids, each with a time; `name` is the heading of that column. */
void print_time_header(const char *name);
void print_time_row(const char *event_id, int64_t time_us);

/* One event, a line for each of its parts. */
void print_event_details(const triggers_event *event);

#endif
