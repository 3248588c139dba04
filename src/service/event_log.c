/* The log from a position on, and the kinds of its events. */
#include "base/check.h"
#include "base/clock.h"
#include "events/rules.h"
#include "service/convert.h"
#include "service/event_service.h"
#include "service/list_request.h"
#include "service/parking.h"
#include "service/request_checks.h"

struct log_call {
    struct list_op op; /* first */
    struct call *call;
    struct event_service *service;
    /* Of a call that may wait: */
    bool waits;
    int64_t until_ms; /* monotonic */
    struct log_waiter waiter;
    struct call_waiter parked;
    enum call_parking parking; /* how that went */
    struct arena_place mark;   /* before what was read */
};

struct kinds_call {
    struct list_op op; /* first */
    struct store_kinds kinds;
    struct call *call;
};

/* ---- events ---- */

static void fail_removed(struct call *call, const struct store_list *list)
{
    struct status status;
    status_fail(&status, STATUS_OUT_OF_RANGE, "POSITION_REMOVED",
                "events after sequence %lld were removed: the log begins at sequence %lld",
                (long long)list->after, (long long)list->first);
    status.first_sequence = list->first;
    call_fail(call, &status, NULL, 0);
}

static void answer_log(struct log_call *log)
{
    struct call *call = log->call;
    const struct store_list *list = &log->op.list;
    CHECK(list->read_to >= list->after && list->first >= 1);
    Triggers__V1__ListEventsResponse response = TRIGGERS__V1__LIST_EVENTS_RESPONSE__INIT;
    response.events = convert_page(&call->arena, list);
    response.n_events = list->count;
    response.next_after = list->read_to;
    response.first_sequence = list->first;
    if (response.events)
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

static void wait_for_log(struct log_call *log);

static void on_log_read(struct op *op)
{
    struct log_call *log = (struct log_call *)op;
    const struct store_list *list = &log->op.list;
    bool read = op->status.code == STATUS_OK && !list->no_memory && !store_list_lacks_events(list);
    if (read && list->count == 0 && log->waits) {
        wait_for_log(log);
        return;
    }
    if (log->waits)
        waiters_leave(log->service->waiters, &log->waiter);
    if (read)
        answer_log(log);
    else if (op->status.code != STATUS_OK)
        call_fail(log->call, &op->status, NULL, 0);
    else if (list->no_memory)
        call_fail_no_memory(log->call);
    else
        fail_removed(log->call, list);
}

static void submit_log(struct log_call *log)
{
    struct status status;
    log->op.op = (struct op){.caller = log->call->caller,
                             .scope = log->call->scope,
                             .deadline_ms = call_answer_by_ms(log->call),
                             .done = on_log_read};
    if (readers_submit_list(log->service->readers, &log->op, &status))
        return;
    if (log->waits)
        waiters_leave(log->service->waiters, &log->waiter);
    call_fail(log->call, &status, NULL, 0);
}

/* ---- waiting for events ---- */

static void read_on(struct log_call *log)
{
    arena_rewind(&log->call->arena, log->mark);
    log->op.list.after = log->waiter.after;
    submit_log(log);
}

static struct log_call *log_call_of(struct log_waiter *waiter)
{
    return (struct log_call *)((char *)waiter - offsetof(struct log_call, waiter));
}

static bool park_log(struct log_waiter *waiter)
{
    struct log_call *log = log_call_of(waiter);
    log->parking = call_park(log->call, &log->parked, log->until_ms);
    return log->parking == CALL_PARKS;
}

static bool unpark_log(struct log_waiter *waiter)
{
    return call_unpark(log_call_of(waiter)->call);
}

static void look_at_log(struct log_waiter *waiter)
{
    read_on(log_call_of(waiter));
}

static const struct log_waiter_calls LOG_WAITER = {park_log, unpark_log, look_at_log};

/* Answers that there was nothing, and how far it looked. */
static void answer_nothing(struct log_call *log)
{
    waiters_leave(log->service->waiters, &log->waiter);
    log->op.list.read_to = log->waiter.after;
    answer_log(log);
}

/* Its time is over, the server stops, or its key was revoked; or its connection has closed, and the
 * answer goes nowhere. */
static void on_log_woken(struct call_waiter *parked, enum call_wake why)
{
    struct log_call *log = (struct log_call *)((char *)parked - offsetof(struct log_call, parked));
    if (why != CALL_REVOKED) {
        answer_nothing(log);
        return;
    }
    waiters_leave(log->service->waiters, &log->waiter);
    call_fail_revoked(log->call);
}

static void refuse_to_wait(struct log_call *log)
{
    if (log->parking == CALL_PARKS_NO_MORE) {
        answer_nothing(log);
        return;
    }
    waiters_leave(log->service->waiters, &log->waiter);
    parking_refuse(log->call);
}

/* Nothing was found up to `read_to`. */
static void wait_for_log(struct log_call *log)
{
    const struct store_list *list = &log->op.list;
    bool unfinished = list->more && clock_monotonic_ms() < log->until_ms;
    if (unfinished) {
        log->waiter.after = list->read_to;
        read_on(log);
        return;
    }
    switch (waiters_park(log->service->waiters, &log->waiter, list->read_to)) {
    case LOG_WAITER_WAITS: break;
    case LOG_WAITER_LOOKS_AGAIN: read_on(log); break;
    case LOG_WAITER_CANNOT: refuse_to_wait(log); break;
    }
}

/* Whether the call waits for at most so long; false when there was no memory. */
static bool may_wait(struct log_call *log, uint32_t wait_ms)
{
    log->until_ms = parking_until_ms(log->call, wait_ms);
    log->parked.woken = on_log_woken;
    log->waiter = (struct log_waiter){.calls = &LOG_WAITER,
                                      .scope = log->call->scope,
                                      .filter = &log->op.list.filter,
                                      .after = log->op.list.after};
    log->waits = waiters_join(log->service->waiters, &log->waiter);
    return log->waits;
}

static bool read_log_request(struct call *call, const Triggers__V1__ListEventsRequest *request,
                             struct store_list *list)
{
    if (request->after_sequence < 0)
        return request_refuse(call, "POSITION_INVALID", "after_sequence",
                              "must not be negative; 0 means the beginning of the log");
    *list = (struct store_list){
        .set = STORE_LOG,
        .oldest_first = true,
        .after = request->after_sequence,
        .max_bytes = EVENT_PAGE_MAX_BYTES,
        .arena = &call->arena,
    };
    return list_request_size(call, request->page_size, &list->limit) &&
           list_request_filter(call, request->filter, &list->filter) &&
           list_request_narrow(call, &list->filter);
}

EVENT_HANDLER(list_events, ListEvents)
{
    (void)closure;
    struct call *owner = call;
    struct log_call *log = arena_calloc(&owner->arena, 1, sizeof(*log));
    if (!log) {
        call_fail_no_memory(call);
        return;
    }
    if (!read_log_request(call, request, &log->op.list))
        return;
    log->call = call;
    log->service = (struct event_service *)service;
    if (request->wait_ms > 0 && !may_wait(log, request->wait_ms)) {
        call_fail_no_memory(call);
        return;
    }
    log->mark = arena_mark(&owner->arena);
    submit_log(log);
}

/* ---- kinds ---- */

static enum store_result ask_kinds(struct store_session *session, struct list_op *op,
                                   struct status *status)
{
    struct kinds_call *ask = (struct kinds_call *)op;
    return session->store->driver->kinds(session, op->op.scope, &ask->kinds, status);
}

/* Those that the call may not see are left out. */
static bool fill_kinds(struct call *call, const struct store_kinds *kinds,
                       Triggers__V1__ListKindsResponse *response)
{
    struct arena *arena = &call->arena;
    size_t count = 0;
    CHECK(kinds->count <= kinds->limit);
    Triggers__V1__EventKind *messages = arena_calloc(arena, kinds->count, sizeof(*messages));
    for (size_t i = 0; messages && i < kinds->count; i++) {
        const struct store_named_kind *kind = &kinds->kinds[i];
        if (!access_allows_event(call->pass, kind->source, kind->type))
            continue;
        triggers__v1__event_kind__init(&messages[count]);
        messages[count].source = arena_copy(arena, kind->source.data, kind->source.size);
        messages[count++].event_type = arena_copy(arena, kind->type.data, kind->type.size);
    }
    if (kinds->more) {
        CHECK(kinds->count > 0);
        response->next_page_token = arena_alloc(arena, PAGE_TOKEN_SIZE);
        if (response->next_page_token)
            page_token_format(PAGE_LIST_OF_KINDS, kinds->kinds[kinds->count - 1].number,
                              response->next_page_token);
    }
    if (arena->exhausted)
        return false;
    response->kinds = convert_repeated(arena, messages, count, sizeof(*messages));
    response->n_kinds = count;
    return response->kinds != NULL;
}

static void on_kinds_read(struct op *op)
{
    struct kinds_call *ask = (struct kinds_call *)op;
    struct call *call = ask->call;
    Triggers__V1__ListKindsResponse response = TRIGGERS__V1__LIST_KINDS_RESPONSE__INIT;
    if (op->status.code != STATUS_OK)
        call_fail(call, &op->status, NULL, 0);
    else if (!ask->kinds.no_memory && fill_kinds(call, &ask->kinds, &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

static bool read_kinds_request(struct call *call, const Triggers__V1__ListKindsRequest *request,
                               struct store_kinds *kinds)
{
    int64_t after;
    if (!list_request_size(call, request->page_size, &kinds->limit) ||
        !list_request_token(call, request->page_token, PAGE_LIST_OF_KINDS, &after))
        return false;
    kinds->after = after > INT32_MAX ? INT32_MAX : (int32_t)after;
    kinds->arena = &call->arena;
    return true;
}

EVENT_HANDLER(list_kinds, ListKinds)
{
    (void)closure;
    struct event_service *self = (struct event_service *)service;
    struct call *owner = call;
    struct kinds_call *ask = arena_calloc(&owner->arena, 1, sizeof(*ask));
    if (!ask) {
        call_fail_no_memory(call);
        return;
    }
    if (!read_kinds_request(call, request, &ask->kinds))
        return;
    ask->call = call;
    ask->op.ask = ask_kinds;
    ask->op.op = (struct op){.caller = owner->caller,
                             .scope = owner->scope,
                             .deadline_ms = call_answer_by_ms(owner),
                             .done = on_kinds_read};
    struct status status;
    if (!readers_submit_list(self->readers, &ask->op, &status))
        call_fail(call, &status, NULL, 0);
}
