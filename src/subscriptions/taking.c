/* What a worker of the lane of ledgers does for a subscription, step by step: it reads what is new
 * in its ledger (catching_up.c), carries out what was asked of it (managing.c), reads the events
 * that are given out again, and takes others for those who wait (walking.c). */
#include <stddef.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "subscriptions/dividing.h"

#define TAKE_ARENA ((size_t)24 << 20) /* of events: 8 MiB of payloads, or a single large one */
#define MAX_TRIES 8                   /* while other cores take from the same subscription */
#define MAX_GETS 100
#define TRIM_MS 10000 /* between two steps of removing what a checkpoint has replaced */

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
        pthread_mutex_lock(&subscription->lock);
        struct pull *pull = subscription->granted.first;
        pthread_mutex_unlock(&subscription->lock);
        if (!pull)
            return STORE_OK;
        arena_reset(arena);
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
            result = subscription_take(subscription, session, arena, &more, status);
        if (result == STORE_OK)
            result = deliver_granted(subscription, session, arena, status);
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

/* There is none of this name: everybody is told so. False: a request has come since the last one
 * was carried out, and may create it, as its caller has heard that there is none. */
static bool make_gone(struct subscription *subscription)
{
    struct status status;
    subscription_leave(subscription);
    subscription_not_found(subscription, &status);
    pthread_mutex_lock(&subscription->lock);
    bool gone = subscription->ended || subscription->blocked || !subscription->requests.first;
    if (gone)
        subscription->state = SUBSCRIPTION_GONE;
    pthread_mutex_unlock(&subscription->lock);
    if (gone)
        subscription_fail(subscription, &status);
    return gone;
}

static bool has_ended(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool ended = subscription->ended;
    pthread_mutex_unlock(&subscription->lock);
    return ended;
}

static enum store_result work(struct subscription *subscription, struct store_session *session,
                              struct arena *arena, struct status *status)
{
    enum store_result result;
    if (has_ended(subscription) && make_gone(subscription))
        return STORE_OK;
    do {
        result = carry_out_requests(subscription, session, status);
        if (result == STORE_OK && !is_known(subscription) && make_gone(subscription))
            return STORE_OK;
    } while (result == STORE_OK && !is_known(subscription));
    if (result == STORE_OK) {
        division_look_for_lost(subscription);
        result = deliver_granted(subscription, session, arena, status);
    }
    if (result == STORE_OK)
        result = take_all(subscription, session, arena, status);
    if (result == STORE_OK)
        result = trim(subscription, session, status);
    return result;
}

enum store_result subscription_work(struct ask_op *op, struct store_session *session,
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
    subscription->ended = subscription->ended && status.code == STATUS_OK; /* else again later */
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
