/* Lists of origins and of hosts: what is accepted, which Origin gets which verdict, and which Host
 * is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/web.h"

static struct origins parse(const char *text)
{
    struct origins origins;
    char why[256] = "";
    if (!origins_parse(&origins, text, why, sizeof(why)))
        fail_msg("\"%s\" was refused: %s", text, why);
    return origins;
}

static void lists_are_read(void **state)
{
    (void)state;
    struct origins origins = parse(" https://A.example.com , http://localhost:3000,,*,"
                                   "https://*.amplifyapp.com, http://[::1]:8080");
    assert_true(origins.any);
    assert_int_equal(origins.count, 4);
    assert_string_equal(origins.list[0].scheme, "https://");
    assert_string_equal(origins.list[0].host, "a.example.com");
    assert_true(origins.list[2].wildcard);
    assert_string_equal(origins.list[2].host, "amplifyapp.com");
    assert_false(parse("https://a.b").any);
}

static void wrong_lists_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " , ",
        "example.com",
        "https://",
        "https://example.com/",
        "https://example.com/path",
        "https://*",
        "https://*example.com",
        "https://a.*.example.com",
        "https://**.example.com",
        "https://example.com:port",
        "https://example.com:",
        "https://example.com:123456",
        "https://.example.com",
        "https://a..example.com",
        "https://user@example.com",
        "https://exa mple.com",
        "://example.com",
        "1https://example.com",
        "averyveryveryverylongscheme://example.com",
        "https://[::1",
        "https://[]",
        "null",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct origins origins;
        char why[256] = "";
        if (origins_parse(&origins, cases[i], why, sizeof(why)))
            fail_msg("accepted: \"%s\"", cases[i]);
        assert_true(why[0] != '\0');
    }
}

static void too_many_and_too_long_are_refused(void **state)
{
    (void)state;
    struct origins origins;
    char why[256];
    char many[WEB_MAX_ENTRIES * 20 + 40] = "";
    for (int i = 0; i <= WEB_MAX_ENTRIES; i++)
        strcat(many, "https://a.b,");
    assert_false(origins_parse(&origins, many, why, sizeof(why)));
    char longest[WEB_MAX_ENTRY_SIZE + 2];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "https://", 8);
    longest[WEB_MAX_ENTRY_SIZE + 1] = '\0';
    assert_false(origins_parse(&origins, longest, why, sizeof(why)));
    longest[WEB_MAX_ENTRY_SIZE] = '\0';
    assert_true(origins_parse(&origins, longest, why, sizeof(why)));
    assert_int_equal(origins_judge(&origins, longest), ORIGIN_LISTED);
}

static void origins_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        const char *origin;
        enum origin_verdict verdict;
    } cases[] = {
        {"*", "https://any.example", ORIGIN_ANY},
        {"*", "null", ORIGIN_ANY},
        {"*,https://a.example", "https://a.example", ORIGIN_LISTED},
        {"https://a.example", "https://a.example", ORIGIN_LISTED},
        {"https://a.example", "HTTPS://A.EXAMPLE", ORIGIN_LISTED},
        {"https://a.example", "http://a.example", ORIGIN_UNLISTED},
        {"https://a.example", "https://a.example:8443", ORIGIN_UNLISTED},
        {"https://a.example", "https://b.example", ORIGIN_UNLISTED},
        {"https://a.example", "https://a.example.evil", ORIGIN_UNLISTED},
        {"https://a.example", "null", ORIGIN_UNLISTED},
        {"https://a.example", "", ORIGIN_UNLISTED},
        {"http://localhost:3000", "http://localhost:3000", ORIGIN_LISTED},
        {"http://localhost:3000", "http://localhost", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://main.d1.amplifyapp.com", ORIGIN_LISTED},
        {"https://*.amplifyapp.com", "https://x.amplifyapp.com", ORIGIN_LISTED},
        {"https://*.amplifyapp.com", "https://amplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://.amplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://evilamplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://evil.com/x.amplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://evil.com#x.amplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://u@x.amplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "http://x.amplifyapp.com", ORIGIN_UNLISTED},
        {"https://*.amplifyapp.com", "https://x.amplifyapp.com:444", ORIGIN_UNLISTED},
        {"https://a.example:443", "https://a.example", ORIGIN_LISTED},
        {"https://a.example", "https://a.example:443", ORIGIN_LISTED},
        {"http://a.example:80", "http://a.example", ORIGIN_LISTED},
        {"https://a.example:80", "https://a.example", ORIGIN_UNLISTED},
        {"https://*.a.example:443", "https://b.a.example", ORIGIN_LISTED},
        {"https://*.a.example", "https://*.a.example", ORIGIN_UNLISTED},
        {"https://a.example", "https://a.example https://a.example", ORIGIN_UNLISTED},
        {"https://a.example", "https://a.example/", ORIGIN_UNLISTED},
        {"https://a.example", NULL, ORIGIN_UNLISTED},
        {"*", NULL, ORIGIN_ANY},
        {"moz-extension://0a1b", "moz-extension://0a1b", ORIGIN_LISTED},
        {"http://*.local:3000", "http://a.b.local:3000", ORIGIN_LISTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct origins origins = parse(cases[i].setting);
        if (origins_judge(&origins, cases[i].origin) != cases[i].verdict)
            fail_msg("\"%s\" with \"%s\"", cases[i].origin ? cases[i].origin : "",
                     cases[i].setting);
    }
}

static void pages_of_our_own_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *origin;
        const char *host;
        bool own;
    } cases[] = {
        {"http://localhost:8000", "localhost:8000", true},
        {"http://LOCALHOST:8000", "localhost:8000", true},
        {"https://api.example.com", "api.example.com", true},
        {"https://api.example.com", "api.example.com:443", true},
        {"http://[::1]:8000", "[::1]:8000", true},
        {"http://localhost:8001", "localhost:8000", false},
        {"http://localhost", "localhost:8000", false},
        {"https://api.example.com", "api.example.com:80", false},
        {"https://evil.example", "api.example.com", false},
        {"chrome-extension://api", "api", false},
        {"null", "null", false},
        {"", "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (origin_is_of_host(cases[i].origin, cases[i].host) != cases[i].own)
            fail_msg("\"%s\" of \"%s\"", cases[i].origin, cases[i].host);
    }
}

static struct hosts parse_hosts(const char *text)
{
    struct hosts hosts = {0};
    char why[256] = "";
    if (text && !hosts_parse(&hosts, text, why, sizeof(why)))
        fail_msg("\"%s\" was refused: %s", text, why);
    return hosts;
}

static void hosts_are_served(void **state)
{
    (void)state;
    static const char own[] = "127.0.0.1:7300";
    static const struct {
        const char *setting;
        const char *bound;
        const char *host;
        bool served;
    } cases[] = {
        {NULL, NULL, "evil.example", true},
        {NULL, NULL, "", true},
        {NULL, own, "localhost", true},
        {NULL, own, "LocalHost:8000", true},
        {NULL, own, "localhost.", true},
        {NULL, own, "app.localhost:8000", true},
        {NULL, own, "127.0.0.1", true},
        {NULL, own, "127.1.2.3:80", true},
        {NULL, own, "[::1]:8000", true},
        {NULL, own, "[::ffff:127.0.0.1]", true},
        {NULL, own, "evil.example", false},
        {NULL, own, "localhost.evil.example", false},
        {NULL, own, "evillocalhost", false},
        {NULL, own, ".localhost", false},
        {NULL, own, "127.0.0.1.evil.example:8000", false},
        {NULL, own, "128.0.0.1", false},
        {NULL, own, "10.0.0.7:8000", false},
        {NULL, own, "[::2]", false},
        {NULL, own, "localhost:8000@evil.example", false},
        {NULL, own, "[::1]evil", false},
        {NULL, own, "[::1", false},
        {NULL, own, "", false},
        {NULL, own, ":80", false},
        {NULL, "myhost", "MyHost:8000", true},
        {NULL, "myhost:7300", "other", false},
        {"*", own, "evil.example", true},
        {"api.example.com", own, "API.example.com:8000", true},
        {"api.example.com", own, "localhost", true},
        {"api.example.com", own, "a.api.example.com", false},
        {"api.example.com", own, "10.0.0.7", false},
        {"api.example.com, 10.0.0.7", own, "10.0.0.7:8000", true},
        {"fd00::7", own, "[fd00::7]:8000", true},
        {"[fd00::7]", own, "[FD00::7]", true},
        {"api.example.com", NULL, "api.example.com", true},
        {"api.example.com", NULL, "evil.example", false},
        {"api.example.com", NULL, "10.0.0.7:8000", true},
        {"*.example.com", NULL, "a.b.example.com", true},
        {"*.example.com", NULL, "example.com", false},
        {"*.example.com", NULL, "evilexample.com", false},
        {"*.example.com", NULL, ".example.com", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hosts hosts = parse_hosts(cases[i].setting);
        if (hosts_serve(&hosts, cases[i].bound, cases[i].host) != cases[i].served)
            fail_msg("\"%s\" with \"%s\"", cases[i].host, cases[i].setting ? cases[i].setting : "");
    }
}

static void wrong_hosts_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        ",",
        "https://a.example",
        "a.example:443",
        "a.example/",
        "a b",
        "*.*.a",
        "a.*.example",
        "*.",
        "[::1]:80",
        "a..b",
        "user@a",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hosts hosts;
        char why[256] = "";
        if (hosts_parse(&hosts, cases[i], why, sizeof(why)))
            fail_msg("accepted: \"%s\"", cases[i]);
        assert_true(why[0] != '\0');
    }
}

static void loopback_is_known(void **state)
{
    (void)state;
    static const char *const here[] = {"127.0.0.1", "127.0.0.1:7300", "localhost",
                                       "::1",       "[::1]:7300",     "127.9.9.9"};
    static const char *const open[] = {"0.0.0.0", "::", "[::]:7300", "*", "", "10.0.0.7"};
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
        assert_true(host_is_bound_to_loopback(here[i]));
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        assert_false(host_is_bound_to_loopback(open[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(too_many_and_too_long_are_refused),
        cmocka_unit_test(origins_are_judged),
        cmocka_unit_test(pages_of_our_own_are_known),
        cmocka_unit_test(hosts_are_served),
        cmocka_unit_test(wrong_hosts_are_refused),
        cmocka_unit_test(loopback_is_known),
    };
    return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
