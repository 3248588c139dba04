/* The list of tenants: who is there, which times count, and what is noted of a removal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "events/tenants.h"

#define DAY_US (INT64_C(86400) * 1000 * 1000)

static struct tenants *tenants;

static int open_tenants(void **state)
{
    (void)state;
    tenants = tenants_open(30 * DAY_US, 90 * DAY_US);
    return tenants ? 0 : -1;
}

static int close_tenants(void **state)
{
    (void)state;
    tenants_close(tenants);
    return 0;
}

static void put(int64_t number, int64_t keep_acknowledged_us, int64_t keep_pending_us)
{
    const struct tenant tenant = {.number = number,
                                  .keep_acknowledged_us = keep_acknowledged_us,
                                  .keep_pending_us = keep_pending_us};
    assert_true(tenants_put(tenants, &tenant));
}

static void put_deleting(int64_t number)
{
    assert_true(tenants_put(tenants, &(struct tenant){.number = number, .deleting = true}));
}

static void assert_keeps(int64_t number, int64_t keep_acknowledged_us, int64_t keep_pending_us)
{
    struct tenant tenant;
    assert_true(tenants_get(tenants, number, &tenant));
    assert_int_equal(tenant.number, number);
    assert_int_equal(tenant.keep_acknowledged_us, keep_acknowledged_us);
    assert_int_equal(tenant.keep_pending_us, keep_pending_us);
}

static void the_default_is_there(void **state)
{
    struct tenant tenant;
    (void)state;
    assert_int_equal(tenants_count(tenants), 1);
    assert_keeps(0, 30 * DAY_US, 90 * DAY_US);
    assert_true(tenants_next(tenants, -1, &tenant));
    assert_int_equal(tenant.number, 0);
    assert_false(tenants_next(tenants, 0, &tenant));
    assert_false(tenants_get(tenants, 1, &tenant));
}

static void tenants_come_by_number(void **state)
{
    static const int64_t NUMBERS[] = {5, 2, 9, 7, 1};
    static const int64_t SORTED[] = {0, 1, 2, 7, 9};
    struct tenant tenant = {.number = -1};
    (void)state;
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++)
        put(NUMBERS[i], 0, 0);
    put(7, DAY_US, 0); /* changed, not added */
    tenants_drop(tenants, 5);
    tenants_drop(tenants, 6);
    assert_int_equal(tenants_count(tenants), 5);
    for (size_t i = 0; i < sizeof(SORTED) / sizeof(SORTED[0]); i++) {
        assert_true(tenants_next(tenants, tenant.number, &tenant));
        assert_int_equal(tenant.number, SORTED[i]);
    }
    assert_false(tenants_next(tenants, tenant.number, &tenant));
}

static void times_that_are_not_stated_are_the_servers(void **state)
{
    (void)state;
    put(1, TENANT_KEEPS_AS_SERVER, TENANT_KEEPS_AS_SERVER);
    assert_keeps(1, 30 * DAY_US, 90 * DAY_US);
    put(1, DAY_US, TENANT_KEEPS_AS_SERVER);
    assert_keeps(1, DAY_US, 90 * DAY_US);
    put(0, 7 * DAY_US, TENANT_KEEPS_AS_SERVER); /* its own, not everybody's */
    assert_keeps(0, 7 * DAY_US, 90 * DAY_US);
    put(2, TENANT_KEEPS_AS_SERVER, 0);
    assert_keeps(2, 30 * DAY_US, 0);
}

static void pending_events_are_kept_as_long_as_others(void **state)
{
    (void)state;
    put(1, 100 * DAY_US, TENANT_KEEPS_AS_SERVER);
    assert_keeps(1, 100 * DAY_US, 100 * DAY_US);
    put(1, 0, TENANT_KEEPS_AS_SERVER);
    assert_keeps(1, 0, 0);
}

static struct tenant_removal removal_of(int64_t number)
{
    struct tenant_removal removal;
    tenants_removal(tenants, number, &removal);
    return removal;
}

static void a_removal_is_counted(void **state)
{
    (void)state;
    put(3, 0, 0);
    tenants_note_removal(tenants, 3, 10, false); /* it is not deleted */
    assert_int_equal(removal_of(3).events, 0);
    put_deleting(3);
    tenants_note_removal(tenants, 3, 10, false);
    tenants_note_removal(tenants, 3, 5, true);
    put_deleting(3); /* read again */
    assert_int_equal(removal_of(3).events, 15);
    assert_true(removal_of(3).done);
    tenants_drop(tenants, 3);
    tenants_note_removal(tenants, 3, 1, false);
    assert_int_equal(removal_of(3).events, 0);
    assert_false(removal_of(3).done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_default_is_there, open_tenants, close_tenants),
        cmocka_unit_test_setup_teardown(tenants_come_by_number, open_tenants, close_tenants),
        cmocka_unit_test_setup_teardown(times_that_are_not_stated_are_the_servers, open_tenants,
                                        close_tenants),
        cmocka_unit_test_setup_teardown(pending_events_are_kept_as_long_as_others, open_tenants,
                                        close_tenants),
        cmocka_unit_test_setup_teardown(a_removal_is_counted, open_tenants, close_tenants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
