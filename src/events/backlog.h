/* How many events wait and how long the oldest has, and whether a failover would lose some: asked
 * of the store now and then, on the lane of lists, and shown as metrics. */
#ifndef TRIGGERS_EVENTS_BACKLOG_H
#define TRIGGERS_EVENTS_BACKLOG_H

#include <stdatomic.h>

#include "base/metrics.h"
#include "events/readers.h"

extern struct metric backlog_pending, backlog_oldest_age, backlog_standbys;

/* Zero-initialise. Must outlive the readers. */
struct backlog {
    struct list_op op; /* first */
    struct store_backlog found;
    bool warned;          /* of standbys, since there was none */
    atomic_bool asked;    /* and not yet answered */
    int64_t next_time_ms; /* monotonic */
};

/* Asks when the last question is answered and a few seconds old; never blocks. While the store is
 * away the metrics are left out. One thread. */
void backlog_ask(struct backlog *backlog, struct readers *readers);

#endif
