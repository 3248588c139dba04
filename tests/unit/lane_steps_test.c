/* Two lanes over one store, step by step, see steps.h. A step begins in the middle of another
 * wherever a worker waits or is at the store: the store gives sessions and takes them away, callers
 * come, time passes, the lanes stop. Signals wake who waits for them, and nobody else but by chance
 * or late: so a wake-up that is missing is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"
#include "events/lane.h"
#include "steps.h"

enum { ROUNDS = 2000, STEPS = 100, DEPTH = 4 };
enum { LANES = 2, WORKERS = 3, OPS = 48, MAX_HELD = 16, MAX_BATCH = 8, MAX_BYTES = 2000 };
enum { PING_MS = 2000, FIRST_BACKOFF_MS = 50, MAX_BACKOFF_MS = 1000 };

/* Where an operation is: with its caller, in the queue, with a worker, done there. */
enum place { IDLE, QUEUED, AT_STORE, FINISHED };

struct stepped_op {
    struct op op; /* first */
    unsigned lane;
    enum place place;
    size_t next; /* the item that is carried out next */
    enum status_code code;
};

struct store_session_of {
    struct store_session session; /* first */
    struct stepped_worker *owner;
    bool lost;
    int64_t used_ms; /* last */
};

struct stepped_worker {
    unsigned lane, number;
    bool busy; /* it is in the middle of a step */
    bool done;
    struct store_session_of *session;
    bool reconnects; /* until */
    int64_t reconnect_until_ms;
    bool tried;        /* to connect */
    unsigned failures; /* of that, in a row */
    int64_t failed_ms;
};

struct stepped_lane {
    struct lane *lane;
    unsigned number;
    bool divides;
    bool stopping;
    size_t held, queued;
    unsigned sessions;
    struct stepped_worker workers[WORKERS];
};

/* Who waits: the last one is who runs. */
struct waiter {
    pthread_cond_t *condition;
    struct stepped_worker *worker;
    bool signalled;
    struct waiter *below;
};

static struct stepped_lane lanes[LANES];
static struct stepped_op ops[OPS];
static struct stepped_worker *current;
static struct waiter *waiters;
static unsigned allowed_sessions, open_sessions, depth, runs, pings, refusals[3];

static void wander(void);

static struct stepped_lane *lane_of(const struct stepped_worker *worker)
{
    return &lanes[worker->lane];
}

/* ---- waiting ---- */

static bool is_signalled(const struct stepped_worker *worker)
{
    for (const struct waiter *waiter = waiters; waiter; waiter = waiter->below) {
        if (waiter->worker == worker)
            return waiter->signalled;
    }
    return false;
}

/* Nobody has signalled this one: then there is nothing to do for it, or another one was. */
static void check_not_forgotten(const struct stepped_worker *worker)
{
    const struct stepped_lane *lane = lane_of(worker);
    bool another = false;
    assert_false(lane->stopping);
    for (unsigned i = 0; i < WORKERS; i++) {
        const struct stepped_worker *other = &lane->workers[i];
        another = another || (other->session && is_signalled(other));
    }
    assert_true(!worker->session || lane->queued == 0 || another);
}

bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_ms)
{
    struct waiter waiter = {condition, current, false, waiters};
    assert_true(until_ms - clock_monotonic_ms() <= (current->session ? PING_MS : MAX_BACKOFF_MS));
    waiters = &waiter;
    pthread_mutex_unlock(lock);
    wander();
    assert_ptr_equal(waiters, &waiter);
    int64_t left_ms = until_ms - clock_monotonic_ms();
    if (!waiter.signalled && !one_in(8)) {
        check_not_forgotten(current);
        steps_pass_ms(left_ms > 0 ? left_ms : 0);
    }
    waiters = waiter.below;
    pthread_mutex_lock(lock);
    return clock_monotonic_ms() < until_ms;
}

void wait_init(pthread_cond_t *condition)
{
    pthread_cond_init(condition, NULL);
}

/* Wakes any of those that wait. */
int pthread_cond_signal(pthread_cond_t *condition)
{
    struct waiter *chosen = NULL;
    unsigned count = 0;
    for (struct waiter *waiter = waiters; waiter; waiter = waiter->below) {
        if (waiter->condition == condition && !waiter->signalled && one_in(++count))
            chosen = waiter;
    }
    if (chosen)
        chosen->signalled = true;
    return 0;
}

int pthread_cond_broadcast(pthread_cond_t *condition)
{
    for (struct waiter *waiter = waiters; waiter; waiter = waiter->below)
        waiter->signalled = waiter->signalled || waiter->condition == condition;
    return 0;
}

/* ---- the store ---- */

/* When it failed the last time it has waited for at least half of the back-off. */
static void check_backed_off(const struct stepped_worker *worker)
{
    int64_t now_ms = clock_monotonic_ms();
    bool hurried =
        lane_of(worker)->stopping || (worker->reconnects && now_ms >= worker->reconnect_until_ms);
    if (worker->failures == 0 || hurried)
        return;
    unsigned doubled = worker->failures < 6 ? worker->failures - 1 : 5;
    int64_t backoff_ms = (int64_t)FIRST_BACKOFF_MS << doubled;
    backoff_ms = backoff_ms < MAX_BACKOFF_MS ? backoff_ms : MAX_BACKOFF_MS;
    assert_true(now_ms - worker->failed_ms >= backoff_ms / 2);
}

static enum store_result stepped_open(struct store *store, bool read_only,
                                      struct store_session **session, struct status *status)
{
    (void)read_only;
    bool replaces = current->reconnects && current->failures == 0;
    for (unsigned i = 0; i < LANES; i++)
        assert_true(current->number == 0 || replaces || lanes[i].sessions > 0 ||
                    lane_of(current)->stopping);
    assert_null(current->session);
    check_backed_off(current);
    wander();
    if (open_sessions >= allowed_sessions || one_in(8)) {
        bool first_try = current->number == 0 && !current->tried; /* is not waited after */
        current->failures += !first_try;
        current->failed_ms = clock_monotonic_ms();
        current->tried = true;
        status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "no further session");
        return STORE_UNAVAILABLE;
    }
    current->session = calloc(1, sizeof(*current->session));
    *current->session = (struct store_session_of){{store}, current, false, clock_monotonic_ms()};
    current->failures = 0;
    open_sessions++;
    lane_of(current)->sessions++;
    *session = &current->session->session;
    return STORE_OK;
}

static struct store_session_of *own_session(struct store_session *session)
{
    struct store_session_of *own = (struct store_session_of *)session;
    assert_ptr_equal(own, current->session);
    assert_ptr_equal(own->owner, current);
    assert_false(own->lost);
    return own;
}

static void stepped_close(struct store_session *session)
{
    struct store_session_of *own = (struct store_session_of *)session;
    assert_ptr_equal(own, own->owner->session);
    wander();
    own->owner->session = NULL;
    open_sessions--;
    lane_of(own->owner)->sessions -= !own->owner->done;
    free(own);
}

static enum store_result stepped_ping(struct store_session *session, struct status *status)
{
    struct store_session_of *own = own_session(session);
    assert_true(clock_monotonic_ms() - own->used_ms >= PING_MS);
    wander();
    pings++;
    own->used_ms = clock_monotonic_ms();
    own->lost = one_in(4);
    if (!own->lost)
        return STORE_OK;
    status_fail(status, STATUS_UNAVAILABLE, "STORE_LOST", "lost");
    return STORE_LOST;
}

static const struct store_driver DRIVER = {
    .name = "stepped",
    .session_open = stepped_open,
    .session_close = stepped_close,
    .ping = stepped_ping,
};
static struct store store = {.driver = &DRIVER, .description = (char *)"stepped"};

/* ---- what workers carry out ---- */

/* A batch is about one tenant and has no more than it may; of each operation it has the next
 * items. Returns the latest deadline. */
static int64_t check_batch(struct stepped_lane *lane, struct op *batch)
{
    size_t items = 0, bytes = 0, count = 0;
    int64_t deadline_ms = 0;
    for (struct op *op = batch; op; op = op->next, count++) {
        struct stepped_op *stepped = (struct stepped_op *)op;
        assert_int_equal(stepped->place, QUEUED);
        assert_ptr_equal(&lanes[stepped->lane], lane);
        assert_int_equal(op->scope.tenant, batch->scope.tenant);
        assert_int_equal(op->first, stepped->next);
        assert_true(op->first < op->end && op->end <= op->items);
        assert_true(lane->divides || op->end == op->items);
        assert_true(op->first > 0 || op->deadline_ms > clock_monotonic_ms());
        items += op->end - op->first;
        bytes += op->bytes;
        deadline_ms = op->deadline_ms > deadline_ms ? op->deadline_ms : deadline_ms;
        stepped->place = AT_STORE;
        lane->queued--;
    }
    assert_true(items <= MAX_BATCH || (count == 1 && !lane->divides));
    assert_true(bytes <= MAX_BYTES || count == 1 || lane->divides);
    return deadline_ms;
}

static void fail_batch(struct op *batch, const struct status *status)
{
    for (struct op *op = batch; op; op = op->next) {
        op->status = *status;
        op->end = op->items;
    }
}

static void lose_session(struct worker *worker, struct op *batch, int64_t deadline_ms)
{
    struct status status;
    current->session->lost = true;
    status_fail(&status, STATUS_UNAVAILABLE, "STORE_LOST", "lost");
    current->reconnects = true;
    current->reconnect_until_ms = deadline_ms;
    current->failures = 0;
    bool again = worker_reconnect(worker, deadline_ms, &status);
    current->reconnects = false;
    assert_int_equal(again, worker_session(worker) != NULL);
    if (again)
        return;
    assert_false(worker_may_retry(worker, deadline_ms));
    assert_true(lane_of(current)->stopping || clock_monotonic_ms() >= deadline_ms);
    current->failures = 0;
    fail_batch(batch, &status);
}

static void carry_out(struct worker *worker, struct op *batch)
{
    struct stepped_lane *lane = worker_context(worker);
    assert_ptr_equal(lane, lane_of(current));
    own_session(worker_session(worker));
    int64_t deadline_ms = check_batch(lane, batch);
    int64_t started_us = clock_monotonic_us();
    runs++;
    wander();
    if (one_in(6))
        lose_session(worker, batch, deadline_ms);
    else if (one_in(8))
        fail_batch(batch, &(struct status){.code = STATUS_DATA_LOSS, .reason = "STORE_DAMAGED"});
    worker_note_store(worker, started_us, STORE_OK);
    if (current->session)
        current->session->used_ms = clock_monotonic_ms();
    for (struct op *op = batch; op; op = op->next) {
        struct stepped_op *stepped = (struct stepped_op *)op;
        stepped->next = op->end;
        stepped->code = op->status.code;
        stepped->place = op->end < op->items ? QUEUED : FINISHED;
        lane->queued += stepped->place == QUEUED;
    }
}

/* ---- callers ---- */

static void submit_one(void)
{
    struct stepped_op *stepped = &ops[chance(OPS)];
    struct stepped_lane *lane = &lanes[chance(LANES)];
    struct op *op = &stepped->op;
    struct status status = STATUS_INIT;
    if (stepped->place != IDLE)
        return;
    void (*done)(struct op *) = op->done;
    *stepped = (struct stepped_op){.lane = lane->number, .place = QUEUED};
    *op = (struct op){.caller = {1 + chance(4), chance(3)},
                      .scope = {.tenant = one_in(8)},
                      .deadline_ms = clock_monotonic_ms() + chance(one_in(4) ? 60 : 30000),
                      .items = 1 + chance(one_in(4) ? 30 : 3),
                      .done = done};
    op->bytes = op->items * chance(300);
    if (lane_submit(lane->lane, op, &status)) {
        assert_true(!lane->stopping && lane->sessions > 0);
        lane->held++;
        lane->queued++;
        assert_true(lane->held <= MAX_HELD);
        return;
    }
    stepped->place = IDLE;
    assert_string_equal(status.reason, lane->stopping        ? "STOPPING"
                                       : lane->sessions == 0 ? "STORE_UNAVAILABLE"
                                                             : "QUEUE_FULL");
    assert_true(lane->stopping || lane->sessions == 0 || lane->held >= MAX_HELD / 2);
    refusals[lane->stopping ? 0 : lane->sessions == 0 ? 1 : 2]++;
}

/* Once for each, with no lock held, and one that was not carried out says why. */
static void on_done(struct op *op)
{
    struct stepped_op *stepped = (struct stepped_op *)op;
    struct stepped_lane *lane = &lanes[stepped->lane];
    assert_int_equal(lane_is_connected(lane->lane), lane->sessions > 0);
    if (stepped->place == QUEUED) {
        lane->queued--;
        bool late = op->status.code == STATUS_DEADLINE_EXCEEDED;
        assert_true(late ? stepped->next == 0 && op->deadline_ms <= clock_monotonic_ms()
                         : op->status.code == STATUS_UNAVAILABLE && lane->sessions == 0);
    } else {
        assert_int_equal(stepped->place, FINISHED);
        assert_int_equal(op->status.code, stepped->code);
        assert_int_equal(op->end, op->items);
    }
    stepped->place = IDLE;
    lane->held--;
    if (one_in(2))
        submit_one();
}

/* ---- steps ---- */

static void step(struct stepped_worker *worker)
{
    struct stepped_worker *interrupted = current;
    if (worker->busy || worker->done)
        return;
    current = worker;
    worker->busy = true;
    worker->done = !lane_step(lane_of(worker)->lane, worker->number);
    worker->busy = false;
    assert_true(!worker->done || lane_of(worker)->stopping);
    /* Its session is not counted on any more, and closed with the lane. */
    lane_of(worker)->sessions -= worker->done && worker->session;
    current = interrupted;
}

static void check_counts(void)
{
    unsigned wanting = 0;
    for (unsigned i = 0; i < LANES; i++) {
        struct stepped_lane *lane = &lanes[i];
        enum lane_kind kind = i;
        wanting += lane->sessions == 0;
        assert_int_equal(lane_is_connected(lane->lane), lane->sessions > 0);
        assert_int_equal(atomic_load(&lane_queue_depth.cells[kind]), lane->held);
        assert_int_equal(atomic_load(&lane_sessions.cells[kind]), lane->sessions);
    }
    assert_int_equal(atomic_load(&store.wanting), wanting);
}

static void step_any(void)
{
    switch (chance(10)) {
    case 0: steps_pass_ms(chance(one_in(8) ? 3000 : 50)); break;
    case 1: allowed_sessions = chance(LANES * WORKERS + 1); break;
    case 2:
    case 3:
    case 4: submit_one(); break;
    default: step(&lanes[chance(LANES)].workers[chance(WORKERS)]);
    }
}

static void wander(void)
{
    if (depth == DEPTH)
        return;
    depth++;
    check_counts();
    for (unsigned steps = chance(4); steps > 0; steps--)
        step_any();
    check_counts();
    depth--;
}

static void stop(struct stepped_lane *lane)
{
    lane->stopping = true;
    lane_stop(lane->lane);
}

/* Of lanes that stop: their workers come to their ends. */
static void step_to_the_end(struct stepped_lane *lane)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned steps = 0; !lane->workers[i].done; steps++) {
            assert_true(steps < 1000);
            step(&lane->workers[i]);
        }
    }
    assert_int_equal(lane->queued, 0);
    assert_int_equal(lane->held, 0);
}

static void open_lane(unsigned number)
{
    struct stepped_lane *lane = &lanes[number];
    *lane = (struct stepped_lane){.number = number, .divides = one_in(2)};
    for (unsigned i = 0; i < WORKERS; i++)
        lane->workers[i] = (struct stepped_worker){.lane = number, .number = i};
    lane->lane = lane_new(&(struct lane_config){
        .kind = number,
        .store = &store,
        .workers = WORKERS,
        .max_held = {MAX_HELD, 1 << 20},
        .max_batch = MAX_BATCH,
        .max_batch_bytes = MAX_BYTES,
        .divides = lane->divides,
        .run = carry_out,
        .context = lane,
    });
}

static void go_one_round(void)
{
    allowed_sessions = chance(LANES * WORKERS + 1);
    for (unsigned i = 0; i < LANES; i++)
        open_lane(i);
    for (unsigned i = 0; i < STEPS; i++)
        step_any();
    for (unsigned i = 0; i < LANES; i++)
        stop(&lanes[i]);
    for (unsigned i = 0; i < LANES; i++)
        step_to_the_end(&lanes[i]);
    depth = DEPTH; /* the lanes go one by one */
    for (unsigned i = 0; i < LANES; i++)
        lane_close(lanes[i].lane);
    depth = 0;
    assert_int_equal(open_sessions, 0);
    assert_int_equal(atomic_load(&store.wanting), 0);
}

static void lanes_carry_out_each_item_once_whatever_happens(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OPS; i++)
        ops[i].op.done = on_done;
    for (unsigned i = 0; i < ROUNDS; i++)
        go_one_round();
    assert_true(runs > ROUNDS && pings > 0 && refusals[0] > 0 && refusals[1] > 0 &&
                refusals[2] > 0);
}

int main(void)
{
    steps_begin();
    log_init("lane_steps", LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_carry_out_each_item_once_whatever_happens),
    };
    return cmocka_run_group_tests_name("lane_steps", tests, NULL, NULL);
}
