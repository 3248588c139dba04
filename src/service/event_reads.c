/* One event by id, and pages of the inbox. */
#include <string.h>

#include "base/check.h"
#include "events/rules.h"
#include "service/convert.h"
#include "service/event_service.h"
#include "service/list_request.h"
#include "service/request_checks.h"

struct get_call {
    struct get_op op; /* first */
    struct call *call;
};

struct list_call {
    struct list_op op; /* first */
    struct call *call;
};

/* ---- get ---- */

static void on_got(struct op *op)
{
    struct get_call *get = (struct get_call *)op;
    struct call *call = get->call;
    if (op->status.code != STATUS_OK) {
        call_fail(call, &op->status, NULL, 0);
        return;
    }
    if (get->op.get.no_memory) {
        call_fail_no_memory(call);
        return;
    }
    const struct store_event *event = &get->op.get.event;
    if (get->op.get.outcome == STORE_NOT_FOUND ||
        !access_allows_event(call->pass, event->source, event->type)) {
        struct status status;
        status_fail(&status, STATUS_NOT_FOUND, "EVENT_NOT_FOUND", "Event not found");
        call_fail(call, &status, NULL, 0);
        return;
    }
    CHECK(get->op.get.outcome == STORE_DONE);
    Triggers__V1__GetEventResponse response = TRIGGERS__V1__GET_EVENT_RESPONSE__INIT;
    response.event = convert_event(&call->arena, event);
    if (response.event)
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

EVENT_HANDLER(get_event, GetEvent)
{
    (void)closure;
    struct event_service *self = (struct event_service *)service;
    struct call *owner = call;
    struct get_call *get = arena_calloc(&owner->arena, 1, sizeof(*get));
    if (!get) {
        call_fail_no_memory(call);
        return;
    }
    if (!typeid_parse(request->event_id, strlen(request->event_id), get->op.get.id)) {
        request_refuse(call, "EVENT_ID_INVALID", "event_id", ID_RULE);
        return;
    }
    get->call = call;
    get->op.op = (struct op){.caller = owner->caller,
                             .scope = owner->scope,
                             .deadline_ms = call_answer_by_ms(owner),
                             .done = on_got};
    get->op.get.arena = &owner->arena;
    struct status status;
    if (!readers_submit_get(self->readers, &get->op, &status))
        call_fail(call, &status, NULL, 0);
}

/* ---- list ---- */

static bool fill_page(struct arena *arena, const struct store_list *list,
                      Triggers__V1__ListInboxResponse *response)
{
    response->events = convert_page(arena, list);
    if (!response->events)
        return false;
    response->n_events = list->count;
    if (!list->more)
        return true;
    CHECK(list->count > 0);
    response->next_page_token = arena_alloc(arena, PAGE_TOKEN_SIZE);
    if (response->next_page_token)
        page_token_format(page_list_of(list), list->events[list->count - 1].sequence,
                          response->next_page_token);
    return response->next_page_token != NULL;
}

static void on_listed(struct op *op)
{
    struct list_call *list = (struct list_call *)op;
    struct call *call = list->call;
    Triggers__V1__ListInboxResponse response = TRIGGERS__V1__LIST_INBOX_RESPONSE__INIT;
    if (op->status.code != STATUS_OK)
        call_fail(call, &op->status, NULL, 0);
    else if (!list->op.list.no_memory && fill_page(&call->arena, &list->op.list, &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

/* Reads the request into `list`; false after having answered the call. */
static bool read_list_request(struct call *call, const Triggers__V1__ListInboxRequest *request,
                              struct store_list *list)
{
    if (request->status < 0 ||
        request->status > TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_ACKNOWLEDGED)
        return request_refuse(call, "STATUS_INVALID", "status",
                              "must be EVENT_STATUS_PENDING or EVENT_STATUS_ACKNOWLEDGED");
    if (request->order < 0 || request->order > TRIGGERS__V1__SORT_ORDER__SORT_ORDER_OLDEST_FIRST)
        return request_refuse(call, "ORDER_INVALID", "order",
                              "must be SORT_ORDER_NEWEST_FIRST or SORT_ORDER_OLDEST_FIRST");
    bool acknowledged = request->status == TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_ACKNOWLEDGED;
    list->set = acknowledged ? STORE_ACKNOWLEDGED : STORE_PENDING;
    list->oldest_first = request->order == TRIGGERS__V1__SORT_ORDER__SORT_ORDER_OLDEST_FIRST;
    list->max_bytes = EVENT_PAGE_MAX_BYTES;
    list->arena = &call->arena;
    return list_request_size(call, request->page_size, &list->limit) &&
           list_request_filter(call, request->filter, &list->filter) &&
           list_request_narrow(call, &list->filter) &&
           list_request_token(call, request->page_token, page_list_of(list), &list->after);
}

EVENT_HANDLER(list_inbox, ListInbox)
{
    (void)closure;
    struct event_service *self = (struct event_service *)service;
    struct call *owner = call;
    struct list_call *list = arena_calloc(&owner->arena, 1, sizeof(*list));
    if (!list) {
        call_fail_no_memory(call);
        return;
    }
    if (!read_list_request(call, request, &list->op.list))
        return;
    list->call = call;
    list->op.op = (struct op){.caller = owner->caller,
                              .scope = owner->scope,
                              .deadline_ms = call_answer_by_ms(owner),
                              .done = on_listed};
    struct status status;
    if (!readers_submit_list(self->readers, &list->op, &status))
        call_fail(call, &status, NULL, 0);
}
