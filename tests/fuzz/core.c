/* A transport that checks what is sent over it, and the core behind it. */
#include "core.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "events/asks.h"
#include "events/rules.h"
#include "fake_store.h"
#include "fuzz.h"
#include "rpc/dispatch.h"
#include "rpc/wire.h"
#include "service/event_service.h"
#include "service/health_service.h"
#include "service/stats_service.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

#define MAX_NAME 128
#define FIRST_TIME_US 1700000000000000

static struct event_service event_service;
static struct health_service health_service;
static struct stats_service stats_service;
static ProtobufCService *services[] = {&event_service.base.base, &health_service.base.base,
                                       &stats_service.base.base, NULL};
static struct dispatcher dispatcher;

/* ---- a transport for one call at a time ---- */

static struct call call;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t over = PTHREAD_COND_INITIALIZER;
static uint8_t *answer;
static size_t answer_size;
static unsigned answers;
static bool ended;

static uint8_t *transport_reserve(struct call *owner, size_t size)
{
    (void)owner;
    MUST(!answer);
    answer = malloc(size + 1);
    answer_size = size;
    return answer;
}

/* The call's memory goes at once, so that using it after the answer is seen. */
static void transport_send(struct call *owner)
{
    arena_fini(&owner->arena);
    pthread_mutex_lock(&lock);
    answers++;
    pthread_mutex_unlock(&lock);
    call_release(owner);
}

static void transport_end(struct call *owner)
{
    MUST(owner == &call);
    pthread_mutex_lock(&lock);
    ended = true;
    pthread_cond_signal(&over);
    pthread_mutex_unlock(&lock);
}

/* Nothing waits: there is nobody to wake it. */
static struct call_pool no_pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .stopping = true};
static struct call_source no_source;

static const struct call_transport TRANSPORT = {
    .reserve = transport_reserve, .send = transport_send, .end = transport_end};

static void wait_for_answer(void)
{
    pthread_mutex_lock(&lock);
    while (!ended) /* libFuzzer's -timeout watches over this */
        pthread_cond_wait(&over, &lock);
    MUST(answers == 1);
    pthread_mutex_unlock(&lock);
}

/* ---- the same input, the same run ---- */

static int64_t steady_now_us(void)
{
    return FIRST_TIME_US;
}

static void steady_random(void *bytes, size_t size)
{
    memset(bytes, 0, size);
}

/* ---- what every answer must be ---- */

static bool is_reason(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return length >= 1 && length <= 63 && text[length] == '\0';
}

static void check_error(const Triggers__Rpc__V1__Response *response)
{
    MUST(response->code > 0 && response->code <= STATUS_UNAUTHENTICATED);
    MUST(response->code != TRIGGERS__RPC__V1__CODE__INTERNAL);
    MUST(response->message[0]);
    MUST(response->details && is_reason(response->details->reason));
    MUST(response->body.len == 0);
    for (size_t i = 0; i < response->details->n_field_violations; i++) {
        MUST(response->details->field_violations[i]->field[0]);
        MUST(response->details->field_violations[i]->description[0]);
    }
}

/* Bytes are a message of this type that any protobuf implementation reads. */
static ProtobufCMessage *decode(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t size)
{
    struct wire_check check;
    size_t before = size;
    MUST(wire_clean(type, bytes, &size, "BROKEN", &check) && size == before);
    ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, size, bytes);
    MUST(message);
    return message;
}

static void check_answer(const ProtobufCMethodDescriptor *method)
{
    ProtobufCMessage *message =
        decode(&triggers__rpc__v1__response__descriptor, answer, answer_size);
    const Triggers__Rpc__V1__Response *response = (const Triggers__Rpc__V1__Response *)message;
    if (response->code != TRIGGERS__RPC__V1__CODE__OK)
        check_error(response);
    else if (method)
        protobuf_c_message_free_unpacked(
            decode(method->output, response->body.data, response->body.len), NULL);
    protobuf_c_message_free_unpacked(message, NULL);
}

/* ---- the core ---- */

static struct metric *const METRICS[] = {&call_requests, &call_duration, NULL};
static const struct metrics metrics = {
    .prefix = "fuzz", .labels = "", .build = "", .list = METRICS};

const ProtobufCMethodDescriptor *core_method(size_t index, const char **name)
{
    static char full_name[MAX_NAME];
    for (ProtobufCService **service = services; *service; service++) {
        const ProtobufCServiceDescriptor *type = (*service)->descriptor;
        if (index < type->n_methods) {
            snprintf(full_name, sizeof(full_name), "%s/%s", type->name, type->methods[index].name);
            *name = full_name;
            return &type->methods[index];
        }
        index -= type->n_methods;
    }
    return NULL;
}

/* Log lines are made, as they hold parts of the input, and thrown away. */
static void silence_log(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    MUST(null >= 0 && dup2(null, STDOUT_FILENO) >= 0);
    close(null);
    log_init("fuzz", LOG_DEBUG, LOG_JSON);
}

void core_start(void)
{
    silence_log();
    clock_set_now_for_test(steady_now_us);
    random_set_for_test(steady_random);
    struct writer *writer = writer_open(&fake_store, 1, NULL, NULL);
    struct readers *readers = readers_open(&fake_store, 1);
    MUST(writer && readers);
    struct status status;
    MUST(lane_await_first_try(writer_lane(writer), &status) == STORE_OK);
    MUST(lane_await_first_try(readers_get_lane(readers), &status) == STORE_OK);
    MUST(lane_await_first_try(readers_list_lane(readers), &status) == STORE_OK);
    struct waiters *waiters = waiters_open(readers);
    MUST(waiters);
    static struct asks *asks; /* nobody else knows of it */
    asks = asks_open(&fake_store, 1);
    MUST(asks && lane_await_first_try(asks_lane(asks), &status) == STORE_OK);
    event_service_init(&event_service, writer, readers, waiters, NULL,
                       &(struct payload_rules){.max_size = EVENT_MAX_PAYLOAD, .any = true});
    struct lane *const lanes[HEALTH_LANES] = {writer_lane(writer), readers_get_lane(readers),
                                              readers_list_lane(readers), asks_lane(asks)};
    health_service_init(&health_service, lanes, NULL, "fake", "off");
    stats_service_init(&stats_service, &metrics);
    dispatcher_init(&dispatcher, services);
    call_init(&call, &TRANSPORT);
    call.pool = &no_pool;
    call.source = &no_source;
}

void core_call(const uint8_t *bytes, size_t size, const ProtobufCMethodDescriptor *method)
{
    MUST(answers == 0);               /* the call before was answered once, not twice */
    uint8_t *copy = malloc(size + 1); /* which changes */
    MUST(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    dispatch(&dispatcher, &call, copy, size);
    free(copy);
    wait_for_answer();
    check_answer(method);
    free(answer);
    answer = NULL;
    answers = 0;
    ended = false;
}
