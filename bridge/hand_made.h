/* The JSON of the calls that the .proto files say are hand_made: those of the service that this one
 * replaces, made with FastAPI and pydantic 2. With API_COMPATIBILITY=fastapi also its errors and
 * times, for clients generated from its description. */
#ifndef TRIGGERS_BRIDGE_HAND_MADE_H
#define TRIGGERS_BRIDGE_HAND_MADE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "problem.h"
#include "settings.h"
#include "triggers.h"

#define HAND_MADE_FIELDS 7 /* the members of an event that are read */

/* The errors in one event's JSON. */
struct hand_made_errors {
    struct problem_field fields[HAND_MADE_FIELDS];
    size_t count;
};

enum hand_made_result { HAND_MADE_OK, HAND_MADE_WRONG, HAND_MADE_NO_MEMORY };

/* Reads a checked value: an object with source, event_type and payload, and optionally an
 * ordering_key, a deliver_at or delay_seconds, and event_id unless the event is `keyed`. Other
 * members are ignored; of repeated ones the last counts. Texts are decoded into the arena; the
 * payload is a slice of the value. HAND_MADE_WRONG fills `errors` with all that is wrong. What the
 * core checks (lengths, white space, size, the form of the id) is not checked here. */
enum hand_made_result hand_made_read_event(const struct json_value *value, struct arena *arena,
                                           bool keyed, triggers_new_event *event,
                                           struct hand_made_errors *errors);

/* Writes the result of a create, with a message; that of an item of a batch has none (NULL). */
void hand_made_write_created(struct buffer *buffer, const triggers_event *event,
                             const char *message, const struct bridge_settings *settings);

/* Writes an event as an acknowledgement shows it. */
void hand_made_write_acked(struct buffer *buffer, const triggers_event *event,
                           const struct bridge_settings *settings);

/* Writes an event; with `portable`, a payload that not every JSON reader can take is left out, so
 * that the others on its page can be read. */
void hand_made_write_event(struct buffer *buffer, const triggers_event *event, bool portable,
                           const struct bridge_settings *settings);

/* Writes a page of the inbox. */
void hand_made_write_page(struct buffer *buffer, const triggers_reply *reply,
                          const struct bridge_settings *settings);

/* Writes a part of the log. */
void hand_made_write_log(struct buffer *buffer, const triggers_reply *reply,
                         const struct bridge_settings *settings);

/* What a field of the protocol is called: "events[3].source" is "source", "event_ids[3]" is "", of
 * item 3, and "filter.sources[3]" is the parameter "source". */
problem_field_of hand_made_field;

/* For API_COMPATIBILITY=fastapi: writes {"detail": [{"loc": …, "msg": …, "type": …}]}, the answer
 * to wrong input, which has 422, in pydantic's words where it has some. `where` is what was wrong:
 * "query", or "body", which may have been `empty`. False, with nothing written, when the problem is
 * not wrong input. */
bool hand_made_write_problem(struct buffer *buffer, const struct problem *problem,
                             const char *where, bool empty);

#endif
