/* Two lanes and what their workers run. */
#include "events/readers.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

#define MAX_HELD_GETS 448         /* see writer.c */
#define MAX_HELD_LISTS 224        /* each may produce a page of 8 MiB */
#define MAX_HELD_BYTES UINT32_MAX /* the count is the limit */
#define MAX_TRIES 8
#define MAX_GETS 128 /* of one round trip; each may bring a payload of 10 MiB */

/* Lists of one round trip: few, as a long one must not keep others waiting. */
#define MAX_LISTS 4
#define LISTED_BYTES 1024 /* of an event, as a guess */
#define MAX_LISTS_BYTES (256u << 10)

struct readers {
    struct lane *gets;
    struct lane *lists;
};

typedef enum store_result read_attempt(struct worker *worker, struct op **ops, size_t count,
                                       struct status *status);

/* Tries again while the failure is a passing one. A read that lost its session tries a new one at
 * once, and only one: waiting longer helps nobody. */
static enum store_result read_stubbornly(struct worker *worker, read_attempt *attempt,
                                         struct op **ops, size_t count, struct status *status)
{
    bool reconnected = false;
    if (!worker_session(worker) && !worker_reconnect(worker, 0, status))
        return STORE_LOST;
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        int64_t started_us = clock_monotonic_us();
        enum store_result result = attempt(worker, ops, count, status);
        worker_note_store(worker, started_us, result);
        if (result == STORE_RETRY)
            continue;
        if (result != STORE_LOST || reconnected)
            return result;
        reconnected = worker_reconnect(worker, 0, status);
        if (!reconnected)
            return STORE_LOST;
    }
    return STORE_RETRY;
}

static enum store_result get_once(struct worker *worker, struct op **ops, size_t count,
                                  struct status *status)
{
    struct store_get *gets[MAX_GETS];
    CHECK(count >= 1 && count <= MAX_GETS);
    for (size_t i = 0; i < count; i++)
        gets[i] = &((struct get_op *)ops[i])->get;
    struct store_session *session = worker_session(worker);
    return session->store->driver->get(session, ops[0]->scope, gets, count, status);
}

static enum store_result list_once(struct worker *worker, struct op **ops, size_t count,
                                   struct status *status)
{
    struct store_list *lists[MAX_LISTS];
    CHECK(count >= 1 && count <= MAX_LISTS);
    for (size_t i = 0; i < count; i++)
        lists[i] = &((struct list_op *)ops[i])->list;
    struct store_session *session = worker_session(worker);
    return session->store->driver->list(session, ops[0]->scope, lists, count, status);
}

static enum store_result ask_once(struct worker *worker, struct op **ops, size_t count,
                                  struct status *status)
{
    struct list_op *op = (struct list_op *)ops[0];
    CHECK(count == 1 && op->ask);
    return op->ask(worker_session(worker), op, status);
}

/* Reads in one round trip. When some of the operations make it fail, it is halved until the others
 * have their answers. */
static void read_range(struct worker *worker, struct op **ops, size_t count, read_attempt *attempt)
{
    struct status status = STATUS_INIT;
    enum store_result result = read_stubbornly(worker, attempt, ops, count, &status);
    if (result == STORE_OK)
        return;
    CHECK(count > 0);
    size_t half = count / 2;
    if (half > 0 && (result == STORE_REJECTED || status.code == STATUS_DATA_LOSS)) {
        read_range(worker, ops, half, attempt);
        read_range(worker, ops + half, count - half, attempt);
        return;
    }
    for (size_t i = 0; i < count; i++)
        ops[i]->status = status;
}

static void run_gets(struct worker *worker, struct op *ops)
{
    struct op *gets[MAX_GETS];
    size_t count = 0;
    for (; ops; ops = ops->next) {
        CHECK(count < MAX_GETS);
        gets[count++] = ops;
    }
    read_range(worker, gets, count, get_once);
}

/* Pages and other questions: the failure of one of the latter concerns no other. */
static void run_lists(struct worker *worker, struct op *ops)
{
    struct op *lists[MAX_LISTS];
    struct op *others[MAX_LISTS];
    size_t list_count = 0;
    size_t other_count = 0;
    for (; ops; ops = ops->next) {
        CHECK(list_count + other_count < MAX_LISTS);
        if (((struct list_op *)ops)->ask)
            others[other_count++] = ops;
        else
            lists[list_count++] = ops;
    }
    if (list_count > 0)
        read_range(worker, lists, list_count, list_once);
    for (size_t i = 0; i < other_count; i++)
        read_range(worker, &others[i], 1, ask_once);
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
        .max_held = {MAX_HELD_GETS, MAX_HELD_BYTES},
        .max_batch = MAX_GETS,
        .max_batch_bytes = SIZE_MAX,
        .run = run_gets,
    };
    readers->gets = lane_open(&config);
    config.kind = LANE_LISTS;
    config.workers = list_workers;
    config.max_held.count = MAX_HELD_LISTS;
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
    CHECK(op->get.arena);
    op->op.items = 1;
    op->op.bytes = sizeof(*op);
    return lane_submit(readers->gets, &op->op, status);
}

bool readers_submit_list(struct readers *readers, struct list_op *op, struct status *status)
{
    CHECK(op->ask || (op->list.arena && op->list.limit >= 1 && op->list.limit <= STORE_LIST_MAX));
    op->op.items = 1;
    op->op.bytes = sizeof(*op) + (op->ask ? 0 : op->list.limit * LISTED_BYTES);
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
