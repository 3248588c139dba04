#include "subscriptions/subscription_metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define LABEL "subscription=\"%s\""
#define LABEL_SIZE (sizeof(LABEL) + SUBSCRIPTION_NAME_MAX)

/* The others' is no valid name. */
static char texts[SUBSCRIPTION_SERIES][LABEL_SIZE];
static const char *labels[SUBSCRIPTION_SERIES + 2] = {
    [SUBSCRIPTION_OTHERS] = "subscription=\"(others)\"", [SUBSCRIPTION_OTHERS + 1] = NULL};
static bool asked_for[SUBSCRIPTION_SERIES]; /* since subscription_shown */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const OUTCOMES[] = {[SUBSCRIPTION_ACKNOWLEDGED] = "outcome=\"acknowledged\"",
                                       [SUBSCRIPTION_FAILED] = "outcome=\"failed\"",
                                       [SUBSCRIPTION_DEAD] = "outcome=\"dead_letter\"",
                                       [SUBSCRIPTION_OUTCOMES] = NULL};

static metric_cell backlog_cells[SUBSCRIPTION_SERIES + 1],
    outstanding_cells[SUBSCRIPTION_SERIES + 1], delayed_cells[SUBSCRIPTION_SERIES + 1],
    dead_cells[SUBSCRIPTION_SERIES + 1], age_cells[SUBSCRIPTION_SERIES + 1],
    delivery_cells[SUBSCRIPTION_SERIES + 1],
    outcome_cells[(SUBSCRIPTION_SERIES + 1) * SUBSCRIPTION_OUTCOMES], unlisted_cell;

struct metric subscription_backlog = {
    .name = "subscription_backlog_events",
    .help =
        "Events that the subscription is to give out for the first time; an estimate with a "
        "filter or by ordering key. This and the next ones are of the tenant default, and as of "
        "a look every 15 seconds.",
    .kind = METRIC_GAUGE,
    .rows = labels,
    .rows_lock = &lock,
    .cells = backlog_cells};
struct metric subscription_outstanding = {.name = "subscription_outstanding_events",
                                          .help = "Events that somebody has.",
                                          .kind = METRIC_GAUGE,
                                          .rows = labels,
                                          .rows_lock = &lock,
                                          .cells = outstanding_cells};
struct metric subscription_delayed = {
    .name = "subscription_delayed_events",
    .help = "Events that wait until they are given out again, or for their time to be given out "
            "at all.",
    .kind = METRIC_GAUGE,
    .rows = labels,
    .rows_lock = &lock,
    .cells = delayed_cells};
struct metric subscription_dead_letters = {.name = "subscription_dead_letters",
                                           .help = "Dead letters there are.",
                                           .kind = METRIC_GAUGE,
                                           .rows = labels,
                                           .rows_lock = &lock,
                                           .cells = dead_cells};
struct metric subscription_oldest_age = {
    .name = "subscription_oldest_age_seconds",
    .help =
        "Time since the subscription's oldest event was created, or due with a deliver_at, that "
        "is neither acknowledged nor a dead letter; 0 without one.",
    .kind = METRIC_GAUGE,
    .unit = 1e-6,
    .logs_largest = true,
    .rows = labels,
    .rows_lock = &lock,
    .cells = age_cells};
struct metric subscription_deliveries = {.name = "subscription_deliveries_total",
                                         .help =
                                             "Events that this core has given out, each time anew; "
                                             "other tenants' are among the (others).",
                                         .kind = METRIC_COUNTER,
                                         .rows = labels,
                                         .rows_lock = &lock,
                                         .cells = delivery_cells};
struct metric subscription_outcomes = {
    .name = "subscription_outcomes_total",
    .help = "What this core wrote of deliveries: acknowledged; failed, as the event was given back "
            "or the lease ended; or a dead letter, after the last failure.",
    .kind = METRIC_COUNTER,
    .rows = labels,
    .columns = OUTCOMES,
    .rows_lock = &lock,
    .cells = outcome_cells};
struct metric subscription_unlisted = {
    .name = "subscriptions_without_series",
    .help = "Subscriptions that have no series of their own, as there are too many.",
    .kind = METRIC_GAUGE,
    .cells = &unlisted_cell};

static struct metric *const GAUGES[] = {&subscription_backlog, &subscription_outstanding,
                                        &subscription_delayed, &subscription_dead_letters,
                                        &subscription_oldest_age};
#define GAUGE_COUNT (sizeof(GAUGES) / sizeof(GAUGES[0]))

static void hide_figures(size_t series)
{
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        metric_set(GAUGES[i], series, METRIC_UNKNOWN);
}

/* A row without a text is not in use. Lock held. */
static void begin_row(size_t series, const char *label)
{
    memcpy(texts[series], label, LABEL_SIZE);
    labels[series] = texts[series];
    hide_figures(series);
    metric_set(&subscription_deliveries, series, 0);
    for (size_t i = 0; i < SUBSCRIPTION_OUTCOMES; i++)
        metric_set(&subscription_outcomes, series * SUBSCRIPTION_OUTCOMES + i, 0);
}

/* Once. Lock held. */
static void begin(void)
{
    static const char none[LABEL_SIZE];
    if (labels[0])
        return;
    for (size_t i = 0; i < SUBSCRIPTION_SERIES; i++)
        begin_row(i, none);
    hide_figures(SUBSCRIPTION_OTHERS);
}

size_t subscription_series(const char *name)
{
    char label[LABEL_SIZE] = "";
    size_t series = 0, room = SUBSCRIPTION_OTHERS;
    snprintf(label, sizeof(label), LABEL, name);
    pthread_mutex_lock(&lock);
    begin();
    for (; series < SUBSCRIPTION_SERIES && strcmp(texts[series], label) != 0; series++)
        if (texts[series][0] == '\0' && room == SUBSCRIPTION_OTHERS)
            room = series;
    if (series == SUBSCRIPTION_SERIES && room < SUBSCRIPTION_SERIES)
        begin_row(room, label);
    if (series == SUBSCRIPTION_SERIES)
        series = room;
    if (series < SUBSCRIPTION_SERIES)
        asked_for[series] = true;
    pthread_mutex_unlock(&lock);
    return series;
}

void subscription_show(size_t series, const struct subscription_figures *figures)
{
    int64_t due_us = figures->oldest_due_us;
    int64_t age_us = due_us ? clock_now_us() - due_us : 0;
    if (series == SUBSCRIPTION_OTHERS)
        return;
    CHECK(series < SUBSCRIPTION_SERIES);
    metric_set(&subscription_backlog, series, figures->backlog);
    metric_set(&subscription_outstanding, series, (int64_t)figures->outstanding);
    metric_set(&subscription_delayed, series, (int64_t)figures->waiting + figures->delayed);
    metric_set(&subscription_dead_letters, series, figures->dead_letters);
    metric_set(&subscription_oldest_age, series, age_us > 0 ? age_us : 0);
}

void subscription_shown(size_t count, bool known)
{
    static const char none[LABEL_SIZE];
    size_t listed = 0;
    pthread_mutex_lock(&lock);
    begin();
    for (size_t i = 0; i < SUBSCRIPTION_SERIES; i++) {
        if (known && texts[i][0] && !asked_for[i])
            begin_row(i, none);
        if (!known)
            hide_figures(i);
        listed += texts[i][0] != '\0';
        asked_for[i] = false;
    }
    metric_set(&subscription_unlisted, 0,
               !known           ? METRIC_UNKNOWN
               : count > listed ? (int64_t)(count - listed)
                                : 0);
    pthread_mutex_unlock(&lock);
}
