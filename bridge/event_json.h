/* Events between JSON and the client library. */
#ifndef TRIGGERS_BRIDGE_EVENT_JSON_H
#define TRIGGERS_BRIDGE_EVENT_JSON_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "problem.h"
#include "settings.h"
#include "triggers.h"

#define EVENT_JSON_FIELDS 4 /* event_id, source, event_type, payload */

/* The errors in one event's JSON. */
struct event_json_errors {
    struct problem_field fields[EVENT_JSON_FIELDS];
    size_t count;
};

enum event_json_result { EVENT_JSON_OK, EVENT_JSON_WRONG, EVENT_JSON_NO_MEMORY };

/* Reads a checked value: an object with source, event_type and payload, and optionally event_id
 * unless the event is `keyed`. Other members are ignored; of repeated ones the last counts. Texts
 * are decoded into the arena; the payload is a slice of the value. EVENT_JSON_WRONG fills `errors`
 * with all that is wrong. What the core checks (lengths, white space, size, the form of the id) is
 * not checked here. */
enum event_json_result event_json_read(const struct json_value *value, struct arena *arena,
                                       bool keyed, triggers_new_event *event,
                                       struct event_json_errors *errors);

/* Writes an event as an acknowledgement shows it. */
void event_json_write_acked(struct buffer *buffer, const triggers_event *event,
                            const struct settings *settings);

/* Writes an event as REST shows it; with `portable`, a payload that not every JSON reader can take
 * is left out, so that the others on its page can be read. */
void event_json_write(struct buffer *buffer, const triggers_event *event, bool portable,
                      const struct settings *settings);

#endif
