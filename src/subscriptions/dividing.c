#include "subscriptions/dividing.h"

#include "base/check.h"

/* A key of which an event was given out or passed over. */
struct key_place {
    uint64_t key; /* 0: an empty place */
    bool is_marked;
};

static bool init(struct division *division, bool by_key, struct arena *arena)
{
    bool ordered = by_key && division->walk != WALK_TIMES; /* who waits for a time has no key */
    size_t count = division->count;
    division->sequences = arena_calloc(arena, count, sizeof(*division->sequences));
    division->grants = arena_calloc(arena, count, sizeof(*division->grants));
    if (!division->sequences || !division->grants || !ordered)
        return division->sequences && division->grants;
    division->keys = arena_calloc(arena, count, sizeof(*division->keys));
    division->marks = arena_calloc(arena, count, sizeof(*division->marks));
    division->mask = 1;
    while (division->mask < 2 * count)
        division->mask = 2 * division->mask + 1;
    division->table = arena_calloc(arena, division->mask + 1, sizeof(*division->table));
    division->ready_now = arena_calloc(arena, count, sizeof(*division->ready_now));
    return division->keys && division->marks && division->table && division->ready_now;
}

/* ---- what of the log is passed over ---- */

static struct key_place *place_of_key(const struct division *division, uint64_t key)
{
    size_t at = key & division->mask;
    while (division->table[at].key != 0 && division->table[at].key != key)
        at = (at + 1) & division->mask;
    return &division->table[at];
}

/* Its time is to come: the walk of times gives it out. */
static bool is_early(struct division *division, const struct store_event *event)
{
    struct ledger_take *take = &division->take;
    int64_t time_us = event->deliver_at_us;
    if (time_us < take->delayed_us ||
        (time_us == take->delayed_us && event->sequence <= take->delayed_sequence))
        return false;
    if (time_us < take->next_delayed_us)
        take->next_delayed_us = time_us;
    division->passes = true;
    return true;
}

/* Another event of its key is out, or before it. The first one that waits leaves a mark. */
static bool is_behind(const struct subscription *subscription, struct division *division,
                      const struct store_event *event)
{
    uint64_t key = division->next_key = store_key_of(event->ordering_key);
    struct key_place *place = place_of_key(division, key);
    if (key == 0 || (place->key == 0 && !ledger_key_is_busy(subscription->ledger, key)))
        return false;
    if (place->is_marked || ledger_key_is_marked(subscription->ledger, key))
        return true;
    division->is_cut = division->mark_count == division->most_marks;
    if (division->is_cut)
        return true;
    *place = (struct key_place){key, true};
    division->marks[division->mark_count++] = (struct ledger_key){key, event->sequence};
    division->passes = true;
    return true;
}

/* Lock held. */
static bool is_passed_over(const struct subscription *subscription, struct division *division,
                           const struct store_event *event)
{
    division->next_key = 0;
    if (ledger_is_ahead(subscription->ledger, event->sequence))
        return true;
    if (event->deliver_at_us != 0)
        return is_early(division, event);
    return division->table && is_behind(subscription, division, event);
}

/* Goes on to the next event that can be given out; false: there is none. Lock held. */
static bool find_next(const struct subscription *subscription, struct division *division)
{
    while (division->next < division->count && division->walk == WALK_LOG &&
           is_passed_over(subscription, division, &division->events[division->next])) {
        if (division->is_cut)
            return false;
        division->next++;
    }
    return division->next < division->count;
}

/* ---- dividing ---- */

/* The next event is given out. */
static void note_given(struct division *division)
{
    size_t i = division->next++;
    division->sequences[division->given] = division->events[i].sequence;
    if (division->walk == WALK_KEYS) {
        const struct store_key_next *key = &division->ready->keys[i];
        division->keys[division->given] = key->key;
        division->marks[division->mark_count++] = (struct ledger_key){key->key, key->next};
    } else if (division->keys) {
        division->keys[division->given] = division->next_key;
        if (division->next_key != 0)
            place_of_key(division, division->next_key)->key = division->next_key;
    }
    division->given++;
}

/* The pull gets the next events; its status says when there was no memory for them. Lock held. */
static void give(const struct subscription *subscription, struct division *division,
                 struct pull *pull)
{
    size_t first = division->given;
    size_t left = division->count - division->next;
    size_t most = division->most - first;
    most = most < left ? most : left;
    most = most < pull->max_events ? most : pull->max_events;
    size_t bytes = 0;
    pull->count = 0;
    pull->deliveries = arena_calloc(pull->request.arena, most, sizeof(*pull->deliveries));
    if (!pull->deliveries) {
        subscription_no_memory(&pull->request.status);
        return;
    }
    while (pull->count < most && find_next(subscription, division)) {
        const struct store_event *event = &division->events[division->next];
        bytes += event->payload.size;
        if (pull->count > 0 && bytes > pull->max_bytes)
            break;
        pull->deliveries[pull->count++].event = *event;
        note_given(division);
    }
    uint32_t seconds = pull->lease_seconds;
    division->grants[division->grant_count++] = (struct ledger_grant){
        .pull = pull->id,
        .lease_ms = (seconds ? seconds : subscription->settings.lease_seconds) * 1000,
        .sequences = division->sequences + first,
        .keys = division->keys ? division->keys + first : NULL,
        .count = pull->count};
}

/* Those for whom there was no memory are moved to `failed`. Lock held. */
static void divide(struct subscription *subscription, struct division *division,
                   struct pull_list *failed)
{
    struct pull_list *pulls = &subscription->pulls;
    pulls_put_back(pulls, &subscription->taking);
    for (struct pull *pull = pulls->first, *next; pull && division->given < division->most;
         pull = next) {
        next = pull->next;
        if (!pull->admitted || pull->ended)
            continue;
        if (!find_next(subscription, division))
            break;
        if (pull->parked && !pull->calls->unpark(pull))
            continue;
        pull->parked = false;
        pull->request.status = STATUS_INIT;
        give(subscription, division, pull);
        pulls_remove(pulls, pull);
        pulls_add(pull->request.status.code == STATUS_OK ? &subscription->taking : failed, pull);
    }
}

/* ---- what the take says besides ---- */

static void conclude_log(struct division *division)
{
    bool all = division->next == division->count;
    division->take.position = all                  ? division->log->read_to
                              : division->next > 0 ? division->events[division->next - 1].sequence
                                                   : division->log->after;
}

/* The time position moves over the events that were given out, or to the end of the walk. */
static void conclude_times(struct division *division)
{
    const struct store_delayed *times = division->times;
    struct ledger_take *take = &division->take;
    bool all = division->next == division->count;
    if (all && !times->more) {
        take->delayed_us = times->until_us + 1;
        take->delayed_sequence = 0;
        take->next_delayed_us = times->next_us;
    } else if (division->next > 0) {
        const struct store_event *last = &division->events[division->next - 1];
        take->delayed_us = last->deliver_at_us;
        take->delayed_sequence = last->sequence;
        take->next_delayed_us = (all ? last : last + 1)->deliver_at_us;
    }
    division->passes = all || division->next > 0;
}

/* Makes the take of what was divided; false: there is nothing to write. Lock held. */
static bool make_take(struct subscription *subscription, struct division *division,
                      struct buffer *body)
{
    struct ledger_take *take = &division->take;
    switch (division->walk) {
    case WALK_NONE: break;
    case WALK_LOG: conclude_log(division); break;
    case WALK_TIMES: conclude_times(division); break;
    case WALK_KEYS: take->position = division->ready->to; break;
    }
    if (division->walk == WALK_LOG) {
        take->grants = division->grants;
        take->grant_count = division->grant_count;
    } else {
        take->passed = division->grants;
        take->passed_count = division->grant_count;
    }
    take->keys = division->marks;
    take->key_count = division->mark_count;
    if (division->grant_count > 0 || division->passes) {
        ledger_make_take(body, subscription->ledger, take);
        return true;
    }
    if (division->walk == WALK_LOG && subscription->scanned < take->position)
        subscription->scanned = take->position; /* all of it was settled before, or waits */
    return false;
}

/* Keys may have become busy since they were read, by a dead letter that was revived: they are left
 * out. Lock held. */
static void keep_ready(const struct subscription *subscription, struct division *division)
{
    size_t kept = 0;
    struct ledger_key *ready = division->ready_now;
    size_t count = ledger_ready(subscription->ledger, ready, division->count);
    for (size_t i = 0, j = 0; i < division->count; i++) {
        while (j < count && ready[j].from < division->events[i].sequence)
            j++;
        if (j == count || ready[j].key != division->ready->keys[i].key)
            continue;
        division->ready->keys[kept] = division->ready->keys[i];
        division->events[kept++] = division->events[i];
    }
    division->count = kept;
}

/* Lock held. */
static void prepare(const struct subscription *subscription, struct division *division)
{
    size_t marks = ledger_figures_of(subscription->ledger).marks;
    division->take = ledger_take_of(subscription->ledger);
    division->most_marks = marks < LEDGER_MAX_MARKS ? LEDGER_MAX_MARKS - marks : 0;
    if (division->walk == WALK_KEYS)
        keep_ready(subscription, division);
}

/* ---- answers ---- */

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
    for (const struct pull *pull = subscription->taking.first; pull; pull = pull->next)
        metric_add(&subscription_deliveries, subscription->series, (int64_t)pull->count);
    int64_t position = ledger_figures_of(subscription->ledger).position;
    if (subscription->scanned < position)
        subscription->scanned = position;
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

/* The take was written. */
static void answer_taken(struct subscription *subscription, bool reads)
{
    struct pull_list answers; /* a release looks through the others meanwhile */
    pulls_init(&answers);
    pthread_mutex_lock(&subscription->lock);
    fill_taken(subscription);
    pulls_put_back(reads ? &subscription->granted : &answers, &subscription->taking);
    pthread_mutex_unlock(&subscription->lock);
    answer_each(&answers);
}

enum store_result division_take(struct subscription *subscription, struct store_session *session,
                                struct division *division, struct arena *arena,
                                struct status *status)
{
    struct pull_list failed;
    struct buffer body;
    enum store_result result = STORE_OK;
    bool taken = false;
    if (!init(division, subscription->settings.by_key, arena)) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    pulls_init(&failed);
    buffer_init(&body, (size_t)1 << 20);
    pthread_mutex_lock(&subscription->lock);
    prepare(subscription, division);
    divide(subscription, division, &failed);
    bool writes = make_take(subscription, division, &body);
    /* Takes of events that were passed over are on the disk before anybody gets them: after a lost
     * one nobody could tell them from those that are settled. */
    struct store_take take = {.durable = division->walk != WALK_LOG,
                              .before = ledger_figures_of(subscription->ledger).take,
                              .entry = {.body = {body.data, body.size}}};
    pthread_mutex_unlock(&subscription->lock);
    answer_each(&failed);
    if (body.failed) {
        subscription_no_memory(status);
        result = STORE_UNAVAILABLE;
    } else if (writes) {
        result = subscription_append(subscription, session, &take, &taken, status);
    }
    buffer_fini(&body);
    if (taken)
        answer_taken(subscription, division->walk == WALK_KEYS);
    return result;
}

void division_look_for_lost(struct subscription *subscription)
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
