/* One batch: drop what is late, gather the items of all operations, write, and when the store
 * rejects the batch halve it until the guilty items stand alone. */
#include "events/writer.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

/* All lanes together hold fewer calls than a server handles, so that excess can be refused. */
#define MAX_HELD 1024
#define MAX_HELD_BYTES (32u << 20)
#define MAX_BATCH 4096 /* items of one transaction */
#define MAX_BATCH_BYTES (8u << 20)
#define MAX_RETRIES 8 /* after serialization failures and lost sessions */

struct writer {
    struct lane *lane;
    atomic_int_fast64_t last_time_us;
};

static metric_cell commit_cell, created_cell, acknowledged_cell;
struct metric writer_commits = {.name = "commits_total",
                                .help = "Transactions of writes that were committed.",
                                .kind = METRIC_COUNTER,
                                .cells = &commit_cell};
struct metric writer_created = {.name = "events_created_total",
                                .help = "Events stored, those aside that were there already.",
                                .kind = METRIC_COUNTER,
                                .cells = &created_cell};
struct metric writer_acknowledged = {.name = "events_acknowledged_total",
                                     .help = "Events acknowledged for the first time.",
                                     .kind = METRIC_COUNTER,
                                     .cells = &acknowledged_cell};

/* The times of one writer ascend strictly, so that events list in the order they came in. */
static int64_t next_time_us(struct writer *writer)
{
    int64_t now = clock_now_us();
    int_fast64_t last = atomic_load(&writer->last_time_us);
    int64_t next;
    do {
        next = now > last ? now : last + 1;
    } while (!atomic_compare_exchange_weak(&writer->last_time_us, &last, next));
    return next;
}

/* What one run works on; pointers into the operations. */
struct batch {
    struct worker *worker;
    int64_t deadline_ms; /* the latest of the operations' */
    struct write_item **items;
    struct store_append **appends;
    struct store_ack **acks;
    size_t count;
};

static void note_commit(const struct store_write *write)
{
    int64_t created = 0;
    int64_t acknowledged = 0;
    for (size_t i = 0; i < write->append_count; i++)
        created += write->appends[i]->outcome == STORE_DONE;
    for (size_t i = 0; i < write->ack_count; i++)
        acknowledged += write->acks[i]->outcome == STORE_DONE;
    metric_add(&writer_commits, 0, 1);
    metric_add(&writer_created, 0, created);
    metric_add(&writer_acknowledged, 0, acknowledged);
}

/* Writes items [first, first + count) as one transaction, once. */
static enum store_result write_once(struct batch *batch, size_t first, size_t count,
                                    struct status *status)
{
    struct store_write write = {.appends = batch->appends, .acks = batch->acks};
    for (size_t i = first; i < first + count; i++) {
        struct write_item *item = batch->items[i];
        if (item->kind == WRITE_APPEND)
            write.appends[write.append_count++] = &item->append;
        else
            write.acks[write.ack_count++] = &item->ack;
    }
    struct store_session *session = worker_session(batch->worker);
    int64_t started_us = clock_monotonic_us();
    enum store_result result = session->store->driver->write(session, &write, status);
    worker_note_store(batch->worker, started_us, result);
    if (result == STORE_OK)
        note_commit(&write);
    return result;
}

/* The same, again after passing failures. A lost session leaves it unknown whether the batch was
 * written; writing it again is safe because the ids say what is already there. A failure after that
 * leaves it unknown for good. */
static enum store_result write_stubbornly(struct batch *batch, size_t first, size_t count,
                                          struct status *status)
{
    enum store_result result = STORE_RETRY;
    bool unknown = false;
    for (int tries = 0; tries <= MAX_RETRIES; tries++) {
        result = write_once(batch, first, count, status);
        unknown = unknown || result == STORE_LOST;
        if (result == STORE_LOST && worker_reconnect(batch->worker, batch->deadline_ms, status))
            continue;
        if (result != STORE_RETRY || !worker_may_retry(batch->worker, batch->deadline_ms))
            break;
    }
    bool settled = result == STORE_OK || result == STORE_REJECTED;
    return unknown && !settled ? STORE_LOST : result;
}

static void mark_rejected(struct write_item *item, const struct status *status)
{
    char text[TYPEID_TEXT_SIZE];
    item->rejected = true;
    typeid_format(item->kind == WRITE_APPEND ? item->append.event.id : item->ack.id, text);
    log_warning("the store rejected an item", {"event_id", text}, {"error", status->message});
}

/* Writes a range; rejected items are marked. STORE_OK when all others are durable. */
static enum store_result write_range(struct batch *batch, size_t first, size_t count,
                                     struct status *rejection, struct status *status)
{
    enum store_result result = write_stubbornly(batch, first, count, status);
    if (result != STORE_REJECTED)
        return result;
    if (count == 1) {
        *rejection = *status;
        mark_rejected(batch->items[first], status);
        return STORE_OK;
    }
    size_t half = count / 2;
    result = write_range(batch, first, half, rejection, status);
    if (result != STORE_OK)
        return result;
    return write_range(batch, first + half, count - half, rejection, status);
}

/* Appends get their times here, close to the commit. */
static void gather_op(struct batch *batch, struct write_op *op)
{
    struct writer *writer = worker_context(batch->worker);
    for (size_t i = 0; i < op->count; i++) {
        struct write_item *item = &op->items[i];
        item->rejected = false;
        if (item->kind == WRITE_APPEND)
            item->append.event.created_at_us = next_time_us(writer);
        else
            item->ack.acknowledged_at_us = clock_now_us();
        batch->items[batch->count++] = item;
    }
    if (op->op.deadline_ms > batch->deadline_ms)
        batch->deadline_ms = op->op.deadline_ms;
}

static struct op *writer_run(struct worker *worker, struct op *ops)
{
    /* One thread's stack holds a batch's pointers: 3 * 8 * 4096 bytes. */
    struct write_item *items[MAX_BATCH];
    struct store_append *appends[MAX_BATCH];
    struct store_ack *acks[MAX_BATCH];
    struct batch batch = {.worker = worker, .items = items, .appends = appends, .acks = acks};
    ops = ops_drop_expired(ops);
    if (!ops)
        return NULL;
    for (struct op *op = ops; op; op = op->next)
        gather_op(&batch, (struct write_op *)op);
    struct status status = STATUS_INIT;
    struct status rejection = STATUS_INIT;
    enum store_result result = write_range(&batch, 0, batch.count, &rejection, &status);
    if (result == STORE_OK) {
        for (struct op *op = ops; op; op = op->next)
            ((struct write_op *)op)->rejection = rejection;
        return ops;
    }
    if (result == STORE_LOST) {
        status_fail(&status, STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN",
                    "the connection to the store was lost during the write and it may or may not "
                    "have happened; send it again with the same event id");
        status.retry_delay_ms = 1000;
    }
    ops_set_status(ops, &status);
    return ops;
}

struct writer *writer_open(struct store *store, unsigned workers)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return NULL;
    writer->lane = lane_open(&(struct lane_config){
        .kind = LANE_WRITES,
        .store = store,
        .workers = workers,
        .max_held = MAX_HELD,
        .max_held_bytes = MAX_HELD_BYTES,
        .max_batch = MAX_BATCH,
        .max_batch_bytes = MAX_BATCH_BYTES,
        .run = writer_run,
        .context = writer,
    });
    if (writer->lane)
        return writer;
    free(writer);
    return NULL;
}

bool writer_submit(struct writer *writer, struct write_op *op, struct status *status)
{
    op->op.items = op->count;
    op->op.bytes = sizeof(*op) + op->count * sizeof(*op->items);
    for (size_t i = 0; i < op->count; i++) {
        const struct write_item *item = &op->items[i];
        if (item->kind == WRITE_APPEND)
            op->op.bytes += item->append.event.payload.size;
    }
    return lane_submit(writer->lane, &op->op, status);
}

struct lane *writer_lane(struct writer *writer)
{
    return writer->lane;
}

void writer_close(struct writer *writer)
{
    if (!writer)
        return;
    lane_close(writer->lane);
    free(writer);
}
