/* Whose turn it is when old events are removed, and how deleted tenants go. The lanes are the
 * test's: they carry a step out at once, and write down whose it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "events/retention.h"

#define TENANTS 10
#define SECOND_US INT64_C(1000000)
#define PATIENCE_MS 20000

static struct tenants *tenants;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What the lanes did; guarded by the lock. */
static struct {
    int64_t left[TENANTS];  /* steps until there is nothing more to do */
    int64_t trims[TENANTS]; /* steps of retention */
    int64_t removals[TENANTS];
    int64_t kept_us[TENANTS]; /* acknowledged events, by the last step */
    int64_t order[64];        /* the tenants of the first steps */
    size_t steps;
    bool fails;
} seen;

/* ---- the lanes ---- */

static void note_turn(int64_t tenant)
{
    assert_in_range(tenant, 0, TENANTS - 1);
    if (seen.steps < sizeof(seen.order) / sizeof(seen.order[0]))
        seen.order[seen.steps++] = tenant;
}

bool writer_submit(struct writer *writer, struct write_op *op, struct status *status)
{
    int64_t tenant = op->op.scope.tenant;
    (void)writer;
    (void)status;
    pthread_mutex_lock(&lock);
    note_turn(tenant);
    seen.trims[tenant]++;
    seen.kept_us[tenant] = op->trim->acknowledged_before_us == INT64_MIN
                               ? 0
                               : clock_now_us() - op->trim->acknowledged_before_us;
    op->trim->more = seen.left[tenant] > 0;
    seen.left[tenant] -= op->trim->more;
    pthread_mutex_unlock(&lock);
    op->trim->swept_kind = 0;
    op->took_us = 100;
    op->op.status = STATUS_INIT;
    op->done(op);
    return true;
}

static enum store_result fake_remove(struct store_session *session, struct scope scope, bool *more,
                                     int64_t *removed, struct status *status)
{
    (void)session;
    (void)status;
    pthread_mutex_lock(&lock);
    note_turn(scope.tenant);
    seen.removals[scope.tenant]++;
    *more = seen.left[scope.tenant] > 0;
    *removed = *more ? 100 : 0;
    seen.left[scope.tenant] -= *more;
    pthread_mutex_unlock(&lock);
    return STORE_OK;
}

static const struct store_driver FAKE = {.name = "fake", .tenant_remove = fake_remove};

bool asks_submit(struct asks *asks, struct ask_op *op, struct status *status)
{
    struct store store = {.driver = &FAKE};
    struct store_session session = {.store = &store};
    (void)asks;
    (void)status;
    op->op.status = STATUS_INIT;
    op->run(op, &session, &op->op.status);
    op->op.done(&op->op);
    return true;
}

/* ---- what is waited for ---- */

static int64_t value_of(const int64_t *value)
{
    pthread_mutex_lock(&lock);
    int64_t now = *value;
    pthread_mutex_unlock(&lock);
    return now;
}

static void await_at_least(const int64_t *value, int64_t least)
{
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (value_of(value) < least && clock_monotonic_ms() < until_ms)
        usleep(1000);
    assert_true(value_of(value) >= least);
}

static void put(struct tenant tenant)
{
    assert_true(tenants_put(tenants, &tenant));
}

static int begin(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    tenants = tenants_open(3600 * SECOND_US, 0);
    return tenants ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    tenants_close(tenants);
    return 0;
}

/* ---- tests ---- */

/* One with much to do does not keep the others waiting. */
static void tenants_take_turns(void **state)
{
    (void)state;
    for (int64_t number = 1; number < 4; number++)
        put((struct tenant){.number = number, .keep_acknowledged_us = 3600 * SECOND_US});
    seen.left[0] = seen.left[2] = 5;
    seen.left[3] = 1;
    struct retention *retention = retention_open(NULL, NULL, tenants);
    await_at_least(&seen.trims[0], 6);
    await_at_least(&seen.trims[2], 6);
    retention_close(retention);
    static const int64_t ORDER[] = {0, 1, 2, 3, 0, 2, 3, 0, 2, 0, 2, 0, 2, 0, 2};
    assert_int_equal(seen.steps, sizeof(ORDER) / sizeof(ORDER[0]));
    assert_memory_equal(seen.order, ORDER, sizeof(ORDER));
}

static void each_has_its_own_times(void **state)
{
    (void)state;
    put((struct tenant){.number = 1, .keep_acknowledged_us = 60 * SECOND_US});
    put((struct tenant){.number = 2});
    put((struct tenant){.number = 3,
                        .keep_acknowledged_us = TENANT_KEEPS_AS_SERVER,
                        .keep_pending_us = TENANT_KEEPS_AS_SERVER});
    struct retention *retention = retention_open(NULL, NULL, tenants);
    await_at_least(&seen.trims[3], 1);
    retention_close(retention);
    static const int64_t KEPT_S[] = {3600, 60, 0, 3600};
    for (size_t i = 0; i < sizeof(KEPT_S) / sizeof(KEPT_S[0]); i++)
        assert_in_range(seen.kept_us[i] / SECOND_US, KEPT_S[i], KEPT_S[i] + PATIENCE_MS / 1000);
}

/* Also when it was to be looked at in an hour. */
static void what_changes_counts_soon(void **state)
{
    (void)state;
    put((struct tenant){.number = 1});
    struct retention *retention = retention_open(NULL, NULL, tenants);
    await_at_least(&seen.trims[1], 1);
    put((struct tenant){.number = 1, .keep_acknowledged_us = 60 * SECOND_US});
    put((struct tenant){.number = 2, .keep_acknowledged_us = 60 * SECOND_US});
    await_at_least(&seen.trims[1], 2);
    await_at_least(&seen.trims[2], 1);
    retention_close(retention);
    assert_in_range(seen.kept_us[1] / SECOND_US, 60, 60 + PATIENCE_MS / 1000);
}

static struct tenant_removal removal_of(int64_t number)
{
    struct tenant_removal removal;
    tenants_removal(tenants, number, &removal);
    return removal;
}

/* Nothing of it is trimmed. It is not done while calls that had begun may still write. */
static void a_deleted_tenant_goes(void **state)
{
    (void)state;
    seen.left[1] = 3;
    put((struct tenant){.number = 1, .deleting = true});
    struct retention *retention = retention_open(NULL, NULL, tenants);
    await_at_least(&seen.removals[1], 4);
    await_at_least(&seen.trims[0], 1);
    retention_close(retention);
    assert_int_equal(seen.removals[1], 4);
    assert_int_equal(seen.trims[1], 0);
    assert_int_equal(removal_of(1).events, 300);
    assert_false(removal_of(1).done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tenants_take_turns, begin, end),
        cmocka_unit_test_setup_teardown(each_has_its_own_times, begin, end),
        cmocka_unit_test_setup_teardown(what_changes_counts_soon, begin, end),
        cmocka_unit_test_setup_teardown(a_deleted_tenant_goes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
