/* Normalisation, payload checks and page tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "events/rules.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void names_are_trimmed_and_lowered(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *stored;
    } cases[] = {
        {"CRM", "crm"},
        {"  \t\r\n crm.Lead \v\f", "crm.lead"},
        {"\xc2\xa0\xe3\x80\x80 A \xe2\x80\x89", "a"}, /* no-break, ideographic, thin space */
        {"\x1c\x1f"
         "a b\x1d",
         "a b"},
        {"\xc3\x84RGER", "\xc3\xa4rger"},         /* ÄRGER */
        {"\xce\x91\xce\xa3", "\xce\xb1\xcf\x82"}, /* ΑΣ: a final sigma, as Python lowers it */
        {"\xc4\xb0", "i\xcc\x87"},                /* İ becomes two characters */
        {"\xf0\x9d\x94\xb8", "\xf0\x9d\x94\xb8"}, /* no lower case of its own */
        {"'; DROP TABLE events;--", "'; drop table events;--"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice out;
        const char *why;
        assert_true(rule_name(cases[i].given, &arena, &out, &why));
        assert_int_equal(out.size, strlen(cases[i].stored));
        assert_memory_equal(out.data, cases[i].stored, out.size);
    }
}

static void names_count_characters_not_bytes(void **state)
{
    (void)state;
    char text[4 * 300 + 1] = "";
    struct slice out;
    const char *why;
    for (int i = 0; i < 255; i++)
        strcat(text, "\xf0\x9f\x98\x80");
    assert_true(rule_name(text, &arena, &out, &why));
    assert_int_equal(out.size, 4 * 255);
    strcat(text, "x");
    assert_false(rule_name(text, &arena, &out, &why));
    assert_non_null(strstr(why, "255"));
}

/* One letter is two characters in lower case. */
static void names_count_characters_as_they_are_stored(void **state)
{
    (void)state;
    char text[2 * 255 + 2] = "";
    struct slice out;
    const char *why;
    for (int i = 0; i < 127; i++)
        strcat(text, "\xc4\xb0"); /* İ */
    strcat(text, "x");
    assert_true(rule_name(text, &arena, &out, &why));
    assert_int_equal(out.size, 127 * 3 + 1);
    strcat(text, "x");
    assert_false(rule_name(text, &arena, &out, &why));
    assert_non_null(strstr(why, "lower case"));
    for (int i = 0; i < 126; i++)
        strcat(text, "\xc4\xb0");
    assert_false(rule_name(text, &arena, &out, &why));
}

static void names_must_not_be_blank(void **state)
{
    (void)state;
    struct slice out;
    const char *why;
    assert_false(rule_name("", &arena, &out, &why));
    assert_false(rule_name(" \xe2\x80\xa8\x1f ", &arena, &out, &why));
}

static void that_memory_ran_out_is_no_fault_of_the_name(void **state)
{
    (void)state;
    static const char *const names[] = {"crm", "\xc3\x84RGER"};
    for (size_t i = 0; i < 2; i++) {
        struct arena none;
        struct slice out;
        const char *why = "";
        arena_init(&none, 2);
        assert_false(rule_name(names[i], &none, &out, &why));
        assert_null(why);
        assert_true(none.exhausted);
        arena_fini(&none);
    }
}

static bool payload_by(const char *text, const struct payload_rules *rules)
{
    const char *why = "";
    return rule_payload((struct slice){text, strlen(text)}, rules, &arena, &why);
}

static bool payload(const char *text, size_t max)
{
    return payload_by(text, &(struct payload_rules){.max_size = max});
}

static void payloads_that_not_every_reader_takes_are_for_operators_to_allow(void **state)
{
    (void)state;
    static const struct payload_rules any = {.max_size = 100, .any = true};
    static const char lone[] = "{\"a\":\"\\udc00\"}";
    const char *why = "";
    assert_false(payload(lone, 100));
    assert_true(payload_by(lone, &any));
    assert_false(payload_by("{\"a\":\"\\udc0\"}", &any));
    const struct payload_rules usual = {.max_size = 100};
    rule_payload((struct slice){lone, strlen(lone)}, &usual, &arena, &why);
    assert_string_equal(why,
                        "must be a JSON object: a string has half of a surrogate pair at byte 6");
}

static void payloads_are_one_object_within_the_limit(void **state)
{
    (void)state;
    assert_true(payload("{}", 2));
    assert_true(payload(" {\"a\": 1e400} ", 100));
    assert_false(payload("{}", 1));
    assert_false(payload("[]", 100));
    assert_false(payload("1", 100));
    assert_false(payload("", 100));
    assert_false(payload("{\"a\":}", 100));
    assert_false(payload("{}{}", 100));
}

static void page_tokens_come_back_and_are_bound_to_their_list(void **state)
{
    (void)state;
    struct store_list list = {.acknowledged = true};
    struct store_position last = {.created_at_us = 1769903999000001};
    char token[PAGE_TOKEN_SIZE];
    for (size_t i = 0; i < TYPEID_BYTES; i++)
        last.id[i] = (uint8_t)(i * 17);
    page_token_format(&list, &last, token);

    struct store_list same = {.acknowledged = true};
    assert_true(page_token_parse(token, &same));
    assert_true(same.has_after);
    assert_int_equal(same.after.created_at_us, last.created_at_us);
    assert_memory_equal(same.after.id, last.id, TYPEID_BYTES);

    struct store_list other_status = {0};
    struct store_list other_order = {.acknowledged = true, .oldest_first = true};
    assert_false(page_token_parse(token, &other_status));
    assert_false(page_token_parse(token, &other_order));
    for (size_t length = 0; length < strlen(token); length++) {
        char cut[PAGE_TOKEN_SIZE] = "";
        memcpy(cut, token, length);
        assert_false(page_token_parse(cut, &same));
    }
    token[5] = 'g';
    assert_false(page_token_parse(token, &same));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_trimmed_and_lowered),
        cmocka_unit_test(names_count_characters_not_bytes),
        cmocka_unit_test(names_count_characters_as_they_are_stored),
        cmocka_unit_test(names_must_not_be_blank),
        cmocka_unit_test(that_memory_ran_out_is_no_fault_of_the_name),
        cmocka_unit_test(payloads_that_not_every_reader_takes_are_for_operators_to_allow),
        cmocka_unit_test(payloads_are_one_object_within_the_limit),
        cmocka_unit_test(page_tokens_come_back_and_are_bound_to_their_list),
    };
    return cmocka_run_group_tests_name("rules", tests, setup, teardown);
}
