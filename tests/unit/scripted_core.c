/* A REP server in raw mode, where any request may be answered at any time or never: one thread
 * receives, and the request's header is kept for its answer. */
#include "scripted_core.h"

#include <nng/nng.h>

#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scripted_answers.h"
#include "triggers/v1/events.pb-c.h"

#define HELD_MAX 1100
#define WAIT_SECONDS 10
#define MAX_SIZE ((size_t)16 << 20)
#define RECEIVE_MS 20

typedef Triggers__Rpc__V1__Request Request;
typedef Triggers__Rpc__V1__Response Response;

struct scripted_core {
    nng_socket socket;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t mutex;
    pthread_cond_t received;
    size_t count;
    int dropped;
    struct scripted_request last;
    nng_msg *held[HELD_MAX];
    size_t held_count;
};

/* ---- answers ---- */

/* Sends `bytes` as the answer to `message`, which is used up. The answer is a message made here, as
 * tests/support/lsan.supp says. */
static void send_bytes(struct scripted_core *core, nng_msg *message, const void *bytes, size_t size)
{
    nng_msg *answer;
    must(nng_msg_dup(&answer, message) == 0);
    nng_msg_free(message);
    nng_msg_clear(answer);
    must(nng_msg_append(answer, bytes, size) == 0);
    if (nng_sendmsg(core->socket, answer, 0) != 0)
        nng_msg_free(answer); /* the client has gone */
}

/* Uses up `message` and the response's body. */
static void send_response(struct scripted_core *core, nng_msg *message, Response *response)
{
    size_t size = triggers__rpc__v1__response__get_packed_size(response);
    uint8_t *bytes = malloc(size + 1);
    must(bytes != NULL);
    triggers__rpc__v1__response__pack(response, bytes);
    send_bytes(core, message, bytes, size);
    free(bytes);
    free(response->body.data);
}

static void send_error(struct scripted_core *core, nng_msg *message, int code)
{
    Triggers__Rpc__V1__FieldViolation violation = TRIGGERS__RPC__V1__FIELD_VIOLATION__INIT;
    violation.field = "source";
    violation.description = "must not be odd";
    Triggers__Rpc__V1__FieldViolation *violations[] = {&violation};
    Triggers__Rpc__V1__ErrorDetails details = TRIGGERS__RPC__V1__ERROR_DETAILS__INIT;
    details.reason = "SOURCE_ODD";
    details.retry_delay_ms = 7;
    details.n_field_violations = 1;
    details.field_violations = violations;
    Response response = TRIGGERS__RPC__V1__RESPONSE__INIT;
    response.code = (Triggers__Rpc__V1__Code)code;
    response.message = "source is odd";
    response.details = &details;
    send_response(core, message, &response);
}

static void send_good(struct scripted_core *core, nng_msg *message, const Request *request)
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
    send_response(core, message, &response);
}

static void send_body(struct scripted_core *core, nng_msg *message, const char *body)
{
    Response response = TRIGGERS__RPC__V1__RESPONSE__INIT;
    response.body.len = strlen(body);
    response.body.data = (uint8_t *)strdup(body);
    send_response(core, message, &response);
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

static void record(struct scripted_core *core, const Request *request)
{
    struct scripted_request last = {.timeout_ms = request->timeout_ms};
    snprintf(last.method, sizeof(last.method), "%s", request->method);
    snprintf(last.request_id, sizeof(last.request_id), "%s", find_metadata(request, "request-id"));
    snprintf(last.traceparent, sizeof(last.traceparent), "%s",
             find_metadata(request, "traceparent"));
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

static void hold(struct scripted_core *core, nng_msg *message)
{
    pthread_mutex_lock(&core->mutex);
    must(core->held_count < HELD_MAX);
    core->held[core->held_count++] = message;
    pthread_mutex_unlock(&core->mutex);
}

static void act(struct scripted_core *core, nng_msg *message, const Request *request)
{
    const char *script = find_metadata(request, "request-id");
    if (strcmp(script, "error") == 0) {
        send_error(core, message, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT);
    } else if (strcmp(script, "future") == 0) {
        send_error(core, message, 99);
    } else if (strcmp(script, "garbage") == 0) {
        send_bytes(core, message, "\xff\xff\xff", 3);
    } else if (strcmp(script, "bad-body") == 0) {
        send_body(core, message, "\xff\xff\xff");
    } else if (strcmp(script, "no-items") == 0) {
        send_body(core, message, "");
    } else if (strcmp(script, "silent") == 0) {
        nng_msg_free(message);
    } else if (strcmp(script, "hold") == 0) {
        hold(core, message);
    } else if (strcmp(script, "drop") == 0 && core->dropped++ == 0) {
        nng_pipe_close(nng_msg_get_pipe(message));
        nng_msg_free(message);
    } else {
        send_good(core, message, request);
    }
}

static Request *decode(const nng_msg *message)
{
    Request *request = triggers__rpc__v1__request__unpack(NULL, nng_msg_len(message),
                                                          nng_msg_body((nng_msg *)message));
    must(request != NULL);
    return request;
}

static void *serve(void *data)
{
    struct scripted_core *core = data;
    nng_msg *message;
    while (!core->stopping) {
        int result = nng_recvmsg(core->socket, &message, 0);
        if (result == NNG_ETIMEDOUT)
            continue;
        must(result == 0);
        Request *request = decode(message);
        record(core, request);
        act(core, message, request);
        count(core); /* only now: who waited for a held request may release it */
        triggers__rpc__v1__request__free_unpacked(request, NULL);
    }
    return NULL;
}

/* ---- */

struct scripted_core *scripted_core_start(const char *url)
{
    struct scripted_core *core = calloc(1, sizeof(*core));
    must(core != NULL);
    pthread_mutex_init(&core->mutex, NULL);
    pthread_cond_init(&core->received, NULL);
    must(nng_rep0_open_raw(&core->socket) == 0);
    must(nng_socket_set_size(core->socket, NNG_OPT_RECVMAXSZ, MAX_SIZE) == 0);
    /* The thread looks often whether to stop: nng 1.5 may panic when a socket is closed as a thread
     * begins to receive from it. */
    must(nng_socket_set_ms(core->socket, NNG_OPT_RECVTIMEO, RECEIVE_MS) == 0);
    nng_listener listener;
    must(nng_listener_create(&listener, core->socket, url) == 0);
    if (strncmp(url, "ws:", 3) == 0)
        must(nng_listener_set_size(listener, NNG_OPT_WS_SENDMAXFRAME, MAX_SIZE) == 0);
    must(nng_listener_start(listener, 0) == 0);
    must(pthread_create(&core->thread, NULL, serve, core) == 0);
    return core;
}

void scripted_core_stop(struct scripted_core *core)
{
    core->stopping = true;
    pthread_join(core->thread, NULL);
    nng_close(core->socket);
    for (size_t i = 0; i < core->held_count; i++)
        nng_msg_free(core->held[i]);
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
    for (size_t i = 0; i < core->held_count; i++) {
        Request *request = decode(core->held[i]);
        send_good(core, core->held[i], request);
        triggers__rpc__v1__request__free_unpacked(request, NULL);
    }
    core->held_count = 0;
    pthread_mutex_unlock(&core->mutex);
}

struct scripted_request scripted_core_last(struct scripted_core *core)
{
    pthread_mutex_lock(&core->mutex);
    struct scripted_request last = core->last;
    pthread_mutex_unlock(&core->mutex);
    return last;
}
