/* The group-commit writer: takes the creates and acknowledgements of all callers, and writes those
 * that queued during one commit as the next transaction. Operations finish after the commit. */
#ifndef TRIGGERS_EVENTS_WRITER_H
#define TRIGGERS_EVENTS_WRITER_H

#include "base/metrics.h"
#include "events/caps.h"
#include "events/lane.h"

#define WRITER_MAX_ITEMS 1000 /* of one operation */

struct item_failure;

struct write_item {
    struct store_item stored; /* in: kind, and all of `event` except the time; out: the outcome */
    int64_t delay_us;         /* in: of an append, deliver_at is so long after its time; 0: it is as
                                 in `event` */
    /* In: why the caller's item must not be written, and is left out. NULL: it is written. */
    struct item_failure *wrong;
    bool keyed; /* for the caller: its id was derived from an idempotency key */
    /* Out: why it was not written, or may not have been; NULL: it was, with its outcome. Static,
     * the operation's or in its arena. */
    const struct status *failure;
    /* In: the id that the previous version gave to the append's key, in the operation's arena;
     * NULL: none. An event of the same source with this id is the one that the key means. */
    const uint8_t *former_id;
};

struct write_op {
    struct op op; /* first: the lane's handle. Status OK: each item has its own outcome; else none
                     was written, or perhaps not, if the status says so */
    struct write_item *items;
    size_t count;
    struct arena *arena;               /* for the texts of items that fail */
    struct store_trim *trim;           /* NULL; else this is done instead of items, of which there
                                          are none: `count` is 1 */
    int64_t took_us;                   /* out: how long the store took for that */
    struct status failure;             /* of the items whose transaction failed */
    void (*done)(struct write_op *op); /* in: like op.done, which the writer uses */
};

/* Commits of this process, and what they stored. */
extern struct metric writer_commits, writer_created, writer_acknowledged, writer_erased,
    writer_settlements;

struct writer;

/* A commit appended these events of one tenant; or some of them are repeated, as when the answer of
 * an earlier commit was lost. `count` is not 0. On a worker's thread, before the operations are
 * done.
 */
typedef void writer_committed(void *context, struct scope scope,
                              const struct store_event *const *events, size_t count);

/* NULL without memory. `committed` may be NULL. */
struct writer *writer_open(struct store *store, unsigned workers, writer_committed *committed,
                           void *context);

/* What is written counts for the caps of tenants. Before the first operation is submitted. */
void writer_count_for(struct writer *writer, struct caps *caps);

/* Fills op.bytes, op.items and op.done and queues: see lane_submit. In: op.caller, op.deadline_ms.
 */
bool writer_submit(struct writer *writer, struct write_op *op, struct status *status) MUST_CHECK;

/* The lane, for health and start-up. */
struct lane *writer_lane(struct writer *writer);

void writer_close(struct writer *writer); /* see lane_close */

#endif
