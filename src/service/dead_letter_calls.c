/* Dead letters: list, give out again, remove. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/siphash.h"
#include "events/rules.h"
#include "service/convert.h"
#include "service/list_request.h"
#include "service/recording.h"
#include "service/request_checks.h"
#include "service/subscription_service.h"

/* Where a page ends is two numbers; its token is two, one after the other. */
#define LETTER_TOKEN_SIZE (2 * (PAGE_TOKEN_SIZE - 1) + 1)

struct list_letters_call {
    struct list_dead_letters list; /* first */
    uint64_t page_list;            /* what its tokens are bound to */
    struct call *call;
};

struct change_letters_call {
    struct dead_letter_request change; /* first */
    struct call *call;
    struct access *access;
};

/* ---- list ---- */

static char *format_token(struct arena *arena, const struct list_letters_call *list)
{
    const struct store_dead_letters *page = &list->list.list;
    const struct store_listed_dead_letter *last = &page->letters[page->count - 1];
    CHECK(page->count > 0);
    char *token = arena_alloc(arena, LETTER_TOKEN_SIZE);
    if (!token)
        return NULL;
    page_token_format(list->page_list, last->settlement, token);
    page_token_format(list->page_list, last->letter.sequence, token + PAGE_TOKEN_SIZE - 1);
    return token;
}

static bool read_token(struct call *call, const char *token, struct list_letters_call *list)
{
    struct store_dead_letters *page = &list->list.list;
    char first[PAGE_TOKEN_SIZE];
    if (token[0] == '\0')
        return true;
    size_t size = strnlen(token, PAGE_TOKEN_SIZE - 1);
    memcpy(first, token, size);
    first[size] = '\0';
    return list_request_token(call, first, list->page_list, &page->after_settlement) &&
           list_request_token(call, token[size] ? token + size : "-", list->page_list,
                              &page->after_sequence);
}

static bool fill_letter(struct arena *arena, const struct store_listed_dead_letter *listed,
                        Triggers__V1__DeadLetter *message)
{
    const struct store_dead_letter *letter = &listed->letter;
    triggers__v1__dead_letter__init(message);
    if (listed->event.source.size > 0)
        message->event = convert_event(arena, &listed->event);
    message->delivery_attempts = letter->attempts;
    message->first_delivered_at = convert_time(arena, letter->first_us);
    message->dead_at = convert_time(arena, letter->dead_us);
    message->reason =
        arena_copy(arena, letter->reason.data ? letter->reason.data : "", letter->reason.size);
    return !arena->exhausted;
}

static bool fill_letters(struct arena *arena, const struct list_letters_call *list,
                         Triggers__V1__ListDeadLettersResponse *response)
{
    const struct store_dead_letters *page = &list->list.list;
    Triggers__V1__DeadLetter *messages = arena_calloc(arena, page->count, sizeof(*messages));
    for (size_t i = 0; messages && i < page->count; i++)
        if (!fill_letter(arena, &page->letters[i], &messages[i]))
            return false;
    if (page->more)
        response->next_page_token = format_token(arena, list);
    if (arena->exhausted)
        return false;
    response->dead_letters = convert_repeated(arena, messages, page->count, sizeof(*messages));
    response->n_dead_letters = page->count;
    return response->dead_letters != NULL;
}

static void on_listed_letters(struct subscription_request *request)
{
    struct list_letters_call *list = (struct list_letters_call *)request;
    struct call *call = list->call;
    Triggers__V1__ListDeadLettersResponse response = TRIGGERS__V1__LIST_DEAD_LETTERS_RESPONSE__INIT;
    if (request->status.code != STATUS_OK)
        call_fail(call, &request->status, NULL, 0);
    else if (fill_letters(&call->arena, list, &response))
        call_reply(call, &response.base);
    else
        call_fail_no_memory(call);
}

/* A token is of one subscription and filter. */
static uint64_t page_list_of_letters(const char *name, const struct store_filter *filter)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = {0};
    return page_list_of(&(struct store_list){.set = STORE_LOG, .filter = *filter}) ^
           siphash(key, name, strlen(name));
}

SUBSCRIPTION_HANDLER(list_dead_letters, ListDeadLetters)
{
    (void)closure;
    struct call *owner = call;
    if (!subscription_is_allowed(service, call, request->name))
        return;
    struct list_letters_call *list = arena_calloc(&owner->arena, 1, sizeof(*list));
    if (!list) {
        call_fail_no_memory(call);
        return;
    }
    list->call = call;
    list->list.request = subscription_request_of(call, request->name, on_listed_letters);
    struct store_dead_letters *page = &list->list.list;
    if (!list_request_size(call, request->page_size, &page->limit) ||
        !list_request_filter(call, request->filter, &page->filter))
        return;
    list->page_list = page_list_of_letters(request->name, &page->filter);
    if (read_token(call, request->page_token, list))
        subscriptions_dead_letters(subscriptions_of(service), &list->list);
}

/* ---- give out again, remove ---- */

static void on_changed_letters(struct subscription_request *request)
{
    struct change_letters_call *self = (struct change_letters_call *)request;
    const struct dead_letter_request *change = &self->change;
    Triggers__V1__RedriveDeadLettersResponse redriven =
        TRIGGERS__V1__REDRIVE_DEAD_LETTERS_RESPONSE__INIT;
    Triggers__V1__DeleteDeadLettersResponse deleted =
        TRIGGERS__V1__DELETE_DEAD_LETTERS_RESPONSE__INIT;
    redriven.redriven = deleted.deleted = change->concerned;
    redriven.left = deleted.left = change->left;
    if (!change->redrive && !change->dry_run)
        recording_note(self->access, self->call, request->name.data, request->status.code);
    if (request->status.code != STATUS_OK)
        call_fail(self->call, &request->status, NULL, 0);
    else
        call_reply(self->call, change->redrive ? &redriven.base : &deleted.base);
}

static bool read_ids(struct call *call, char *const *texts, size_t count,
                     struct dead_letter_request *change)
{
    uint8_t(*ids)[TYPEID_BYTES] = arena_alloc(&call->arena, count * sizeof(*ids));
    for (size_t i = 0; ids && i < count; i++) {
        char field[32];
        snprintf(field, sizeof(field), "event_ids[%zu]", i);
        if (!typeid_parse(texts[i], strlen(texts[i]), ids[i]))
            return request_refuse(call, "EVENT_ID_INVALID", field, ID_RULE);
    }
    change->event_ids = (const uint8_t(*)[TYPEID_BYTES])ids;
    change->count = count;
    if (!ids)
        call_fail_no_memory(call);
    return ids != NULL;
}

/* NULL after having answered. */
static struct change_letters_call *
change_letters_new(Triggers__V1__SubscriptionService_Service *service, struct call *call,
                   const char *name, char *const *ids, size_t count, bool all)
{
    if (!subscription_is_allowed(service, call, name))
        return NULL;
    struct change_letters_call *self = arena_calloc(&call->arena, 1, sizeof(*self));
    if (!self) {
        call_fail_no_memory(call);
        return NULL;
    }
    self->call = call;
    self->access = subscription_access_of(service);
    self->change.request = subscription_request_of(call, name, on_changed_letters);
    self->change.all = all;
    if (all && count > 0) {
        request_refuse(call, "EVENT_IDS_INVALID", "event_ids", "must be empty when all is true");
        return NULL;
    }
    if (!all && (!request_check_count(call, "event_ids", count) ||
                 !read_ids(call, ids, count, &self->change)))
        return NULL;
    return self;
}

SUBSCRIPTION_HANDLER(redrive_dead_letters, RedriveDeadLetters)
{
    (void)closure;
    struct change_letters_call *self = change_letters_new(
        service, call, request->name, request->event_ids, request->n_event_ids, request->all);
    if (!self)
        return;
    self->change.redrive = true;
    self->change.rate = request->events_per_second;
    self->change.dry_run = request->dry_run;
    subscriptions_dead_letter(subscriptions_of(service), &self->change);
}

SUBSCRIPTION_HANDLER(delete_dead_letters, DeleteDeadLetters)
{
    (void)closure;
    struct change_letters_call *self = change_letters_new(
        service, call, request->name, request->event_ids, request->n_event_ids, request->all);
    if (!self)
        return;
    self->change.dry_run = request->dry_run;
    subscriptions_dead_letter(subscriptions_of(service), &self->change);
}
