/* One thread, which waits most of the time, and one operation at a time: the tenants that have
 * something to do take turns in the order of their numbers. */
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
#define FAILED_PAUSE_MS 10000
#define INTERVAL_MS 60000    /* between two looks at a tenant when there was nothing more to do */
#define MIN_INTERVAL_MS 1000 /* the same when events are kept for seconds */
#define SHARE_MS 50          /* the same for each tenant there is: at most 20 such looks a second */
#define FOLLOW_MS 1000       /* how soon it sees that tenants have changed, when nothing is due */
#define SWEEP_MS ((int64_t)3600 * 1000) /* between two sweeps when everything is kept */
#define DEADLINE_MS 10000
#define TELL_MS 60000 /* between two lines in the log */
/* After a tenant is deleted, calls that had begun may still write; none lasts longer. */
#define LAST_WRITES_MS 60000

/* What is kept of a tenant, and for how long. */
struct kept {
    struct tenant tenant; /* as of the last time that tenants were followed */
    int64_t next_ms;      /* monotonic; when it has a turn again */
    int32_t swept_kind;   /* how far its sweep has come, see struct store_trim */
    int64_t swept_block;
    bool swept;          /* a sweep has come to its end */
    int64_t deleting_ms; /* monotonic; since when it was seen to be deleted */
    bool removed;        /* nothing is left of it */
};

struct retention {
    struct tenants *tenants;
    struct writer *writer;
    struct asks *asks;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the step is done, or the end has come */
    bool stopping;
    bool done; /* the step */
    /* The thread's. */
    struct kept *list; /* by number */
    size_t count;
    size_t next; /* whose turn it is */
    struct write_op op;
    struct store_trim trim;
    struct removal_op {
        struct ask_op op; /* first */
        struct retention *retention;
        bool more;
        int64_t events, took_us;
    } removal;
    int64_t removed[2]; /* acknowledged and pending ones, since the log said so */
    int64_t first;      /* of tenant 0 */
    int64_t next_tell_ms;
};

static const char *const STATES[] = {"state=\"acknowledged\"", "state=\"pending\"", NULL};
static metric_cell removed_cells[2], first_cell = METRIC_UNKNOWN, time_cell = METRIC_UNKNOWN;
struct metric retention_removed = {.name = "events_removed_total",
                                   .help =
                                       "Events removed because of their age, of all tenants, by "
                                       "the status that they had.",
                                   .kind = METRIC_COUNTER,
                                   .columns = STATES,
                                   .cells = removed_cells};
struct metric retention_first_sequence = {
    .name = "log_first_sequence",
    .help = "The first sequence of the log from which on nothing was removed, as of the last look; "
            "of the tenant default.",
    .kind = METRIC_GAUGE,
    .cells = &first_cell};
struct metric retention_last_time = {.name = "last_removal_timestamp_seconds",
                                     .help = "When this core last removed events because of their "
                                             "age; left out when it has not.",
                                     .kind = METRIC_GAUGE,
                                     .unit = 1e-6,
                                     .cells = &time_cell};

/* ---- one operation ---- */

static void note_done(struct retention *retention)
{
    pthread_mutex_lock(&retention->lock);
    retention->done = true;
    pthread_cond_broadcast(&retention->changed);
    pthread_mutex_unlock(&retention->lock);
}

static void await_done(struct retention *retention)
{
    pthread_mutex_lock(&retention->lock);
    while (!retention->done)
        wait_until(&retention->changed, &retention->lock, INT64_MAX);
    pthread_mutex_unlock(&retention->lock);
}

static struct op own_op(const struct kept *kept)
{
    return (struct op){.scope = {kept->tenant.number, UINT64_MAX},
                       .deadline_ms = clock_monotonic_ms() + DEADLINE_MS};
}

/* How long to wait after a step that took so long. */
static int64_t pause_after(int64_t took_us)
{
    int64_t pause_ms = took_us * PAUSE_FACTOR / 1000;
    return pause_ms < MIN_PAUSE_MS ? MIN_PAUSE_MS : pause_ms;
}

/* ---- old events ---- */

static void on_trimmed(struct write_op *op)
{
    note_done((struct retention *)((char *)op - offsetof(struct retention, op)));
}

static int64_t before(int64_t now_us, int64_t keep_us)
{
    return keep_us == 0 ? INT64_MIN : now_us - keep_us;
}

/* Has the writer carry it out; false when that failed. */
static bool trim(struct retention *retention, const struct kept *kept)
{
    struct status status;
    int64_t now_us = clock_now_us();
    retention->trim = (struct store_trim){
        .acknowledged_before_us = before(now_us, kept->tenant.keep_acknowledged_us),
        .pending_before_us = before(now_us, kept->tenant.keep_pending_us),
        .blocks = STEP_BLOCKS,
        .swept_kind = kept->swept_kind,
        .swept_block = kept->swept_block,
    };
    retention->done = false;
    retention->op = (struct write_op){
        .op = own_op(kept), .count = 1, .trim = &retention->trim, .done = on_trimmed};
    if (!writer_submit(retention->writer, &retention->op, &status))
        return false;
    await_done(retention);
    return retention->op.op.status.code == STATUS_OK;
}

static void tell(struct retention *retention)
{
    int64_t now_ms = clock_monotonic_ms();
    if (retention->removed[0] + retention->removed[1] == 0 || now_ms < retention->next_tell_ms)
        return;
    log_info("removed old events", {"acknowledged", NULL, (double)retention->removed[0]},
             {"pending", NULL, (double)retention->removed[1]},
             {"first_sequence", NULL, (double)retention->first});
    retention->removed[0] = retention->removed[1] = 0;
    retention->next_tell_ms = now_ms + TELL_MS;
}

static void note_trim(struct retention *retention, struct kept *kept)
{
    const struct store_trim *trimmed = &retention->trim;
    int64_t removed[2] = {trimmed->acknowledged, trimmed->pending};
    for (size_t i = 0; i < 2; i++) {
        metric_add(&retention_removed, i, removed[i]);
        retention->removed[i] += removed[i];
    }
    if (kept->tenant.number == 0) {
        retention->first = trimmed->first;
        metric_set(&retention_first_sequence, 0, trimmed->first);
    }
    if (removed[0] + removed[1] > 0)
        metric_set(&retention_last_time, 0, clock_now_us());
    kept->swept_kind = trimmed->swept_kind;
    kept->swept_block = trimmed->swept_block;
    kept->swept = kept->swept || trimmed->swept_kind == 0;
    tell(retention);
}

/* How long a tenant waits when there is nothing more to do for it. */
static int64_t idle_ms(const struct retention *retention, struct kept *kept)
{
    int64_t keep_ms = kept->tenant.keep_acknowledged_us / 1000;
    if (kept->tenant.keep_acknowledged_us == 0) {
        kept->swept = false; /* the next sweep begins after that */
        return SWEEP_MS;
    }
    int64_t share_ms = (int64_t)retention->count * SHARE_MS;
    int64_t least_ms = share_ms < MIN_INTERVAL_MS ? MIN_INTERVAL_MS : share_ms;
    int64_t pause_ms = keep_ms / 10 < INTERVAL_MS ? keep_ms / 10 : INTERVAL_MS;
    return pause_ms < least_ms ? least_ms : pause_ms;
}

/* A step for one tenant; returns how long to wait until the next one's. */
static int64_t trim_step(struct retention *retention, struct kept *kept)
{
    if (!trim(retention, kept))
        return FAILED_PAUSE_MS;
    note_trim(retention, kept);
    bool idle = !retention->trim.more && kept->swept;
    kept->next_ms = clock_monotonic_ms() + (idle ? idle_ms(retention, kept) : 0);
    return pause_after(retention->op.took_us);
}

/* ---- all that a deleted tenant has ---- */

static enum store_result run_removal(struct ask_op *op, struct store_session *session,
                                     struct status *status)
{
    struct removal_op *removal = (struct removal_op *)op;
    int64_t started_us = clock_monotonic_us();
    enum store_result result = session->store->driver->tenant_remove(
        session, op->op.scope, &removal->more, &removal->events, status);
    removal->took_us = clock_monotonic_us() - started_us;
    return result;
}

static void on_removed(struct op *op)
{
    note_done(((struct removal_op *)op)->retention);
}

/* Has a worker of the lane carry it out; false when that failed. */
static bool remove_some(struct retention *retention, const struct kept *kept)
{
    struct status status;
    retention->done = false;
    retention->removal =
        (struct removal_op){.op = {.op = own_op(kept), .run = run_removal}, .retention = retention};
    retention->removal.op.op.done = on_removed;
    retention->removal.op.op.bytes = sizeof(retention->removal);
    if (!asks_submit(retention->asks, &retention->removal.op, &status))
        return false;
    await_done(retention);
    return retention->removal.op.op.status.code == STATUS_OK;
}

static int64_t removal_step(struct retention *retention, struct kept *kept)
{
    if (!remove_some(retention, kept))
        return FAILED_PAUSE_MS;
    const struct removal_op *removal = &retention->removal;
    int64_t now_ms = clock_monotonic_ms(), last_ms = kept->deleting_ms + LAST_WRITES_MS;
    bool was_removed = kept->removed;
    kept->removed = was_removed || (!removal->more && now_ms >= last_ms);
    if (!removal->more)
        kept->next_ms = now_ms >= last_ms ? now_ms + INTERVAL_MS : last_ms;
    tenants_note_removal(retention->tenants, kept->tenant.number, removal->events, kept->removed);
    if (kept->removed && !was_removed)
        log_info("removed all that a deleted tenant had",
                 {"tenant", NULL, (double)kept->tenant.number});
    return pause_after(removal->took_us);
}

/* ---- turns ---- */

/* What was known of the tenant; `list` is in the order of the numbers, and `at` the first that may
 * be its. */
static struct kept keep_on(const struct kept *list, size_t count, size_t *at,
                           const struct tenant *tenant)
{
    struct kept kept = {.tenant = {.number = -1}};
    while (*at < count && list[*at].tenant.number < tenant->number)
        (*at)++;
    if (*at < count && list[*at].tenant.number == tenant->number)
        kept = list[*at];
    if (kept.tenant.deleting != tenant->deleting ||
        kept.tenant.keep_acknowledged_us != tenant->keep_acknowledged_us ||
        kept.tenant.keep_pending_us != tenant->keep_pending_us)
        kept.next_ms = 0;
    if (tenant->deleting && !kept.tenant.deleting)
        kept.deleting_ms = clock_monotonic_ms();
    kept.tenant = *tenant;
    return kept;
}

/* Takes over which tenants there are now. Without memory, that is as before. */
static void follow(struct retention *retention)
{
    size_t room = tenants_count(retention->tenants), count = 0, at = 0;
    struct tenant tenant = {.number = -1};
    struct kept *list = calloc(room, sizeof(*list));
    while (list && count < room && tenants_next(retention->tenants, tenant.number, &tenant))
        list[count++] = keep_on(retention->list, retention->count, &at, &tenant);
    if (!list)
        return;
    free(retention->list);
    retention->list = list;
    retention->count = count;
}

/* From where it is on; NULL: nobody before the end. */
static struct kept *next_due(struct retention *retention, int64_t now_ms)
{
    while (retention->next < retention->count) {
        struct kept *kept = &retention->list[retention->next++];
        if (kept->next_ms <= now_ms)
            return kept;
    }
    return NULL;
}

/* How long until it is anybody's turn. */
static int64_t time_to_turn(const struct retention *retention, int64_t now_ms)
{
    int64_t until_ms = now_ms + FOLLOW_MS;
    for (size_t i = 0; i < retention->count; i++)
        if (retention->list[i].next_ms < until_ms)
            until_ms = retention->list[i].next_ms;
    return until_ms - now_ms;
}

/* Does a step for whoever is next, and returns how long to wait until the next one. */
static int64_t step(struct retention *retention)
{
    int64_t now_ms = clock_monotonic_ms();
    struct kept *kept = next_due(retention, now_ms);
    if (!kept) {
        retention->next = 0;
        follow(retention);
        kept = next_due(retention, now_ms);
    }
    if (!kept)
        return time_to_turn(retention, now_ms);
    return kept->tenant.deleting ? removal_step(retention, kept) : trim_step(retention, kept);
}

/* ---- the thread ---- */

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

struct retention *retention_open(struct writer *writer, struct asks *asks, struct tenants *tenants)
{
    struct retention *retention = calloc(1, sizeof(*retention));
    if (!retention)
        return NULL;
    retention->tenants = tenants;
    retention->writer = writer;
    retention->asks = asks;
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
    free(retention->list);
    free(retention);
}
