/* Life, body and answer of a request. */
#include "request.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/clock.h"

#define REQUEST_MAGIC 0x52455155u
/* Decoded strings and the items of a batch; never more than the body and a share for each item. */
#define ARENA_CAP (REQUEST_BATCH_MAX + (4u << 20))
#define PROBLEM_CAP (4u << 20)

/* A random UUID (RFC 9562 version 4). */
static void make_request_id(char id[REQUEST_ID_SIZE])
{
    uuid_t uuid;
    random_fill(uuid, sizeof(uuid));
    uuid[6] = (uint8_t)(0x40 | (uuid[6] & 0x0F));
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3F));
    uuid_unparse_lower(uuid, id);
}

/* Continues the client's trace; without one, starts one if that will show anywhere. */
static void follow_trace(struct request *request)
{
    const char *given = request->headers.traceparent;
    bool follow = given && trace_continue(given, &request->trace);
    if (!follow && log_enabled(LOG_DEBUG)) {
        trace_start(&request->trace);
        follow = true;
    }
    if (follow)
        trace_format(&request->trace, request->traceparent);
}

struct request *request_new(struct bridge *bridge, struct MHD_Connection *connection,
                            const char *method, const char *path, const char *version)
{
    struct request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    request->magic = REQUEST_MAGIC;
    request->bridge = bridge;
    request->connection = connection;
    request->peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    request->method = method;
    request->path = path;
    request->started_us = clock_monotonic_us();
    arena_init(&request->arena, ARENA_CAP);
    headers_read(&request->headers, connection, method, version);
    if (request->headers.request_id && headers_request_id_valid(request->headers.request_id))
        snprintf(request->id, sizeof(request->id), "%s", request->headers.request_id);
    else
        make_request_id(request->id);
    follow_trace(request);
    bridge_enter(&bridge->requests);
    return request;
}

struct request *request_cast(void *pointer)
{
    struct request *request = pointer;
    assert(request->magic == REQUEST_MAGIC);
    return request;
}

void request_free(struct request *request)
{
    struct bridge *bridge = request->bridge;
    triggers_reply_free(request->reply);
    request_drop_body(request);
    bridge_give_memory(bridge, request->memory);
    buffer_fini(&request->answer.body);
    arena_fini(&request->arena);
    bool answering = request->answering;
    request->magic = 0;
    free(request);
    if (answering)
        bridge_leave(bridge, &bridge->answering);
    bridge_leave(bridge, &bridge->requests);
}

void request_drop_body(struct request *request)
{
    free(request->body);
    bridge_give_memory(request->bridge, request->body_room);
    request->memory -= request->body_room;
    request->body = NULL;
    request->body_size = 0;
    request->body_room = 0;
    request->body_cap = 0;
}

/* Room for `size` bytes: at first what Content-Length says, then doubled. */
static bool reserve(struct request *request, size_t size)
{
    if (size <= request->body_room)
        return true;
    size_t room = request->body_room ? request->body_room * 2 : 4096;
    uint64_t stated = headers_content_length(&request->headers);
    if (stated > size && stated <= request->body_cap)
        size = (size_t)stated;
    if (room < size)
        room = size;
    if (!bridge_take_memory(request->bridge, room - request->body_room))
        return false;
    char *body = realloc(request->body, room);
    if (!body) {
        bridge_give_memory(request->bridge, room - request->body_room);
        return false;
    }
    request->memory += room - request->body_room;
    request->body = body;
    request->body_room = room;
    return true;
}

bool request_add_body(struct request *request, const char *bytes, size_t size)
{
    request->received += size;
    if (request->body_cap == 0 || request->answer.status)
        return request->received <= REQUEST_DISCARD_MAX;
    if (size > request->body_cap - request->body_size) {
        request_fail(request, 413, "BODY_TOO_LARGE", "The body is too large");
    } else if (!reserve(request, request->body_size + size)) {
        request_fail(request, 503, "OVERLOADED", "Too many large requests at once, try again");
    } else {
        memcpy(request->body + request->body_size, bytes, size);
        request->body_size += size;
        return true;
    }
    request_drop_body(request);
    return true;
}

void request_answer(struct request *request, unsigned status, struct buffer *body)
{
    if (request->answer.status) {
        buffer_fini(body);
        return;
    }
    if (body->failed) {
        buffer_fini(body);
        request_answer_text(request, 500,
                            "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                            "\"status\":500,\"detail\":\"Out of memory\",\"code\":\"NO_MEMORY\"}");
        return;
    }
    request->answer.status = status;
    request->answer.body = *body;
    request->answer.content_type = status < 400 ? "application/json" : "application/problem+json";
    *body = (struct buffer){.cap = body->cap};
}

void request_answer_text(struct request *request, unsigned status, const char *json)
{
    if (request->answer.status)
        return;
    request->answer.status = status;
    request->answer.file = json;
    request->answer.file_size = strlen(json);
    request->answer.content_type = status < 400 ? "application/json" : "application/problem+json";
}

void request_answer_problem(struct request *request, const struct problem *problem)
{
    struct buffer body;
    buffer_init(&body, PROBLEM_CAP);
    problem_write(&body, problem, request->id);
    if (problem->status == 429 || problem->status == 503)
        request->answer.retry_after_s = problem_retry_after(problem);
    request_answer(request, problem->status, &body);
}

void request_answer_error(struct request *request, const triggers_error *error)
{
    struct problem problem = problem_from_error(error, &request->arena);
    request_answer_problem(request, &problem);
}

void request_fail(struct request *request, unsigned status, const char *code, const char *detail)
{
    struct problem problem = {.status = status, .code = code, .detail = detail};
    request_answer_problem(request, &problem);
}

bool request_read_json(struct request *request, struct json_value *value)
{
    const char *text = request->body;
    size_t size = request->body_size;
    struct json_error error;
    char detail[160];
    json_skip_mark(&text, &size);
    if (json_check(text, size, value, &error))
        return true;
    snprintf(detail, sizeof(detail), "The body is not valid JSON: %s at byte %zu", error.reason,
             request->body_size - size + error.offset);
    request_fail(request, 400, "MALFORMED_JSON", detail);
    return false;
}
