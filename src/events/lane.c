/* Queue and workers. One mutex a lane guards the queue and the counts; the session belongs to its
 * worker's thread. */
#include "events/lane.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "events/lane_figures.h"

#define PING_INTERVAL_MS 2000 /* an idle session is tried this often, so that health stays true */
#define FIRST_BACKOFF_MS 50
#define MAX_BACKOFF_MS 1000
#define MAX_WORKERS 64

/* Operations that are queued or at the store. */
struct held {
    size_t count;
    size_t bytes;
};

struct worker {
    struct lane *lane;
    pthread_t thread;
    bool started;
    struct store_session *session; /* from here on the thread's */
    int64_t backoff_ms;            /* before the next try to connect */
    struct held taken;             /* of the lane's, for what it is at the store with */
};

struct lane {
    struct lane_config config;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* for workers: work, or stopping */
    pthread_cond_t tried;
    struct op *first;
    struct op **last; /* where the next op is linked */
    struct held held;
    unsigned sleeping; /* workers waiting for work with a session */
    unsigned connected;
    unsigned untried; /* workers that have not yet tried to connect */
    bool stopping;
    enum store_result worst; /* of the first tries */
    struct status away;      /* why the store was away at the last try */
    unsigned opened;         /* workers with threads */
    struct worker workers[MAX_WORKERS];
};

static const char *const LANE_NAMES[] = {
    [LANE_WRITES] = "writes", [LANE_GETS] = "gets", [LANE_LISTS] = "lists"};

void worker_note_store(const struct worker *worker, int64_t started_us, enum store_result result)
{
    lane_note_store(worker->lane->config.kind, started_us, result);
}

/* Lock held, as in note_sessions. */
static void note_held(const struct lane *lane)
{
    lane_note_held(lane->config.kind, lane->held.count);
}

static void note_sessions(const struct lane *lane)
{
    lane_note_sessions(lane->config.kind, lane->connected);
}

static void ops_finish(struct op *ops)
{
    while (ops) {
        struct op *next = ops->next;
        ops->done(ops);
        ops = next;
    }
}

void ops_set_status(struct op *ops, const struct status *status)
{
    for (; ops; ops = ops->next)
        ops->status = *status;
}

static void ops_fail(struct op *ops, const struct status *status)
{
    ops_set_status(ops, status);
    ops_finish(ops);
}

struct op *ops_drop_expired(struct op *ops)
{
    struct status late;
    status_fail(&late, STATUS_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                "the deadline passed before the store was asked; nothing was changed");
    int64_t now_ms = clock_monotonic_ms();
    struct op *kept = NULL;
    struct op **end = &kept;
    while (ops) {
        struct op *next = ops->next;
        ops->next = NULL;
        if (ops->deadline_ms <= now_ms) {
            ops_fail(ops, &late);
        } else {
            *end = ops;
            end = &ops->next;
        }
        ops = next;
    }
    return kept;
}

static void let_go(struct lane *lane, const struct held *what)
{
    lane->held.count -= what->count;
    lane->held.bytes -= what->bytes;
    note_held(lane);
}

/* Takes the whole queue. Lock held. */
static struct op *take_all(struct lane *lane)
{
    struct op *ops = lane->first;
    for (struct op *op = ops; op; op = op->next)
        let_go(lane, &(struct held){1, op->bytes});
    lane->first = NULL;
    lane->last = &lane->first;
    return ops;
}

/* Takes what fits one batch. Lock held. */
static struct op *take_batch(struct worker *worker)
{
    struct lane *lane = worker->lane;
    const struct lane_config *config = &lane->config;
    struct held *taken = &worker->taken;
    *taken = (struct held){0};
    size_t items = 0;
    struct op *ops = lane->first;
    struct op **end = &lane->first;
    while (*end) {
        struct op *op = *end;
        if (items > 0 && (items + op->items > config->max_batch ||
                          taken->bytes + op->bytes > config->max_batch_bytes))
            break;
        items += op->items;
        taken->count++;
        taken->bytes += op->bytes;
        end = &op->next;
    }
    lane->first = *end;
    if (!lane->first)
        lane->last = &lane->first;
    *end = NULL;
    if (items == 0)
        return NULL;
    lane_note_batch(config->kind, items);
    return ops;
}

static void wait_until(struct lane *lane, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    pthread_cond_timedwait(&lane->wake, &lane->lock, &until);
}

static void note_connected(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->connected++;
    note_sessions(lane);
    pthread_mutex_unlock(&lane->lock);
}

/* Nobody can carry the queue out: everything in it fails now rather than later. */
static void fail_queue_when_away(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    struct op *ops = lane->connected == 0 ? take_all(lane) : NULL;
    struct status away = lane->away;
    pthread_mutex_unlock(&lane->lock);
    ops_fail(ops, &away);
}

static void note_away(struct lane *lane, const struct status *status)
{
    pthread_mutex_lock(&lane->lock);
    bool news = strcmp(lane->away.message, status->message) != 0;
    lane->away = *status;
    lane->away.code = STATUS_UNAVAILABLE;
    lane->away.reason = "STORE_UNAVAILABLE";
    lane->away.retry_delay_ms = MAX_BACKOFF_MS;
    pthread_mutex_unlock(&lane->lock);
    if (news)
        log_warning("store is away, trying again", {"lane", LANE_NAMES[lane->config.kind]},
                    {"store", lane->config.store->description}, {"error", status->message});
}

static void worker_disconnect(struct worker *worker)
{
    if (!worker->session)
        return;
    worker->lane->config.store->driver->session_close(worker->session);
    worker->session = NULL;
    pthread_mutex_lock(&worker->lane->lock);
    worker->lane->connected--;
    note_sessions(worker->lane);
    pthread_mutex_unlock(&worker->lane->lock);
}

static enum store_result worker_connect(struct worker *worker, struct status *status)
{
    struct lane *lane = worker->lane;
    struct store *store = lane->config.store;
    enum store_result result =
        store->driver->session_open(store, lane->config.read_only, &worker->session, status);
    if (result == STORE_OK) {
        worker->backoff_ms = FIRST_BACKOFF_MS;
        note_connected(lane);
        log_info("connected to the store", {"lane", LANE_NAMES[lane->config.kind]},
                 {"store", store->description});
        return result;
    }
    worker->session = NULL;
    note_away(lane, status);
    fail_queue_when_away(lane);
    return result;
}

/* Waits the back-off, jittered so that workers and cores do not return in step; shorter when the
 * lane is stopping. */
static void worker_back_off(struct worker *worker, int64_t deadline_ms)
{
    struct lane *lane = worker->lane;
    uint8_t random;
    random_fill(&random, 1);
    int64_t delay_ms = worker->backoff_ms / 2 + worker->backoff_ms * random / 512;
    worker->backoff_ms =
        worker->backoff_ms * 2 < MAX_BACKOFF_MS ? worker->backoff_ms * 2 : MAX_BACKOFF_MS;
    int64_t until_ms = clock_monotonic_ms() + delay_ms;
    if (until_ms > deadline_ms)
        until_ms = deadline_ms;
    pthread_mutex_lock(&lane->lock);
    while (!lane->stopping && clock_monotonic_ms() < until_ms)
        wait_until(lane, until_ms);
    pthread_mutex_unlock(&lane->lock);
}

bool worker_may_retry(struct worker *worker, int64_t deadline_ms)
{
    pthread_mutex_lock(&worker->lane->lock);
    bool stopping = worker->lane->stopping;
    pthread_mutex_unlock(&worker->lane->lock);
    return !stopping && clock_monotonic_ms() < deadline_ms;
}

bool worker_reconnect(struct worker *worker, int64_t deadline_ms, struct status *status)
{
    worker_disconnect(worker);
    note_away(worker->lane, status);
    fail_queue_when_away(worker->lane);
    worker->backoff_ms = FIRST_BACKOFF_MS;
    while (worker_connect(worker, status) != STORE_OK) {
        if (!worker_may_retry(worker, deadline_ms))
            return false;
        worker_back_off(worker, deadline_ms);
    }
    return true;
}

/* Waits for work. NULL when there is none within the ping interval, or when stopping. */
static struct op *worker_take(struct worker *worker)
{
    struct lane *lane = worker->lane;
    int64_t until_ms = clock_monotonic_ms() + PING_INTERVAL_MS;
    pthread_mutex_lock(&lane->lock);
    lane->sleeping++;
    while (!lane->first && !lane->stopping && clock_monotonic_ms() < until_ms)
        wait_until(lane, until_ms);
    lane->sleeping--;
    struct op *ops = take_batch(worker);
    if (lane->first && lane->sleeping > 0)
        pthread_cond_signal(&lane->wake);
    pthread_mutex_unlock(&lane->lock);
    return ops;
}

/* Carries out what was taken. It counts as held until then: those that called need no more of the
 * store. */
static struct op *worker_run(struct worker *worker, struct op *ops)
{
    struct lane *lane = worker->lane;
    ops = lane->config.run(worker, ops);
    pthread_mutex_lock(&lane->lock);
    let_go(lane, &worker->taken);
    pthread_mutex_unlock(&lane->lock);
    return ops;
}

static void worker_ping(struct worker *worker)
{
    struct status status = STATUS_INIT;
    enum store_result result = worker->lane->config.store->driver->ping(worker->session, &status);
    if (result == STORE_OK)
        return;
    worker_disconnect(worker);
    note_away(worker->lane, &status);
}

static bool lane_should_stop(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    bool stop = lane->stopping && !lane->first;
    pthread_mutex_unlock(&lane->lock);
    return stop;
}

static void worker_first_try(struct worker *worker)
{
    struct lane *lane = worker->lane;
    struct status status = STATUS_INIT;
    enum store_result result = worker_connect(worker, &status);
    pthread_mutex_lock(&lane->lock);
    if (result > lane->worst)
        lane->worst = result;
    if (--lane->untried == 0)
        pthread_cond_broadcast(&lane->tried);
    pthread_mutex_unlock(&lane->lock);
}

/* One turn at the session: what is queued is carried out and finished. */
static void worker_turn(struct worker *worker)
{
    struct status status;
    if (!worker->session && worker_connect(worker, &status) != STORE_OK) {
        worker_back_off(worker, INT64_MAX);
        return;
    }
    struct op *ops = worker_take(worker);
    if (ops)
        ops_finish(worker_run(worker, ops));
    else if (!lane_should_stop(worker->lane))
        worker_ping(worker);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    prctl(PR_SET_NAME, LANE_NAMES[worker->lane->config.kind]);
    worker_first_try(worker);
    while (!lane_should_stop(worker->lane))
        worker_turn(worker);
    return NULL;
}

struct store_session *worker_session(struct worker *worker)
{
    return worker->session;
}

void *worker_context(struct worker *worker)
{
    return worker->lane->config.context;
}

static void lane_init(struct lane *lane, const struct lane_config *config)
{
    lane->config = *config;
    if (lane->config.workers > MAX_WORKERS)
        lane->config.workers = MAX_WORKERS;
    lane->untried = lane->config.workers;
    lane->last = &lane->first;
    status_fail(&lane->away, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE",
                "the store has not been reached yet");
    lane->away.retry_delay_ms = MAX_BACKOFF_MS;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->wake, &attributes);
    pthread_cond_init(&lane->tried, &attributes);
    pthread_condattr_destroy(&attributes);
}

static bool worker_open(struct worker *worker, struct lane *lane)
{
    worker->lane = lane;
    worker->backoff_ms = FIRST_BACKOFF_MS;
    worker->started = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
    return worker->started;
}

static void worker_close(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    worker_disconnect(worker);
}

struct lane *lane_open(const struct lane_config *config)
{
    struct lane *lane = calloc(1, sizeof(*lane));
    if (!lane)
        return NULL;
    lane_init(lane, config);
    while (lane->opened < lane->config.workers) {
        if (!worker_open(&lane->workers[lane->opened++], lane)) {
            lane_close(lane);
            return NULL;
        }
    }
    return lane;
}

enum store_result lane_await_first_try(struct lane *lane, struct status *status)
{
    pthread_mutex_lock(&lane->lock);
    while (lane->untried > 0)
        pthread_cond_wait(&lane->tried, &lane->lock);
    enum store_result worst = lane->worst;
    *status = lane->away;
    pthread_mutex_unlock(&lane->lock);
    return worst;
}

bool lane_submit(struct lane *lane, struct op *op, struct status *status)
{
    const struct lane_config *config = &lane->config;
    bool taken = false;
    op->next = NULL;
    op->status = STATUS_INIT;
    pthread_mutex_lock(&lane->lock);
    if (lane->stopping) {
        status_fail(status, STATUS_UNAVAILABLE, "STOPPING",
                    "the server is stopping; try another or again");
        status->retry_delay_ms = MAX_BACKOFF_MS;
    } else if (lane->connected == 0) {
        *status = lane->away;
    } else if (lane->held.count >= config->max_held ||
               lane->held.bytes + op->bytes > config->max_held_bytes) {
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "QUEUE_FULL",
                    "too many operations are waiting for the store; try again later");
        status->retry_delay_ms = 100;
    } else {
        *lane->last = op;
        lane->last = &op->next;
        lane->held.count++;
        lane->held.bytes += op->bytes;
        note_held(lane);
        taken = true;
        if (lane->sleeping > 0)
            pthread_cond_signal(&lane->wake);
    }
    pthread_mutex_unlock(&lane->lock);
    return taken;
}

bool lane_is_connected(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    bool connected = lane->connected > 0;
    pthread_mutex_unlock(&lane->lock);
    return connected;
}

void lane_stop(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->stopping = true;
    pthread_cond_broadcast(&lane->wake);
    pthread_mutex_unlock(&lane->lock);
}

void lane_close(struct lane *lane)
{
    if (!lane)
        return;
    lane_stop(lane);
    for (unsigned i = 0; i < lane->opened; i++)
        worker_close(&lane->workers[i]);
    struct op *left = take_all(lane); /* queued behind a store that was away */
    ops_fail(left, &lane->away);
    pthread_cond_destroy(&lane->wake);
    pthread_cond_destroy(&lane->tried);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}
