/* Life and answer of a request, and the memory that it reserves. */
#include "request.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/check.h"
#include "base/clock.h"
#include "hand_made.h"

#define REQUEST_MAGIC 0x52455155u
/* Decoded strings and the items of a batch; never more than the body and a share for each item. */
#define ARENA_CAP (REQUEST_BATCH_MAX + (4u << 20))
#define PROBLEM_CAP (4u << 20)

/* For the reply to a batch: a result takes about 300 bytes, and 150 as JSON. */
#define REPLY_ROOM_MAX (512u << 10)
#define ITEM_TEXT_ROOM 280 /* of an event, besides its payload and names */

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
    request->charge.share = peer->share;
    request->room = (struct room){.peer = peer,
                                  .charge = &request->charge,
                                  .since_us = request->started_us,
                                  .large = headers_content_length(headers) > BUDGET_SMALL};
    arena_init(&request->arena, ARENA_CAP);
    request->arena.charge = &request->charge;
    if (request->headers.request_id && headers_request_id_valid(request->headers.request_id))
        snprintf(request->id, sizeof(request->id), "%s", request->headers.request_id);
    else
        make_request_id(request->id);
    follow_trace(request);
    credentials_read(&request->credentials, headers, peer->host, &bridge->settings.proxies);
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
    buffer_fini(&request->answer.body);
    free(request->answer.rate_limit_policy);
    free(request->answer.rate_limit);
    arena_fini(&request->arena);
    CHECK(request->room.state != ROOM_WAITED_FOR && !request->key.next && !request->body);
    charge_release(&request->charge, request->charge.held);
    memory_unfavour(&bridge->memory, &request->room);
    memory_serve(&bridge->memory);
    if (request->waits)
        CHECK(atomic_fetch_sub(&bridge->waiting, 1) > 0);
    bool answering = request->answering;
    request->magic = 0;
    free(request);
    if (answering)
        bridge_leave(bridge, &bridge->answering);
    bridge_leave(bridge, &bridge->requests);
}

bool request_is_monitoring(const struct request *request)
{
    return request->peer->loop->connections == &request->bridge->monitoring;
}

const struct http_address *request_address(const struct request *request)
{
    const struct bridge_settings *settings = &request->bridge->settings;
    return request_is_monitoring(request) ? &settings->monitoring : &settings->api;
}

/* ---- memory for what follows ---- */

/* For the reply to a batch, and its text. */
static size_t reply_room(size_t body)
{
    return 4 * body < REPLY_ROOM_MAX ? 4 * body : REPLY_ROOM_MAX;
}

/* A call holds its request twice until it has left: once for sending it again, and once on its way.
 */
size_t request_call_room(size_t body)
{
    return 2 * body + reply_room(body);
}

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
    return request_call_room(request->body_size);
}

enum memory_result request_take_room(struct request *request)
{
    size_t size = needed_room(request);
    CHECK(request->reserved <= request->charge.held);
    if (size <= BUDGET_SMALL || size <= request->reserved || request->charge.urgent)
        return MEMORY_TAKEN;
    size -= request->reserved;
    request->room.has_reply = request->reply;
    enum memory_result result = memory_take(&request->bridge->memory, &request->room, size, 0);
    if (result == MEMORY_TAKEN)
        request->reserved += size;
    return result;
}

bool request_reserve(struct request *request)
{
    enum memory_result result = request_take_room(request);
    if (result == MEMORY_REFUSED)
        request_fail_overloaded(request);
    return result != MEMORY_WAITS;
}

bool request_was_ended(const struct request *request)
{
    return request->ended != LOOP_GOES_ON && request->reply &&
           strcmp(request->reply->error.reason, "CALL_CANCELLED") == 0;
}

void request_try_again(struct request *request)
{
    CHECK(request->reply && !request->answer.status);
    bool unread = strcmp(request->reply->error.reason, "ANSWER_TOO_LARGE") == 0;
    bool stops = request->ended == LOOP_STOPS && request_was_ended(request);
    if (request->again || !(request->unsent || (unread && is_read(request)) || stops))
        return;
    request_use_reserved(request, 0);
    triggers_reply_free(request->reply);
    arena_reset(&request->arena);
    request->reply = NULL;
    request->batch = NULL;
    request->unsent = false;
    request->again |= !stops;
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
    request->answer.scope_missing = strcmp(problem->code, "SCOPE_MISSING") == 0;
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

void request_fail_overloaded(struct request *request)
{
    request_fail(request, 503, "OVERLOADED", "Too many large requests at once, try again");
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
    request->key.authorization = request->credentials.authorization;
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
