/* CORS_ORIGINS: what is accepted, and which Origin gets which verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cors.h"

static struct cors parse(const char *text)
{
    struct cors cors;
    char why[256] = "";
    if (!cors_parse(&cors, text, why, sizeof(why)))
        fail_msg("\"%s\" was refused: %s", text, why);
    return cors;
}

static void lists_are_read(void **state)
{
    (void)state;
    struct cors cors = parse(" https://A.example.com , http://localhost:3000,,*,"
                             "https://*.amplifyapp.com, http://[::1]:8080");
    assert_true(cors.any);
    assert_int_equal(cors.count, 4);
    assert_string_equal(cors.origins[0].scheme, "https://");
    assert_string_equal(cors.origins[0].host, "a.example.com");
    assert_true(cors.origins[2].wildcard);
    assert_string_equal(cors.origins[2].host, "amplifyapp.com");
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
        "averyveryverylongscheme://example.com",
        "https://[::1",
        "https://[]",
        "null",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cors cors;
        char why[256] = "";
        if (cors_parse(&cors, cases[i], why, sizeof(why)))
            fail_msg("accepted: \"%s\"", cases[i]);
        assert_true(why[0] != '\0');
    }
}

static void too_many_and_too_long_are_refused(void **state)
{
    (void)state;
    struct cors cors;
    char why[256];
    char many[CORS_MAX_ORIGINS * 20 + 40] = "";
    for (int i = 0; i <= CORS_MAX_ORIGINS; i++)
        strcat(many, "https://a.b,");
    assert_false(cors_parse(&cors, many, why, sizeof(why)));
    char longest[CORS_MAX_ORIGIN_SIZE + 2];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "https://", 8);
    longest[CORS_MAX_ORIGIN_SIZE + 1] = '\0';
    assert_false(cors_parse(&cors, longest, why, sizeof(why)));
    longest[CORS_MAX_ORIGIN_SIZE] = '\0';
    assert_true(cors_parse(&cors, longest, why, sizeof(why)));
    assert_int_equal(cors_judge(&cors, longest), CORS_LISTED);
}

static void origins_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        const char *origin;
        enum cors_verdict verdict;
    } cases[] = {
        {"*", "https://any.example", CORS_ANY},
        {"*", "null", CORS_ANY},
        {"*,https://a.example", "https://a.example", CORS_LISTED},
        {"https://a.example", "https://a.example", CORS_LISTED},
        {"https://a.example", "HTTPS://A.EXAMPLE", CORS_LISTED},
        {"https://a.example", "http://a.example", CORS_REFUSED},
        {"https://a.example", "https://a.example:8443", CORS_REFUSED},
        {"https://a.example", "https://b.example", CORS_REFUSED},
        {"https://a.example", "https://a.example.evil", CORS_REFUSED},
        {"https://a.example", "null", CORS_REFUSED},
        {"https://a.example", "", CORS_REFUSED},
        {"http://localhost:3000", "http://localhost:3000", CORS_LISTED},
        {"http://localhost:3000", "http://localhost", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://main.d1.amplifyapp.com", CORS_LISTED},
        {"https://*.amplifyapp.com", "https://x.amplifyapp.com", CORS_LISTED},
        {"https://*.amplifyapp.com", "https://amplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://.amplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://evilamplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://evil.com/x.amplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://evil.com#x.amplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://u@x.amplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "http://x.amplifyapp.com", CORS_REFUSED},
        {"https://*.amplifyapp.com", "https://x.amplifyapp.com:444", CORS_REFUSED},
        {"http://*.local:3000", "http://a.b.local:3000", CORS_LISTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cors cors = parse(cases[i].setting);
        if (cors_judge(&cors, cases[i].origin) != cases[i].verdict)
            fail_msg("\"%s\" with \"%s\"", cases[i].origin, cases[i].setting);
    }
}

static void only_header_names_are_echoed(void **state)
{
    (void)state;
    assert_true(cors_header_list_valid("content-type, x-request-id"));
    assert_false(cors_header_list_valid(""));
    assert_false(cors_header_list_valid("a\r\nb"));
    assert_false(cors_header_list_valid("a<b>"));
    char longest[1026];
    memset(longest, 'a', sizeof(longest));
    longest[1025] = '\0';
    assert_false(cors_header_list_valid(longest));
    longest[1024] = '\0';
    assert_true(cors_header_list_valid(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(too_many_and_too_long_are_refused),
        cmocka_unit_test(origins_are_judged),
        cmocka_unit_test(only_header_names_are_echoed),
    };
    return cmocka_run_group_tests_name("bridge_cors", tests, NULL, NULL);
}
