/* What the core is told of who makes a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "credentials.h"

#define KEY "Bearer trg_0123456789ab_0123456789"

static struct credentials read_with(struct headers headers, const char *peer, const char *proxies)
{
    struct credentials credentials;
    struct address_ranges ranges;
    char why[256];
    memset(&credentials, 0xAA, sizeof(credentials));
    assert_true(address_ranges_parse(&ranges, proxies, why, sizeof(why)));
    credentials_read(&credentials, &headers, peer, &ranges);
    return credentials;
}

static void check_authorization(const char *sent, unsigned times, const char *expected)
{
    struct headers headers = {.authorization = sent, .authorizations = times};
    struct credentials credentials = read_with(headers, "192.0.2.7", "");
    assert_string_equal(credentials.authorization, expected);
}

static void a_key_passes_as_it_is(void **state)
{
    (void)state;
    check_authorization(NULL, 0, "");
    check_authorization(KEY, 1, KEY);
    check_authorization(" \t" KEY " ", 1, KEY);
    check_authorization("bearer x", 1, "bearer x");
}

static void what_is_no_key_passes_as_a_wrong_one(void **state)
{
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Basic dTpw",
                                      "Bearerx y",
                                      "Bearer \x01",
                                      "Bearer a\tb",
                                      "Bearer \xc3\xa4",
                                      "Bearer a\x7f"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_authorization(bad[i], 1, "invalid");
    check_authorization(KEY, 2, "invalid");
}

static void a_key_has_a_longest_length(void **state)
{
    char text[300] = "Bearer ";
    (void)state;
    memset(text + 7, 'x', sizeof(text) - 7);
    text[HEADERS_AUTHORIZATION_MAX + 1] = '\0';
    check_authorization(text, 1, "invalid");
    text[HEADERS_AUTHORIZATION_MAX] = '\0';
    check_authorization(text, 1, text);
}

static void check_address(const char *peer, const char *forwarded, const char *expected)
{
    struct headers headers = {.forwarded_for = forwarded};
    struct credentials credentials = read_with(headers, peer, "10.0.0.0/8, ::1");
    assert_string_equal(credentials.address, expected);
}

static void the_address_is_that_of_the_connection(void **state)
{
    (void)state;
    check_address("192.0.2.7", NULL, "192.0.2.7");
    check_address("192.0.2.7", "198.51.100.1", "192.0.2.7");
    check_address("2001:db8::7", "198.51.100.1", "2001:db8::7");
    check_address("::ffff:192.0.2.7", NULL, "192.0.2.7");
    check_address("", "198.51.100.1", "");
}

static void proxies_say_where_a_request_comes_from(void **state)
{
    (void)state;
    check_address("10.0.0.1", NULL, "10.0.0.1");
    check_address("10.0.0.1", "", "10.0.0.1");
    check_address("10.0.0.1", "198.51.100.1", "198.51.100.1");
    check_address("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1");
    check_address("::1", "::ffff:198.51.100.1", "198.51.100.1");
    check_address("10.0.0.1", "198.51.100.1:4711", "198.51.100.1");
    check_address("10.0.0.1", "2001:db8::7", "2001:db8::7");
    check_address("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7");
    check_address("10.0.0.1", "[2001:db8::7]", "2001:db8::7");
}

/* Only what a proxy itself has added counts. */
static void clients_cannot_say_where_they_are(void **state)
{
    (void)state;
    check_address("10.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1");
    check_address("10.0.0.1", "127.0.0.1, 198.51.100.1 ,\t10.2.3.4", "198.51.100.1");
    check_address("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
    check_address("10.0.0.1", "127.0.0.1, unknown", "10.0.0.1");
    check_address("10.0.0.1", "127.0.0.1, _hidden, 10.0.0.2", "10.0.0.2");
    check_address("10.0.0.1", "127.0.0.1, [::1", "10.0.0.1");
    check_address("10.0.0.1", ",, ,", "10.0.0.1");
    char text[2 * CREDENTIALS_ADDRESS_SIZE];
    memset(text, '1', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    check_address("10.0.0.1", text, "10.0.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_passes_as_it_is),
        cmocka_unit_test(what_is_no_key_passes_as_a_wrong_one),
        cmocka_unit_test(a_key_has_a_longest_length),
        cmocka_unit_test(the_address_is_that_of_the_connection),
        cmocka_unit_test(proxies_say_where_a_request_comes_from),
        cmocka_unit_test(clients_cannot_say_where_they_are),
    };
    return cmocka_run_group_tests_name("bridge credentials", tests, NULL, NULL);
}
