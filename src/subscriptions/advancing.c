/* What is to be done next for a subscription. */
#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"
#include "subscriptions/subscription.h"

#define WORK_DEADLINE_MS 10000
#define IDLE_WAKE_MS 1000  /* between two looks at what nobody waits for */
#define CAPPED_WAKE_MS 50  /* while the tenant may have no more out, of all its subscriptions */
#define REFUSED_WAKE_MS 10 /* after the lane has refused a worker */

/* ---- pulls ---- */

/* A pull whose answer was lost gets the same again. True when it is one. Lock held. */
static bool grant_again(struct subscription *subscription, struct pull *pull)
{
    const struct lease *leases[PULL_MAX_EVENTS];
    size_t count = pull->id == 0 ? 0
                                 : ledger_pulled(subscription->ledger, pull->id,
                                                 store_clock_now_us(&subscription->all->clock),
                                                 leases, PULL_MAX_EVENTS);
    if (count == 0)
        return false;
    pull->deliveries = arena_calloc(pull->request.arena, count, sizeof(*pull->deliveries));
    if (!pull->deliveries)
        return false;
    for (size_t i = 0; i < count; i++)
        delivery_fill(subscription, &pull->deliveries[i], leases[i]);
    pull->count = count;
    return true;
}

/* Lock held, and it is ready. */
static void admit_pulls(struct subscription *subscription)
{
    for (struct pull *pull = subscription->pulls.first, *next; pull; pull = next) {
        next = pull->next;
        if (pull->admitted)
            continue;
        pull->admitted = true;
        if (grant_again(subscription, pull)) {
            pulls_remove(&subscription->pulls, pull);
            pulls_add(&subscription->granted, pull);
        }
    }
}

/* Why no new events are given out at the moment; PULL_NOT_EMPTY: they are. Lock held. */
static enum pull_empty why_empty(struct subscription *subscription)
{
    if (subscription->settings.paused)
        return PULL_PAUSED;
    if (subscription_room(subscription) == 0)
        return PULL_MAX_OUTSTANDING;
    return subscription_next_walk(subscription) == WALK_NONE ? PULL_NOTHING_NEW : PULL_NOT_EMPTY;
}

/* Pulls for which there is nothing begin to wait, or are answered. Lock held. */
static void park_pulls(struct subscription *subscription, enum pull_empty why,
                       struct pull_list *answers)
{
    for (struct pull *pull = subscription->pulls.first, *next; pull; pull = next) {
        next = pull->next;
        pull->empty = why;
        pull->count = 0;
        if (pull->parked)
            continue;
        pull->parked = pull->calls && pull->calls->park(pull);
        if (!pull->parked) {
            pulls_remove(&subscription->pulls, pull);
            pulls_add(answers, pull);
        }
    }
}

/* Pulls that a release has ended are answered. Lock held. */
static void take_out_ended(struct subscription *subscription, struct pull_list *answers)
{
    for (struct pull *pull = subscription->pulls.first, *next; pull; pull = next) {
        next = pull->next;
        if (!pull->ended || (pull->parked && !pull->calls->unpark(pull)))
            continue;
        pull->parked = false;
        pull->count = 0;
        pull->empty = PULL_NOTHING_NEW;
        pulls_remove(&subscription->pulls, pull);
        pulls_add(answers, pull);
    }
}

/* ---- what is next ---- */

/* Lock held. */
static bool needs_worker(struct subscription *subscription)
{
    if (subscription->ended)
        return subscription->state != SUBSCRIPTION_GONE;
    bool waits = subscription->pulls.first || subscription->settles.first ||
                 subscription->granted.first || subscription->requests.first;
    if (subscription->state != SUBSCRIPTION_READY || subscription->stale)
        return waits && subscription->state != SUBSCRIPTION_GONE;
    bool trims =
        subscription_is_untrimmed(subscription) && clock_monotonic_ms() >= subscription->trim_ms;
    bool takes = subscription->pulls.first && why_empty(subscription) == PULL_NOT_EMPTY;
    return subscription->granted.first || takes || subscription->woken || trims ||
           (subscription->requests.first && !subscription->blocked);
}

/* When events are due, or due again. Those that wait for their time concern only who waits for
 * them, and nobody while the worker is there, or no more may be out. Lock held. */
static int64_t next_due_us(struct subscription *subscription)
{
    if (!subscription->ledger)
        return INT64_MAX;
    int64_t again_us = ledger_next_us(subscription->ledger);
    if (!subscription->pulls.first || subscription->working || subscription_room(subscription) == 0)
        return again_us;
    int64_t delayed_us = ledger_figures_of(subscription->ledger).next_delayed_us;
    return delayed_us < again_us ? delayed_us : again_us;
}

/* When the clock is to look at it. Lock held. */
static int64_t next_wake_ms(struct subscription *subscription)
{
    int64_t next_us = next_due_us(subscription);
    int64_t trim_ms = subscription_is_untrimmed(subscription) ? subscription->trim_ms : INT64_MAX;
    if (subscription->pulls.first && subscription->ledger && subscription_is_capped(subscription))
        return clock_monotonic_ms() + CAPPED_WAKE_MS;
    if (next_us == INT64_MAX)
        return trim_ms;
    int64_t now_ms = clock_monotonic_ms();
    int64_t in_ms = (next_us - store_clock_now_us(&subscription->all->clock)) / 1000 + 1;
    int64_t least_ms =
        subscription->pulls.first && !subscription->settings.paused ? 1 : IDLE_WAKE_MS;
    int64_t next_ms = now_ms + (in_ms < least_ms ? least_ms : in_ms);
    return next_ms < trim_ms ? next_ms : trim_ms;
}

/* Lets the clock look earlier. */
static void wake_clock(struct subscriptions *all, int64_t wake_ms)
{
    pthread_mutex_lock(&all->lock);
    if (wake_ms < all->wake_ms) {
        all->wake_ms = wake_ms;
        pthread_cond_signal(&all->changed);
    }
    pthread_mutex_unlock(&all->lock);
}

/* When the lane refuses it, what waits has failed, and the clock goes on: to do so here would have
 * no end while there is still something to do. Lowers *wake_ms then. */
static void start_work(struct subscription *subscription, int64_t *wake_ms)
{
    struct status status;
    atomic_fetch_add(&subscription->users, 1);
    subscription->work = (struct ask_op){
        .op = {.scope = subscription->scope,
               .deadline_ms = clock_monotonic_ms() + WORK_DEADLINE_MS,
               .bytes = sizeof(*subscription),
               .done = subscription_worked},
        .run = subscription_work,
    };
    if (asks_submit(subscription->all->asks, &subscription->work, &status))
        return;
    subscription->work.op.status = status;
    subscription_end_work(subscription);
    pthread_mutex_lock(&subscription->lock);
    *wake_ms = subscription->wake_ms = clock_monotonic_ms() + REFUSED_WAKE_MS;
    pthread_mutex_unlock(&subscription->lock);
    atomic_fetch_sub(&subscription->users, 1);
}

void subscription_go_on(struct subscription *subscription)
{
    struct pull_list answered;
    struct request_queue answers;
    struct status ok = STATUS_INIT;
    struct subscriptions *all = subscription->all;
    atomic_fetch_add(&subscription->users, 1);
    pulls_init(&answered);
    queue_init(&answers);
    pthread_mutex_lock(&subscription->lock);
    bool settles = false;
    bool stops = atomic_load(&all->stopping);
    subscription_hear_of_turns(subscription);
    take_out_ended(subscription, &answered);
    if (subscription->state == SUBSCRIPTION_READY && !subscription->stale && !stops &&
        !subscription->ended) {
        admit_pulls(subscription);
        settles = !subscription->settling.under_way && settling_make(subscription, &answers);
        enum pull_empty why = why_empty(subscription);
        if (why != PULL_NOT_EMPTY && !subscription->stale)
            park_pulls(subscription, why, &answered);
    }
    bool works = !subscription->working && !stops && needs_worker(subscription);
    subscription->working = subscription->working || works;
    int64_t wake_ms = subscription->wake_ms = next_wake_ms(subscription);
    pthread_mutex_unlock(&subscription->lock);
    if (settles)
        settling_start(subscription);
    if (works)
        start_work(subscription, &wake_ms);
    wake_clock(all, wake_ms);
    queue_answer(&answers);
    pulls_answer(&answered, &ok);
    atomic_fetch_sub(&subscription->users, 1);
}
