/* Removal of old events in small steps, through the writer, with pauses in between: at most a tenth
 * of the writer's time. With several cores on one store all of them try, and the store lets one. */
#ifndef TRIGGERS_EVENTS_RETENTION_H
#define TRIGGERS_EVENTS_RETENTION_H

#include "base/metrics.h"
#include "events/writer.h"

extern struct metric retention_removed, retention_first_sequence, retention_last_time;

/* How long events are kept, in microseconds; 0: for ever. A pending one is kept as long as an
 * acknowledged one or longer. */
struct retention_config {
    int64_t keep_acknowledged_us;
    int64_t keep_pending_us;
};

struct retention;

/* Also removes, from time to time, what cut-off sessions have left behind. NULL without memory or
 * threads. */
struct retention *retention_open(struct writer *writer, const struct retention_config *config);

/* Waits for the thread. Call it before the writer's lane is closed. NULL is allowed. */
void retention_close(struct retention *retention);

#endif
