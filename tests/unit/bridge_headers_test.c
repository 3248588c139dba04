/* Percent-decoding, what is left of heads, and the judgement of headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "headers.h"
#include "heads.h"
#include "problem.h"
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
    headers = (struct headers){0};
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
    assert_null(headers_framing_error(&headers, "HTTP/1.0"));
    headers.hosts = 2;
    assert_non_null(headers_framing_error(&headers, "HTTP/1.1"));
}

/* Filters `text` in pieces of `piece` bytes into `out`; returns the status it is refused with. */
static unsigned filter(const char *text, size_t length, size_t piece, char *out, size_t *size)
{
    struct head head = {0};
    char room[512];
    *size = 0;
    for (size_t at = 0; at < length && !head.refused; at += piece) {
        size_t count = length - at < piece ? length - at : piece;
        memcpy(room, text + at, count);
        struct received received = received_begin(&head, room, sizeof(room));
        head_filter(&head, &received, count);
        memcpy(out + *size, room, received.kept);
        *size += received.kept;
    }
    return head.refused ? head.refused->status : 0;
}

static void of_heads_what_is_read_is_kept_however_they_come(void **state)
{
    (void)state;
    static const char text[] = "\r\nPOST /a?b HTTP/1.1\r\nhost:  a\r\nX-Junk: GET / "
                               "HTTP/1.1\r\nContent-Length: 4 \r\nCookie:\r\n\r\n"
                               "\n\0\r\n"
                               "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nA: "
                               "b\r\n\r\n3\r\na\nb\r\n0\r\nT: u\r\n\r\n"
                               "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
                               "GET /c HTTP/1.1\r\nABCDEFGHIJABCDEFGHIJABCDEFGHIJABCDEFGHIJ: "
                               "d\r\nConnection: close\r\n\r\n";
    static const char whole[] =
        "POST /a?b HTTP/1.1\r\nhost:  a\r\nContent-Length: 4 \r\n\r\n"
        "\n\0\r\n"
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\na\nb\r\n0\r\nT: u\r\n\r\n"
        "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
        "GET /c HTTP/1.1\r\nConnection: close\r\n\r\n";
    static const char in_bytes[] =
        "POST /a?b HTTP/1.1\r\nhost:  a\r\nX-Junk:\r\nContent-Length: 4 \r\nCookie:\r\n\r\n"
        "\n\0\r\n"
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nA:\r\n\r\n3\r\na\nb\r\n0\r\nT: u\r\n\r\n"
        "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
        "GET /c HTTP/1.1\r\nABCDEFGHIJABCDEFGHIJABCDEFGHIJAB:\r\nConnection: close\r\n\r\n";
    char out[1024];
    size_t size;
    assert_int_equal(filter(text, sizeof(text) - 1, sizeof(text) - 1, out, &size), 0);
    assert_int_equal(size, sizeof(whole) - 1);
    assert_memory_equal(out, whole, size);
    assert_int_equal(filter(text, sizeof(text) - 1, 1, out, &size), 0);
    assert_int_equal(size, sizeof(in_bytes) - 1);
    assert_memory_equal(out, in_bytes, size);
    for (size_t piece = 2; piece < sizeof(text) - 1; piece++) {
        assert_int_equal(filter(text, sizeof(text) - 1, piece, out, &size), 0);
        assert_in_range(size, sizeof(whole) - 1, sizeof(in_bytes) - 1);
    }
}

static void lines_that_can_be_read_in_two_ways_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n b: c\r\n\r\n",
        "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
        "\x01 / HTTP/1.1\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX\xC3: a\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n",
    };
    static const char before[] = "GET /first HTTP/1.1\r\n\r\n";
    static const char stand_in[] = "GET /first HTTP/1.1\r\n\r\n\x01 / HTTP/1.0\r\n\r\n";
    char out[1024], text[512];
    size_t size;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece <= strlen(cases[i]); piece++)
            assert_int_equal(filter(cases[i], strlen(cases[i]), piece, out, &size), 400);
        assert_int_equal(filter(cases[i], strlen(cases[i]), 512, out, &size), 400);
        assert_int_equal(size, 0);
        snprintf(text, sizeof(text), "%s%s", before, cases[i][0] == '\n' ? "\r\n" : "");
        strcat(text, cases[i]);
        assert_int_equal(filter(text, strlen(text), 512, out, &size), 400);
        if (cases[i][0] != '\n') {
            assert_int_equal(size, sizeof(stand_in) - 1);
            assert_memory_equal(out, stand_in, size);
        }
    }
}

/* However they are cut, and only when the head is complete. */
static void lengths_are_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        unsigned status; /* 0: it states four bytes */
    } cases[] = {
        {"4", 0},
        {"4                              ", 0},
        {" \t 4\t", 0},
        {"0000000000000000000000000000000000004", 0},
        {"18446744073709551615", 413},
        {"18446744073709551616", 413},
        {"444444444444444444444444444444", 413},
        {"", 400},
        {"   ", 400},
        {"4 4", 400},
        {"-4", 400},
        {"+4", 400},
        {"4,4", 400},
        {"0x4", 400},
        {"00000000000000000000000000000x4", 400},
        {"4\r\nContent-Length: x", 400},
        {"x\r\nTransfer-Encoding: chunked", 400},
    };
    char text[512], out[1024];
    size_t size;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t head = (size_t)snprintf(text, sizeof(text),
                                       "POST / HTTP/1.1\r\nContent-Length:%s\r\n", cases[i].value);
        assert_int_equal(filter(text, head, 1, out, &size), 0);
        /* What follows the body is a head that is refused. */
        size_t length =
            head + (size_t)snprintf(text + head, sizeof(text) - head, "\r\n\n\r\n\nGET\n");
        for (size_t piece = 1; piece <= length; piece++)
            assert_int_equal(filter(text, length, piece, out, &size),
                             cases[i].status ? cases[i].status : 400);
        if (cases[i].status == 0) {
            assert_int_equal(filter(text, length - 4, 1, out, &size), 0);
            assert_int_equal(size, length - 4);
        }
    }
}

/* Receives until `length` bytes are there, as often as there is room for them only. */
static void receive_all(int socket, char *out, size_t length, size_t room)
{
    for (size_t size = 0; size < length;) {
        ssize_t count = recv(socket, out + size, room, 0);
        assert_true(count > 0);
        size += (size_t)count;
        /* libmicrohttpd believes that less than it had room for is all that has come. */
        assert_true((size_t)count == room || size == length);
    }
}

/* However much room there is after it, what stands for the refused request comes whole. */
static void a_fault_is_told_whatever_room_is_left(void **state)
{
    (void)state;
    static const char sent[] = "GET /first HTTP/1.1\r\n\r\n\x02 and more";
    static const char stand_in[] = "GET /first HTTP/1.1\r\n\r\n\x01 / HTTP/1.0\r\n\r\n";
    for (size_t room = strlen("GET /first HTTP/1.1\r\n\r\n") + 1; room < sizeof(sent); room++) {
        int pair[2];
        char out[256];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        struct head head = {0};
        assert_true(heads_init(1024));
        heads_watch(pair[0], &head);
        assert_int_equal(send(pair[1], sent, sizeof(sent) - 1, 0), sizeof(sent) - 1);
        receive_all(pair[0], out, sizeof(stand_in) - 1, room);
        assert_memory_equal(out, stand_in, sizeof(stand_in) - 1);
        assert_true(head.told);
        heads_forget(pair[0], &head);
        heads_fini();
        close(pair[0]);
        close(pair[1]);
    }
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
        cmocka_unit_test(of_heads_what_is_read_is_kept_however_they_come),
        cmocka_unit_test(lines_that_can_be_read_in_two_ways_are_refused),
        cmocka_unit_test(lengths_are_numbers),
        cmocka_unit_test(a_fault_is_told_whatever_room_is_left),
        cmocka_unit_test(media_types_are_told_apart),
        cmocka_unit_test(request_ids_are_visible_ascii),
        cmocka_unit_test(only_header_names_are_echoed),
    };
    return cmocka_run_group_tests_name("bridge_headers", tests, NULL, NULL);
}
