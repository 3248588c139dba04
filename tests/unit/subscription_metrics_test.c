/* Which subscriptions have series, and what is shown of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "subscriptions/subscription_metrics.h"

static struct metric *const LIST[] = {&subscription_backlog, &subscription_oldest_age,
                                      &subscription_deliveries, &subscription_unlisted, NULL};
static const struct metrics METRICS = {
    .program = "tester", .prefix = "t", .labels = "", .build = "version=\"1\"", .list = LIST};

static void assert_shows(const char *line, bool wanted)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    metrics_write(&METRICS, &text);
    assert_false(text.failed);
    if ((strstr(text.data, line) != NULL) != wanted)
        fail_msg("%s: %s in %s", wanted ? "missing" : "unwanted", line, text.data);
    buffer_fini(&text);
}

/* All that there were go. */
static int forget(void **state)
{
    (void)state;
    subscription_shown(0, true);
    subscription_shown(0, true);
    return 0;
}

static void each_has_a_series_with_its_figures(void **state)
{
    (void)state;
    size_t audit = subscription_series("audit"), billing = subscription_series("billing");
    assert_int_not_equal(audit, billing);
    assert_int_equal(subscription_series("audit"), audit);
    assert_shows("t_subscription_backlog_events{subscription=\"audit\"}",
                 false); /* not known yet */
    subscription_show(audit, &(struct subscription_figures){0});
    subscription_show(billing, &(struct subscription_figures){
                                   .backlog = 7, .oldest_due_us = clock_now_us() + 3600000000});
    metric_add(&subscription_deliveries, billing, 3);
    subscription_shown(2, true);
    assert_shows("t_subscription_backlog_events{subscription=\"audit\"} 0\n", true);
    assert_shows("t_subscription_backlog_events{subscription=\"billing\"} 7\n", true);
    assert_shows("t_subscription_oldest_age_seconds{subscription=\"billing\"} 0\n", true);
    assert_shows("t_subscription_deliveries_total{subscription=\"billing\"} 3\n", true);
    assert_shows("t_subscriptions_without_series 0\n", true);
}

static void figures_are_left_out_while_they_are_not_known(void **state)
{
    (void)state;
    size_t billing = subscription_series("billing");
    subscription_show(billing, &(struct subscription_figures){.backlog = 7});
    metric_add(&subscription_deliveries, billing, 3);
    subscription_shown(0, false);
    assert_shows("t_subscription_backlog_events{", false);
    assert_shows("\nt_subscriptions_without_series ", false);
    assert_shows("t_subscription_deliveries_total{subscription=\"billing\"} 3\n", true);
}

static void a_series_goes_with_its_subscription(void **state)
{
    (void)state;
    size_t first = subscription_series("first");
    metric_add(&subscription_deliveries, first, 3);
    subscription_show(first, &(struct subscription_figures){.backlog = 7});
    subscription_shown(1, true);
    assert_shows("subscription=\"first\"", true);
    size_t second = subscription_series("second");
    subscription_shown(1, true);
    assert_shows("subscription=\"first\"", false);
    assert_int_equal(subscription_series("third"), first); /* in its place, from nothing */
    metric_add(&subscription_deliveries, first, 1);
    assert_int_equal(subscription_series("second"), second);
    subscription_shown(2, true);
    assert_shows("t_subscription_deliveries_total{subscription=\"third\"} 1\n", true);
    assert_shows("t_subscription_backlog_events{subscription=\"third\"}", false);
}

static void those_beyond_the_last_series_are_counted_together(void **state)
{
    (void)state;
    for (int i = 0; i < SUBSCRIPTION_SERIES + 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%d", i);
        size_t series = subscription_series(name);
        assert_int_equal(series == SUBSCRIPTION_OTHERS, i >= SUBSCRIPTION_SERIES);
        subscription_show(series, &(struct subscription_figures){.backlog = i});
        metric_add(&subscription_deliveries, series, 1);
    }
    subscription_shown(SUBSCRIPTION_SERIES + 5, true);
    assert_shows("t_subscription_backlog_events{subscription=\"s99\"} 99\n", true);
    assert_shows("subscription=\"s100\"", false);
    assert_shows("t_subscription_deliveries_total{subscription=\"(others)\"} 5\n", true);
    assert_shows("t_subscription_backlog_events{subscription=\"(others)\"}", false);
    assert_shows("t_subscriptions_without_series 5\n", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_has_a_series_with_its_figures, forget),
        cmocka_unit_test_setup(figures_are_left_out_while_they_are_not_known, forget),
        cmocka_unit_test_setup(a_series_goes_with_its_subscription, forget),
        cmocka_unit_test_setup(those_beyond_the_last_series_are_counted_together, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
