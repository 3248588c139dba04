/* Many events acknowledged in one request: {"event_ids": ["evt_…", …]}. */
#include <stdio.h>
#include <string.h>

#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"

#define RESULTS_CAP (16u << 20)

/* 422 for the body as a whole. */
static bool refuse_body(struct request *request, const char *code, const char *field,
                        const char *why)
{
    struct problem_field wrong = {field, why};
    struct problem problem = {.status = 422, .code = code, .fields = &wrong, .field_count = 1};
    if (!field[0])
        problem.detail = "The body must be a JSON object with event_ids";
    request_answer_problem(request, &problem);
    return false;
}

/* The last member "event_ids" of the body; false after having answered. */
static bool find_ids(struct request *request, struct json_value *ids)
{
    struct json_value body, key, value;
    struct json_cursor cursor = {0};
    *ids = (struct json_value){0};
    if (!request_read_json(request, &body))
        return false;
    if (body.type != JSON_OBJECT)
        return refuse_body(request, "FIELDS_INVALID", "", "must be a JSON object");
    while (json_object_next(&body, &cursor, &key, &value)) {
        if (json_string_equals(&key, "event_ids"))
            *ids = value;
    }
    if (!ids->text)
        return refuse_body(request, "FIELDS_INVALID", "event_ids", "must be given");
    return ids->type == JSON_ARRAY ||
           refuse_body(request, "FIELDS_INVALID", "event_ids", "must be an array of event ids");
}

/* Reads an id. A value that is not a text becomes an invalid id, for which the core gives the error
 * in its place. NULL without memory. */
static const char *read_id(const struct json_value *value, struct arena *arena)
{
    size_t length;
    if (value->type != JSON_STRING)
        return "";
    char *text = arena_alloc(arena, value->size);
    if (text && (!json_string_decode(value, text, &length) || strlen(text) != length))
        return "";
    return text;
}

/* Reads the ids of the body into `ids`; their number, or 0 after having answered. */
static size_t read_ids(struct request *request, const char *ids[TRIGGERS_MAX_BATCH])
{
    static const char count_rule[] = "must have 1 to 1000 event ids";
    struct json_value array, element;
    struct json_cursor cursor = {0};
    size_t count = 0;
    if (!find_ids(request, &array))
        return 0;
    while (json_array_next(&array, &cursor, &element)) {
        if (count == TRIGGERS_MAX_BATCH)
            return refuse_body(request, "BATCH_SIZE_INVALID", "event_ids", count_rule);
        ids[count] = read_id(&element, &request->arena);
        if (!ids[count++]) {
            request_fail_memory(request);
            return 0;
        }
    }
    if (count == 0)
        refuse_body(request, "BATCH_SIZE_INVALID", "event_ids", count_rule);
    return count;
}

bool batch_ack_events_start(struct request *request)
{
    const char *ids[TRIGGERS_MAX_BATCH];
    triggers_call_options options;
    size_t count = read_ids(request, ids);
    if (count == 0 || !core_call_begin(request, &options))
        return true;
    triggers_ack_batch_async(request->bridge->client, ids, count, &options, core_call_done,
                             request);
    core_call_started(request);
    return false;
}

static void append_result(struct buffer *body, const triggers_item *item, size_t index,
                          struct request *request)
{
    if (item->error.code == TRIGGERS_OK) {
        hand_made_write_acked(body, &item->event, &request->bridge->settings);
        return;
    }
    char place[32];
    struct problem problem = problem_from_error(&item->error, hand_made_field, &request->arena);
    snprintf(place, sizeof(place), "/event_ids/%zu", index);
    if (problem.field_count > 0)
        problem.detail = item->error.message; /* it names the id's place */
    problem_write_item(body, &problem, place);
}

void batch_ack_events_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (core_call_failed(request))
        return;
    struct buffer body;
    request_init_text(request, &body, RESULTS_CAP);
    buffer_append_text(&body, "{\"results\":[");
    for (size_t i = 0; i < reply->item_count; i++) {
        if (i > 0)
            buffer_append_text(&body, ",");
        append_result(&body, &reply->items[i], i, request);
    }
    buffer_append_text(&body, "]}");
    request_answer(request, 200, &body);
}
