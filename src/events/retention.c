/* One thread, which waits most of the time, and one operation. */
#include "events/retention.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"

#define STEP_BLOCKS 4  /* of a step: 1,024 events */
#define PAUSE_FACTOR 9 /* a pause is so many times as long as the step before it */
#define MIN_PAUSE_MS 5
#define INTERVAL_MS 60000               /* between two looks when there was nothing more to do */
#define MIN_INTERVAL_MS 1000            /* the same when events are kept for seconds */
#define SWEEP_MS ((int64_t)3600 * 1000) /* between two sweeps when everything is kept */
#define DEADLINE_MS 10000
#define TELL_MS 60000 /* between two lines in the log */

struct retention {
    struct retention_config config;
    struct writer *writer;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the step is done, or the end has come */
    bool stopping;
    bool done; /* the step */
    /* The thread's. */
    struct write_op op;
    struct store_trim trim;
    bool swept;         /* a sweep has come to its end */
    int64_t removed[2]; /* acknowledged and pending ones, since the log said so */
    int64_t next_tell_ms;
};

static const char *const STATES[] = {"state=\"acknowledged\"", "state=\"pending\"", NULL};
static metric_cell removed_cells[2], first_cell = METRIC_UNKNOWN, time_cell = METRIC_UNKNOWN;
struct metric retention_removed = {.name = "events_removed_total",
                                   .help = "Events removed because of their age, by the status "
                                           "that they had.",
                                   .kind = METRIC_COUNTER,
                                   .columns = STATES,
                                   .cells = removed_cells};
struct metric retention_first_sequence = {
    .name = "log_first_sequence",
    .help = "The first sequence of the log from which on nothing was removed, as of the last look.",
    .kind = METRIC_GAUGE,
    .cells = &first_cell};
struct metric retention_last_time = {.name = "last_removal_timestamp_seconds",
                                     .help = "When this core last removed events because of their "
                                             "age; left out when it has not.",
                                     .kind = METRIC_GAUGE,
                                     .unit = 1e-6,
                                     .cells = &time_cell};

/* ---- one step ---- */

static void on_done(struct write_op *op)
{
    struct retention *retention = (struct retention *)((char *)op - offsetof(struct retention, op));
    pthread_mutex_lock(&retention->lock);
    retention->done = true;
    pthread_cond_broadcast(&retention->changed);
    pthread_mutex_unlock(&retention->lock);
}

static int64_t before(int64_t now_us, int64_t keep_us)
{
    return keep_us == 0 ? INT64_MIN : now_us - keep_us;
}

/* Has the writer carry it out; false when that failed. */
static bool carry_out_step(struct retention *retention)
{
    struct status status;
    int64_t now_us = clock_now_us();
    struct store_trim *trim = &retention->trim;
    trim->acknowledged_before_us = before(now_us, retention->config.keep_acknowledged_us);
    trim->pending_before_us = before(now_us, retention->config.keep_pending_us);
    trim->blocks = STEP_BLOCKS;
    retention->done = false;
    retention->op = (struct write_op){
        .op = {.scope = SCOPE_DEFAULT, .deadline_ms = clock_monotonic_ms() + DEADLINE_MS},
        .count = 1,
        .trim = trim,
        .done = on_done,
    };
    if (!writer_submit(retention->writer, &retention->op, &status))
        return false;
    pthread_mutex_lock(&retention->lock);
    while (!retention->done)
        wait_until(&retention->changed, &retention->lock, INT64_MAX);
    pthread_mutex_unlock(&retention->lock);
    return retention->op.op.status.code == STATUS_OK;
}

static void tell(struct retention *retention)
{
    int64_t now_ms = clock_monotonic_ms();
    if (retention->removed[0] + retention->removed[1] == 0 || now_ms < retention->next_tell_ms)
        return;
    log_info("removed old events", {"acknowledged", NULL, (double)retention->removed[0]},
             {"pending", NULL, (double)retention->removed[1]},
             {"first_sequence", NULL, (double)retention->trim.first});
    retention->removed[0] = retention->removed[1] = 0;
    retention->next_tell_ms = now_ms + TELL_MS;
}

static void note_step(struct retention *retention)
{
    const struct store_trim *trim = &retention->trim;
    int64_t removed[2] = {trim->acknowledged, trim->pending};
    for (size_t i = 0; i < 2; i++) {
        metric_add(&retention_removed, i, removed[i]);
        retention->removed[i] += removed[i];
    }
    metric_set(&retention_first_sequence, 0, trim->first);
    if (removed[0] + removed[1] > 0)
        metric_set(&retention_last_time, 0, clock_now_us());
    retention->swept = retention->swept || trim->swept_kind == 0;
    tell(retention);
}

/* ---- the thread ---- */

/* How long to wait when there is nothing more to do. */
static int64_t idle_ms(struct retention *retention)
{
    int64_t keep_ms = retention->config.keep_acknowledged_us / 1000;
    if (keep_ms == 0) {
        retention->swept = false; /* the next sweep begins after that */
        return SWEEP_MS;
    }
    int64_t pause_ms = keep_ms / 10 < INTERVAL_MS ? keep_ms / 10 : INTERVAL_MS;
    return pause_ms < MIN_INTERVAL_MS ? MIN_INTERVAL_MS : pause_ms;
}

/* Does a step and returns how long to wait until the next one. */
static int64_t step(struct retention *retention)
{
    if (!carry_out_step(retention))
        return MIN_INTERVAL_MS * 10;
    note_step(retention);
    if (!retention->trim.more && retention->swept)
        return idle_ms(retention);
    int64_t pause_ms = retention->op.took_us * PAUSE_FACTOR / 1000;
    return pause_ms < MIN_PAUSE_MS ? MIN_PAUSE_MS : pause_ms;
}

/* False when the end has come. */
static bool pause_for(struct retention *retention, int64_t pause_ms)
{
    int64_t until_ms = clock_monotonic_ms() + pause_ms;
    pthread_mutex_lock(&retention->lock);
    while (!retention->stopping && clock_monotonic_ms() < until_ms)
        wait_until(&retention->changed, &retention->lock, until_ms);
    bool goes_on = !retention->stopping;
    pthread_mutex_unlock(&retention->lock);
    return goes_on;
}

static void *retention_main(void *argument)
{
    struct retention *retention = argument;
    int64_t pause_ms = MIN_INTERVAL_MS;
    prctl(PR_SET_NAME, "retention");
    while (pause_for(retention, pause_ms))
        pause_ms = step(retention);
    return NULL;
}

struct retention *retention_open(struct writer *writer, const struct retention_config *config)
{
    CHECK(config->keep_pending_us == 0 ||
          (config->keep_acknowledged_us > 0 &&
           config->keep_pending_us >= config->keep_acknowledged_us));
    struct retention *retention = calloc(1, sizeof(*retention));
    if (!retention)
        return NULL;
    retention->config = *config;
    retention->writer = writer;
    pthread_mutex_init(&retention->lock, NULL);
    wait_init(&retention->changed);
    if (pthread_create(&retention->thread, NULL, retention_main, retention) == 0)
        return retention;
    pthread_cond_destroy(&retention->changed);
    pthread_mutex_destroy(&retention->lock);
    free(retention);
    return NULL;
}

void retention_close(struct retention *retention)
{
    if (!retention)
        return;
    pthread_mutex_lock(&retention->lock);
    retention->stopping = true;
    pthread_cond_broadcast(&retention->changed);
    pthread_mutex_unlock(&retention->lock);
    pthread_join(retention->thread, NULL);
    pthread_cond_destroy(&retention->changed);
    pthread_mutex_destroy(&retention->lock);
    free(retention);
}
