/* The group-commit writer over a scripted store: batching, splitting, retries, lost sessions,
 * bounds, deadlines and closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "events/writer.h"

/* ---- a store whose answers the test scripts ---- */

#define MAX_STEPS 64
#define POISON 0xEE /* first byte of an id that the store rejects */
#define LOCKED 0xDD /* and of one that is locked */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum store_result steps[MAX_STEPS]; /* of the next writes; STORE_OK behind the last */
    size_t step_count;
    size_t step;
    bool gate_closed; /* writes wait */
    bool away;        /* session_open fails */
    bool repeated;    /* what is written was there */
    size_t waiting;   /* writes at the gate */
    size_t writes;
    size_t largest; /* items of a write */
    size_t opened;
    size_t stored;
    size_t parts; /* writes of a part of a batch */
} script = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static enum store_result fake_open(struct store *store, bool read_only,
                                   struct store_session **session, struct status *status)
{
    (void)read_only;
    pthread_mutex_lock(&script.lock);
    bool away = script.away;
    script.opened++;
    pthread_mutex_unlock(&script.lock);
    if (away) {
        status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "away");
        return STORE_UNAVAILABLE;
    }
    *session = calloc(1, sizeof(**session));
    (*session)->store = store;
    return STORE_OK;
}

static void fake_session_close(struct store_session *session)
{
    free(session);
}

/* The serial number of the first item whose id begins so; 0: none. */
static int find_id(const struct store_write *batch, uint8_t first)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->items[i]->event.id[0] == first)
            return batch->items[i]->event.id[15];
    }
    return 0;
}

static enum store_result fake_write(struct store_session *session, struct scope scope,
                                    struct store_write *batch, struct status *status)
{
    (void)scope;
    (void)session;
    pthread_mutex_lock(&script.lock);
    script.waiting++;
    pthread_cond_broadcast(&script.changed);
    while (script.gate_closed)
        pthread_cond_wait(&script.changed, &script.lock);
    script.waiting--;
    script.writes++;
    if (batch->count > script.largest)
        script.largest = batch->count;
    enum store_result result =
        script.step < script.step_count ? script.steps[script.step++] : STORE_OK;
    int poison = find_id(batch, POISON);
    if (result == STORE_OK && poison)
        result = STORE_REJECTED;
    if (result == STORE_OK && find_id(batch, LOCKED))
        result = STORE_LOCKED;
    script.parts += batch->part;
    if (result == STORE_OK)
        script.stored += batch->count;
    pthread_mutex_unlock(&script.lock);
    if (result != STORE_OK)
        status_fail(status, STATUS_INTERNAL, "SCRIPTED", "scripted, poison %d", poison);
    for (size_t i = 0; result == STORE_OK && i < batch->count; i++)
        batch->items[i]->outcome = script.repeated ? STORE_REPEATED : STORE_DONE;
    return result;
}

static enum store_result fake_ping(struct store_session *session, struct status *status)
{
    (void)session;
    (void)status;
    return STORE_OK;
}

static const struct store_driver FAKE = {
    .name = "fake",
    .session_open = fake_open,
    .session_close = fake_session_close,
    .write = fake_write,
    .ping = fake_ping,
};
static struct store fake_store = {.driver = &FAKE, .description = (char *)"fake"};

/* ---- operations whose end can be waited for ---- */

struct tracked {
    struct write_op write; /* first */
    struct write_item items[3];
    struct arena arena;
    bool done;
    struct status status;
};

static size_t done_count;

static void on_done(struct write_op *op)
{
    struct tracked *tracked = (struct tracked *)op;
    pthread_mutex_lock(&script.lock);
    assert_false(tracked->done);
    tracked->done = true;
    tracked->status = op->op.status;
    done_count++;
    pthread_cond_broadcast(&script.changed);
    pthread_mutex_unlock(&script.lock);
}

static struct tracked *tracked_new(size_t count)
{
    static uint8_t serial;
    struct tracked *tracked = calloc(1, sizeof(*tracked));
    tracked->write.items = tracked->items;
    tracked->write.count = count;
    arena_init(&tracked->arena, 1 << 20);
    tracked->write.arena = &tracked->arena;
    tracked->write.done = on_done;
    tracked->write.op.deadline_ms = clock_monotonic_ms() + 30000;
    for (size_t i = 0; i < count; i++)
        tracked->items[i].stored.event.id[15] = ++serial;
    return tracked;
}

static void tracked_free(struct tracked *tracked)
{
    arena_fini(&tracked->arena);
    free(tracked);
}

static void wait_done(size_t count)
{
    pthread_mutex_lock(&script.lock);
    while (done_count < count)
        pthread_cond_wait(&script.changed, &script.lock);
    pthread_mutex_unlock(&script.lock);
}

static void set_gate(bool closed)
{
    pthread_mutex_lock(&script.lock);
    script.gate_closed = closed;
    pthread_cond_broadcast(&script.changed);
    pthread_mutex_unlock(&script.lock);
}

static void wait_at_gate(void)
{
    pthread_mutex_lock(&script.lock);
    while (script.waiting == 0)
        pthread_cond_wait(&script.changed, &script.lock);
    pthread_mutex_unlock(&script.lock);
}

/* ---- who hears of commits ---- */

static size_t heard_count;
static uint8_t heard_first; /* serial number */

static void on_committed(void *context, struct scope scope, const struct store_event *const *events,
                         size_t count)
{
    assert_ptr_equal(context, &script);
    assert_int_equal(scope.tenant, 0);
    pthread_mutex_lock(&script.lock);
    if (heard_count == 0)
        heard_first = events[0]->id[15];
    heard_count += count;
    pthread_mutex_unlock(&script.lock);
}

static struct writer *writer;

static int setup(void **state)
{
    (void)state;
    script.step_count = script.step = script.writes = script.largest = 0;
    script.opened = script.stored = script.parts = done_count = 0;
    script.gate_closed = script.away = script.repeated = false;
    heard_count = 0;
    writer = writer_open(&fake_store, 1, on_committed, &script);
    struct status status;
    return lane_await_first_try(writer_lane(writer), &status) == STORE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    writer_close(writer);
    return 0;
}

static void submit(struct tracked *tracked)
{
    struct status status;
    assert_true(writer_submit(writer, &tracked->write, &status));
}

/* ---- tests ---- */

static void what_queues_during_a_commit_is_the_next_batch(void **state)
{
    (void)state;
    struct tracked *ops[11];
    set_gate(true);
    submit(ops[0] = tracked_new(1));
    wait_at_gate();
    for (size_t i = 1; i < 11; i++)
        submit(ops[i] = tracked_new(i % 3 + 1));
    set_gate(false);
    wait_done(11);
    assert_int_equal(script.writes, 2);
    assert_int_equal(script.largest, 4 * 2 + 3 * 3 + 3 * 1);
    int64_t last = 0;
    for (size_t i = 0; i < 11; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_OK);
        for (size_t j = 0; j < ops[i]->write.count; j++) {
            assert_true(ops[i]->items[j].stored.event.created_at_us > last);
            last = ops[i]->items[j].stored.event.created_at_us;
        }
        tracked_free(ops[i]);
    }
}

/* Of those in a commit whose answer was lost too, which are repeated in the next. */
static void who_listens_hears_of_what_is_appended(void **state)
{
    (void)state;
    struct tracked *batch = tracked_new(3);
    struct tracked *ack = tracked_new(1);
    ack->items[0].stored.kind = STORE_ACK;
    script.steps[0] = STORE_LOST;
    script.step_count = 1;
    script.repeated = true;
    submit(batch);
    wait_done(1);
    assert_int_equal(heard_count, 3);
    assert_int_equal(heard_first, batch->items[0].stored.event.id[15]);
    submit(ack);
    wait_done(2);
    assert_int_equal(heard_count, 3);
    tracked_free(batch);
    tracked_free(ack);
}

/* Submits while one write is at the store, so that what is submitted is the next batch. */
static void submit_together(struct tracked **ops, size_t count)
{
    struct tracked *first = tracked_new(1);
    set_gate(true);
    submit(first);
    wait_at_gate();
    for (size_t i = 0; i < count; i++)
        submit(ops[i]);
    set_gate(false);
    wait_done(count + 1);
    tracked_free(first);
}

static void each_guilty_item_of_a_batch_is_told_its_own_failure(void **state)
{
    (void)state;
    struct tracked *ops[20];
    for (size_t i = 0; i < 20; i++) {
        ops[i] = tracked_new(3);
        if (i % 7 == 3)
            ops[i]->items[1].stored.event.id[0] = POISON;
    }
    submit_together(ops, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_OK);
        for (size_t j = 0; j < 3; j++) {
            const struct write_item *item = &ops[i]->items[j];
            char expected[32];
            snprintf(expected, sizeof(expected), "scripted, poison %d", item->stored.event.id[15]);
            if (i % 7 == 3 && j == 1)
                assert_string_equal(item->failure->message, expected);
            else
                assert_null(item->failure);
        }
        tracked_free(ops[i]);
    }
    assert_int_equal(script.stored, 1 + 60 - 3);
}

/* The results of the writes after that of the first operation. */
static void script_steps(size_t count, const enum store_result *steps)
{
    script.steps[0] = STORE_OK;
    memcpy(script.steps + 1, steps, count * sizeof(*steps));
    script.step_count = count + 1;
}

/* The caller's; the writer reads only whether there is one. */
static struct item_failure *const WRONG = (struct item_failure *)&script;

/* Of three items the middle one is wrong, or the last one, or all. */
static void an_item_that_is_wrong_is_left_out(void **state)
{
    (void)state;
    struct tracked *ops[3];
    for (size_t i = 0; i < 3; i++) {
        ops[i] = tracked_new(3);
        static const bool wrong[3][3] = {
            {false, true, false}, {false, false, true}, {true, true, true}};
        for (size_t j = 0; j < 3; j++)
            ops[i]->items[j].wrong = wrong[i][j] ? WRONG : NULL;
    }
    submit_together(ops, 3);
    assert_int_equal(script.stored, 1 + 2 + 2);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_OK);
        for (size_t j = 0; j < 3; j++)
            assert_null(ops[i]->items[j].failure);
        tracked_free(ops[i]);
    }
}

static void a_store_that_fails_is_told_whatever_else_is_wrong(void **state)
{
    (void)state;
    struct tracked *ops[2];
    for (size_t i = 0; i < 2; i++) {
        ops[i] = tracked_new(3);
        ops[i]->items[2 * i].wrong = WRONG; /* the first, or the last */
    }
    script_steps(1, (enum store_result[]){STORE_UNAVAILABLE});
    submit_together(ops, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_INTERNAL);
        tracked_free(ops[i]);
    }
}

static void what_a_split_batch_committed_is_told_as_done(void **state)
{
    (void)state;
    struct tracked *ops[4];
    for (size_t i = 0; i < 4; i++)
        ops[i] = tracked_new(2);
    script_steps(3, (enum store_result[]){STORE_REJECTED, STORE_OK, STORE_UNAVAILABLE});
    submit_together(ops, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ops[i]->status.code, i < 2 ? STATUS_OK : STATUS_INTERNAL);
        tracked_free(ops[i]);
    }
    assert_int_equal(script.writes, 4); /* nothing more is asked of a store that failed */
}

static void only_what_may_have_happened_is_told_so(void **state)
{
    (void)state;
    struct tracked *ops[4];
    for (size_t i = 0; i < 4; i++)
        ops[i] = tracked_new(1);
    script_steps(5, (enum store_result[]){STORE_REJECTED, STORE_REJECTED, STORE_OK, STORE_LOST,
                                          STORE_UNAVAILABLE});
    submit_together(ops, 4);
    assert_int_equal(ops[0]->status.code, STATUS_OK);
    assert_string_equal(ops[1]->status.reason, "OUTCOME_UNKNOWN");
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_UNAVAILABLE);
        assert_string_equal(ops[i]->status.reason, "STORE_UNAVAILABLE");
        assert_true(ops[i]->status.retry_delay_ms > 0);
    }
    for (size_t i = 0; i < 4; i++)
        tracked_free(ops[i]);
}

static void an_operation_that_was_written_in_part_tells_of_each_item(void **state)
{
    (void)state;
    struct tracked *op = tracked_new(3);
    script_steps(3, (enum store_result[]){STORE_REJECTED, STORE_OK, STORE_UNAVAILABLE});
    submit_together(&op, 1);
    assert_int_equal(op->status.code, STATUS_OK);
    assert_null(op->items[0].failure);
    for (size_t i = 1; i < 3; i++)
        assert_string_equal(op->items[i].failure->reason, "SCRIPTED");
    tracked_free(op);
}

/* Fails all of a batch of 20 operations of 3 items: how many writes that took. */
static size_t writes_to_fail_a_batch(uint8_t id)
{
    struct tracked *ops[20];
    for (size_t i = 0; i < 20; i++) {
        ops[i] = tracked_new(3);
        for (size_t j = 0; j < 3; j++)
            ops[i]->items[j].stored.event.id[0] = id;
    }
    submit_together(ops, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_OK);
        for (size_t j = 0; j < 3; j++)
            assert_non_null(ops[i]->items[j].failure);
        tracked_free(ops[i]);
    }
    assert_int_equal(script.stored, 1);
    assert_int_equal(script.parts, script.writes - 2);
    return script.writes - 1;
}

static void a_store_that_refuses_everything_is_not_asked_about_each_item(void **state)
{
    (void)state;
    assert_in_range(writes_to_fail_a_batch(POISON), 16, 50);
}

static void locks_are_waited_for_a_few_times_only(void **state)
{
    (void)state;
    assert_in_range(writes_to_fail_a_batch(LOCKED), 4, 18);
}

static void passing_failures_and_lost_sessions_are_tried_again(void **state)
{
    (void)state;
    script.steps[0] = STORE_RETRY;
    script.steps[1] = STORE_LOST;
    script.steps[2] = STORE_RETRY;
    script.step_count = 3;
    struct tracked *op = tracked_new(2);
    submit(op);
    wait_done(1);
    assert_int_equal(op->status.code, STATUS_OK);
    assert_int_equal(script.writes, 4);
    assert_int_equal(script.opened, 2);
    assert_int_equal(script.stored, 2);
    tracked_free(op);
}

static void a_store_that_fails_for_good_fails_the_batch(void **state)
{
    (void)state;
    script.steps[0] = STORE_UNAVAILABLE;
    script.step_count = 1;
    struct tracked *op = tracked_new(1);
    submit(op);
    wait_done(1);
    assert_int_equal(op->status.code, STATUS_INTERNAL);
    assert_string_equal(op->status.reason, "SCRIPTED");
    tracked_free(op);
}

static void a_write_in_doubt_stays_so_when_it_then_fails(void **state)
{
    (void)state;
    static const enum store_result failures[] = {STORE_UNAVAILABLE, STORE_LOCKED};
    for (size_t i = 0; i < 2; i++) {
        script.step = 0;
        script.steps[0] = STORE_LOST;
        script.steps[1] = failures[i];
        script.step_count = 2;
        struct tracked *op = tracked_new(2);
        submit(op);
        wait_done(i + 1);
        assert_int_equal(op->status.code, STATUS_UNAVAILABLE);
        assert_string_equal(op->status.reason, "OUTCOME_UNKNOWN");
        tracked_free(op);
    }
}

static void a_write_in_doubt_is_unavailable_at_its_deadline(void **state)
{
    (void)state;
    script.steps[0] = STORE_LOST;
    script.step_count = 1;
    struct tracked *op = tracked_new(1);
    op->write.op.deadline_ms = clock_monotonic_ms() + 200;
    set_gate(true);
    submit(op);
    wait_at_gate();
    pthread_mutex_lock(&script.lock);
    script.away = true;
    pthread_mutex_unlock(&script.lock);
    set_gate(false);
    wait_done(1);
    assert_int_equal(op->status.code, STATUS_UNAVAILABLE);
    assert_string_equal(op->status.reason, "OUTCOME_UNKNOWN");
    assert_true(op->status.retry_delay_ms > 0);

    struct tracked *next = tracked_new(1);
    struct status status;
    assert_false(writer_submit(writer, &next->write, &status));
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_string_equal(status.reason, "STORE_UNAVAILABLE");
    tracked_free(op);
    tracked_free(next);
}

static void late_operations_never_reach_the_store(void **state)
{
    (void)state;
    struct tracked *first = tracked_new(1);
    struct tracked *late = tracked_new(1);
    late->write.op.deadline_ms = clock_monotonic_ms();
    set_gate(true);
    submit(first);
    wait_at_gate();
    submit(late);
    set_gate(false);
    wait_done(2);
    assert_int_equal(first->status.code, STATUS_OK);
    assert_int_equal(late->status.code, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(script.stored, 1);
    tracked_free(first);
    tracked_free(late);
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    struct tracked *ops[2000];
    size_t count = 0;
    struct status status = STATUS_INIT;
    set_gate(true);
    submit(ops[count++] = tracked_new(1));
    wait_at_gate();
    while (count < 2000) {
        ops[count] = tracked_new(1);
        if (!writer_submit(writer, &ops[count]->write, &status))
            break;
        count++;
    }
    assert_int_equal(count, 1024); /* that at the store is one of them */
    assert_int_equal(status.code, STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(status.reason, "QUEUE_FULL");
    assert_true(status.retry_delay_ms > 0);
    set_gate(false);
    wait_done(count);
    for (size_t i = 0; i <= count; i++)
        tracked_free(ops[i]);
}

static void closing_finishes_what_is_queued(void **state)
{
    (void)state;
    struct tracked *ops[5];
    set_gate(true);
    submit(ops[0] = tracked_new(1));
    wait_at_gate();
    for (size_t i = 1; i < 5; i++)
        submit(ops[i] = tracked_new(1));
    set_gate(false);
    writer_close(writer);
    writer = NULL;
    assert_int_equal(done_count, 5);
    assert_int_equal(script.stored, 5);
    for (size_t i = 0; i < 5; i++)
        tracked_free(ops[i]);
}

/* ---- the clock ---- */

#define YEAR_US (INT64_C(365) * 24 * 3600 * 1000000)

static atomic_int_fast64_t clock_us;

static int64_t read_clock(void)
{
    return atomic_load(&clock_us);
}

static int setup_with_clock(void **state)
{
    atomic_store(&clock_us, 50 * YEAR_US);
    clock_set_now_for_test(read_clock);
    return setup(state);
}

static int teardown_with_clock(void **state)
{
    int result = teardown(state);
    clock_set_now_for_test(NULL);
    return result;
}

/* The time that an event gets at a time. */
static int64_t time_given_at(int64_t now_us)
{
    struct tracked *op = tracked_new(1);
    size_t before = done_count;
    atomic_store(&clock_us, now_us);
    submit(op);
    wait_done(before + 1);
    int64_t time_us = op->items[0].stored.event.created_at_us;
    tracked_free(op);
    return time_us;
}

static void times_follow_a_clock_that_is_corrected(void **state)
{
    (void)state;
    int64_t now = 50 * YEAR_US;
    assert_int_equal(time_given_at(now), now);
    assert_int_equal(time_given_at(now), now + 1);
    assert_int_equal(time_given_at(now - 500000), now + 2); /* a small step back: still ascending */
    assert_int_equal(time_given_at(now + YEAR_US), now + YEAR_US);
    assert_int_equal(time_given_at(now + 10), now + 10);
    assert_int_equal(time_given_at(now + 10), now + 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_queues_during_a_commit_is_the_next_batch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_listens_hears_of_what_is_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(each_guilty_item_of_a_batch_is_told_its_own_failure, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_item_that_is_wrong_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_fails_is_told_whatever_else_is_wrong, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_a_split_batch_committed_is_told_as_done, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_what_may_have_happened_is_told_so, setup, teardown),
        cmocka_unit_test_setup_teardown(an_operation_that_was_written_in_part_tells_of_each_item,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(times_follow_a_clock_that_is_corrected, setup_with_clock,
                                        teardown_with_clock),
        cmocka_unit_test_setup_teardown(
            a_store_that_refuses_everything_is_not_asked_about_each_item, setup, teardown),
        cmocka_unit_test_setup_teardown(locks_are_waited_for_a_few_times_only, setup, teardown),
        cmocka_unit_test_setup_teardown(passing_failures_and_lost_sessions_are_tried_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_store_that_fails_for_good_fails_the_batch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_write_in_doubt_stays_so_when_it_then_fails, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_write_in_doubt_is_unavailable_at_its_deadline, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(late_operations_never_reach_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_finishes_what_is_queued, setup, teardown),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
