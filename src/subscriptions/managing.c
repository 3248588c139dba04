/* Requests of management, carried out by the worker one after the other, when the ledger was read.
 */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "subscriptions/subscription.h"
#include "subscriptions/survey.h"

#define MAX_TRIES 8         /* while other cores change the same subscription */
#define BACKLOG_EVENTS 1000 /* so many are counted, of a filter; the rest is estimated */
#define BACKLOG_ARENA ((size_t)24 << 20)
#define BACKLOG_BYTES ((size_t)8 << 20)
#define MAX_LETTERS 1000 /* of one settlement */

static enum store_result answer(struct subscription_request *request)
{
    request->done(request);
    return STORE_OK;
}

static enum store_result answer_not_found(struct subscription *subscription,
                                          struct subscription_request *request)
{
    subscription_not_found(subscription, &request->status);
    return answer(request);
}

static bool is_ready(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool ready = subscription->state == SUBSCRIPTION_READY;
    pthread_mutex_unlock(&subscription->lock);
    return ready;
}

static enum store_result give_up(struct status *status)
{
    status_fail(status, STATUS_ABORTED, "SUBSCRIPTION_CHANGED",
                "others are changing the subscription; try again");
    return STORE_OK;
}

/* ---- positions ---- */

static enum store_result position_of_time(struct subscription *subscription,
                                          struct store_session *session, int64_t time_us,
                                          int64_t *position, struct status *status)
{
    struct arena arena;
    arena_init(&arena, BACKLOG_ARENA);
    struct store_list list = {.set = STORE_LOG,
                              .oldest_first = true,
                              .filter = {.from_us = time_us},
                              .limit = 1,
                              .max_bytes = 1,
                              .arena = &arena};
    enum store_result result = STORE_OK;
    do {
        arena_reset(&arena);
        list.after = list.read_to;
        result = session->store->driver->list(session, subscription->scope,
                                              (struct store_list *[]){&list}, 1, status);
    } while (result == STORE_OK && !list.no_memory && list.count == 0 && list.more);
    if (result == STORE_OK && !list.no_memory)
        *position = list.count > 0 ? list.events[0].sequence - 1 : list.read_to;
    arena_fini(&arena);
    if (result == STORE_OK && list.no_memory) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    return result;
}

/* Where a subscription stands that starts there: at the end of the log at the latest. */
static enum store_result find_position(struct subscription *subscription,
                                       struct store_session *session, const struct start *start,
                                       int64_t *position, struct status *status)
{
    int64_t end;
    enum store_result result =
        session->store->driver->log_end(session, subscription->scope, &end, status);
    if (result != STORE_OK)
        return result;
    switch (start->kind) {
    case START_NONE:
    case START_LATEST: *position = end; return STORE_OK;
    case START_EARLIEST: *position = 0; return STORE_OK;
    case START_SEQUENCE:
        *position = start->value - 1 < end ? start->value - 1 : end;
        return STORE_OK;
    case START_TIME: break;
    }
    return position_of_time(subscription, session, start->value, position, status);
}

/* ---- create and change ---- */

/* Copies what a caller may see. False: no memory. */
static bool view(struct subscription_view *view, const struct subscription_settings *settings,
                 const char *name, int64_t created_at_us, struct arena *arena)
{
    struct buffer bytes;
    size_t size = strlen(name);
    buffer_init(&bytes, (size_t)1 << 20);
    subscription_settings_encode(settings, &bytes);
    view->created_at_us = created_at_us;
    view->name = (struct slice){arena_copy(arena, name, size), size};
    bool copied = !bytes.failed && view->name.data &&
                  subscription_settings_decode((struct slice){bytes.data, bytes.size}, arena,
                                               &view->settings);
    buffer_fini(&bytes);
    return copied;
}

static bool view_subscription(struct subscription *subscription, struct subscription_view *out,
                              struct subscription_request *request)
{
    pthread_mutex_lock(&subscription->lock);
    bool copied = view(out, &subscription->settings, subscription->name,
                       subscription->created_at_us, request->arena);
    pthread_mutex_unlock(&subscription->lock);
    if (!copied)
        subscription_no_memory(&request->status);
    return copied;
}

static void merge(struct subscription_settings *settings, const struct put_subscription *put)
{
    const struct subscription_settings *given = &put->settings;
    if (put->given & GIVEN_DESCRIPTION)
        settings->description = given->description;
    if (put->given & GIVEN_FILTER)
        settings->filter = given->filter;
    if (put->given & GIVEN_LEASE)
        settings->lease_seconds = given->lease_seconds;
    if (put->given & GIVEN_ATTEMPTS)
        settings->max_attempts = given->max_attempts;
    if (put->given & GIVEN_BACKOFF_MINIMUM)
        settings->backoff_minimum = given->backoff_minimum;
    if (put->given & GIVEN_BACKOFF_MAXIMUM)
        settings->backoff_maximum = given->backoff_maximum;
    if (put->given & GIVEN_OUTSTANDING)
        settings->max_outstanding = given->max_outstanding;
    if (put->given & GIVEN_INBOX)
        settings->acknowledges_in_inbox = given->acknowledges_in_inbox;
    if (put->given & GIVEN_PAUSED)
        settings->paused = given->paused;
    if (put->given & GIVEN_ORDERING)
        settings->by_key = given->by_key;
    if (put->given & GIVEN_AFTER_DEAD)
        settings->blocks_by_dead = given->blocks_by_dead;
}

static bool check_merged(const struct subscription *subscription,
                         const struct put_subscription *put,
                         const struct subscription_settings *settings, struct status *status)
{
    unsigned fixed = GIVEN_FILTER | GIVEN_INBOX | GIVEN_DESCRIPTION;
    if (subscription_is_inbox(subscription) && (put->given & fixed))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "INBOX_FIXED",
                           "of the subscription \"inbox\", description, filter and "
                           "acknowledge_in_inbox cannot be changed");
    return settings->backoff_minimum <= settings->backoff_maximum ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "BACKOFF_INVALID",
                       "the minimum of the back-off, %u seconds, must not be over its maximum, %u "
                       "seconds",
                       settings->backoff_minimum, settings->backoff_maximum);
}

/* What is out, and which keys wait, would have to be found out anew. */
static bool check_ordering(const struct subscription_settings *before,
                           const struct subscription_settings *after, struct status *status)
{
    return before->by_key == after->by_key ||
           status_fail(status, STATUS_FAILED_PRECONDITION, "ORDERING_FIXED",
                       "the ordering of a subscription cannot be changed, and this one %s; create "
                       "another subscription",
                       before->by_key ? "orders by key" : "has none");
}

static unsigned most_of(const struct subscription *subscription)
{
    uint32_t cap =
        caps_subscriptions(tenants_caps(subscription->all->tenants), subscription->scope.tenant);
    return cap > 0 && cap < STORE_SUBSCRIPTIONS_MAX ? cap : STORE_SUBSCRIPTIONS_MAX;
}

static enum store_result create(struct subscription *subscription, struct store_session *session,
                                struct put_subscription *put, bool *again)
{
    struct status *status = &put->request.status;
    struct subscription_settings settings = subscription_settings_new();
    enum store_outcome outcome = STORE_STALE;
    int64_t position;
    merge(&settings, put);
    if (!check_merged(subscription, put, &settings, status))
        return STORE_OK;
    enum store_result result = find_position(subscription, session, &put->start, &position, status);
    if (result == STORE_OK)
        result = subscription_create(subscription, session, &settings, position, &outcome, status);
    if (result != STORE_OK)
        return result;
    put->created = outcome == STORE_DONE;
    *again = outcome == STORE_STALE;
    if (outcome == STORE_CONFLICT)
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_SUBSCRIPTIONS",
                    "there are %u subscriptions, the most that there may be",
                    most_of(subscription));
    subscription->id = 0; /* to be found */
    return STORE_OK;
}

static enum store_result change(struct subscription *subscription, struct store_session *session,
                                struct put_subscription *put, bool *again)
{
    struct subscription_settings settings = subscription->settings;
    struct buffer before, after;
    struct status *status = &put->request.status;
    merge(&settings, put);
    if (!check_merged(subscription, put, &settings, status) ||
        !check_ordering(&subscription->settings, &settings, status))
        return STORE_OK;
    buffer_init(&before, (size_t)1 << 20);
    buffer_init(&after, (size_t)1 << 20);
    subscription_settings_encode(&subscription->settings, &before);
    subscription_settings_encode(&settings, &after);
    bool same = before.size == after.size && memcmp(before.data, after.data, after.size) == 0;
    enum store_result result = STORE_OK;
    struct store_put change = {.name = {subscription->name, strlen(subscription->name)},
                               .settings = {after.data, after.size},
                               .revision = subscription->revision};
    if (before.failed || after.failed)
        subscription_no_memory(status);
    else if (!same)
        result =
            session->store->driver->subscription_put(session, subscription->scope, &change, status);
    *again = result == STORE_OK && !same && change.outcome == STORE_STALE;
    buffer_fini(&before);
    buffer_fini(&after);
    return result;
}

static void set_stale(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    subscription->stale = true;
    pthread_mutex_unlock(&subscription->lock);
}

static enum store_result carry_out_put(struct subscription *subscription,
                                       struct store_session *session,
                                       struct subscription_request *request)
{
    struct put_subscription *put = (struct put_subscription *)request;
    bool again = true;
    for (int tries = 0; again && tries < MAX_TRIES; tries++) {
        bool found = is_ready(subscription);
        again = false;
        enum store_result result = found ? change(subscription, session, put, &again)
                                         : create(subscription, session, put, &again);
        if (result != STORE_OK)
            return result;
        if (request->status.code != STATUS_OK)
            return answer(request);
        result = subscription_catch_up(subscription, session, &found, &request->status);
        if (result != STORE_OK)
            return result;
        again = again || !found;
    }
    if (again)
        give_up(&request->status);
    else
        view_subscription(subscription, &put->view, request);
    return answer(request);
}

/* ---- read ---- */

static enum store_result carry_out_get(struct subscription *subscription,
                                       struct store_session *session,
                                       struct subscription_request *request)
{
    struct get_subscription *get = (struct get_subscription *)request;
    struct survey survey = {.scope = subscription->scope,
                            .settings = &subscription->settings,
                            .max_events = BACKLOG_EVENTS,
                            .max_bytes = BACKLOG_BYTES};
    if (!is_ready(subscription))
        return answer_not_found(subscription, request);
    pthread_mutex_lock(&subscription->lock);
    survey_begin(&survey, subscription);
    pthread_mutex_unlock(&subscription->lock);
    enum store_result result = survey_count(&survey, session, &get->figures, &request->status);
    if (result != STORE_OK)
        return result;
    view_subscription(subscription, &get->view, request);
    return answer(request);
}

/* Any thread. */
bool subscription_view_row(const struct store_subscription *row, struct subscription_view *out,
                           struct arena *arena)
{
    const char *name = arena_copy(arena, row->name.data, row->name.size);
    out->name = (struct slice){name, row->name.size};
    out->created_at_us = row->created_at_us;
    return name && subscription_settings_decode(row->settings, arena, &out->settings);
}

/* ---- remove ---- */

static enum store_result carry_out_remove(struct subscription *subscription,
                                          struct store_session *session,
                                          struct subscription_request *request)
{
    bool more = true;
    if (!is_ready(subscription))
        return answer_not_found(subscription, request);
    if (subscription_is_inbox(subscription)) {
        status_fail(&request->status, STATUS_INVALID_ARGUMENT, "INBOX_FIXED",
                    "the subscription \"inbox\" cannot be removed");
        return answer(request);
    }
    enum store_result result = session->store->driver->subscription_remove(
        session, subscription->scope, subscription->id, &more, &request->status);
    if (result != STORE_OK)
        return result;
    set_stale(subscription);
    answer(request);
    struct status ignored;
    while (more && result == STORE_OK) /* what is left then is found by the sweep */
        result = session->store->driver->subscription_remove(session, subscription->scope,
                                                             subscription->id, &more, &ignored);
    return STORE_OK;
}

/* ---- seek ---- */

/* *sought is false when it was stale. */
static enum store_result write_seek(struct subscription *subscription,
                                    struct store_session *session, int64_t position, bool *sought,
                                    struct status *status)
{
    struct buffer body;
    buffer_init(&body, 1024);
    ledger_make_seek(&body, position);
    struct store_take take = {.durable = true, .entry = {.body = {body.data, body.size}}};
    pthread_mutex_lock(&subscription->lock);
    take.before = ledger_figures_of(subscription->ledger).take;
    pthread_mutex_unlock(&subscription->lock);
    enum store_result result = subscription_append(subscription, session, &take, sought, status);
    buffer_fini(&body);
    if (!*sought)
        return result;
    pthread_mutex_lock(&subscription->lock);
    subscription->scanned = position;
    pthread_mutex_unlock(&subscription->lock);
    subscription_leave(subscription);
    return result;
}

static enum store_result carry_out_seek(struct subscription *subscription,
                                        struct store_session *session,
                                        struct subscription_request *request)
{
    struct seek_subscription *seek = (struct seek_subscription *)request;
    enum store_result result = STORE_OK;
    bool done = false;
    for (int tries = 0; result == STORE_OK && !done && tries < MAX_TRIES; tries++) {
        bool found = true;
        if (!is_ready(subscription))
            result = subscription_catch_up(subscription, session, &found, &request->status);
        if (result == STORE_OK && !found)
            return answer_not_found(subscription, request);
        if (result == STORE_OK)
            result =
                find_position(subscription, session, &seek->to, &seek->position, &request->status);
        if (result != STORE_OK)
            break;
        pthread_mutex_lock(&subscription->lock);
        int64_t from = ledger_figures_of(subscription->ledger).position;
        pthread_mutex_unlock(&subscription->lock);
        seek->events = from < seek->position ? seek->position - from : from - seek->position;
        done = seek->dry_run;
        if (!done)
            result = write_seek(subscription, session, seek->position, &done, &request->status);
    }
    if (result != STORE_OK)
        return result;
    if (!done)
        give_up(&request->status);
    return answer(request);
}

/* ---- dead letters ---- */

static enum store_result carry_out_dead_letters(struct subscription *subscription,
                                                struct store_session *session,
                                                struct subscription_request *request)
{
    struct list_dead_letters *list = (struct list_dead_letters *)request;
    if (!is_ready(subscription))
        return answer_not_found(subscription, request);
    list->list.subscription = subscription->id;
    list->list.max_bytes = PULL_MAX_BYTES;
    list->list.arena = request->arena;
    enum store_result result = session->store->driver->dead_letters(session, subscription->scope,
                                                                    &list->list, &request->status);
    if (result != STORE_OK)
        return result;
    if (list->list.no_memory)
        subscription_no_memory(&request->status);
    return answer(request);
}

/* The sequences of the events that were named; those that there are not are left out. */
static enum store_result find_sequences(struct subscription *subscription,
                                        struct store_session *session,
                                        const struct dead_letter_request *request,
                                        struct arena *arena, struct store_dead_letters *letters,
                                        struct status *status)
{
    enum { STEP = 100 };
    struct store_get gets[STEP], *list[STEP];
    int64_t *sequences = arena_calloc(arena, request->count + 1, sizeof(*sequences));
    struct arena events;
    enum store_result result = STORE_OK;
    if (!sequences) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    arena_init(&events, BACKLOG_ARENA);
    for (size_t first = 0; result == STORE_OK && first < request->count; first += STEP) {
        size_t count = request->count - first < STEP ? request->count - first : STEP;
        arena_reset(&events);
        for (size_t i = 0; i < count; i++) {
            gets[i] = (struct store_get){.arena = &events};
            memcpy(gets[i].id, request->event_ids[first + i], TYPEID_BYTES);
            list[i] = &gets[i];
        }
        result = session->store->driver->get(session, subscription->scope, list, count, status);
        for (size_t i = 0; result == STORE_OK && i < count; i++)
            if (gets[i].outcome == STORE_DONE)
                sequences[letters->sequence_count++] = gets[i].event.sequence;
    }
    arena_fini(&events);
    letters->sequences = sequences;
    return result;
}

/* The dead letters that the request is about, as many as one settlement takes. */
static enum store_result find_letters(struct subscription *subscription,
                                      struct store_session *session,
                                      const struct dead_letter_request *request,
                                      struct store_dead_letters *letters, struct status *status)
{
    enum store_result result = STORE_OK;
    letters->subscription = subscription->id;
    letters->limit = MAX_LETTERS;
    /* With fewer at once there are more left. */
    letters->max_bytes = request->all ? PULL_MAX_BYTES : SIZE_MAX;
    if (!request->all)
        result = find_sequences(subscription, session, request, letters->arena, letters, status);
    if (result == STORE_OK && (request->all || letters->sequence_count > 0))
        result =
            session->store->driver->dead_letters(session, subscription->scope, letters, status);
    if (result == STORE_OK && letters->no_memory) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    return result;
}

/* The settlement that redrives or removes them. Lock held, and the settlement is ours. False: no
 * memory. */
static bool make_settlement(struct subscription *subscription,
                            const struct dead_letter_request *request,
                            const struct store_dead_letters *letters, size_t count)
{
    struct settling *settling = &subscription->settling;
    int64_t *sequences = arena_calloc(&settling->arena, count, sizeof(*sequences));
    int64_t *removed = arena_calloc(&settling->arena, count, sizeof(*removed));
    size_t removed_count = 0;
    int64_t now_us = store_clock_now_us(&subscription->all->clock);
    if (!sequences || !removed)
        return false;
    ledger_make_settlement(&settling->body, subscription->ledger);
    for (size_t i = 0; i < count; i++) {
        sequences[i] = letters->letters[i].letter.sequence;
        /* Without its event nobody could be given it, nor is its key known. */
        if (!request->redrive || letters->letters[i].event.kind == 0) {
            removed[removed_count++] = sequences[i];
            continue;
        }
        int64_t due_us = request->rate ? now_us + (int64_t)i * 1000000 / request->rate : now_us;
        uint64_t key = subscription->settings.by_key
                           ? store_key_of(letters->letters[i].event.ordering_key)
                           : 0;
        ledger_add_revived(&settling->body, subscription->ledger, &sequences[i], &key, 1, due_us);
    }
    if (removed_count > 0) {
        ledger_add_buried(&settling->body, removed_count);
        if (ledger_figures_of(subscription->ledger).blocked > 0)
            ledger_add_unblocked(&settling->body, removed, removed_count);
    }
    settling->settlement.revived = sequences;
    settling->settlement.revived_count = count;
    return true;
}

/* So many of them, from the first one on, may be redriven, as there may not be more leases. Those
 * that block their keys have theirs already. Lock held. */
static size_t count_redriven(const struct subscription *subscription,
                             const struct store_dead_letters *letters)
{
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    size_t held = figures.out + figures.waiting + figures.blocked;
    size_t count = 0;
    for (; count < letters->count; count++) {
        bool is_held = ledger_find(subscription->ledger, letters->letters[count].letter.sequence);
        if (!is_held && held >= LEDGER_MAX_OUTSTANDING)
            break;
        held += !is_held;
    }
    return count;
}

static enum store_result settle_letters(struct subscription *subscription,
                                        struct store_session *session,
                                        struct dead_letter_request *request, struct arena *arena)
{
    struct status *status = &request->request.status;
    struct store_dead_letters letters = {.arena = arena};
    enum store_result result = find_letters(subscription, session, request, &letters, status);
    if (result != STORE_OK)
        return result;
    pthread_mutex_lock(&subscription->lock);
    size_t count = request->redrive ? count_redriven(subscription, &letters) : letters.count;
    int64_t dead = ledger_figures_of(subscription->ledger).dead;
    request->concerned = request->dry_run && request->all ? dead : (int64_t)count;
    request->left = request->dry_run ? 0
                    : request->all   ? dead - (int64_t)count
                                     : (int64_t)(letters.count - count);
    bool starts = !request->dry_run && count > 0;
    if (starts) {
        starts = make_settlement(subscription, request, &letters, count);
        if (!starts)
            subscription_no_memory(status);
    }
    subscription->settling.under_way = starts;
    if (starts)
        queue_add(&subscription->settling.answers, &request->request);
    pthread_mutex_unlock(&subscription->lock);
    if (starts) {
        settling_start(subscription);
        return STORE_OK;
    }
    return answer(&request->request);
}

/* It takes the settlement for itself before it looks which dead letters there are, so that nobody
 * comes in between. */
static enum store_result carry_out_dead_letter(struct subscription *subscription,
                                               struct store_session *session,
                                               struct subscription_request *base)
{
    struct arena arena;
    if (!is_ready(subscription))
        return answer_not_found(subscription, base);
    pthread_mutex_lock(&subscription->lock);
    bool blocked = subscription->settling.under_way;
    if (blocked) {
        subscription->blocked = true;
        queue_add_first(&subscription->requests, base);
    } else {
        settling_begin(subscription);
    }
    pthread_mutex_unlock(&subscription->lock);
    if (blocked)
        return STORE_OK;
    arena_init(&arena, BACKLOG_ARENA);
    enum store_result result =
        settle_letters(subscription, session, (struct dead_letter_request *)base, &arena);
    arena_fini(&arena);
    if (result != STORE_OK) {
        pthread_mutex_lock(&subscription->lock);
        subscription->settling.under_way = false;
        pthread_mutex_unlock(&subscription->lock);
    }
    return result;
}

void managing_set(struct subscription_request *request, enum managing managing)
{
    static enum store_result (*const CARRY_OUT[])(struct subscription *, struct store_session *,
                                                  struct subscription_request *) = {
        [MANAGE_PUT] = carry_out_put,
        [MANAGE_GET] = carry_out_get,
        [MANAGE_REMOVE] = carry_out_remove,
        [MANAGE_SEEK] = carry_out_seek,
        [MANAGE_DEAD_LETTERS] = carry_out_dead_letters,
        [MANAGE_DEAD_LETTER] = carry_out_dead_letter,
    };
    request->carry_out = CARRY_OUT[managing];
}
