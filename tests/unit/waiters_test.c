/* Those who wait for events of several tenants: who is woken first, and how often the store is
 * asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "events/waiters.h"

enum { WAITERS = 100, IN_TURN = 32, LOOKS = 32 };

static struct waiters *waiters;
static struct log_waiter all[WAITERS];
static struct log_waiter *woken[WAITERS]; /* in that order */
static size_t woken_count;
static int64_t looked_at[WAITERS]; /* tenants, in that order */
static size_t look_count;
static int64_t now_us;
static const struct store_filter FILTER;

/* A look finds nothing, after the one who asks for it has gone on. */
static struct list_op *asked;

bool readers_submit_list(struct readers *readers, struct list_op *op, struct status *status)
{
    (void)readers;
    (void)status;
    assert_null(asked);
    asked = op;
    return true;
}

static void answer_looks(void)
{
    while (asked) {
        struct list_op *op = asked;
        asked = NULL;
        looked_at[look_count++] = op->op.scope.tenant;
        op->list.read_to = op->list.after;
        op->op.status = STATUS_INIT;
        op->op.done(&op->op);
    }
}

static bool always(struct log_waiter *waiter)
{
    (void)waiter;
    return true;
}

static void note_woken(struct log_waiter *waiter)
{
    woken[woken_count++] = waiter;
}

static const struct log_waiter_calls CALLS = {always, always, note_woken};

static int64_t test_clock_us(void)
{
    return now_us;
}

static int begin(void **state)
{
    (void)state;
    memset(all, 0, sizeof(all));
    woken_count = look_count = 0;
    waiters = waiters_open(NULL);
    return waiters ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAITERS; i++)
        if (all[i].state != LOG_WAITER_OUTSIDE)
            waiters_leave(waiters, &all[i]);
    waiters_close(waiters);
    return 0;
}

static void wait_for(struct log_waiter *waiter, int64_t tenant)
{
    *waiter = (struct log_waiter){.calls = &CALLS, .scope = {.tenant = tenant}, .filter = &FILTER};
    assert_true(waiters_join(waiters, waiter));
    assert_int_equal(waiters_park(waiters, waiter, 0), LOG_WAITER_WAITS);
}

static void commit_for(int64_t tenant)
{
    struct store_event event = {.sequence = 1, .source = {"crm", 3}, .type = {"lead", 4}};
    waiters_note(waiters, (struct scope){.tenant = tenant},
                 (const struct store_event *const[]){&event}, 1);
}

/* One with many is not before one with few, whose event came later. */
static void tenants_are_woken_in_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAITERS - 2; i++)
        wait_for(&all[i], 1);
    wait_for(&all[WAITERS - 2], 2);
    wait_for(&all[WAITERS - 1], 2);
    commit_for(1);
    commit_for(2);
    assert_int_equal(woken_count, IN_TURN);
    for (size_t i = 0; i < 4; i++)
        waiters_leave(waiters, woken[i]);
    assert_int_equal(woken_count, IN_TURN + 4);
    static const int64_t TENANTS[] = {1, 2, 1, 2};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(woken[IN_TURN + i]->scope.tenant, TENANTS[i]);
}

static void one_that_is_gone_has_no_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < IN_TURN; i++)
        wait_for(&all[i], 1);
    for (size_t i = IN_TURN; i < IN_TURN + 3; i++)
        wait_for(&all[i], (int64_t)i);
    for (int64_t tenant = 1; tenant < IN_TURN + 3; tenant++)
        commit_for(tenant);
    assert_int_equal(woken_count, IN_TURN);
    waiters_leave(waiters, &all[IN_TURN + 1]);
    waiters_leave(waiters, &all[IN_TURN + 2]);
    waiters_leave(waiters, woken[0]);
    waiters_leave(waiters, woken[1]);
    assert_int_equal(woken_count, IN_TURN + 1);
    assert_ptr_equal(woken[IN_TURN], &all[IN_TURN]);
}

/* However many tenants are waited for, the store is asked about so many in a second. */
static void looks_are_bounded(void **state)
{
    (void)state;
    clock_set_monotonic_for_test(test_clock_us);
    for (size_t i = 0; i < WAITERS; i++)
        wait_for(&all[i], (int64_t)i);
    bool seen[WAITERS] = {false};
    for (int second = 0; second < 4; second++) {
        size_t before = look_count;
        now_us += 1000000;
        waiters_look(waiters);
        answer_looks();
        assert_in_range(look_count - before, 1, LOOKS);
    }
    for (size_t i = 0; i < look_count; i++)
        seen[looked_at[i]] = true;
    for (size_t i = 0; i < WAITERS; i++)
        assert_true(seen[i]);
    clock_set_monotonic_for_test(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tenants_are_woken_in_turn, begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_gone_has_no_turn, begin, end),
        cmocka_unit_test_setup_teardown(looks_are_bounded, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
