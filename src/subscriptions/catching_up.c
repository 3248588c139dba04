/* Reading a subscription's ledger, appending takes to it, and making the row of a new one. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "subscriptions/subscription.h"

#define READ_ARENA ((size_t)64 << 20) /* a checkpoint, and what came after it */

static void fail_damaged(const struct subscription *subscription, struct status *status)
{
    log_warning_limited("LEDGER_DAMAGED", "the ledger of a subscription cannot be read",
                        {"subscription", subscription->name});
    status_fail(
        status, STATUS_DATA_LOSS, "LEDGER_DAMAGED",
        "the ledger of the subscription in the store cannot be read: it is damaged, or of a "
        "newer version");
}

/* How many its tenant may have; 0: as the store allows. "inbox" counts for nothing. */
static enum store_result find_most(const struct subscription *subscription,
                                   struct store_session *session, uint32_t *most,
                                   struct status *status)
{
    uint32_t cap =
        caps_subscriptions(tenants_caps(subscription->all->tenants), subscription->scope.tenant);
    struct store_subscriptions inbox = {.name = {SUBSCRIPTION_INBOX, strlen(SUBSCRIPTION_INBOX)},
                                        .limit = 1};
    struct arena arena;
    *most = 0;
    if (cap == 0 || subscription_is_inbox(subscription))
        return STORE_OK;
    arena_init(&arena, READ_ARENA);
    inbox.arena = &arena;
    enum store_result result =
        session->store->driver->subscriptions(session, subscription->scope, &inbox, status);
    *most = cap + (result == STORE_OK && inbox.count > 0);
    arena_fini(&arena);
    return result;
}

enum store_result subscription_create(struct subscription *subscription,
                                      struct store_session *session,
                                      const struct subscription_settings *settings,
                                      int64_t position, enum store_outcome *outcome,
                                      struct status *status)
{
    struct buffer bytes, checkpoint;
    enum store_result result = STORE_UNAVAILABLE;
    struct ledger *ledger = ledger_open(position, store_clock_now_us(&subscription->all->clock),
                                        subscription_next_us, settings);
    buffer_init(&bytes, READ_ARENA);
    buffer_init(&checkpoint, READ_ARENA);
    subscription_settings_encode(settings, &bytes);
    if (ledger)
        ledger_make_checkpoint(&checkpoint, ledger);
    struct store_put put = {.name = {subscription->name, strlen(subscription->name)},
                            .settings = {bytes.data, bytes.size},
                            .checkpoint = {checkpoint.data, checkpoint.size}};
    if (!ledger || bytes.failed || checkpoint.failed)
        subscription_no_memory(status);
    else
        result = find_most(subscription, session, &put.most, status);
    if (result == STORE_OK)
        result =
            session->store->driver->subscription_put(session, subscription->scope, &put, status);
    *outcome = put.outcome;
    ledger_close(ledger);
    buffer_fini(&bytes);
    buffer_fini(&checkpoint);
    return result;
}

enum store_result subscription_find(struct subscription *subscription,
                                    struct store_session *session, bool *found,
                                    struct status *status)
{
    struct arena arena;
    arena_init(&arena, subscription->settings_arena.cap);
    struct store_subscriptions list = {
        .name = {subscription->name, strlen(subscription->name)}, .limit = 1, .arena = &arena};
    struct subscription_settings inbox = subscription_settings_new();
    enum store_result result = STORE_OK;
    inbox.acknowledges_in_inbox = true;
    for (int tries = 0; result == STORE_OK && list.count == 0 && tries < 2; tries++) {
        enum store_outcome ignored;
        if (tries == 1)
            result = subscription_create(subscription, session, &inbox, 0, &ignored, status);
        if (result == STORE_OK)
            result =
                session->store->driver->subscriptions(session, subscription->scope, &list, status);
        if (!subscription_is_inbox(subscription))
            break;
    }
    *found = result == STORE_OK && list.count == 1;
    if (*found)
        subscription->id = list.subscriptions[0].id;
    arena_fini(&arena);
    return result;
}

/* Takes over the settings that the store has. */
static bool change_settings(struct subscription *subscription, const struct store_subscription *row)
{
    struct arena arena;
    struct subscription_settings settings;
    if (row->revision == subscription->revision)
        return true;
    subscription_leave(subscription); /* whose filter it has */
    arena_init(&arena, subscription->settings_arena.cap);
    if (!subscription_settings_decode(row->settings, &arena, &settings)) {
        arena_fini(&arena);
        return false;
    }
    pthread_mutex_lock(&subscription->lock);
    arena_fini(&subscription->settings_arena);
    subscription->settings_arena = arena;
    subscription->settings = settings;
    subscription->revision = row->revision;
    subscription->created_at_us = row->created_at_us;
    subscription->scanned = 0; /* the filter may be another */
    if (subscription->ledger)
        ledger_reorder(subscription->ledger, &subscription->settings);
    pthread_mutex_unlock(&subscription->lock);
    return true;
}

/* How far the log was read, after entries of other cores. When a mark has gone, events of its key
 * are new that had been read over. Lock held. */
static void note_scanned(struct subscription *subscription, bool anew, bool took)
{
    int64_t position = ledger_figures_of(subscription->ledger).position;
    if (anew || subscription->scanned < position || (took && subscription->settings.by_key))
        subscription->scanned = position;
}

/* *anew: its position is another than that from which it went on. Lock held. */
static bool apply_read(struct subscription *subscription, const struct store_ledger *read,
                       bool *anew, bool *no_memory)
{
    *no_memory = false;
    *anew = !subscription->ledger;
    if (!subscription->ledger)
        subscription->ledger = ledger_open(0, 0, subscription_next_us, &subscription->settings);
    *no_memory = !subscription->ledger;
    if (*no_memory)
        return false;
    int64_t epoch = ledger_figures_of(subscription->ledger).epoch;
    if (!ledger_apply_read(subscription->ledger, read->new_takes, read->new_take_count,
                           read->new_settlements, read->new_settlement_count, no_memory)) {
        subscription_forget(subscription);
        return false;
    }
    subscription_turn_back_read(subscription, read, *anew);
    *anew = *anew || ledger_figures_of(subscription->ledger).epoch != epoch;
    note_scanned(subscription, *anew, read->new_take_count > 0);
    if (*anew)
        subscription->series = subscription_series(subscription->name);
    subscription->state = SUBSCRIPTION_READY;
    subscription->stale = false;
    for (struct subscription_request *settle = subscription->settles.first; settle;
         settle = settle->next)
        settle->caught_up = true;
    return true;
}

static enum store_result read_ledger(struct subscription *subscription,
                                     struct store_session *session, struct arena *arena,
                                     struct store_ledger *read, struct status *status)
{
    const struct store_driver *driver = session->store->driver;
    *read = (struct store_ledger){.subscription = subscription->id, .arena = arena};
    pthread_mutex_lock(&subscription->lock);
    if (subscription->spoiled)
        subscription_forget(subscription);
    if (subscription->ledger) {
        struct ledger_figures figures = ledger_figures_of(subscription->ledger);
        read->takes = figures.take;
        read->settlements = figures.settlement;
    }
    pthread_mutex_unlock(&subscription->lock);
    enum store_result result = driver->ledger(session, subscription->scope, read, status);
    if (result != STORE_OK || read->outcome != STORE_STALE)
        return result;
    /* What it knows is not there any more: from the newest checkpoint on. */
    pthread_mutex_lock(&subscription->lock);
    subscription_forget(subscription);
    pthread_mutex_unlock(&subscription->lock);
    arena_reset(arena);
    *read = (struct store_ledger){.subscription = subscription->id, .arena = arena};
    return driver->ledger(session, subscription->scope, read, status);
}

static enum store_result catch_up(struct subscription *subscription, struct store_session *session,
                                  struct arena *arena, bool *found, struct status *status)
{
    struct store_ledger read;
    bool no_memory = false;
    bool anew = false;
    enum store_result result = STORE_OK;
    if (subscription->id == 0)
        result = subscription_find(subscription, session, found, status);
    if (result != STORE_OK || !*found)
        return result;
    int64_t asked_us = clock_monotonic_us();
    result = read_ledger(subscription, session, arena, &read, status);
    if (result != STORE_OK)
        return result;
    *found = read.outcome == STORE_DONE;
    if (read.no_memory) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    if (!*found)
        return STORE_OK;
    store_clock_note(&subscription->all->clock, read.now_us, asked_us);
    bool right = change_settings(subscription, &read.row);
    if (right) {
        pthread_mutex_lock(&subscription->lock);
        right = apply_read(subscription, &read, &anew, &no_memory);
        pthread_mutex_unlock(&subscription->lock);
    }
    if (anew)
        subscription_leave(subscription);
    if (right)
        return STORE_OK;
    if (no_memory)
        subscription_no_memory(status);
    else
        fail_damaged(subscription, status);
    return STORE_UNAVAILABLE;
}

enum store_result subscription_catch_up(struct subscription *subscription,
                                        struct store_session *session, bool *found,
                                        struct status *status)
{
    struct arena arena;
    arena_init(&arena, READ_ARENA);
    *found = true;
    enum store_result result = catch_up(subscription, session, &arena, found, status);
    arena_fini(&arena);
    if (result == STORE_OK && !*found) {
        pthread_mutex_lock(&subscription->lock);
        subscription_forget(subscription);
        pthread_mutex_unlock(&subscription->lock);
    }
    return result;
}

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
    int64_t asked_us = clock_monotonic_us();
    enum store_result result =
        driver->take(session, subscription->scope, (struct store_take *[]){take}, 1, status);
    *taken = result == STORE_OK && take->outcome == STORE_DONE;
    pthread_mutex_lock(&subscription->lock);
    if (!*taken) {
        subscription->stale = true;
    } else {
        store_clock_note(&subscription->all->clock, take->entry.at_us, asked_us);
        if (!subscription->ledger ||
            !ledger_apply_take(subscription->ledger, &take->entry, &no_memory)) {
            subscription_forget(subscription);
            *taken = false;
        }
    }
    pthread_mutex_unlock(&subscription->lock);
    return result;
}
