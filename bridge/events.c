/* One event: create, get, acknowledge. */
#include <stdio.h>
#include <string.h>

#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"

#define ANSWER_CAP (16u << 20)

/* The event of the reply, or NULL after having answered for a call that failed. */
static const triggers_event *reply_event(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (core_call_failed(request))
        return NULL;
    const triggers_event *event = reply->item_count == 1 ? &reply->items[0].event : NULL;
    if (event && (event->created_at_us || event->acknowledged_at_us))
        return event;
    request_fail(request, 500, "REPLY_INVALID", "The core's reply has no event");
    return NULL;
}

/* ---- create ---- */

/* Reads the body into `event`; false after having answered. */
static bool read_event(struct request *request, triggers_new_event *event)
{
    struct json_value value;
    if (!request_read_json(request, &value))
        return false;
    struct hand_made_errors errors;
    switch (hand_made_read_event(&value, &request->arena, request->key.text[0], event, &errors)) {
    case HAND_MADE_OK: return true;
    case HAND_MADE_NO_MEMORY: request_fail_memory(request); break;
    case HAND_MADE_WRONG:
        request_answer_problem(request, &(struct problem){.status = 422,
                                                          .code = "FIELDS_INVALID",
                                                          .fields = errors.fields,
                                                          .field_count = errors.count});
        break;
    }
    return false;
}

bool create_event_start(struct request *request)
{
    triggers_call_options options;
    triggers_new_event event;
    if (!request_read_key(request, 0) || !read_event(request, &event))
        return true;
    event.idempotency_key = request->key.text;
    request->key.source = event.source;
    if (!core_call_begin(request, &options))
        return true;
    triggers_create_async(request->bridge->client, &event, &options, core_call_done, request);
    core_call_started(request);
    return false;
}

void create_event_finish(struct request *request)
{
    const triggers_event *event = reply_event(request);
    if (!event)
        return;
    struct buffer body;
    request_init_text(request, &body, ANSWER_CAP);
    hand_made_write_created(&body, event, "Event successfully ingested",
                            &request->bridge->settings);
    snprintf(request->event_id, sizeof(request->event_id), "%s", event->event_id);
    request->answer.created = true;
    request_answer(request, 201, &body);
}

/* ---- get and acknowledge ---- */

/* False after having answered: no event can have an invalid id. */
static bool has_event_id(struct request *request)
{
    if (request->event_id[0])
        return true;
    request_fail(request, 404, "EVENT_NOT_FOUND", "Event not found");
    return false;
}

bool get_event_start(struct request *request)
{
    triggers_call_options options;
    if (!has_event_id(request) || !core_call_begin(request, &options))
        return true;
    triggers_get_async(request->bridge->client, request->event_id, &options, core_call_done,
                       request);
    core_call_started(request);
    return false;
}

void get_event_finish(struct request *request)
{
    const triggers_event *event = reply_event(request);
    if (!event)
        return;
    struct buffer body;
    request_init_text(request, &body, ANSWER_CAP);
    hand_made_write_event(&body, event, false, &request->bridge->settings);
    request_answer(request, 200, &body);
}

bool ack_event_start(struct request *request)
{
    triggers_call_options options;
    if (!has_event_id(request) || !core_call_begin(request, &options))
        return true;
    triggers_ack_async(request->bridge->client, request->event_id, &options, core_call_done,
                       request);
    core_call_started(request);
    return false;
}

void ack_event_finish(struct request *request)
{
    const triggers_event *event = reply_event(request);
    if (!event)
        return;
    struct buffer body;
    request_init_text(request, &body, ANSWER_CAP);
    hand_made_write_acked(&body, event, &request->bridge->settings);
    request_answer(request, 200, &body);
}
