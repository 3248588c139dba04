/* Removal of old events in small steps, through the writer, and of all that deleted tenants have;
 * with pauses in between: at most a tenth of the time. The tenants take turns, one step each. With
 * several cores on one store all of them try, and the store lets one. */
#ifndef TRIGGERS_EVENTS_RETENTION_H
#define TRIGGERS_EVENTS_RETENTION_H

#include "base/metrics.h"
#include "events/asks.h"
#include "events/tenants.h"
#include "events/writer.h"

extern struct metric retention_removed, retention_first_sequence, retention_last_time;

struct retention;

/* Also removes, from time to time, what cut-off sessions have left behind. What is removed of a
 * deleted tenant is noted in `tenants`, with which the removal ends. NULL without memory or
 * threads. */
struct retention *retention_open(struct writer *writer, struct asks *asks, struct tenants *tenants);

/* Waits for the thread. Call it before the lanes are closed. NULL is allowed. */
void retention_close(struct retention *retention);

#endif
