/* Heads are parsed in place. It knows only what a handshake needs of HTTP, and refuses the rest
 * instead of guessing. SHA-1 and base64 come from mbed TLS, which nng uses itself. */
#include "sp/handshake.h"

#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

#define SUBPROTOCOL "rep.sp.nanomsg.org" /* both ends name the replier */
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_TEXT_SIZE 24 /* base64 of HANDSHAKE_KEY_SIZE bytes */
#define SHA1_SIZE 20

struct text {
    const char *start;
    size_t size;
};

/* ---- heads ---- */

size_t handshake_find_end(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = memmem(bytes, size, "\r\n\r\n", 4);
    return end ? (size_t)(end - bytes) + 4 : 0;
}

/* Takes a line off the front, without its end; false after the last. */
static bool next_line(struct text *rest, struct text *line)
{
    const char *end = memmem(rest->start, rest->size, "\r\n", 2);
    if (!end || end == rest->start)
        return false;
    *line = (struct text){rest->start, (size_t)(end - rest->start)};
    rest->size -= line->size + 2;
    rest->start = end + 2;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct text trim(struct text text)
{
    while (text.size > 0 && is_blank(text.start[0])) {
        text.start++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.start[text.size - 1]))
        text.size--;
    return text;
}

static bool equals(struct text text, const char *other)
{
    return text.size == strlen(other) && strncasecmp(text.start, other, text.size) == 0;
}

/* Splits "name: value"; false when it is not a header. */
static bool split_header(struct text line, struct text *name, struct text *value)
{
    const char *colon = memchr(line.start, ':', line.size);
    if (!colon || colon == line.start || memchr(line.start, ' ', (size_t)(colon - line.start)) ||
        memchr(line.start, '\t', (size_t)(colon - line.start)))
        return false;
    *name = (struct text){line.start, (size_t)(colon - line.start)};
    *value = trim((struct text){colon + 1, line.size - name->size - 1});
    return true;
}

/* Every line after the first is a header, and no line has a control character but a tab. */
static bool is_well_formed(const uint8_t *head, size_t size)
{
    struct text rest = {(const char *)head, size};
    struct text line, name, value;
    bool first = true;
    while (next_line(&rest, &line)) {
        for (size_t i = 0; i < line.size; i++)
            if ((uint8_t)line.start[i] < ' ' && line.start[i] != '\t')
                return false;
        if (!first && !split_header(line, &name, &value))
            return false;
        first = false;
    }
    return !first;
}

/* How often a header is given, and its last value. */
static size_t count_headers(const uint8_t *head, size_t size, const char *wanted,
                            struct text *found)
{
    struct text rest = {(const char *)head, size};
    struct text line, name, value;
    size_t count = 0;
    while (next_line(&rest, &line)) {
        if (!split_header(line, &name, &value) || !equals(name, wanted))
            continue;
        *found = value;
        count++;
    }
    return count;
}

static bool get_header(const uint8_t *head, size_t size, const char *wanted, struct text *found)
{
    return count_headers(head, size, wanted, found) == 1;
}

static bool list_has(struct text list, const char *token)
{
    while (list.size > 0) {
        const char *comma = memchr(list.start, ',', list.size);
        size_t size = comma ? (size_t)(comma - list.start) : list.size;
        if (equals(trim((struct text){list.start, size}), token))
            return true;
        size += comma != NULL;
        list.start += size;
        list.size -= size;
    }
    return false;
}

/* Whether a list, which may be in several headers, has the token. */
static bool has_token(const uint8_t *head, size_t size, const char *wanted, const char *token)
{
    struct text rest = {(const char *)head, size};
    struct text line, name, value;
    while (next_line(&rest, &line)) {
        if (split_header(line, &name, &value) && equals(name, wanted) && list_has(value, token))
            return true;
    }
    return false;
}

/* ---- the key ---- */

static void make_accept(struct text key, char accept[HANDSHAKE_ACCEPT_SIZE])
{
    char text[KEY_TEXT_SIZE + sizeof(ACCEPT_GUID)];
    uint8_t hash[SHA1_SIZE] = {0};
    size_t size;
    CHECK(key.size == KEY_TEXT_SIZE);
    int length = snprintf(text, sizeof(text), "%.*s%s", (int)key.size, key.start, ACCEPT_GUID);
    CHECK(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), (const uint8_t *)text,
                     (size_t)length, hash) == 0);
    CHECK(mbedtls_base64_encode((uint8_t *)accept, HANDSHAKE_ACCEPT_SIZE, &size, hash,
                                sizeof(hash)) == 0);
}

static bool is_key(struct text key)
{
    uint8_t bytes[KEY_TEXT_SIZE];
    size_t size;
    return key.size == KEY_TEXT_SIZE &&
           mbedtls_base64_decode(bytes, sizeof(bytes), &size, (const uint8_t *)key.start,
                                 key.size) == 0 &&
           size == HANDSHAKE_KEY_SIZE;
}

/* ---- the server's side ---- */

static bool starts_with(struct text text, const char *start)
{
    return text.size >= strlen(start) && strncasecmp(text.start, start, strlen(start)) == 0;
}

/* Takes "http://host" off a target in absolute form, whose host counts and not that of the header
 * (RFC 9112 section 3.2.2); leaves `host` alone in the usual form. */
static void split_absolute(struct text *target, struct text *host)
{
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!starts_with(*target, schemes[i]))
            continue;
        size_t scheme = strlen(schemes[i]);
        size_t end = scheme;
        while (end < target->size && target->start[end] != '/' && target->start[end] != '?')
            end++;
        *host = (struct text){target->start + scheme, end - scheme};
        *target = (struct text){target->start + end, target->size - end};
        return;
    }
}

/* The target of "GET target HTTP/1.1", without its query, and the host in it if there is one. */
static bool get_path(const uint8_t *request, size_t size, struct text *path, struct text *host)
{
    static const char method[] = "GET ", version[] = " HTTP/1.1";
    struct text rest = {(const char *)request, size};
    struct text line;
    size_t around = strlen(method) + strlen(version);
    if (!next_line(&rest, &line) || line.size <= around ||
        memcmp(line.start, method, strlen(method)) != 0 ||
        memcmp(line.start + line.size - strlen(version), version, strlen(version)) != 0)
        return false;
    *path = (struct text){line.start + strlen(method), line.size - around};
    split_absolute(path, host);
    const char *query = memchr(path->start, '?', path->size);
    if (query)
        path->size = (size_t)(query - path->start);
    if (path->size == 0)
        *path = (struct text){"/", 1};
    return true;
}

static bool is_path_of(struct text path, const char *target)
{
    return path.size == strcspn(target, "?") && memcmp(path.start, target, path.size) == 0;
}

/* A copy with a NUL; false when it is longer than any listed host or origin can be. */
static bool copy_text(struct text text, char copy[WEB_MAX_ENTRY_SIZE + 1])
{
    if (text.size > WEB_MAX_ENTRY_SIZE)
        return false;
    memcpy(copy, text.start, text.size);
    copy[text.size] = '\0';
    return true;
}

static bool serves_host(const struct handshake_server *server, struct text host)
{
    char name[WEB_MAX_ENTRY_SIZE + 1];
    return !server->access ||
           (copy_text(host, name) && hosts_serve(&server->access->hosts, server->bound, name));
}

/* Whether no page asks, or one that is listed. */
static bool lets_in(const struct handshake_server *server, const uint8_t *request, size_t size)
{
    char origin[WEB_MAX_ENTRY_SIZE + 1];
    struct text found;
    size_t count = count_headers(request, size, "Origin", &found);
    return count == 0 || !server->access ||
           (count == 1 && copy_text(found, origin) &&
            origins_judge(&server->access->origins, origin) != ORIGIN_UNLISTED);
}

static bool asks_for_websocket(const uint8_t *request, size_t size)
{
    struct text version;
    return has_token(request, size, "Upgrade", "websocket") &&
           has_token(request, size, "Connection", "Upgrade") &&
           get_header(request, size, "Sec-WebSocket-Version", &version) && equals(version, "13");
}

struct fault {
    const char *status;
    const char *why;
};

static size_t refuse(char answer[HANDSHAKE_ANSWER_SIZE], struct fault fault)
{
    int size = snprintf(answer, HANDSHAKE_ANSWER_SIZE,
                        "HTTP/1.1 %s\r\n"
                        "Content-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n"
                        "Connection: close, Upgrade\r\n"
                        "Upgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\n"
                        "\r\n%s\n",
                        fault.status, strlen(fault.why) + 1, fault.why);
    CHECK(size > 0 && size < HANDSHAKE_ANSWER_SIZE);
    return (size_t)size;
}

size_t handshake_answer_too_long(char answer[HANDSHAKE_ANSWER_SIZE])
{
    return refuse(answer, (struct fault){"431 Request Header Fields Too Large",
                                         "the head of a request may have at most 8192 bytes"});
}

/* What is wrong with a request, or, when nothing is, its key. */
static struct fault find_fault(const uint8_t *request, size_t size,
                               const struct handshake_server *server, struct text *key)
{
    static const char bad[] = "400 Bad Request";
    struct text path, header;
    struct text host = {0};
    if (!is_well_formed(request, size) || !get_path(request, size, &path, &host))
        return (struct fault){bad, "the request is not a well-formed GET of HTTP/1.1"};
    if (!is_path_of(path, server->target))
        return (struct fault){"404 Not Found",
                              "there is no WebSocket at this path; TRIGGERS_LISTEN has the one"};
    if (!get_header(request, size, "Host", &header))
        return (struct fault){bad, "one Host header is needed"};
    if (!serves_host(server, host.start ? host : header))
        return (struct fault){"421 Misdirected Request",
                              "this host is not served; TRIGGERS_HOSTS lists those that are"};
    if (!lets_in(server, request, size))
        return (struct fault){"403 Forbidden",
                              "pages of this origin may not open a WebSocket here; "
                              "TRIGGERS_ORIGINS lists those that may, and programs send no Origin"};
    if (!asks_for_websocket(request, size))
        return (struct fault){"426 Upgrade Required", "this path is for WebSockets, version 13"};
    if (!get_header(request, size, "Sec-WebSocket-Key", key) || !is_key(*key))
        return (struct fault){bad, "Sec-WebSocket-Key must be the base64 of 16 bytes"};
    if (!has_token(request, size, "Sec-WebSocket-Protocol", SUBPROTOCOL))
        return (struct fault){bad, "Sec-WebSocket-Protocol must name " SUBPROTOCOL};
    return (struct fault){0};
}

bool handshake_answer(const uint8_t *request, size_t request_size,
                      const struct handshake_server *server, char answer[HANDSHAKE_ANSWER_SIZE],
                      size_t *size)
{
    struct text key;
    struct fault fault = find_fault(request, request_size, server, &key);
    if (fault.why) {
        *size = refuse(answer, fault);
        return false;
    }
    char accept[HANDSHAKE_ACCEPT_SIZE];
    make_accept(key, accept);
    *size = (size_t)snprintf(answer, HANDSHAKE_ANSWER_SIZE,
                             "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: %s\r\n"
                             "Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n\r\n",
                             accept);
    CHECK(*size < HANDSHAKE_ANSWER_SIZE);
    return true;
}

/* ---- the client's side ---- */

char *handshake_request(const char *target, const char *authority,
                        const uint8_t key[HANDSHAKE_KEY_SIZE], char accept[HANDSHAKE_ACCEPT_SIZE])
{
    char text[KEY_TEXT_SIZE + 1];
    size_t size;
    char *request;
    CHECK(mbedtls_base64_encode((uint8_t *)text, sizeof(text), &size, key, HANDSHAKE_KEY_SIZE) ==
          0);
    make_accept((struct text){text, size}, accept);
    int length = asprintf(&request,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Key: %s\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n\r\n",
                          target, authority, text);
    return length < 0 ? NULL : request;
}

bool handshake_is_accepted(const uint8_t *answer, size_t size,
                           const char accept[HANDSHAKE_ACCEPT_SIZE])
{
    static const char status[] = "HTTP/1.1 101 ";
    struct text found;
    return is_well_formed(answer, size) && size > strlen(status) &&
           memcmp(answer, status, strlen(status)) == 0 &&
           has_token(answer, size, "Upgrade", "websocket") &&
           has_token(answer, size, "Connection", "Upgrade") &&
           get_header(answer, size, "Sec-WebSocket-Accept", &found) &&
           found.size == strlen(accept) && memcmp(found.start, accept, found.size) == 0 &&
           get_header(answer, size, "Sec-WebSocket-Protocol", &found) &&
           equals(found, SUBPROTOCOL) &&
           count_headers(answer, size, "Sec-WebSocket-Extensions", &found) == 0;
}
