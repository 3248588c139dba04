/* What those who wait are given next: events whose time has come, then those whose ordering key is
 * ready, then new ones of the log; a page of one of these at a time. */
#include "base/check.h"
#include "base/log.h"
#include "subscriptions/dividing.h"

#define TAKE_BYTES ((size_t)8 << 20)

/* By key the log is read further than is wanted while nothing of it can be given out. */
#define LEAST_PASSED 100

/* ---- the page ---- */

struct plan {
    enum event_walk walk;
    size_t most; /* events that those who wait may have, 1 to STORE_LIST_MAX */
    struct ledger_figures figures;
    int64_t scanned;
    size_t passing; /* subscription->passing */
};

static struct plan plan_walk(struct subscription *subscription)
{
    size_t wanted = 0;
    pthread_mutex_lock(&subscription->lock);
    struct plan plan = {.walk = subscription_next_walk(subscription),
                        .figures = ledger_figures_of(subscription->ledger),
                        .scanned = subscription->scanned,
                        .passing = subscription->passing};
    size_t room = subscription_room(subscription);
    for (const struct pull *pull = subscription->taking.first; pull; pull = pull->next)
        wanted += pull->max_events;
    for (const struct pull *pull = subscription->pulls.first; pull; pull = pull->next)
        wanted += pull->admitted ? pull->max_events : 0;
    pthread_mutex_unlock(&subscription->lock);
    wanted = wanted < room ? wanted : room;
    plan.most = wanted < STORE_LIST_MAX ? wanted : STORE_LIST_MAX;
    if (plan.scanned < plan.figures.position)
        plan.scanned = plan.figures.position;
    if (plan.most == 0)
        plan.walk = WALK_NONE;
    return plan;
}

static enum store_result check_memory(enum store_result result, bool no_memory,
                                      struct status *status)
{
    if (result != STORE_OK || !no_memory)
        return result;
    subscription_no_memory(status);
    return STORE_UNAVAILABLE;
}

/* ---- times ---- */

static enum store_result take_times(struct subscription *subscription,
                                    struct store_session *session, const struct plan *plan,
                                    struct arena *arena, struct status *status)
{
    const struct ledger_figures *figures = &plan->figures;
    /* That time has come, though the clock may show less now: it is corrected with each answer. So
     * the time position never goes back. */
    int64_t now_us = store_clock_now_us(&subscription->all->clock);
    int64_t until_us = now_us > figures->next_delayed_us ? now_us : figures->next_delayed_us;
    struct store_delayed delayed = {
        .after_us = figures->delayed_us,
        .after_sequence = figures->delayed_sequence,
        .until_us = until_us,
        .from_sequence = figures->begin,
        .to_sequence = figures->position,
        .filter = subscription->settings.filter,
        .pending = subscription_is_inbox(subscription),
        .limit = (uint32_t)plan->most,
        .max_bytes = TAKE_BYTES,
        .arena = arena,
    };
    enum store_result result =
        session->store->driver->delayed(session, subscription->scope, &delayed, status);
    result = check_memory(result, delayed.no_memory, status);
    if (result != STORE_OK)
        return result;
    struct division division = {.walk = WALK_TIMES,
                                .times = &delayed,
                                .events = delayed.events,
                                .count = delayed.count,
                                .most = plan->most};
    return division_take(subscription, session, &division, arena, status);
}

/* ---- keys ---- */

static enum store_result take_keys(struct subscription *subscription, struct store_session *session,
                                   const struct plan *plan, struct arena *arena,
                                   struct status *status)
{
    struct ledger_key *ready = arena_calloc(arena, plan->most, sizeof(*ready));
    struct store_key_next *next = arena_calloc(arena, plan->most, sizeof(*next));
    struct store_event *events = arena_calloc(arena, plan->most, sizeof(*events));
    if (!ready || !next || !events)
        return check_memory(STORE_OK, true, status);
    pthread_mutex_lock(&subscription->lock);
    size_t count = ledger_ready(subscription->ledger, ready, plan->most);
    pthread_mutex_unlock(&subscription->lock);
    for (size_t i = 0; i < count; i++) {
        next[i] = (struct store_key_next){.key = ready[i].key, .after = ready[i].from};
        events[i].sequence = ready[i].from;
    }
    struct store_key_walk walk = {
        .keys = next, .count = count, .to = plan->scanned, .filter = subscription->settings.filter};
    enum store_result result =
        session->store->driver->key_next(session, subscription->scope, &walk, status);
    if (result != STORE_OK)
        return result;
    struct division division = {
        .walk = WALK_KEYS, .ready = &walk, .events = events, .count = count, .most = plan->most};
    return division_take(subscription, session, &division, arena, status);
}

/* ---- the log ---- */

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

/* How far the next page of a log by key goes. */
static void note_passed(struct subscription *subscription, const struct division *division)
{
    pthread_mutex_lock(&subscription->lock);
    size_t passing = subscription->passing * 2;
    passing = passing < LEAST_PASSED ? LEAST_PASSED : passing;
    if (division->given > 0)
        subscription->passing = 0;
    else
        subscription->passing = passing < STORE_LIST_MAX ? passing : STORE_LIST_MAX;
    pthread_mutex_unlock(&subscription->lock);
}

static enum store_result take_log(struct subscription *subscription, struct store_session *session,
                                  const struct plan *plan, struct arena *arena,
                                  struct status *status)
{
    bool by_key = subscription->settings.by_key;
    size_t limit = by_key && plan->passing > plan->most ? plan->passing : plan->most;
    struct store_list list = {
        .set = subscription_is_inbox(subscription) ? STORE_PENDING : STORE_LOG,
        .oldest_first = true,
        .after = plan->scanned,
        .filter = subscription->settings.filter,
        .limit = (uint32_t)limit,
        .max_bytes = TAKE_BYTES,
        .arena = arena,
    };
    if (!subscription_join(subscription, list.after))
        return check_memory(STORE_OK, true, status);
    enum store_result result = session->store->driver->list(
        session, subscription->scope, (struct store_list *[]){&list}, 1, status);
    result = check_memory(result, list.no_memory, status);
    if (result != STORE_OK)
        return result;
    if (list.set == STORE_LOG && store_list_lacks_events(&list))
        warn_of_removed(subscription, &list);
    if (list.count == 0) {
        note_nothing(subscription, &list);
        return STORE_OK;
    }
    struct division division = {.walk = WALK_LOG,
                                .log = &list,
                                .events = list.events,
                                .count = list.count,
                                .most = plan->most};
    result = division_take(subscription, session, &division, arena, status);
    if (by_key)
        note_passed(subscription, &division);
    return result;
}

enum store_result subscription_take(struct subscription *subscription,
                                    struct store_session *session, struct arena *arena, bool *more,
                                    struct status *status)
{
    arena_reset(arena);
    struct plan plan = plan_walk(subscription);
    *more = plan.walk != WALK_NONE;
    switch (plan.walk) {
    case WALK_NONE: break;
    case WALK_TIMES: return take_times(subscription, session, &plan, arena, status);
    case WALK_KEYS: return take_keys(subscription, session, &plan, arena, status);
    case WALK_LOG: return take_log(subscription, session, &plan, arena, status);
    }
    return STORE_OK;
}
