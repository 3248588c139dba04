#include "subscriptions/watching.h"

#include <string.h>

#include "subscriptions/subscription_table.h"
#include "subscriptions/survey.h"

#define PAGE 10
#define COUNTED_EVENTS 100 /* of a filter; the rest is estimated */
#define COUNTED_BYTES ((size_t)64 << 10)
#define PAGE_ARENA ((size_t)16 << 20)

/* A look at one subscription. */
struct watched_row {
    struct subscriptions *all;
    struct scope scope;
    const struct store_subscription *row;
    struct store_ledger_head head;
    int64_t log_end;
};

/* What the core knows of it already, if that is all there is. */
static bool begin_from_memory(const struct watched_row *watched, size_t series,
                              struct survey *survey)
{
    struct subscriptions *all = watched->all;
    bool known = false;
    pthread_mutex_lock(&all->lock);
    struct subscription *at =
        subscription_table_find(&all->table, watched->scope, watched->row->name);
    if (at) {
        pthread_mutex_lock(&at->lock);
        at->series = series;
        if (at->state == SUBSCRIPTION_READY && at->id == watched->row->id) {
            survey_begin(survey, at);
            known = survey->ledger.take.number == watched->head.take &&
                    survey->ledger.settlement.number == watched->head.settlement &&
                    at->revision == watched->head.revision;
        }
        pthread_mutex_unlock(&at->lock);
    }
    pthread_mutex_unlock(&all->lock);
    return known;
}

/* Reads its ledger for this once. */
static enum store_result begin_from_store(const struct watched_row *watched,
                                          struct store_session *session, struct survey *survey,
                                          bool *found, struct status *status)
{
    struct subscription *subscription =
        subscription_new(watched->all, watched->scope, watched->row->name);
    if (!subscription) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    subscription->id = watched->row->id;
    enum store_result result = subscription_catch_up(subscription, session, found, status);
    if (result == STORE_OK && *found)
        survey_begin(survey, subscription);
    subscription_free(subscription);
    return result;
}

/* Figures of the inbox change without its ledger. */
static bool is_as_before(const struct watched_row *watched, const struct watched *before)
{
    return before->id == watched->row->id && before->log_end == watched->log_end &&
           before->head.revision == watched->head.revision &&
           before->head.take == watched->head.take &&
           before->head.settlement == watched->head.settlement &&
           strcmp(watched->row->name.data, SUBSCRIPTION_INBOX) != 0;
}

static enum store_result look_at(const struct watched_row *watched, struct store_session *session,
                                 struct arena *arena, struct status *status)
{
    struct subscription_settings settings;
    struct survey survey = {.scope = watched->scope,
                            .settings = &settings,
                            .max_events = COUNTED_EVENTS,
                            .max_bytes = COUNTED_BYTES,
                            .log_end = watched->log_end};
    enum store_result result = STORE_OK;
    bool found = true;
    size_t series = subscription_series(watched->row->name.data);
    if (series == SUBSCRIPTION_OTHERS ||
        !subscription_settings_decode(watched->row->settings, arena, &settings))
        return STORE_OK;
    struct watched *before = &watched->all->watching.rows[series];
    if (!is_as_before(watched, before)) {
        struct subscription_figures figures;
        if (!begin_from_memory(watched, series, &survey))
            result = begin_from_store(watched, session, &survey, &found, status);
        if (result == STORE_OK && found)
            result = survey_count(&survey, session, &figures, status);
        if (result != STORE_OK || !found)
            return result;
        *before = (struct watched){watched->row->id, watched->head, watched->log_end, figures};
    }
    subscription_show(series, &before->figures);
    return STORE_OK;
}

static enum store_result look_at_page(struct subscriptions *all, struct scope scope,
                                      struct store_session *session,
                                      const struct store_subscriptions *page, struct arena *arena,
                                      struct status *status)
{
    const struct store_driver *driver = session->store->driver;
    int64_t ids[PAGE], log_end;
    struct store_ledger_head found[PAGE];
    struct store_ledger_heads heads = {.ids = ids, .count = page->count, .heads = found};
    for (size_t i = 0; i < page->count; i++)
        ids[i] = page->subscriptions[i].id;
    enum store_result result = driver->log_end(session, scope, &log_end, status);
    if (result == STORE_OK)
        result = driver->ledger_heads(session, scope, &heads, status);
    for (size_t i = 0; result == STORE_OK && i < page->count; i++) {
        if (page->subscriptions[i].removed)
            continue;
        struct watched_row watched = {all, scope, &page->subscriptions[i], found[i], log_end};
        all->watching.count++;
        result = look_at(&watched, session, arena, status);
    }
    return result;
}

enum store_result watching_step(struct subscriptions *all, struct scope scope,
                                struct store_session *session, bool *more, struct status *status)
{
    struct watching *watching = &all->watching;
    struct arena arena;
    arena_init(&arena, PAGE_ARENA);
    struct store_subscriptions page = {.after = watching->after, .limit = PAGE, .arena = &arena};
    enum store_result result = session->store->driver->subscriptions(session, scope, &page, status);
    if (result == STORE_OK && page.no_memory) {
        subscription_no_memory(status);
        result = STORE_UNAVAILABLE;
    }
    if (result == STORE_OK && page.count > 0)
        result = look_at_page(all, scope, session, &page, &arena, status);
    *more = result == STORE_OK && page.more;
    if (*more)
        watching->after = page.subscriptions[page.count - 1].id;
    else if (result == STORE_OK)
        subscription_shown(watching->count, true);
    arena_fini(&arena);
    if (!*more)
        watching->after = 0;
    if (!*more)
        watching->count = 0;
    return result;
}

void watching_lost(struct subscriptions *all)
{
    all->watching.after = 0;
    all->watching.count = 0;
    subscription_shown(0, false);
}
