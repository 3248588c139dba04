/* What the tender of a consumer does for each sort of calls, and the handlers' threads. All but the
 * threads themselves are called with the lock held, on the tender. */
#ifndef TRIGGERS_CLIENT_CONSUMER_PARTS_H
#define TRIGGERS_CLIENT_CONSUMER_PARTS_H

#include "consumer_state.h"

/* ---- consumer_pull.c ---- */

/* Asks for events, or before the first ones how long a lease of the subscription is. */
void consumer_send_pull(struct triggers_consumer *consumer);
void consumer_read_pull(struct triggers_consumer *consumer);

/* ---- consumer_settle.c ---- */

/* Sends the outcomes that go together. */
void consumer_send_settle(struct triggers_consumer *consumer);
void consumer_read_settle(struct triggers_consumer *consumer);

/* ---- consumer_extend.c ---- */

/* Extends the leases that are due. */
void consumer_send_extend(struct triggers_consumer *consumer);
void consumer_read_extend(struct triggers_consumer *consumer);

/* ---- consumer_handlers.c ---- */

/* False when the threads cannot be started; call consumer_join_handlers all the same. */
bool consumer_start_handlers(struct triggers_consumer *consumer);

/* Waits for the threads, which end when the consumer is over. Without the lock. */
void consumer_join_handlers(struct triggers_consumer *consumer);

/* Tells handlers whose delivery is lost; releases the lock meanwhile. */
void consumer_tell_lost(struct triggers_consumer *consumer);

#endif
