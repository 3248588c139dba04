/* Life, metrics, the encoding of answers, and the pool. The body is packed right after the rest of
 * the envelope: protobuf allows any order of fields, and so the response is encoded once, into the
 * outgoing message. */
#include "rpc/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/varint.h"
#include "base/wait.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

#define ANSWER_MS 500 /* before the deadline */
#define BODY_FIELD 5
#define BODY_TAG (BODY_FIELD << 3 | 2)

/* ---- metrics ---- */

/* Rows are the methods of the table and, after them, what names none of them. */
#define ROW_COUNT (API_METHOD_COUNT + 1)
#define METHOD_LABEL(enumerator, name, short_name, ...) "method=\"" short_name "\"",
static const char *const METHOD_LABELS[] = {API_METHOD_LIST(METHOD_LABEL) "method=\"unknown\"",
                                            NULL};
static const char *const CODE_LABELS[STATUS_CODE_COUNT + 1] = {
#define LABEL(name, number, http) [number] = "code=\"" #name "\"",
    STATUS_CODES(LABEL)
#undef LABEL
};
static metric_cell request_cells[ROW_COUNT * STATUS_CODE_COUNT];
static metric_cell duration_cells[ROW_COUNT * METRIC_HISTOGRAM_CELLS(METRIC_DURATION_BOUNDS)];
static metric_cell in_flight_cell, waiting_cell, refusals_cell;

struct metric call_requests = {.name = "requests_total",
                               .help = "Calls answered, by method and google.rpc.Code.",
                               .kind = METRIC_COUNTER,
                               .rows = METHOD_LABELS,
                               .columns = CODE_LABELS,
                               .cells = request_cells};
struct metric call_duration = {.name = "request_duration_seconds",
                               .help = "Time from a call's arrival to its answer, by method.",
                               .kind = METRIC_HISTOGRAM,
                               .unit = 1e-6,
                               .rows = METHOD_LABELS,
                               .bounds = METRIC_DURATIONS_US,
                               .bound_count = METRIC_DURATION_BOUNDS,
                               .cells = duration_cells};
struct metric call_in_flight = {.name = "requests_in_flight",
                                .help = "Calls that have come and are not yet answered.",
                                .kind = METRIC_GAUGE,
                                .cells = &in_flight_cell};
struct metric call_waiting = {.name = "requests_waiting",
                              .help = "Calls in flight that wait for something to answer with.",
                              .kind = METRIC_GAUGE,
                              .cells = &waiting_cell};
struct metric call_refusals = {.name = "held_memory_refusals_total",
                               .help = "Requests and answers refused because they would have "
                                       "taken more memory.",
                               .kind = METRIC_COUNTER,
                               .cells = &refusals_cell};

/* ---- life ---- */

static void *arena_protobuf_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void arena_protobuf_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer; /* the arena frees everything at once */
}

void call_init(struct call *call, const struct call_transport *transport)
{
    *call = (struct call){.transport = transport};
    arena_init(&call->arena, CALL_ARENA_CAP);
    call->allocator = (ProtobufCAllocator){
        .alloc = arena_protobuf_alloc, .free = arena_protobuf_free, .allocator_data = &call->arena};
}

void call_fini(struct call *call)
{
    arena_fini(&call->arena);
}

enum call_state call_state_of(const struct call *call)
{
    return (enum call_state)(atomic_load(&call->life) & 3);
}

/* The lowest bits of `life` are the state. Each change makes it another number, so that nobody who
 * is slow changes the state of a later request, or of a later wait. */
static bool call_change(struct call *call, uint_fast64_t life, enum call_state from,
                        enum call_state to)
{
    return (life & 3) == from &&
           atomic_compare_exchange_strong(&call->life, &life, (life | 3) + 1 + to);
}

void call_begin(struct call *call)
{
    arena_reset(&call->arena);
    call->scope = SCOPE_DEFAULT;
    call->method = NULL;
    call->request_id[0] = '\0';
    call->client[0] = '\0';
    call->traceparent[0] = '\0';
    call->address[0] = '\0';
    call->started_us = clock_monotonic_us();
    call->expired = false;
    metric_add(&call_in_flight, 0, 1);
    atomic_store(&call->deadline_ms, INT64_MAX);
    CHECK(atomic_exchange(&call->holders, 2) == 0);
    /* Last: from here on it can be answered. */
    CHECK(call_change(call, atomic_load(&call->life), CALL_ENDED, CALL_RUNNING));
}

void call_release(struct call *call)
{
    int before = atomic_fetch_sub(&call->holders, 1);
    CHECK(before > 0);
    if (before > 1)
        return;
    struct pass *pass = call->pass;
    call->pass = NULL;
    pass_release(pass);
    CHECK(call_change(call, atomic_load(&call->life), CALL_ANSWERED, CALL_ENDED));
    call->transport->end(call);
}

/* For the handler: false when the call has expired, and is not the handler's any more then. */
static bool claim(struct call *call)
{
    if (call_change(call, atomic_load(&call->life), CALL_RUNNING, CALL_ANSWERED))
        return true;
    CHECK(call_state_of(call) == CALL_ANSWERED);
    arena_reset(&call->arena);
    call_release(call);
    return false;
}

static const char *method_name(const struct call *call)
{
    return call->method ? call->method->short_name : "";
}

static void log_answer(const struct call *call, enum status_code code, const char *reason,
                       int64_t took_us)
{
    struct trace trace; /* this hop's span is for the log alone: the core calls nobody */
    trace_continue(call->traceparent, &trace);
    log_debug("call", {"request_id", call->request_id}, {"trace_id", trace.trace_id},
              {"span_id", trace.span_id}, {"parent_id", trace.parent_id},
              {"method", method_name(call)}, {"code", status_code_name(code)}, {"reason", reason},
              {"client", call->client}, {"key", call->pass ? call->pass->key_id : ""},
              {"ms", NULL, (double)took_us / 1000});
}

/* Counts the answer and lets it leave, perhaps long after the handler's memory has been freed. The
 * call is not ours any more then. */
static void send_answer(struct call *call, enum status_code code, const char *reason)
{
    CHECK(code >= STATUS_OK && code < STATUS_CODE_COUNT);
    int64_t took_us = clock_monotonic_us() - call->started_us;
    size_t row = call->method ? (size_t)(call->method - api_methods) : API_METHOD_COUNT;
    CHECK(row < ROW_COUNT);
    metric_add(&call_requests, row * STATUS_CODE_COUNT + code, 1);
    metric_observe(&call_duration, row, took_us);
    metric_add(&call_in_flight, 0, -1);
    if (log_enabled(LOG_DEBUG))
        log_answer(call, code, reason, took_us);
    if (!call->expired) {
        arena_reset(&call->arena);
        call_release(call);
    }
    call->transport->send(call);
}

struct answer_metadata {
    Triggers__Rpc__V1__Response__MetadataEntry entries[3];
    Triggers__Rpc__V1__Response__MetadataEntry *list[3];
    char policy[PASS_LIMITS_SIZE], left[PASS_LIMITS_SIZE];
};

static void add_entry(struct answer_metadata *metadata, Triggers__Rpc__V1__Response *envelope,
                      const char *key, const char *value)
{
    size_t index = envelope->n_metadata++;
    Triggers__Rpc__V1__Response__MetadataEntry *entry = &metadata->entries[index];
    triggers__rpc__v1__response__metadata_entry__init(entry);
    entry->key = (char *)key;
    entry->value = (char *)value;
    metadata->list[index] = entry;
    envelope->metadata = metadata->list;
}

static void add_answer_metadata(const struct call *call, struct answer_metadata *metadata,
                                Triggers__Rpc__V1__Response *envelope)
{
    const struct pass *pass = call->pass;
    if (call->request_id[0])
        add_entry(metadata, envelope, "request-id", call->request_id);
    if (!pass || !pass->limits || !pass->limits(pass, metadata->policy, metadata->left))
        return;
    add_entry(metadata, envelope, "ratelimit-policy", metadata->policy);
    add_entry(metadata, envelope, "ratelimit", metadata->left);
}

/* Packs and sends the envelope with `body` (or none) behind it. False, with nothing sent, when
 * there is no room for it. */
static bool send_envelope(struct call *call, const Triggers__Rpc__V1__Response *given,
                          const ProtobufCMessage *body)
{
    Triggers__Rpc__V1__Response envelope = *given;
    struct answer_metadata metadata;
    add_answer_metadata(call, &metadata, &envelope);
    size_t head_size = protobuf_c_message_get_packed_size(&envelope.base);
    size_t body_size = body ? protobuf_c_message_get_packed_size(body) : 0;
    uint8_t prefix[1 + VARINT_MAX_SIZE] = {BODY_TAG};
    size_t prefix_size = body_size > 0 ? 1 + varint_write(prefix + 1, body_size) : 0;
    uint8_t *out = call->transport->reserve(call, head_size + prefix_size + body_size);
    if (!out)
        return false;
    CHECK(protobuf_c_message_pack(&envelope.base, out) == head_size);
    memcpy(out + head_size, prefix, prefix_size);
    if (body_size > 0)
        CHECK(protobuf_c_message_pack(body, out + head_size + prefix_size) == body_size);
    send_answer(call, (enum status_code)envelope.code,
                envelope.details ? envelope.details->reason : "");
    return true;
}

/* Refusing who goes on in spite of it would cost others as much as serving him. One that names its
 * callers, as a bridge does, goes on: it has the calls of others too. */
static void slow_down(struct call *call, uint32_t pause_ms)
{
    if (pause_ms > 0 && call->source && call->caller.client == 0)
        atomic_store(&call->source->slow_until_ms, clock_monotonic_ms() + pause_ms);
}

#define MAX_VIOLATIONS 32

/* Answers a claimed call. */
static void fail(struct call *call, const struct status *status,
                 const struct field_violation *violations, size_t count)
{
    CHECK(status->code != STATUS_OK && (violations || count == 0));
    Triggers__Rpc__V1__FieldViolation packed[MAX_VIOLATIONS];
    Triggers__Rpc__V1__FieldViolation *pointers[MAX_VIOLATIONS];
    if (count > MAX_VIOLATIONS)
        count = MAX_VIOLATIONS; /* a caller who mends these learns of the rest */
    for (size_t i = 0; i < count; i++) {
        packed[i] = (Triggers__Rpc__V1__FieldViolation)TRIGGERS__RPC__V1__FIELD_VIOLATION__INIT;
        packed[i].field = (char *)violations[i].field;
        packed[i].description = (char *)violations[i].description;
        pointers[i] = &packed[i];
    }
    Triggers__Rpc__V1__ErrorDetails details = TRIGGERS__RPC__V1__ERROR_DETAILS__INIT;
    details.reason = (char *)status->reason;
    details.retry_delay_ms = status->retry_delay_ms;
    details.first_sequence = status->first_sequence;
    details.field_violations = pointers;
    details.n_field_violations = count;
    Triggers__Rpc__V1__Response envelope = TRIGGERS__RPC__V1__RESPONSE__INIT;
    envelope.code = (Triggers__Rpc__V1__Code)status->code;
    envelope.message = (char *)status->message;
    envelope.details = &details;
    slow_down(call, status->pause_ms);
    if (send_envelope(call, &envelope, NULL))
        return;
    log_error_limited("", "no memory for an answer, its caller will run into its deadline",
                      {"request_id", call->request_id}, {"method", method_name(call)});
    send_answer(call, status->code, status->reason);
}

static void fail_busy(struct call *call)
{
    struct status status;
    metric_add(&call_refusals, 0, 1);
    status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "SERVER_BUSY",
                "requests and answers in hand take all the memory they may; try again later");
    status.retry_delay_ms = 500;
    fail(call, &status, NULL, 0);
}

/* Answers for the handler, which still holds the call. */
static void expire(struct call *call)
{
    struct status status;
    status_fail(&status, STATUS_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                "the deadline passed before the call was done; a write may or may not have "
                "happened");
    call->expired = true;
    fail(call, &status, NULL, 0);
}

int64_t call_answer_by_ms(const struct call *call)
{
    int64_t left_ms = atomic_load(&call->deadline_ms) - clock_monotonic_ms();
    int64_t early_ms = left_ms < 4 * ANSWER_MS ? left_ms / 4 : ANSWER_MS;
    return atomic_load(&call->deadline_ms) - early_ms;
}

void call_expire(struct call *call, int64_t now_ms)
{
    uint_fast64_t life = atomic_load(&call->life);
    if (atomic_load(&call->deadline_ms) <= now_ms &&
        call_change(call, life, CALL_RUNNING, CALL_ANSWERED))
        expire(call);
}

void call_reply(struct call *call, const ProtobufCMessage *response)
{
    Triggers__Rpc__V1__Response envelope = TRIGGERS__RPC__V1__RESPONSE__INIT;
    if (claim(call) && !send_envelope(call, &envelope, response))
        fail_busy(call);
}

void call_fail(struct call *call, const struct status *status,
               const struct field_violation *violations, size_t count)
{
    if (claim(call))
        fail(call, status, violations, count);
}

void call_fail_busy(struct call *call)
{
    if (claim(call))
        fail_busy(call);
}

void call_fail_no_memory(struct call *call)
{
    if (call->arena.over_budget) {
        call_fail_busy(call);
        return;
    }
    struct status status;
    status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE",
                "the call needs more than the %u MiB of memory one call may use; send or ask for "
                "less at once",
                CALL_ARENA_CAP >> 20);
    call_fail(call, &status, NULL, 0);
}

void call_fail_revoked(struct call *call)
{
    struct status status;
    status_fail(&status, STATUS_UNAUTHENTICATED, "KEY_INVALID",
                "the key was revoked or has expired while the call waited");
    call_fail(call, &status, NULL, 0);
}

/* ---- the pool ---- */

bool call_pool_open(struct call_pool *pool, const struct call_pool_config *config)
{
    CHECK(config->object_size >= sizeof(struct call) && config->max_running > 0);
    *pool = (struct call_pool){.config = *config};
    pool->last_waiting = &pool->first_waiting;
    pool->objects = calloc(config->max_running + config->max_parked, config->object_size);
    pthread_mutex_init(&pool->lock, NULL);
    wait_init(&pool->idle);
    return pool->objects != NULL;
}

static struct call *object(const struct call_pool *pool, size_t number)
{
    return (struct call *)(pool->objects + number * pool->config.object_size);
}

void call_pool_close(struct call_pool *pool)
{
    CHECK(pool->running == 0 && pool->parked == 0 && !pool->first_waiting);
    for (size_t i = 0; i < pool->used; i++)
        call_fini(object(pool, i));
    free(pool->objects);
    pthread_cond_destroy(&pool->idle);
    pthread_mutex_destroy(&pool->lock);
}

/* ---- places ---- */

/* One that was never taken. Called with the lock held. */
static struct call *make_object(struct call_pool *pool)
{
    CHECK(pool->used < pool->config.max_running + pool->config.max_parked);
    struct call *call = object(pool, pool->used);
    call_init(call, pool->config.transport);
    call->pool = pool;
    atomic_fetch_add(&pool->used, 1); /* last: from here on it is watched */
    return call;
}

struct call *call_pool_take(struct call_pool *pool, struct call_source *source)
{
    pthread_mutex_lock(&pool->lock);
    bool full = pool->first_waiting || pool->running >= pool->config.max_running;
    if (full && !source->granted) {
        source->next = NULL;
        *pool->last_waiting = source;
        pool->last_waiting = &source->next;
        pthread_mutex_unlock(&pool->lock);
        return NULL;
    }
    pool->running += !source->granted;
    source->granted = false;
    struct call *call = pool->unused;
    if (call) {
        CHECK(pool->unused_count > 0);
        pool->unused = call->next;
        pool->unused_count--;
    } else {
        call = make_object(pool);
    }
    call->source = source;
    pthread_mutex_unlock(&pool->lock);
    return call;
}

/* Gives up so many places, and returns the source that has waited longest, when there is a place
 * for it, which it has then. Called with the lock held. */
static struct call_source *pass_places(struct call_pool *pool, size_t given_up)
{
    CHECK(pool->running >= given_up);
    pool->running -= given_up;
    if (pool->running == 0 && pool->parked == 0)
        pthread_cond_broadcast(&pool->idle);
    struct call_source *source = pool->first_waiting;
    if (!source || pool->running >= pool->config.max_running)
        return NULL;
    CHECK(!source->granted);
    pool->first_waiting = source->next;
    if (!pool->first_waiting)
        pool->last_waiting = &pool->first_waiting;
    source->granted = true;
    pool->running++;
    return source;
}

/* As many unused objects as may run keep the first block of their arena for their next call. */
void call_pool_put(struct call_pool *pool, struct call *call)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->unused_count + pool->running > pool->config.max_running)
        arena_fini(&call->arena);
    call->next = pool->unused;
    pool->unused = call;
    pool->unused_count++;
    struct call_source *source = pass_places(pool, 1);
    pthread_mutex_unlock(&pool->lock);
    if (source)
        pool->config.resume(source);
}

void call_pool_leave(struct call_pool *pool, struct call_source *source)
{
    struct call_source *next = NULL;
    pthread_mutex_lock(&pool->lock);
    source->closed = true;
    if (source->granted) {
        source->granted = false;
        next = pass_places(pool, 1);
    }
    pthread_mutex_unlock(&pool->lock);
    if (next)
        pool->config.resume(next);
}

/* ---- parked ---- */

static void uncharge_parked(struct call *call)
{
    if (call->arena.charge)
        charge_release(call->arena.charge, CALL_BYTES);
}

/* Called with the lock held. */
static enum call_parking park(struct call_pool *pool, struct call *call)
{
    if (pool->stopping || call->source->closed)
        return CALL_PARKS_NO_MORE;
    if (pool->parked >= pool->config.max_parked)
        return CALL_TOO_MANY_PARKED;
    if (!pass_begin_wait(call->pass))
        return CALL_TOO_MANY_PARKED;
    if (call->arena.charge && !charge_add_lasting(call->arena.charge, CALL_BYTES)) {
        pass_end_wait(call->pass);
        return CALL_TOO_MANY_PARKED;
    }
    if (!call_change(call, atomic_load(&call->life), CALL_RUNNING, CALL_PARKED)) {
        uncharge_parked(call);
        pass_end_wait(call->pass);
        return CALL_PARKS_NO_MORE;
    }
    CHECK(pool->running > 0);
    pool->parked++;
    pool->running--; /* for call_pool_watch to pass on: here nobody may be resumed */
    metric_add(&call_waiting, 0, 1);
    return CALL_PARKS;
}

enum call_parking call_park(struct call *call, struct call_waiter *waiter, int64_t until_ms)
{
    struct call_pool *pool = call->pool;
    int64_t deadline_ms = atomic_load(&call->deadline_ms);
    waiter->call = call;
    call->waiter = waiter;
    atomic_store(&call->parked_until_ms, until_ms < deadline_ms ? until_ms : deadline_ms);
    pthread_mutex_lock(&pool->lock);
    enum call_parking parking = park(pool, call);
    pthread_mutex_unlock(&pool->lock);
    return parking;
}

/* Called with the lock held. False when another has woken it. */
static bool unpark(struct call_pool *pool, struct call *call)
{
    if (!call_change(call, atomic_load(&call->life), CALL_PARKED, CALL_RUNNING))
        return false;
    CHECK(pool->parked > 0);
    pool->running++; /* even if there is no place: it will be answered soon */
    pool->parked--;
    metric_add(&call_waiting, 0, -1);
    uncharge_parked(call);
    pass_end_wait(call->pass);
    return true;
}

bool call_unpark(struct call *call)
{
    struct call_pool *pool = call->pool;
    pthread_mutex_lock(&pool->lock);
    bool unparked = !call->source->closed && unpark(pool, call);
    pthread_mutex_unlock(&pool->lock);
    return unparked;
}

/* Why a parked call is to be woken now; CALL_WAITS: it is not. Called with the lock held. */
static enum call_wake why_wake(const struct call_pool *pool, const struct call *call,
                               int64_t now_ms)
{
    if (pool->stopping)
        return CALL_STOPPING;
    if (call->source->closed)
        return CALL_GONE;
    if (call->pass && atomic_load(&call->pass->over))
        return CALL_REVOKED;
    return atomic_load(&call->parked_until_ms) <= now_ms ? CALL_DUE : CALL_WAITS;
}

static void wake_parked(struct call_pool *pool, int64_t now_ms)
{
    struct call *woken = NULL;
    pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; pool->parked > 0 && i < pool->used; i++) {
        struct call *call = object(pool, i);
        if (call_state_of(call) != CALL_PARKED)
            continue;
        call->why = why_wake(pool, call, now_ms);
        if (call->why == CALL_WAITS || !unpark(pool, call))
            continue;
        call->next = woken;
        woken = call;
    }
    pthread_mutex_unlock(&pool->lock);
    while (woken) {
        struct call *call = woken;
        woken = call->next;
        call->waiter->woken(call->waiter, call->why);
    }
}

/* ---- all of them ---- */

bool call_is_abandoned(const struct call *call)
{
    struct call_pool *pool = call->pool;
    pthread_mutex_lock(&pool->lock);
    bool closed = call->source->closed;
    pthread_mutex_unlock(&pool->lock);
    return closed || call_state_of(call) == CALL_ANSWERED;
}

bool call_pool_is_busy(const struct call_pool *pool)
{
    return pool->running > 0 || pool->parked > 0;
}

void call_pool_watch(struct call_pool *pool, int64_t now_ms)
{
    struct call_source *source;
    do {
        pthread_mutex_lock(&pool->lock);
        source = pass_places(pool, 0);
        pthread_mutex_unlock(&pool->lock);
        if (source)
            pool->config.resume(source);
    } while (source);
    if (pool->parked > 0)
        wake_parked(pool, now_ms);
    for (size_t i = 0; i < pool->used; i++)
        call_expire(object(pool, i), now_ms);
}

bool call_pool_drain(struct call_pool *pool, int64_t timeout_ms)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    bool in_time = true;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    while (call_pool_is_busy(pool) && in_time)
        in_time = wait_until(&pool->idle, &pool->lock, until_ms);
    bool idle = !call_pool_is_busy(pool);
    pthread_mutex_unlock(&pool->lock);
    return idle;
}
