/* The metrics of a program: counted in arrays of fixed size, written as Prometheus text (format
 * 0.0.4) or as a log line in CloudWatch's embedded metric format.
 *
 * Counting takes one relaxed addition (two in a histogram), no lock and no memory. A metric has a
 * series for each pair of a row and a column: rows are for labels with many values, such as
 * methods, columns for those with few, such as codes. A metric without rows has one row; the same
 * is true of columns. */
#ifndef TRIGGERS_BASE_METRICS_H
#define TRIGGERS_BASE_METRICS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

typedef atomic_int_fast64_t metric_cell;

struct metric {
    const char *name; /* comes after the program's prefix; ends with unit and kind, as is usual */
    const char *help; /* one line */
    enum metric_kind kind;
    double unit;             /* counts are multiplied by it when they are written; 0: not at all */
    const char *const *rows; /* labels such as `method="Check"`, ending with NULL; or NULL */
    const char *const *columns; /* the same */
    /* Held while rows are read whose labels change; NULL: they never do. A row whose label is empty
     * is left out. Whose row becomes another's sets its counts to 0. */
    pthread_mutex_t *rows_lock;
    bool logs_largest; /* a gauge of which log lines have the largest row in place of the sum */
    const int64_t
        *bounds; /* histogram: the largest counts of the buckets except the last, ascending */
    size_t bound_count; /* at most METRIC_MAX_BOUNDS */
    metric_cell *cells; /* one per series, or METRIC_HISTOGRAM_CELLS in a histogram; row by row */
};

#define METRIC_MAX_BOUNDS 16

/* Of one series: the buckets, the one above all bounds, and the sum. */
#define METRIC_HISTOGRAM_CELLS(bound_count) ((bound_count) + 2)

/* Buckets for durations, in microseconds. */
#define METRIC_DURATION_BOUNDS 16
extern const int64_t METRIC_DURATIONS_US[METRIC_DURATION_BOUNDS];

/* A gauge with this value is left out. */
#define METRIC_UNKNOWN INT64_MIN

/* Any thread. `series` is row * columns + column. */
static inline void metric_add(struct metric *metric, size_t series, int64_t count)
{
    atomic_fetch_add_explicit(&metric->cells[series], count, memory_order_relaxed);
}

static inline void metric_set(struct metric *metric, size_t series, int64_t count)
{
    atomic_store_explicit(&metric->cells[series], count, memory_order_relaxed);
}

/* The same for a histogram. */
void metric_observe(struct metric *metric, size_t series, int64_t count);

/* What one program shows: its own metrics, and those of its process and build. */
struct metrics {
    const char *program;        /* "triggersd"; the dimension in CloudWatch */
    const char *prefix;         /* "triggers_core" */
    const char *labels;         /* put on every series, as a row's; or "" */
    const char *build;          /* labels of the metric build_info */
    struct metric *const *list; /* ends with NULL */
    int64_t *logged;            /* counts at the last line of metrics_log; allocated there */
    int64_t next_line_ms;       /* its time (monotonic) */
};

/* Appends every metric with its help and type. Metrics with many series leave out those that never
 * counted. Any thread. */
void metrics_write(const struct metrics *metrics, struct buffer *text);

/* Writes one log line when the last one, or the first call, was `seconds` ago; 0 seconds: never. It
 * has the values of gauges, the increase of counters since the previous line, and for histograms
 * the median and the 99th percentile of that increase; rows are summed up. One thread. */
void metrics_log(struct metrics *metrics, long seconds);

#endif
