/* triggers.stats.v1.StatsService. */
#ifndef TRIGGERS_SERVICE_STATS_SERVICE_H
#define TRIGGERS_SERVICE_STATS_SERVICE_H

#include "base/metrics.h"
#include "triggers/stats/v1/stats.pb-c.h"

struct stats_service {
    Triggers__Stats__V1__StatsService_Service base; /* first: what the dispatcher holds */
    const struct metrics *metrics;                  /* borrowed */
};

void stats_service_init(struct stats_service *service, const struct metrics *metrics);

#endif
