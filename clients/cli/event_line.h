/* One line of NDJSON as an event to send. */
#ifndef TRIGGERS_CLI_EVENT_LINE_H
#define TRIGGERS_CLI_EVENT_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "triggers.h"

#define EVENT_LINE_ERROR_SIZE 160

/* Copies the event's parts into the arena; the payload's bytes stay as they are. Unknown members
 * are ignored. False with a text in `error` when it is not such an object, or without memory. */
bool event_line_parse(const char *line, size_t size, struct arena *arena, triggers_new_event *event,
                      char error[EVENT_LINE_ERROR_SIZE]);

#endif
