/* How much keys may do, and how many cores share it, with clocks that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "access/quota.h"
#include "base/pass.h"
#include "events/core_count.h"

#define SECOND_US INT64_C(1000000)

static struct quota *quota;

static int make_quota(void **state)
{
    Triggers__V1__Limits limits = TRIGGERS__V1__LIMITS__INIT;
    (void)state;
    limits.calls_per_second = 10;
    limits.bytes_per_second = 1000;
    quota = quota_new();
    assert_non_null(quota);
    quota_set(quota, &limits);
    return 0;
}

static int drop_quota(void **state)
{
    (void)state;
    quota_release(quota);
    return 0;
}

/* Takes one after the other until it is to wait; returns how many. */
static int take_all(enum quota_kind kind, unsigned cores, int64_t now_us)
{
    int taken = 0;
    while (taken < 1000 && quota_wait_us(quota, kind, now_us) == 0) {
        quota_take(quota, kind, 1, cores, now_us);
        taken++;
    }
    return taken;
}

static void a_seconds_worth_may_come_at_once(void **state)
{
    (void)state;
    assert_int_equal(take_all(QUOTA_CALLS, 1, 5 * SECOND_US), 10);
    int64_t wait_us = quota_wait_us(quota, QUOTA_CALLS, 5 * SECOND_US);
    assert_in_range(wait_us, 1, SECOND_US / 10);
    assert_int_equal(quota_wait_us(quota, QUOTA_CALLS, 5 * SECOND_US + wait_us), 0);
    assert_int_equal(take_all(QUOTA_CALLS, 1, 5 * SECOND_US + SECOND_US / 2), 5);
    assert_int_equal(take_all(QUOTA_CALLS, 1, 100 * SECOND_US), 10);
}

static void each_is_counted_by_itself_and_what_is_0_is_not_limited(void **state)
{
    (void)state;
    assert_int_equal(take_all(QUOTA_CALLS, 1, SECOND_US), 10);
    assert_int_equal(take_all(QUOTA_EVENTS, 1, SECOND_US), 1000);
    assert_int_equal(quota_wait_us(quota, QUOTA_BYTES, SECOND_US), 0);
}

static void what_is_too_much_at_once_is_waited_for_after_that(void **state)
{
    (void)state;
    quota_take(quota, QUOTA_BYTES, 5000, 1, SECOND_US);
    int64_t wait_us = quota_wait_us(quota, QUOTA_BYTES, SECOND_US);
    assert_in_range(wait_us, 4 * SECOND_US, 4 * SECOND_US + 1);
    quota_take(quota, QUOTA_BYTES, UINT64_MAX, 1, SECOND_US);
    assert_in_range(quota_wait_us(quota, QUOTA_BYTES, SECOND_US), 1, 3605 * SECOND_US);
}

static void cores_share_it(void **state)
{
    (void)state;
    assert_int_equal(take_all(QUOTA_CALLS, 5, SECOND_US), 2);
    assert_int_equal(take_all(QUOTA_CALLS, 1, 9 * SECOND_US), 10);
}

static void limits_change_at_once(void **state)
{
    Triggers__V1__Limits limits = TRIGGERS__V1__LIMITS__INIT;
    (void)state;
    assert_int_equal(take_all(QUOTA_CALLS, 1, SECOND_US), 10);
    quota_set(quota, NULL);
    assert_int_equal(quota_wait_us(quota, QUOTA_CALLS, SECOND_US), 0);
    limits.calls_per_second = 1;
    quota_set(quota, &limits);
    assert_true(quota_wait_us(quota, QUOTA_CALLS, SECOND_US) > 0);
}

static void what_is_left_is_described(void **state)
{
    char policy[PASS_LIMITS_SIZE] = "", left[PASS_LIMITS_SIZE] = "";
    (void)state;
    quota_take(quota, QUOTA_CALLS, 4, 1, SECOND_US);
    quota_take(quota, QUOTA_BYTES, 5000, 1, SECOND_US);
    quota_describe(quota, "", SECOND_US, policy, left);
    assert_string_equal(policy, "\"calls\";q=10;w=1, \"bytes\";q=1000;w=1");
    assert_string_equal(left, "\"calls\";r=6;t=1, \"bytes\";r=0;t=1");
    quota_describe(quota, "tenant-", 99 * SECOND_US, policy, left);
    assert_non_null(strstr(left, ", \"tenant-calls\";r=10;t=1"));
}

static void cores_are_counted_while_they_tell_of_themselves(void **state)
{
    struct core_count cores;
    (void)state;
    core_count_init(&cores);
    assert_true(core_count_look(&cores, 1000));
    assert_false(core_count_look(&cores, 1000 + CORE_TELL_MS - 1));
    assert_true(core_count_look(&cores, 1000 + CORE_TELL_MS));
    assert_int_equal(cores.count, 1);
    core_count_hear(&cores, 7, 1000);
    core_count_hear(&cores, 8, 1000);
    core_count_hear(&cores, 7, 2000);
    assert_int_equal(cores.count, 3);
    core_count_look(&cores, 1000 + CORE_GONE_MS);
    assert_int_equal(cores.count, 2);
    core_count_look(&cores, 2000 + CORE_GONE_MS);
    assert_int_equal(cores.count, 1);
    for (int64_t id = 1; id <= 2 * CORE_COUNT_MAX; id++)
        core_count_hear(&cores, id, 50000);
    assert_int_equal(cores.count, 1 + CORE_COUNT_MAX);
    core_count_fini(&cores);
}

static void what_was_given_back_may_be_taken_again(void **state)
{
    (void)state;
    int64_t now_us = 5 * SECOND_US;
    for (int i = 0; i < 100; i++) { /* nothing is lost or won, whoever shares it */
        assert_int_equal(quota_wait_us(quota, QUOTA_BYTES, now_us), 0);
        quota_take(quota, QUOTA_BYTES, 5000, 2, now_us);
        assert_true(quota_wait_us(quota, QUOTA_BYTES, now_us) > 0);
        quota_give_back(quota, QUOTA_BYTES, 5000, 2);
    }
    quota_take(quota, QUOTA_CALLS, 3, 1, now_us);
    quota_give_back(quota, QUOTA_CALLS, 3, 1);
    assert_int_equal(take_all(QUOTA_CALLS, 1, now_us), 10);
    quota_give_back(quota, QUOTA_EVENTS, 3, 1); /* which are not limited */
    assert_int_equal(quota_wait_us(quota, QUOTA_EVENTS, now_us), 0);
}

static void a_refusal_of_each_kind_is_noted_once_a_minute(void **state)
{
    (void)state;
    int64_t now_us = 600 * SECOND_US;
    assert_true(quota_note_refusal(quota, 0, now_us));
    assert_false(quota_note_refusal(quota, 0, now_us + 59 * SECOND_US));
    assert_true(quota_note_refusal(quota, QUOTA_REFUSAL_KINDS - 1, now_us + SECOND_US));
    assert_false(quota_note_refusal(quota, QUOTA_REFUSAL_KINDS - 1, now_us + 2 * SECOND_US));
    assert_true(quota_note_refusal(quota, 0, now_us + 60 * SECOND_US));
    assert_true(quota_note_refusal(quota, 1, now_us + 61 * SECOND_US));
    assert_false(quota_note_refusal(quota, 0, now_us + 62 * SECOND_US));
}

static void refusals_of_a_tenant_are_counted_by_the_minute(void **state)
{
    (void)state;
    for (int64_t minute = 5; minute < 8; minute++) {
        int counted = 0;
        for (int i = 0; i < 1000; i++)
            counted += quota_count_refusal(quota, 60 * minute * SECOND_US + i);
        assert_int_equal(counted, QUOTA_REFUSALS_OF_TENANT);
    }
}

#define MS INT64_C(1000)

static void who_is_refused_alone_rests_for_a_tenth_of_a_second_at_most(void **state)
{
    (void)state;
    int64_t now_us = 5 * SECOND_US;
    take_all(QUOTA_CALLS, 1, now_us);
    assert_int_equal(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us),
                     quota_wait_us(quota, QUOTA_CALLS, now_us));
    quota_take(quota, QUOTA_CALLS, 100, 1, now_us);
    assert_int_equal(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us + 500 * MS), 100 * MS);
}

static void those_who_are_refused_come_back_one_after_the_other(void **state)
{
    Triggers__V1__Limits limits = TRIGGERS__V1__LIMITS__INIT;
    (void)state;
    int64_t now_us = 5 * SECOND_US;
    limits.calls_per_second = 8000;
    quota_set(quota, &limits);
    quota_take(quota, QUOTA_CALLS, 8001, 1, now_us);
    int64_t first_us = quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us);
    for (int i = 1; i < 10; i++) /* there is something for four of them each time */
        assert_int_equal(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us), first_us + i * MS / 2);
    for (int i = 0; i < 3000; i++)
        assert_in_range(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us), 1, QUOTA_LONGEST_REST_US);
    assert_int_equal(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us), QUOTA_LONGEST_REST_US);
    now_us += SECOND_US;
    quota_take(quota, QUOTA_CALLS, 8001, 1, now_us);
    assert_in_range(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us), 1, MS);
}

static void a_refusal_of_much_does_not_keep_others_away_for_long(void **state)
{
    (void)state;
    int64_t now_us = 5 * SECOND_US;
    take_all(QUOTA_CALLS, 1, now_us);
    assert_in_range(quota_rest_us(quota, QUOTA_CALLS, UINT64_C(1) << 60, 1, now_us), 1, 100 * MS);
    assert_int_equal(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us), QUOTA_LONGEST_REST_US);
    assert_in_range(quota_rest_us(quota, QUOTA_CALLS, 1, 1, now_us + 2 * SECOND_US), 0, 100 * MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_quota, drop_quota)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_seconds_worth_may_come_at_once),
        TEST(each_is_counted_by_itself_and_what_is_0_is_not_limited),
        TEST(what_is_too_much_at_once_is_waited_for_after_that),
        TEST(cores_share_it),
        TEST(limits_change_at_once),
        TEST(what_is_left_is_described),
        TEST(what_was_given_back_may_be_taken_again),
        TEST(who_is_refused_alone_rests_for_a_tenth_of_a_second_at_most),
        TEST(those_who_are_refused_come_back_one_after_the_other),
        TEST(a_refusal_of_much_does_not_keep_others_away_for_long),
        TEST(a_refusal_of_each_kind_is_noted_once_a_minute),
        TEST(refusals_of_a_tenant_are_counted_by_the_minute),
        cmocka_unit_test(cores_are_counted_while_they_tell_of_themselves),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
