/* How many events are pending and since when the oldest has been, of tenant 0 and of all others
 * together, whether a failover would lose
 * some, and who holds an old snapshot: read from the store now and then, on the lane of lists, and
 * shown as metrics. */
#ifndef TRIGGERS_EVENTS_BACKLOG_H
#define TRIGGERS_EVENTS_BACKLOG_H

#include <stdatomic.h>

#include "base/metrics.h"
#include "events/readers.h"
#include "events/tenants.h"

extern struct metric backlog_pending, backlog_oldest_age, backlog_standbys, backlog_oldest_snapshot,
    backlog_others_pending, backlog_others_oldest_age;

/* A round through the other tenants, of which one is asked about in a second: so their metrics are
 * as old as there are tenants, and cost the same however many there are. */
struct backlog_round {
    struct list_op op; /* first */
    struct store_backlog found;
    atomic_bool asked; /* and not yet answered */
    int64_t after;     /* so far it has come */
    int64_t pending;   /* so far */
    int64_t oldest_us; /* the same; created_at, 0: none is pending */
    bool failed;       /* one of them could not be asked about */
};

/* Zero-initialise. Must outlive the readers. */
struct backlog {
    struct list_op op; /* first */
    struct store_backlog found;
    bool warned; /* about standbys, since there last were none */
    char warned_of[sizeof((struct store_backlog){0}.snapshot_holder)]; /* "" while none is old */
    atomic_bool asked;                                                 /* and not yet answered */
    int64_t next_time_ms;                                              /* monotonic */
    struct backlog_round round;
};

/* Asks again when the last answer is a few seconds old, and about the next one of the others; never
 * blocks. While the store is unavailable the metrics are left out. One thread, once a second. */
void backlog_ask(struct backlog *backlog, struct readers *readers, struct tenants *tenants);

#endif
