/* Reads: events by id, many in one round trip, and pages of the inbox. Each kind has a lane of its
 * own, so that long pages keep neither reads by id nor writes waiting. */
#ifndef TRIGGERS_EVENTS_READERS_H
#define TRIGGERS_EVENTS_READERS_H

#include "events/lane.h"

struct get_op {
    struct op op;
    struct store_get get; /* in: id, arena */
};

/* A page, or what `ask` reads in its place. */
struct list_op {
    struct op op;
    struct store_list list; /* in: all but what store.h calls out */
    /* NULL: read the page. Else another question to the store, whose failure concerns no other. */
    enum store_result (*ask)(struct store_session *session, struct list_op *op,
                             struct status *status);
};

struct readers;

/* `list_workers` sessions for lists and one for reads by id. NULL without memory. */
struct readers *readers_open(struct store *store, unsigned list_workers);

/* Queue: see lane_submit. */
bool readers_submit_get(struct readers *readers, struct get_op *op,
                        struct status *status) MUST_CHECK;
bool readers_submit_list(struct readers *readers, struct list_op *op,
                         struct status *status) MUST_CHECK;

/* The lanes, for health and start-up. */
struct lane *readers_get_lane(struct readers *readers);
struct lane *readers_list_lane(struct readers *readers);

void readers_close(struct readers *readers); /* see lane_close; NULL is allowed */

#endif
