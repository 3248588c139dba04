/* Creates and acknowledgements. A single call is a batch of one with another response: the
 * request's items are checked, the valid ones go to the writer as one operation, and when it is
 * done every item has an outcome. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "events/rules.h"
#include "service/convert.h"
#include "service/event_service.h"
#include "service/recording.h"
#include "service/request_checks.h"

/* One call of this file; in the call's arena. */
struct write_call {
    struct write_op op; /* first */
    struct call *call;
    struct event_service *service;
    size_t sound;                   /* items that are to be written */
    size_t held_events, held_bytes; /* of its tenant's room */
    /* Of a call that may not see every event: */
    struct list_op look; /* at the events, before they are changed */
    size_t looked_at;    /* items, from the first */
    bool *hidden;        /* by item: it may not see it */
    void (*answer)(struct write_call *write);
};

/* ---- checking ---- */

/* The failure of an item, which is made when something is wrong; NULL without memory, as the arena
 * remembers. */
static struct item_failure *failure_of(struct arena *arena, struct write_item *item)
{
    if (!item->wrong)
        item->wrong = arena_calloc(arena, 1, sizeof(*item->wrong));
    return item->wrong;
}

static void add_violation(struct arena *arena, struct write_item *item, const char *reason,
                          const char *field, const char *description)
{
    struct item_failure *failure = failure_of(arena, item);
    if (!failure || arena->exhausted)
        return; /* then the call fails */
    if (failure->violation_count == 0)
        status_fail(&failure->status, STATUS_INVALID_ARGUMENT, reason, "%s %s", field, description);
    CHECK(failure->violation_count < sizeof(failure->violations) / sizeof(failure->violations[0]));
    failure->violations[failure->violation_count++] =
        (struct field_violation){.field = field, .description = description};
}

/* "source" in a single request, "events[3].source" in a batch. NULL without memory. */
static const char *field_path(struct arena *arena, const char *prefix, const char *name)
{
    if (!prefix[0])
        return name;
    char path[64];
    snprintf(path, sizeof(path), "%s%s%s", prefix, name[0] ? "." : "", name);
    return arena_copy(arena, path, strlen(path));
}

static const char NEW_ID_RULE[] =
    "must be \"evt_\" and 26 characters of lower-case base32, a TypeID over a UUIDv7";

/* Separates the key and an event's number in the keys that the REST bridge makes from a batch's
 * key. No header can hold it. */
#define BATCH_KEY_SEPARATOR '\x1f'

static const char KEY_RULE[] = "must have at most 255 characters, and no event_id may be given";

/* Derives the id that a key stands for: see CreateEventRequest.idempotency_key. False without
 * memory. */
static bool derive_id(const char *key, struct arena *arena, struct store_item *append)
{
    struct slice source = append->event.source;
    size_t size = source.size + 1 + strlen(key);
    char *name = arena_alloc(arena, size);
    if (!name)
        return false;
    if (source.size > 0) /* else the source is refused, and there is no id */
        memcpy(name, source.data, source.size);
    name[source.size] = '\0';
    memcpy(name + source.size + 1, key, size - source.size - 1);
    typeid_derive(name, size, append->event.id);
    return true;
}

/* The id that the previous version derived from a key: from the key alone, which for events in a
 * REST batch ended in a # and their number. NULL without memory. */
static const uint8_t *derive_former_id(const char *key, struct arena *arena)
{
    uint8_t *id = arena_alloc(arena, TYPEID_BYTES);
    char *name = arena_copy(arena, key, strlen(key));
    if (!id || !name)
        return NULL;
    char *separator = strchr(name, BATCH_KEY_SEPARATOR);
    if (separator)
        *separator = '#';
    typeid_derive(name, strlen(name), id);
    return id;
}

/* What the key of the caller may not create is refused, when nothing else is wrong with it. */
static void check_allowed(struct write_call *write, struct write_item *item)
{
    const struct store_event *event = &item->stored.event;
    if (item->wrong || access_allows_event(write->call->pass, event->source, event->type))
        return;
    struct item_failure *failure = failure_of(write->op.arena, item);
    if (failure)
        status_fail(&failure->status, STATUS_PERMISSION_DENIED, "KEY_RESTRICTED",
                    "the key may not create events of this source and event_type");
}

/* The id that the caller made, the one that its key stands for, or a new one. Old ids are too short
 * for several callers to make them without clashes: only an import brings them. */
static void choose_id(const Triggers__V1__CreateEventRequest *request, const char *prefix,
                      struct arena *arena, struct write_item *item)
{
    const char *key = request->idempotency_key;
    const char *given = request->event_id;
    if (key[0] && (given[0] || !rule_key(key)))
        add_violation(arena, item, "IDEMPOTENCY_KEY_INVALID",
                      field_path(arena, prefix, "idempotency_key"), KEY_RULE);
    else if (key[0] && derive_id(key, arena, &item->stored))
        item->former_id = derive_former_id(key, arena);
    else if (!given[0])
        typeid_make(item->stored.event.id);
    else if (!typeid_parse(given, strlen(given), item->stored.event.id) ||
             typeid_is_old(item->stored.event.id))
        add_violation(arena, item, "EVENT_ID_INVALID", field_path(arena, prefix, "event_id"),
                      NEW_ID_RULE);
}

/* ---- outcomes ---- */

static struct status unwanted_outcome(enum store_outcome outcome, bool keyed)
{
    struct status status = STATUS_INIT;
    if (outcome == STORE_CONFLICT && keyed)
        status_fail(&status, STATUS_INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED",
                    "this idempotency key was used for an event with other content; make a new key "
                    "for a new event");
    else if (outcome == STORE_CONFLICT)
        status_fail(&status, STATUS_ALREADY_EXISTS, "EVENT_ID_TAKEN",
                    "an event with this id and other content exists; make a new id for a new "
                    "event");
    else if (outcome == STORE_NOT_FOUND)
        status_fail(&status, STATUS_NOT_FOUND, "EVENT_NOT_FOUND", "Event not found");
    return status;
}

static void return_room(struct write_call *write)
{
    access_return_room(write->service->access, write->op.op.scope, write->held_events,
                       write->held_bytes);
}

/* Each item that was not written gets its failure. */
static void on_written(struct write_op *op)
{
    struct write_call *write = (struct write_call *)op;
    CHECK(write->sound > 0 && write->sound <= op->count);
    return_room(write);
    if (op->op.status.code != STATUS_OK) {
        call_fail(write->call, &op->op.status, NULL, 0);
        return;
    }
    for (size_t i = 0; i < op->count; i++) {
        struct write_item *item = &op->items[i];
        enum store_outcome outcome = item->stored.outcome;
        bool good = !item->failure && (outcome == STORE_DONE || outcome == STORE_REPEATED);
        if (item->wrong || good)
            continue;
        struct item_failure *failure = failure_of(op->arena, item);
        if (!failure) {
            call_fail_no_memory(write->call);
            return;
        }
        failure->status = item->failure ? *item->failure : unwanted_outcome(outcome, item->keyed);
    }
    write->answer(write);
}

/* ---- the common part of all four calls ---- */

static struct write_call *write_call_new(Triggers__V1__EventService_Service *service,
                                         struct call *call, size_t count,
                                         void (*answer)(struct write_call *write))
{
    struct write_call *write = arena_calloc(&call->arena, 1, sizeof(*write));
    struct write_item *items = arena_calloc(&call->arena, count, sizeof(*items));
    if (!write || !items) {
        call_fail_no_memory(call);
        return NULL;
    }
    write->op.op.caller = call->caller;
    write->op.op.scope = call->scope;
    write->op.op.deadline_ms = call_answer_by_ms(call);
    write->op.items = items;
    write->op.count = count;
    write->op.arena = &call->arena;
    write->op.done = on_written;
    write->call = call;
    write->service = (struct event_service *)service;
    write->answer = answer;
    return write;
}

/* Whether there is room for the events that are to be created, and they are within the limits of
 * the caller. */
static bool take_events(struct write_call *write, struct status *status)
{
    struct access *access = write->service->access;
    struct scope scope = write->op.op.scope;
    size_t events = 0, bytes = 0;
    for (size_t i = 0; i < write->op.count; i++) {
        const struct write_item *item = &write->op.items[i];
        if (item->wrong || item->stored.kind != STORE_APPEND)
            continue;
        events++;
        bytes += item->stored.event.payload.size;
    }
    if (!access_hold_room(access, scope, events, bytes, status))
        return false;
    if (!access_take_events(access, write->call->pass, events, bytes, status)) {
        access_return_room(access, scope, events, bytes);
        return false;
    }
    write->held_events = events;
    write->held_bytes = bytes;
    return true;
}

static void submit(struct write_call *write)
{
    struct status status;
    if (write->op.arena->exhausted) {
        call_fail_no_memory(write->call);
    } else if (write->sound == 0) {
        write->answer(write); /* no item is valid */
    } else if (!take_events(write, &status)) {
        call_fail(write->call, &status, NULL, 0);
    } else if (!writer_submit(write->service->writer, &write->op, &status)) {
        access_return_events(write->service->access, write->call->pass, write->held_events,
                             write->held_bytes); /* what the queue refuses does not count */
        return_room(write);
        call_fail(write->call, &status, NULL, 0);
    }
}

/* ---- create ---- */

static void read_ordering_key(const Triggers__V1__CreateEventRequest *request, const char *prefix,
                              struct arena *arena, struct write_item *item)
{
    struct slice key = {request->ordering_key, strlen(request->ordering_key)};
    bool delayed =
        request->delivery_case == TRIGGERS__V1__CREATE_EVENT_REQUEST__DELIVERY_DELIVER_AT ||
        (request->delivery_case == TRIGGERS__V1__CREATE_EVENT_REQUEST__DELIVERY_DELAY_SECONDS &&
         request->delay_seconds > 0);
    item->stored.event.ordering_key = key;
    if (key.size > STORE_ORDERING_KEY_MAX)
        add_violation(arena, item, "ORDERING_KEY_INVALID",
                      field_path(arena, prefix, "ordering_key"),
                      "must have at most 255 bytes in UTF-8");
    else if (key.size > 0 && delayed)
        add_violation(arena, item, "ORDERING_KEY_WITH_DELAY",
                      field_path(arena, prefix, "ordering_key"),
                      "must not be given together with deliver_at or delay_seconds: an event is "
                      "either ordered by its key or delayed");
}

static void read_deliver_at(const Google__Protobuf__Timestamp *time, const char *prefix,
                            struct arena *arena, struct write_item *item)
{
    int64_t *deliver_at_us = &item->stored.event.deliver_at_us;
    if (!convert_time_us(time, deliver_at_us))
        add_violation(arena, item, "DELIVER_AT_INVALID", field_path(arena, prefix, "deliver_at"),
                      TIME_RULE);
    else if (*deliver_at_us - clock_now_us() > EVENT_MAX_DELAY_S * INT64_C(1000000))
        add_violation(arena, item, "DELIVER_AT_INVALID", field_path(arena, prefix, "deliver_at"),
                      "must be at most 31 days ahead");
}

static void read_delivery(const Triggers__V1__CreateEventRequest *request, const char *prefix,
                          struct arena *arena, struct write_item *item)
{
    switch (request->delivery_case) {
    case TRIGGERS__V1__CREATE_EVENT_REQUEST__DELIVERY_DELIVER_AT:
        read_deliver_at(request->deliver_at, prefix, arena, item);
        break;
    case TRIGGERS__V1__CREATE_EVENT_REQUEST__DELIVERY_DELAY_SECONDS:
        item->delay_us = request->delay_seconds * INT64_C(1000000);
        if (request->delay_seconds > EVENT_MAX_DELAY_S)
            add_violation(arena, item, "DELAY_INVALID", field_path(arena, prefix, "delay_seconds"),
                          "must be at most 2678400, which is 31 days");
        break;
    default: break; /* at once */
    }
}

/* Checks the event; its item gets what is wrong with it. */
static void add_event(struct write_call *write, size_t index,
                      const Triggers__V1__CreateEventRequest *request, const char *prefix)
{
    CHECK(index < write->op.count);
    struct arena *arena = write->op.arena;
    struct write_item *item = &write->op.items[index];
    struct store_event *event = &item->stored.event;
    const char *why;
    item->stored.kind = STORE_APPEND;
    item->keyed = request->idempotency_key[0] != '\0';
    bool named = rule_name(request->source, arena, &event->source, &why);
    choose_id(request, prefix, arena, item); /* the id of a key depends on the source */
    if (!named)
        add_violation(arena, item, "SOURCE_INVALID", field_path(arena, prefix, "source"), why);
    if (!rule_name(request->event_type, arena, &event->type, &why))
        add_violation(arena, item, "EVENT_TYPE_INVALID", field_path(arena, prefix, "event_type"),
                      why);
    event->payload = (struct slice){(const char *)request->payload.data, request->payload.len};
    if (!rule_payload(event->payload, &write->service->payloads, arena, &why))
        add_violation(arena, item,
                      event->payload.size > write->service->payloads.max_size ? "PAYLOAD_TOO_LARGE"
                                                                              : "PAYLOAD_INVALID",
                      field_path(arena, prefix, "payload"), why);
    read_ordering_key(request, prefix, arena, item);
    read_delivery(request, prefix, arena, item);
    check_allowed(write, item);
    write->sound += !item->wrong;
}

static bool fill_created(struct arena *arena, const struct write_item *item,
                         Triggers__V1__CreateEventResponse *created)
{
    triggers__v1__create_event_response__init(created);
    created->event_id = convert_id(arena, item->stored.event.id);
    created->created_at = convert_time(arena, item->stored.event.created_at_us);
    created->sequence = item->stored.event.sequence;
    return !arena->exhausted;
}

static void answer_create(struct write_call *write)
{
    Triggers__V1__CreateEventResponse response;
    struct call *call = write->call;
    const struct item_failure *wrong = write->op.items[0].wrong;
    CHECK(write->op.count == 1);
    if (wrong)
        call_fail(call, &wrong->status, wrong->violations, wrong->violation_count);
    else if (fill_created(&call->arena, &write->op.items[0], &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

EVENT_HANDLER(create_event, CreateEvent)
{
    (void)closure;
    struct write_call *write = write_call_new(service, call, 1, answer_create);
    if (!write)
        return;
    add_event(write, 0, request, "");
    submit(write);
}

static bool fill_create_result(struct arena *arena, const struct write_item *item,
                               Triggers__V1__CreateEventResult *result)
{
    triggers__v1__create_event_result__init(result);
    if (item->wrong) {
        result->outcome_case = TRIGGERS__V1__CREATE_EVENT_RESULT__OUTCOME_ERROR;
        result->error = convert_failure(arena, item->wrong);
        return result->error != NULL;
    }
    result->outcome_case = TRIGGERS__V1__CREATE_EVENT_RESULT__OUTCOME_CREATED;
    result->created = arena_alloc(arena, sizeof(*result->created));
    return result->created && fill_created(arena, item, result->created);
}

static void answer_batch_create(struct write_call *write)
{
    struct arena *arena = &write->call->arena;
    Triggers__V1__CreateEventResult *results =
        arena_calloc(arena, write->op.count, sizeof(*results));
    bool ok = results != NULL;
    for (size_t i = 0; ok && i < write->op.count; i++)
        ok = fill_create_result(arena, &write->op.items[i], &results[i]);
    Triggers__V1__BatchCreateEventsResponse response =
        TRIGGERS__V1__BATCH_CREATE_EVENTS_RESPONSE__INIT;
    response.n_results = write->op.count;
    response.results =
        ok ? convert_repeated(arena, results, write->op.count, sizeof(*results)) : NULL;
    if (response.results)
        call_reply(write->call, &response.base);
    else
        call_fail_no_memory(write->call);
}

EVENT_HANDLER(batch_create_events, BatchCreateEvents)
{
    (void)closure;
    if (!request_check_count(call, "events", request->n_events))
        return;
    struct write_call *write =
        write_call_new(service, call, request->n_events, answer_batch_create);
    if (!write)
        return;
    for (size_t i = 0; i < request->n_events; i++) {
        char prefix[32];
        snprintf(prefix, sizeof(prefix), "events[%zu]", i);
        add_event(write, i, request->events[i], prefix);
    }
    submit(write);
}

/* ---- acknowledge ---- */

/* An item of this kind for the event with that id. */
static void add_change(struct write_call *write, size_t index, enum store_kind kind,
                       const char *event_id, const char *field)
{
    CHECK(index < write->op.count);
    struct arena *arena = write->op.arena;
    struct write_item *item = &write->op.items[index];
    item->stored.kind = kind;
    if (!typeid_parse(event_id, strlen(event_id), item->stored.event.id))
        add_violation(arena, item, "EVENT_ID_INVALID", field_path(arena, field, ""), ID_RULE);
    write->sound += !item->wrong;
}

/* ---- of a call that may not see every event: these are not found ---- */

#define LOOKED_AT_ONCE 8 /* events, whose payloads come with them */

/* Asks for the next items that are to be written; returns how many. */
static size_t gather_gets(struct write_call *write, struct store_get *gets, size_t *places)
{
    size_t count = 0;
    for (; write->looked_at < write->op.count && count < LOOKED_AT_ONCE; write->looked_at++) {
        const struct write_item *item = &write->op.items[write->looked_at];
        if (item->wrong)
            continue;
        gets[count] = (struct store_get){.arena = write->op.arena};
        memcpy(gets[count].id, item->stored.event.id, TYPEID_BYTES);
        places[count++] = write->looked_at;
    }
    return count;
}

static bool may_see(const struct write_call *write, const struct store_get *get)
{
    return get->outcome == STORE_DONE &&
           access_allows_event(write->call->pass, get->event.source, get->event.type);
}

/* Who may not see an event is told that there is none; the record has it as it is. */
static void note_refused_change(const struct write_call *write, const struct write_item *item)
{
    char id[TYPEID_TEXT_SIZE];
    typeid_format(item->stored.event.id, id);
    recording_note(write->service->access, write->call, id, STATUS_PERMISSION_DENIED);
}

/* Hides what the call may not see. False: there was no memory for the first of them; from another
 * one that did not fit it goes on. */
static bool note_looked_at(struct write_call *write, const struct store_get *gets,
                           const size_t *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (gets[i].no_memory) {
            write->looked_at = places[i];
            return i > 0;
        }
        write->hidden[places[i]] = !may_see(write, &gets[i]);
        if (write->hidden[places[i]] && gets[i].outcome == STORE_DONE)
            note_refused_change(write, &write->op.items[places[i]]);
    }
    return true;
}

static struct write_call *write_call_of(struct list_op *look)
{
    return (struct write_call *)((char *)look - offsetof(struct write_call, look));
}

/* When there is no memory, the arena remembers. */
static enum store_result look_at_events(struct store_session *session, struct list_op *op,
                                        struct status *status)
{
    struct write_call *write = write_call_of(op);
    struct arena *arena = write->op.arena;
    struct store_get gets[LOOKED_AT_ONCE];
    struct store_get *pointers[LOOKED_AT_ONCE];
    size_t places[LOOKED_AT_ONCE];
    struct arena_place mark = arena_mark(arena);
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < LOOKED_AT_ONCE; i++)
        pointers[i] = &gets[i];
    write->looked_at = 0;
    for (size_t count; (count = gather_gets(write, gets, places)) > 0;) {
        result = session->store->driver->get(session, op->op.scope, pointers, count, status);
        if (result == STORE_OK && !note_looked_at(write, gets, places, count))
            return STORE_OK;
        arena_rewind(arena, mark);
        if (result != STORE_OK)
            return result;
    }
    return STORE_OK;
}

static void on_looked(struct op *op)
{
    struct write_call *write = write_call_of((struct list_op *)op);
    if (op->status.code != STATUS_OK) {
        call_fail(write->call, &op->status, NULL, 0);
        return;
    }
    for (size_t i = 0; i < write->op.count && !write->op.arena->exhausted; i++) {
        struct item_failure *failure =
            write->hidden[i] ? failure_of(write->op.arena, &write->op.items[i]) : NULL;
        if (!failure)
            continue;
        failure->status = unwanted_outcome(STORE_NOT_FOUND, false);
        write->sound--;
    }
    submit(write);
}

/* As submit, of changes to events, of which those are not found that the call may not see. */
static void submit_changes(struct write_call *write)
{
    struct status status;
    struct call *call = write->call;
    if (write->sound == 0 || write->op.arena->exhausted || !access_restricts_events(call->pass)) {
        submit(write);
        return;
    }
    write->hidden = arena_calloc(write->op.arena, write->op.count, sizeof(*write->hidden));
    write->look = (struct list_op){.op = {.caller = call->caller,
                                          .scope = call->scope,
                                          .deadline_ms = call_answer_by_ms(call),
                                          .done = on_looked},
                                   .ask = look_at_events};
    if (!write->hidden)
        call_fail_no_memory(call);
    else if (!readers_submit_list(write->service->readers, &write->look, &status))
        call_fail(call, &status, NULL, 0);
}

static bool fill_acked(struct arena *arena, const struct write_item *item,
                       Triggers__V1__AckEventResponse *acked)
{
    triggers__v1__ack_event_response__init(acked);
    acked->event_id = convert_id(arena, item->stored.event.id);
    acked->acknowledged_at = convert_time(arena, item->stored.event.acknowledged_at_us);
    return !arena->exhausted;
}

static void answer_ack(struct write_call *write)
{
    Triggers__V1__AckEventResponse response;
    struct call *call = write->call;
    const struct item_failure *wrong = write->op.items[0].wrong;
    CHECK(write->op.count == 1);
    if (wrong)
        call_fail(call, &wrong->status, wrong->violations, wrong->violation_count);
    else if (fill_acked(&call->arena, &write->op.items[0], &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

EVENT_HANDLER(ack_event, AckEvent)
{
    (void)closure;
    struct write_call *write = write_call_new(service, call, 1, answer_ack);
    if (!write)
        return;
    add_change(write, 0, STORE_ACK, request->event_id, "event_id");
    submit_changes(write);
}

static bool fill_ack_result(struct arena *arena, const struct write_item *item,
                            Triggers__V1__AckEventResult *result)
{
    triggers__v1__ack_event_result__init(result);
    if (item->wrong) {
        result->outcome_case = TRIGGERS__V1__ACK_EVENT_RESULT__OUTCOME_ERROR;
        result->error = convert_failure(arena, item->wrong);
        return result->error != NULL;
    }
    result->outcome_case = TRIGGERS__V1__ACK_EVENT_RESULT__OUTCOME_ACKNOWLEDGED;
    result->acknowledged = arena_alloc(arena, sizeof(*result->acknowledged));
    return result->acknowledged && fill_acked(arena, item, result->acknowledged);
}

static void answer_batch_ack(struct write_call *write)
{
    struct arena *arena = &write->call->arena;
    Triggers__V1__AckEventResult *results = arena_calloc(arena, write->op.count, sizeof(*results));
    bool ok = results != NULL;
    for (size_t i = 0; ok && i < write->op.count; i++)
        ok = fill_ack_result(arena, &write->op.items[i], &results[i]);
    Triggers__V1__BatchAckEventsResponse response = TRIGGERS__V1__BATCH_ACK_EVENTS_RESPONSE__INIT;
    response.n_results = write->op.count;
    response.results =
        ok ? convert_repeated(arena, results, write->op.count, sizeof(*results)) : NULL;
    if (response.results)
        call_reply(write->call, &response.base);
    else
        call_fail_no_memory(write->call);
}

EVENT_HANDLER(batch_ack_events, BatchAckEvents)
{
    (void)closure;
    if (!request_check_count(call, "event_ids", request->n_event_ids))
        return;
    struct write_call *write =
        write_call_new(service, call, request->n_event_ids, answer_batch_ack);
    if (!write)
        return;
    for (size_t i = 0; i < request->n_event_ids; i++) {
        char field[32];
        snprintf(field, sizeof(field), "event_ids[%zu]", i);
        add_change(write, i, STORE_ACK, request->event_ids[i], field);
    }
    submit_changes(write);
}

/* ---- erase ---- */

static void note_erased(const struct write_call *write)
{
    char id[TYPEID_TEXT_SIZE];
    const struct write_item *item = &write->op.items[0];
    typeid_format(item->stored.event.id, id);
    recording_note(write->service->access, write->call, id,
                   item->wrong ? item->wrong->status.code : STATUS_OK);
}

static void answer_erase(struct write_call *write)
{
    Triggers__V1__EraseEventResponse response = TRIGGERS__V1__ERASE_EVENT_RESPONSE__INIT;
    struct call *call = write->call;
    const struct write_item *item = &write->op.items[0];
    CHECK(write->op.count == 1);
    note_erased(write);
    if (item->wrong) {
        call_fail(call, &item->wrong->status, item->wrong->violations,
                  item->wrong->violation_count);
        return;
    }
    response.event_id = convert_id(&call->arena, item->stored.event.id);
    response.sequence = item->stored.event.sequence;
    if (response.event_id)
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

EVENT_HANDLER(erase_event, EraseEvent)
{
    (void)closure;
    struct write_call *write = write_call_new(service, call, 1, answer_erase);
    if (!write)
        return;
    add_change(write, 0, STORE_ERASE, request->event_id, "event_id");
    submit_changes(write);
}
