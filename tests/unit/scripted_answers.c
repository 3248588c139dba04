/* Messages of the scripted core, one function a method. */
#include "scripted_answers.h"

#include <string.h>

#include "triggers/health/v1/health.pb-c.h"
#include "triggers/stats/v1/stats.pb-c.h"
#include "triggers/v1/events.pb-c.h"

typedef Triggers__Rpc__V1__Request Request;
typedef Triggers__Rpc__V1__Response Response;

static Google__Protobuf__Timestamp some_time = {
    .base = PROTOBUF_C_MESSAGE_INIT(&google__protobuf__timestamp__descriptor),
    .seconds = 1700000000,
    .nanos = 123456789,
};

static void set_body(Response *response, const ProtobufCMessage *body)
{
    response->body.len = protobuf_c_message_get_packed_size(body);
    response->body.data = malloc(response->body.len + 1);
    must(response->body.data != NULL);
    protobuf_c_message_pack(body, response->body.data);
}

static void answer_create(const Request *request, Response *response)
{
    Triggers__V1__CreateEventRequest *create =
        triggers__v1__create_event_request__unpack(NULL, request->body.len, request->body.data);
    must(create != NULL);
    Triggers__V1__CreateEventResponse created = TRIGGERS__V1__CREATE_EVENT_RESPONSE__INIT;
    created.event_id = create->event_id;
    created.created_at = &some_time;
    set_body(response, &created.base);
    triggers__v1__create_event_request__free_unpacked(create, NULL);
}

/* The second event of a batch fails. */
static void answer_create_batch(const Request *request, Response *response)
{
    Triggers__V1__BatchCreateEventsRequest *batch =
        triggers__v1__batch_create_events_request__unpack(NULL, request->body.len,
                                                          request->body.data);
    must(batch != NULL);
    Triggers__V1__CreateEventResponse created[8];
    Triggers__V1__CreateEventResult results[8];
    Triggers__V1__CreateEventResult *list[8];
    Triggers__V1__ItemError error = TRIGGERS__V1__ITEM_ERROR__INIT;
    error.code = TRIGGERS__RPC__V1__CODE__ALREADY_EXISTS;
    error.message = "taken";
    must(batch->n_events <= 8);
    for (size_t i = 0; i < batch->n_events; i++) {
        created[i] = (Triggers__V1__CreateEventResponse)TRIGGERS__V1__CREATE_EVENT_RESPONSE__INIT;
        created[i].event_id = batch->events[i]->event_id;
        results[i] = (Triggers__V1__CreateEventResult)TRIGGERS__V1__CREATE_EVENT_RESULT__INIT;
        results[i].outcome_case = i == 1 ? TRIGGERS__V1__CREATE_EVENT_RESULT__OUTCOME_ERROR
                                         : TRIGGERS__V1__CREATE_EVENT_RESULT__OUTCOME_CREATED;
        if (i == 1)
            results[i].error = &error;
        else
            results[i].created = &created[i];
        list[i] = &results[i];
    }
    Triggers__V1__BatchCreateEventsResponse answer =
        TRIGGERS__V1__BATCH_CREATE_EVENTS_RESPONSE__INIT;
    answer.n_results = batch->n_events;
    answer.results = list;
    set_body(response, &answer.base);
    triggers__v1__batch_create_events_request__free_unpacked(batch, NULL);
}

static Triggers__V1__Event event_of_size(char *event_id, size_t size)
{
    Triggers__V1__Event event = TRIGGERS__V1__EVENT__INIT;
    event.event_id = event_id;
    event.source = "crm";
    event.event_type = "lead.created";
    event.payload.len = size;
    event.payload.data = malloc(size + 1);
    must(event.payload.data != NULL);
    memset(event.payload.data, 'x', size);
    event.status = TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_PENDING;
    event.created_at = &some_time;
    return event;
}

static void answer_get(const Request *request, Response *response)
{
    Triggers__V1__GetEventRequest *get =
        triggers__v1__get_event_request__unpack(NULL, request->body.len, request->body.data);
    must(get != NULL);
    size_t size =
        strncmp(get->event_id, "size:", 5) == 0 ? strtoul(get->event_id + 5, NULL, 10) : 2;
    Triggers__V1__Event event = event_of_size(get->event_id, size);
    Triggers__V1__GetEventResponse answer = TRIGGERS__V1__GET_EVENT_RESPONSE__INIT;
    answer.event = &event;
    set_body(response, &answer.base);
    free(event.payload.data);
    triggers__v1__get_event_request__free_unpacked(get, NULL);
}

static void answer_list(Response *response)
{
    Triggers__V1__Event first = event_of_size("evt_1", 1);
    Triggers__V1__Event second = event_of_size("evt_2", 0);
    second.status = TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_ACKNOWLEDGED;
    second.acknowledged_at = &some_time;
    Triggers__V1__Event *events[] = {&first, &second};
    Triggers__V1__ListInboxResponse answer = TRIGGERS__V1__LIST_INBOX_RESPONSE__INIT;
    answer.n_events = 2;
    answer.events = events;
    answer.next_page_token = "more";
    set_body(response, &answer.base);
    free(first.payload.data);
    free(second.payload.data);
}

static void answer_ack(const Request *request, Response *response)
{
    Triggers__V1__AckEventRequest *ack =
        triggers__v1__ack_event_request__unpack(NULL, request->body.len, request->body.data);
    must(ack != NULL);
    Triggers__V1__AckEventResponse answer = TRIGGERS__V1__ACK_EVENT_RESPONSE__INIT;
    answer.event_id = ack->event_id;
    answer.acknowledged_at = &some_time;
    set_body(response, &answer.base);
    triggers__v1__ack_event_request__free_unpacked(ack, NULL);
}

/* One result, whatever was asked. */
static void answer_ack_batch(Response *response)
{
    Triggers__V1__AckEventResponse acknowledged = TRIGGERS__V1__ACK_EVENT_RESPONSE__INIT;
    acknowledged.event_id = "evt_1";
    Triggers__V1__AckEventResult result = TRIGGERS__V1__ACK_EVENT_RESULT__INIT;
    result.outcome_case = TRIGGERS__V1__ACK_EVENT_RESULT__OUTCOME_ACKNOWLEDGED;
    result.acknowledged = &acknowledged;
    Triggers__V1__AckEventResult *results[] = {&result};
    Triggers__V1__BatchAckEventsResponse answer = TRIGGERS__V1__BATCH_ACK_EVENTS_RESPONSE__INIT;
    answer.n_results = 1;
    answer.results = results;
    set_body(response, &answer.base);
}

static void answer_health(Response *response)
{
    Triggers__Health__V1__HealthCheckResponse answer =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    answer.status = TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    answer.version = "9.9";
    answer.store = "scripted";
    set_body(response, &answer.base);
}

static void answer_stats(Response *response)
{
    Triggers__Stats__V1__GetStatsResponse answer = TRIGGERS__STATS__V1__GET_STATS_RESPONSE__INIT;
    answer.text = "triggers_core_scripted 1\n";
    set_body(response, &answer.base);
}

void answer_well(const Request *request, Response *response)
{
    const char *method = strchr(request->method, '/') + 1;
    if (strcmp(method, "CreateEvent") == 0)
        answer_create(request, response);
    else if (strcmp(method, "BatchCreateEvents") == 0)
        answer_create_batch(request, response);
    else if (strcmp(method, "GetEvent") == 0)
        answer_get(request, response);
    else if (strcmp(method, "ListInbox") == 0)
        answer_list(response);
    else if (strcmp(method, "AckEvent") == 0)
        answer_ack(request, response);
    else if (strcmp(method, "BatchAckEvents") == 0)
        answer_ack_batch(response);
    else if (strcmp(method, "GetStats") == 0)
        answer_stats(response);
    else
        answer_health(response);
}
