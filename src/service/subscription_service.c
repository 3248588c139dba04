/* The subscriptions themselves: create, change, read, list, remove, seek. */
#include "service/subscription_service.h"

#include <string.h>

#include "base/check.h"
#include "base/rfc3339.h"
#include "events/rules.h"
#include "service/convert.h"
#include "service/list_request.h"
#include "service/recording.h"
#include "service/request_checks.h"

/* One call of this file, in its arena. */
struct put_call {
    struct put_subscription put; /* first */
    struct call *call;
    struct access *access;
};

struct get_subscription_call {
    struct get_subscription get; /* first */
    struct call *call;
};

struct list_subscriptions_call {
    struct list_subscriptions list; /* first */
    struct call *call;
};

struct remove_call {
    struct remove_subscription remove; /* first */
    struct call *call;
    struct access *access;
};

struct seek_call {
    struct seek_subscription seek; /* first */
    struct call *call;
    struct access *access;
};

/* ---- what the handlers share ---- */

void subscription_service_init(struct subscription_service *service,
                               struct subscriptions *subscriptions, struct access *access)
{
    *service = (struct subscription_service){
        .base = TRIGGERS__V1__SUBSCRIPTION_SERVICE__INIT(subscription_service_),
        .subscriptions = subscriptions,
        .access = access,
    };
}

struct subscriptions *subscriptions_of(Triggers__V1__SubscriptionService_Service *service)
{
    return ((struct subscription_service *)service)->subscriptions;
}

struct access *subscription_access_of(Triggers__V1__SubscriptionService_Service *service)
{
    return ((struct subscription_service *)service)->access;
}

bool subscription_is_allowed(Triggers__V1__SubscriptionService_Service *service, struct call *call,
                             const char *name)
{
    struct status status;
    struct slice given = {name, strlen(name)};
    if (access_allows_subscription(call->pass, given) || !subscription_name_is_valid(given))
        return true; /* what is not valid is not found either */
    recording_note(subscription_access_of(service), call, name, STATUS_PERMISSION_DENIED);
    subscription_name_not_found(name, &status);
    call_fail(call, &status, NULL, 0);
    return false;
}

struct subscription_request
subscription_request_of(struct call *call, const char *name,
                        void (*done)(struct subscription_request *request))
{
    return (struct subscription_request){
        .scope = call->scope,
        .caller = call->caller,
        .deadline_ms = call_answer_by_ms(call),
        .name = {name, strlen(name)},
        .arena = &call->arena,
        .status = STATUS_INIT,
        .done = done,
    };
}

/* ---- a subscription as a message ---- */

static char **convert_names(struct arena *arena, const struct slice *names, size_t count)
{
    char **texts = arena_alloc(arena, count * sizeof(*texts));
    for (size_t i = 0; texts && i < count; i++)
        texts[i] = arena_copy(arena, names[i].data, names[i].size);
    return texts;
}

static Triggers__V1__SubscriptionFilter *convert_filter(struct arena *arena,
                                                        const struct store_filter *filter)
{
    Triggers__V1__SubscriptionFilter *message = arena_alloc(arena, sizeof(*message));
    if (!message)
        return NULL;
    triggers__v1__subscription_filter__init(message);
    message->sources = convert_names(arena, filter->sources, filter->source_count);
    message->n_sources = filter->source_count;
    message->event_types = convert_names(arena, filter->types, filter->type_count);
    message->n_event_types = filter->type_count;
    return message;
}

static Triggers__V1__Backoff *convert_backoff(struct arena *arena,
                                              const struct subscription_settings *settings)
{
    Triggers__V1__Backoff *message = arena_alloc(arena, sizeof(*message));
    if (!message)
        return NULL;
    triggers__v1__backoff__init(message);
    message->minimum_case = TRIGGERS__V1__BACKOFF__MINIMUM_MINIMUM_SECONDS;
    message->minimum_seconds = settings->backoff_minimum;
    message->maximum_case = TRIGGERS__V1__BACKOFF__MAXIMUM_MAXIMUM_SECONDS;
    message->maximum_seconds = settings->backoff_maximum;
    return message;
}

/* False when the arena is full. */
static bool fill_subscription(struct arena *arena, const struct subscription_view *view,
                              Triggers__V1__Subscription *message)
{
    const struct subscription_settings *settings = &view->settings;
    const struct slice *description = &settings->description;
    triggers__v1__subscription__init(message);
    message->name = arena_copy(arena, view->name.data, view->name.size);
    message->description =
        arena_copy(arena, description->data ? description->data : "", description->size);
    if (settings->filter.source_count > 0 || settings->filter.type_count > 0)
        message->filter = convert_filter(arena, &settings->filter);
    message->lease_seconds = settings->lease_seconds;
    message->max_delivery_attempts = settings->max_attempts;
    message->backoff = convert_backoff(arena, settings);
    message->max_outstanding = settings->max_outstanding;
    message->acknowledge_in_inbox = settings->acknowledges_in_inbox;
    message->paused = settings->paused;
    message->created_at = convert_time(arena, view->created_at_us);
    message->ordering = settings->by_key ? TRIGGERS__V1__ORDERING__ORDERING_BY_KEY
                                         : TRIGGERS__V1__ORDERING__ORDERING_NONE;
    message->after_dead_letter = settings->blocks_by_dead
                                     ? TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_BLOCK
                                     : TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_SKIP;
    return !arena->exhausted;
}

/* ---- where to start ---- */

/* A decimal number that 64 bits hold. */
static bool read_sequence(const char *text, int64_t *sequence)
{
    *sequence = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(*sequence, 10, sequence) ||
            __builtin_add_overflow(*sequence, *text - '0', sequence))
            return false;
    }
    return !*text && *sequence >= 1;
}

/* The first microsecond that is not before the time. That of 1970 would look like none. */
static bool read_start_time(const char *text, int64_t *time_us)
{
    int64_t seconds;
    int32_t nanos;
    if (!rfc3339_read(text, &seconds, &nanos))
        return false;
    *time_us = seconds * 1000000 + (nanos + 999) / 1000;
    if (*time_us == 0)
        *time_us = -1;
    return true;
}

static bool read_start(struct call *call, const char *field, const char *text, struct start *start)
{
    if (strcmp(text, "latest") == 0)
        start->kind = START_LATEST;
    else if (strcmp(text, "earliest") == 0)
        start->kind = START_EARLIEST;
    else if (read_sequence(text, &start->value))
        start->kind = START_SEQUENCE;
    else if (read_start_time(text, &start->value))
        start->kind = START_TIME;
    else
        return request_refuse(call, "POSITION_INVALID", field,
                              "must be \"latest\", \"earliest\", a time as in RFC 3339, such as "
                              "\"2026-01-31T23:59:59Z\", or a sequence, 1 or more");
    return true;
}

/* ---- create and change ---- */

static void on_put(struct subscription_request *request)
{
    struct put_call *put = (struct put_call *)request;
    struct call *call = put->call;
    Triggers__V1__Subscription subscription;
    Triggers__V1__PutSubscriptionResponse response = TRIGGERS__V1__PUT_SUBSCRIPTION_RESPONSE__INIT;
    response.subscription = &subscription;
    response.created = put->put.created;
    recording_note(put->access, call, request->name.data, request->status.code);
    if (request->status.code != STATUS_OK)
        call_fail(call, &request->status, NULL, 0);
    else if (fill_subscription(&call->arena, &put->put.view, &subscription))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

/* Whether something is stated; notes that then. `chosen`: the case of a field that is alone in its
 * oneof, or an enum, which is not when it is 0. */
static bool given(struct put_subscription *put, uint32_t chosen, unsigned bit)
{
    if (chosen)
        put->given |= bit;
    return chosen;
}

static bool read_put_numbers(struct call *call, const Triggers__V1__PutSubscriptionRequest *request,
                             struct put_subscription *put)
{
    struct subscription_settings *settings = &put->settings;
    settings->lease_seconds = request->lease_seconds;
    settings->max_attempts = request->max_delivery_attempts;
    settings->max_outstanding = request->max_outstanding;
    return (!given(put, request->lease_seconds_stated_case, GIVEN_LEASE) ||
            request_check_range(call, "LEASE_INVALID", "lease_seconds", request->lease_seconds, 1,
                                SUBSCRIPTION_LEASE_MAX)) &&
           (!given(put, request->max_delivery_attempts_stated_case, GIVEN_ATTEMPTS) ||
            request_check_range(call, "ATTEMPTS_INVALID", "max_delivery_attempts",
                                request->max_delivery_attempts, 0, SUBSCRIPTION_ATTEMPTS_MAX)) &&
           (!given(put, request->max_outstanding_stated_case, GIVEN_OUTSTANDING) ||
            request_check_range(call, "MAX_OUTSTANDING_INVALID", "max_outstanding",
                                request->max_outstanding, 1, SUBSCRIPTION_OUTSTANDING_MAX));
}

/* That the minimum is not over the maximum is seen when what is not stated is known. */
static bool read_backoff(struct call *call, const Triggers__V1__Backoff *backoff,
                         struct put_subscription *put)
{
    if (!backoff)
        return true;
    put->settings.backoff_minimum = backoff->minimum_seconds;
    put->settings.backoff_maximum = backoff->maximum_seconds;
    bool has_minimum = given(put, backoff->minimum_case, GIVEN_BACKOFF_MINIMUM);
    bool has_maximum = given(put, backoff->maximum_case, GIVEN_BACKOFF_MAXIMUM);
    uint32_t least = has_minimum && has_maximum ? backoff->minimum_seconds : 0;
    return (!has_minimum ||
            request_check_range(call, "BACKOFF_INVALID", "backoff.minimum_seconds",
                                backoff->minimum_seconds, 0, SUBSCRIPTION_BACKOFF_MAX)) &&
           (!has_maximum ||
            request_check_range(call, "BACKOFF_INVALID", "backoff.maximum_seconds",
                                backoff->maximum_seconds, least, SUBSCRIPTION_BACKOFF_MAX));
}

static bool read_description(struct call *call, const Triggers__V1__PutSubscriptionRequest *request,
                             struct put_subscription *put)
{
    if (!given(put, request->description_stated_case, GIVEN_DESCRIPTION))
        return true;
    put->settings.description = (struct slice){request->description, strlen(request->description)};
    return request_check_length(call, "DESCRIPTION_INVALID", "description", request->description,
                                SUBSCRIPTION_DESCRIPTION_MAX);
}

/* Enums may have any number. */
static bool read_ordering(struct call *call, const Triggers__V1__PutSubscriptionRequest *request,
                          struct put_subscription *put)
{
    put->settings.by_key = request->ordering == TRIGGERS__V1__ORDERING__ORDERING_BY_KEY;
    put->settings.blocks_by_dead =
        request->after_dead_letter == TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_BLOCK;
    if (given(put, request->ordering, GIVEN_ORDERING) && !put->settings.by_key &&
        request->ordering != TRIGGERS__V1__ORDERING__ORDERING_NONE)
        return request_refuse(call, "ORDERING_INVALID", "ordering", "must be none or by_key");
    if (given(put, request->after_dead_letter, GIVEN_AFTER_DEAD) && !put->settings.blocks_by_dead &&
        request->after_dead_letter != TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_SKIP)
        return request_refuse(call, "AFTER_DEAD_LETTER_INVALID", "after_dead_letter",
                              "must be skip or block");
    return true;
}

/* Why the key may not put this; NULL: it may. Who may acknowledge in the inbox may also have a
 * subscription do so, and who sees some events alone may have one give out these. */
static const char *why_not_put(const struct call *call, const struct put_subscription *put)
{
    static const struct slice inbox = {SUBSCRIPTION_INBOX, sizeof(SUBSCRIPTION_INBOX) - 1};
    if (!access_allows_subscription(call->pass, put->request.name))
        return "the key may not create or change a subscription of this name";
    if (put->settings.acknowledges_in_inbox && !access_allows_subscription(call->pass, inbox))
        return "the key may not use the subscription inbox, so no other may acknowledge there "
               "either";
    if (!access_allows_filter(call->pass, &put->settings.filter))
        return "the key sees the events of some sources or types alone, so the filter must be "
               "given, and name none but these";
    return NULL;
}

static bool may_put(struct call *call, const struct put_call *put)
{
    struct status status;
    const char *why = why_not_put(call, &put->put);
    if (!why)
        return true;
    status_fail(&status, STATUS_PERMISSION_DENIED, "KEY_RESTRICTED", "%s", why);
    recording_note(put->access, call, put->put.request.name.data, STATUS_PERMISSION_DENIED);
    call_fail(call, &status, NULL, 0);
    return false;
}

static bool read_put(struct call *call, const Triggers__V1__PutSubscriptionRequest *request,
                     struct put_subscription *put)
{
    if (!subscription_name_is_valid(put->request.name))
        return request_refuse(call, "NAME_INVALID", "name",
                              "must be 1 to 63 characters of a-z, 0-9, \".\", \"_\" and \"-\", of "
                              "which the first is a letter or digit");
    const Triggers__V1__SubscriptionFilter *filter = request->filter;
    if (filter && !list_request_names(call, filter->sources, filter->n_sources, filter->event_types,
                                      filter->n_event_types, &put->settings.filter))
        return false;
    put->given |= filter ? GIVEN_FILTER : 0;
    if (given(put, request->acknowledge_in_inbox_stated_case, GIVEN_INBOX))
        put->settings.acknowledges_in_inbox = request->acknowledge_in_inbox;
    if (given(put, request->paused_stated_case, GIVEN_PAUSED))
        put->settings.paused = request->paused;
    return (!request->start[0] || read_start(call, "start", request->start, &put->start)) &&
           read_description(call, request, put) && read_put_numbers(call, request, put) &&
           read_backoff(call, request->backoff, put) && read_ordering(call, request, put);
}

SUBSCRIPTION_HANDLER(put_subscription, PutSubscription)
{
    (void)closure;
    struct call *owner = call;
    struct put_call *put = arena_calloc(&owner->arena, 1, sizeof(*put));
    if (!put) {
        call_fail_no_memory(call);
        return;
    }
    put->call = call;
    put->put.request = subscription_request_of(call, request->name, on_put);
    put->access = subscription_access_of(service);
    if (read_put(call, request, &put->put) && may_put(call, put))
        subscriptions_put(subscriptions_of(service), &put->put);
}

/* ---- read ---- */

static void on_got_subscription(struct subscription_request *request)
{
    struct get_subscription_call *get = (struct get_subscription_call *)request;
    struct call *call = get->call;
    const struct subscription_figures *figures = &get->get.figures;
    Triggers__V1__Subscription subscription;
    Triggers__V1__GetSubscriptionResponse response = TRIGGERS__V1__GET_SUBSCRIPTION_RESPONSE__INIT;
    if (request->status.code != STATUS_OK) {
        call_fail(call, &request->status, NULL, 0);
        return;
    }
    response.subscription = &subscription;
    response.position = figures->position;
    response.backlog = figures->backlog;
    response.backlog_is_estimate = figures->backlog_is_estimate;
    response.outstanding = (int64_t)figures->outstanding;
    response.delayed = (int64_t)figures->waiting + figures->delayed;
    response.dead_letters = figures->dead_letters;
    if (figures->oldest_us)
        response.oldest_unsettled_at = convert_time(&call->arena, figures->oldest_us);
    if (fill_subscription(&call->arena, &get->get.view, &subscription))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

SUBSCRIPTION_HANDLER(get_subscription, GetSubscription)
{
    (void)closure;
    struct call *owner = call;
    if (!subscription_is_allowed(service, call, request->name))
        return;
    struct get_subscription_call *get = arena_calloc(&owner->arena, 1, sizeof(*get));
    if (!get) {
        call_fail_no_memory(call);
        return;
    }
    get->call = call;
    get->get.request = subscription_request_of(call, request->name, on_got_subscription);
    subscriptions_get(subscriptions_of(service), &get->get);
}

/* ---- list ---- */

/* Those that the call may not use are left out. */
static bool fill_subscriptions(struct call *call, const struct list_subscriptions *list,
                               Triggers__V1__ListSubscriptionsResponse *response)
{
    struct arena *arena = &call->arena;
    size_t count = 0;
    Triggers__V1__Subscription *messages = arena_calloc(arena, list->count, sizeof(*messages));
    for (size_t i = 0; messages && i < list->count; i++) {
        if (!access_allows_subscription(call->pass, list->views[i].name))
            continue;
        if (!fill_subscription(arena, &list->views[i], &messages[count++]))
            return false;
    }
    if (list->more) {
        response->next_page_token = arena_alloc(arena, PAGE_TOKEN_SIZE);
        if (response->next_page_token)
            page_token_format(PAGE_LIST_OF_SUBSCRIPTIONS, list->after, response->next_page_token);
    }
    if (arena->exhausted)
        return false;
    response->subscriptions = convert_repeated(arena, messages, count, sizeof(*messages));
    response->n_subscriptions = count;
    return response->subscriptions != NULL;
}

static void on_listed_subscriptions(struct subscription_request *request)
{
    struct list_subscriptions_call *list = (struct list_subscriptions_call *)request;
    struct call *call = list->call;
    Triggers__V1__ListSubscriptionsResponse response =
        TRIGGERS__V1__LIST_SUBSCRIPTIONS_RESPONSE__INIT;
    if (request->status.code != STATUS_OK)
        call_fail(call, &request->status, NULL, 0);
    else if (fill_subscriptions(call, &list->list, &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

SUBSCRIPTION_HANDLER(list_subscriptions, ListSubscriptions)
{
    (void)closure;
    struct call *owner = call;
    struct list_subscriptions_call *list = arena_calloc(&owner->arena, 1, sizeof(*list));
    if (!list) {
        call_fail_no_memory(call);
        return;
    }
    list->call = call;
    list->list.request = subscription_request_of(call, "", on_listed_subscriptions);
    if (list_request_size(call, request->page_size, &list->list.limit) &&
        list_request_token(call, request->page_token, PAGE_LIST_OF_SUBSCRIPTIONS,
                           &list->list.after))
        subscriptions_list(subscriptions_of(service), &list->list);
}

/* ---- remove ---- */

static void on_removed(struct subscription_request *request)
{
    struct remove_call *remove = (struct remove_call *)request;
    struct call *call = remove->call;
    Triggers__V1__DeleteSubscriptionResponse response =
        TRIGGERS__V1__DELETE_SUBSCRIPTION_RESPONSE__INIT;
    recording_note(remove->access, call, request->name.data, request->status.code);
    if (request->status.code != STATUS_OK)
        call_fail(call, &request->status, NULL, 0);
    else
        call_reply(call, &response.base);
}

SUBSCRIPTION_HANDLER(delete_subscription, DeleteSubscription)
{
    (void)closure;
    struct call *owner = call;
    if (!subscription_is_allowed(service, call, request->name))
        return;
    struct remove_call *remove = arena_calloc(&owner->arena, 1, sizeof(*remove));
    if (!remove) {
        call_fail_no_memory(call);
        return;
    }
    remove->call = call;
    remove->access = subscription_access_of(service);
    remove->remove.request = subscription_request_of(call, request->name, on_removed);
    subscriptions_remove(subscriptions_of(service), &remove->remove);
}

/* ---- seek ---- */

static void on_sought(struct subscription_request *request)
{
    struct seek_call *seek = (struct seek_call *)request;
    Triggers__V1__SeekResponse response = TRIGGERS__V1__SEEK_RESPONSE__INIT;
    response.position = seek->seek.position;
    response.events = seek->seek.events;
    if (!seek->seek.dry_run)
        recording_note(seek->access, seek->call, request->name.data, request->status.code);
    if (request->status.code != STATUS_OK)
        call_fail(seek->call, &request->status, NULL, 0);
    else
        call_reply(seek->call, &response.base);
}

SUBSCRIPTION_HANDLER(seek, Seek)
{
    (void)closure;
    struct call *owner = call;
    if (!subscription_is_allowed(service, call, request->name))
        return;
    struct seek_call *seek = arena_calloc(&owner->arena, 1, sizeof(*seek));
    if (!seek) {
        call_fail_no_memory(call);
        return;
    }
    seek->call = call;
    seek->access = subscription_access_of(service);
    seek->seek.request = subscription_request_of(call, request->name, on_sought);
    seek->seek.dry_run = request->dry_run;
    if (read_start(call, "to", request->to, &seek->seek.to))
        subscriptions_seek(subscriptions_of(service), &seek->seek);
}
