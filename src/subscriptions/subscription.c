/* One subscription: what waits for it, and what is said to them. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "subscriptions/subscription.h"

/* ---- lists ---- */

void queue_init(struct request_queue *queue)
{
    *queue = (struct request_queue){.last = &queue->first};
}

void queue_add(struct request_queue *queue, struct subscription_request *request)
{
    request->next = NULL;
    *queue->last = request;
    queue->last = &request->next;
}

void queue_add_first(struct request_queue *queue, struct subscription_request *request)
{
    request->next = queue->first;
    queue->first = request;
    if (!request->next)
        queue->last = &request->next;
}

struct subscription_request *queue_take(struct request_queue *queue)
{
    struct subscription_request *first = queue->first;
    if (!first)
        return NULL;
    queue->first = first->next;
    if (!queue->first)
        queue->last = &queue->first;
    return first;
}

void pulls_init(struct pull_list *list)
{
    *list = (struct pull_list){.last = &list->first};
}

void pulls_add(struct pull_list *list, struct pull *pull)
{
    pull->next = NULL;
    pull->previous = list->last;
    *list->last = pull;
    list->last = &pull->next;
}

void pulls_remove(struct pull_list *list, struct pull *pull)
{
    CHECK(*pull->previous == pull);
    *pull->previous = pull->next;
    if (pull->next)
        pull->next->previous = pull->previous;
    else
        list->last = pull->previous;
}

void pulls_put_back(struct pull_list *list, struct pull_list *from)
{
    struct pull_list others = *list;
    if (!from->first)
        return;
    if (!others.first) {
        list->last = from->last;
    } else {
        *from->last = others.first;
        others.first->previous = from->last;
    }
    list->first = from->first;
    list->first->previous = &list->first;
    pulls_init(from);
}

bool sequences_add(struct sequence_list *sequences, int64_t sequence)
{
    if (sequences->count == sequences->room) {
        size_t room = sequences->room ? 2 * sequences->room : 16;
        int64_t *list = realloc(sequences->list, room * sizeof(*list));
        if (!list)
            return false;
        sequences->list = list;
        sequences->room = room;
    }
    sequences->list[sequences->count++] = sequence;
    return true;
}

/* ---- when the store's clock was set back ---- */

bool subscription_misses_turns(const struct subscription *subscription)
{
    return subscription->turns != atomic_load(&subscription->all->clock.turns);
}

void subscription_hear_of_turns(struct subscription *subscription)
{
    const struct store_clock *clock = &subscription->all->clock;
    if (!subscription_misses_turns(subscription))
        return;
    subscription->turns = atomic_load(&clock->turns);
    if (subscription->ledger)
        ledger_turn_back(subscription->ledger, store_clock_latest_us(clock),
                         atomic_load(&clock->turned_us));
}

static bool has_later(const struct store_entry *entries, size_t count, int64_t now_us)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].at_us > now_us)
            return true;
    return false;
}

void subscription_turn_back_read(struct subscription *subscription, const struct store_ledger *read,
                                 bool anew)
{
    const struct store_clock *clock = &subscription->all->clock;
    int64_t now_us = store_clock_latest_us(clock);
    if (anew)
        subscription->turns = atomic_load(&clock->turns);
    if (anew || has_later(read->new_takes, read->new_take_count, now_us) ||
        has_later(read->new_settlements, read->new_settlement_count, now_us))
        ledger_turn_back(subscription->ledger, now_us, 0);
}

/* ---- life ---- */

struct subscription *subscription_new(struct subscriptions *all, struct scope scope,
                                      struct slice name)
{
    struct subscription *subscription = calloc(1, sizeof(*subscription));
    if (!subscription)
        return NULL;
    CHECK(name.size <= SUBSCRIPTION_NAME_MAX);
    subscription->all = all;
    subscription->scope = scope;
    memcpy(subscription->name, name.data, name.size);
    pthread_mutex_init(&subscription->lock, NULL);
    pulls_init(&subscription->pulls);
    pulls_init(&subscription->granted);
    pulls_init(&subscription->taking);
    pulls_init(&subscription->settling.pulls);
    queue_init(&subscription->settles);
    queue_init(&subscription->requests);
    queue_init(&subscription->settling.answers);
    arena_init(&subscription->settings_arena, (size_t)1 << 20);
    arena_init(&subscription->settling.arena, (size_t)8 << 20);
    buffer_init(&subscription->settling.body, (size_t)16 << 20);
    subscription->wake_ms = INT64_MAX;
    subscription->series = SUBSCRIPTION_OTHERS;
    return subscription;
}

static void tell_nothing_out(struct subscription *subscription)
{
    (void)caps_tell_outstanding(tenants_caps(subscription->all->tenants),
                                subscription->scope.tenant, &subscription->share, 0);
}

void subscription_free(struct subscription *subscription)
{
    CHECK(subscription_is_idle(subscription) && subscription->waiter_state == WAITER_OUTSIDE);
    ledger_close(subscription->ledger);
    tell_nothing_out(subscription);
    arena_fini(&subscription->settings_arena);
    arena_fini(&subscription->settling.arena);
    buffer_fini(&subscription->settling.body);
    free(subscription->dropped.list);
    free(subscription->returned.list);
    free(subscription->settling.dropped.list);
    free(subscription->settling.returned.list);
    pthread_mutex_destroy(&subscription->lock);
    free(subscription);
}

bool subscription_is_idle(const struct subscription *subscription)
{
    return !subscription->working && !subscription->settling.under_way &&
           !subscription->pulls.first && !subscription->granted.first &&
           !subscription->taking.first && !subscription->settles.first &&
           !subscription->requests.first;
}

void subscription_forget(struct subscription *subscription)
{
    ledger_close(subscription->ledger);
    subscription->ledger = NULL;
    tell_nothing_out(subscription);
    subscription->state = SUBSCRIPTION_UNKNOWN;
    subscription->spoiled = false;
    subscription->scanned = 0;
    subscription->passing = 0;
}

void subscription_not_found(const struct subscription *subscription, struct status *status)
{
    subscription_name_not_found(subscription->name, status);
}

/* ---- pulls ---- */

void delivery_fill(const struct subscription *subscription, struct delivery *delivery,
                   const struct lease *lease)
{
    struct ack_id id = {.subscription = subscription->id,
                        .epoch = ledger_figures_of(subscription->ledger).epoch,
                        .lease = lease->id,
                        .sequence = lease->sequence};
    delivery->event.sequence = lease->sequence;
    delivery->attempt = lease->attempts;
    delivery->expires_us = lease->due_us;
    ack_id_format(&id, subscription->settings.key, delivery->ack_id);
}

void pulls_answer(struct pull_list *pulls, const struct status *status)
{
    for (struct pull *pull = pulls->first, *next; pull; pull = next) {
        next = pull->next;
        pull->request.status = *status;
        pull->request.done(&pull->request);
    }
    pulls_init(pulls);
}

void queue_answer(struct request_queue *queue)
{
    for (struct subscription_request *request; (request = queue_take(queue));)
        request->done(request);
}

/* ---- what is said ---- */

bool subscription_is_inbox(const struct subscription *subscription)
{
    return strcmp(subscription->name, SUBSCRIPTION_INBOX) == 0;
}

/* By its own settings; *of_tenant: by its tenant's caps. */
static size_t own_room(struct subscription *subscription, size_t *of_tenant)
{
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    size_t held = figures.out + figures.waiting + figures.blocked;
    size_t most = subscription->settings.max_outstanding;
    *of_tenant =
        caps_tell_outstanding(tenants_caps(subscription->all->tenants), subscription->scope.tenant,
                              &subscription->share, figures.out);
    return held < most && !subscription->settings.paused ? most - held : 0;
}

size_t subscription_room(struct subscription *subscription)
{
    size_t of_tenant;
    size_t room = own_room(subscription, &of_tenant);
    return room < of_tenant ? room : of_tenant;
}

bool subscription_is_capped(struct subscription *subscription)
{
    size_t of_tenant;
    return own_room(subscription, &of_tenant) > 0 && of_tenant == 0;
}

enum event_walk subscription_next_walk(struct subscription *subscription)
{
    struct ledger_key key;
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    if (subscription_room(subscription) == 0)
        return WALK_NONE;
    if (figures.next_delayed_us < INT64_MAX &&
        figures.next_delayed_us <= store_clock_now_us(&subscription->all->clock))
        return WALK_TIMES;
    if (figures.marks > 0 && ledger_ready(subscription->ledger, &key, 1) > 0)
        return WALK_KEYS;
    return subscription->look ? WALK_LOG : WALK_NONE;
}

bool subscription_is_untrimmed(const struct subscription *subscription)
{
    return subscription->trimmed.settlement < subscription->trim_to.settlement ||
           subscription->trimmed.take < subscription->trim_to.take;
}

void subscription_no_memory(struct status *status)
{
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY",
                "there is not enough memory for what the subscription gives out");
    status->retry_delay_ms = 1000;
}

void subscription_fail(struct subscription *subscription, const struct status *why)
{
    struct pull_list pulls;
    struct request_queue requests;
    pulls_init(&pulls);
    queue_init(&requests);
    pthread_mutex_lock(&subscription->lock);
    struct pull_list *lists[] = {&subscription->pulls, &subscription->granted,
                                 &subscription->taking};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (struct pull *pull = lists[i]->first, *next; pull; pull = next) {
            next = pull->next;
            if (pull->parked && !pull->calls->unpark(pull))
                continue; /* its caller takes it out himself */
            pull->parked = false;
            pull->count = 0;
            pulls_remove(lists[i], pull);
            pulls_add(&pulls, pull);
        }
    }
    struct request_queue *queues[] = {&subscription->settles, &subscription->requests};
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        for (struct subscription_request *request; (request = queue_take(queues[i]));) {
            request->status = *why;
            queue_add(&requests, request);
        }
    }
    pthread_mutex_unlock(&subscription->lock);
    queue_answer(&requests);
    pulls_answer(&pulls, why);
}
