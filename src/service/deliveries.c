/* Pull, and what becomes of what it gave out: ack, nack, extend, release. */
#include <string.h>

#include "base/check.h"
#include "base/siphash.h"
#include "service/convert.h"
#include "service/parking.h"
#include "service/request_checks.h"
#include "service/subscription_service.h"

#define DEFAULT_EVENTS 10
#define REASON_MAX 1000
#define PULL_ID_MAX 255

struct pull_call {
    struct pull pull; /* first */
    struct call *call;
    struct subscriptions *subscriptions;
    /* Of one that may wait: */
    int64_t until_ms; /* monotonic */
    struct call_waiter parked;
    enum call_parking parking; /* how that went */
};

struct settle_call {
    struct settle settle; /* first */
    struct call *call;
};

/* NULL after having answered for want of memory. */
static struct settle_call *settle_call_new(struct call *call, enum settle_kind kind,
                                           const char *name, const char *const *ack_ids,
                                           size_t count,
                                           void (*done)(struct subscription_request *request))
{
    struct settle_call *settle = arena_calloc(&call->arena, 1, sizeof(*settle));
    struct settle_result *results = arena_calloc(&call->arena, count, sizeof(*results));
    if (!settle || !results) {
        call_fail_no_memory(call);
        return NULL;
    }
    settle->call = call;
    settle->settle = (struct settle){
        .request = subscription_request_of(call, name, done),
        .kind = kind,
        .ack_ids = ack_ids,
        .count = count,
        .delay_ms = -1,
        .results = results,
    };
    return settle;
}

/* ---- pull ---- */

static bool fill_delivery(struct arena *arena, const struct delivery *delivery,
                          Triggers__V1__Delivery *message)
{
    triggers__v1__delivery__init(message);
    message->event = convert_event(arena, &delivery->event);
    message->ack_id = (char *)delivery->ack_id;
    message->delivery_attempt = delivery->attempt;
    message->lease_expires_at = convert_time(arena, delivery->expires_us);
    return !arena->exhausted;
}

static bool fill_deliveries(struct arena *arena, const struct pull *pull,
                            Triggers__V1__PullResponse *response)
{
    Triggers__V1__Delivery *messages = arena_calloc(arena, pull->count, sizeof(*messages));
    for (size_t i = 0; messages && i < pull->count; i++)
        if (!fill_delivery(arena, &pull->deliveries[i], &messages[i]))
            return false;
    if (!messages)
        return false;
    response->deliveries = convert_repeated(arena, messages, pull->count, sizeof(*messages));
    response->n_deliveries = pull->count;
    return response->deliveries != NULL;
}

static void answer_pull(struct pull_call *pull)
{
    static const Triggers__V1__EmptyBecause BECAUSE[] = {
        [PULL_NOT_EMPTY] = TRIGGERS__V1__EMPTY_BECAUSE__EMPTY_BECAUSE_UNSPECIFIED,
        [PULL_NOTHING_NEW] = TRIGGERS__V1__EMPTY_BECAUSE__EMPTY_BECAUSE_NOTHING_NEW,
        [PULL_PAUSED] = TRIGGERS__V1__EMPTY_BECAUSE__EMPTY_BECAUSE_PAUSED,
        [PULL_MAX_OUTSTANDING] = TRIGGERS__V1__EMPTY_BECAUSE__EMPTY_BECAUSE_MAX_OUTSTANDING,
    };
    struct call *call = pull->call;
    Triggers__V1__PullResponse response = TRIGGERS__V1__PULL_RESPONSE__INIT;
    if (pull->pull.count == 0) {
        CHECK(pull->pull.empty != PULL_NOT_EMPTY);
        response.empty_case = TRIGGERS__V1__PULL_RESPONSE__EMPTY_EMPTY_BECAUSE;
        response.empty_because = BECAUSE[pull->pull.empty];
    }
    if (fill_deliveries(&call->arena, &pull->pull, &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

/* ---- an answer that nobody has ---- */

/* What a pull with an id got can be asked for again, or released. */
static bool is_lost(const struct pull_call *pull)
{
    return pull->pull.count > 0 && pull->pull.id == 0 && call_is_abandoned(pull->call);
}

static void on_lost_released(struct subscription_request *request)
{
    Triggers__V1__PullResponse response = TRIGGERS__V1__PULL_RESPONSE__INIT;
    call_reply(((struct settle_call *)request)->call, &response.base);
}

/* Gives back what nobody knows that he has, and then ends the call. */
static void release_lost(struct pull_call *pull)
{
    struct call *call = pull->call;
    const char **ack_ids = arena_calloc(&call->arena, pull->pull.count, sizeof(*ack_ids));
    if (!ack_ids) {
        call_fail_no_memory(call);
        return;
    }
    struct settle_call *settle = settle_call_new(call, SETTLE_RELEASE, pull->pull.request.name.data,
                                                 ack_ids, pull->pull.count, on_lost_released);
    if (!settle)
        return;
    for (size_t i = 0; i < pull->pull.count; i++)
        ack_ids[i] = pull->pull.deliveries[i].ack_id;
    subscriptions_settle(pull->subscriptions, &settle->settle);
}

static void on_pulled(struct subscription_request *request)
{
    struct pull_call *pull = (struct pull_call *)request;
    if (request->status.code == STATUS_OK && is_lost(pull))
        release_lost(pull);
    else if (request->status.code != STATUS_OK)
        call_fail(pull->call, &request->status, NULL, 0);
    else if (pull->pull.count == 0 && pull->parking == CALL_TOO_MANY_PARKED)
        parking_refuse(pull->call);
    else
        answer_pull(pull);
}

static bool park_pull(struct pull *pull)
{
    struct pull_call *self = (struct pull_call *)pull;
    self->parking = call_park(self->call, &self->parked, self->until_ms);
    return self->parking == CALL_PARKS;
}

static bool unpark_pull(struct pull *pull)
{
    return call_unpark(((struct pull_call *)pull)->call);
}

static const struct pull_calls PULL_CALLS = {park_pull, unpark_pull};

/* Its time is over, the server stops, or its key was revoked; or its connection has closed, and the
 * answer goes nowhere. */
static void on_pull_woken(struct call_waiter *parked, enum call_wake why)
{
    struct pull_call *pull =
        (struct pull_call *)((char *)parked - offsetof(struct pull_call, parked));
    subscriptions_unpark_pull(pull->subscriptions, &pull->pull);
    if (why == CALL_REVOKED)
        call_fail_revoked(pull->call);
    else
        answer_pull(pull);
}

/* Pulls that have the same id are the same in every core. Who makes two of his ids collide gets
 * the events of one of them again. */
static uint64_t number_of_pull(const char *id)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = {0};
    uint64_t number = siphash(key, id, strlen(id));
    return id[0] == '\0' ? 0 : number ? number : 1;
}

static bool read_pull(struct call *call, const Triggers__V1__PullRequest *request,
                      struct pull *pull)
{
    pull->max_events = request->max_events ? request->max_events : DEFAULT_EVENTS;
    pull->max_bytes = request->max_bytes > 0 && request->max_bytes < PULL_MAX_BYTES
                          ? request->max_bytes
                          : PULL_MAX_BYTES;
    pull->lease_seconds = request->lease_seconds;
    pull->id = number_of_pull(request->pull_id);
    return request_check_range(call, "MAX_EVENTS_INVALID", "max_events", pull->max_events, 1,
                               PULL_MAX_EVENTS) &&
           request_check_range(call, "LEASE_INVALID", "lease_seconds", request->lease_seconds, 0,
                               SUBSCRIPTION_LEASE_MAX) &&
           request_check_length(call, "PULL_ID_INVALID", "pull_id", request->pull_id, PULL_ID_MAX);
}

SUBSCRIPTION_HANDLER(pull, Pull)
{
    (void)closure;
    struct call *owner = call;
    if (!subscription_is_allowed(service, call, request->name))
        return;
    struct pull_call *pull = arena_calloc(&owner->arena, 1, sizeof(*pull));
    if (!pull) {
        call_fail_no_memory(call);
        return;
    }
    pull->call = call;
    pull->subscriptions = subscriptions_of(service);
    pull->pull.request = subscription_request_of(call, request->name, on_pulled);
    if (!read_pull(call, request, &pull->pull))
        return;
    pull->parked.woken = on_pull_woken;
    if (request->wait_ms > 0) {
        pull->until_ms = parking_until_ms(call, request->wait_ms);
        pull->pull.calls = &PULL_CALLS;
    }
    subscriptions_pull(pull->subscriptions, &pull->pull);
}

/* ---- ack, nack, extend, release ---- */

/* Why a delivery was not settled, by its outcome. */
static const struct {
    enum status_code code;
    const char *reason;
    const char *message;
} FAILURES[] = {
    [SETTLE_LOST] = {STATUS_ABORTED, "LEASE_LOST",
                     "the lease ended and somebody else has got the event, or the subscription was "
                     "sought"},
    [SETTLE_MALFORMED] = {STATUS_INVALID_ARGUMENT, "ACK_ID_INVALID",
                          "this is no ack id; send it as the pull gave it"},
    [SETTLE_FOREIGN] = {STATUS_INVALID_ARGUMENT, "ACK_ID_INVALID",
                        "this ack id is of another subscription"},
    [SETTLE_ENDED] = {STATUS_FAILED_PRECONDITION, "ALREADY_SETTLED",
                      "the event is settled already"},
    [SETTLE_TOO_LONG] = {STATUS_INVALID_ARGUMENT, "LEASE_TOO_LONG",
                         "with all extensions a lease lasts at most 12 hours"},
};
#define OUTCOMES (sizeof(FAILURES) / sizeof(FAILURES[0]))

static Triggers__V1__ItemError *make_error(struct arena *arena, enum settle_outcome outcome)
{
    struct item_failure failure = {.status = STATUS_INIT};
    status_fail(&failure.status, FAILURES[outcome].code, FAILURES[outcome].reason, "%s",
                FAILURES[outcome].message);
    return convert_failure(arena, &failure);
}

/* One result per ack id; NULL when the arena is full. Those that failed alike share their error. */
static Triggers__V1__SettleResult **convert_results(struct arena *arena,
                                                    const struct settle *settle)
{
    Triggers__V1__ItemError *errors[OUTCOMES] = {NULL};
    Triggers__V1__SettleResult *messages = arena_calloc(arena, settle->count, sizeof(*messages));
    for (size_t i = 0; messages && i < settle->count; i++) {
        const struct settle_result *result = &settle->results[i];
        CHECK(result->outcome < OUTCOMES);
        triggers__v1__settle_result__init(&messages[i]);
        messages[i].late = result->outcome == SETTLE_DONE_LATE;
        if (FAILURES[result->outcome].reason && !errors[result->outcome])
            errors[result->outcome] = make_error(arena, result->outcome);
        messages[i].error = errors[result->outcome];
        if (settle->kind == SETTLE_EXTEND && !messages[i].error)
            messages[i].lease_expires_at = convert_time(arena, result->expires_us);
    }
    if (!messages || arena->exhausted)
        return NULL;
    return convert_repeated(arena, messages, settle->count, sizeof(*messages));
}

#define REPLY(Message, initial)                                                                    \
    {                                                                                              \
        Triggers__V1__##Message##Response response = initial;                                      \
        response.results = results;                                                                \
        response.n_results = settle->settle.count;                                                 \
        call_reply(settle->call, &response.base);                                                  \
        break;                                                                                     \
    }

static void on_settled(struct subscription_request *request)
{
    struct settle_call *settle = (struct settle_call *)request;
    if (request->status.code != STATUS_OK) {
        call_fail(settle->call, &request->status, NULL, 0);
        return;
    }
    Triggers__V1__SettleResult **results = convert_results(&settle->call->arena, &settle->settle);
    if (!results) {
        call_fail_no_memory(settle->call);
        return;
    }
    switch (settle->settle.kind) {
    case SETTLE_ACK: REPLY(Ack, TRIGGERS__V1__ACK_RESPONSE__INIT)
    case SETTLE_NACK: REPLY(Nack, TRIGGERS__V1__NACK_RESPONSE__INIT)
    case SETTLE_EXTEND: REPLY(Extend, TRIGGERS__V1__EXTEND_RESPONSE__INIT)
    case SETTLE_RELEASE: REPLY(Release, TRIGGERS__V1__RELEASE_RESPONSE__INIT)
    }
}

/* The same for a request; NULL after having answered. */
static struct settle_call *settle_call_of(Triggers__V1__SubscriptionService_Service *service,
                                          struct call *call, enum settle_kind kind,
                                          const char *name, char *const *ack_ids, size_t count)
{
    return subscription_is_allowed(service, call, name) &&
                   request_check_count(call, "ack_ids", count)
               ? settle_call_new(call, kind, name, (const char *const *)ack_ids, count, on_settled)
               : NULL;
}

SUBSCRIPTION_HANDLER(ack, Ack)
{
    (void)closure;
    struct settle_call *settle = settle_call_of(service, call, SETTLE_ACK, request->name,
                                                request->ack_ids, request->n_ack_ids);
    if (settle)
        subscriptions_settle(subscriptions_of(service), &settle->settle);
}

SUBSCRIPTION_HANDLER(nack, Nack)
{
    (void)closure;
    bool delayed = request->delay_case == TRIGGERS__V1__NACK_REQUEST__DELAY_DELAY_SECONDS;
    struct settle_call *settle = settle_call_of(service, call, SETTLE_NACK, request->name,
                                                request->ack_ids, request->n_ack_ids);
    if (!settle ||
        (delayed && !request_check_range(call, "DELAY_INVALID", "delay_seconds",
                                         request->delay_seconds, 0, SUBSCRIPTION_BACKOFF_MAX)) ||
        !request_check_length(call, "REASON_INVALID", "reason", request->reason, REASON_MAX))
        return;
    if (delayed)
        settle->settle.delay_ms = (int64_t)request->delay_seconds * 1000;
    settle->settle.reason = (struct slice){request->reason, strlen(request->reason)};
    settle->settle.dead = request->dead_letter;
    subscriptions_settle(subscriptions_of(service), &settle->settle);
}

SUBSCRIPTION_HANDLER(extend, Extend)
{
    (void)closure;
    struct settle_call *settle = settle_call_of(service, call, SETTLE_EXTEND, request->name,
                                                request->ack_ids, request->n_ack_ids);
    if (!settle || !request_check_range(call, "LEASE_INVALID", "lease_seconds",
                                        request->lease_seconds, 0, SUBSCRIPTION_LEASE_MAX))
        return;
    settle->settle.lease_seconds = request->lease_seconds;
    subscriptions_settle(subscriptions_of(service), &settle->settle);
}

SUBSCRIPTION_HANDLER(release, Release)
{
    (void)closure;
    uint64_t pull = number_of_pull(request->pull_id);
    if (!subscription_is_allowed(service, call, request->name) ||
        !request_check_length(call, "PULL_ID_INVALID", "pull_id", request->pull_id, PULL_ID_MAX) ||
        ((pull == 0 || request->n_ack_ids > 0) &&
         !request_check_count(call, "ack_ids", request->n_ack_ids)))
        return;
    struct settle_call *settle =
        settle_call_new(call, SETTLE_RELEASE, request->name, (const char *const *)request->ack_ids,
                        request->n_ack_ids, on_settled);
    if (!settle)
        return;
    settle->settle.pull = pull;
    subscriptions_settle(subscriptions_of(service), &settle->settle);
}
