/* The Idempotency-Key header, and which keys are in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "idempotency.h"

static void keys_are_read_quoted_or_bare(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *key; /* NULL: refused */
    } cases[] = {
        {"abc", "abc"},      {"\"abc\"", "abc"},  {"\"a b\\\"c\\\\d\"", "a b\"c\\d"},
        {"a\"b", "a\"b"},    {"a\\b", "a\\b"},    {"", NULL},
        {"\"\"", NULL},      {"\"", NULL},        {"\"abc", NULL},
        {"\"abc\"d", NULL},  {"\"a\\bc\"", NULL}, {"\"abc\\", NULL},
        {"\"abc\\\"", NULL}, {"a\tb", NULL},      {"\xc3\xa9", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char key[IDEMPOTENCY_KEY_SIZE];
        assert_int_equal(idempotency_parse(cases[i].value, key), cases[i].key != NULL);
        if (cases[i].key)
            assert_string_equal(key, cases[i].key);
    }
}

static void keys_have_at_most_255_characters(void **state)
{
    (void)state;
    char value[300];
    char key[IDEMPOTENCY_KEY_SIZE];
    memset(value, 'x', sizeof(value));
    value[256] = '\0';
    assert_false(idempotency_parse(value, key));
    value[255] = '\0';
    assert_true(idempotency_parse(value, key));
    assert_int_equal(strlen(key), 255);
}

static void a_key_is_in_flight_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 }; /* several in each bucket */
    static struct idempotency_key entries[COUNT];
    struct idempotency_key twin = {.text = "key 7", .authorization = ""};
    struct idempotency_key foreign = {.text = "key 7", .authorization = "Bearer another"};
    struct idempotency_key unnamed = {0};
    struct idempotency keys;
    idempotency_init(&keys);
    for (int i = 0; i < COUNT; i++) {
        snprintf(entries[i].text, sizeof(entries[i].text), "key %d", i);
        entries[i].authorization = "";
        assert_true(idempotency_enter(&keys, &entries[i]));
    }
    assert_false(idempotency_enter(&keys, &twin));
    assert_true(idempotency_enter(&keys, &foreign));
    idempotency_leave(&keys, &foreign);
    assert_true(idempotency_enter(&keys, &unnamed));
    assert_true(idempotency_enter(&keys, &unnamed));
    idempotency_leave(&keys, &unnamed);
    idempotency_leave(&keys, &entries[7]);
    assert_true(idempotency_enter(&keys, &twin));
    assert_false(idempotency_enter(&keys, &entries[7]));
    idempotency_leave(&keys, &twin);
    for (int i = 0; i < COUNT; i++) {
        if (i != 7)
            idempotency_leave(&keys, &entries[i]);
    }
    for (int i = 0; i < 256; i++)
        assert_null(keys.buckets[i]);
    idempotency_fini(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_quoted_or_bare),
        cmocka_unit_test(keys_have_at_most_255_characters),
        cmocka_unit_test(a_key_is_in_flight_once),
    };
    return cmocka_run_group_tests_name("bridge idempotency", tests, NULL, NULL);
}
