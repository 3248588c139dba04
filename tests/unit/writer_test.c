/* The group-commit writer over a scripted store: batching, splitting, retries, lost sessions,
 * bounds, deadlines and closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/clock.h"
#include "events/writer.h"

/* ---- a store whose answers the test scripts ---- */

#define MAX_STEPS 64
#define POISON 0xEE /* first byte of an id that the store rejects */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum store_result steps[MAX_STEPS]; /* of the next writes; STORE_OK behind the last */
    size_t step_count;
    size_t step;
    bool gate_closed; /* writes wait */
    bool away;        /* session_open fails */
    size_t waiting;   /* writes at the gate */
    size_t writes;
    size_t largest; /* items of a write */
    size_t opened;
    size_t stored;
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

static bool has_poison(const struct store_write *batch)
{
    for (size_t i = 0; i < batch->append_count; i++) {
        if (batch->appends[i]->event.id[0] == POISON)
            return true;
    }
    return false;
}

static enum store_result fake_write(struct store_session *session, struct store_write *batch,
                                    struct status *status)
{
    (void)session;
    pthread_mutex_lock(&script.lock);
    script.waiting++;
    pthread_cond_broadcast(&script.changed);
    while (script.gate_closed)
        pthread_cond_wait(&script.changed, &script.lock);
    script.waiting--;
    script.writes++;
    size_t items = batch->append_count + batch->ack_count;
    if (items > script.largest)
        script.largest = items;
    enum store_result result =
        script.step < script.step_count ? script.steps[script.step++] : STORE_OK;
    if (result == STORE_OK && has_poison(batch))
        result = STORE_REJECTED;
    if (result == STORE_OK)
        script.stored += items;
    pthread_mutex_unlock(&script.lock);
    if (result != STORE_OK)
        status_fail(status, STATUS_INTERNAL, "SCRIPTED", "scripted");
    for (size_t i = 0; result == STORE_OK && i < batch->append_count; i++)
        batch->appends[i]->outcome = STORE_DONE;
    for (size_t i = 0; result == STORE_OK && i < batch->ack_count; i++)
        batch->acks[i]->outcome = STORE_DONE;
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
    bool done;
    struct status status;
};

static size_t done_count;

static void on_done(struct op *op)
{
    struct tracked *tracked = (struct tracked *)op;
    pthread_mutex_lock(&script.lock);
    assert_false(tracked->done);
    tracked->done = true;
    tracked->status = op->status;
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
    tracked->write.op.done = on_done;
    tracked->write.op.deadline_ms = clock_monotonic_ms() + 30000;
    for (size_t i = 0; i < count; i++)
        tracked->items[i].append.event.id[15] = ++serial;
    return tracked;
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

static struct writer *writer;

static int setup(void **state)
{
    (void)state;
    script.step_count = script.step = script.writes = script.largest = 0;
    script.opened = script.stored = done_count = 0;
    script.gate_closed = script.away = false;
    writer = writer_open(&fake_store, 1);
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
            assert_true(ops[i]->items[j].append.event.created_at_us > last);
            last = ops[i]->items[j].append.event.created_at_us;
        }
        free(ops[i]);
    }
}

static void only_the_guilty_items_of_a_batch_fail(void **state)
{
    (void)state;
    struct tracked *ops[20];
    set_gate(true);
    struct tracked *first = tracked_new(1);
    submit(first);
    wait_at_gate();
    for (size_t i = 0; i < 20; i++) {
        ops[i] = tracked_new(3);
        if (i % 7 == 3)
            ops[i]->items[1].append.event.id[0] = POISON;
        submit(ops[i]);
    }
    set_gate(false);
    wait_done(21);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(ops[i]->status.code, STATUS_OK);
        for (size_t j = 0; j < 3; j++)
            assert_int_equal(ops[i]->items[j].rejected, i % 7 == 3 && j == 1);
        free(ops[i]);
    }
    assert_int_equal(script.stored, 1 + 60 - 3);
    free(first);
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
    free(op);
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
    free(op);
}

static void a_write_in_doubt_stays_so_when_it_then_fails(void **state)
{
    (void)state;
    script.steps[0] = STORE_LOST;
    script.steps[1] = STORE_UNAVAILABLE;
    script.step_count = 2;
    struct tracked *op = tracked_new(1);
    submit(op);
    wait_done(1);
    assert_int_equal(op->status.code, STATUS_UNAVAILABLE);
    assert_string_equal(op->status.reason, "OUTCOME_UNKNOWN");
    free(op);
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
    free(op);
    free(next);
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
    free(first);
    free(late);
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
        free(ops[i]);
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
        free(ops[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_queues_during_a_commit_is_the_next_batch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_the_guilty_items_of_a_batch_fail, setup, teardown),
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
