/* Turns answers into responses; nothing else does. */
#include "respond.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gzip.h"

#define COMPRESSED_BLOCK 4096 /* sent at once over HTTP/1.0, which has no chunks */
#define ALL_METHODS "GET, HEAD, POST, DELETE, OPTIONS"

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

static ssize_t read_compressed(void *gzip, uint64_t position, char *out, size_t size)
{
    (void)position;
    size_t got = gzip_read(gzip, out, size);
    return got > 0 ? (ssize_t)got : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_compressed(void *gzip)
{
    gzip_free(gzip);
}

static struct MHD_Response *make_compressed_response(struct request *request)
{
    struct gzip *gzip = gzip_begin(&request->answer, &request->charge);
    if (!gzip)
        return NULL;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, COMPRESSED_BLOCK, read_compressed, gzip, free_compressed);
    if (!response)
        gzip_free(gzip);
    return response;
}

static struct MHD_Response *make_response(struct request *request)
{
    struct answer *answer = &request->answer;
    CHECK(!answer->file || !answer->body.data);
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

static void add_cors(struct MHD_Response *response, const struct request *request)
{
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
                            "X-Request-ID, Location, Retry-After");
    if (!request->answer.preflight)
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Methods", ALL_METHODS);
    if (headers->cors_headers && headers_name_list_valid(headers->cors_headers))
        MHD_add_response_header(response, "Access-Control-Allow-Headers", headers->cors_headers);
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
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
    }
    if (answer->allow)
        MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->wrong_coding)
        MHD_add_response_header(response, "Accept-Encoding", "gzip");
    if (answer->location[0])
        MHD_add_response_header(response, "Location", answer->location);
    if (answer->retry_after_s > 0) {
        char seconds[16];
        snprintf(seconds, sizeof(seconds), "%u", answer->retry_after_s);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (atomic_load(&request->bridge->draining))
        MHD_add_response_header(response, "Connection", "close");
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
