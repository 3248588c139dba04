/* One lane, whose workers run one operation after the other. */
#include "events/asks.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

#define MAX_HELD 4096 /* operations; of subscriptions, one for each at most */
#define MAX_TRIES 8

struct asks {
    struct lane *lane;
};

static void run_ask(struct worker *worker, struct ask_op *op)
{
    bool reconnected = false;
    enum store_result result = STORE_RETRY;
    struct status *status = &op->op.status;
    for (int tries = 0; tries < MAX_TRIES && (result == STORE_RETRY || result == STORE_LOCKED);
         tries++) {
        if (!worker_session(worker) && !worker_reconnect(worker, op->op.deadline_ms, status))
            return;
        int64_t started_us = clock_monotonic_us();
        *status = STATUS_INIT;
        result = op->run(op, worker_session(worker), status);
        worker_note_store(worker, started_us, result);
        if (result == STORE_LOST && !reconnected) {
            reconnected = true;
            if (!worker_reconnect(worker, op->op.deadline_ms, status))
                return;
            result = STORE_RETRY;
        }
    }
    if (result == STORE_OK)
        *status = STATUS_INIT;
}

static void run_asks(struct worker *worker, struct op *ops)
{
    for (; ops; ops = ops->next)
        run_ask(worker, (struct ask_op *)ops);
}

struct asks *asks_open(struct store *store, unsigned sessions)
{
    struct asks *asks = calloc(1, sizeof(*asks));
    if (!asks)
        return NULL;
    asks->lane = lane_open(&(struct lane_config){
        .kind = LANE_LEDGERS,
        .store = store,
        .workers = sessions,
        .max_held = {MAX_HELD, UINT32_MAX},
        .max_batch = 1,
        .max_batch_bytes = SIZE_MAX,
        .run = run_asks,
    });
    if (asks->lane)
        return asks;
    free(asks);
    return NULL;
}

bool asks_submit(struct asks *asks, struct ask_op *op, struct status *status)
{
    CHECK(op->run && op->op.done);
    op->op.items = 1;
    return lane_submit(asks->lane, &op->op, status);
}

struct lane *asks_lane(struct asks *asks)
{
    return asks->lane;
}

void asks_close(struct asks *asks)
{
    if (!asks)
        return;
    lane_close(asks->lane);
    free(asks);
}
