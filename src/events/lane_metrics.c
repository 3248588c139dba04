/* Metrics of lanes; each kind of lane has a cell or a histogram of its own. */
#include "events/lane_metrics.h"

#include "base/check.h"
#include "base/clock.h"

#define BATCH_BOUNDS 13
#define FAILURES (STORE_LOST - STORE_OK)

static const char *const LANE_LABELS[] = {[LANE_WRITES] = "lane=\"writes\"",
                                          [LANE_GETS] = "lane=\"gets\"",
                                          [LANE_LISTS] = "lane=\"lists\"",
                                          [LANE_KIND_COUNT] = NULL};
/* By enum store_result, from STORE_RETRY on; STORE_FATAL is not a result of an operation. */
static const char *const RESULT_LABELS[FAILURES + 1] = {
    "result=\"retry\"", "result=\"locked\"", "result=\"rejected\"", "result=\"unavailable\"",
    "result=\"lost\""};
static const int64_t BATCH_ITEMS[BATCH_BOUNDS] = {1,   2,   4,   8,    16,   32,  64,
                                                  128, 256, 512, 1024, 2048, 4096};
static metric_cell queue_cells[LANE_KIND_COUNT], session_cells[LANE_KIND_COUNT];
static metric_cell batch_cells[LANE_KIND_COUNT * METRIC_HISTOGRAM_CELLS(BATCH_BOUNDS)];
static metric_cell duration_cells[LANE_KIND_COUNT * METRIC_HISTOGRAM_CELLS(METRIC_DURATION_BOUNDS)];
static metric_cell error_cells[LANE_KIND_COUNT * FAILURES];

struct metric lane_queue_depth = {.name = "queue_depth",
                                  .help = "Operations queued or at the store, by lane.",
                                  .kind = METRIC_GAUGE,
                                  .columns = LANE_LABELS,
                                  .cells = queue_cells};
struct metric lane_batch_items = {.name = "batch_items",
                                  .help = "Events that a worker took at once, by lane; for writes, "
                                          "in one transaction unless the store refuses.",
                                  .kind = METRIC_HISTOGRAM,
                                  .columns = LANE_LABELS,
                                  .bounds = BATCH_ITEMS,
                                  .bound_count = BATCH_BOUNDS,
                                  .cells = batch_cells};
struct metric lane_sessions = {.name = "store_sessions",
                               .help = "Open sessions with the store, by lane; a lane with none "
                                       "cannot work.",
                               .kind = METRIC_GAUGE,
                               .columns = LANE_LABELS,
                               .cells = session_cells};
struct metric lane_store_duration = {.name = "store_operation_duration_seconds",
                                     .help = "Time that the store took for one operation, by lane.",
                                     .kind = METRIC_HISTOGRAM,
                                     .unit = 1e-6,
                                     .columns = LANE_LABELS,
                                     .bounds = METRIC_DURATIONS_US,
                                     .bound_count = METRIC_DURATION_BOUNDS,
                                     .cells = duration_cells};
struct metric lane_store_errors = {.name = "store_errors_total",
                                   .help = "Operations that the store did not carry out, by lane "
                                           "and result; most of them are tried again.",
                                   .kind = METRIC_COUNTER,
                                   .rows = LANE_LABELS,
                                   .columns = RESULT_LABELS,
                                   .cells = error_cells};

void lane_note_held(enum lane_kind kind, size_t count)
{
    metric_set(&lane_queue_depth, kind, (int64_t)count);
}

void lane_note_sessions(enum lane_kind kind, unsigned count)
{
    metric_set(&lane_sessions, kind, count);
}

void lane_note_batch(enum lane_kind kind, size_t items)
{
    CHECK(kind < LANE_KIND_COUNT && items > 0);
    metric_observe(&lane_batch_items, kind, (int64_t)items);
}

void lane_note_store(enum lane_kind kind, int64_t started_us, enum store_result result)
{
    CHECK(kind < LANE_KIND_COUNT && result <= STORE_LOST);
    metric_observe(&lane_store_duration, kind, clock_monotonic_us() - started_us);
    if (result != STORE_OK)
        metric_add(&lane_store_errors, kind * FAILURES + result - STORE_RETRY, 1);
}
