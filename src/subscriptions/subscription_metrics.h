/* The metrics that have a series for each subscription of tenant 0. What other tenants' do is
 * counted together with that of those without one: their names may be anything, and as many. At
 * most SUBSCRIPTION_SERIES of them have one, those that come first; what the others do is counted
 * together, and how many they are is a metric, so that an answer with all of them stays small. Any
 * thread. */
#ifndef TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTION_METRICS_H
#define TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTION_METRICS_H

#include <stddef.h>

#include "base/metrics.h"
#include "subscriptions/requests.h"

#define SUBSCRIPTION_SERIES 100
#define SUBSCRIPTION_OTHERS SUBSCRIPTION_SERIES /* the series of the others' counters */

extern struct metric subscription_backlog, subscription_outstanding, subscription_delayed,
    subscription_dead_letters, subscription_oldest_age, subscription_deliveries,
    subscription_outcomes, subscription_unlisted;

/* Columns of subscription_outcomes. */
enum subscription_outcome {
    SUBSCRIPTION_ACKNOWLEDGED,
    SUBSCRIPTION_FAILED, /* given back by a nack, or the lease ended */
    SUBSCRIPTION_DEAD,   /* has become a dead letter, which is no other outcome besides */
    SUBSCRIPTION_OUTCOMES
};

/* The series of the subscription with this name, which is valid; a new one if there is none and
 * there is room, else SUBSCRIPTION_OTHERS. */
size_t subscription_series(const char *name);

/* Shows the figures, as of now. */
void subscription_show(size_t series, const struct subscription_figures *figures);

/* All subscriptions there are have been asked for their series since the last call, which were so
 * many: the series of those that were not go. While `known` is false all figures are left out. */
void subscription_shown(size_t count, bool known);

#endif
