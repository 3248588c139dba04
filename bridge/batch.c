/* Many events in one request: a JSON array, or NDJSON with one event per line. Wrong items get
 * their error here; the others go to the core as one batch. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"

#define RESULTS_CAP (16u << 20)
#define WHY_SIZE 128

/* The error of an item; when both are NULL there is none, and the item is sent to the core. In the
 * arena. */
struct batch_item {
    const char *why;                       /* the line is not JSON */
    const struct hand_made_errors *errors; /* the JSON is no event */
};

struct batch_body {
    size_t most; /* that the body can have, if they are not too many */
    size_t count;
    size_t sent;
    struct batch_item *items;
    triggers_new_event *events; /* the first `sent` ones */
};

static bool is_refused(const struct batch_item *item)
{
    return item->why || item->errors;
}

static bool refuse_count(struct request *request)
{
    static const struct problem_field field = {"", "must have 1 to 1000 events"};
    request_answer_problem(request,
                           &(struct problem){.status = 422,
                                             .code = "BATCH_SIZE_INVALID",
                                             .detail = "A batch must have 1 to 1000 events",
                                             .fields = &field,
                                             .field_count = 1});
    return false;
}

static bool fail_no_memory(struct request *request)
{
    request_fail_memory(request);
    return false;
}

/* False after having answered. */
static bool add_value(struct request *request, const struct json_value *value)
{
    struct batch_body *batch = request->batch;
    if (batch->count == batch->most)
        return refuse_count(request);
    struct batch_item *item = &batch->items[batch->count++];
    CHECK(batch->sent < batch->count && batch->count <= batch->most);
    struct hand_made_errors errors;
    switch (hand_made_read_event(value, &request->arena, request->key.text[0],
                                 &batch->events[batch->sent], &errors)) {
    case HAND_MADE_OK: batch->sent++; return true;
    case HAND_MADE_WRONG:
        item->errors = (void *)arena_copy(&request->arena, &errors, sizeof(errors));
        return item->errors || fail_no_memory(request);
    case HAND_MADE_NO_MEMORY: break;
    }
    return fail_no_memory(request);
}

static bool read_array(struct request *request)
{
    struct json_value array;
    if (!request_read_json(request, &array))
        return false;
    if (array.type != JSON_ARRAY) {
        static const struct problem_field field = {"", "must be a JSON array"};
        request_answer_problem(request, &(struct problem){.status = 422,
                                                          .code = "FIELDS_INVALID",
                                                          .detail = "A batch must be a JSON array",
                                                          .fields = &field,
                                                          .field_count = 1});
        return false;
    }
    struct json_cursor cursor = {0};
    struct json_value element;
    while (json_array_next(&array, &cursor, &element)) {
        if (!add_value(request, &element))
            return false;
    }
    return true;
}

static bool add_line(struct request *request, const char *line, size_t size)
{
    struct json_value value;
    struct json_error error;
    if (json_check(line, size, &value, &error))
        return add_value(request, &value);
    struct batch_body *batch = request->batch;
    if (batch->count == batch->most)
        return refuse_count(request);
    char why[WHY_SIZE];
    snprintf(why, sizeof(why), "The line is not valid JSON: %s at byte %zu", error.reason,
             error.offset);
    struct batch_item *item = &batch->items[batch->count++];
    item->why = arena_copy(&request->arena, why, strlen(why));
    return item->why || fail_no_memory(request);
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!strchr(" \t\r", line[i]) || line[i] == '\0')
            return false;
    }
    return true;
}

/* Blank lines are not items. In concatenated files, each may begin with a byte order mark. */
static bool read_lines(struct request *request)
{
    for (size_t at = 0; at < request->body_size;) {
        const char *line = request->body + at;
        const char *newline = memchr(line, '\n', request->body_size - at);
        size_t size = newline ? (size_t)(newline - line) : request->body_size - at;
        at += size + 1;
        json_skip_mark(&line, &size);
        if (!is_blank(line, size) && !add_line(request, line, size))
            return false;
    }
    return true;
}

/* An item takes at least one byte, and another to separate it from the next. */
static bool make_batch(struct request *request)
{
    struct arena *arena = &request->arena;
    struct batch_body *batch = arena_calloc(arena, 1, sizeof(*batch));
    if (!batch)
        return fail_no_memory(request);
    size_t most = request->body_size / 2 + 1;
    batch->most = most < TRIGGERS_MAX_BATCH ? most : TRIGGERS_MAX_BATCH;
    batch->items = arena_calloc(arena, batch->most, sizeof(*batch->items));
    batch->events = arena_calloc(arena, batch->most, sizeof(*batch->events));
    request->batch = batch;
    return (batch->items && batch->events) || fail_no_memory(request);
}

static bool read_batch(struct request *request)
{
    if (!make_batch(request))
        return false;
    bool lines = headers_media_type(&request->headers) == MEDIA_NDJSON;
    if (!(lines ? read_lines : read_array)(request))
        return false;
    return request->batch->count > 0 || refuse_count(request);
}

/* ---- the answer ---- */

static void append_problem(struct buffer *body, const struct problem *problem, size_t index)
{
    char place[32];
    snprintf(place, sizeof(place), "/%zu", index);
    problem_write_item(body, problem, place);
}

/* Appends the error of an item that was not sent. */
static void append_refused(struct buffer *body, const struct batch_item *item, size_t index)
{
    CHECK(!item->why != !item->errors);
    struct problem problem = {.status = 400, .code = "MALFORMED_JSON", .detail = item->why};
    if (item->errors)
        problem = (struct problem){.status = 422,
                                   .code = "FIELDS_INVALID",
                                   .fields = item->errors->fields,
                                   .field_count = item->errors->count};
    append_problem(body, &problem, index);
}

static void append_sent(struct buffer *body, const triggers_item *item, size_t index,
                        struct request *request)
{
    if (item->error.code != TRIGGERS_OK) {
        struct problem problem = problem_from_error(&item->error, hand_made_field, &request->arena);
        append_problem(body, &problem, index);
        return;
    }
    hand_made_write_created(body, &item->event, NULL, &request->bridge->settings);
}

/* `sent` are the core's results for the items that were sent to it. */
static void answer_batch(struct request *request, const triggers_item *sent)
{
    const struct batch_body *batch = request->batch;
    struct buffer body;
    request_init_text(request, &body, RESULTS_CAP);
    buffer_append_text(&body, "{\"results\":[");
    size_t taken = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (i > 0)
            buffer_append_text(&body, ",");
        if (is_refused(&batch->items[i]))
            append_refused(&body, &batch->items[i], i);
        else
            append_sent(&body, &sent[taken++], i, request);
    }
    CHECK(taken == batch->sent);
    buffer_append_text(&body, "]}");
    request_answer(request, 200, &body);
}

/* Gives each event the request's key and its number in the request: an event sent again with both
 * is the same event. The character between them, which no header can hold, makes them differ from
 * keys of single creates. False after having answered. */
static bool give_keys(struct request *request)
{
    struct batch_body *batch = request->batch;
    size_t sent = 0;
    for (size_t i = 0; request->key.text[0] && i < batch->count; i++) {
        char key[IDEMPOTENCY_KEY_SIZE + IDEMPOTENCY_SUFFIX_MAX];
        int length = snprintf(key, sizeof(key), "%s\x1f%zu", request->key.text, i);
        if (is_refused(&batch->items[i]))
            continue;
        CHECK(length > 0 && (size_t)length < sizeof(key) && sent < batch->sent);
        batch->events[sent].idempotency_key = arena_copy(&request->arena, key, (size_t)length);
        if (!batch->events[sent++].idempotency_key)
            return fail_no_memory(request);
    }
    return true;
}

bool batch_create_events_start(struct request *request)
{
    if (!request_read_key(request, IDEMPOTENCY_SUFFIX_MAX) || !read_batch(request) ||
        !give_keys(request))
        return true;
    struct batch_body *batch = request->batch;
    if (batch->sent == 0) {
        answer_batch(request, NULL);
        return true;
    }
    triggers_call_options options;
    if (!core_call_begin(request, &options))
        return true;
    triggers_create_batch_async(request->bridge->client, batch->events, batch->sent, &options,
                                core_call_done, request);
    core_call_started(request);
    return false;
}

void batch_create_events_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (reply->code != TRIGGERS_OK)
        request_answer_error(request, &reply->error);
    else if (reply->item_count != request->batch->sent)
        request_fail(request, 500, "REPLY_INVALID", "The core's reply has too few results");
    else
        answer_batch(request, reply->items);
}
