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

static void patterns_are_names_that_may_end_in_a_star(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *kept; /* NULL: refused */
    } cases[] = {
        {" CRM ", "crm"}, {" CRM.* ", "crm.*"}, {"*", "*"},     {"", NULL},
        {" ", NULL},      {"**", NULL},         {"a*b", NULL},  {"*a", NULL},
        {"a**", NULL},    {"a* *", NULL},       {"a *", "a *"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice out;
        const char *why = NULL;
        assert_int_equal(rule_pattern(cases[i].given, &arena, &out, &why), cases[i].kept != NULL);
        if (cases[i].kept) {
            assert_int_equal(out.size, strlen(cases[i].kept));
            assert_memory_equal(out.data, cases[i].kept, out.size);
        } else {
            assert_non_null(why);
        }
    }
}

static void the_star_does_not_count(void **state)
{
    (void)state;
    char text[258] = "";
    struct slice out;
    const char *why;
    memset(text, 'x', 255);
    text[255] = '*';
    assert_true(rule_pattern(text, &arena, &out, &why));
    assert_int_equal(out.size, 256);
    memset(text, 'x', 256);
    text[256] = '*';
    assert_false(rule_pattern(text, &arena, &out, &why));
    assert_non_null(strstr(why, "255"));
}

static void page_tokens_come_back_and_are_bound_to_their_list(void **state)
{
    (void)state;
    char token[PAGE_TOKEN_SIZE];
    int64_t after = 0;
    page_token_format(0xfedcba9876543210, INT64_C(0x123456789abcdef), token);
    assert_true(page_token_parse(token, 0xfedcba9876543210, &after));
    assert_int_equal(after, INT64_C(0x123456789abcdef));
    assert_false(page_token_parse(token, 0xfedcba9876543211, &after));
    for (size_t length = 0; length < strlen(token); length++) {
        char cut[PAGE_TOKEN_SIZE] = "";
        memcpy(cut, token, length);
        assert_false(page_token_parse(cut, 0xfedcba9876543210, &after));
    }
    token[5] = 'g';
    assert_false(page_token_parse(token, 0xfedcba9876543210, &after));
}

static void page_tokens_hold_positions_from_1_on(void **state)
{
    (void)state;
    int64_t after;
    assert_false(page_token_parse("0200000000000000070000000000000000", 7, &after));
    assert_false(page_token_parse("0200000000000000078000000000000000", 7, &after));
    assert_false(page_token_parse("0100000000000000070000000000000001", 7, &after));
    assert_true(page_token_parse("0200000000000000070000000000000001", 7, &after));
    assert_int_equal(after, 1);
}

static void lists_differ_by_set_order_and_each_part_of_the_filter(void **state)
{
    (void)state;
    const struct slice names[] = {{"ab", 2}, {"c", 1}};
    const struct slice others[] = {{"a", 1}, {"bc", 2}};
    const struct store_list lists[] = {
        {0},
        {.set = STORE_ACKNOWLEDGED},
        {.oldest_first = true},
        {.filter = {.sources = names, .source_count = 2}},
        {.filter = {.sources = others, .source_count = 2}},
        {.filter = {.sources = names, .source_count = 1}},
        {.filter = {.types = names, .type_count = 2}},
        {.filter = {.sources = names, .source_count = 1, .types = names + 1, .type_count = 1}},
        {.filter = {.from_us = 1}},
        {.filter = {.until_us = 1}},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct store_list same = lists[i];
        same.limit = 7; /* pages of one list may have other sizes */
        assert_true(page_list_of(&lists[i]) == page_list_of(&same));
        for (size_t k = 0; k < i; k++)
            assert_true(page_list_of(&lists[i]) != page_list_of(&lists[k]));
    }
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
        cmocka_unit_test(patterns_are_names_that_may_end_in_a_star),
        cmocka_unit_test(the_star_does_not_count),
        cmocka_unit_test(page_tokens_come_back_and_are_bound_to_their_list),
        cmocka_unit_test(page_tokens_hold_positions_from_1_on),
        cmocka_unit_test(lists_differ_by_set_order_and_each_part_of_the_filter),
    };
    return cmocka_run_group_tests_name("rules", tests, setup, teardown);
}
