/* What a worker of the lane of ledgers does for a subscription, step by step: it reads what is new
 * in its ledger (catching_up.c), carries out what was asked of it (managing.c), reads the events
 * that are given out again, and takes new ones for those who wait. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "subscriptions/subscription.h"

#define TAKE_ARENA ((size_t)24 << 20) /* of events: 8 MiB of payloads, or a single large one */
#define TAKE_BYTES ((size_t)8 << 20)
#define MAX_TRIES 8 /* while other cores take from the same subscription */
#define MAX_GETS 100
#define TRIM_MS 10000 /* between two steps of removing what a checkpoint has replaced */

/* ---- appending takes ---- */

enum store_result subscription_append(struct subscription *subscription,
                                      struct store_session *session, struct store_take *take,
                                      bool *taken, struct status *status)
{
    const struct store_driver *driver = session->store->driver;
    bool no_memory;
    take->subscription = subscription->id;
    take->revision = subscription->revision;
    random_fill(&take->entry.token, sizeof(take->entry.token));
    subscription->taking_token = take->entry.token;
    enum store_result result =
        driver->take(session, subscription->scope, (struct store_take *[]){take}, 1, status);
    *taken = result == STORE_OK && take->outcome == STORE_DONE;
    pthread_mutex_lock(&subscription->lock);
    if (!*taken) {
        subscription->stale = true;
    } else {
        store_note_time(subscription->all, take->entry.at_us);
        if (!subscription->ledger ||
            !ledger_apply_take(subscription->ledger, &take->entry, &no_memory)) {
            subscription_forget(subscription);
            *taken = false;
        }
    }
    pthread_mutex_unlock(&subscription->lock);
    return result;
}

/* ---- taking ---- */

/* The page of new events that those who wait may have; its limit is 0 when there is nobody or they
 * may have none. */
static struct store_list plan_take(struct subscription *subscription, struct arena *arena)
{
    size_t wanted = 0;
    pthread_mutex_lock(&subscription->lock);
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    size_t held = figures.out + figures.waiting + figures.blocked;
    size_t most = subscription->settings.max_outstanding;
    size_t room = held < most ? most - held : 0;
    if (!subscription->look || subscription->settings.paused)
        room = 0;
    for (const struct pull *pull = subscription->taking.first; pull; pull = pull->next)
        wanted += pull->max_events;
    for (const struct pull *pull = subscription->pulls.first; pull; pull = pull->next)
        wanted += pull->admitted ? pull->max_events : 0;
    wanted = wanted < room ? wanted : room;
    int64_t after =
        figures.position > subscription->scanned ? figures.position : subscription->scanned;
    pthread_mutex_unlock(&subscription->lock);
    return (struct store_list){
        .set = subscription_is_inbox(subscription) ? STORE_PENDING : STORE_LOG,
        .oldest_first = true,
        .after = after,
        .filter = subscription->settings.filter,
        .limit = (uint32_t)(wanted < STORE_LIST_MAX ? wanted : STORE_LIST_MAX),
        .max_bytes = TAKE_BYTES,
        .arena = arena,
    };
}

/* What is given to whom, and the entry that says so. */
struct division {
    const struct store_list *list;
    size_t next; /* event */
    int64_t *sequences;
    struct ledger_grant *grants;
    size_t grant_count;
    int64_t position;
};

/* The pull gets the next events; its status says when there was no memory for them. Lock held. */
static void give(struct subscription *subscription, struct division *division, struct pull *pull)
{
    const struct store_list *list = division->list;
    int64_t *sequences = division->sequences + division->next;
    size_t left = list->count - division->next;
    size_t most = left < pull->max_events ? left : pull->max_events;
    size_t bytes = 0;
    pull->count = 0;
    pull->deliveries = arena_calloc(pull->request.arena, most, sizeof(*pull->deliveries));
    if (!pull->deliveries) {
        subscription_no_memory(&pull->request.status);
        return;
    }
    for (; division->next < list->count && pull->count < most; division->next++) {
        const struct store_event *event = &list->events[division->next];
        if (ledger_is_ahead(subscription->ledger, event->sequence))
            continue;
        bytes += event->payload.size;
        if (pull->count > 0 && bytes > pull->max_bytes)
            break;
        sequences[pull->count] = event->sequence;
        pull->deliveries[pull->count++].event = *event;
    }
    if (pull->count == 0)
        return;
    uint32_t seconds = pull->lease_seconds;
    division->grants[division->grant_count++] = (struct ledger_grant){
        .pull = pull->id,
        .lease_ms = (seconds ? seconds : subscription->settings.lease_seconds) * 1000,
        .sequences = sequences,
        .count = pull->count};
}

/* Divides the events among those who wait, first come first served. Those for whom there was no
 * memory are moved to `failed`. Lock held. */
static void divide(struct subscription *subscription, struct division *division,
                   struct pull_list *failed)
{
    const struct store_list *list = division->list;
    struct pull_list *pulls = &subscription->pulls;
    pulls_put_back(pulls, &subscription->taking);
    for (struct pull *pull = pulls->first, *next; pull && division->next < list->count;
         pull = next) {
        next = pull->next;
        if (!pull->admitted || pull->ended || (pull->parked && !pull->calls->unpark(pull)))
            continue;
        pull->parked = false;
        pull->request.status = STATUS_INIT;
        give(subscription, division, pull);
        bool fails = pull->request.status.code != STATUS_OK;
        if (pull->count > 0 || fails) {
            pulls_remove(pulls, pull);
            pulls_add(fails ? failed : &subscription->taking, pull);
        }
    }
    bool all = division->next == list->count;
    division->position = all                  ? list->read_to
                         : division->next > 0 ? list->events[division->next - 1].sequence
                                              : list->after;
}

/* Fills what the entry decided. Lock held. */
static void fill_taken(struct subscription *subscription)
{
    for (struct pull *pull = subscription->taking.first; pull; pull = pull->next) {
        for (size_t i = 0; i < pull->count; i++) {
            struct delivery *delivery = &pull->deliveries[i];
            const struct lease *lease = ledger_find(subscription->ledger, delivery->event.sequence);
            if (lease)
                delivery_fill(subscription, delivery, lease);
        }
    }
    subscription->scanned = ledger_figures_of(subscription->ledger).position;
}

static void answer_each(struct pull_list *pulls)
{
    for (struct pull *pull = pulls->first, *next; pull; pull = next) {
        next = pull->next;
        pull->empty = PULL_NOT_EMPTY;
        pull->request.done(&pull->request);
    }
    pulls_init(pulls);
}

/* Appends the take that was decided. */
static enum store_result append_division(struct subscription *subscription,
                                         struct store_session *session,
                                         const struct division *division,
                                         struct store_entry_before before, bool *taken,
                                         struct status *status)
{
    struct buffer body;
    enum store_result result = STORE_UNAVAILABLE;
    buffer_init(&body, (size_t)1 << 20);
    pthread_mutex_lock(&subscription->lock);
    struct ledger_take decided = ledger_take_of(subscription->ledger);
    decided.position = division->position;
    decided.grants = division->grants;
    decided.grant_count = division->grant_count;
    ledger_make_take(&body, subscription->ledger, &decided);
    pthread_mutex_unlock(&subscription->lock);
    struct store_take take = {.before = before, .entry = {.body = {body.data, body.size}}};
    if (body.failed)
        subscription_no_memory(status);
    else
        result = subscription_append(subscription, session, &take, taken, status);
    buffer_fini(&body);
    return result;
}

/* Gives out the events of the page. */
static enum store_result take_page(struct subscription *subscription, struct store_session *session,
                                   const struct store_list *list, struct status *status)
{
    struct pull_list failed;
    struct division division = {
        .list = list,
        .sequences = arena_calloc(list->arena, list->count, sizeof(*division.sequences)),
        .grants = arena_calloc(list->arena, list->count, sizeof(*division.grants)),
    };
    if (!division.sequences || !division.grants) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    pulls_init(&failed);
    pthread_mutex_lock(&subscription->lock);
    divide(subscription, &division, &failed);
    struct store_entry_before before = ledger_figures_of(subscription->ledger).take;
    if (division.grant_count == 0 && subscription->scanned < division.position)
        subscription->scanned = division.position; /* all of it was settled before */
    pthread_mutex_unlock(&subscription->lock);
    answer_each(&failed);
    bool taken = false;
    enum store_result result = STORE_OK;
    if (division.grant_count > 0)
        result = append_division(subscription, session, &division, before, &taken, status);
    if (taken) {
        struct pull_list answers; /* a release looks through the others meanwhile */
        pulls_init(&answers);
        pthread_mutex_lock(&subscription->lock);
        fill_taken(subscription);
        pulls_put_back(&answers, &subscription->taking);
        pthread_mutex_unlock(&subscription->lock);
        answer_each(&answers);
    }
    return result;
}

/* Nothing was found. */
static void note_nothing(struct subscription *subscription, const struct store_list *list)
{
    pthread_mutex_lock(&subscription->lock);
    pulls_put_back(&subscription->pulls, &subscription->taking);
    if (subscription->scanned < list->read_to)
        subscription->scanned = list->read_to;
    pthread_mutex_unlock(&subscription->lock);
    if (!list->more)
        subscription_wait(subscription, list->read_to);
}

/* Of a page of the log. */
static void warn_of_removed(const struct subscription *subscription, const struct store_list *list)
{
    log_warning_limited("EVENTS_REMOVED",
                        "the log begins after a subscription's position: what was removed before "
                        "is not given out; keep events for longer",
                        {"subscription", subscription->name},
                        {"position", NULL, (double)list->after},
                        {"log_begins_at", NULL, (double)list->first});
}

/* One page. *more is false when there is nothing more to do. */
static enum store_result take_once(struct subscription *subscription, struct store_session *session,
                                   struct arena *arena, bool *more, struct status *status)
{
    arena_reset(arena);
    struct store_list list = plan_take(subscription, arena);
    *more = list.limit > 0;
    if (!*more)
        return STORE_OK;
    if (!subscription_join(subscription, list.after)) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    enum store_result result = session->store->driver->list(
        session, subscription->scope, (struct store_list *[]){&list}, 1, status);
    if (result != STORE_OK)
        return result;
    if (list.no_memory) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    if (list.set == STORE_LOG && store_list_lacks_events(&list))
        warn_of_removed(subscription, &list);
    if (list.count > 0)
        return take_page(subscription, session, &list, status);
    note_nothing(subscription, &list);
    return STORE_OK;
}

/* A take whose answer was lost may have been written: then its events are read again. */
static void look_for_lost_take(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool written = subscription->taking.first && subscription->ledger &&
                   ledger_figures_of(subscription->ledger).take.token == subscription->taking_token;
    if (written) {
        fill_taken(subscription);
        pulls_put_back(&subscription->granted, &subscription->taking);
    }
    pthread_mutex_unlock(&subscription->lock);
}

/* ---- events that are given out again ---- */

/* Reads the events of a pull; those that are not there any more, or are acknowledged in the inbox,
 * are left out. */
static enum store_result read_granted(struct subscription *subscription,
                                      struct store_session *session, struct pull *pull,
                                      struct arena *arena, struct status *status)
{
    struct store_get *gets = arena_calloc(arena, pull->count, sizeof(*gets));
    struct store_get *list[MAX_GETS];
    size_t kept = 0;
    size_t bytes = 0;
    if (!gets) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    for (size_t first = 0; first < pull->count; first += MAX_GETS) {
        size_t count = pull->count - first < MAX_GETS ? pull->count - first : MAX_GETS;
        for (size_t i = 0; i < count; i++) {
            list[i] = &gets[first + i];
            list[i]->sequence = pull->deliveries[first + i].event.sequence;
            list[i]->arena = arena;
        }
        enum store_result result =
            session->store->driver->get(session, subscription->scope, list, count, status);
        if (result != STORE_OK)
            return result;
    }
    pthread_mutex_lock(&subscription->lock);
    for (size_t i = 0; i < pull->count; i++) {
        const struct store_get *get = &gets[i];
        bool is_done = get->outcome != STORE_DONE ||
                       (subscription_is_inbox(subscription) && get->event.acknowledged_at_us != 0);
        bytes += get->event.payload.size;
        bool fits = !get->no_memory && (kept == 0 || bytes <= pull->max_bytes);
        bool noted = true;
        if (!is_done && fits) {
            pull->deliveries[kept] = pull->deliveries[i];
            pull->deliveries[kept++].event = get->event;
        } else {
            noted = sequences_add(is_done ? &subscription->dropped : &subscription->returned,
                                  get->sequence);
        }
        if (!noted)
            log_warning_limited("NO_MEMORY", "an event was not given back: it waits for its lease",
                                {"subscription", subscription->name});
    }
    pull->count = kept;
    pthread_mutex_unlock(&subscription->lock);
    return STORE_OK;
}

static enum store_result deliver_granted(struct subscription *subscription,
                                         struct store_session *session, struct arena *arena,
                                         struct status *status)
{
    for (;;) {
        arena_reset(arena);
        pthread_mutex_lock(&subscription->lock);
        struct pull *pull = subscription->granted.first;
        pthread_mutex_unlock(&subscription->lock);
        if (!pull)
            return STORE_OK;
        pull->request.status = STATUS_INIT;
        enum store_result result = STORE_OK;
        if (pull->deliveries)
            result = read_granted(subscription, session, pull, arena, status);
        else
            subscription_no_memory(&pull->request.status);
        if (result != STORE_OK)
            return result;
        bool answers = pull->count > 0 || !pull->deliveries;
        pthread_mutex_lock(&subscription->lock);
        pulls_remove(&subscription->granted, pull);
        if (!answers)
            pulls_add(&subscription->pulls, pull);
        pthread_mutex_unlock(&subscription->lock);
        pull->empty = PULL_NOT_EMPTY;
        if (answers)
            pull->request.done(&pull->request);
    }
}

/* ---- the work ---- */

static bool must_catch_up(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool must = subscription->state != SUBSCRIPTION_READY || subscription->stale;
    pthread_mutex_unlock(&subscription->lock);
    return must;
}

/* Of each, what the store has when it came is known before. */
static enum store_result carry_out_requests(struct subscription *subscription,
                                            struct store_session *session, struct status *status)
{
    for (;;) {
        bool found;
        enum store_result result = STORE_OK;
        if (must_catch_up(subscription))
            result = subscription_catch_up(subscription, session, &found, status);
        if (result != STORE_OK)
            return result;
        pthread_mutex_lock(&subscription->lock);
        struct subscription_request *request =
            subscription->blocked ? NULL : queue_take(&subscription->requests);
        pthread_mutex_unlock(&subscription->lock);
        if (!request)
            return STORE_OK;
        request->status = STATUS_INIT;
        result = request->carry_out(subscription, session, request);
        if (result == STORE_OK)
            continue;
        *status = request->status;
        pthread_mutex_lock(&subscription->lock);
        queue_add_first(&subscription->requests, request);
        pthread_mutex_unlock(&subscription->lock);
        return result;
    }
}

/* Removes what a checkpoint has replaced, some of it later. */
static enum store_result trim(struct subscription *subscription, struct store_session *session,
                              struct status *status)
{
    pthread_mutex_lock(&subscription->lock);
    struct store_ledger_head from = subscription->trimmed;
    struct store_ledger_head to = subscription->trim_to;
    bool due =
        subscription_is_untrimmed(subscription) && clock_monotonic_ms() >= subscription->trim_ms;
    pthread_mutex_unlock(&subscription->lock);
    if (!due)
        return STORE_OK;
    enum store_result result = session->store->driver->ledger_trim(
        session, subscription->scope, subscription->id, &from, to, status);
    pthread_mutex_lock(&subscription->lock);
    if (result == STORE_OK)
        subscription->trimmed = from;
    subscription->trim_ms = clock_monotonic_ms() + TRIM_MS;
    pthread_mutex_unlock(&subscription->lock);
    return result;
}

/* Takes until those who wait have something, or there is nothing. */
static enum store_result take_all(struct subscription *subscription, struct store_session *session,
                                  struct arena *arena, struct status *status)
{
    bool more = true;
    enum store_result result = STORE_OK;
    for (int tries = 0; result == STORE_OK && more && tries < MAX_TRIES; tries++) {
        bool found = true;
        if (must_catch_up(subscription)) {
            result = subscription_catch_up(subscription, session, &found, status);
            more = found;
        }
        if (result == STORE_OK && more)
            result = take_once(subscription, session, arena, &more, status);
    }
    return result;
}

static bool is_known(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool known = subscription->state == SUBSCRIPTION_READY;
    pthread_mutex_unlock(&subscription->lock);
    return known;
}

/* There is none of this name: everybody is told so. */
static void make_gone(struct subscription *subscription)
{
    struct status status;
    subscription_leave(subscription);
    subscription_not_found(subscription, &status);
    pthread_mutex_lock(&subscription->lock);
    subscription->state = SUBSCRIPTION_GONE;
    pthread_mutex_unlock(&subscription->lock);
    subscription_fail(subscription, &status);
}

static enum store_result work(struct subscription *subscription, struct store_session *session,
                              struct arena *arena, struct status *status)
{
    enum store_result result = carry_out_requests(subscription, session, status);
    if (result == STORE_OK && !is_known(subscription)) {
        make_gone(subscription);
        return STORE_OK;
    }
    if (result == STORE_OK) {
        look_for_lost_take(subscription);
        result = deliver_granted(subscription, session, arena, status);
    }
    if (result == STORE_OK)
        result = take_all(subscription, session, arena, status);
    if (result == STORE_OK)
        result = trim(subscription, session, status);
    return result;
}

enum store_result subscription_work(struct ledger_op *op, struct store_session *session,
                                    struct status *status)
{
    struct subscription *subscription =
        (struct subscription *)((char *)op - offsetof(struct subscription, work));
    struct arena arena;
    subscription_take_waiter(subscription);
    arena_init(&arena, TAKE_ARENA);
    enum store_result result = work(subscription, session, &arena, status);
    arena_fini(&arena);
    if (subscription->waiter_state == WAITER_READS)
        subscription_leave(subscription);
    return result;
}

void subscription_end_work(struct subscription *subscription)
{
    struct status status = subscription->work.op.status;
    if (status.code != STATUS_OK)
        subscription_fail(subscription, &status);
    pthread_mutex_lock(&subscription->lock);
    CHECK(subscription->working);
    /* Those that other cores came before, again and again, wait for their next turn. */
    pulls_put_back(&subscription->pulls, &subscription->taking);
    subscription->working = false;
    pthread_mutex_unlock(&subscription->lock);
}

void subscription_worked(struct op *op)
{
    struct subscription *subscription =
        (struct subscription *)((char *)op - offsetof(struct subscription, work));
    subscription_end_work(subscription);
    subscription->all->go_on(subscription);
    atomic_fetch_sub(&subscription->users, 1);
}
