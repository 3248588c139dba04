/* Turns in random orders, see steps.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "events/turns.h"
#include "steps.h"

/* ---- turns: each operation is carried out item by item, in order, and released once ---- */

enum { ROUNDS = 20000, MAX_HELD = 64, OPS = 200 };

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
        assert_int_equal(plan.turns.all.held.count, plan.held);
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
    steps_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_hold_what_was_added_and_not_released),
    };
    return cmocka_run_group_tests_name("turns_steps", tests, NULL, NULL);
}
