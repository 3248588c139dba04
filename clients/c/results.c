/* Turns the response message of each method into a reply. */
#include <stdlib.h>

#include "base/check.h"
#include "reply.h"
#include "triggers/health/v1/health.pb-c.h"
#include "triggers/stats/v1/stats.pb-c.h"
#include "triggers/v1/events.pb-c.h"

static const triggers_event no_event = {
    .event_id = "", .source = "", .event_type = "", .payload = "", .ordering_key = ""};

static bool fail(struct reply_builder *builder, const char *problem)
{
    builder->problem = problem;
    return false;
}

/* Gives the reply `count` items, OK and empty; NULL without memory. */
static triggers_item *add_items(struct reply_builder *builder, size_t count)
{
    CHECK(builder->reply && !builder->reply->items);
    triggers_item *items = arena_calloc(builder->arena, count, sizeof(*items));
    if (!items)
        return NULL;
    for (size_t i = 0; i < count; i++)
        items[i] = (triggers_item){.error = REPLY_NO_ERROR, .event = no_event};
    builder->reply->items = items;
    builder->reply->item_count = count;
    return items;
}

/* Adds the items of a batch: as many as were asked for. */
static triggers_item *add_batch_items(struct reply_builder *builder, size_t count)
{
    CHECK(builder->item_count > 0);
    if (count == builder->item_count)
        return add_items(builder, count);
    fail(builder, "the core's answer has fewer or more results than the batch has items");
    return NULL;
}

int64_t reply_time_us(const Google__Protobuf__Timestamp *time)
{
    int64_t us;
    if (!time || __builtin_mul_overflow(time->seconds, INT64_C(1000000), &us) ||
        __builtin_add_overflow(us, time->nanos / 1000, &us))
        return 0;
    return us;
}

static triggers_status known_status(Triggers__V1__EventStatus status)
{
    switch (status) {
    case TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_PENDING: return TRIGGERS_STATUS_PENDING;
    case TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_ACKNOWLEDGED: return TRIGGERS_STATUS_ACKNOWLEDGED;
    default: return TRIGGERS_STATUS_UNSPECIFIED;
    }
}

static void read_event(const Triggers__V1__Event *from, triggers_event *to)
{
    *to = (triggers_event){
        .event_id = from->event_id,
        .source = from->source,
        .event_type = from->event_type,
        .payload = from->payload.len > 0 ? (const char *)from->payload.data : "",
        .payload_size = from->payload.len,
        .status = known_status(from->status),
        .created_at_us = reply_time_us(from->created_at),
        .acknowledged_at_us = reply_time_us(from->acknowledged_at),
        .sequence = from->sequence,
        .payload_erased = from->payload_erased,
        .ordering_key = from->ordering_key,
        .deliver_at_us = reply_time_us(from->deliver_at),
    };
}

static void read_created(const Triggers__V1__CreateEventResponse *from, triggers_event *to)
{
    to->event_id = from->event_id;
    to->created_at_us = reply_time_us(from->created_at);
    to->sequence = from->sequence;
}

static void read_acknowledged(const Triggers__V1__AckEventResponse *from, triggers_event *to)
{
    to->event_id = from->event_id;
    to->status = TRIGGERS_STATUS_ACKNOWLEDGED;
    to->acknowledged_at_us = reply_time_us(from->acknowledged_at);
}

static bool read_item_error(struct reply_builder *builder, const Triggers__V1__ItemError *from,
                            triggers_error *to)
{
    return reply_error_read(builder->arena, from->code, from->message, from->details, to);
}

static bool read_create(struct reply_builder *builder, const ProtobufCMessage *message)
{
    triggers_item *item = add_items(builder, 1);
    if (!item)
        return false;
    read_created((const Triggers__V1__CreateEventResponse *)message, &item->event);
    return true;
}

static bool read_create_batch(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__BatchCreateEventsResponse *response =
        (const Triggers__V1__BatchCreateEventsResponse *)message;
    triggers_item *items = add_batch_items(builder, response->n_results);
    for (size_t i = 0; items && i < response->n_results; i++) {
        const Triggers__V1__CreateEventResult *result = response->results[i];
        switch (result->outcome_case) {
        case TRIGGERS__V1__CREATE_EVENT_RESULT__OUTCOME_CREATED:
            read_created(result->created, &items[i].event);
            break;
        case TRIGGERS__V1__CREATE_EVENT_RESULT__OUTCOME_ERROR:
            if (!read_item_error(builder, result->error, &items[i].error))
                return false;
            break;
        default: return fail(builder, "a result in the core's answer has no outcome");
        }
    }
    return items != NULL;
}

static bool read_get(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__GetEventResponse *response =
        (const Triggers__V1__GetEventResponse *)message;
    if (!response->event)
        return fail(builder, "the core's answer has no event");
    triggers_item *item = add_items(builder, 1);
    if (!item)
        return false;
    read_event(response->event, &item->event);
    return true;
}

static bool read_events(struct reply_builder *builder, Triggers__V1__Event *const *events,
                        size_t count)
{
    triggers_item *items = add_items(builder, count);
    for (size_t i = 0; items && i < count; i++)
        read_event(events[i], &items[i].event);
    return items != NULL;
}

static bool read_list(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__ListInboxResponse *response =
        (const Triggers__V1__ListInboxResponse *)message;
    builder->reply->next_page_token = response->next_page_token;
    return read_events(builder, response->events, response->n_events);
}

static bool read_list_events(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__ListEventsResponse *response =
        (const Triggers__V1__ListEventsResponse *)message;
    builder->reply->next_after = response->next_after;
    builder->reply->first_sequence = response->first_sequence;
    return read_events(builder, response->events, response->n_events);
}

static bool read_list_kinds(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__ListKindsResponse *response =
        (const Triggers__V1__ListKindsResponse *)message;
    triggers_kind *kinds = arena_calloc(builder->arena, response->n_kinds, sizeof(*kinds));
    if (!kinds)
        return false;
    for (size_t i = 0; i < response->n_kinds; i++) {
        kinds[i].source = response->kinds[i]->source;
        kinds[i].event_type = response->kinds[i]->event_type;
    }
    builder->reply->kinds = kinds;
    builder->reply->kind_count = response->n_kinds;
    builder->reply->next_page_token = response->next_page_token;
    return true;
}

static bool read_ack(struct reply_builder *builder, const ProtobufCMessage *message)
{
    triggers_item *item = add_items(builder, 1);
    if (!item)
        return false;
    read_acknowledged((const Triggers__V1__AckEventResponse *)message, &item->event);
    return true;
}

static bool read_ack_batch(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__BatchAckEventsResponse *response =
        (const Triggers__V1__BatchAckEventsResponse *)message;
    triggers_item *items = add_batch_items(builder, response->n_results);
    for (size_t i = 0; items && i < response->n_results; i++) {
        const Triggers__V1__AckEventResult *result = response->results[i];
        switch (result->outcome_case) {
        case TRIGGERS__V1__ACK_EVENT_RESULT__OUTCOME_ACKNOWLEDGED:
            read_acknowledged(result->acknowledged, &items[i].event);
            break;
        case TRIGGERS__V1__ACK_EVENT_RESULT__OUTCOME_ERROR:
            if (!read_item_error(builder, result->error, &items[i].error))
                return false;
            break;
        default: return fail(builder, "a result in the core's answer has no outcome");
        }
    }
    return items != NULL;
}

static bool read_erase(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__V1__EraseEventResponse *response =
        (const Triggers__V1__EraseEventResponse *)message;
    triggers_item *item = add_items(builder, 1);
    if (!item)
        return false;
    item->event.event_id = response->event_id;
    item->event.sequence = response->sequence;
    item->event.payload_erased = 1;
    return true;
}

static bool read_health(struct reply_builder *builder, const ProtobufCMessage *message)
{
    const Triggers__Health__V1__HealthCheckResponse *response =
        (const Triggers__Health__V1__HealthCheckResponse *)message;
    triggers_reply *reply = builder->reply;
    switch (response->status) {
    case TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING:
        reply->serving = TRIGGERS_SERVING;
        break;
    case TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING:
        reply->serving = TRIGGERS_NOT_SERVING;
        break;
    default: reply->serving = TRIGGERS_SERVING_UNKNOWN; break;
    }
    reply->server_version = response->version;
    reply->server_store = response->store;
    return true;
}

static bool read_stats(struct reply_builder *builder, const ProtobufCMessage *message)
{
    builder->reply->stats = ((const Triggers__Stats__V1__GetStatsResponse *)message)->text;
    return true;
}

void triggers_event_read(const ProtobufCMessage *message, triggers_event *event)
{
    read_event((const Triggers__V1__Event *)message, event);
}

bool reply_read_message(struct reply_builder *builder, const ProtobufCMessage *message)
{
    CHECK(!builder->reply->message);
    builder->reply->message = message;
    return true;
}

const struct method reply_methods[API_METHOD_COUNT] = {
    [API_CREATE_EVENT] = {&api_methods[API_CREATE_EVENT], read_create},
    [API_BATCH_CREATE_EVENTS] = {&api_methods[API_BATCH_CREATE_EVENTS], read_create_batch},
    [API_GET_EVENT] = {&api_methods[API_GET_EVENT], read_get},
    [API_LIST_INBOX] = {&api_methods[API_LIST_INBOX], read_list},
    [API_LIST_EVENTS] = {&api_methods[API_LIST_EVENTS], read_list_events},
    [API_LIST_KINDS] = {&api_methods[API_LIST_KINDS], read_list_kinds},
    [API_ACK_EVENT] = {&api_methods[API_ACK_EVENT], read_ack},
    [API_BATCH_ACK_EVENTS] = {&api_methods[API_BATCH_ACK_EVENTS], read_ack_batch},
    [API_ERASE_EVENT] = {&api_methods[API_ERASE_EVENT], read_erase},
    [API_CHECK] = {&api_methods[API_CHECK], read_health},
    [API_GET_STATS] = {&api_methods[API_GET_STATS], read_stats},
};
