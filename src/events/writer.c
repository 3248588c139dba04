/* One batch: drop late operations, gather the items of the others, write, and when the store
 * rejects the batch, halve it until the items at fault are alone. */
#include "events/writer.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

/* All lanes together hold fewer calls than a server handles, so that excess can be refused. */
#define MAX_HELD 1344 /* 1024 for a single caller, see turns_add */
#define MAX_HELD_BYTES (44u << 20)
#define MAX_BATCH 4096 /* items of one transaction, and its cost, which limits it to 8 MiB */
#define RETRY_DELAY_MS 1000
#define MAX_AHEAD_US 1000000 /* the most that a time may be ahead of the clock */
#define MAX_RETRIES 8        /* after serialization failures and lost sessions */

/* How many items at fault are searched for in a batch; after that all items of a part that fails
 * get its failure, which does no harm: nothing was changed, and they may be sent again. */
#define MAX_REJECTED 16
#define MAX_LOCKED 4 /* each of which costs some waiting */

/* How long after the start former ids are looked for: callers may send again what the previous
 * version has stored. */
#define FORMER_IDS_MS ((int64_t)48 * 3600 * 1000)

struct writer {
    int64_t former_ids_until_ms; /* monotonic */
    struct lane *lane;
    writer_committed *committed; /* NULL: nobody is told */
    void *context;               /* for it */
    struct caps *caps;           /* NULL: there are none */
    atomic_int_fast64_t last_time_us;
};

static metric_cell commit_cell, created_cell, acknowledged_cell, erased_cell, settlement_cell;
struct metric writer_commits = {.name = "commits_total",
                                .help = "Committed transactions that wrote.",
                                .kind = METRIC_COUNTER,
                                .cells = &commit_cell};
struct metric writer_created = {.name = "events_created_total",
                                .help = "Events stored, without those that were there already.",
                                .kind = METRIC_COUNTER,
                                .cells = &created_cell};
struct metric writer_acknowledged = {.name = "events_acknowledged_total",
                                     .help = "Events acknowledged for the first time.",
                                     .kind = METRIC_COUNTER,
                                     .cells = &acknowledged_cell};
struct metric writer_erased = {.name = "payloads_erased_total",
                               .help = "Payloads removed for good, on demand.",
                               .kind = METRIC_COUNTER,
                               .cells = &erased_cell};

struct metric writer_settlements = {.name = "settlements_total",
                                    .help = "Settlements written to the ledgers of subscriptions; "
                                            "each is about many deliveries.",
                                    .kind = METRIC_COUNTER,
                                    .cells = &settlement_cell};

/* The times of one writer ascend strictly, so that people see them in the order of the log. If the
 * clock was set back by more than MAX_AHEAD_US, they follow the clock. */
static int64_t next_time_us(struct writer *writer)
{
    int64_t now = clock_now_us();
    int_fast64_t last = atomic_load(&writer->last_time_us);
    int64_t next;
    do {
        next = now > last || last - now > MAX_AHEAD_US ? now : last + 1;
    } while (!atomic_compare_exchange_weak(&writer->last_time_us, &last, next));
    return next;
}

/* The batch of one run: pointers into the operations. */
struct write_batch {
    struct worker *worker;
    struct scope scope;
    int64_t deadline_ms; /* the latest of the operations */
    struct write_item **items;
    struct write_op **ops;      /* the operation of each item */
    struct store_item **stored; /* the items' */
    size_t count;
    struct status failure; /* why the store failed, if it did and nothing was changed */
    size_t rejected;       /* items at fault that were found */
    size_t locked;
};

/* Appends get their times here, close to the commit. */
static void stamp_append(struct writer *writer, struct write_item *item)
{
    struct store_event *event = &item->stored.event;
    event->created_at_us = next_time_us(writer);
    if (item->delay_us > 0)
        event->deliver_at_us = event->created_at_us + item->delay_us;
    if (event->deliver_at_us <= event->created_at_us)
        event->deliver_at_us = 0;
}

static void stamp_ack(struct writer *writer, struct write_item *item)
{
    (void)writer;
    item->stored.event.acknowledged_at_us = clock_now_us();
}

/* They need no time of ours. */
static void stamp_nothing(struct writer *writer, struct write_item *item)
{
    (void)writer;
    (void)item;
}

/* The kinds of items: how one gets its time, and the metric that counts those that were done. */
static const struct {
    void (*stamp)(struct writer *writer, struct write_item *item);
    struct metric *done;
} KINDS[STORE_KIND_COUNT] = {
    [STORE_APPEND] = {stamp_append, &writer_created},
    [STORE_ACK] = {stamp_ack, &writer_acknowledged},
    [STORE_ERASE] = {stamp_nothing, &writer_erased},
    [STORE_SETTLE] = {stamp_nothing, &writer_settlements},
};

/* Tells of the events that were appended, by this commit or by one whose answer was lost. */
static void tell_committed(const struct writer *writer, struct scope scope,
                           const struct store_write *write)
{
    const struct store_event *events[MAX_BATCH];
    size_t count = 0;
    CHECK(write->count <= MAX_BATCH);
    for (size_t i = 0; i < write->count; i++) {
        const struct store_item *item = write->items[i];
        if (item->kind == STORE_APPEND && item->outcome != STORE_CONFLICT)
            events[count++] = &item->event;
    }
    if (count > 0 && writer->committed)
        writer->committed(writer->context, scope, events, count);
}

static void note_commit(const struct store_write *write)
{
    int64_t done[STORE_KIND_COUNT] = {0};
    for (size_t i = 0; i < write->count; i++)
        done[write->items[i]->kind] += write->items[i]->outcome == STORE_DONE;
    metric_add(&writer_commits, 0, 1);
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++)
        metric_add(KINDS[kind].done, 0, done[kind]);
}

/* Asks for the events with former ids; `gets` has room for as many as there are items. */
static enum store_result get_former(struct write_batch *batch, struct write_item **items,
                                    size_t count, struct store_get **gets, struct status *status)
{
    struct store_session *session = worker_session(batch->worker);
    int64_t started_us = clock_monotonic_us();
    enum store_result result =
        session->store->driver->get(session, batch->scope, gets, count, status);
    worker_note_store(batch->worker, started_us, result);
    for (size_t i = 0; result == STORE_OK && i < count; i++) {
        struct store_event *event = &items[i]->stored.event;
        const struct slice *source = &gets[i]->event.source;
        bool same_source =
            gets[i]->no_memory || (source->size == event->source.size &&
                                   memcmp(source->data, event->source.data, source->size) == 0);
        if (gets[i]->outcome == STORE_DONE && same_source)
            memcpy(event->id, items[i]->former_id, TYPEID_BYTES);
        items[i]->former_id = NULL;
    }
    return result;
}

/* Items whose keys the previous version has used get the ids that it gave them. */
static enum store_result take_former_ids(struct write_batch *batch, size_t first, size_t count,
                                         struct status *status)
{
    const struct writer *writer = worker_context(batch->worker);
    CHECK(count <= MAX_BATCH);
    struct store_get *gets[MAX_BATCH];
    struct write_item *items[MAX_BATCH];
    size_t found = 0;
    if (clock_monotonic_ms() > writer->former_ids_until_ms)
        return STORE_OK;
    for (size_t i = first; i < first + count; i++) {
        struct write_item *item = batch->items[i];
        struct arena *arena = batch->ops[i]->arena;
        struct store_get *get = item->former_id ? arena_calloc(arena, 1, sizeof(*get)) : NULL;
        if (!get)
            continue;
        memcpy(get->id, item->former_id, TYPEID_BYTES);
        get->arena = arena;
        gets[found] = get;
        items[found++] = item;
    }
    return found > 0 ? get_former(batch, items, found, gets, status) : STORE_OK;
}

static void gather_op(struct write_batch *batch, struct write_op *op)
{
    struct writer *writer = worker_context(batch->worker);
    if (op->trim)
        return;
    for (size_t i = op->op.first; i < op->op.end; i++) {
        struct write_item *item = &op->items[i];
        if (item->wrong)
            continue;
        CHECK(item->stored.kind < STORE_KIND_COUNT);
        KINDS[item->stored.kind].stamp(writer, item);
        CHECK(batch->count < MAX_BATCH);
        batch->ops[batch->count] = op;
        batch->stored[batch->count] = &item->stored;
        batch->items[batch->count++] = item;
    }
    if (op->op.deadline_ms > batch->deadline_ms)
        batch->deadline_ms = op->op.deadline_ms;
}

/* The store is about to take its turn: what came meanwhile joins the batch. */
static enum store_result gather_more(struct store_write *write, struct status *status)
{
    struct write_batch *batch = write->context;
    CHECK(write->items == batch->stored && write->count == batch->count);
    for (struct op *op = worker_take_more(batch->worker); op; op = op->next)
        gather_op(batch, (struct write_op *)op);
    size_t first = write->count;
    write->count = batch->count;
    return take_former_ids(batch, first, batch->count - first, status);
}

/* Writes items [first, first + *count) as one transaction, once; if it `grows`, they become more.
 */
static enum store_result write_once(struct write_batch *batch, size_t first, size_t *count,
                                    bool grows, struct status *status)
{
    struct store_write write = {.items = batch->stored + first,
                                .count = *count,
                                .part = *count < batch->count,
                                .gather = grows ? gather_more : NULL,
                                .context = batch};
    CHECK(worker_session(batch->worker));
    enum store_result result = take_former_ids(batch, first, *count, status);
    if (result != STORE_OK)
        return result;
    struct store_session *session = worker_session(batch->worker);
    int64_t started_us = clock_monotonic_us();
    result = session->store->driver->write(session, batch->scope, &write, status);
    const struct writer *writer = worker_context(batch->worker);
    *count = write.count;
    worker_note_store(batch->worker, started_us, result);
    if (result == STORE_OK) {
        note_commit(&write);
        caps_note(writer->caps, batch->scope.tenant, &write);
        tell_committed(writer, batch->scope, &write);
    }
    return result;
}

/* The same, and tries again after passing failures. A lost session leaves it unknown whether the
 * batch was written; writing it again is safe because the ids say what is already there. It must
 * not grow then: a refusal says that nothing was written only of the same batch. A failure after
 * that leaves it unknown for good, and so does a lock: the lost session may still hold it and
 * commit. */
static enum store_result write_stubbornly(struct write_batch *batch, size_t first, size_t *count,
                                          struct status *status)
{
    enum store_result result = STORE_RETRY;
    bool unknown = false;
    for (int tries = 0; tries <= MAX_RETRIES; tries++) {
        bool grows = tries == 0 && *count == batch->count;
        result = write_once(batch, first, count, grows, status);
        unknown = unknown || result == STORE_LOST;
        if (result == STORE_LOST && worker_reconnect(batch->worker, batch->deadline_ms, status))
            continue;
        if (result != STORE_RETRY || !worker_may_retry(batch->worker, batch->deadline_ms))
            break;
    }
    bool settled = result == STORE_OK || result == STORE_REJECTED;
    return unknown && !settled ? STORE_LOST : result;
}

/* The failure of items whose transaction may have been committed, and of those after it. */
static const struct status UNKNOWN = {
    .code = STATUS_UNAVAILABLE,
    .reason = "OUTCOME_UNKNOWN",
    .retry_delay_ms = RETRY_DELAY_MS,
    .message = "the connection to the store was lost during the write and it may or may not have "
               "happened; send it again with the same event id",
};
static const struct status NOT_WRITTEN = {
    .code = STATUS_UNAVAILABLE,
    .reason = "STORE_UNAVAILABLE",
    .retry_delay_ms = RETRY_DELAY_MS,
    .message = "the connection to the store was lost before this was written; send it again",
};
static const struct status REJECTED_WITHOUT_TEXT = {
    .code = STATUS_UNAVAILABLE,
    .reason = "STORE_REJECTED",
    .retry_delay_ms = RETRY_DELAY_MS,
    .message = "the database refused to store this",
};

static void fail_items(struct write_item **items, size_t count, const struct status *why)
{
    for (size_t i = 0; i < count; i++)
        items[i]->failure = why;
}

/* Whether a range that failed must not be split any more; if so, counts it. */
static bool is_split_enough(struct write_batch *batch, size_t count, enum store_result result)
{
    CHECK(result == STORE_LOCKED || result == STORE_REJECTED);
    size_t *found = result == STORE_LOCKED ? &batch->locked : &batch->rejected;
    bool enough = count == 1 || *found >= (result == STORE_LOCKED ? MAX_LOCKED : MAX_REJECTED);
    *found += enough;
    return enough;
}

static void reject(struct write_batch *batch, size_t first, size_t count, const struct status *why)
{
    char text[TYPEID_TEXT_SIZE];
    const struct status *told = NULL; /* lives as long as the operation */
    CHECK(why->code != STATUS_OK);
    for (size_t i = first; i < first + count; i++) {
        if (i == first || batch->ops[i] != batch->ops[i - 1]) {
            struct status *kept = arena_alloc(batch->ops[i]->arena, sizeof(*kept));
            if (kept)
                *kept = *why;
            told = kept ? kept : &REJECTED_WITHOUT_TEXT;
        }
        batch->items[i]->failure = told;
    }
    typeid_format(batch->stored[first]->event.id, text);
    log_warning_limited(why->reason, "the store did not take an item", {"event_id", text},
                        {"items", NULL, (double)count}, {"error", why->message});
}

/* Writes a range and gives each item its own failure, or none. When the store fails, nothing more
 * is tried: false, and all later items have a failure too. */
static bool write_range(struct write_batch *batch, size_t first, size_t count)
{
    struct status status = STATUS_INIT;
    CHECK(count > 0 && first + count <= batch->count);
    enum store_result result = write_stubbornly(batch, first, &count, &status);
    switch (result) {
    case STORE_OK: fail_items(batch->items + first, count, NULL); return true;
    case STORE_REJECTED:
    case STORE_LOCKED: break;
    case STORE_LOST:
        fail_items(batch->items + first, count, &UNKNOWN);
        fail_items(batch->items + first + count, batch->count - first - count, &NOT_WRITTEN);
        return false;
    default:
        batch->failure = status;
        fail_items(batch->items + first, batch->count - first, &batch->failure);
        return false;
    }
    if (is_split_enough(batch, count, result)) {
        reject(batch, first, count, &status);
        return true;
    }
    size_t half = count / 2;
    CHECK(half > 0);
    return write_range(batch, first, half) && write_range(batch, first + half, count - half);
}

/* The store failed, perhaps before the items of this operation were written: then the rest is not
 * tried either, and the failure is copied, to outlive the batch. */
static void end_op(const struct write_batch *batch, struct write_op *op)
{
    CHECK(op->op.end > op->op.first && op->op.end <= op->count);
    const struct status *why = NULL; /* of the last item that was to be written */
    for (size_t i = op->op.first; i < op->op.end; i++)
        why = op->items[i].wrong ? why : op->items[i].failure;
    if (why != &UNKNOWN && why != &NOT_WRITTEN && why != &batch->failure)
        return;
    for (size_t i = op->op.end; i < op->count; i++)
        op->items[i].failure = why == &UNKNOWN ? &NOT_WRITTEN : why;
    op->op.end = op->count;
    op->failure = batch->failure;
    for (size_t i = op->op.first; i < op->count; i++) {
        if (op->items[i].failure == &batch->failure)
            op->items[i].failure = &op->failure;
    }
}

/* Its failure concerns no caller. */
static void carry_out_trim(struct worker *worker, struct write_op *op)
{
    struct store_session *session = worker_session(worker);
    op->op.status = NOT_WRITTEN;
    if (!session)
        return; /* it was lost by the batch before */
    int64_t started_us = clock_monotonic_us();
    enum store_result result =
        session->store->driver->trim(session, op->op.scope, op->trim, &op->op.status);
    worker_note_store(worker, started_us, result);
    op->took_us = clock_monotonic_us() - started_us;
    if (result == STORE_OK)
        op->op.status = STATUS_INIT;
    bool connected =
        result != STORE_LOST || worker_reconnect(worker, op->op.deadline_ms, &op->op.status);
    (void)connected; /* the lane sees that itself */
}

static void writer_run(struct worker *worker, struct op *ops)
{
    /* One thread's stack holds a batch's pointers: 3 * 8 * 4096 bytes. */
    struct write_item *items[MAX_BATCH];
    struct write_op *item_ops[MAX_BATCH];
    struct store_item *stored[MAX_BATCH];
    struct write_batch batch = {.worker = worker,
                                .scope = ops->scope,
                                .items = items,
                                .ops = item_ops,
                                .stored = stored,
                                .failure = STATUS_INIT};
    for (struct op *op = ops; op; op = op->next)
        gather_op(&batch, (struct write_op *)op);
    bool failed = batch.count > 0 && !write_range(&batch, 0, batch.count);
    for (struct op *op = ops; op; op = op->next) {
        if (((struct write_op *)op)->trim)
            carry_out_trim(worker, (struct write_op *)op);
        else if (failed)
            end_op(&batch, (struct write_op *)op);
    }
}

/* Why all items failed, if the reason is the same for all and not one item's own; else NULL. */
static const struct status *why_failed_as_a_whole(const struct write_op *op)
{
    const struct status *why = NULL;
    for (size_t i = 0; i < op->count; i++) {
        const struct write_item *item = &op->items[i];
        if (item->wrong)
            continue;
        if (!item->failure || (why && item->failure != why))
            return NULL;
        why = item->failure;
    }
    return why == &op->failure || why == &UNKNOWN || why == &NOT_WRITTEN ? why : NULL;
}

/* The lane is done with the operation: if it was begun, each item has its own result. */
static void on_done(struct op *base)
{
    struct write_op *op = (struct write_op *)base;
    CHECK(op->count == base->items);
    if (op->trim) {
        op->done(op);
        return;
    }
    if (base->status.code != STATUS_OK && base->first > 0) {
        op->failure = base->status;
        for (size_t i = base->first; i < op->count; i++)
            op->items[i].failure = &op->failure;
        base->status = STATUS_INIT;
    }
    const struct status *why = why_failed_as_a_whole(op);
    if (base->status.code == STATUS_OK && why)
        base->status = *why;
    op->done(op);
}

struct writer *writer_open(struct store *store, unsigned workers, writer_committed *committed,
                           void *context)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return NULL;
    writer->committed = committed;
    writer->context = context;
    writer->former_ids_until_ms = clock_monotonic_ms() + FORMER_IDS_MS;
    writer->lane = lane_open(&(struct lane_config){
        .kind = LANE_WRITES,
        .store = store,
        .workers = workers,
        .max_held = {MAX_HELD, MAX_HELD_BYTES},
        .max_batch = MAX_BATCH,
        .max_batch_bytes = SIZE_MAX,
        .divides = true,
        .run = writer_run,
        .context = writer,
    });
    if (writer->lane)
        return writer;
    free(writer);
    return NULL;
}

void writer_count_for(struct writer *writer, struct caps *caps)
{
    writer->caps = caps;
}

bool writer_submit(struct writer *writer, struct write_op *op, struct status *status)
{
    CHECK(op->count > 0 && op->count <= WRITER_MAX_ITEMS && op->done);
    CHECK(op->trim ? op->count == 1 && !op->items : op->arena != NULL);
    op->op.items = op->count;
    op->op.done = on_done;
    op->op.bytes = sizeof(*op) + op->count * sizeof(*op->items);
    for (size_t i = 0; i < op->count && op->items; i++) {
        const struct store_item *item = &op->items[i].stored;
        op->op.bytes +=
            item->settlement ? item->settlement->entry.body.size : item->event.payload.size;
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
