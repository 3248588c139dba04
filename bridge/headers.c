/* Each header fills its member; the rest looks at single values. */
#include "headers.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

#define REQUEST_ID_MAX 128
#define NAME_LIST_MAX 1024

static const struct {
    const char *name;
    size_t value; /* offset in struct headers */
    size_t count; /* the same for its count; 0: not counted */
} KNOWN[] = {
    {"Content-Length", offsetof(struct headers, content_length),
     offsetof(struct headers, content_lengths)},
    {"Transfer-Encoding", offsetof(struct headers, transfer_encoding),
     offsetof(struct headers, transfer_encodings)},
    {"Host", offsetof(struct headers, host), offsetof(struct headers, hosts)},
    {"Content-Type", offsetof(struct headers, content_type), 0},
    {"Content-Encoding", offsetof(struct headers, content_encoding), 0},
    {"Accept-Encoding", offsetof(struct headers, accept_encoding), 0},
    {"Expect", offsetof(struct headers, expect), 0},
    {"Origin", offsetof(struct headers, origin), offsetof(struct headers, origins)},
    {"Sec-Fetch-Site", offsetof(struct headers, fetch_site), 0},
    {"X-Request-ID", offsetof(struct headers, request_id), 0},
    {"traceparent", offsetof(struct headers, traceparent), 0},
    {"Last-Event-ID", offsetof(struct headers, last_event_id), 0},
    {"Idempotency-Key", offsetof(struct headers, idempotency_key),
     offsetof(struct headers, idempotency_keys)},
    {"X-Idempotency-Key", offsetof(struct headers, x_idempotency_key),
     offsetof(struct headers, x_idempotency_keys)},
    {"X-Forwarded-Prefix", offsetof(struct headers, forwarded_prefix), 0},
    {"X-Forwarded-For", offsetof(struct headers, forwarded_for), 0},
    {"Authorization", offsetof(struct headers, authorization),
     offsetof(struct headers, authorizations)},
    {"Access-Control-Request-Method", offsetof(struct headers, cors_method), 0},
    {"Access-Control-Request-Headers", offsetof(struct headers, cors_headers), 0},
};

void headers_note(struct headers *headers, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
        if (strcasecmp(name, KNOWN[i].name) != 0)
            continue;
        *(const char **)((char *)headers + KNOWN[i].value) = value ? value : "";
        if (KNOWN[i].count)
            ++*(unsigned *)((char *)headers + KNOWN[i].count);
        break;
    }
}

bool headers_are_read(const char *name)
{
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
        if (strcasecmp(name, KNOWN[i].name) == 0)
            return true;
    }
    return strcasecmp(name, "Connection") == 0;
}

size_t headers_most(const char *name)
{
    /* One more tells that it is too long. */
    return strcasecmp(name, "Authorization") == 0 ? HEADERS_AUTHORIZATION_MAX + 1 : SIZE_MAX;
}

const char *headers_framing_error(const struct headers *headers, const char *version)
{
    bool http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    if (headers->content_lengths > 1)
        return "Content-Length was sent more than once";
    if (headers->transfer_encodings > 0 && headers->content_lengths > 0)
        return "Content-Length and Transfer-Encoding were both sent";
    if (headers->transfer_encodings > 0 && http_1_0)
        return "Transfer-Encoding does not exist in HTTP/1.0";
    if (headers->transfer_encodings > 1 || (headers->transfer_encodings == 1 &&
                                            strcasecmp(headers->transfer_encoding, "chunked") != 0))
        return "The only Transfer-Encoding accepted is chunked";
    if (headers->hosts > 1 || (headers->hosts == 0 && !http_1_0))
        return "Exactly one Host header is needed";
    return NULL;
}

uint64_t headers_content_length(const struct headers *headers)
{
    return headers->content_length ? strtoull(headers->content_length, NULL, 10) : 0;
}

/* The length of the value without its parameters and blanks. */
static size_t essence_length(const char *value)
{
    size_t length = strcspn(value, ";");
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    return length;
}

static bool is_essence(const char *value, size_t length, const char *expected)
{
    return length == strlen(expected) && strncasecmp(value, expected, length) == 0;
}

enum media_type headers_media_type(const struct headers *headers)
{
    const char *value = headers->content_type;
    if (!value)
        return headers->needs_type ? MEDIA_OTHER : MEDIA_JSON;
    size_t length = essence_length(value);
    if (is_essence(value, length, "application/json"))
        return MEDIA_JSON;
    if (is_essence(value, length, "application/x-ndjson") ||
        is_essence(value, length, "application/ndjson") ||
        is_essence(value, length, "application/jsonl"))
        return MEDIA_NDJSON;
    if (strncasecmp(value, "application/cloudevents", strlen("application/cloudevents")) == 0)
        return MEDIA_OTHER;
    if (length > strlen("application/+json") && strncasecmp(value, "application/", 12) == 0 &&
        strncasecmp(value + length - 5, "+json", 5) == 0)
        return MEDIA_JSON;
    return MEDIA_OTHER;
}

static bool is_gzip(const char *name, size_t length)
{
    return is_essence(name, length, "gzip") || is_essence(name, length, "x-gzip");
}

static bool is_identity(const char *name, size_t length)
{
    static const char *const names[] = {"identity", "utf-8", "utf8", "us-ascii", "ascii"};
    bool known = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        known = known || is_essence(name, length, names[i]);
    return known;
}

enum content_coding headers_content_coding(const struct headers *headers)
{
    const char *rest = headers->content_encoding ? headers->content_encoding : "";
    enum content_coding coding = CODING_IDENTITY;
    while (*(rest += strspn(rest, ", \t"))) {
        size_t length = strcspn(rest, ", \t");
        if (is_gzip(rest, length) && coding == CODING_IDENTITY)
            coding = CODING_GZIP;
        else if (!is_identity(rest, length))
            return CODING_OTHER;
        rest += length;
    }
    return coding;
}

/* The weight of an element of Accept-Encoding, in thousandths: ";q=0.5" and so on. */
static int weight(const char *parameters, size_t length)
{
    size_t at = strspn(parameters, "; \t");
    if (at + 3 > length || strncasecmp(parameters + at, "q=", 2) != 0)
        return 1000;
    const char *digit = parameters + at + 2;
    int weight = *digit == '1' ? 1000 : 0;
    if (weight == 0 && digit[1] == '.') {
        int worth = 100;
        for (digit += 2; isdigit((unsigned char)*digit); digit++, worth /= 10)
            weight += worth * (*digit - '0');
    }
    CHECK(weight >= 0 && weight <= 1000);
    return weight;
}

bool headers_accept_gzip(const struct headers *headers)
{
    const char *rest = headers->accept_encoding ? headers->accept_encoding : "";
    int gzip = -1, identity = 0, others = 0;
    while (*(rest += strspn(rest, ", \t"))) {
        size_t length = strcspn(rest, ",");
        size_t name = strcspn(rest, ",; \t");
        int given = weight(rest + name, length - name);
        if (is_gzip(rest, name))
            gzip = given;
        else if (is_essence(rest, name, "identity"))
            identity = given;
        else if (is_essence(rest, name, "*"))
            others = given;
        rest += length;
    }
    gzip = gzip < 0 ? others : gzip;
    return gzip > 0 && gzip >= identity;
}

bool headers_expect_continue(const struct headers *headers)
{
    return headers->expect && strcasecmp(headers->expect, "100-continue") == 0;
}

/* The length of a path at the start of `text`, without slashes at its end; 0: there is none. */
static size_t prefix_length(const char *text)
{
    size_t length = 0;
    while (text[length] && (isalnum((unsigned char)text[length]) || strchr("-._~%/", text[length])))
        length++;
    if (text[0] != '/' || text[1] == '/' || !strchr(", \t", text[length]))
        return 0;
    while (length > 0 && text[length - 1] == '/')
        length--;
    return length;
}

void headers_copy_prefix(const struct headers *headers, char prefix[HEADERS_PREFIX_SIZE])
{
    const char *rest = headers->forwarded_prefix ? headers->forwarded_prefix : "";
    size_t size = 0;
    while (*(rest += strspn(rest, ", \t"))) {
        size_t length = prefix_length(rest);
        bool root = rest[0] == '/' && strchr(", \t", rest[1]);
        if ((length == 0 && !root) || size + length >= HEADERS_PREFIX_SIZE) {
            size = 0;
            break;
        }
        memcpy(prefix + size, rest, length);
        size += length;
        rest += strcspn(rest, ", \t");
    }
    CHECK(size < HEADERS_PREFIX_SIZE);
    prefix[size] = '\0';
}

bool headers_name_list_valid(const char *names)
{
    size_t length = strlen(names);
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)names[i]) && !strchr("!#$%&'*+-.^_`|~, \t", names[i]))
            return false;
    }
    return length >= 1 && length <= NAME_LIST_MAX;
}

bool headers_request_id_valid(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return length >= 1 && length <= REQUEST_ID_MAX;
}
