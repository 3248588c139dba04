/* Lanes over a store that gives out so many sessions: who is woken, how lanes stop, what a batch is
 * while there are several callers, and that reads fail one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "events/readers.h"

#define MAX_OPS 64
#define MAX_RUNS 256
#define DAMAGED 0xEE /* first byte of an id whose event cannot be read */

struct run {
    struct op *op;
    size_t first;
    size_t end;
    size_t batch; /* number of the run it was part of */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned sessions; /* that the store gives out at most */
    unsigned open;     /* sessions */
    atomic_uint tries; /* to open one */
    unsigned refused;  /* of these */
    bool gate_closed;  /* batches wait */
    unsigned passes;   /* but for so many */
    unsigned at_gate;
    size_t batches;
    bool takes_more; /* once they have passed the gate */
    struct run runs[MAX_RUNS];
    size_t run_count;
    size_t done;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- a store ---- */

static enum store_result fake_open(struct store *store, bool read_only,
                                   struct store_session **session, struct status *status)
{
    (void)read_only;
    pthread_mutex_lock(&world.lock);
    world.tries++;
    bool granted = world.open < world.sessions;
    world.open += granted;
    world.refused += !granted;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
    if (!granted) {
        status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "too many sessions");
        return STORE_UNAVAILABLE;
    }
    *session = calloc(1, sizeof(**session));
    (*session)->store = store;
    return STORE_OK;
}

static void fake_close(struct store_session *session)
{
    pthread_mutex_lock(&world.lock);
    world.open--;
    pthread_mutex_unlock(&world.lock);
    free(session);
}

static enum store_result fake_ping(struct store_session *session, struct status *status)
{
    (void)session;
    (void)status;
    return STORE_OK;
}

static void pass_gate(void)
{
    pthread_mutex_lock(&world.lock);
    world.at_gate++;
    world.batches++;
    pthread_cond_broadcast(&world.changed);
    while (world.gate_closed && world.passes == 0)
        pthread_cond_wait(&world.changed, &world.lock);
    world.passes -= world.gate_closed;
    world.at_gate--;
    pthread_mutex_unlock(&world.lock);
}

static enum store_result fake_get(struct store_session *session, struct scope scope,
                                  struct store_get **gets, size_t count, struct status *status)
{
    (void)scope;
    (void)session;
    pass_gate();
    for (size_t i = 0; i < count; i++) {
        gets[i]->outcome = STORE_NOT_FOUND;
        if (gets[i]->id[0] != DAMAGED)
            continue;
        status_fail(status, STATUS_DATA_LOSS, "STORE_DAMAGED", "damaged");
        return STORE_UNAVAILABLE;
    }
    return STORE_OK;
}

static const struct store_driver FAKE = {
    .name = "fake",
    .session_open = fake_open,
    .session_close = fake_close,
    .get = fake_get,
    .ping = fake_ping,
};
static struct store fake_store = {.driver = &FAKE, .description = (char *)"fake"};

/* ---- a lane and its operations ---- */

static struct lane *lane;
static struct op ops[MAX_OPS];

static void note_runs(struct worker *worker, struct op *batch)
{
    assert_non_null(worker_session(worker));
    pass_gate();
    if (world.takes_more)
        worker_take_more(worker);
    pthread_mutex_lock(&world.lock);
    for (struct op *op = batch; op; op = op->next)
        world.runs[world.run_count++] = (struct run){op, op->first, op->end, world.batches};
    pthread_mutex_unlock(&world.lock);
}

static void on_done(struct op *op)
{
    (void)op;
    pthread_mutex_lock(&world.lock);
    world.done++;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static void open_lane(unsigned workers, unsigned sessions, bool divides)
{
    world.sessions = sessions;
    lane = lane_open(&(struct lane_config){
        .kind = LANE_WRITES,
        .store = &fake_store,
        .workers = workers,
        .max_held = {1000, 1 << 30},
        .max_batch = 4096,
        .max_batch_bytes = SIZE_MAX,
        .divides = divides,
        .run = note_runs,
    });
    struct status status;
    lane_await_first_try(lane, &status);
}

static int setup(void **state)
{
    (void)state;
    world.sessions = world.open = world.refused = world.at_gate = 0;
    world.tries = 0;
    world.batches = world.run_count = world.done = 0;
    world.gate_closed = world.takes_more = false;
    return 0;
}

static void submit_with(struct op *op, uint64_t connection, size_t items, int64_t tenant,
                        size_t bytes)
{
    struct status status;
    *op = (struct op){.caller = {.connection = connection},
                      .scope = {.tenant = tenant},
                      .deadline_ms = clock_monotonic_ms() + 30000,
                      .bytes = bytes,
                      .items = items,
                      .done = on_done};
    assert_true(lane_submit(lane, op, &status));
}

static void submit_for(struct op *op, uint64_t connection, size_t items, int64_t tenant)
{
    submit_with(op, connection, items, tenant, items * 100);
}

static void submit(struct op *op, uint64_t connection, size_t items)
{
    submit_for(op, connection, items, 0);
}

static void set_gate(bool closed)
{
    pthread_mutex_lock(&world.lock);
    world.gate_closed = closed;
    world.passes = 0;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static void let_pass(unsigned batches)
{
    pthread_mutex_lock(&world.lock);
    world.passes = batches;
    pthread_cond_broadcast(&world.changed);
    while (world.passes > 0 || world.at_gate == 0)
        pthread_cond_wait(&world.changed, &world.lock);
    pthread_mutex_unlock(&world.lock);
}

static void wait_at_gate(void)
{
    pthread_mutex_lock(&world.lock);
    while (world.at_gate == 0)
        pthread_cond_wait(&world.changed, &world.lock);
    pthread_mutex_unlock(&world.lock);
}

static void wait_done(size_t count)
{
    pthread_mutex_lock(&world.lock);
    while (world.done < count)
        pthread_cond_wait(&world.changed, &world.lock);
    pthread_mutex_unlock(&world.lock);
}

static void wait_refused(unsigned count)
{
    pthread_mutex_lock(&world.lock);
    while (world.refused < count)
        pthread_cond_wait(&world.changed, &world.lock);
    pthread_mutex_unlock(&world.lock);
}

/* Threads of this process. */
static size_t count_threads(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* ---- waking ---- */

static void a_worker_without_a_session_takes_no_wake_up(void **state)
{
    (void)state;
    open_lane(3, 1, false);
    wait_refused(2);
    int64_t started_ms = clock_monotonic_ms();
    for (size_t i = 0; i < 40; i++) {
        submit(&ops[0], 1, 1);
        wait_done(i + 1);
    }
    /* One that is swallowed is made up for after two seconds, by a worker that looks by itself. */
    assert_true(clock_monotonic_ms() - started_ms < 10000);
    lane_close(lane);
}

static struct lane *open_lists(unsigned workers)
{
    return lane_open(&(struct lane_config){
        .kind = LANE_LISTS,
        .store = &fake_store,
        .workers = workers,
        .max_held = {1000, 1 << 30},
        .max_batch = 4,
        .max_batch_bytes = SIZE_MAX,
        .run = note_runs,
    });
}

static void no_lane_has_a_second_session_before_another_has_one(void **state)
{
    (void)state;
    world.sessions = 0;
    struct lane *one = open_lists(1);
    struct lane *several = open_lists(4);
    for (unsigned tries = world.tries; world.tries < tries + 6; sched_yield())
        ; /* with nothing to be had */
    pthread_mutex_lock(&world.lock);
    world.sessions = 2;
    pthread_mutex_unlock(&world.lock);
    while (!lane_is_connected(one) || !lane_is_connected(several))
        sched_yield();
    lane_close(several);
    lane_close(one);
}

static void a_second_session_is_given_up_for_a_lane_without(void **state)
{
    (void)state;
    world.sessions = 3;
    struct lane *several = open_lists(3);
    for (unsigned open = 0; open < 3; sched_yield()) {
        pthread_mutex_lock(&world.lock);
        open = world.open;
        pthread_mutex_unlock(&world.lock);
    }
    struct lane *one = open_lists(1);
    while (!lane_is_connected(one))
        sched_yield();
    assert_true(lane_is_connected(several));
    lane_close(one);
    lane_close(several);
}

/* ---- stopping ---- */

static void a_worker_without_a_session_leaves_at_a_stop(void **state)
{
    (void)state;
    size_t threads = count_threads();
    open_lane(2, 1, false);
    set_gate(true);
    submit(&ops[0], 1, 1);
    wait_at_gate();
    for (size_t i = 1; i < 10; i++)
        submit(&ops[i], 1, 1);
    lane_stop(lane);
    pthread_mutex_lock(&world.lock);
    unsigned tries = world.tries;
    pthread_mutex_unlock(&world.lock);
    while (count_threads() > threads + 1) {
        sched_yield();
        pthread_mutex_lock(&world.lock);
        assert_in_range(world.tries, tries, tries + 1);
        pthread_mutex_unlock(&world.lock);
    }
    set_gate(false);
    lane_close(lane);
    assert_int_equal(world.done, 10);
    assert_int_equal(world.run_count, 10);
}

static void the_only_worker_serves_again_when_it_gets_a_session(void **state)
{
    (void)state;
    struct status status;
    open_lane(1, 0, false);
    ops[0] = (struct op){.items = 1, .deadline_ms = INT64_MAX, .done = on_done};
    assert_false(lane_submit(lane, &ops[0], &status));
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    pthread_mutex_lock(&world.lock);
    world.sessions = 1;
    pthread_mutex_unlock(&world.lock);
    while (!lane_is_connected(lane))
        sched_yield();
    for (size_t i = 0; i < 10; i++) {
        submit(&ops[0], 1, 1);
        wait_done(i + 1);
    }
    lane_close(lane);
    assert_int_equal(world.open, 0);
}

static void what_waits_fails_when_the_only_worker_cannot_come_back(void **state)
{
    (void)state;
    open_lane(1, 0, false);
    unsigned tries = world.tries;
    lane_close(lane);
    assert_in_range(world.tries, tries, tries + 2);
}

/* ---- batches ---- */

/* What is submitted between is there when the next batch is taken. */
static void begin_together(void)
{
    set_gate(true);
    submit(&ops[MAX_OPS - 1], 1, 1);
    wait_at_gate();
}

static void one_caller_alone_fills_batches(void **state)
{
    (void)state;
    open_lane(1, 1, true);
    begin_together();
    for (size_t i = 0; i < 10; i++)
        submit(&ops[i], 1, 1000);
    set_gate(false);
    wait_done(11);
    assert_int_equal(world.batches, 1 + 3);
    lane_close(lane);
}

/* Items of each operation, from its first on, come one after the other and each once. */
static void check_all_were_run(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t next = 0;
        for (size_t j = 0; j < world.run_count; j++) {
            const struct run *run = &world.runs[j];
            if (run->op != &ops[i])
                continue;
            assert_int_equal(run->first, next);
            next = run->end;
        }
        assert_int_equal(next, ops[i].items);
    }
}

static size_t batch_of(const struct op *op)
{
    size_t batch = 0;
    for (size_t i = 0; i < world.run_count; i++) {
        if (world.runs[i].op == op)
            batch = world.runs[i].batch;
    }
    return batch;
}

static void a_small_operation_waits_for_no_long_batch(void **state)
{
    (void)state;
    open_lane(1, 1, true);
    begin_together();
    for (size_t i = 0; i < 10; i++)
        submit(&ops[i], 2, 1000);
    let_pass(2);
    size_t before = world.batches;
    submit(&ops[10], 3, 1);
    submit(&ops[11], 4, 2);
    set_gate(false);
    wait_done(13);
    assert_int_equal(batch_of(&ops[10]), before + 1);
    assert_int_equal(batch_of(&ops[11]), before + 1);
    check_all_were_run(12);
    size_t alone = 0;
    for (size_t i = 0; i < world.run_count; i++)
        alone += world.runs[i].batch == before + 1;
    assert_int_equal(alone, 2);
    lane_close(lane);
}

static void an_operation_that_is_not_divided_is_run_at_once(void **state)
{
    (void)state;
    open_lane(1, 1, false);
    begin_together();
    for (size_t i = 0; i < 5; i++)
        submit(&ops[i], 2 + i % 2, 5000);
    set_gate(false);
    wait_done(6);
    assert_int_equal(world.run_count, 6);
    check_all_were_run(5);
    lane_close(lane);
}

static void an_expired_operation_is_not_run(void **state)
{
    (void)state;
    open_lane(1, 1, true);
    begin_together();
    submit(&ops[0], 2, 10);
    submit(&ops[1], 2, 10);
    ops[0].deadline_ms = clock_monotonic_ms();
    set_gate(false);
    wait_done(3);
    assert_int_equal(ops[0].status.code, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(ops[1].status.code, STATUS_OK);
    assert_int_equal(world.run_count, 2);
    lane_close(lane);
}

static void what_has_expired_takes_no_room_in_a_batch(void **state)
{
    (void)state;
    open_lane(1, 1, true);
    begin_together();
    submit(&ops[0], 1, 3900);
    submit(&ops[1], 1, 3900);
    ops[0].deadline_ms = clock_monotonic_ms();
    set_gate(false);
    wait_done(3);
    assert_int_equal(ops[0].status.code, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(ops[1].status.code, STATUS_OK);
    assert_int_equal(world.batches, 2);
    lane_close(lane);
}

/* However the tenants come, each batch is about one, and has all of it. */
static void tenants_share_no_batch(void **state)
{
    (void)state;
    static const int64_t tenants[] = {0, 7, 7, 0, 7};
    enum { COUNT = sizeof(tenants) / sizeof(tenants[0]) };
    open_lane(1, 1, true);
    begin_together();
    for (size_t i = 0; i < COUNT; i++)
        submit_for(&ops[i], 1, 1, tenants[i]);
    set_gate(false);
    wait_done(COUNT + 1);
    for (size_t i = 1; i < world.run_count; i++) {
        const struct run *run = &world.runs[i];
        const struct run *before = &world.runs[i - 1];
        if (run->batch == before->batch)
            assert_int_equal(run->op->scope.tenant, before->op->scope.tenant);
    }
    assert_int_equal(world.batches, 3); /* of 1, 2 and 3 */
    lane_close(lane);
}

/* ---- reads ---- */

/* While it waits for its turn at the store. */
static void what_comes_meanwhile_joins_the_batch(void **state)
{
    (void)state;
    open_lane(1, 1, true);
    world.takes_more = true;
    begin_together();
    submit(&ops[0], 1, 100);
    submit(&ops[1], 1, 10);
    submit(&ops[2], 1, 4000);
    submit_for(&ops[3], 1, 1, 7);
    ops[1].deadline_ms = clock_monotonic_ms();
    set_gate(false);
    wait_done(5);
    assert_int_equal(ops[1].status.code, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(world.runs[1].op, &ops[0]);
    assert_int_equal(world.runs[1].batch, 1);
    assert_int_equal(world.runs[2].op, &ops[2]);
    assert_int_equal(world.runs[2].batch, 1);
    assert_true(world.runs[2].end < 4000); /* the rest is for a later one: tenant 7 has its turn */
    assert_int_equal(batch_of(&ops[3]), 2);
    assert_int_equal(batch_of(&ops[2]), 3);
    lane_close(lane);
}

/* It costs more than a batch may while there are several callers. */
static void a_large_operation_has_a_batch_of_its_own(void **state)
{
    (void)state;
    open_lane(1, 1, true);
    begin_together();
    for (size_t i = 0; i < 6; i++)
        submit_with(&ops[i], 2 + i % 2, 1, 0, (size_t)64 << 20);
    set_gate(false);
    wait_done(7);
    assert_int_equal(world.batches, 7);
    lane_close(lane);
}

static void a_read_that_fails_fails_no_other(void **state)
{
    (void)state;
    static struct get_op gets[20];
    static struct arena arena;
    struct status status;
    world.sessions = 2;
    struct readers *readers = readers_open(&fake_store, 1);
    lane_await_first_try(readers_get_lane(readers), &status);
    set_gate(true);
    for (size_t i = 0; i < 20; i++) {
        gets[i] = (struct get_op){.op = {.deadline_ms = INT64_MAX, .done = on_done}};
        gets[i].get.arena = &arena;
        gets[i].get.id[0] = i % 7 == 3 ? DAMAGED : 1;
        assert_true(readers_submit_get(readers, &gets[i], &status));
        if (i == 0)
            wait_at_gate();
    }
    set_gate(false);
    wait_done(20);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(gets[i].op.status.code, i % 7 == 3 ? STATUS_DATA_LOSS : STATUS_OK);
    readers_close(readers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_worker_without_a_session_takes_no_wake_up, setup),
        cmocka_unit_test_setup(no_lane_has_a_second_session_before_another_has_one, setup),
        cmocka_unit_test_setup(a_second_session_is_given_up_for_a_lane_without, setup),
        cmocka_unit_test_setup(a_worker_without_a_session_leaves_at_a_stop, setup),
        cmocka_unit_test_setup(the_only_worker_serves_again_when_it_gets_a_session, setup),
        cmocka_unit_test_setup(what_waits_fails_when_the_only_worker_cannot_come_back, setup),
        cmocka_unit_test_setup(one_caller_alone_fills_batches, setup),
        cmocka_unit_test_setup(a_small_operation_waits_for_no_long_batch, setup),
        cmocka_unit_test_setup(an_operation_that_is_not_divided_is_run_at_once, setup),
        cmocka_unit_test_setup(an_expired_operation_is_not_run, setup),
        cmocka_unit_test_setup(what_has_expired_takes_no_room_in_a_batch, setup),
        cmocka_unit_test_setup(tenants_share_no_batch, setup),
        cmocka_unit_test_setup(what_comes_meanwhile_joins_the_batch, setup),
        cmocka_unit_test_setup(a_large_operation_has_a_batch_of_its_own, setup),
        cmocka_unit_test_setup(a_read_that_fails_fails_no_other, setup),
    };
    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
