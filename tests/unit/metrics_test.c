/* Counting, and both forms in which metrics are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "base/metrics.h"

#define ROWS 2
#define COLUMNS 2
#define BOUNDS 3
#define MANY 40

static const char *const METHODS[] = {"method=\"Get\"", "method=\"Put\"", NULL};
static const char *const CODES[] = {"code=\"OK\"", "code=\"LOST\"", NULL};
static const int64_t SIZES[BOUNDS] = {1, 10, 100};
static const char *many_labels[MANY + 1];

static metric_cell call_cells[ROWS * COLUMNS], depth_cell, many_cells[MANY * COLUMNS];
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *names[] = {"name=\"a\"", "name=\"b\"", "", NULL};
static metric_cell age_cells[3], backlog_cells[3], taken_cells[3];
static struct metric oldest = {.name = "age",
                               .help = "Age.",
                               .kind = METRIC_GAUGE,
                               .rows = names,
                               .rows_lock = &names_lock,
                               .logs_largest = true,
                               .cells = age_cells};
static struct metric backlog = {.name = "backlog",
                                .help = "Backlog.",
                                .kind = METRIC_GAUGE,
                                .rows = names,
                                .rows_lock = &names_lock,
                                .cells = backlog_cells};
static struct metric taken = {.name = "taken_total",
                              .help = "Taken.",
                              .kind = METRIC_COUNTER,
                              .rows = names,
                              .rows_lock = &names_lock,
                              .cells = taken_cells};
static metric_cell size_cells[ROWS * METRIC_HISTOGRAM_CELLS(BOUNDS)];
static struct metric calls = {.name = "calls_total",
                              .help = "Calls.",
                              .kind = METRIC_COUNTER,
                              .rows = METHODS,
                              .columns = CODES,
                              .cells = call_cells};
static struct metric depth = {.name = "depth_seconds",
                              .help = "Depth.",
                              .kind = METRIC_GAUGE,
                              .unit = 1e-6,
                              .cells = &depth_cell};
static struct metric sizes = {.name = "sizes",
                              .help = "Sizes.",
                              .kind = METRIC_HISTOGRAM,
                              .rows = METHODS,
                              .bounds = SIZES,
                              .bound_count = BOUNDS,
                              .cells = size_cells};
static struct metric many = {.name = "many_total",
                             .help = "Many.",
                             .kind = METRIC_COUNTER,
                             .rows = many_labels,
                             .columns = CODES,
                             .cells = many_cells};
static struct metric *const LIST[] = {&calls,  &depth,   &sizes, &many,
                                      &oldest, &backlog, &taken, NULL};

static int set_up(void **state)
{
    static struct metrics metrics;
    metrics = (struct metrics){.program = "tester",
                               .prefix = "test",
                               .labels = "",
                               .build = "version=\"1\"",
                               .list = LIST};
    memset(call_cells, 0, sizeof(call_cells));
    memset(size_cells, 0, sizeof(size_cells));
    memset(many_cells, 0, sizeof(many_cells));
    metric_set(&depth, 0, 0);
    for (size_t i = 0; i < MANY; i++)
        many_labels[i] = i == 7 ? "row=\"seven\"" : "row=\"other\"";
    *state = &metrics;
    return 0;
}

static int tear_down(void **state)
{
    free(((struct metrics *)*state)->logged);
    return 0;
}

static char *written(const struct metrics *metrics)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    metrics_write(metrics, &text);
    assert_false(text.failed);
    return text.data;
}

static void assert_has(const struct metrics *metrics, const char *part, bool wanted)
{
    char *text = written(metrics);
    if ((strstr(text, part) != NULL) != wanted)
        fail_msg("%s: %s", wanted ? "missing" : "unwanted", part);
    free(text);
}

static void every_series_counts_by_itself(void **state)
{
    metric_add(&calls, 1 * COLUMNS + 0, 2);
    metric_add(&calls, 1 * COLUMNS + 0, 3);
    metric_add(&calls, 0 * COLUMNS + 1, 1);
    assert_has(*state,
               "# HELP test_calls_total Calls.\n# TYPE test_calls_total counter\n"
               "test_calls_total{method=\"Get\",code=\"OK\"} 0\n"
               "test_calls_total{method=\"Get\",code=\"LOST\"} 1\n"
               "test_calls_total{method=\"Put\",code=\"OK\"} 5\n"
               "test_calls_total{method=\"Put\",code=\"LOST\"} 0\n",
               true);
}

static void labels_of_the_program_come_first(void **state)
{
    struct metrics *metrics = *state;
    metrics->labels = "core=\"a/1\"";
    assert_has(metrics, "test_calls_total{core=\"a/1\",method=\"Get\",code=\"OK\"} 0\n", true);
    assert_has(metrics, "test_depth_seconds{core=\"a/1\"} 0\n", true);
    assert_has(metrics, "test_build_info{core=\"a/1\",version=\"1\"} 1\n", true);
}

static void counts_are_written_in_base_units(void **state)
{
    metric_set(&depth, 0, 1500000);
    assert_has(*state, "test_depth_seconds 1.5\n", true);
    metric_set(&depth, 0, METRIC_UNKNOWN);
    assert_has(*state, "\ntest_depth_seconds ", false);
}

static void buckets_hold_all_up_to_their_bound(void **state)
{
    static const int64_t observed[] = {0, 1, 2, 10, 11, 100, 101, 5000};
    for (size_t i = 0; i < sizeof(observed) / sizeof(observed[0]); i++)
        metric_observe(&sizes, 1, observed[i]);
    assert_has(*state,
               "test_sizes_bucket{method=\"Put\",le=\"1\"} 2\n"
               "test_sizes_bucket{method=\"Put\",le=\"10\"} 4\n"
               "test_sizes_bucket{method=\"Put\",le=\"100\"} 6\n"
               "test_sizes_bucket{method=\"Put\",le=\"+Inf\"} 8\n"
               "test_sizes_sum{method=\"Put\"} 5225\n"
               "test_sizes_count{method=\"Put\"} 8\n",
               true);
    assert_has(*state, "test_sizes_count{method=\"Get\"} 0\n", true);
}

static void many_series_are_left_out_until_they_count(void **state)
{
    assert_has(*state, "\ntest_many_total{", false);
    metric_add(&many, 7 * COLUMNS + 1, 4);
    assert_has(*state, "\ntest_many_total{row=\"seven\",code=\"LOST\"} 4\n", true);
    assert_has(*state, "row=\"other\"", false);
}

static void the_process_is_described(void **state)
{
    char *text = written(*state);
    const char *resident = strstr(text, "\ntest_process_resident_memory_bytes ");
    const char *files = strstr(text, "\ntest_process_open_fds ");
    const char *start = strstr(text, "\ntest_process_start_time_seconds ");
    assert_true(resident && files && start);
    assert_true(strtod(strchr(resident, ' '), NULL) > 100000);
    assert_true(strtod(strchr(files, ' '), NULL) >= 3);
    double age = (double)time(NULL) - strtod(strchr(start, ' '), NULL);
    assert_true(age > -2 && age < 600);
    free(text);
}

#define THREADS 4
#define ROUNDS 50000

static void *count_up(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(&calls, 0, 1);
        metric_observe(&sizes, 0, 7);
    }
    return unused;
}

static void no_count_is_lost_between_threads(void **state)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_has(*state, "test_calls_total{method=\"Get\",code=\"OK\"} 200000\n", true);
    assert_has(*state, "test_sizes_sum{method=\"Get\"} 1400000\n", true);
}

/* ---- CloudWatch ---- */

/* What a due metrics_log writes to stdout. */
static char *logged(struct metrics *metrics)
{
    static char line[65536];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int kept = dup(STDOUT_FILENO);
    assert_true(kept >= 0 && dup2(ends[1], STDOUT_FILENO) >= 0);
    metrics->next_line_ms = 1;
    metrics_log(metrics, 60);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(ends[1]);
    ssize_t size = read(ends[0], line, sizeof(line) - 1);
    close(ends[0]);
    line[size > 0 ? size : 0] = '\0';
    return line;
}

static void assert_value(const char *line, const char *name, const char *value)
{
    char declared[96];
    char member[96];
    snprintf(declared, sizeof(declared), "{\"Name\":\"test_%s\",\"Unit\":", name);
    snprintf(member, sizeof(member), ",\"test_%s\":%s", name, value);
    const char *found = strstr(line, member);
    if (!strstr(line, declared) || !found || !strchr(",}", found[strlen(member)]))
        fail_msg("%s is not declared or not %s in %s", name, value, line);
}

static void a_line_tells_what_was_gained(void **state)
{
    struct metrics *metrics = *state;
    metric_add(&calls, 0 * COLUMNS + 0, 2);
    metric_add(&calls, 1 * COLUMNS + 0, 3);
    metric_set(&depth, 0, 2500000);
    for (int i = 0; i < 100; i++)
        metric_observe(&sizes, 0, 5);
    const char *line = logged(metrics);
    assert_memory_equal(line, "{\"_aws\":{\"Timestamp\":", 21);
    assert_non_null(strstr(line, "\"Dimensions\":[[\"program\"]]"));
    assert_non_null(strstr(line, "\"program\":\"tester\""));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_value(line, "calls_total.OK", "5");
    assert_null(strstr(line, "calls_total.LOST"));
    assert_value(line, "depth_seconds", "2.5");
    assert_value(line, "sizes_p50", "5.5");
    assert_value(line, "sizes_p99", "9.91");

    metric_add(&calls, 1 * COLUMNS + 0, 1);
    metric_add(&calls, 1 * COLUMNS + 1, 7);
    line = logged(metrics);
    assert_value(line, "calls_total.OK", "1");
    assert_value(line, "calls_total.LOST", "7");
    assert_value(line, "depth_seconds", "2.5");
    assert_null(strstr(line, "sizes_p50"));
}

static void an_unknown_gauge_is_not_logged(void **state)
{
    metric_set(&depth, 0, METRIC_UNKNOWN);
    assert_null(strstr(logged(*state), "depth_seconds"));
}

static void rows_come_and_go(void **state)
{
    struct metrics *metrics = *state;
    for (size_t i = 0; i < 3; i++) {
        metric_set(&oldest, i, i == 2 ? METRIC_UNKNOWN : (int64_t)i + 4);
        metric_set(&backlog, i, i == 2 ? METRIC_UNKNOWN : (int64_t)i + 4);
        metric_set(&taken, i, 10);
    }
    assert_has(metrics, "test_backlog{name=\"b\"} 5\n# ", true); /* without one for no name */
    assert_has(metrics, "test_taken_total{name=\"b\"} 10\n# ", true);
    const char *line = logged(metrics);
    assert_value(line, "age", "5");
    assert_value(line, "backlog", "9");
    assert_value(line, "taken_total", "30");
    metric_set(&taken, 1, 3); /* another's row now */
    assert_value(logged(metrics), "taken_total", "3");
}

static void lines_come_when_they_are_due(void **state)
{
    struct metrics *metrics = *state;
    metrics_log(metrics, 0);
    assert_int_equal(metrics->next_line_ms, 0);
    metrics_log(metrics, 60);
    int64_t due = metrics->next_line_ms;
    assert_true(due > 0);
    metrics_log(metrics, 60);
    assert_int_equal(metrics->next_line_ms, due);
    assert_null(metrics->logged);
}

#define METRICS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        METRICS_TEST(every_series_counts_by_itself),
        METRICS_TEST(rows_come_and_go),
        METRICS_TEST(labels_of_the_program_come_first),
        METRICS_TEST(counts_are_written_in_base_units),
        METRICS_TEST(buckets_hold_all_up_to_their_bound),
        METRICS_TEST(many_series_are_left_out_until_they_count),
        METRICS_TEST(the_process_is_described),
        METRICS_TEST(no_count_is_lost_between_threads),
        METRICS_TEST(a_line_tells_what_was_gained),
        METRICS_TEST(an_unknown_gauge_is_not_logged),
        METRICS_TEST(lines_come_when_they_are_due),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
