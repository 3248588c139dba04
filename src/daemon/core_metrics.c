/* The list, and the labels that are known when the process runs. */
#include "daemon/core_metrics.h"

#include <stdio.h>
#include <unistd.h>

#include "access/access_metrics.h"
#include "events/backlog.h"
#include "events/lane.h"
#include "events/retention.h"
#include "events/writer.h"
#include "net/server.h"
#include "subscriptions/subscription_metrics.h"

static struct metric *const LIST[] = {
    &call_requests,
    &call_duration,
    &call_in_flight,
    &call_waiting,
    &server_connections,
    &server_memory,
    &server_memory_ceiling,
    &call_refusals,
    &lane_queue_depth,
    &lane_batch_items,
    &lane_sessions,
    &lane_store_duration,
    &lane_store_errors,
    &writer_commits,
    &writer_created,
    &writer_acknowledged,
    &writer_erased,
    &writer_settlements,
    &retention_removed,
    &retention_first_sequence,
    &retention_last_time,
    &backlog_pending,
    &backlog_oldest_age,
    &backlog_standbys,
    &backlog_oldest_snapshot,
    &backlog_others_pending,
    &backlog_others_oldest_age,
    &subscription_backlog,
    &subscription_outstanding,
    &subscription_delayed,
    &subscription_dead_letters,
    &subscription_oldest_age,
    &subscription_deliveries,
    &subscription_outcomes,
    &subscription_unlisted,
    &access_refusals,
    &access_tenants,
    &access_keys,
    &access_keys_expiring,
    NULL,
};

struct metrics *core_metrics_init(const char *store_name)
{
    static char host[65] = "localhost";
    static char labels[96];
    static char build[96];
    static struct metrics metrics = {.program = "triggersd",
                                     .prefix = "triggers_core",
                                     .labels = labels,
                                     .build = build,
                                     .list = LIST};
    gethostname(host, sizeof(host) - 1);
    snprintf(labels, sizeof(labels), "core=\"%s/%d\"", host, (int)getpid());
    snprintf(build, sizeof(build), "version=\"%s\",store=\"%s\"", TRIGGERS_VERSION, store_name);
    return &metrics;
}
