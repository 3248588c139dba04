/* Counting in histograms, what every process measures, and both forms of writing. */
#include "base/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#define SPARSE_LINES 64       /* a metric with more leaves out series that never counted */
#define LINE_CAP (256u << 10) /* CloudWatch takes no longer lines */
#define MAX_LOGGED 100        /* metrics of one line that CloudWatch takes */

const int64_t METRIC_DURATIONS_US[METRIC_DURATION_BOUNDS] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

void metric_observe(struct metric *metric, size_t series, int64_t count)
{
    CHECK(metric->kind == METRIC_HISTOGRAM && metric->bound_count > 0);
    size_t bucket = 0;
    while (bucket < metric->bound_count && count > metric->bounds[bucket])
        bucket++;
    metric_cell *cells = &metric->cells[series * METRIC_HISTOGRAM_CELLS(metric->bound_count)];
    atomic_fetch_add_explicit(&cells[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cells[metric->bound_count + 1], count, memory_order_relaxed);
}

/* ---- the process: read from /proc, limits and clocks ---- */

static metric_cell resident_cell, cpu_cell, files_cell, max_files_cell, start_cell, dropped_cell;

static struct metric process_resident = {.name = "process_resident_memory_bytes",
                                         .help = "Memory of the process that is in RAM.",
                                         .kind = METRIC_GAUGE,
                                         .cells = &resident_cell};
static struct metric process_cpu = {.name = "process_cpu_seconds_total",
                                    .help = "Processor time used, of user and system.",
                                    .kind = METRIC_COUNTER,
                                    .unit = 1e-6,
                                    .cells = &cpu_cell};
static struct metric process_files = {.name = "process_open_fds",
                                      .help = "Open file descriptors.",
                                      .kind = METRIC_GAUGE,
                                      .cells = &files_cell};
static struct metric process_max_files = {.name = "process_max_fds",
                                          .help = "The most file descriptors that may be open.",
                                          .kind = METRIC_GAUGE,
                                          .cells = &max_files_cell};
static struct metric process_start = {.name = "process_start_time_seconds",
                                      .help = "When the process started, in seconds since 1970.",
                                      .kind = METRIC_GAUGE,
                                      .unit = 1e-6,
                                      .cells = &start_cell};
static struct metric log_dropped = {.name = "log_lines_dropped_total",
                                    .help =
                                        "Log lines dropped because stdout took them too slowly.",
                                    .kind = METRIC_COUNTER,
                                    .cells = &dropped_cell};
static struct metric *const PROCESS_METRICS[] = {
    &process_resident, &process_cpu, &process_files, &process_max_files, &process_start,
    &log_dropped,      NULL};

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return METRIC_UNKNOWN;
    int found = fscanf(file, "%*d %lld", &pages);
    fclose(file);
    return found == 1 ? pages * sysconf(_SC_PAGESIZE) : METRIC_UNKNOWN;
}

static int64_t count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return METRIC_UNKNOWN;
    int64_t count = -3; /* ".", ".." and the folder itself */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static int64_t cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* Field 22 of the process's line is its start, in ticks since the machine's start. */
static int64_t start_us(void)
{
    char line[1024] = "";
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return METRIC_UNKNOWN;
    bool read = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    const char *field = read ? strrchr(line, ')') : NULL; /* after the name, which is field 2 */
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    struct timespec up;
    if (!field || sscanf(field, "%llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return METRIC_UNKNOWN;
    int64_t age_us = (int64_t)up.tv_sec * 1000000 + up.tv_nsec / 1000 -
                     (int64_t)(ticks * 1000000 / (unsigned long long)sysconf(_SC_CLK_TCK));
    return clock_now_us() - age_us;
}

/* Its metrics as they are now; the list ends with NULL. Any thread. */
static struct metric *const *process_metrics(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    metric_set(&process_resident, 0, resident_bytes());
    metric_set(&process_cpu, 0, cpu_us());
    metric_set(&process_files, 0, count_files());
    metric_set(&process_max_files, 0, (int64_t)limit.rlim_cur);
    metric_set(&log_dropped, 0, (int64_t)log_dropped_lines());
    if (atomic_load(&start_cell) == 0) /* once: later clock steps would move it */
        metric_set(&process_start, 0, start_us());
    return PROCESS_METRICS;
}

/* ---- what both forms need ---- */

static const char *const ONE_LABEL[] = {"", NULL};

static const char *const *labels_or_one(const char *const *labels)
{
    return labels ? labels : ONE_LABEL;
}

static size_t count_labels(const char *const *labels)
{
    size_t count = 0;
    while (labels_or_one(labels)[count])
        count++;
    return count;
}

static size_t cells_of_series(const struct metric *metric)
{
    return metric->kind == METRIC_HISTOGRAM ? METRIC_HISTOGRAM_CELLS(metric->bound_count) : 1;
}

static void lock_rows(const struct metric *metric)
{
    if (metric->rows_lock)
        pthread_mutex_lock(metric->rows_lock);
}

static void unlock_rows(const struct metric *metric)
{
    if (metric->rows_lock)
        pthread_mutex_unlock(metric->rows_lock);
}

static int64_t read_cell(const struct metric *metric, size_t cell)
{
    CHECK(metric->cells);
    return atomic_load_explicit(&metric->cells[cell], memory_order_relaxed);
}

static double in_unit(const struct metric *metric, double count)
{
    return metric->unit == 0 ? count : count * metric->unit;
}

/* ---- Prometheus ---- */

/* A line of text: prefix_name<suffix>{labels that are not empty} value */
static void write_sample(const char *const name[3], const char *const labels[4], double value,
                         struct buffer *text)
{
    const char *before = "{";
    buffer_append_format(text, "%s_%s%s", name[0], name[1], name[2]);
    for (size_t i = 0; i < 4; i++) {
        if (!labels[i][0])
            continue;
        buffer_append_text(text, before);
        buffer_append_text(text, labels[i]);
        before = ",";
    }
    buffer_append_format(text, "%s %.15g\n", before[0] == ',' ? "}" : "", value);
}

/* `name` lacks its suffix, `labels` the bound of a bucket; both are filled in. */
static void write_histogram(const struct metric *metric, size_t first_cell, const char *name[3],
                            const char *labels[4], struct buffer *text)
{
    double count = 0;
    char bound[32];
    name[2] = "_bucket";
    labels[3] = bound;
    for (size_t i = 0; i < metric->bound_count; i++) {
        count += (double)read_cell(metric, first_cell + i);
        snprintf(bound, sizeof(bound), "le=\"%.15g\"", in_unit(metric, (double)metric->bounds[i]));
        write_sample(name, labels, count, text);
    }
    count += (double)read_cell(metric, first_cell + metric->bound_count);
    labels[3] = "le=\"+Inf\"";
    write_sample(name, labels, count, text);
    name[2] = "_sum";
    labels[3] = "";
    double sum = (double)read_cell(metric, first_cell + metric->bound_count + 1);
    write_sample(name, labels, in_unit(metric, sum), text);
    name[2] = "_count";
    write_sample(name, labels, count, text);
}

static bool has_counted(const struct metric *metric, size_t first_cell)
{
    for (size_t i = 0; i < cells_of_series(metric); i++)
        if (read_cell(metric, first_cell + i) != 0)
            return true;
    return false;
}

static void write_series(const char *prefix, const struct metric *metric, size_t first_cell,
                         const char *labels[4], struct buffer *text)
{
    const char *name[3] = {prefix, metric->name, ""};
    int64_t count = read_cell(metric, first_cell);
    if (metric->kind == METRIC_HISTOGRAM)
        write_histogram(metric, first_cell, name, labels, text);
    else if (count != METRIC_UNKNOWN)
        write_sample(name, labels, in_unit(metric, (double)count), text);
}

static void write_head(const struct metrics *metrics, const char *name, const char *help,
                       enum metric_kind kind, struct buffer *text)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    buffer_append_format(text, "# HELP %s_%s %s\n# TYPE %s_%s %s\n", metrics->prefix, name, help,
                         metrics->prefix, name, kinds[kind]);
}

static void write_metric(const struct metrics *metrics, const struct metric *metric,
                         struct buffer *text)
{
    const char *const *rows = labels_or_one(metric->rows);
    const char *const *columns = labels_or_one(metric->columns);
    size_t cells = cells_of_series(metric);
    bool sparse = metric->kind != METRIC_GAUGE &&
                  count_labels(rows) * count_labels(columns) * cells > SPARSE_LINES;
    size_t cell = 0;
    write_head(metrics, metric->name, metric->help, metric->kind, text);
    CHECK(metric->kind <= METRIC_HISTOGRAM && metric->name && metric->help);
    for (const char *const *row = rows; *row; row++) {
        for (const char *const *column = columns; *column; column++, cell += cells) {
            const char *labels[4] = {metrics->labels, *row, *column, ""};
            if (metric->rows_lock && !(*row)[0])
                continue;
            if (!sparse || has_counted(metric, cell))
                write_series(metrics->prefix, metric, cell, labels, text);
        }
    }
}

static void write_list(const struct metrics *metrics, struct metric *const *list,
                       struct buffer *text)
{
    for (; *list; list++) {
        lock_rows(*list);
        write_metric(metrics, *list, text);
        unlock_rows(*list);
    }
}

void metrics_write(const struct metrics *metrics, struct buffer *text)
{
    const char *name[3] = {metrics->prefix, "build_info", ""};
    const char *labels[4] = {metrics->labels, metrics->build, "", ""};
    write_list(metrics, metrics->list, text);
    write_list(metrics, process_metrics(), text);
    write_head(metrics, name[1], "Always 1; the labels say what is running.", METRIC_GAUGE, text);
    write_sample(name, labels, 1, text);
}

/* ---- CloudWatch ---- */

/* A line being built: the declarations of metrics, and their values. */
struct line {
    const char *prefix;
    struct buffer declared;
    struct buffer values;
    size_t count;
};

static const char *unit_name(const char *name)
{
    return strstr(name, "_seconds") ? "Seconds" : strstr(name, "_bytes") ? "Bytes" : "Count";
}

/* `column` is a label such as `code="OK"`; its value is appended to the name. */
static void log_value(struct line *line, const char *name, const char *column, const char *suffix,
                      double value)
{
    const char *start = strchr(column, '"');
    size_t length = start ? strcspn(start + 1, "\"") : 0;
    char full[160];
    snprintf(full, sizeof(full), "%s_%s%s%s%.*s", line->prefix, name, suffix, start ? "." : "",
             (int)length, start ? start + 1 : "");
    if (++line->count > MAX_LOGGED)
        return;
    buffer_append_format(&line->declared, "%s{\"Name\":\"%s\",\"Unit\":\"%s\"}",
                         line->count > 1 ? "," : "", full, unit_name(name));
    buffer_append_format(&line->values, ",\"%s\":%.15g", full, value);
}

/* A quantile as Prometheus's histogram_quantile estimates it: evenly spread within its bucket. */
static double quantile(const struct metric *metric, const int64_t *gained, int64_t total, double q)
{
    double rank = q * (double)total;
    double below = 0;
    for (size_t i = 0; i < metric->bound_count; i++) {
        double start = i > 0 ? (double)metric->bounds[i - 1] : 0;
        double there = (double)gained[i];
        if (there > 0 && below + there >= rank)
            return start + ((double)metric->bounds[i] - start) * (rank - below) / there;
        below += there;
    }
    return (double)metric->bounds[metric->bound_count - 1];
}

static void log_histogram(struct line *line, const struct metric *metric, const char *column,
                          const int64_t *gained)
{
    int64_t total = 0;
    for (size_t i = 0; i <= metric->bound_count; i++)
        total += gained[i];
    if (total == 0)
        return;
    double median = quantile(metric, gained, total, 0.5);
    double high = quantile(metric, gained, total, 0.99);
    log_value(line, metric->name, column, "_p50", in_unit(metric, median));
    log_value(line, metric->name, column, "_p99", in_unit(metric, high));
}

/* A count that is less than before is of another row, and has begun at 0. */
static int64_t add_up(const struct metric *metric, int64_t sum, int64_t now, int64_t seen)
{
    if (metric->kind != METRIC_GAUGE)
        return sum + (now >= seen ? now - seen : now);
    if (now == METRIC_UNKNOWN)
        return sum;
    if (metric->logs_largest)
        return now > sum ? now : sum;
    return sum + now;
}

/* One column, with its rows summed up; `seen` has their cells as of the last time. */
static void log_column(struct line *line, const struct metric *metric, size_t column,
                       const char *label, int64_t *seen)
{
    size_t cells = cells_of_series(metric);
    size_t columns = count_labels(metric->columns);
    size_t rows = count_labels(metric->rows);
    int64_t sums[METRIC_HISTOGRAM_CELLS(METRIC_MAX_BOUNDS)] = {0};
    CHECK(cells <= METRIC_HISTOGRAM_CELLS(METRIC_MAX_BOUNDS));
    bool known = false; /* whether there is anything to log */
    for (size_t row = 0; row < rows; row++) {
        size_t first = (row * columns + column) * cells;
        for (size_t i = first; i < first + cells; i++) {
            int64_t now = read_cell(metric, i);
            known = known || now != (metric->kind == METRIC_GAUGE ? METRIC_UNKNOWN : 0);
            sums[i - first] = add_up(metric, sums[i - first], now, seen[i]);
            seen[i] = now;
        }
    }
    if (metric->kind == METRIC_HISTOGRAM)
        log_histogram(line, metric, label, sums);
    else if (known)
        log_value(line, metric->name, label, "", in_unit(metric, (double)sums[0]));
}

static size_t count_cells(const struct metric *metric)
{
    return count_labels(metric->rows) * count_labels(metric->columns) * cells_of_series(metric);
}

static size_t count_all_cells(struct metric *const *list)
{
    size_t count = 0;
    for (; *list; list++)
        count += count_cells(*list);
    return count;
}

static int64_t *log_list(struct line *line, struct metric *const *list, int64_t *seen)
{
    for (; *list; list++) {
        const char *const *columns = labels_or_one((*list)->columns);
        lock_rows(*list);
        for (size_t column = 0; columns[column]; column++)
            log_column(line, *list, column, columns[column], seen);
        unlock_rows(*list);
        seen += count_cells(*list);
    }
    return seen;
}

static void write_line(struct metrics *metrics)
{
    struct metric *const *process = process_metrics();
    size_t cells = count_all_cells(metrics->list) + count_all_cells(process);
    if (!metrics->logged)
        metrics->logged = calloc(cells + 1, sizeof(*metrics->logged));
    if (!metrics->logged)
        return;
    struct line line = {.prefix = metrics->prefix};
    struct buffer *text = &line.declared;
    buffer_init(text, LINE_CAP);
    buffer_init(&line.values, LINE_CAP);
    buffer_append_format(text,
                         "{\"_aws\":{\"Timestamp\":%lld,\"CloudWatchMetrics\":[{\"Namespace\":"
                         "\"triggers\",\"Dimensions\":[[\"program\"]],\"Metrics\":[",
                         (long long)(clock_now_us() / 1000));
    const int64_t *end = log_list(&line, process, log_list(&line, metrics->list, metrics->logged));
    CHECK(end == metrics->logged + cells);
    buffer_append_format(text, "]}]},\"program\":\"%s\"", metrics->program);
    buffer_append(text, line.values.data, line.values.size);
    buffer_append_text(text, "}\n");
    if (!text->failed && !line.values.failed)
        log_write_line(text->data, text->size);
    buffer_fini(text);
    buffer_fini(&line.values);
}

void metrics_log(struct metrics *metrics, long seconds)
{
    int64_t now_ms = clock_monotonic_ms();
    if (seconds == 0 || now_ms < metrics->next_line_ms)
        return;
    if (metrics->next_line_ms > 0)
        write_line(metrics);
    metrics->next_line_ms = now_ms + seconds * 1000;
}
