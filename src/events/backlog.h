/* How many events are pending and since when the oldest has been, whether a failover would lose
 * some, and who holds an old snapshot: read from the store now and then, on the lane of lists, and
 * shown as metrics. */
#ifndef TRIGGERS_EVENTS_BACKLOG_H
#define TRIGGERS_EVENTS_BACKLOG_H

#include <stdatomic.h>

#include "base/metrics.h"
#include "events/readers.h"

extern struct metric backlog_pending, backlog_oldest_age, backlog_standbys, backlog_oldest_snapshot;

/* Zero-initialise. Must outlive the readers. */
struct backlog {
    struct list_op op; /* first */
    struct store_backlog found;
    bool warned; /* about standbys, since there last were none */
    char warned_of[sizeof((struct store_backlog){0}.snapshot_holder)]; /* "" while none is old */
    atomic_bool asked;                                                 /* and not yet answered */
    int64_t next_time_ms;                                              /* monotonic */
};

/* Asks again when the last answer is a few seconds old; never blocks. While the store is
 * unavailable the metrics are left out. One thread. */
void backlog_ask(struct backlog *backlog, struct readers *readers);

#endif
