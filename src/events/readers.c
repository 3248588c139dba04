/* Two lanes and what their workers run. */
#include "events/readers.h"

#include <stdlib.h>

#include "base/clock.h"

#define MAX_HELD_GETS 512  /* see the writer's */
#define MAX_HELD_LISTS 256 /* each may become an 8 MiB page */
#define MAX_GETS 128       /* of one round trip; each may bring a payload of 1 MiB */

/* Lists of one round trip: a few short ones, of which a long one must not keep others waiting. */
#define MAX_LISTS 4
#define LISTED_BYTES 1024 /* an event's, as a guess */
#define MAX_LISTS_BYTES (256u << 10)

struct readers {
    struct lane *gets;
    struct lane *lists;
};

/* Runs `attempt` until its result is neither passing nor a lost session that can be had again. */
static enum store_result read_stubbornly(struct worker *worker, int64_t deadline_ms,
                                         enum store_result (*attempt)(struct worker *worker,
                                                                      struct op *ops,
                                                                      struct status *status),
                                         struct op *ops, struct status *status)
{
    bool reconnected = false;
    for (int tries = 0; tries < 8; tries++) {
        enum store_result result = attempt(worker, ops, status);
        if (result == STORE_RETRY)
            continue;
        if (result != STORE_LOST || reconnected)
            return result;
        reconnected = worker_reconnect(worker, deadline_ms, status);
        if (!reconnected)
            return STORE_LOST;
    }
    return STORE_RETRY;
}

static enum store_result get_once(struct worker *worker, struct op *ops, struct status *status)
{
    struct store_get *gets[MAX_GETS];
    size_t count = 0;
    for (struct op *op = ops; op; op = op->next)
        gets[count++] = &((struct get_op *)op)->get;
    struct store_session *session = worker_session(worker);
    int64_t started_us = clock_monotonic_us();
    enum store_result result = session->store->driver->get(session, gets, count, status);
    worker_note_store(worker, started_us, result);
    return result;
}

static enum store_result list_once(struct worker *worker, struct op *ops, struct status *status)
{
    struct store_list *lists[MAX_LISTS];
    size_t count = 0;
    struct store_session *session = worker_session(worker);
    const struct store_driver *driver = session->store->driver;
    enum store_result result = STORE_OK;
    int64_t started_us = clock_monotonic_us();
    for (struct op *next = ops; next && result == STORE_OK; next = next->next) {
        struct list_op *op = (struct list_op *)next;
        if (op->backlog)
            result = driver->backlog(session, op->backlog, status);
        else
            lists[count++] = &op->list;
    }
    if (result == STORE_OK && count > 0)
        result = driver->list(session, lists, count, status);
    worker_note_store(worker, started_us, result);
    return result;
}

/* A read that lost its session tries one new one at once; nobody is helped by waiting longer. */
static struct op *read_all(struct worker *worker, struct op *ops,
                           enum store_result (*attempt)(struct worker *, struct op *,
                                                        struct status *))
{
    struct status status = STATUS_INIT;
    ops = ops_drop_expired(ops);
    if (ops && read_stubbornly(worker, 0, attempt, ops, &status) != STORE_OK)
        ops_set_status(ops, &status);
    return ops;
}

static struct op *run_gets(struct worker *worker, struct op *ops)
{
    return read_all(worker, ops, get_once);
}

static struct op *run_lists(struct worker *worker, struct op *ops)
{
    return read_all(worker, ops, list_once);
}

struct readers *readers_open(struct store *store, unsigned list_workers)
{
    struct readers *readers = calloc(1, sizeof(*readers));
    if (!readers)
        return NULL;
    struct lane_config config = {
        .kind = LANE_GETS,
        .store = store,
        .read_only = true,
        .workers = 1,
        .max_held = MAX_HELD_GETS,
        .max_held_bytes = SIZE_MAX,
        .max_batch = MAX_GETS,
        .max_batch_bytes = SIZE_MAX,
        .run = run_gets,
    };
    readers->gets = lane_open(&config);
    config.kind = LANE_LISTS;
    config.workers = list_workers;
    config.max_held = MAX_HELD_LISTS;
    config.max_batch = MAX_LISTS;
    config.max_batch_bytes = MAX_LISTS_BYTES;
    config.run = run_lists;
    readers->lists = readers->gets ? lane_open(&config) : NULL;
    if (readers->lists)
        return readers;
    readers_close(readers);
    return NULL;
}

bool readers_submit_get(struct readers *readers, struct get_op *op, struct status *status)
{
    op->op.items = 1;
    op->op.bytes = sizeof(*op);
    return lane_submit(readers->gets, &op->op, status);
}

bool readers_submit_list(struct readers *readers, struct list_op *op, struct status *status)
{
    op->op.items = 1;
    op->op.bytes = sizeof(*op) + (op->backlog ? 0 : op->list.limit * LISTED_BYTES);
    return lane_submit(readers->lists, &op->op, status);
}

struct lane *readers_get_lane(struct readers *readers)
{
    return readers->gets;
}

struct lane *readers_list_lane(struct readers *readers)
{
    return readers->lists;
}

void readers_close(struct readers *readers)
{
    if (!readers)
        return;
    lane_close(readers->gets);
    lane_close(readers->lists);
    free(readers);
}
