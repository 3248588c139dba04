/* Ranges of addresses, and what is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/address_range.h"

static bool parses(const char *text)
{
    struct address_range range;
    return address_range_parse(text, strlen(text), &range);
}

static struct address_range range_of(const char *text)
{
    struct address_range range;
    assert_true(address_range_parse(text, strlen(text), &range));
    return range;
}

static bool has(const char *range, const char *address)
{
    uint8_t bytes[16];
    struct address_range parsed = range_of(range);
    assert_true(address_parse(address, bytes));
    return address_range_has(&parsed, bytes);
}

static bool covers(const char *outer, const char *inner)
{
    struct address_range parsed_outer = range_of(outer);
    struct address_range parsed_inner = range_of(inner);
    return address_range_covers(&parsed_outer, &parsed_inner);
}

static void ranges_are_read(void **state)
{
    (void)state;
    static const char *const good[] = {
        "192.0.2.7", "192.0.2.0/24",  "0.0.0.0/0",           "192.0.2.7/32",
        "::/0",      "2001:db8::/32", "2001:DB8:0:0::7/128", "::ffff:192.0.2.0/120",
        "::1",
    };
    static const char *const bad[] = {
        "",
        "/",
        "/24",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.0/024",
        "192.0.2.0/-1",
        "192.0.2.0/+1",
        "192.0.2.0/ 8",
        "192.0.2.0/24/24",
        "192.0.2.7/24", /* what follows the prefix is not 0 */
        "2001:db8::1/32",
        "::1/0",
        "192.0.2",
        "192.0.2.256",
        "0xC0.0.2.1",
        "192.0.2.07",
        "fe80::1%eth0",
        "[::1]",
        "localhost",
        " 192.0.2.7",
        "2001:db8::/129",
        "2001:0db8:0000:0000:0000:ffff:192.168.100.228/1280",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(parses(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parses(bad[i]));
    struct address_range range;
    assert_false(address_range_parse("1.2.3.4\0", 8, &range));
}

static void addresses_are_found_in_ranges(void **state)
{
    (void)state;
    assert_true(has("192.0.2.0/24", "192.0.2.255"));
    assert_false(has("192.0.2.0/24", "192.0.3.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.129"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7", "192.0.2.6"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("fe80::/10", "fe80::1%eth0"));
    assert_true(has("::/0", "2001:db8::1"));
}

static void mapped_addresses_are_those_they_map(void **state)
{
    (void)state;
    assert_true(has("192.0.2.0/24", "::ffff:192.0.2.7"));
    assert_true(has("::ffff:192.0.2.0/120", "192.0.2.7"));
    assert_true(has("::ffff:c000:200/120", "192.0.2.7"));
    assert_true(has("0.0.0.0/0", "::ffff:1.2.3.4"));
    assert_false(has("0.0.0.0/0", "::1.2.3.4")); /* "compatible", which is another address */
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "1.2.3.4"));
}

static void ranges_cover_smaller_ones(void **state)
{
    (void)state;
    assert_true(covers("192.0.2.0/24", "192.0.2.0/24"));
    assert_true(covers("192.0.2.0/24", "192.0.2.64/26"));
    assert_true(covers("192.0.2.0/24", "192.0.2.9"));
    assert_false(covers("192.0.2.0/24", "192.0.0.0/16"));
    assert_false(covers("192.0.2.9", "192.0.2.0/24"));
    assert_false(covers("0.0.0.0/0", "::/0"));
    assert_true(covers("::/0", "0.0.0.0/0"));
}

static void other_texts_are_no_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "%eth0", "192.0.2.7:80", "[::1]", "host", "1", "::1/128"};
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(address_parse(bad[i], bytes));
}

static void lists_of_ranges_are_read(void **state)
{
    struct address_ranges ranges;
    char why[256];
    uint8_t bytes[16];
    (void)state;
    assert_true(address_ranges_parse(&ranges, "10.0.0.0/8, ::1,\t192.0.2.7,", why, sizeof(why)));
    assert_int_equal(ranges.count, 3);
    assert_true(address_parse("192.0.2.7", bytes) && address_ranges_have(&ranges, bytes));
    assert_true(address_parse("::1", bytes) && address_ranges_have(&ranges, bytes));
    assert_true(address_parse("11.0.0.1", bytes));
    assert_false(address_ranges_have(&ranges, bytes));
    assert_true(address_ranges_parse(&ranges, "", why, sizeof(why)));
    assert_false(address_ranges_have(&ranges, bytes));
    assert_false(address_ranges_parse(&ranges, "10.0.0.0/8, host", why, sizeof(why)));
    assert_non_null(strstr(why, "\"host\" is neither"));
    char many[ADDRESS_RANGES_MAX * 8 + 8 + 1] = "";
    for (size_t i = 0; i <= ADDRESS_RANGES_MAX; i++)
        strcat(many, "1.2.3.4,");
    assert_false(address_ranges_parse(&ranges, many, why, sizeof(why)));
    assert_string_equal(why, "at most 64 ranges are accepted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(addresses_are_found_in_ranges),
        cmocka_unit_test(mapped_addresses_are_those_they_map),
        cmocka_unit_test(ranges_cover_smaller_ones),
        cmocka_unit_test(other_texts_are_no_addresses),
        cmocka_unit_test(lists_of_ranges_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
