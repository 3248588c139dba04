/* Answers as scripted_core.h says. A request may be answered at any time or never: those that are
 * held are kept with where their answers go. */
#include "scripted_core.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "link_core.h"
#include "scripted_answers.h"
#include "triggers/v1/events.pb-c.h"

#define WAIT_SECONDS 10

typedef Triggers__Rpc__V1__Request Request;
typedef Triggers__Rpc__V1__Response Response;

struct held {
    struct link_asker asker;
    Request *request;
};

struct scripted_core {
    struct link_core *links;
    atomic_int tries; /* of requests that are to be tried again */
    pthread_mutex_t mutex;
    pthread_cond_t received;
    size_t count;
    struct scripted_request last;
    struct held *held;
    size_t held_count;
};

/* ---- answers ---- */

/* Uses up the response's body. */
static void send_response(const struct link_asker *asker, Response *response)
{
    size_t size = triggers__rpc__v1__response__get_packed_size(response);
    uint8_t *bytes = malloc(size + 1);
    must(bytes != NULL);
    triggers__rpc__v1__response__pack(response, bytes);
    link_core_answer(asker, bytes, size);
    free(bytes);
    free(response->body.data);
}

static void send_error(const struct link_asker *asker, int code, const char *reason)
{
    Triggers__Rpc__V1__FieldViolation violation = TRIGGERS__RPC__V1__FIELD_VIOLATION__INIT;
    violation.field = "source";
    violation.description = "must not be odd";
    Triggers__Rpc__V1__FieldViolation *violations[] = {&violation};
    Triggers__Rpc__V1__ErrorDetails details = TRIGGERS__RPC__V1__ERROR_DETAILS__INIT;
    details.reason = (char *)reason;
    details.retry_delay_ms = 7;
    details.n_field_violations = 1;
    details.field_violations = violations;
    Response response = TRIGGERS__RPC__V1__RESPONSE__INIT;
    response.code = (Triggers__Rpc__V1__Code)code;
    response.message = "source is odd";
    response.details = &details;
    send_response(asker, &response);
}

static void send_good(const struct link_asker *asker, const Request *request)
{
    Triggers__Rpc__V1__Response__MetadataEntry id =
        TRIGGERS__RPC__V1__RESPONSE__METADATA_ENTRY__INIT;
    id.key = "request-id";
    id.value = "from-the-core";
    Triggers__Rpc__V1__Response__MetadataEntry *entries[] = {&id};
    Response response = TRIGGERS__RPC__V1__RESPONSE__INIT;
    response.n_metadata = 1;
    response.metadata = entries;
    answer_well(request, &response);
    send_response(asker, &response);
}

static void send_body(const struct link_asker *asker, const char *body)
{
    Response response = TRIGGERS__RPC__V1__RESPONSE__INIT;
    response.body.len = strlen(body);
    response.body.data = (uint8_t *)strdup(body);
    send_response(asker, &response);
}

/* ---- requests ---- */

static const char *find_metadata(const Request *request, const char *key)
{
    for (size_t i = 0; i < request->n_metadata; i++) {
        if (strcmp(request->metadata[i]->key, key) == 0)
            return request->metadata[i]->value;
    }
    return "";
}

static void read_event_id(const Request *request, char *out, size_t size)
{
    if (!strstr(request->method, "/CreateEvent"))
        return;
    Triggers__V1__CreateEventRequest *create =
        triggers__v1__create_event_request__unpack(NULL, request->body.len, request->body.data);
    must(create != NULL);
    snprintf(out, size, "%s", create->event_id);
    triggers__v1__create_event_request__free_unpacked(create, NULL);
}

static void record(struct scripted_core *core, const Request *request, size_t size)
{
    struct scripted_request last = {.timeout_ms = request->timeout_ms, .size = size};
    snprintf(last.method, sizeof(last.method), "%s", request->method);
    snprintf(last.request_id, sizeof(last.request_id), "%s", find_metadata(request, "request-id"));
    snprintf(last.traceparent, sizeof(last.traceparent), "%s",
             find_metadata(request, "traceparent"));
    snprintf(last.caller, sizeof(last.caller), "%s", find_metadata(request, "caller"));
    snprintf(last.authorization, sizeof(last.authorization), "%s",
             find_metadata(request, "authorization"));
    snprintf(last.address, sizeof(last.address), "%s", find_metadata(request, "address"));
    snprintf(last.client, sizeof(last.client), "%s", find_metadata(request, "client"));
    read_event_id(request, last.event_id, sizeof(last.event_id));
    pthread_mutex_lock(&core->mutex);
    core->last = last;
    pthread_mutex_unlock(&core->mutex);
}

static void count(struct scripted_core *core)
{
    pthread_mutex_lock(&core->mutex);
    core->count++;
    pthread_cond_broadcast(&core->received);
    pthread_mutex_unlock(&core->mutex);
}

static void free_request(Request *request)
{
    triggers__rpc__v1__request__free_unpacked(request, NULL);
}

/* Keeps the request. */
static void hold(struct scripted_core *core, const struct link_asker *asker, Request *request)
{
    pthread_mutex_lock(&core->mutex);
    core->held = realloc(core->held, (core->held_count + 1) * sizeof(struct held));
    must(core->held != NULL);
    core->held[core->held_count++] = (struct held){*asker, request};
    pthread_mutex_unlock(&core->mutex);
}

/* Uses up the request. */
static void act(struct scripted_core *core, const struct link_asker *asker, Request *request)
{
    const char *script = find_metadata(request, "request-id");
    if (strcmp(script, "hold") == 0) {
        hold(core, asker, request);
        return;
    }
    if (strcmp(script, "error") == 0)
        send_error(asker, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT, "SOURCE_ODD");
    else if (strcmp(script, "future") == 0)
        send_error(asker, 99, "SOURCE_ODD");
    else if (strcmp(script, "busy") == 0 && core->tries++ == 0)
        send_error(asker, TRIGGERS__RPC__V1__CODE__UNAVAILABLE, "BUSY");
    else if (strcmp(script, "stopping") == 0)
        send_error(asker, TRIGGERS__RPC__V1__CODE__UNAVAILABLE, "STOPPING");
    else if (strcmp(script, "keyed") == 0 &&
             strcmp(find_metadata(request, "authorization"), "Bearer second") != 0)
        send_error(asker, TRIGGERS__RPC__V1__CODE__UNAUTHENTICATED, "KEY_INVALID");
    else if (strcmp(script, "denied") == 0)
        send_error(asker, TRIGGERS__RPC__V1__CODE__PERMISSION_DENIED, "SCOPE_MISSING");
    else if (strcmp(script, "garbage") == 0)
        link_core_answer(asker, "\xff\xff\xff", 3);
    else if (strcmp(script, "bad-body") == 0)
        send_body(asker, "\xff\xff\xff");
    else if (strcmp(script, "no-items") == 0)
        send_body(asker, "");
    else if (strcmp(script, "drop") == 0 && core->tries++ == 0)
        link_close(asker->link);
    else if (strcmp(script, "silent") != 0)
        send_good(asker, request);
    free_request(request);
}

static void on_received(void *owner, const struct link_asker *asker, const uint8_t *body,
                        size_t size)
{
    struct scripted_core *core = owner;
    Request *request = triggers__rpc__v1__request__unpack(NULL, size, body);
    must(request != NULL);
    record(core, request, size);
    act(core, asker, request);
    count(core); /* only now: who waited for a held request may release it */
}

static const struct link_core_events events = {.received = on_received};

/* ---- */

struct scripted_core *scripted_core_start(const char *url)
{
    struct scripted_core *core = calloc(1, sizeof(*core));
    must(core != NULL);
    pthread_mutex_init(&core->mutex, NULL);
    pthread_cond_init(&core->received, NULL);
    core->links = link_core_start(url, &events, core);
    return core;
}

void scripted_core_stop(struct scripted_core *core)
{
    link_core_stop(core->links);
    for (size_t i = 0; i < core->held_count; i++)
        free_request(core->held[i].request);
    free(core->held);
    pthread_cond_destroy(&core->received);
    pthread_mutex_destroy(&core->mutex);
    free(core);
}

size_t scripted_core_count(struct scripted_core *core)
{
    pthread_mutex_lock(&core->mutex);
    size_t count = core->count;
    pthread_mutex_unlock(&core->mutex);
    return count;
}

void scripted_core_wait(struct scripted_core *core, size_t count)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    int result = 0;
    pthread_mutex_lock(&core->mutex);
    while (core->count < count && result == 0)
        result = pthread_cond_timedwait(&core->received, &core->mutex, &deadline);
    pthread_mutex_unlock(&core->mutex);
    must(result == 0);
}

void scripted_core_release(struct scripted_core *core)
{
    pthread_mutex_lock(&core->mutex);
    struct held *held = core->held;
    size_t count = core->held_count;
    core->held = NULL;
    core->held_count = 0;
    pthread_mutex_unlock(&core->mutex);
    for (size_t i = 0; i < count; i++) {
        send_good(&held[i].asker, held[i].request);
        free_request(held[i].request);
    }
    free(held);
}

struct scripted_request scripted_core_last(struct scripted_core *core)
{
    pthread_mutex_lock(&core->mutex);
    struct scripted_request last = core->last;
    pthread_mutex_unlock(&core->mutex);
    return last;
}
