/* The subscriptions that were asked for since the start, of all tenants, found by tenant and name.
 * Every call is made with the lock of all held. */
#ifndef TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTION_TABLE_H
#define TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTION_TABLE_H

#include "subscriptions/subscription.h"

void subscription_table_init(struct subscription_table *table);

/* There are none left in it. */
void subscription_table_fini(struct subscription_table *table);

/* The one of this name that is not gone; NULL: there is none. */
struct subscription *subscription_table_find(const struct subscription_table *table,
                                             struct scope scope, struct slice name);

/* Adds one that is not there, as the first of the list. False without memory. */
bool subscription_table_add(struct subscription_table *table,
                            struct subscription *subscription) MUST_CHECK;

/* Takes out the one that `place` of the list points to, which moves on to the next. */
struct subscription *subscription_table_take(struct subscription_table *table,
                                             struct subscription **place);

#endif
