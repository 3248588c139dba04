/* A subscription's settings: names, the stored form, and the pauses that follow from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "subscriptions/settings.h"

#define SECOND INT64_C(1000000)

static struct arena arena;
static struct buffer bytes;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    buffer_init(&bytes, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    buffer_fini(&bytes);
    return 0;
}

static struct slice text(const char *chars)
{
    return (struct slice){chars, strlen(chars)};
}

static bool is_text(struct slice slice, const char *chars)
{
    return slice.size == strlen(chars) && memcmp(slice.data, chars, slice.size) == 0;
}

static bool decode(struct subscription_settings *settings)
{
    return subscription_settings_decode((struct slice){bytes.data, bytes.size}, &arena, settings);
}

/* Encodes settings and says whether they are read again. */
static bool are_read(struct subscription_settings settings)
{
    struct subscription_settings read;
    bytes.size = 0;
    subscription_settings_encode(&settings, &bytes);
    return decode(&read);
}

static void names_are_checked(void **state)
{
    (void)state;
    static const char *const right[] = {"a", "0", "inbox", "a.b_c-d", "9-", "a..--__"};
    static const char *const wrong[] = {"", ".", "-a", "_a", "A", "aB", "a b", "a/b", "ä", "a\n"};
    char longest[SUBSCRIPTION_NAME_MAX + 2];
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        assert_true(subscription_name_is_valid(text(right[i])));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(subscription_name_is_valid(text(wrong[i])));
    assert_false(subscription_name_is_valid((struct slice){"a\0b", 3}));
    memset(longest, 'x', sizeof(longest));
    assert_true(subscription_name_is_valid((struct slice){longest, SUBSCRIPTION_NAME_MAX}));
    assert_false(subscription_name_is_valid((struct slice){longest, SUBSCRIPTION_NAME_MAX + 1}));
}

static void new_settings_have_the_defaults_and_a_key_of_their_own(void **state)
{
    (void)state;
    struct subscription_settings one = subscription_settings_new();
    struct subscription_settings other = subscription_settings_new();
    assert_int_equal(one.lease_seconds, 30);
    assert_int_equal(one.max_attempts, 10);
    assert_int_equal(one.backoff_minimum, 1);
    assert_int_equal(one.backoff_maximum, 600);
    assert_int_equal(one.max_outstanding, 10000);
    assert_false(one.acknowledges_in_inbox || one.paused || one.by_key || one.blocks_by_dead);
    assert_memory_not_equal(one.key, other.key, sizeof(one.key));
    assert_true(are_read(one));
}

static void settings_come_back(void **state)
{
    (void)state;
    const struct slice sources[] = {text("crm"), text("web*")};
    const struct slice types[] = {text("order.*")};
    struct subscription_settings read, settings = subscription_settings_new();
    settings.description = text("für alle");
    settings.filter = (struct store_filter){sources, 2, types, 1, 0, 0};
    settings.lease_seconds = SUBSCRIPTION_LEASE_MAX;
    settings.max_attempts = 0;
    settings.backoff_minimum = 0;
    settings.backoff_maximum = SUBSCRIPTION_BACKOFF_MAX;
    settings.max_outstanding = 1;
    settings.acknowledges_in_inbox = true;
    settings.paused = true;
    settings.by_key = true;
    settings.blocks_by_dead = true;
    subscription_settings_encode(&settings, &bytes);
    assert_true(decode(&read));
    assert_true(is_text(read.description, "für alle"));
    assert_int_equal(read.filter.source_count, 2);
    assert_true(is_text(read.filter.sources[0], "crm") && is_text(read.filter.sources[1], "web*"));
    assert_int_equal(read.filter.type_count, 1);
    assert_true(is_text(read.filter.types[0], "order.*"));
    assert_int_equal(read.lease_seconds, SUBSCRIPTION_LEASE_MAX);
    assert_int_equal(read.max_attempts, 0);
    assert_int_equal(read.backoff_minimum, 0);
    assert_int_equal(read.backoff_maximum, SUBSCRIPTION_BACKOFF_MAX);
    assert_int_equal(read.max_outstanding, 1);
    assert_true(read.acknowledges_in_inbox && read.paused && read.by_key && read.blocks_by_dead);
    assert_memory_equal(read.key, settings.key, sizeof(read.key));
}

static void settings_out_of_range_are_refused(void **state)
{
    (void)state;
    const struct subscription_settings right = subscription_settings_new();
    struct subscription_settings wrong[8];
    for (size_t i = 0; i < 8; i++)
        wrong[i] = right;
    wrong[0].lease_seconds = 0;
    wrong[1].lease_seconds = SUBSCRIPTION_LEASE_MAX + 1;
    wrong[2].max_attempts = SUBSCRIPTION_ATTEMPTS_MAX + 1;
    wrong[3].backoff_minimum = 601;
    wrong[4].backoff_maximum = SUBSCRIPTION_BACKOFF_MAX + 1;
    wrong[5].max_outstanding = 0;
    wrong[6].max_outstanding = SUBSCRIPTION_OUTSTANDING_MAX + 1;
    static struct slice sources[SUBSCRIPTION_PATTERNS_MAX + 1];
    wrong[7].filter.sources = sources;
    wrong[7].filter.source_count = SUBSCRIPTION_PATTERNS_MAX + 1;
    for (size_t i = 0; i < 8; i++)
        assert_false(are_read(wrong[i]));
    assert_false(arena.exhausted);
}

static void later_fields_are_passed_over(void **state)
{
    (void)state;
    struct subscription_settings read, settings = subscription_settings_new();
    subscription_settings_encode(&settings, &bytes);
    buffer_append(&bytes, "\x80\x01\x05", 3);   /* field 64: a number */
    buffer_append(&bytes, "\x83\x01\x02xy", 5); /* field 65: two bytes */
    assert_true(decode(&read));
    assert_memory_equal(read.key, settings.key, sizeof(read.key));
    bytes.size--;
    assert_false(decode(&read));
}

static void what_is_not_ours_is_refused(void **state)
{
    (void)state;
    struct subscription_settings read, settings = subscription_settings_new();
    subscription_settings_encode(&settings, &bytes);
    size_t whole = bytes.size;
    for (bytes.size = 0; bytes.size < whole; bytes.size++)
        assert_false(decode(&read)); /* the key comes last */
    assert_true(decode(&read));
    bytes.data[0]++;
    assert_false(decode(&read));
}

static void pauses_double_up_to_the_maximum(void **state)
{
    (void)state;
    struct subscription_settings settings = subscription_settings_new();
    for (uint32_t attempts = 1; attempts < 20; attempts++) {
        int64_t wanted = attempts < 11 ? SECOND << (attempts - 1) : 600 * SECOND;
        wanted = wanted < 600 * SECOND ? wanted : 600 * SECOND;
        int64_t least = INT64_MAX, most = 0;
        for (int64_t sequence = 1; sequence <= 1000; sequence++) {
            int64_t pause = subscription_backoff_us(&settings, sequence, attempts);
            assert_int_equal(pause, subscription_backoff_us(&settings, sequence, attempts));
            least = pause < least ? pause : least;
            most = pause > most ? pause : most;
        }
        assert_true(least >= wanted - wanted / 5 && least < wanted - wanted / 6);
        assert_true(most <= wanted + wanted / 5 && most > wanted + wanted / 6);
    }
    settings.backoff_minimum = 0;
    assert_int_equal(subscription_backoff_us(&settings, 1, 1000), 0);
    settings.backoff_minimum = settings.backoff_maximum = SUBSCRIPTION_BACKOFF_MAX;
    assert_true(subscription_backoff_us(&settings, 1, UINT32_MAX) <=
                SUBSCRIPTION_BACKOFF_MAX * SECOND * 6 / 5);
}

static void a_lease_is_next_after_the_pause_unless_its_attempts_are_over(void **state)
{
    (void)state;
    struct subscription_settings settings = subscription_settings_new();
    struct lease lease = {.sequence = 5, .out = true, .attempts = 9, .due_us = 1000};
    assert_int_equal(subscription_next_us(&settings, &lease),
                     1000 + subscription_backoff_us(&settings, 5, 9));
    lease.attempts = 10;
    assert_int_equal(subscription_next_us(&settings, &lease), 1000);
    settings.max_attempts = 0;
    assert_true(subscription_next_us(&settings, &lease) > 1000);
    lease.out = false;
    assert_int_equal(subscription_next_us(&settings, &lease), 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_checked),
        TEST(new_settings_have_the_defaults_and_a_key_of_their_own),
        TEST(settings_come_back),
        TEST(settings_out_of_range_are_refused),
        TEST(later_fields_are_passed_over),
        TEST(what_is_not_ours_is_refused),
        TEST(pauses_double_up_to_the_maximum),
        TEST(a_lease_is_next_after_the_pause_unless_its_attempts_are_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
