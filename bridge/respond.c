/* Turns answers into responses; nothing else does. */
#include "respond.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "api.h"
#include "base/check.h"
#include "transcode.h"

/* Shorter answers are not compressed. */
#define GZIP_ANSWER_MIN 1024

#define GZIP_FORMAT 16 /* added to the bits of a window: zlib.h, deflateInit2 */

/* How long browsers ask this host over HTTPS alone, in seconds: a year (RFC 6797). */
#define HSTS "max-age=31536000"

/* Fast, with a quarter of the memory of zlib's defaults; the result is a few per cent longer. */
#define GZIP_LEVEL 1
#define GZIP_WINDOW_BITS 13
#define GZIP_MEMORY 6

/* The memory of a stream with these (zconf.h), and some for the rest of it. */
#define GZIP_COST ((1u << (GZIP_WINDOW_BITS + 2)) + (1u << (GZIP_MEMORY + 9)) + 8192)

#define GZIP_STEP 65536 /* of the text, in one go */

#define STREAM_BLOCK 4096     /* the same, of a stream */
#define COMPRESSED_BLOCK 4096 /* sent at once over HTTP/1.0, which has no chunks */
#define CHALLENGE "Bearer realm=\"triggers\""
#define SCOPE_SIZE 40 /* bytes of the longest name of a scope, with its NUL */
#define ALL_METHODS "GET, HEAD, POST, PUT, DELETE, OPTIONS"

static struct MHD_Response *make_plain_response(struct answer *answer)
{
    if (answer->file)
        return MHD_create_response_from_buffer_with_free_callback_cls(
            answer->file_size, (void *)answer->file, NULL, NULL);
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        answer->body.size, answer->body.data, free, answer->body.data);
    if (response)
        answer->body.data = NULL; /* freed with the response */
    return response;
}

/* ---- answers that are compressed as libmicrohttpd asks for more ---- */

struct gzip {
    z_stream stream;
    size_t left; /* bytes of the text not yet given to the stream */
    char *owned; /* the text's memory; NULL: static */
    bool ended;
};

/* Compresses a part of the text. */
static void compress_step(struct gzip *gzip)
{
    z_stream *stream = &gzip->stream;
    if (stream->avail_in == 0) {
        stream->avail_in = (uInt)(gzip->left < GZIP_STEP ? gzip->left : GZIP_STEP);
        CHECK(stream->avail_in <= gzip->left);
        gzip->left -= stream->avail_in;
    }
    int code = deflate(stream, gzip->left > 0 ? Z_NO_FLUSH : Z_FINISH);
    CHECK(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR);
    gzip->ended = code == Z_STREAM_END;
}

static ssize_t read_compressed(void *pointer, uint64_t position, char *out, size_t size)
{
    struct gzip *gzip = pointer;
    (void)position;
    CHECK(size > 0);
    gzip->stream.next_out = (Bytef *)out;
    gzip->stream.avail_out = (uInt)size;
    /* What compresses well takes several steps for a byte. */
    while (gzip->stream.avail_out == size && !gzip->ended)
        compress_step(gzip);
    size_t got = size - gzip->stream.avail_out;
    return got > 0 ? (ssize_t)got : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_compressed(void *pointer)
{
    struct gzip *gzip = pointer;
    deflateEnd(&gzip->stream);
    free(gzip->owned);
    free(gzip);
}

/* Does not take the body over yet. NULL without memory. */
static struct gzip *begin_gzip(const struct answer *answer, struct charge *charge)
{
    struct gzip *gzip = charge_add(charge, GZIP_COST) ? calloc(1, sizeof(*gzip)) : NULL;
    if (!gzip)
        return NULL;
    gzip->stream.next_in = answer->file ? (Bytef *)answer->file : (Bytef *)answer->body.data;
    gzip->left = answer->file ? answer->file_size : answer->body.size;
    if (deflateInit2(&gzip->stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS + GZIP_FORMAT,
                     GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK)
        return gzip;
    free_compressed(gzip);
    return NULL;
}

static struct MHD_Response *make_compressed_response(struct request *request)
{
    struct gzip *gzip = begin_gzip(&request->answer, &request->charge);
    if (!gzip)
        return NULL;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, COMPRESSED_BLOCK, read_compressed, gzip, free_compressed);
    if (!response) {
        free_compressed(gzip);
        return NULL;
    }
    gzip->owned = request->answer.body.data;
    request->answer.body.data = NULL;
    return response;
}

/* ---- the response ---- */

_Static_assert((ssize_t)MHD_CONTENT_READER_END_OF_STREAM == STREAM_END, "as in request.h");
_Static_assert((ssize_t)MHD_CONTENT_READER_END_WITH_ERROR == STREAM_BREAK, "as in request.h");

static struct MHD_Response *make_stream(struct request *request)
{
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, request->answer.more,
                                             request, NULL);
}

static struct MHD_Response *make_response(struct request *request)
{
    struct answer *answer = &request->answer;
    CHECK(!answer->file || !answer->body.data);
    if (answer->more)
        return make_stream(request);
    size_t size = answer->file ? answer->file_size : answer->body.size;
    if (size <= GZIP_ANSWER_MIN)
        return make_plain_response(answer);
    /* libmicrohttpd 0.9.75 sends the end of the chunks even for HEAD. */
    bool asked = headers_accept_gzip(&request->headers) && strcmp(request->method, "HEAD") != 0;
    struct MHD_Response *response = asked ? make_compressed_response(request) : NULL;
    if (response)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    else
        response = make_plain_response(answer);
    if (response)
        MHD_add_response_header(response, "Vary", "Accept-Encoding");
    return response;
}

/* None on the port for monitoring: a browser on this machine reaches it, and any page could read
 * what is for operators. */
static void add_cors(struct MHD_Response *response, const struct request *request)
{
    if (request_is_monitoring(request))
        return;
    const struct origins *cors = &request->bridge->settings.cors;
    const struct headers *headers = &request->headers;
    if (cors->count > 0)
        MHD_add_response_header(response, "Vary", "Origin");
    if (!headers->origin)
        return;
    enum origin_verdict verdict = origins_judge(cors, headers->origin);
    if (verdict == ORIGIN_UNLISTED)
        return; /* the browser keeps the answer from the page */
    MHD_add_response_header(response, "Access-Control-Allow-Origin",
                            verdict == ORIGIN_LISTED ? headers->origin : "*");
    if (verdict == ORIGIN_LISTED)
        MHD_add_response_header(response, "Access-Control-Allow-Credentials", "true");
    MHD_add_response_header(response, "Access-Control-Expose-Headers",
                            "X-Request-ID, Location, Retry-After, RateLimit, RateLimit-Policy");
    if (!request->answer.preflight)
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Methods", ALL_METHODS);
    if (headers->cors_headers && headers_name_list_valid(headers->cors_headers))
        MHD_add_response_header(response, "Access-Control-Allow-Headers", headers->cors_headers);
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
}

/* Browsers would apply it to every port of the host, so nobody's localhost is told. */
static void add_hsts(struct MHD_Response *response, const struct request *request)
{
    const char *host = request->headers.host;
    if (request->peer->tls.gnutls && host && !host_is_loopback(host))
        MHD_add_response_header(response, "Strict-Transport-Security", HSTS);
}

static void add_location(struct MHD_Response *response, const struct request *request)
{
    char prefix[HEADERS_PREFIX_SIZE];
    char location[HEADERS_PREFIX_SIZE + 64];
    headers_copy_prefix(&request->headers, prefix);
    snprintf(location, sizeof(location), "%s/api/v1/events/%s", prefix, request->event_id);
    MHD_add_response_header(response, "Location", location);
}

/* "events:write" of SCOPE_EVENTS_WRITE. */
static void name_scope(Triggers__Api__V1__Scope scope, char out[SCOPE_SIZE])
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&triggers__api__v1__scope__descriptor, scope);
    CHECK(value && strlen(value->name) < SCOPE_SIZE);
    const char *name = value->name + strlen("SCOPE_");
    size_t length = strlen(name);
    for (size_t i = 0; i <= length; i++)
        out[i] = transcode_lower(name[i]);
    out[strcspn(out, "_")] = length > strcspn(out, "_") ? ':' : '\0';
}

/* What is wrong with the key (RFC 6750 section 3). */
static void add_challenge(struct MHD_Response *response, const struct request *request)
{
    const struct route *route = request->route;
    char scope[SCOPE_SIZE];
    char challenge[128];
    if (request->answer.scope_missing && route && route->call) {
        name_scope(route->call->scope, scope);
        snprintf(challenge, sizeof(challenge),
                 CHALLENGE ", error=\"insufficient_scope\", scope=\"%s\"", scope);
    } else if (request->answer.status == 401) {
        bool given = request->credentials.authorization[0];
        snprintf(challenge, sizeof(challenge), CHALLENGE "%s",
                 given ? ", error=\"invalid_token\"" : "");
    } else {
        return;
    }
    MHD_add_response_header(response, "WWW-Authenticate", challenge);
}

static void add_headers(struct MHD_Response *response, const struct request *request)
{
    const struct answer *answer = &request->answer;
    MHD_add_response_header(response, "X-Request-ID", request->id);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->content_type)
        MHD_add_response_header(response, "Content-Type", answer->content_type);
    if (answer->policy) {
        MHD_add_response_header(response, "Content-Security-Policy", answer->policy);
        MHD_add_response_header(response, "X-Frame-Options", "DENY"); /* it has buttons */
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (answer->more) /* proxies such as nginx would collect it */
        MHD_add_response_header(response, "X-Accel-Buffering", "no");
    if (answer->allow)
        MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->wrong_coding)
        MHD_add_response_header(response, "Accept-Encoding", "gzip");
    if (answer->created)
        add_location(response, request);
    if (answer->retry_after_s > 0) {
        char seconds[16];
        snprintf(seconds, sizeof(seconds), "%u", answer->retry_after_s);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (answer->rate_limit_policy && answer->rate_limit) {
        MHD_add_response_header(response, "RateLimit-Policy", answer->rate_limit_policy);
        MHD_add_response_header(response, "RateLimit", answer->rate_limit);
    }
    add_challenge(response, request);
    if (atomic_load(&request->bridge->draining))
        MHD_add_response_header(response, "Connection", "close");
    add_hsts(response, request);
    add_cors(response, request);
}

bool respond(struct request *request)
{
    CHECK(request->answer.status >= 200 && request->answer.status < 600);
    struct MHD_Response *response = make_response(request);
    if (!response)
        return false;
    add_headers(response, request);
    enum MHD_Result queued =
        MHD_queue_response(request->peer->http, request->answer.status, response);
    MHD_destroy_response(response);
    return queued == MHD_YES;
}
