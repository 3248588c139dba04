/* Requests from values, values from replies. */
#include "calls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/clock.h"
#include "messages.h"
#include "shift.h"
#include "triggers/health/v1/health.pb-c.h"
#include "triggers/stats/v1/stats.pb-c.h"

#define MAX_TIMES 1024
#define MAX_NAMES 1024 /* of a filter */

/* A call that is to be made, and what came of it. */
struct task {
    triggers_client *client;
    const char *method;
    const struct value *request;
    triggers_call_options options;
    triggers_reply *reply;
    triggers_inbox *inbox;              /* of list_all, instead of a reply */
    triggers_follower *follower;        /* of follow, in the same way */
    struct shift *shift;                /* of work, in the same way */
    const triggers_client_options *how; /* the client was opened */
    struct value *all;                  /* its events */
    struct arena *arena;                /* for `all`; neither is made in parallel */
    int64_t elapsed_ms;
};

/* ---- requests ---- */

static triggers_new_event new_event(const struct value *event)
{
    const struct value *payload = value_member(event, "payload");
    return (triggers_new_event){
        .event_id = value_member_text(event, "event_id"),
        .idempotency_key = value_member_text(event, "idempotency_key"),
        .source = value_member_text(event, "source"),
        .event_type = value_member_text(event, "event_type"),
        .payload = payload->text,
        .payload_size = payload->size,
        .ordering_key = value_member_text(event, "ordering_key"),
        .deliver_at_us = value_member_number(event, "deliver_at", 0),
        .delay_seconds = (uint32_t)value_member_number(event, "delay_seconds", 0),
    };
}

static triggers_reply *create_batch(const struct task *task)
{
    const struct value *list = value_member(task->request, "events");
    triggers_new_event *events = calloc(list->count + 1, sizeof(*events));
    for (size_t i = 0; i < list->count; i++)
        events[i] = new_event(list->items[i]);
    triggers_reply *reply =
        triggers_create_batch(task->client, events, list->count, &task->options);
    free(events);
    return reply;
}

static triggers_reply *ack_batch(const struct task *task)
{
    const struct value *list = value_member(task->request, "event_ids");
    const char **ids = calloc(list->count + 1, sizeof(*ids));
    for (size_t i = 0; i < list->count; i++)
        ids[i] = list->items[i]->text;
    triggers_reply *reply = triggers_ack_batch(task->client, ids, list->count, &task->options);
    free(ids);
    return reply;
}

/* The names of a request's filter. */
struct filter_names {
    const char *sources[MAX_NAMES];
    const char *event_types[MAX_NAMES];
};

static size_t copy_names(const struct value *list, const char *names[MAX_NAMES])
{
    for (size_t i = 0; i < list->count; i++)
        names[i] = list->items[i]->text;
    return list->count;
}

static triggers_filter new_filter(const struct value *request, struct filter_names *names)
{
    const struct value *filter = value_member(request, "filter");
    return (triggers_filter){
        .sources = names->sources,
        .source_count = copy_names(value_member(filter, "sources"), names->sources),
        .event_types = names->event_types,
        .event_type_count = copy_names(value_member(filter, "event_types"), names->event_types),
        .from_us = value_member_number(filter, "from_time", 0),
        .until_us = value_member_number(filter, "until_time", 0),
    };
}

static triggers_list_request list_request(const struct value *request, struct filter_names *names)
{
    const char *status = value_member_text(request, "status");
    const char *order = value_member_text(request, "order");
    return (triggers_list_request){
        .status = !status                          ? TRIGGERS_STATUS_UNSPECIFIED
                  : strcmp(status, "PENDING") == 0 ? TRIGGERS_STATUS_PENDING
                                                   : TRIGGERS_STATUS_ACKNOWLEDGED,
        .page_size = (int32_t)value_member_number(request, "page_size", 0),
        .page_token = value_member_text(request, "page_token"),
        .oldest_first = order && strcmp(order, "OLDEST_FIRST") == 0,
        .filter = new_filter(request, names),
    };
}

static triggers_log_request log_request(const struct value *request, struct filter_names *names)
{
    return (triggers_log_request){
        .after_sequence = value_member_number(request, "after", 0),
        .page_size = (int32_t)value_member_number(request, "page_size", 0),
        .wait_ms = (uint32_t)value_member_number(request, "wait_ms", 0),
        .filter = new_filter(request, names),
    };
}

static triggers_reply *list_events(const struct task *task)
{
    struct filter_names names;
    triggers_log_request request = log_request(task->request, &names);
    return triggers_list_events(task->client, &request, &task->options);
}

static triggers_reply *list_kinds(const struct task *task)
{
    triggers_kinds_request request = {
        .page_size = (int32_t)value_member_number(task->request, "page_size", 0),
        .page_token = value_member_text(task->request, "page_token"),
    };
    return triggers_list_kinds(task->client, &request, &task->options);
}

/* ---- outcomes ---- */

static void set_time(struct arena *arena, struct value *object, const char *name, int64_t time_us)
{
    value_set(arena, object, name, time_us ? value_number(arena, time_us) : &value_null);
}

static struct value *event_value(struct arena *arena, const triggers_event *event)
{
    struct value *value = value_new(arena, VALUE_OBJECT);
    bool acked = event->status == TRIGGERS_STATUS_ACKNOWLEDGED;
    value_set(arena, value, "event_id", value_text(arena, event->event_id));
    value_set(arena, value, "source", value_text(arena, event->source));
    value_set(arena, value, "event_type", value_text(arena, event->event_type));
    value_set(arena, value, "payload", value_bytes(arena, event->payload, event->payload_size));
    value_set(arena, value, "status", value_text(arena, acked ? "ACKNOWLEDGED" : "PENDING"));
    set_time(arena, value, "created_at", event->created_at_us);
    set_time(arena, value, "acknowledged_at", event->acknowledged_at_us);
    value_set(arena, value, "sequence", value_number(arena, event->sequence));
    struct value *erased = value_new(arena, VALUE_BOOLEAN);
    erased->number = event->payload_erased;
    value_set(arena, value, "payload_erased", erased);
    value_set(arena, value, "ordering_key", value_text(arena, event->ordering_key));
    set_time(arena, value, "deliver_at", event->deliver_at_us);
    return value;
}

static struct value *error_value(struct arena *arena, const triggers_error *error)
{
    struct value *value = value_new(arena, VALUE_OBJECT);
    struct value *fields = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < error->violation_count; i++)
        value_push(arena, fields, value_text(arena, error->violations[i].field));
    value_set(arena, value, "code", value_text(arena, triggers_code_name(error->code)));
    value_set(arena, value, "reason", value_text(arena, error->reason));
    value_set(arena, value, "message", value_text(arena, error->message));
    value_set(arena, value, "fields", fields);
    value_set(arena, value, "retry_delay_ms", value_number(arena, error->retry_delay_ms));
    value_set(arena, value, "first_sequence", value_number(arena, error->first_sequence));
    struct value *retryable = value_new(arena, VALUE_BOOLEAN);
    retryable->number = triggers_code_is_retryable(error->code);
    value_set(arena, value, "retryable", retryable);
    return value;
}

static struct value *items_value(struct arena *arena, const triggers_reply *reply)
{
    struct value *list = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < reply->item_count; i++) {
        const triggers_item *item = &reply->items[i];
        struct value *value = event_value(arena, &item->event);
        if (item->error.code != TRIGGERS_OK) {
            value = value_new(arena, VALUE_OBJECT);
            value_set(arena, value, "error", error_value(arena, &item->error));
        }
        value_push(arena, list, value);
    }
    return list;
}

static struct value *kinds_value(struct arena *arena, const triggers_reply *reply)
{
    struct value *list = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < reply->kind_count; i++) {
        struct value *value = value_new(arena, VALUE_OBJECT);
        value_set(arena, value, "source", value_text(arena, reply->kinds[i].source));
        value_set(arena, value, "event_type", value_text(arena, reply->kinds[i].event_type));
        value_push(arena, list, value);
    }
    return list;
}

static struct value *health_value(struct arena *arena, const triggers_reply *reply)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING"};
    struct value *value = value_new(arena, VALUE_OBJECT);
    value_set(arena, value, "status", value_text(arena, names[reply->serving]));
    value_set(arena, value, "version", value_text(arena, reply->server_version));
    value_set(arena, value, "store", value_text(arena, reply->server_store));
    return value;
}

static struct value *check_value(struct arena *arena, const ProtobufCMessage *message)
{
    const ProtobufCEnumDescriptor *statuses =
        &triggers__health__v1__health_check_response__serving_status__descriptor;
    const Triggers__Health__V1__HealthCheckResponse *response = (const void *)message;
    const ProtobufCEnumValue *status =
        protobuf_c_enum_descriptor_get_value(statuses, (int)response->status);
    struct value *value = value_new(arena, VALUE_OBJECT);
    value_set(arena, value, "status", value_text(arena, status ? status->name : ""));
    value_set(arena, value, "version", value_text(arena, response->version));
    value_set(arena, value, "store", value_text(arena, response->store));
    return value;
}

static struct value *stats_value(struct arena *arena, const ProtobufCMessage *message)
{
    const Triggers__Stats__V1__GetStatsResponse *response = (const void *)message;
    struct value *value = value_new(arena, VALUE_OBJECT);
    value_set(arena, value, "text", value_text(arena, response->text));
    return value;
}

static const struct value *message_value(struct arena *arena, const ProtobufCMessage *message)
{
    char *text = messages_write(message);
    const struct value *value = value_parse(arena, text, strlen(text));
    free(text);
    return value;
}

static const struct value *response_value(struct arena *arena, const struct task *task)
{
    const triggers_reply *reply = task->reply;
    const char *method = task->method;
    struct value *value = value_new(arena, VALUE_OBJECT);
    if (strchr(method, '/'))
        return message_value(arena, reply->message);
    if (strcmp(method, "list_all") == 0)
        value_set(arena, value, "events", task->all);
    else if (strcmp(method, "follow") == 0) {
        int64_t position = triggers_follower_position(task->follower);
        value_set(arena, value, "events", task->all);
        value_set(arena, value, "next_after", value_number(arena, position));
    } else if (strcmp(method, "work") == 0)
        value_set(arena, value, "deliveries", shift_deliveries(arena, task->shift));
    else if (strcmp(method, "health") == 0)
        return health_value(arena, reply);
    else if (strcmp(method, "check") == 0)
        return check_value(arena, reply->message);
    else if (strcmp(method, "stats") == 0)
        return stats_value(arena, reply->message);
    else if (strcmp(method, "list") == 0) {
        value_set(arena, value, "events", items_value(arena, reply));
        value_set(arena, value, "next_page_token", value_text(arena, reply->next_page_token));
    } else if (strcmp(method, "list_events") == 0) {
        value_set(arena, value, "events", items_value(arena, reply));
        value_set(arena, value, "next_after", value_number(arena, reply->next_after));
        value_set(arena, value, "first_sequence", value_number(arena, reply->first_sequence));
    } else if (strcmp(method, "list_kinds") == 0) {
        value_set(arena, value, "kinds", kinds_value(arena, reply));
        value_set(arena, value, "next_page_token", value_text(arena, reply->next_page_token));
    } else if (strstr(method, "_batch"))
        value_set(arena, value, "results", items_value(arena, reply));
    else
        return event_value(arena, &reply->items[0].event);
    return value;
}

static struct value *outcome_value(struct arena *arena, const struct task *task)
{
    const triggers_error *error = task->inbox      ? triggers_inbox_error(task->inbox)
                                  : task->follower ? triggers_follower_error(task->follower)
                                  : task->shift    ? shift_error(task->shift)
                                                   : &task->reply->error;
    struct value *outcome = error_value(arena, error);
    if (error->code == TRIGGERS_OK)
        value_set(arena, outcome, "response", response_value(arena, task));
    value_set(arena, outcome, "elapsed_ms", value_number(arena, task->elapsed_ms));
    return outcome;
}

/* ---- making calls ---- */

static void walk(struct task *task)
{
    struct filter_names names;
    triggers_list_request request = list_request(task->request, &names);
    task->inbox = triggers_inbox_open(task->client, &request, &task->options);
    task->all = value_new(task->arena, VALUE_LIST);
    const triggers_event *event;
    while ((event = triggers_inbox_next(task->inbox)))
        value_push(task->arena, task->all, event_value(task->arena, event));
}

static void follow(struct task *task)
{
    struct filter_names names;
    triggers_log_request request = log_request(task->request, &names);
    task->follower = triggers_follower_open(task->client, &request, &task->options);
    task->all = value_new(task->arena, VALUE_LIST);
    int64_t count = value_member_number(task->request, "count", 1);
    const triggers_event *event;
    while ((int64_t)task->all->count < count && (event = triggers_follower_next(task->follower)))
        value_push(task->arena, task->all, event_value(task->arena, event));
}

/* Where the callback of a generic call leaves the reply. */
struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    triggers_reply *reply;
};

static void fill(triggers_reply *reply, void *data)
{
    struct mailbox *mailbox = data;
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->reply = reply;
    pthread_cond_signal(&mailbox->filled);
    pthread_mutex_unlock(&mailbox->mutex);
}

static triggers_reply *call_any(const struct task *task, const char *method,
                                const ProtobufCMessage *request)
{
    struct mailbox mailbox = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    triggers_call_async(task->client, method, request, &task->options, fill, &mailbox);
    pthread_mutex_lock(&mailbox.mutex);
    while (!mailbox.reply)
        pthread_cond_wait(&mailbox.filled, &mailbox.mutex);
    pthread_mutex_unlock(&mailbox.mutex);
    return mailbox.reply;
}

static triggers_reply *check(const struct task *task)
{
    Triggers__Health__V1__HealthCheckRequest request =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)value_member_text(task->request, "service");
    return call_any(task, "triggers.health.v1.Health/Check", &request.base);
}

static triggers_reply *get_stats(const struct task *task)
{
    Triggers__Stats__V1__GetStatsRequest request = TRIGGERS__STATS__V1__GET_STATS_REQUEST__INIT;
    return call_any(task, "triggers.stats.v1.StatsService/GetStats", &request.base);
}

/* The generic call of a method of triggers.v1 by its name in the scenario. */
static triggers_reply *call_by_name(const struct task *task)
{
    char name[128];
    snprintf(name, sizeof(name), "triggers.v1.%s", task->method);
    const struct api_method *method = api_find_method(name);
    if (!method) {
        fprintf(stderr, "no method is called %s\n", name);
        exit(1);
    }
    struct buffer text;
    buffer_init(&text, (size_t)1 << 28);
    value_write(&text, task->request);
    ProtobufCMessage *request = messages_read(method->request, text.data, text.size);
    buffer_fini(&text);
    triggers_reply *reply = triggers_call(task->client, name, request, &task->options);
    protobuf_c_message_free_unpacked(request, NULL);
    return reply;
}

static triggers_reply *make(const struct task *task)
{
    if (strchr(task->method, '/'))
        return call_by_name(task);
    triggers_client *client = task->client;
    const triggers_call_options *options = &task->options;
    const char *event_id = value_member_text(task->request, "event_id");
    if (strcmp(task->method, "create") == 0) {
        triggers_new_event event = new_event(task->request);
        return triggers_create(client, &event, options);
    }
    if (strcmp(task->method, "list") == 0) {
        struct filter_names names;
        triggers_list_request request = list_request(task->request, &names);
        return triggers_list(client, &request, options);
    }
    if (strcmp(task->method, "list_events") == 0)
        return list_events(task);
    if (strcmp(task->method, "list_kinds") == 0)
        return list_kinds(task);
    if (strcmp(task->method, "get") == 0)
        return triggers_get(client, event_id, options);
    if (strcmp(task->method, "ack") == 0)
        return triggers_ack(client, event_id, options);
    if (strcmp(task->method, "erase") == 0)
        return triggers_erase(client, event_id, options);
    if (strcmp(task->method, "create_batch") == 0)
        return create_batch(task);
    if (strcmp(task->method, "ack_batch") == 0)
        return ack_batch(task);
    if (strcmp(task->method, "health") == 0)
        return triggers_health(client, options);
    if (strcmp(task->method, "check") == 0)
        return check(task);
    if (strcmp(task->method, "stats") == 0)
        return get_stats(task);
    fprintf(stderr, "no method is called %s\n", task->method);
    exit(1);
}

static void *run(void *data)
{
    struct task *task = data;
    int64_t start = clock_monotonic_ms();
    if (strcmp(task->method, "list_all") == 0)
        walk(task);
    else if (strcmp(task->method, "follow") == 0)
        follow(task);
    else if (strcmp(task->method, "work") == 0)
        task->shift = shift_work(task->client, task->how, task->request);
    else
        task->reply = make(task);
    task->elapsed_ms = clock_monotonic_ms() - start;
    return NULL;
}

static void run_parallel(struct task *tasks, size_t times)
{
    pthread_t threads[MAX_TIMES];
    for (size_t i = 0; i < times; i++) {
        if (pthread_create(&threads[i], NULL, run, &tasks[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < times; i++)
        pthread_join(threads[i], NULL);
}

const struct value *calls_make(struct arena *arena, triggers_client *client,
                               const triggers_client_options *how, const char *method,
                               const struct value *request, uint32_t timeout_ms, size_t times,
                               bool parallel)
{
    struct task tasks[MAX_TIMES] = {0};
    for (size_t i = 0; i < times; i++)
        tasks[i] = (struct task){.client = client,
                                 .how = how,
                                 .method = method,
                                 .request = request,
                                 .options = {.timeout_ms = timeout_ms},
                                 .arena = arena};
    if (parallel)
        run_parallel(tasks, times);
    for (size_t i = 0; !parallel && i < times; i++)
        run(&tasks[i]);
    struct value *outcomes = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < times; i++) {
        value_push(arena, outcomes, outcome_value(arena, &tasks[i]));
        triggers_reply_free(tasks[i].reply);
        triggers_inbox_close(tasks[i].inbox);
        triggers_follower_close(tasks[i].follower);
        shift_free(tasks[i].shift);
    }
    return outcomes;
}
