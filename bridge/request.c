/* Life, body and answer of a request. */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/check.h"
#include "base/clock.h"
#include "gzip.h"
#include "hand_made.h"
#include "routes.h"

#define REQUEST_MAGIC 0x52455155u
/* Decoded strings and the items of a batch; never more than the body and a share for each item. */
#define ARENA_CAP (REQUEST_BATCH_MAX + (4u << 20))
#define PROBLEM_CAP (4u << 20)

/* The room that a body gets at first. */
#define BODY_FIRST_ROOM 1024

/* For the reply to a batch: a result takes about 300 bytes, and 120 as JSON. */
#define REPLY_ROOM_MAX (512u << 10)
#define ITEM_TEXT_ROOM 200 /* of an event, besides its payload and names */

/* For the largest answer, a page, as received and decoded. */
#define PAGE_ROOM (18u << 20)

/* A random UUID (RFC 9562 version 4). */
static void make_request_id(char id[REQUEST_ID_SIZE])
{
    uuid_t uuid;
    random_fill(uuid, sizeof(uuid));
    uuid[6] = (uint8_t)(0x40 | (uuid[6] & 0x0F));
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3F));
    uuid_unparse_lower(uuid, id);
}

/* Continues the client's trace; without one, starts one if it will be logged. */
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

struct request *request_new(struct bridge *bridge, struct connection *peer,
                            const struct headers *headers, const char *method, const char *path)
{
    struct request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    request->magic = REQUEST_MAGIC;
    request->bridge = bridge;
    request->peer = peer;
    request->headers = *headers;
    request->method = method;
    request->path = path;
    request->started_us = clock_monotonic_us();
    request->charge.share = request->peer->share;
    arena_init(&request->arena, ARENA_CAP);
    request->arena.charge = &request->charge;
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
    CHECK(request->magic == REQUEST_MAGIC);
    return request;
}

void request_free(struct request *request)
{
    struct bridge *bridge = request->bridge;
    triggers_reply_free(request->reply);
    request_drop_body(request);
    buffer_fini(&request->answer.body);
    arena_fini(&request->arena);
    CHECK(request->room.state != ROOM_WAITED_FOR && !request->key.next);
    charge_release(&request->charge, request->charge.held);
    memory_unfavour(request);
    memory_serve(&bridge->memory);
    bool answering = request->answering;
    request->magic = 0;
    free(request);
    if (answering)
        bridge_leave(bridge, &bridge->answering);
    bridge_leave(bridge, &bridge->requests);
}

/* A call holds its request twice until it has left: once for sending it again, and once on its way.
 */
static size_t call_room(size_t body)
{
    return 2 * body;
}

/* Room for the reply to a batch, and its text. */
static size_t reply_room(size_t body)
{
    return 4 * body < REPLY_ROOM_MAX ? 4 * body : REPLY_ROOM_MAX;
}

void request_drop_body(struct request *request)
{
    free(request->body);
    charge_release(&request->charge, request->body_room);
    request->body = NULL;
    request->body_size = 0;
    request->body_room = 0;
    request->body_cap = 0;
    gunzip_free(request->gunzip);
    request->gunzip = NULL;
}

/* How much room to make when `size` bytes are there: twice as much as before, so that little is
 * moved, but no more than the whole body if its length is known. */
static size_t next_room(const struct request *request, size_t size)
{
    uint64_t stated = headers_content_length(&request->headers);
    size_t room =
        request->body_room > BODY_FIRST_ROOM / 2 ? 2 * request->body_room : BODY_FIRST_ROOM;
    if (stated >= size && room > stated)
        room = (size_t)stated;
    return room > size ? room : size;
}

void request_drop_sent_body(struct request *request)
{
    if (!request->unsent)
        request_drop_body(request);
}

/* A body of this size is useful only when there is room for its call. A quarter is left for those
 * ahead of it. */
static size_t body_spare(const struct request *request, size_t size)
{
    size_t call = call_room(size) + reply_room(size);
    size_t quarter = request->bridge->memory.budget.ceiling / 4;
    return call > quarter ? call : quarter;
}

enum memory_result request_make_room(struct request *request, size_t size)
{
    CHECK(request->body_size <= request->body_room);
    if (size <= request->body_room)
        return MEMORY_TAKEN;
    size_t room = next_room(request, size);
    enum memory_result result =
        memory_take(request, room - request->body_room, body_spare(request, room));
    if (result != MEMORY_TAKEN)
        return result;
    char *body = realloc(request->body, room);
    if (!body) {
        charge_release(&request->charge, room - request->body_room);
        return MEMORY_REFUSED;
    }
    request->body = body;
    request->body_room = room;
    return MEMORY_TAKEN;
}

void request_fail_overloaded(struct request *request)
{
    request_fail(request, 503, "OVERLOADED", "Too many large requests at once, try again");
}

enum body_result request_add_body(struct request *request, const char *bytes, size_t size)
{
    bool kept = request->body_cap > 0 && !request->answer.status;
    CHECK(!kept || request->body_size <= request->body_cap);
    bool fits = kept && size <= request->body_cap - request->body_size;
    enum memory_result room =
        fits ? request_make_room(request, request->body_size + size) : MEMORY_REFUSED;
    if (room == MEMORY_WAITS)
        return BODY_WAITS;
    request->received += size;
    if (!kept)
        return request->received <= REQUEST_DISCARD_MAX ? BODY_TAKEN : BODY_CLOSES;
    if (room == MEMORY_TAKEN) {
        CHECK(size <= request->body_room - request->body_size);
        memcpy(request->body + request->body_size, bytes, size);
        request->body_size += size;
        return BODY_TAKEN;
    }
    if (fits)
        request_fail_overloaded(request);
    else
        request_fail(request, 413, "BODY_TOO_LARGE", "The body is too large");
    request_drop_body(request);
    return BODY_TAKEN;
}

/* ---- memory for what follows ---- */

size_t request_reply_room(const struct request *request)
{
    return reply_room(request->body_size);
}

static size_t item_text_room(const triggers_event *event)
{
    return event->payload_size + strlen(event->source) + strlen(event->event_type) + ITEM_TEXT_ROOM;
}

static size_t text_room(const triggers_reply *reply)
{
    size_t size = strlen(reply->stats);
    if (reply->message)
        size += protobuf_c_message_get_packed_size(reply->message);
    for (size_t i = 0; i < reply->item_count; i++)
        size += item_text_room(&reply->items[i].event);
    return size;
}

static bool is_read(const struct request *request)
{
    return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

/* How much the request will need; at most this much is reserved already. */
static size_t needed_room(const struct request *request)
{
    if (request->reply)
        return text_room(request->reply);
    if (request->again && is_read(request))
        return PAGE_ROOM;
    return call_room(request->body_size) + request_reply_room(request);
}

bool request_reserve(struct request *request)
{
    size_t size = needed_room(request);
    CHECK(request->reserved <= request->charge.held);
    if (size <= BUDGET_SMALL || size <= request->reserved || request->charge.urgent)
        return true;
    size -= request->reserved;
    enum memory_result result = memory_take(request, size, 0);
    if (result == MEMORY_TAKEN)
        request->reserved += size;
    if (result == MEMORY_REFUSED)
        request_fail_overloaded(request);
    return result != MEMORY_WAITS;
}

void request_try_again(struct request *request)
{
    CHECK(request->reply && !request->answer.status);
    bool unread = strcmp(request->reply->error.reason, "ANSWER_TOO_LARGE") == 0;
    if (request->again || !(request->unsent || (unread && is_read(request))))
        return;
    request_use_reserved(request, 0);
    triggers_reply_free(request->reply);
    arena_reset(&request->arena);
    request->reply = NULL;
    request->batch = NULL;
    request->unsent = false;
    request->again = true;
}

void request_use_reserved(struct request *request, size_t kept)
{
    CHECK(request->reserved <= request->charge.held);
    if (request->reserved <= kept)
        return;
    charge_release(&request->charge, request->reserved - kept);
    request->reserved = kept;
}

void request_init_text(struct request *request, struct buffer *body, size_t cap)
{
    buffer_init(body, cap);
    body->charge = &request->charge;
    if (request->reply)
        buffer_reserve(body, text_room(request->reply));
}

/* ---- answers ---- */

void request_answer(struct request *request, unsigned status, struct buffer *body)
{
    if (request->answer.status) {
        buffer_fini(body);
        return;
    }
    if (body->failed) {
        bool later = body->over_budget;
        buffer_fini(body);
        if (later)
            request_fail_overloaded(request);
        request_answer_text(request, 500,
                            "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                            "\"status\":500,\"detail\":\"Out of memory\",\"code\":\"NO_MEMORY\"}");
        return;
    }
    CHECK(status >= 200 && status < 600);
    buffer_trim(body);
    CHECK(!request->answer.body.data && !request->answer.file);
    request->answer.status = status;
    request->answer.body = *body;
    request->answer.content_type = status < 400 ? "application/json" : "application/problem+json";
    *body = (struct buffer){.cap = body->cap};
}

void request_answer_text(struct request *request, unsigned status, const char *json)
{
    if (request->answer.status)
        return;
    CHECK(status >= 200 && status < 600 && !request->answer.body.data);
    request->answer.status = status;
    request->answer.file = json;
    request->answer.file_size = strlen(json);
    request->answer.content_type = status < 400 ? "application/json" : "application/problem+json";
}

static const char *wrong_part(const struct request *request)
{
    return request->route && request->route->body != BODY_UNUSED ? "body" : "query";
}

void request_answer_problem(struct request *request, const struct problem *problem)
{
    if (request->answer.status)
        return;
    struct buffer body;
    buffer_init(&body, PROBLEM_CAP);
    if (request->bridge->settings.fastapi && !request->transcoded &&
        hand_made_write_problem(&body, problem, wrong_part(request), request->body_size == 0)) {
        request_answer(request, 422, &body);
        request->answer.content_type = "application/json";
        return;
    }
    problem_write(&body, problem, request->id);
    if (problem->status == 429 || problem->status == 503)
        request->answer.retry_after_s = problem_retry_after(problem);
    request_answer(request, problem->status, &body);
}

void request_answer_error(struct request *request, const triggers_error *error)
{
    problem_field_of *field_of = request->transcoded ? problem_field_at : hand_made_field;
    struct problem problem = problem_from_error(error, field_of, &request->arena);
    request_answer_problem(request, &problem);
}

void request_fail(struct request *request, unsigned status, const char *code, const char *detail)
{
    struct problem problem = {.status = status, .code = code, .detail = detail};
    request_answer_problem(request, &problem);
}

void request_fail_cut(struct request *request)
{
    request_fail(request, 414, "TARGET_TOO_LONG",
                 "The target of a request that has parameters may have at most 7999 bytes");
}

void request_fail_memory(struct request *request)
{
    if (request->arena.over_budget)
        request_fail_overloaded(request);
    else
        request_fail(request, 500, "NO_MEMORY", "Out of memory");
}

bool request_read_key(struct request *request, size_t spare)
{
    if (idempotency_read(&request->headers, IDEMPOTENCY_KEY_SIZE - 1 - spare, &request->key))
        return true;
    request_fail(request, 400, "IDEMPOTENCY_KEY_INVALID",
                 "Idempotency-Key must be one string of 1 to 255 printable ASCII characters (250 "
                 "for a batch), quoted or bare");
    return false;
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
    size_t at = request->body_size - size + error.offset;
    CHECK(at <= request->body_size);
    snprintf(detail, sizeof(detail), "The body is not valid JSON: %s at byte %zu", error.reason,
             at);
    request_answer_problem(
        request,
        &(struct problem){.status = 400, .code = "MALFORMED_JSON", .detail = detail, .at = at});
    return false;
}
