/* The calls of the public header: each checks its arguments, fills its request message and starts
 * the invocation, as the generic call does. A synchronous call is the asynchronous one and a wait.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "invocation.h"
#include "triggers/health/v1/health.pb-c.h"
#include "triggers/stats/v1/stats.pb-c.h"
#include "triggers/v1/events.pb-c.h"

typedef Triggers__V1__CreateEventRequest CreateRequest;

/* ---- waiting ---- */

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    triggers_reply *reply; /* not NULL: done */
};

#define WAITER_INIT                                                                                \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER                       \
    }

static void waiter_finish(triggers_reply *reply, void *user_data)
{
    struct waiter *waiter = user_data;
    pthread_mutex_lock(&waiter->mutex);
    CHECK(!waiter->reply && reply);
    waiter->reply = reply;
    pthread_cond_signal(&waiter->done);
    pthread_mutex_unlock(&waiter->mutex);
}

static triggers_reply *waiter_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->mutex);
    while (!waiter->reply)
        pthread_cond_wait(&waiter->done, &waiter->mutex);
    pthread_mutex_unlock(&waiter->mutex);
    pthread_cond_destroy(&waiter->done);
    pthread_mutex_destroy(&waiter->mutex);
    return waiter->reply;
}

/* ---- arguments ---- */

static bool check_batch(size_t count, const void *elements, struct status *status)
{
    if (count < 1 || count > TRIGGERS_MAX_BATCH)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "BATCH_SIZE_INVALID",
                           "a batch has 1 to %d elements, not %zu", TRIGGERS_MAX_BATCH, count);
    return elements || status_fail(status, STATUS_INVALID_ARGUMENT, "BATCH_SIZE_INVALID",
                                   "the batch's elements are NULL");
}

static bool check_id(const char *event_id, struct status *status)
{
    return event_id || status_fail(status, STATUS_INVALID_ARGUMENT, "EVENT_ID_INVALID",
                                   "an event id is NULL; accepted is \"evt_\" and 26 characters");
}

static bool check_event(const triggers_new_event *event, struct status *status)
{
    if (!event)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "EVENT_MISSING", "the event is NULL");
    if (!event->source)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "SOURCE_INVALID",
                           "an event's source is NULL");
    if (!event->event_type)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "EVENT_TYPE_INVALID",
                           "an event's event_type is NULL");
    if (!event->payload)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "PAYLOAD_INVALID",
                           "an event's payload is NULL");
    return !event->deliver_at_us || !event->delay_seconds ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "DELIVERY_INVALID",
                       "an event has a deliver_at and a delay; accepted is one of both");
}

static bool check_names(const char *const *names, size_t count, struct status *status)
{
    for (size_t i = 0; i < count; i++) {
        if (!names || !names[i])
            return status_fail(status, STATUS_INVALID_ARGUMENT, "FILTER_INVALID",
                               "a name in the filter is NULL");
    }
    return true;
}

static bool check_filter(const triggers_filter *filter, struct status *status)
{
    return check_names(filter->sources, filter->source_count, status) &&
           check_names(filter->event_types, filter->event_type_count, status);
}

/* Starts the call, or ends it when there is no client or its arguments are `wrong` (NULL: they are
 * not); `request` is not used then. */
static void start(triggers_client *client, const struct invocation *call,
                  const ProtobufCMessage *request, const struct status *wrong)
{
    struct status missing;
    if (client && !wrong) {
        invocation_start(client, call, request);
        return;
    }
    if (!client)
        status_fail(&missing, STATUS_INVALID_ARGUMENT, "CLIENT_MISSING",
                    "the client is NULL; open one with triggers_client_open");
    invocation_refuse(call, client ? wrong : &missing);
}

/* ---- create ---- */

/* The time as a message in `storage`; NULL for none. */
static Google__Protobuf__Timestamp *fill_time(int64_t time_us, Google__Protobuf__Timestamp *storage)
{
    *storage = (Google__Protobuf__Timestamp)GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    storage->seconds = time_us / 1000000 - (time_us % 1000000 < 0);
    storage->nanos = (int32_t)(time_us - storage->seconds * 1000000) * 1000;
    return time_us ? storage : NULL;
}

/* Room for what an event does not bring as a message has it. */
struct create_parts {
    char made_id[TRIGGERS_ID_SIZE]; /* when it brings no id */
    Google__Protobuf__Timestamp deliver_at;
};

/* Generated members are not const, but packing only reads them. */
static void fill_delivery(const triggers_new_event *event, struct create_parts *parts,
                          CreateRequest *request)
{
    if (event->ordering_key)
        request->ordering_key = (char *)event->ordering_key;
    if (event->deliver_at_us) {
        request->delivery_case = TRIGGERS__V1__CREATE_EVENT_REQUEST__DELIVERY_DELIVER_AT;
        request->deliver_at = fill_time(event->deliver_at_us, &parts->deliver_at);
    } else if (event->delay_seconds) {
        request->delivery_case = TRIGGERS__V1__CREATE_EVENT_REQUEST__DELIVERY_DELAY_SECONDS;
        request->delay_seconds = event->delay_seconds;
    }
}

static void fill_create(const triggers_new_event *event, struct create_parts *parts,
                        CreateRequest *request)
{
    *request = (CreateRequest)TRIGGERS__V1__CREATE_EVENT_REQUEST__INIT;
    bool keyed = event->idempotency_key && event->idempotency_key[0];
    parts->made_id[0] = '\0';
    if (!event->event_id && !keyed)
        triggers_make_event_id(parts->made_id);
    request->event_id = event->event_id ? (char *)event->event_id : parts->made_id;
    if (keyed)
        request->idempotency_key = (char *)event->idempotency_key;
    request->source = (char *)event->source;
    request->event_type = (char *)event->event_type;
    request->payload =
        (ProtobufCBinaryData){.len = event->payload_size, .data = (uint8_t *)event->payload};
    fill_delivery(event, parts, request);
}

void triggers_create_async(triggers_client *client, const triggers_new_event *event,
                           const triggers_call_options *options, triggers_callback *callback,
                           void *user_data)
{
    struct invocation call = {&reply_methods[API_CREATE_EVENT], options, 0, callback, user_data};
    struct status status;
    struct create_parts parts;
    CreateRequest request;
    bool good = check_event(event, &status);
    if (good)
        fill_create(event, &parts, &request);
    start(client, &call, &request.base, good ? NULL : &status);
}

/* The storage of a batch's request. */
struct create_batch {
    CreateRequest request;
    struct create_parts parts;
};

static bool check_events(const triggers_new_event *events, size_t count, struct status *status)
{
    if (!check_batch(count, events, status))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!check_event(&events[i], status))
            return false;
    }
    return true;
}

static void start_create_batch(triggers_client *client, const struct invocation *call,
                               const triggers_new_event *events, size_t count)
{
    struct create_batch *batch = calloc(count, sizeof(*batch));
    CreateRequest **requests = calloc(count, sizeof(*requests));
    Triggers__V1__BatchCreateEventsRequest request =
        TRIGGERS__V1__BATCH_CREATE_EVENTS_REQUEST__INIT;
    struct status status;
    bool good = batch && requests;
    if (!good)
        status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the batch");
    for (size_t i = 0; good && i < count; i++) {
        fill_create(&events[i], &batch[i].parts, &batch[i].request);
        requests[i] = &batch[i].request;
    }
    request.n_events = count;
    request.events = requests;
    start(client, call, &request.base, good ? NULL : &status);
    free(requests);
    free(batch);
}

void triggers_create_batch_async(triggers_client *client, const triggers_new_event *events,
                                 size_t count, const triggers_call_options *options,
                                 triggers_callback *callback, void *user_data)
{
    struct invocation call = {&reply_methods[API_BATCH_CREATE_EVENTS], options, count, callback,
                              user_data};
    struct status status;
    if (check_events(events, count, &status))
        start_create_batch(client, &call, events, count);
    else
        start(client, &call, NULL, &status);
}

/* ---- read ---- */

void triggers_get_async(triggers_client *client, const char *event_id,
                        const triggers_call_options *options, triggers_callback *callback,
                        void *user_data)
{
    struct invocation call = {&reply_methods[API_GET_EVENT], options, 0, callback, user_data};
    Triggers__V1__GetEventRequest request = TRIGGERS__V1__GET_EVENT_REQUEST__INIT;
    struct status status;
    request.event_id = (char *)event_id;
    start(client, &call, &request.base, check_id(event_id, &status) ? NULL : &status);
}

/* The storage of a filter's message. */
struct filter {
    Triggers__V1__EventFilter message;
    Google__Protobuf__Timestamp from_time;
    Google__Protobuf__Timestamp until_time;
};

/* The filter as a message in `storage`; NULL for none. */
static Triggers__V1__EventFilter *fill_filter(const triggers_filter *from, struct filter *storage)
{
    bool any = from->source_count || from->event_type_count || from->from_us || from->until_us;
    Triggers__V1__EventFilter *to = &storage->message;
    *to = (Triggers__V1__EventFilter)TRIGGERS__V1__EVENT_FILTER__INIT;
    to->sources = (char **)from->sources;
    to->n_sources = from->source_count;
    to->event_types = (char **)from->event_types;
    to->n_event_types = from->event_type_count;
    to->from_time = fill_time(from->from_us, &storage->from_time);
    to->until_time = fill_time(from->until_us, &storage->until_time);
    return any ? to : NULL;
}

void triggers_list_async(triggers_client *client, const triggers_list_request *request,
                         const triggers_call_options *options, triggers_callback *callback,
                         void *user_data)
{
    static const triggers_list_request defaults;
    struct invocation call = {&reply_methods[API_LIST_INBOX], options, 0, callback, user_data};
    if (!request)
        request = &defaults;
    Triggers__V1__ListInboxRequest message = TRIGGERS__V1__LIST_INBOX_REQUEST__INIT;
    message.status = (Triggers__V1__EventStatus)request->status;
    message.page_size = request->page_size;
    message.page_token = (char *)request->page_token;
    message.order = request->oldest_first ? TRIGGERS__V1__SORT_ORDER__SORT_ORDER_OLDEST_FIRST
                                          : TRIGGERS__V1__SORT_ORDER__SORT_ORDER_NEWEST_FIRST;
    struct filter filter;
    message.filter = fill_filter(&request->filter, &filter);
    struct status status;
    start(client, &call, &message.base, check_filter(&request->filter, &status) ? NULL : &status);
}

void triggers_list_events_async(triggers_client *client, const triggers_log_request *request,
                                const triggers_call_options *options, triggers_callback *callback,
                                void *user_data)
{
    static const triggers_log_request defaults;
    if (!request)
        request = &defaults;
    struct invocation call = {&reply_methods[API_LIST_EVENTS], options, 0, callback, user_data};
    Triggers__V1__ListEventsRequest message = TRIGGERS__V1__LIST_EVENTS_REQUEST__INIT;
    message.after_sequence = request->after_sequence;
    message.page_size = request->page_size;
    message.wait_ms = request->wait_ms;
    struct filter filter;
    message.filter = fill_filter(&request->filter, &filter);
    struct status status;
    start(client, &call, &message.base, check_filter(&request->filter, &status) ? NULL : &status);
}

void triggers_list_kinds_async(triggers_client *client, const triggers_kinds_request *request,
                               const triggers_call_options *options, triggers_callback *callback,
                               void *user_data)
{
    struct invocation call = {&reply_methods[API_LIST_KINDS], options, 0, callback, user_data};
    Triggers__V1__ListKindsRequest message = TRIGGERS__V1__LIST_KINDS_REQUEST__INIT;
    if (request) {
        message.page_size = request->page_size;
        message.page_token = (char *)request->page_token;
    }
    start(client, &call, &message.base, NULL);
}

/* ---- acknowledge ---- */

void triggers_ack_async(triggers_client *client, const char *event_id,
                        const triggers_call_options *options, triggers_callback *callback,
                        void *user_data)
{
    struct invocation call = {&reply_methods[API_ACK_EVENT], options, 0, callback, user_data};
    Triggers__V1__AckEventRequest request = TRIGGERS__V1__ACK_EVENT_REQUEST__INIT;
    struct status status;
    request.event_id = (char *)event_id;
    start(client, &call, &request.base, check_id(event_id, &status) ? NULL : &status);
}

static bool check_ids(const char *const *event_ids, size_t count, struct status *status)
{
    if (!check_batch(count, event_ids, status))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!check_id(event_ids[i], status))
            return false;
    }
    return true;
}

void triggers_ack_batch_async(triggers_client *client, const char *const *event_ids, size_t count,
                              const triggers_call_options *options, triggers_callback *callback,
                              void *user_data)
{
    struct invocation call = {&reply_methods[API_BATCH_ACK_EVENTS], options, count, callback,
                              user_data};
    Triggers__V1__BatchAckEventsRequest request = TRIGGERS__V1__BATCH_ACK_EVENTS_REQUEST__INIT;
    struct status status;
    request.n_event_ids = count;
    request.event_ids = (char **)event_ids;
    start(client, &call, &request.base, check_ids(event_ids, count, &status) ? NULL : &status);
}

/* ---- erase ---- */

void triggers_erase_async(triggers_client *client, const char *event_id,
                          const triggers_call_options *options, triggers_callback *callback,
                          void *user_data)
{
    struct invocation call = {&reply_methods[API_ERASE_EVENT], options, 0, callback, user_data};
    Triggers__V1__EraseEventRequest request = TRIGGERS__V1__ERASE_EVENT_REQUEST__INIT;
    struct status status;
    request.event_id = (char *)event_id;
    start(client, &call, &request.base, check_id(event_id, &status) ? NULL : &status);
}

/* ---- health, stats and any other ---- */

void triggers_health_async(triggers_client *client, const triggers_call_options *options,
                           triggers_callback *callback, void *user_data)
{
    struct invocation call = {&reply_methods[API_CHECK], options, 0, callback, user_data};
    Triggers__Health__V1__HealthCheckRequest request =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    start(client, &call, &request.base, NULL);
}

void triggers_stats_async(triggers_client *client, const triggers_call_options *options,
                          triggers_callback *callback, void *user_data)
{
    struct invocation call = {&reply_methods[API_GET_STATS], options, 0, callback, user_data};
    Triggers__Stats__V1__GetStatsRequest request = TRIGGERS__STATS__V1__GET_STATS_REQUEST__INIT;
    start(client, &call, &request.base, NULL);
}

void triggers_call_async(triggers_client *client, const char *method,
                         const ProtobufCMessage *request, const triggers_call_options *options,
                         triggers_callback *callback, void *user_data)
{
    struct method any = {api_find_method(method), reply_read_message};
    struct invocation call = {&any, options, 0, callback, user_data};
    struct status status;
    bool good =
        any.api && request && strcmp(request->descriptor->name, any.api->request->name) == 0;
    if (!any.api)
        status_fail(&status, STATUS_INVALID_ARGUMENT, "METHOD_UNKNOWN",
                    "this client knows no such method; methods are named package.Service/Method");
    else if (!good)
        status_fail(&status, STATUS_INVALID_ARGUMENT, "REQUEST_INVALID",
                    "the request is not of the method; accepted is a %s", any.api->request->name);
    start(client, &call, request, good ? NULL : &status);
}

/* ---- synchronous ---- */

triggers_reply *triggers_create(triggers_client *client, const triggers_new_event *event,
                                const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_create_async(client, event, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_create_batch(triggers_client *client, const triggers_new_event *events,
                                      size_t count, const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_create_batch_async(client, events, count, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_get(triggers_client *client, const char *event_id,
                             const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_get_async(client, event_id, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_list(triggers_client *client, const triggers_list_request *request,
                              const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_list_async(client, request, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_list_events(triggers_client *client, const triggers_log_request *request,
                                     const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_list_events_async(client, request, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_list_kinds(triggers_client *client, const triggers_kinds_request *request,
                                    const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_list_kinds_async(client, request, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_ack(triggers_client *client, const char *event_id,
                             const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_ack_async(client, event_id, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_ack_batch(triggers_client *client, const char *const *event_ids,
                                   size_t count, const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_ack_batch_async(client, event_ids, count, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_erase(triggers_client *client, const char *event_id,
                               const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_erase_async(client, event_id, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_health(triggers_client *client, const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_health_async(client, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_stats(triggers_client *client, const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_stats_async(client, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}

triggers_reply *triggers_call(triggers_client *client, const char *method,
                              const ProtobufCMessage *request, const triggers_call_options *options)
{
    struct waiter waiter = WAITER_INIT;
    triggers_call_async(client, method, request, options, waiter_finish, &waiter);
    return waiter_wait(&waiter);
}
