/* Other questions to the store, and short transactions of their own: the ledgers of subscriptions,
 * and access. They have a lane, of ledgers, so that they wait neither for writes nor for reads. */
#ifndef TRIGGERS_EVENTS_ASKS_H
#define TRIGGERS_EVENTS_ASKS_H

#include "events/lane.h"

struct ask_op {
    struct op op; /* in: scope, caller, deadline, `done`, and the bytes it holds */
    /* In: asks the store, on a worker's thread; may block. It is called again when its result is a
     * passing failure or the session was lost; `status` is filled when it fails. */
    enum store_result (*run)(struct ask_op *op, struct store_session *session,
                             struct status *status);
};

struct asks;

/* `sessions` sessions with the store. NULL without memory. */
struct asks *asks_open(struct store *store, unsigned sessions);

/* Queues: see lane_submit. Any thread. */
bool asks_submit(struct asks *asks, struct ask_op *op, struct status *status) MUST_CHECK;

struct lane *asks_lane(struct asks *asks);

void asks_close(struct asks *asks); /* see lane_close; NULL is allowed */

#endif
