/* The group-commit writer: takes creates and acknowledgements of all callers and writes what queued
 * during one commit as the next transaction. Operations finish after the commit. */
#ifndef TRIGGERS_EVENTS_WRITER_H
#define TRIGGERS_EVENTS_WRITER_H

#include "base/metrics.h"
#include "events/lane.h"

#define WRITER_MAX_ITEMS 1000 /* of one operation */

enum write_kind { WRITE_APPEND, WRITE_ACK };

struct write_item {
    enum write_kind kind;
    /* Out: the store refused this item; the others of its batch were written. */
    bool rejected;
    union {
        struct store_append append; /* in: id, source, type, payload of `event` */
        struct store_ack ack;       /* in: id */
    };
};

struct write_op {
    struct op op; /* first: the lane's handle; status OK: each item tells its own outcome */
    struct write_item *items;
    size_t count;
    struct status rejection; /* why the rejected items were, when there are any */
};

/* Commits of this process, and what they stored. */
extern struct metric writer_commits, writer_created, writer_acknowledged;

struct writer;

/* NULL without memory. */
struct writer *writer_open(struct store *store, unsigned workers);

/* Fills op.bytes and op.items and queues: see lane_submit. */
bool writer_submit(struct writer *writer, struct write_op *op, struct status *status) MUST_CHECK;

/* The lane, for health and start-up. */
struct lane *writer_lane(struct writer *writer);

void writer_close(struct writer *writer); /* see lane_close */

#endif
