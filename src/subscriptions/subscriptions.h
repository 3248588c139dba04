/* The subscriptions of this core: who asks for events, who settles them, and the order in which
 * their ledgers are written. One at a time of each subscription a take is under way (in the lane of
 * ledgers), and a settlement (in the writer's transactions, with everybody's creates); who comes
 * meanwhile is gathered into the next. So one take serves all who wait, and one row settles for
 * all. */
#ifndef TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTIONS_H
#define TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTIONS_H

#include "events/asks.h"
#include "events/tenants.h"
#include "subscriptions/requests.h"

struct subscriptions;

/* ---- requests: each takes the structure until its `done` ---- */

void subscriptions_pull(struct subscriptions *subscriptions, struct pull *pull);
/* A parked pull whose time is over, or whose caller has gone: nothing will be taken for it. `done`
 * was not called and will not be; the caller answers with count 0 and `empty`. */
void subscriptions_unpark_pull(struct subscriptions *subscriptions, struct pull *pull);
void subscriptions_settle(struct subscriptions *subscriptions, struct settle *settle);
void subscriptions_put(struct subscriptions *subscriptions, struct put_subscription *put);
void subscriptions_get(struct subscriptions *subscriptions, struct get_subscription *get);
void subscriptions_list(struct subscriptions *subscriptions, struct list_subscriptions *list);
void subscriptions_remove(struct subscriptions *subscriptions, struct remove_subscription *remove);
void subscriptions_seek(struct subscriptions *subscriptions, struct seek_subscription *seek);
void subscriptions_dead_letters(struct subscriptions *subscriptions,
                                struct list_dead_letters *list);
void subscriptions_dead_letter(struct subscriptions *subscriptions,
                               struct dead_letter_request *request);

/* ---- the whole ---- */

/* NULL without memory or threads. The writer, the waiters and the tenants must outlive it; the lane
 * of `asks` ends before it is closed. Requests are those of tenants that are there: what waits for
 * a tenant that is deleted is answered NOT_FOUND within a second or so. */
struct subscriptions *subscriptions_open(struct store *store, struct writer *writer,
                                         struct waiters *waiters, struct asks *asks,
                                         struct tenants *tenants);

/* Requests are refused from now on, those that wait fail, and what is under way ends; the others
 * still work meanwhile. Once. */
void subscriptions_stop(struct subscriptions *subscriptions);

/* Was stopped, and `asks` closed. NULL is allowed. */
void subscriptions_close(struct subscriptions *subscriptions);

#endif
