/* Looks now and then at every subscription, also those that nobody asks this core about, and shows
 * what they have to do as metrics. A few of them at a time: the worker of ledgers does so in
 * between what is asked of it. */
#ifndef TRIGGERS_SUBSCRIPTIONS_WATCHING_H
#define TRIGGERS_SUBSCRIPTIONS_WATCHING_H

#include "subscriptions/subscription.h"

/* A step. *more: others are left to be looked at. While it fails, figures are left out. */
enum store_result watching_step(struct subscriptions *all, struct scope scope,
                                struct store_session *session, bool *more, struct status *status);

/* The store is unavailable: figures are left out until it is there again. */
void watching_lost(struct subscriptions *all);

#endif
