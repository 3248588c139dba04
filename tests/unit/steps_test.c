/* Calls and turns stepped through in random orders without threads, by a clock that the test sets.
 * The seed is printed; TRIGGERS_TEST_SEED runs it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "events/turns.h"
#include "rpc/call.h"

static uint64_t seed;
static int64_t now_us = 1000000;

static int64_t read_now(void)
{
    return now_us;
}

/* xorshift64 */
static unsigned chance(unsigned count)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % count;
}

/* ---- a call: whoever comes first answers, once, and the handler leaves once ---- */

enum { ROUNDS = 20000, LIMIT_MS = 5 };

struct stepped {
    struct call call; /* first */
    uint8_t answer[512];
    bool refusing; /* there is no room for an answer */
    unsigned reserved, sent, left;
};

static uint8_t *on_reserve(struct call *call, size_t size)
{
    struct stepped *stepped = (struct stepped *)call;
    assert_true(size <= sizeof(stepped->answer));
    stepped->reserved++;
    return stepped->refusing ? NULL : stepped->answer;
}

static void on_send(struct call *call)
{
    ((struct stepped *)call)->sent++;
}

static void on_leave(struct call *call)
{
    ((struct stepped *)call)->left++;
}

static void answer(struct call *call)
{
    struct status status;
    if (chance(2) == 0) {
        call_reply(call, NULL);
        return;
    }
    status_fail(&status, STATUS_NOT_FOUND, "NOT_FOUND", "there is none");
    call_fail(call, &status, NULL, 0);
}

/* The handler answers after some steps of time; the watcher looks at every step, or not. */
static void step_through_one_call(struct stepped *stepped)
{
    unsigned answers_at = chance(2 * LIMIT_MS);
    stepped->refusing = chance(256) == 0;
    stepped->sent = stepped->left = 0;
    call_begin(&stepped->call);
    bool limited = chance(4) > 0;
    if (limited)
        atomic_store(&stepped->call.deadline_ms, clock_monotonic_ms() + LIMIT_MS);
    bool expired = false;
    for (unsigned step = 0; step <= answers_at; step++) {
        now_us += 1000;
        if (step < answers_at && chance(3) == 0)
            continue;
        bool late = limited && step + 1 >= LIMIT_MS;
        bool watched = chance(2) == 0;
        if (watched)
            call_expire(&stepped->call, clock_monotonic_ms());
        expired = expired || (watched && late);
        assert_int_equal(stepped->sent, expired);
        assert_int_equal(stepped->call.expired, expired);
    }
    answer(&stepped->call);
    assert_int_equal(stepped->sent, 1);
    assert_int_equal(stepped->left, expired);
    call_expire(&stepped->call, INT64_MAX);
    assert_int_equal(stepped->sent, 1);
}

static void a_call_is_answered_once_whoever_comes_first(void **state)
{
    (void)state;
    static const struct call_transport transport = {on_reserve, on_send, on_leave};
    static struct stepped stepped;
    clock_set_monotonic_for_test(read_now);
    call_init(&stepped.call, &transport);
    for (int i = 0; i < ROUNDS; i++)
        step_through_one_call(&stepped);
    call_fini(&stepped.call);
    clock_set_monotonic_for_test(NULL);
}

/* ---- turns: each operation is carried out item by item, in order, and released once ---- */

enum { MAX_HELD = 64, OPS = 200 };

struct plan {
    struct turns turns;
    struct op ops[OPS];
    struct op *out[OPS]; /* taken and not settled */
    size_t out_count;
    struct op *unused;
    size_t held;
    size_t refused;
    size_t served;
};

static void add_one(struct plan *plan)
{
    struct op *op = plan->unused;
    if (!op)
        return;
    struct op *next = op->next;
    *op = (struct op){.caller = {1 + chance(4), chance(4)},
                      .items = 1 + chance(chance(4) == 0 ? 100 : 3)};
    op->bytes = op->items * (1 + chance(3000));
    if (!turns_add(&plan->turns, op)) {
        assert_true(plan->held > MAX_HELD / 16); /* there is always room for another's */
        op->next = next;
        plan->refused++;
        return;
    }
    plan->unused = next;
    plan->held++;
}

static void take_one(struct plan *plan)
{
    struct op *op = turns_next(&plan->turns, chance(4) == 0);
    if (!op)
        return;
    size_t rest = op->items - op->first;
    turns_take(&plan->turns, op, 1 + chance((unsigned)rest));
    assert_true(op->first < op->end && op->end <= op->items);
    plan->out[plan->out_count++] = op;
}

static void settle_one(struct plan *plan)
{
    if (plan->out_count == 0)
        return;
    size_t index = chance((unsigned)plan->out_count);
    struct op *op = plan->out[index];
    plan->out[index] = plan->out[--plan->out_count];
    if (op->end < op->items) {
        turns_put_back(&plan->turns, op);
        return;
    }
    turns_release(&plan->turns, op);
    op->next = plan->unused;
    plan->unused = op;
    plan->held--;
    plan->served++;
}

static void turns_hold_what_was_added_and_not_released(void **state)
{
    (void)state;
    static struct plan plan;
    assert_true(turns_init(&plan.turns, (struct held){MAX_HELD, (size_t)1 << 20}));
    for (size_t i = 0; i < OPS; i++) {
        plan.ops[i].next = plan.unused;
        plan.unused = &plan.ops[i];
    }
    for (int i = 0; i < 10 * ROUNDS; i++) {
        void (*const steps[])(struct plan *) = {add_one, add_one, take_one, take_one, settle_one};
        steps[chance(sizeof(steps) / sizeof(steps[0]))](&plan);
        assert_int_equal(plan.turns.held.count, plan.held);
        assert_int_equal(plan.turns.waiting, plan.held - plan.out_count);
    }
    while (plan.out_count > 0)
        settle_one(&plan);
    size_t cleared = 0;
    for (struct op *op = turns_clear(&plan.turns); op; op = op->next)
        cleared++;
    assert_int_equal(cleared, plan.held);
    assert_true(plan.served > 0 && plan.refused > 0);
    turns_fini(&plan.turns);
}

int main(void)
{
    const char *given = getenv("TRIGGERS_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    else
        random_fill(&seed, sizeof(seed));
    seed = seed ? seed : 1;
    print_message("TRIGGERS_TEST_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_once_whoever_comes_first),
        cmocka_unit_test(turns_hold_what_was_added_and_not_released),
    };
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
