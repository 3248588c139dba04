/* What links make a WebSocket of: heads of frames, the mask and both sides of the handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sp/handshake.h"
#include "sp/websocket.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- heads of frames ---- */

static void assert_same_head(const struct websocket_head *head, const struct websocket_head *other)
{
    assert_int_equal(head->size, other->size);
    assert_int_equal(head->length, other->length);
    assert_int_equal(head->opcode, other->opcode);
    assert_int_equal(head->final, other->final);
    assert_int_equal(head->masked, other->masked);
    assert_memory_equal(head->mask, other->mask, 4);
}

/* Writes the head, and reads it back whole and in every part. */
static void check_head(struct websocket_head head, size_t size)
{
    uint8_t bytes[WEBSOCKET_HEAD_MAX];
    struct websocket_head read;
    if (head.masked)
        memcpy(head.mask, "\x01\x7f\x80\xff", 4);
    assert_int_equal(websocket_put_head(bytes, &head), size);
    assert_int_equal(websocket_head_size(head.length, head.masked), size);
    for (size_t part = 0; part < size; part++)
        assert_int_equal(websocket_read_head(bytes, part, head.masked, &read),
                         WEBSOCKET_INCOMPLETE);
    assert_int_equal(websocket_read_head(bytes, size, head.masked, &read), WEBSOCKET_OK);
    head.size = size;
    assert_same_head(&read, &head);
}

static void heads_are_read_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        size_t size; /* not masked */
    } cases[] = {{0, 2},     {1, 2},      {125, 2},         {126, 4},
                 {65535, 4}, {65536, 10}, {1ull << 40, 10}, {INT64_MAX, 10}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int bits = 0; bits < 8; bits++) {
            struct websocket_head head = {.length = cases[i].length,
                                          .opcode =
                                              bits & 1 ? WEBSOCKET_BINARY : WEBSOCKET_CONTINUATION,
                                          .final = bits & 2,
                                          .masked = bits & 4};
            check_head(head, cases[i].size + (head.masked ? 4 : 0));
        }
    }
}

static void control_frames_are_told_from_parts_of_messages(void **state)
{
    (void)state;
    static const enum websocket_opcode control[] = {WEBSOCKET_CLOSE, WEBSOCKET_PING,
                                                    WEBSOCKET_PONG};
    for (size_t i = 0; i < COUNT(control); i++) {
        assert_true(websocket_is_control(control[i]));
        check_head((struct websocket_head){.opcode = control[i], .final = true}, 2);
        check_head((struct websocket_head){.opcode = control[i],
                                           .final = true,
                                           .masked = true,
                                           .length = WEBSOCKET_CONTROL_MAX},
                   6);
    }
    assert_false(websocket_is_control(WEBSOCKET_BINARY));
    assert_false(websocket_is_control(WEBSOCKET_CONTINUATION));
}

/* The examples of RFC 6455, section 5.7. */
static void heads_of_the_standard_are_read(void **state)
{
    (void)state;
    struct websocket_head head;
    const struct websocket_head pong = {.size = 6,
                                        .length = 5,
                                        .opcode = WEBSOCKET_PONG,
                                        .final = true,
                                        .masked = true,
                                        .mask = {0x37, 0xfa, 0x21, 0x3d}};
    assert_int_equal(
        websocket_read_head((const uint8_t *)"\x8a\x85\x37\xfa\x21\x3d", 6, true, &head),
        WEBSOCKET_OK);
    assert_same_head(&head, &pong);
    const struct websocket_head large = {
        .size = 10, .length = 65536, .opcode = WEBSOCKET_BINARY, .final = true};
    assert_int_equal(
        websocket_read_head((const uint8_t *)"\x82\x7f\0\0\0\0\0\1\0\0", 10, false, &head),
        WEBSOCKET_OK);
    assert_same_head(&head, &large);
}

static void wrong_heads_are_refused(void **state)
{
    (void)state;
    struct websocket_head head;
    for (unsigned first = 0; first <= UINT8_MAX; first++) {
        unsigned opcode = first & 0xf;
        bool control = opcode >= 8 && opcode <= 10;
        bool known = opcode == 0 || opcode == 2 || control;
        bool whole = first & 0x80;
        bool good = known && !(first & 0x70) && (whole || !control);
        const uint8_t bytes[] = {(uint8_t)first, 125, 0, 0, 0, 0};
        assert_int_equal(websocket_read_head(bytes, 2, false, &head),
                         good ? WEBSOCKET_OK : WEBSOCKET_WRONG);
        assert_int_equal(websocket_read_head(bytes, 6, true, &head), WEBSOCKET_WRONG);
        const uint8_t masked[] = {(uint8_t)first, 0x80 | 125, 0, 0, 0, 0};
        assert_int_equal(websocket_read_head(masked, 6, true, &head),
                         good ? WEBSOCKET_OK : WEBSOCKET_WRONG);
        assert_int_equal(websocket_read_head(masked, 2, false, &head), WEBSOCKET_WRONG);
    }
}

static void wrong_lengths_are_refused(void **state)
{
    (void)state;
    static const uint8_t control[] = {0x89, 126, 0, 126, 0x8a, 127, 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t over[] = {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t in_2[] = {0x82, 126, 0, 125};
    static const uint8_t in_8[] = {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct websocket_head head;
    assert_int_equal(websocket_read_head(control, 4, false, &head), WEBSOCKET_WRONG);
    assert_int_equal(websocket_read_head(control + 4, 10, false, &head), WEBSOCKET_WRONG);
    assert_int_equal(websocket_read_head(over, sizeof(over), false, &head), WEBSOCKET_WRONG);
    assert_int_equal(websocket_read_head(in_2, sizeof(in_2), false, &head), WEBSOCKET_WRONG);
    assert_int_equal(websocket_read_head(in_8, sizeof(in_8), false, &head), WEBSOCKET_WRONG);
}

/* ---- the mask ---- */

static void the_mask_is_that_of_each_byte(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x00};
    uint8_t original[80], masked[sizeof(original)], expected[sizeof(original)];
    for (size_t i = 0; i < sizeof(original); i++)
        original[i] = (uint8_t)(i * 37);
    for (size_t start = 0; start < 9; start++) {
        for (size_t size = 0; size < 70; size++) {
            memcpy(masked, original, sizeof(original));
            memcpy(expected, original, sizeof(original));
            for (size_t i = 0; i < size; i++)
                expected[start + i] ^= mask[i % 4];
            websocket_mask(masked + start, size, mask);
            assert_memory_equal(masked, expected, sizeof(original));
            websocket_mask(masked + start, size, mask);
            assert_memory_equal(masked, original, sizeof(original));
        }
    }
}

/* ---- the handshake ---- */

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455, section 1.3, as the next */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define OTHER_ACCEPT "AAAAAAAAAAAAAAAAAAAAAAAAAAA="

#define GET "GET /rpc HTTP/1.1\r\n"
#define HOST "Host: server.example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY_HEADER "Sec-WebSocket-Key: " KEY "\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n"
#define END "\r\n"
/* A request whose order of headers is free. */
#define REQUEST_OF(first, headers) first headers VERSION PROTOCOL END

static const struct handshake_server open_server = {.target = "/rpc"};

/* The answer of a server to a request, with a NUL after it. */
static bool answer_of(const struct handshake_server *server, const char *request, size_t size,
                      char text[HANDSHAKE_ANSWER_SIZE])
{
    size_t answer_size = 0;
    bool accepted = handshake_answer((const uint8_t *)request, size, server, text, &answer_size);
    assert_in_range(answer_size, 1, HANDSHAKE_ANSWER_SIZE - 1);
    assert_int_equal(strlen(text), answer_size);
    return accepted;
}

static bool answer(const char *request, size_t size, char text[HANDSHAKE_ANSWER_SIZE])
{
    return answer_of(&open_server, request, size, text);
}

static void assert_accepted(const char *request)
{
    char text[HANDSHAKE_ANSWER_SIZE];
    assert_true(answer(request, strlen(request), text));
    assert_memory_equal(text, "HTTP/1.1 101 ", 13);
    assert_non_null(strstr(text, "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"));
    assert_true(handshake_is_accepted((const uint8_t *)text, strlen(text), ACCEPT));
    assert_false(handshake_is_accepted((const uint8_t *)text, strlen(text), OTHER_ACCEPT));
}

static void assert_refused_bytes(const char *status, const char *request, size_t size)
{
    char text[HANDSHAKE_ANSWER_SIZE];
    char line[64];
    snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
    assert_false(answer(request, size, text));
    assert_memory_equal(text, line, strlen(line));
    assert_non_null(strstr(text, "\r\nConnection: close, Upgrade\r\n"));
    assert_false(handshake_is_accepted((const uint8_t *)text, strlen(text), ACCEPT));
    /* The body is as long as it says. */
    const char *length = strstr(text, "\r\nContent-Length: ");
    const char *body = strstr(text, "\r\n\r\n");
    assert_non_null(length);
    assert_non_null(body);
    assert_int_equal(strtoul(length + 18, NULL, 10), strlen(body + 4));
}

static void assert_refused(const char *status, const char *request)
{
    assert_refused_bytes(status, request, strlen(request));
}

static void the_end_of_a_head_is_found(void **state)
{
    (void)state;
    static const char head[] = GET HOST END "more\r\n\r\n";
    size_t size = strlen(GET HOST END);
    for (size_t part = 0; part < size; part++)
        assert_int_equal(handshake_find_end((const uint8_t *)head, part), 0);
    assert_int_equal(handshake_find_end((const uint8_t *)head, size), size);
    assert_int_equal(handshake_find_end((const uint8_t *)head, strlen(head)), size);
    assert_int_equal(handshake_find_end((const uint8_t *)"\r\n\r\n", 4), 4);
}

static void requests_are_accepted(void **state)
{
    (void)state;
    assert_accepted(REQUEST_OF(GET, HOST UPGRADE KEY_HEADER));
    /* Names and tokens in any case; blanks around values or none. */
    assert_accepted(GET "HOST:x\r\nupgrade:\tWebSocket \t\r\nCONNECTION: uPGRADE\r\n"
                        "sec-websocket-key:" KEY "\r\nSEC-WEBSOCKET-VERSION:13\r\n"
                        "sec-websocket-protocol:rep.sp.nanomsg.org\r\n\r\n");
    /* Lists, in one header and in several. */
    assert_accepted(GET HOST KEY_HEADER VERSION
                    "Upgrade: h2c, websocket\r\nConnection: keep-alive,Upgrade\r\n"
                    "Sec-WebSocket-Protocol: chat , rep.sp.nanomsg.org,, x\r\n\r\n");
    assert_accepted(GET HOST KEY_HEADER VERSION
                    "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n" PROTOCOL END);
    /* What is not known or not wanted is passed over. */
    assert_accepted(REQUEST_OF(
        GET, HOST UPGRADE KEY_HEADER
        "Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://x\r\nEmpty:\r\n"));
    assert_accepted(REQUEST_OF("GET /rpc?a=b?c HTTP/1.1\r\n", HOST UPGRADE KEY_HEADER));
    assert_accepted(REQUEST_OF("GET /rpc? HTTP/1.1\r\n", HOST UPGRADE KEY_HEADER));
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n\r\n",
        REQUEST_OF("POST /rpc HTTP/1.1\r\n", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("get /rpc HTTP/1.1\r\n", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("GET /rpc HTTP/1.0\r\n", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("GET /rpc HTTP/1.1 \r\n", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("GET  HTTP/1.1\r\n", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("GET /rpc\r\n", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("", HOST UPGRADE KEY_HEADER),
        REQUEST_OF("\r\n" GET, HOST UPGRADE KEY_HEADER),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER "Bare: LF\nX: y\r\n"),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER "Bare: CR\rX: y\r\n"),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER " folded\r\n"),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER "\tfolded: too\r\n"),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER "Blank : before\r\n"),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER ": no name\r\n"),
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER "no colon\r\n"),
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_refused("400", bad[i]);
    static const char with_nul[] = REQUEST_OF(GET, HOST UPGRADE KEY_HEADER "Nul: \0\r\n");
    assert_refused_bytes("400", with_nul, sizeof(with_nul) - 1);
}

static void other_paths_are_not_found(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",     "GET /rp HTTP/1.1\r\n",   "GET /rpcs HTTP/1.1\r\n",
        "GET /RPC HTTP/1.1\r\n",  "GET  /rpc HTTP/1.1\r\n", "GET ?/rpc HTTP/1.1\r\n",
        "GET /rpc/ HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        char request[512];
        snprintf(request, sizeof(request), "%s%s", lines[i],
                 REQUEST_OF("", HOST UPGRADE KEY_HEADER));
        assert_refused("404", request);
    }
}

static void what_is_no_upgrade_is_told_to(void **state)
{
    (void)state;
    static const char *const bad[] = {
        GET HOST END,
        REQUEST_OF(GET, HOST KEY_HEADER "Connection: Upgrade\r\n"),
        REQUEST_OF(GET, HOST KEY_HEADER "Connection: Upgrade\r\nUpgrade: websockets\r\n"),
        REQUEST_OF(GET, HOST KEY_HEADER "Connection: keep-alive\r\nUpgrade: websocket\r\n"),
        GET HOST UPGRADE KEY_HEADER PROTOCOL END,
        GET HOST UPGRADE KEY_HEADER PROTOCOL "Sec-WebSocket-Version: 8\r\n\r\n",
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER VERSION), /* twice */
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[HANDSHAKE_ANSWER_SIZE];
        assert_refused("426", bad[i]);
        answer(bad[i], strlen(bad[i]), text);
        assert_non_null(strstr(text, "\r\nUpgrade: websocket\r\n"));
        assert_non_null(strstr(text, "\r\n" VERSION));
    }
}

static void requests_that_lack_something_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        REQUEST_OF(GET, UPGRADE KEY_HEADER), /* no Host */
        REQUEST_OF(GET, HOST HOST UPGRADE KEY_HEADER),
        REQUEST_OF(GET, HOST UPGRADE), /* no key */
        REQUEST_OF(GET, HOST UPGRADE KEY_HEADER KEY_HEADER),
        REQUEST_OF(GET, HOST UPGRADE "Sec-WebSocket-Key:\r\n"),
        REQUEST_OF(GET, HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
        REQUEST_OF(GET, HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBh\r\n"),
        REQUEST_OF(GET, HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n"),
        GET HOST UPGRADE VERSION KEY_HEADER END, /* no subprotocol */
        GET HOST UPGRADE VERSION KEY_HEADER "Sec-WebSocket-Protocol: req.sp.nanomsg.org\r\n\r\n",
        GET HOST UPGRADE VERSION KEY_HEADER "Sec-WebSocket-Protocol: rep.sp.nanomsg.orgs\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_refused("400", bad[i]);
}

static void a_head_too_long_is_refused(void **state)
{
    (void)state;
    char text[HANDSHAKE_ANSWER_SIZE];
    size_t size = handshake_answer_too_long(text);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(text, "HTTP/1.1 431 ", 13);
    assert_non_null(strstr(text, "\r\nConnection: close, Upgrade\r\n"));
}

static struct handshake_access access_of(const char *origins, const char *hosts)
{
    struct handshake_access access = {0};
    char why[256];
    assert_true(!origins || origins_parse(&access.origins, origins, why, sizeof(why)));
    assert_true(!hosts || hosts_parse(&access.hosts, hosts, why, sizeof(why)));
    return access;
}

static void assert_admitted(const struct handshake_server *server, const char *first,
                            const char *headers, const char *status)
{
    char request[1024];
    char text[HANDSHAKE_ANSWER_SIZE];
    snprintf(request, sizeof(request), "%s%s%s", first, headers,
             REQUEST_OF("", UPGRADE KEY_HEADER));
    answer_of(server, request, strlen(request), text);
    if (strncmp(text + strlen("HTTP/1.1 "), status, strlen(status)) != 0)
        fail_msg("%s%s\n%s", first, headers, text);
}

static void pages_get_in_when_they_are_listed(void **state)
{
    (void)state;
    struct handshake_access none = access_of(NULL, NULL);
    struct handshake_access some = access_of("https://app.example.com", NULL);
    struct handshake_access any = access_of("*", NULL);
    const struct {
        const struct handshake_access *access;
        const char *status;
        const char *headers;
    } cases[] = {
        {&none, "101", HOST},
        {&none, "403", HOST "Origin: https://evil.example\r\n"},
        {&none, "403", HOST "Origin: http://server.example.com\r\n"}, /* the core has no pages */
        {&none, "403", HOST "Origin: null\r\n"},
        {&none, "403", HOST "Origin:\r\n"},
        {&some, "101", HOST},
        {&some, "101", HOST "Origin: https://app.example.com\r\n"},
        {&some, "101", HOST "origin:HTTPS://APP.example.com:443 \r\n"},
        {&some, "403", HOST "Origin: http://app.example.com\r\n"},
        {&some, "403", HOST "Origin: https://app.example.com.evil.example\r\n"},
        {&some, "403", HOST "Origin: null\r\n"},
        {&some, "403",
         HOST "Origin: https://app.example.com\r\nOrigin: https://app.example.com\r\n"},
        {&any, "101", HOST "Origin: https://any.example\r\n"},
        {&any, "101", HOST "Origin: null\r\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct handshake_server server = {"/rpc", cases[i].access, NULL};
        assert_admitted(&server, GET, cases[i].headers, cases[i].status);
    }
}

static void the_host_must_be_one_that_is_served(void **state)
{
    (void)state;
    struct handshake_access none = access_of(NULL, NULL);
    struct handshake_access some = access_of(NULL, "core.example.com");
    const struct {
        const struct handshake_access *access;
        const char *bound;
        const char *status;
        const char *first;
        const char *headers;
    } cases[] = {
        {&none, NULL, "101", GET, "Host: any.example\r\n"},
        {&none, "127.0.0.1:7300", "101", GET, "Host: 127.0.0.1:7300\r\n"},
        {&none, "127.0.0.1:7300", "101", GET, "Host: localhost:7300\r\n"},
        {&none, "127.0.0.1:7300", "421", GET, "Host: evil.example:7300\r\n"},
        {&none, "127.0.0.1:7300", "421", GET, "Host:\r\n"},
        {&some, "127.0.0.1:7300", "101", GET, "Host: core.example.com\r\n"},
        {&some, NULL, "421", GET, "Host: evil.example\r\n"},
        {&some, NULL, "101", GET, "Host: 10.0.0.7:7300\r\n"},
        /* The host of an absolute form counts, and not that of the header. */
        {&some, NULL, "101", "GET http://core.example.com/rpc HTTP/1.1\r\n", "Host: evil.x\r\n"},
        {&some, NULL, "101", "GET WS://core.example.com/rpc?a HTTP/1.1\r\n", "Host: evil.x\r\n"},
        {&some, NULL, "421", "GET http://evil.x/rpc HTTP/1.1\r\n", "Host: core.example.com\r\n"},
        {&some, NULL, "404", "GET http://core.example.com HTTP/1.1\r\n", HOST},
        {&some, NULL, "404", "GET http://core.example.com?/rpc HTTP/1.1\r\n", HOST},
        {&some, NULL, "421", "GET http:///rpc HTTP/1.1\r\n", "Host: core.example.com\r\n"},
        {&some, NULL, "400", "GET http://core.example.com/rpc HTTP/1.1\r\n", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct handshake_server server = {"/rpc", cases[i].access, cases[i].bound};
        assert_admitted(&server, cases[i].first, cases[i].headers, cases[i].status);
    }
}

static void a_listener_may_have_a_query(void **state)
{
    (void)state;
    static const char request[] = REQUEST_OF(GET, HOST UPGRADE KEY_HEADER);
    char text[HANDSHAKE_ANSWER_SIZE];
    size_t size;
    const struct handshake_server server = {.target = "/rpc?a=b"};
    assert_true(handshake_answer((const uint8_t *)request, strlen(request), &server, text, &size));
}

static void both_sides_agree(void **state)
{
    (void)state;
    char accept[HANDSHAKE_ACCEPT_SIZE];
    char *request = handshake_request("/rpc?a=b", "server.example.com",
                                      (const uint8_t *)"the sample nonce", accept);
    assert_non_null(request);
    assert_string_equal(accept, ACCEPT);
    assert_int_equal(handshake_find_end((const uint8_t *)request, strlen(request)),
                     strlen(request));
    assert_non_null(strstr(request, "GET /rpc?a=b HTTP/1.1\r\n" HOST));
    assert_accepted(request);
    free(request);
}

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPTED "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static bool is_accepted(const char *head)
{
    return handshake_is_accepted((const uint8_t *)head, strlen(head), ACCEPT);
}

static void clients_refuse_wrong_answers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n\r\n",
        "HTTP/1.1 101 ",
        UPGRADE ACCEPTED PROTOCOL END,
        "HTTP/1.1 200 OK\r\n" UPGRADE ACCEPTED PROTOCOL END,
        "HTTP/1.1 404 Not Found\r\n" UPGRADE ACCEPTED PROTOCOL END,
        "HTTP/1.0 101 Switching Protocols\r\n" UPGRADE ACCEPTED PROTOCOL END,
        SWITCHING "Connection: Upgrade\r\n" ACCEPTED PROTOCOL END,
        SWITCHING "Upgrade: websocket\r\n" ACCEPTED PROTOCOL END,
        SWITCHING UPGRADE PROTOCOL END,
        SWITCHING UPGRADE "Sec-WebSocket-Accept: " OTHER_ACCEPT "\r\n" PROTOCOL END,
        SWITCHING UPGRADE "Sec-WebSocket-Accept: s3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n" PROTOCOL END,
        SWITCHING UPGRADE ACCEPTED ACCEPTED PROTOCOL END,
        SWITCHING UPGRADE ACCEPTED END,
        SWITCHING UPGRADE ACCEPTED "Sec-WebSocket-Protocol: req.sp.nanomsg.org\r\n\r\n",
        SWITCHING UPGRADE ACCEPTED PROTOCOL PROTOCOL END,
        SWITCHING UPGRADE ACCEPTED PROTOCOL "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        SWITCHING UPGRADE ACCEPTED PROTOCOL " folded\r\n\r\n",
        SWITCHING UPGRADE ACCEPTED PROTOCOL "Bare: LF\nX: y\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(is_accepted(bad[i]));
    assert_true(is_accepted(SWITCHING UPGRADE ACCEPTED PROTOCOL END));
    assert_true(is_accepted("HTTP/1.1 101 \r\nSERVER: x\r\nupgrade: WebSocket\r\n"
                            "connection: keep-alive, upgrade\r\n"
                            "sec-websocket-accept:" ACCEPT "\r\n" PROTOCOL END));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read_as_they_are_written),
        cmocka_unit_test(control_frames_are_told_from_parts_of_messages),
        cmocka_unit_test(heads_of_the_standard_are_read),
        cmocka_unit_test(wrong_heads_are_refused),
        cmocka_unit_test(wrong_lengths_are_refused),
        cmocka_unit_test(the_mask_is_that_of_each_byte),
        cmocka_unit_test(the_end_of_a_head_is_found),
        cmocka_unit_test(requests_are_accepted),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(other_paths_are_not_found),
        cmocka_unit_test(what_is_no_upgrade_is_told_to),
        cmocka_unit_test(requests_that_lack_something_are_refused),
        cmocka_unit_test(a_head_too_long_is_refused),
        cmocka_unit_test(pages_get_in_when_they_are_listed),
        cmocka_unit_test(the_host_must_be_one_that_is_served),
        cmocka_unit_test(a_listener_may_have_a_query),
        cmocka_unit_test(both_sides_agree),
        cmocka_unit_test(clients_refuse_wrong_answers),
    };
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
