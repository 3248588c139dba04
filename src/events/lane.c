/* Queue and workers. One mutex per lane guards the queue and the counts; the session belongs to its
 * worker's thread. */
#include "events/lane.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"

#define PING_INTERVAL_MS 2000 /* an idle session is tried this often, so that health is right */
#define FIRST_BACKOFF_MS 50
#define MAX_BACKOFF_MS 1000
#define MAX_WORKERS 64
#define CONNECTED "connected"
#define BATCH_BOUNDS 13
#define FAILURES (STORE_LOST - STORE_OK)

/* How long a batch may take at the store while there are several callers: so many times as long as
 * one that holds next to nothing, so that small batches waste few of a store's commits. A caller
 * that comes meanwhile waits for the rest of it. */
#define PACE_FACTOR 6
#define PACE_MIN_US 2000
#define MAX_UNIT_NS                                                                                \
    100000 /* the most that a unit of cost may take, so that the fixed part can be told from it */
/* For so long after two callers were seen, there are several. */
#define COMPANY_MS 10000

/* An estimate of a value that is measured again and again: about the median, whatever the outliers
 * are. */
struct estimate {
    int64_t value; /* at least 1 */
    int run;       /* how often in a row more was measured; negative: less */
};

/* The operations that a worker takes at once. */
struct lane_batch {
    struct op *ops;
    struct op *expired; /* not to be begun, as their deadlines have passed */
    size_t items;       /* as the next two, of `ops` */
    size_t bytes;
    size_t cost;
    bool fresh_only; /* of clients that come before the turns */
};

struct worker {
    struct lane *lane;
    pthread_t thread;
    bool started;
    struct store_session *session; /* from here on used only by the thread */
    struct lane_batch batch;       /* that it carries out */
    int64_t backoff_ms;            /* wait before the next try to connect */
};

struct lane {
    struct lane_config config;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* something is queued or the lane stops: for workers with a session */
    pthread_cond_t stop;  /* the lane stops: for workers that wait to connect again */
    pthread_cond_t tried; /* the first worker has tried to connect once */
    struct turns turns;
    struct estimate fixed_us; /* how long a batch takes that costs little */
    struct estimate unit_ns;  /* and how much longer for each unit of cost */
    struct caller last_caller;
    int64_t company_until_ms; /* there are several callers */
    bool fresh_last;          /* the last batch was from the clients that come before the turns */
    unsigned connected;
    bool was_tried;                 /* the first worker has tried to connect */
    atomic_bool stopping;           /* set with the lock held */
    enum store_result first_result; /* of that */
    struct status away;             /* why the store was unavailable at the last try */
    char told[STATUS_MESSAGE_SIZE]; /* the last reason in the log, or CONNECTED */
    struct worker workers[MAX_WORKERS];
};

static const char *const LANE_NAMES[] = {[LANE_WRITES] = "writes",
                                         [LANE_GETS] = "gets",
                                         [LANE_LISTS] = "lists",
                                         [LANE_LEDGERS] = "ledgers"};

/* ---- metrics; each kind of lane has a cell or a histogram of its own ---- */

static const char *const LANE_LABELS[] = {[LANE_WRITES] = "lane=\"writes\"",
                                          [LANE_GETS] = "lane=\"gets\"",
                                          [LANE_LISTS] = "lane=\"lists\"",
                                          [LANE_LEDGERS] = "lane=\"ledgers\"",
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

void worker_note_store(const struct worker *worker, int64_t started_us, enum store_result result)
{
    enum lane_kind kind = worker->lane->config.kind;
    CHECK(result <= STORE_LOST);
    metric_observe(&lane_store_duration, kind, clock_monotonic_us() - started_us);
    if (result != STORE_OK)
        metric_add(&lane_store_errors, kind * FAILURES + result - STORE_RETRY, 1);
}

/* Called with the lock held, as is note_sessions. */
static void note_held(const struct lane *lane)
{
    metric_set(&lane_queue_depth, lane->config.kind, (int64_t)lane->turns.all.held.count);
}

static void note_sessions(const struct lane *lane)
{
    metric_set(&lane_sessions, lane->config.kind, lane->connected);
}

/* ---- finishing operations ---- */

static void ops_finish(struct op *ops)
{
    while (ops) {
        struct op *next = ops->next;
        ops->done(ops);
        ops = next;
    }
}

static void ops_fail(struct op *ops, const struct status *status)
{
    for (struct op *op = ops; op; op = op->next)
        op->status = *status;
    ops_finish(ops);
}

/* ---- batches ---- */

/* Moves towards the measured value, faster the longer that is on the same side. */
static void follow(struct estimate *estimate, int64_t seen)
{
    bool more = seen > estimate->value;
    int run = more ? (estimate->run > 0 ? estimate->run + 1 : 1)
                   : (estimate->run < 0 ? estimate->run - 1 : -1);
    CHECK(estimate->value >= 1);
    int64_t distance = more ? seen - estimate->value : estimate->value - seen;
    int64_t step = (estimate->value / 8 + 1) * (run < 0 ? -run : run);
    if (step > distance)
        step = distance;
    estimate->value += more ? step : -step;
    estimate->value = estimate->value < 1 ? 1 : estimate->value;
    estimate->run = run;
}

/* Called with the lock held, as are the next ones. The time of a batch beyond what its units may
 * take is that of its commit. */
static void note_pace(struct lane *lane, size_t cost, int64_t took_us)
{
    int64_t units = (int64_t)cost;
    int64_t fixed_us = took_us - units * MAX_UNIT_NS / 1000;
    if (cost <= TURN_LITTLE)
        follow(&lane->fixed_us, took_us);
    else if (fixed_us > lane->fixed_us.value)
        follow(&lane->fixed_us, fixed_us);
    else
        follow(&lane->unit_ns, (took_us - lane->fixed_us.value) * 1000 / units);
}

/* The cost of a batch that takes the longest time allowed. */
static size_t pace_room(const struct lane *lane)
{
    int64_t fixed_us = lane->fixed_us.value;
    int64_t goal_us = fixed_us * PACE_FACTOR;
    if (goal_us < PACE_MIN_US)
        goal_us = PACE_MIN_US;
    return (size_t)((goal_us - fixed_us) * 1000 / lane->unit_ns.value) + TURN_LITTLE;
}

/* How many items of `op` fit besides `taken` into a batch of at most `room` cost; 0: none. */
static size_t fitting_items(const struct lane *lane, const struct lane_batch *taken,
                            const struct op *op, size_t room)
{
    CHECK(op->first < op->items);
    size_t rest = op->items - op->first;
    bool fits = taken->items + rest <= lane->config.max_batch &&
                taken->cost + turn_cost(op, rest) <= room &&
                taken->bytes + op->bytes <= lane->config.max_batch_bytes;
    if (fits)
        return rest;
    if (!lane->config.divides)
        return taken->items == 0 ? rest : 0;
    size_t left = taken->cost < room ? room - taken->cost : 0;
    size_t part = left * op->items / turn_cost(op, op->items);
    if (part > rest)
        part = rest;
    return part == 0 && taken->items == 0 ? 1 : part;
}

/* The next of the batch's tenant; while it is empty, that of the next tenant that has any. */
static struct op *next_op(struct lane *lane, const struct lane_batch *batch)
{
    struct op *op = turns_next(&lane->turns, batch->fresh_only);
    if (op || batch->ops)
        return op;
    turns_begin(&lane->turns);
    return turns_next(&lane->turns, batch->fresh_only);
}

/* Takes what fits into a batch of `room` cost, for one tenant, and what has expired before it. */
static void fill_batch(struct lane *lane, struct lane_batch *batch, size_t room)
{
    int64_t now_ms = clock_monotonic_ms();
    struct op **end = &batch->ops;
    struct op *op;
    while (*end)
        end = &(*end)->next;
    if (batch->ops)
        turns_go_on(&lane->turns, batch->ops);
    else
        turns_begin(&lane->turns);
    while ((op = next_op(lane, batch))) {
        if (op->deadline_ms <= now_ms && op->first == 0) {
            turns_take(&lane->turns, op, op->items);
            turns_release(&lane->turns, op);
            op->next = batch->expired;
            batch->expired = op;
            continue;
        }
        size_t items = fitting_items(lane, batch, op, room);
        if (items == 0)
            break;
        CHECK(!batch->ops || op->scope.tenant == batch->ops->scope.tenant);
        turns_take(&lane->turns, op, items);
        batch->items += items;
        batch->cost += turn_cost(op, items);
        batch->bytes += op->bytes;
        *end = op;
        end = &op->next;
        *end = NULL;
    }
}

static size_t batch_room(const struct lane *lane, bool fresh_only)
{
    size_t room = lane->config.divides ? lane->config.max_batch : SIZE_MAX;
    bool company = clock_monotonic_ms() < lane->company_until_ms;
    return company && !fresh_only && pace_room(lane) < room ? pace_room(lane) : room;
}

/* While there are several callers, those that ask for little do not wait for a long batch with the
 * others, nor the others for them: one batch is for them, the next for everybody. */
static struct lane_batch take_batch(struct lane *lane)
{
    bool company = clock_monotonic_ms() < lane->company_until_ms;
    bool fresh = company && !lane->fresh_last && lane->turns.fresh > 0 && lane->turns.queued > 0;
    struct lane_batch batch = {.fresh_only = fresh};
    if (fresh)
        fill_batch(lane, &batch, batch_room(lane, true));
    batch.fresh_only = lane->fresh_last = batch.items > 0;
    if (batch.items == 0)
        fill_batch(lane, &batch, batch_room(lane, false));
    return batch;
}

/* ---- sessions ---- */

static void note_connected(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    CHECK(lane->connected < lane->config.workers);
    if (lane->connected++ == 0)
        atomic_fetch_sub(&lane->config.store->wanting, 1);
    note_sessions(lane);
    if (strcmp(lane->told, CONNECTED) != 0)
        log_info("connected to the store", {"lane", LANE_NAMES[lane->config.kind]},
                 {"store", lane->config.store->description});
    strcpy(lane->told, CONNECTED);
    pthread_mutex_unlock(&lane->lock);
}

/* No worker can carry out the queue: everything in it fails now rather than later. */
static void fail_queue_when_away(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    struct op *ops = lane->connected == 0 ? turns_clear(&lane->turns) : NULL;
    note_held(lane);
    struct status away = lane->away;
    pthread_mutex_unlock(&lane->lock);
    ops_fail(ops, &away);
}

/* If the log leaves the line out, a later try writes it, so that its last line is right in the end.
 */
static void note_away(struct lane *lane, const struct status *status)
{
    const char *name = LANE_NAMES[lane->config.kind];
    pthread_mutex_lock(&lane->lock);
    bool served = lane->connected > 0;
    lane->away = *status;
    lane->away.code = STATUS_UNAVAILABLE;
    lane->away.reason = "STORE_UNAVAILABLE";
    lane->away.retry_delay_ms = MAX_BACKOFF_MS;
    if (strcmp(lane->told, status->message) != 0 &&
        log_warning_limited(name,
                            served ? "the store opens no further session, trying again"
                                   : "store is unavailable, trying again",
                            {"lane", name}, {"store", lane->config.store->description},
                            {"error", status->message}))
        memcpy(lane->told, status->message, sizeof(lane->told));
    pthread_mutex_unlock(&lane->lock);
}

/* The lane counts on one session less. Called with the lock held. */
static void note_disconnected(struct lane *lane)
{
    CHECK(lane->connected > 0);
    if (--lane->connected == 0)
        atomic_fetch_add(&lane->config.store->wanting, 1);
    note_sessions(lane);
}

static void worker_disconnect(struct worker *worker)
{
    if (!worker->session)
        return;
    worker->lane->config.store->driver->session_close(worker->session);
    worker->session = NULL;
    pthread_mutex_lock(&worker->lane->lock);
    note_disconnected(worker->lane);
    pthread_mutex_unlock(&worker->lane->lock);
}

static enum store_result worker_connect(struct worker *worker, struct status *status)
{
    struct lane *lane = worker->lane;
    struct store *store = lane->config.store;
    CHECK(!worker->session);
    enum store_result result =
        store->driver->session_open(store, lane->config.read_only, &worker->session, status);
    if (result == STORE_OK) {
        CHECK(worker->session);
        worker->backoff_ms = FIRST_BACKOFF_MS;
        note_connected(lane);
        return result;
    }
    worker->session = NULL;
    if (status->retry_delay_ms > 0 && status->retry_delay_ms < worker->backoff_ms)
        worker->backoff_ms = status->retry_delay_ms; /* the store goes on with something */
    note_away(lane, status);
    fail_queue_when_away(lane);
    return result;
}

/* Waits for the back-off, with jitter so that workers and cores do not come back in step; shorter
 * when the lane is stopping. */
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
        wait_until(&lane->stop, &lane->lock, until_ms);
    pthread_mutex_unlock(&lane->lock);
}

/* A store may allow fewer sessions than there are workers: no lane opens a second one while another
 * has none, and it closes one for that lane. When the lane stops, the first worker may have left,
 * and only this one may have something left to do. */
static bool worker_may_connect(const struct worker *worker)
{
    struct lane *lane = worker->lane;
    return worker == lane->workers || atomic_load(&lane->config.store->wanting) == 0 ||
           lane->stopping;
}

bool worker_may_retry(struct worker *worker, int64_t deadline_ms)
{
    return !worker->lane->stopping && clock_monotonic_ms() < deadline_ms;
}

bool worker_reconnect(struct worker *worker, int64_t deadline_ms, struct status *status)
{
    bool replaces = worker->session; /* one that the store allowed */
    if (replaces) {
        worker_disconnect(worker);
        note_away(worker->lane, status);
        fail_queue_when_away(worker->lane);
    }
    worker->backoff_ms = FIRST_BACKOFF_MS;
    while ((!replaces && !worker_may_connect(worker)) ||
           worker_connect(worker, status) != STORE_OK) {
        replaces = false;
        if (!worker_may_retry(worker, deadline_ms))
            return false;
        worker_back_off(worker, deadline_ms);
    }
    return true;
}

/* ---- workers ---- */

/* Waits for work. The batch is empty when there is none within the ping interval. False when the
 * lane stops and nothing is queued: then the worker leaves, and nobody counts on its session any
 * more, which lane_close closes, as SQLite's writer is to close last. */
static bool worker_take(struct worker *worker)
{
    struct lane *lane = worker->lane;
    int64_t until_ms = clock_monotonic_ms() + PING_INTERVAL_MS;
    pthread_mutex_lock(&lane->lock);
    while (lane->turns.waiting == 0 && !lane->stopping && clock_monotonic_ms() < until_ms)
        wait_until(&lane->work, &lane->lock, until_ms);
    bool leaves = lane->stopping && lane->turns.waiting == 0;
    if (leaves)
        note_disconnected(lane);
    worker->batch = take_batch(lane);
    if (worker->batch.expired)
        note_held(lane);
    if (lane->turns.waiting > 0)
        pthread_cond_signal(&lane->work); /* another worker takes the rest */
    pthread_mutex_unlock(&lane->lock);
    return !leaves;
}

static void fail_expired(struct lane_batch *batch)
{
    struct status late;
    status_fail(&late, STATUS_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                "the deadline passed before the store was asked; nothing was changed");
    struct op *expired = batch->expired;
    batch->expired = NULL;
    ops_fail(expired, &late);
}

struct op *worker_take_more(struct worker *worker)
{
    struct lane *lane = worker->lane;
    struct lane_batch *batch = &worker->batch;
    struct op *last = batch->ops;
    CHECK(last);
    while (last->next)
        last = last->next;
    pthread_mutex_lock(&lane->lock);
    fill_batch(lane, batch, batch_room(lane, batch->fresh_only));
    note_held(lane);
    pthread_mutex_unlock(&lane->lock);
    fail_expired(batch);
    return last->next;
}

/* Carries out a batch and finishes those of its operations that have no items left, which no longer
 * count as held; the others wait for their next turn. */
static void worker_run(struct worker *worker)
{
    struct lane *lane = worker->lane;
    const struct lane_batch *batch = &worker->batch;
    struct op *done = NULL;
    struct op **end = &done;
    CHECK(worker->session);
    int64_t started_us = clock_monotonic_us();
    lane->config.run(worker, batch->ops);
    int64_t took_us = clock_monotonic_us() - started_us;
    metric_observe(&lane_batch_items, lane->config.kind, (int64_t)batch->items);
    pthread_mutex_lock(&lane->lock);
    note_pace(lane, batch->cost, took_us);
    for (struct op *op = batch->ops, *next; op; op = next) {
        next = op->next;
        CHECK(op->first <= op->end && op->end <= op->items);
        if (op->end < op->items) {
            turns_put_back(&lane->turns, op);
            continue;
        }
        turns_release(&lane->turns, op);
        *end = op;
        end = &op->next;
    }
    *end = NULL;
    note_held(lane);
    if (lane->turns.waiting > 0)
        pthread_cond_signal(&lane->work);
    pthread_mutex_unlock(&lane->lock);
    ops_finish(done);
}

static void worker_ping(struct worker *worker)
{
    struct status status = STATUS_INIT;
    CHECK(worker->session);
    enum store_result result = worker->lane->config.store->driver->ping(worker->session, &status);
    if (result == STORE_OK)
        return;
    worker_disconnect(worker);
    note_away(worker->lane, &status);
}

static void worker_first_try(struct worker *worker)
{
    struct lane *lane = worker->lane;
    struct status status = STATUS_INIT;
    enum store_result result = worker_connect(worker, &status);
    pthread_mutex_lock(&lane->lock);
    CHECK(!lane->was_tried && worker == lane->workers);
    lane->first_result = result;
    lane->was_tried = true;
    pthread_cond_broadcast(&lane->tried);
    pthread_mutex_unlock(&lane->lock);
}

/* Whether the lane stops and has no work for a worker without a session: none is queued, or others
 * do it. */
static bool is_over(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    bool over = lane->stopping && (lane->turns.waiting == 0 || lane->connected > 0);
    pthread_mutex_unlock(&lane->lock);
    return over;
}

/* Gets a session, and with it carries out what is queued. False when the worker leaves. */
static bool worker_step(struct worker *worker)
{
    struct status status;
    if (worker == worker->lane->workers && !worker->lane->was_tried)
        worker_first_try(worker);
    bool allowed = worker_may_connect(worker);
    if (!allowed)
        worker_disconnect(worker);
    if (!worker->session && is_over(worker->lane))
        return false;
    if (!worker->session && (!allowed || worker_connect(worker, &status) != STORE_OK)) {
        worker_back_off(worker, INT64_MAX);
        return true;
    }
    if (!worker_take(worker))
        return false;
    bool idle = !worker->batch.ops && !worker->batch.expired;
    fail_expired(&worker->batch);
    if (worker->batch.ops)
        worker_run(worker);
    else if (idle)
        worker_ping(worker);
    return true;
}

bool lane_step(struct lane *lane, unsigned worker)
{
    CHECK(worker < lane->config.workers && !lane->workers[worker].started);
    return worker_step(&lane->workers[worker]);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    prctl(PR_SET_NAME, LANE_NAMES[worker->lane->config.kind]);
    while (worker_step(worker))
        ;
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
    CHECK(config->kind < LANE_KIND_COUNT && config->run && config->store);
    CHECK(config->workers > 0 && config->max_batch > 0);
    lane->config = *config;
    if (lane->config.workers > MAX_WORKERS)
        lane->config.workers = MAX_WORKERS;
    atomic_fetch_add(&lane->config.store->wanting, 1);
    lane->fixed_us = (struct estimate){1000, 0};
    lane->unit_ns = (struct estimate){10000, 0};
    status_fail(&lane->away, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE",
                "the store has not been reached yet");
    lane->away.retry_delay_ms = MAX_BACKOFF_MS;
    pthread_mutex_init(&lane->lock, NULL);
    wait_init(&lane->work);
    wait_init(&lane->stop);
    wait_init(&lane->tried);
    for (unsigned i = 0; i < lane->config.workers; i++)
        lane->workers[i] = (struct worker){.lane = lane, .backoff_ms = FIRST_BACKOFF_MS};
}

static bool worker_start(struct worker *worker)
{
    CHECK(!worker->started);
    worker->started = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
    return worker->started;
}

static void worker_close(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    if (worker->session)
        worker->lane->config.store->driver->session_close(worker->session);
}

struct lane *lane_new(const struct lane_config *config)
{
    struct lane *lane = calloc(1, sizeof(*lane));
    if (!lane || !turns_init(&lane->turns, config->max_held)) {
        free(lane);
        return NULL;
    }
    lane_init(lane, config);
    return lane;
}

struct lane *lane_open(const struct lane_config *config)
{
    struct lane *lane = lane_new(config);
    for (unsigned i = 0; lane && i < lane->config.workers; i++) {
        if (!worker_start(&lane->workers[i])) {
            lane_close(lane);
            return NULL;
        }
    }
    return lane;
}

enum store_result lane_await_first_try(struct lane *lane, struct status *status)
{
    pthread_mutex_lock(&lane->lock);
    while (!lane->was_tried)
        pthread_cond_wait(&lane->tried, &lane->lock);
    enum store_result result = lane->first_result;
    *status = lane->away;
    pthread_mutex_unlock(&lane->lock);
    return result;
}

/* The program's own operations do not count as another caller. */
static void note_caller(struct lane *lane, const struct caller *caller)
{
    const struct caller *last = &lane->last_caller;
    if (caller->connection == 0)
        return;
    if (last->connection != 0 &&
        (last->connection != caller->connection || last->client != caller->client))
        lane->company_until_ms = clock_monotonic_ms() + COMPANY_MS;
    lane->last_caller = *caller;
}

bool lane_submit(struct lane *lane, struct op *op, struct status *status)
{
    bool taken = false;
    CHECK(op->items > 0 && op->done);
    op->first = op->end = 0;
    op->status = STATUS_INIT;
    pthread_mutex_lock(&lane->lock);
    if (lane->stopping) {
        status_fail(status, STATUS_UNAVAILABLE, "STOPPING",
                    "the server is stopping; try another or again");
        status->retry_delay_ms = MAX_BACKOFF_MS;
    } else if (lane->connected == 0) {
        *status = lane->away;
    } else if (!turns_add(&lane->turns, op)) {
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "QUEUE_FULL",
                    "too many operations are waiting for the store; try again later");
        status->retry_delay_ms = 100;
    } else {
        taken = true;
        note_caller(lane, &op->caller);
        note_held(lane);
        pthread_cond_signal(&lane->work);
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
    pthread_cond_broadcast(&lane->work);
    pthread_cond_broadcast(&lane->stop);
    pthread_mutex_unlock(&lane->lock);
}

void lane_close(struct lane *lane)
{
    if (!lane)
        return;
    lane_stop(lane);
    for (unsigned i = 0; i < lane->config.workers; i++)
        worker_close(&lane->workers[i]);
    CHECK(lane->connected == 0);
    ops_fail(turns_clear(&lane->turns), &lane->away); /* queued for a store that was unavailable */
    note_held(lane);
    turns_fini(&lane->turns);
    atomic_fetch_sub(&lane->config.store->wanting, 1);
    pthread_cond_destroy(&lane->work);
    pthread_cond_destroy(&lane->stop);
    pthread_cond_destroy(&lane->tried);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}
