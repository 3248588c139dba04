/* Percent-decoding and the judgement of headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "headers.h"
#include "url.h"

static void escapes_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *decoded; /* NULL: refused */
        const char *path;
    } cases[] = {
        {"", "", ""},
        {"/a/b", "/a/b", "/a/b"},
        {"%41%7e%c3%A9", "A~\xc3\xa9", "A~\xc3\xa9"},
        {"a%2Fb", "a/b", NULL},
        {"a%2fb", "a/b", NULL},
        {"%2541", "%41", "%41"},
        {"a%00b", NULL, NULL},
        {"%", NULL, NULL},
        {"%4", NULL, NULL},
        {"%4g", NULL, NULL},
        {"%g4", NULL, NULL},
        {"%-1", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[32];
        assert_int_equal(url_decode(cases[i].text, out, sizeof(out)), cases[i].decoded != NULL);
        if (cases[i].decoded)
            assert_string_equal(out, cases[i].decoded);
        assert_int_equal(url_decode_path(cases[i].text, out, sizeof(out)), cases[i].path != NULL);
        if (cases[i].path)
            assert_string_equal(out, cases[i].path);
    }
}

static void decoding_stays_in_its_room(void **state)
{
    (void)state;
    char out[4];
    assert_true(url_decode("abc", out, sizeof(out)));
    assert_true(url_decode("%61%62%63", out, sizeof(out)));
    assert_false(url_decode("abcd", out, sizeof(out)));
    assert_false(url_decode("", out, 0));
}

static void framing_that_can_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    const struct headers host = {.host = "a", .hosts = 1};
    struct headers headers = host;
    assert_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers.content_length = "5";
    headers.content_lengths = 1;
    assert_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers.content_lengths = 2;
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers.content_lengths = 1;
    headers.transfer_encoding = "chunked";
    headers.transfer_encodings = 1;
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers.content_lengths = 0;
    assert_null(headers_framing_error(&headers, "HTTP/1.1"));
    assert_non_null(headers_framing_error(&headers, "HTTP/1.0"));
    headers.transfer_encoding = "Chunked";
    assert_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers.transfer_encoding = "gzip, chunked";
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers.transfer_encoding = "chunked";
    headers.transfer_encodings = 2;
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers = host;
    headers.malformed = true;
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    headers = (struct headers){0};
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    assert_null(headers_framing_error(&headers, "HTTP/1.0"));
    headers.hosts = 2;
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
}

static void media_types_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum media_type type;
    } cases[] = {
        {NULL, MEDIA_JSON},
        {"application/json", MEDIA_JSON},
        {"Application/JSON ; charset=UTF-8", MEDIA_JSON},
        {"application/vnd.api+json", MEDIA_JSON},
        {"application/cloudevents+json", MEDIA_OTHER},
        {"application/CloudEvents-batch+json; charset=utf-8", MEDIA_OTHER},
        {"application/+json", MEDIA_OTHER},
        {"application/jsonx", MEDIA_OTHER},
        {"application/x-ndjson", MEDIA_NDJSON},
        {"application/ndjson;a=b", MEDIA_NDJSON},
        {"application/jsonl", MEDIA_NDJSON},
        {"text/plain", MEDIA_OTHER},
        {"text/x+json", MEDIA_OTHER},
        {"application/x-www-form-urlencoded", MEDIA_OTHER},
        {"", MEDIA_OTHER},
        {"json", MEDIA_OTHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct headers headers = {.content_type = cases[i].text};
        assert_int_equal(headers_media_type(&headers), cases[i].type);
    }
}

static void request_ids_are_visible_ascii(void **state)
{
    (void)state;
    char text[130];
    memset(text, '~', sizeof(text));
    text[129] = '\0';
    assert_false(headers_request_id_valid(text));
    text[128] = '\0';
    assert_true(headers_request_id_valid(text));
    assert_true(headers_request_id_valid("!"));
    assert_false(headers_request_id_valid(""));
    assert_false(headers_request_id_valid("a b"));
    assert_false(headers_request_id_valid("a\tb"));
    assert_false(headers_request_id_valid("\xc3\xa9"));
    assert_false(headers_request_id_valid("a\x7f"));
}

static void only_header_names_are_echoed(void **state)
{
    (void)state;
    assert_true(headers_name_list_valid("content-type, x-request-id"));
    assert_false(headers_name_list_valid(""));
    assert_false(headers_name_list_valid("a\r\nb"));
    assert_false(headers_name_list_valid("a<b>"));
    char longest[1026];
    memset(longest, 'a', sizeof(longest));
    longest[1025] = '\0';
    assert_false(headers_name_list_valid(longest));
    longest[1024] = '\0';
    assert_true(headers_name_list_valid(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(decoding_stays_in_its_room),
        cmocka_unit_test(framing_that_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(media_types_are_told_apart),
        cmocka_unit_test(request_ids_are_visible_ascii),
        cmocka_unit_test(only_header_names_are_echoed),
    };
    return cmocka_run_group_tests_name("bridge_headers", tests, NULL, NULL);
}
