/* Requests are counted by their route, as the table of routes has them, and by the
 * statuses that the bridge gives. What libmicrohttpd refuses by itself is not seen here. */
#include "bridge_metrics.h"

#include <stdio.h>

#include "base/check.h"
#include "base/metrics.h"
#include "core_call.h"
#include "guard.h"
#include "handlers.h"
#include "problem.h"

#define TEXT_CAP (1u << 20)
#define CORE_TIMEOUT_MS 2000
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#define NUMBER(number, title) number,
static const unsigned STATUSES[] = {200, 201, 204, PROBLEM_STATUSES(NUMBER)};
#undef NUMBER
#define STATUS_COUNT (sizeof(STATUSES) / sizeof(STATUSES[0]) + 1)

/* Rows are the routes in their order, and then requests without one. */
#define ROW_COUNT (ROUTES_COUNT + 1)
#define ROUTE_LABEL(method, path, label, ...) "route=\"" label "\",method=\"" method "\"",
static const char *const ROUTE_LABELS[] = {
    ROUTE_LIST(ROUTE_LABEL) "route=\"other\",method=\"other\"", NULL};
static char status_texts[STATUS_COUNT][16];
static const char *status_labels[STATUS_COUNT + 1] = {"status=\"none\""}; /* broken off */

static metric_cell request_cells[ROW_COUNT * STATUS_COUNT];
static metric_cell duration_cells[ROW_COUNT * METRIC_HISTOGRAM_CELLS(METRIC_DURATION_BOUNDS)];
static metric_cell in_flight_cell, connection_cell, call_cell, waiting_cell, memory_cell,
    memory_limit_cell, refused_cell, closed_cells[2];
static const char *closed_labels[] = {"reason=\"late\"", "reason=\"memory\"", NULL};

static struct metric requests = {.name = "requests_total",
                                 .help = "HTTP requests, by route, method and status; status "
                                         "\"none\" is a request broken off by its client.",
                                 .kind = METRIC_COUNTER,
                                 .rows = ROUTE_LABELS,
                                 .columns = status_labels,
                                 .cells = request_cells};
static struct metric duration = {.name = "request_duration_seconds",
                                 .help = "Time from a request's head to the end of its answer, by "
                                         "route and method; without those that wait for events.",
                                 .kind = METRIC_HISTOGRAM,
                                 .unit = 1e-6,
                                 .rows = ROUTE_LABELS,
                                 .bounds = METRIC_DURATIONS_US,
                                 .bound_count = METRIC_DURATION_BOUNDS,
                                 .cells = duration_cells};
static struct metric in_flight = {.name = "requests_in_flight",
                                  .help = "HTTP requests that have begun and not ended.",
                                  .kind = METRIC_GAUGE,
                                  .cells = &in_flight_cell};
static struct metric connections = {.name = "connections",
                                    .help = "Open HTTP connections.",
                                    .kind = METRIC_GAUGE,
                                    .cells = &connection_cell};
static struct metric calls = {
    .name = "core_calls_in_flight",
    .help = "Calls to the core that are not yet answered, but for those of requests "
            "that wait for events.",
    .kind = METRIC_GAUGE,
    .cells = &call_cell};
static struct metric waiting = {.name = "waiting_requests",
                                .help = "HTTP requests that wait for events, and streams of them.",
                                .kind = METRIC_GAUGE,
                                .cells = &waiting_cell};
static struct metric memory = {.name = "held_memory_bytes",
                               .help = "Memory held for connections, requests, calls and answers.",
                               .kind = METRIC_GAUGE,
                               .cells = &memory_cell};
static struct metric memory_limit = {.name = "memory_limit_bytes",
                                     .help = "The most that held_memory_bytes may reach.",
                                     .kind = METRIC_GAUGE,
                                     .cells = &memory_limit_cell};
static struct metric refused = {.name = "requests_refused_total",
                                .help = "HTTP requests answered 503 for lack of memory.",
                                .kind = METRIC_COUNTER,
                                .cells = &refused_cell};
static struct metric closed = {.name = "slow_connections_closed_total",
                               .help =
                                   "HTTP connections closed because the peer was slow: late, or "
                                   "the slowest when memory was short.",
                               .kind = METRIC_COUNTER,
                               .rows = closed_labels,
                               .cells = closed_cells};
static struct metric *const LIST[] = {&requests, &duration, &in_flight, &connections,
                                      &calls,    &waiting,  &memory,    &memory_limit,
                                      &refused,  &closed,   NULL};
static struct metrics bridge_metrics = {.program = "triggers-bridge",
                                        .prefix = "triggers_bridge",
                                        .labels = "",
                                        .build = "version=\"" TRIGGERS_VERSION "\"",
                                        .list = LIST};

void bridge_metrics_init(void)
{
    for (size_t i = 1; i < STATUS_COUNT; i++) {
        snprintf(status_texts[i], sizeof(status_texts[i]), "status=\"%u\"", STATUSES[i - 1]);
        status_labels[i] = status_texts[i];
    }
}

void bridge_metrics_note_begun(void)
{
    metric_add(&in_flight, 0, 1);
}

static size_t status_number(unsigned status)
{
    for (size_t i = 1; i < STATUS_COUNT; i++)
        if (STATUSES[i - 1] == status)
            return i;
    return 0;
}

void bridge_metrics_note_ended(size_t route, unsigned status, int64_t took_us)
{
    CHECK(route < ROW_COUNT);
    metric_add(&requests, route * STATUS_COUNT + status_number(status), 1);
    if (took_us >= 0)
        metric_observe(&duration, route, took_us);
    metric_add(&in_flight, 0, -1);
}

void bridge_metrics_note_connection(bool opened)
{
    metric_add(&connections, 0, opened ? 1 : -1);
}

static void look(struct bridge *bridge)
{
    metric_set(&calls, 0, atomic_load(&bridge->calls));
    metric_set(&waiting, 0, atomic_load(&bridge->waiting));
    size_t ceiling = atomic_load(&bridge->memory.budget.ceiling);
    CHECK(ceiling <= bridge->memory.ceiling);
    size_t connected = bridge->memory.ceiling - ceiling;
    metric_set(&memory, 0, (int64_t)(atomic_load(&bridge->memory.budget.held) + connected));
    metric_set(&memory_limit, 0, (int64_t)bridge->memory.ceiling);
    metric_set(&refused, 0, (int64_t)atomic_load(&bridge->memory.refused));
    metric_set(&closed, 0, (int64_t)atomic_load(&bridge->connections.late));
    metric_set(&closed, 1, (int64_t)atomic_load(&bridge->connections.for_room));
}

void bridge_metrics_log(struct bridge *bridge)
{
    look(bridge);
    metrics_log(&bridge_metrics, bridge->settings.metrics_log);
}

/* ---- GET /metrics ---- */

/* `reply` is the core's, or NULL when it was not asked. The core is up when it answered at all. */
static void answer(struct request *request, const triggers_reply *reply, bool with_own)
{
    struct buffer text;
    request_init_text(request, &text, TEXT_CAP);
    look(request->bridge);
    if (with_own)
        metrics_write(&bridge_metrics, &text);
    if (reply) {
        buffer_append_format(&text,
                             "# HELP triggers_core_up Whether the core answered the bridge.\n"
                             "# TYPE triggers_core_up gauge\ntriggers_core_up %d\n",
                             reply->request_id[0] != '\0');
        buffer_append_text(&text, reply->stats);
    }
    request_answer(request, 200, &text);
    if (request->answer.status == 200)
        request->answer.content_type = CONTENT_TYPE;
}

bool bridge_metrics_show_start(struct request *request)
{
    request->charge.urgent = true;
    struct bridge *bridge = request->bridge;
    int guard = bridge->settings.metrics;
    bool open = guard_is_open(request, guard) ||
                (guard == GUARD_AUTO && !atomic_load(&bridge->keys_needed));
    triggers_call_options options;
    if (!guard_admit(request, guard))
        return true;
    if (open && atomic_load(&bridge->calls) >= bridge->settings.max_calls) {
        answer(request, NULL,
               true); /* the hour in which the bridge's own bridge_metrics are wanted */
        return true;
    }
    if (!core_call_begin(request, &options))
        return true;
    options.timeout_ms = CORE_TIMEOUT_MS;
    triggers_stats_async(request->bridge->client, &options, core_call_done, request);
    core_call_started(request);
    return false;
}

void bridge_metrics_show_finish(struct request *request)
{
    int guard = request->bridge->settings.metrics;
    enum guard_verdict verdict = guard_judge(request, guard);
    bool open = guard_is_open(request, guard);
    if (verdict == GUARD_REFUSES && !open)
        request_answer_error(request, &request->reply->error);
    else /* that the core is down everybody may know, or nobody would be told */
        answer(request, request->reply, open || verdict == GUARD_PASSES);
}
