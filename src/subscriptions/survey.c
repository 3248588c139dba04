#include "subscriptions/survey.h"

#include <string.h>

#define SURVEY_ARENA ((size_t)24 << 20)

void survey_begin(struct survey *survey, const struct subscription *subscription)
{
    survey->inbox = subscription_is_inbox(subscription);
    survey->scanned = subscription->scanned;
    survey->ledger = ledger_figures_of(subscription->ledger);
    survey->oldest = ledger_oldest(subscription->ledger);
}

static int64_t due_us_of(const struct store_event *event)
{
    return event->deliver_at_us > event->created_at_us ? event->deliver_at_us
                                                       : event->created_at_us;
}

static enum store_result count_backlog(const struct survey *survey, struct store_session *session,
                                       struct arena *arena, struct subscription_figures *figures,
                                       struct status *status)
{
    const struct store_driver *driver = session->store->driver;
    const struct store_filter *filter = &survey->settings->filter;
    bool inbox = survey->inbox;
    int64_t end = survey->log_end;
    enum store_result result = STORE_OK;
    if (end == 0)
        result = driver->log_end(session, survey->scope, &end, status);
    if (result != STORE_OK)
        return result;
    /* By key, events were read over that are still to be given out. */
    bool skips = survey->scanned > figures->position && !survey->settings->by_key;
    int64_t after = skips ? survey->scanned : figures->position;
    bool all = filter->source_count == 0 && filter->type_count == 0 && !inbox;
    struct store_list list = {.set = inbox ? STORE_PENDING : STORE_LOG,
                              .oldest_first = true,
                              .after = after,
                              .filter = *filter,
                              .limit = all ? 1 : survey->max_events,
                              .max_bytes = all ? 1 : survey->max_bytes,
                              .arena = arena};
    result = driver->list(session, survey->scope, (struct store_list *[]){&list}, 1, status);
    if (result != STORE_OK || list.no_memory)
        return result;
    figures->backlog = (int64_t)list.count;
    if (list.count > 0) {
        figures->oldest_us = list.events[0].created_at_us;
        figures->oldest_due_us = due_us_of(&list.events[0]);
    }
    if (all) {
        figures->backlog = end > after ? end - after : 0;
    } else if (list.more && list.count > 0) {
        int64_t seen = list.events[list.count - 1].sequence - after;
        figures->backlog = (int64_t)((double)list.count * (double)(end - after) / (double)seen);
        figures->backlog_is_estimate = true;
    }
    return STORE_OK;
}

/* Of each key that waits one event is known; and it may have more. */
static void add_marks(const struct ledger_figures *ledger, struct subscription_figures *figures)
{
    figures->backlog += (int64_t)ledger->marks;
    figures->backlog_is_estimate |= ledger->marks > 0;
}

/* Those that the position has passed, and whose time is yet to come. */
static enum store_result count_delayed(const struct survey *survey, struct store_session *session,
                                       struct arena *arena, struct subscription_figures *figures,
                                       struct status *status)
{
    const struct ledger_figures *ledger = &survey->ledger;
    struct store_delayed delayed = {.after_us = ledger->delayed_us,
                                    .after_sequence = ledger->delayed_sequence,
                                    .until_us = ledger->delayed_us - 1, /* they are not read */
                                    .from_sequence = ledger->begin,
                                    .to_sequence = ledger->position,
                                    .filter = survey->settings->filter,
                                    .pending = survey->inbox,
                                    .limit = 1,
                                    .max_bytes = 1,
                                    .arena = arena,
                                    .counts = true};
    if (ledger->next_delayed_us == INT64_MAX)
        return STORE_OK;
    enum store_result result =
        session->store->driver->delayed(session, survey->scope, &delayed, status);
    figures->delayed = delayed.total;
    return result;
}

/* When the oldest event was created that is out, waits, or is new. */
static enum store_result find_oldest(const struct survey *survey, struct store_session *session,
                                     struct arena *arena, struct subscription_figures *figures,
                                     struct status *status)
{
    struct store_get get = {.sequence = survey->oldest, .arena = arena};
    if (survey->oldest == 0)
        return STORE_OK;
    enum store_result result = session->store->driver->get(session, survey->scope,
                                                           (struct store_get *[]){&get}, 1, status);
    if (result != STORE_OK || get.outcome != STORE_DONE)
        return result;
    int64_t due_us = due_us_of(&get.event);
    figures->oldest_us = get.event.created_at_us;
    if (figures->oldest_due_us == 0 || due_us < figures->oldest_due_us)
        figures->oldest_due_us = due_us;
    return result;
}

enum store_result survey_count(const struct survey *survey, struct store_session *session,
                               struct subscription_figures *figures, struct status *status)
{
    struct arena arena;
    *figures = (struct subscription_figures){.position = survey->ledger.position,
                                             .outstanding = survey->ledger.out,
                                             .waiting = survey->ledger.waiting,
                                             .dead_letters = survey->ledger.dead};
    arena_init(&arena, SURVEY_ARENA);
    enum store_result result = count_backlog(survey, session, &arena, figures, status);
    add_marks(&survey->ledger, figures);
    arena_reset(&arena);
    if (result == STORE_OK)
        result = count_delayed(survey, session, &arena, figures, status);
    if (result == STORE_OK)
        result = find_oldest(survey, session, &arena, figures, status);
    arena_fini(&arena);
    return result;
}
