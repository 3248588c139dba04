/* Settlements: one at a time of a subscription. What came meanwhile goes into the next: what
 * callers say of their deliveries, events whose leases have ended, and now and then a checkpoint.
 * It is decided by the ledger as it is; if that was not all the store has, the settlement is stale,
 * and all of it is decided again. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "subscriptions/subscription.h"

#define MAX_IDS 8192 /* of one settlement */
#define MAX_DUE 1000
#define WRITE_DEADLINE_MS 10000

/* A checkpoint is made after so many entries, and bytes of them, or when it is smaller than half of
 * what came since the last one. */
#define CHECKPOINT_ENTRIES 1000
#define CHECKPOINT_BYTES ((size_t)64 << 10)

#define ENDED_REASON "the lease ended"

/* An event that the settlement is about. */
struct touched {
    int64_t sequence; /* 0: an empty place */
    enum settle_kind kind;
    struct settle_result result;
};

/* The settlement that is being made. */
struct draft {
    struct subscription *subscription;
    struct settling *settling;
    struct touched *table;
    size_t mask; /* of places in it */
    const struct lease *due[MAX_DUE];
    size_t due_count;
    size_t ids;
    int64_t now_us;
    int64_t *settled; /* sequences that are done */
    size_t settled_count;
    struct store_dead_letter *dead;
    size_t dead_count;
    bool written; /* there is something in it */
};

static struct touched *place_of(const struct draft *draft, int64_t sequence)
{
    size_t place = (size_t)((uint64_t)sequence * UINT64_C(11400714819323198485) >> 40);
    struct touched *touched;
    do
        touched = &draft->table[place++ & draft->mask];
    while (touched->sequence != 0 && touched->sequence != sequence);
    return touched;
}

/* ---- what callers say of their deliveries ---- */

/* Whether its lease was made by an entry that the ledger does not have yet, as another core's. */
static bool is_ahead_of_us(const struct subscription *subscription, const struct ack_id *id)
{
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    int64_t known = id->lease.again ? figures.settlement.number : figures.take.number;
    return id->lease.number > known || id->epoch > figures.epoch;
}

static void add_settled(struct draft *draft, int64_t sequence)
{
    draft->settled[draft->settled_count++] = sequence;
    draft->written = true;
}

static void add_dead(struct draft *draft, const struct lease *lease, struct slice reason)
{
    draft->settling->outcomes[SUBSCRIPTION_DEAD]++;
    draft->dead[draft->dead_count++] = (struct store_dead_letter){.sequence = lease->sequence,
                                                                  .attempts = lease->attempts,
                                                                  .first_us = lease->first_us,
                                                                  .reason = reason};
    draft->written = true;
}

static bool is_last_attempt(const struct subscription *subscription, const struct lease *lease)
{
    uint32_t most = subscription->settings.max_attempts;
    return most > 0 && lease->attempts >= most;
}

static void give_back(struct draft *draft, const struct lease *lease, const struct settle *settle)
{
    struct buffer *body = &draft->settling->body;
    const struct subscription *subscription = draft->subscription;
    bool released = settle->kind == SETTLE_RELEASE;
    if (!released && (settle->dead || is_last_attempt(subscription, lease))) {
        add_dead(draft, lease, settle->reason);
        return;
    }
    int64_t pause_us = released ? 0 : settle->delay_ms * 1000;
    if (pause_us < 0)
        pause_us =
            subscription_backoff_us(&subscription->settings, lease->sequence, lease->attempts);
    draft->settling->outcomes[SUBSCRIPTION_FAILED] += !released;
    ledger_add_back(body, &lease->sequence, 1, draft->now_us + pause_us, released);
    draft->written = true;
}

static enum settle_outcome extend(struct draft *draft, const struct lease *lease,
                                  const struct settle *settle, int64_t *expires_us)
{
    uint32_t seconds = settle->lease_seconds;
    if (seconds == 0)
        seconds = draft->subscription->settings.lease_seconds;
    *expires_us = draft->now_us + seconds * INT64_C(1000000);
    if (*expires_us - lease->started_us > LEASE_MAX_US)
        return SETTLE_TOO_LONG;
    ledger_add_extended(&draft->settling->body, &lease->sequence, 1, *expires_us);
    draft->written = true;
    return SETTLE_DONE;
}

/* What becomes of one that its caller may settle. */
static struct settle_result settle_claimed(struct draft *draft, const struct settle *settle,
                                           int64_t sequence, enum lease_claim claim)
{
    const struct lease *lease = ledger_find(draft->subscription->ledger, sequence);
    enum settle_outcome done = claim == LEASE_HELD ? SETTLE_DONE : SETTLE_DONE_LATE;
    struct settle_result result = {.outcome = done};
    bool kills = settle->kind == SETTLE_NACK && settle->dead;
    if (settle->kind == SETTLE_ACK) {
        draft->settling->outcomes[SUBSCRIPTION_ACKNOWLEDGED]++;
        add_settled(draft, sequence);
    } else if (settle->kind == SETTLE_EXTEND && lease && lease->out) {
        enum settle_outcome extended = extend(draft, lease, settle, &result.expires_us);
        result.outcome = extended == SETTLE_DONE ? done : extended;
    } else if (lease && (lease->out || kills)) {
        give_back(draft, lease, settle);
    } else if (kills || settle->kind == SETTLE_EXTEND) {
        result.outcome = SETTLE_LOST;
    } else {
        /* It waits to be given out (again), which is all that giving back asks for. */
        result.outcome = SETTLE_DONE_LATE;
    }
    return result;
}

static struct settle_result settle_one(struct draft *draft, const struct settle *settle,
                                       const struct ack_id *id)
{
    enum lease_claim claim = ledger_claim(draft->subscription->ledger, id->sequence, id->lease,
                                          id->epoch, draft->now_us);
    if (claim == LEASE_LOST)
        return (struct settle_result){.outcome = SETTLE_LOST};
    if (claim == LEASE_SETTLED)
        return (struct settle_result){.outcome =
                                          settle->kind == SETTLE_ACK ? SETTLE_DONE : SETTLE_ENDED};
    struct touched *touched = place_of(draft, id->sequence);
    if (touched->sequence == 0) {
        *touched = (struct touched){id->sequence, settle->kind,
                                    settle_claimed(draft, settle, id->sequence, claim)};
    }
    return touched->result;
}

enum gathering {
    GATHERED,
    GATHER_LATER, /* in the next settlement */
    GATHER_STALE, /* when the ledger was read on */
};

/* Reads the ids, and looks whether all of the call can be in this settlement. */
static enum gathering read_ids(struct draft *draft, const struct settle *settle, struct ack_id *ids)
{
    const struct subscription *subscription = draft->subscription;
    for (size_t i = 0; i < settle->count; i++) {
        enum ack_id_fault fault =
            ack_id_parse(settle->ack_ids[i], subscription->id, subscription->settings.key, &ids[i]);
        settle->results[i] = (struct settle_result){
            .outcome = fault == ACK_ID_FOREIGN ? SETTLE_FOREIGN : SETTLE_MALFORMED};
        if (fault != ACK_ID_RIGHT) {
            ids[i].sequence = 0;
            continue;
        }
        if (!settle->request.caught_up && is_ahead_of_us(subscription, &ids[i]))
            return GATHER_STALE;
        const struct touched *touched = place_of(draft, ids[i].sequence);
        if (touched->sequence != 0 && touched->kind != settle->kind)
            return GATHER_LATER;
    }
    return GATHERED;
}

static bool has_pull(const struct pull_list *pulls, uint64_t id)
{
    const struct pull *pull = pulls->first;
    while (pull && pull->id != id)
        pull = pull->next;
    return pull != NULL;
}

/* Whether it can be said now what a pull has: all cores' entries are known, and nobody is giving it
 * anything. */
static enum gathering find_pull(const struct draft *draft, const struct settle *settle)
{
    const struct subscription *subscription = draft->subscription;
    if (settle->pull == 0)
        return GATHERED;
    if (!settle->request.caught_up)
        return GATHER_STALE;
    return has_pull(&subscription->taking, settle->pull) ||
                   has_pull(&subscription->granted, settle->pull) ||
                   has_pull(&draft->settling->pulls, settle->pull)
               ? GATHER_LATER
               : GATHERED;
}

/* Gives back what the pull has. */
static void release_pull(struct draft *draft, const struct settle *settle)
{
    const struct lease *leases[PULL_MAX_EVENTS];
    size_t count = ledger_pulled(draft->subscription->ledger, settle->pull, draft->now_us, leases,
                                 PULL_MAX_EVENTS);
    for (size_t i = 0; i < count; i++) {
        struct touched *touched = place_of(draft, leases[i]->sequence);
        if (touched->sequence != 0)
            continue;
        *touched = (struct touched){.sequence = leases[i]->sequence, .kind = SETTLE_RELEASE};
        give_back(draft, leases[i], settle);
    }
}

/* The most events that it may be about. */
static size_t most_of(const struct settle *settle)
{
    return settle->count + (settle->pull ? PULL_MAX_EVENTS : 0);
}

static enum gathering gather(struct draft *draft, struct settle *settle)
{
    struct ack_id *ids = arena_calloc(&draft->settling->arena, settle->count, sizeof(*ids));
    if (!ids || draft->ids + most_of(settle) > MAX_IDS)
        return GATHER_LATER;
    enum gathering gathering = find_pull(draft, settle);
    if (gathering == GATHERED)
        gathering = read_ids(draft, settle, ids);
    if (gathering != GATHERED)
        return gathering;
    draft->ids += most_of(settle);
    if (settle->pull != 0)
        release_pull(draft, settle);
    for (size_t i = 0; i < settle->count; i++)
        if (ids[i].sequence != 0)
            settle->results[i] = settle_one(draft, settle, &ids[i]);
    return GATHERED;
}

/* Calls of which nothing is to be written are answered at once. */
static void gather_settles(struct draft *draft, struct request_queue *answers)
{
    struct subscription *subscription = draft->subscription;
    while (subscription->settles.first) {
        struct settle *settle = (struct settle *)subscription->settles.first;
        enum gathering gathering = gather(draft, settle);
        if (gathering == GATHER_STALE)
            subscription->stale = true;
        if (gathering != GATHERED)
            break;
        queue_take(&subscription->settles);
        bool writes = draft->written;
        queue_add(writes ? &draft->settling->answers : answers, &settle->request);
    }
}

/* ---- what is due ---- */

/* The next pull that may have another event; NULL: none. Its caller waits no more. */
static struct pull *next_pull(struct draft *draft, struct pull *at)
{
    struct subscription *subscription = draft->subscription;
    for (struct pull *pull = at, *next; pull; pull = next) {
        next = pull->next;
        if (!pull->admitted || pull->ended || (pull->parked && !pull->calls->unpark(pull)))
            continue;
        pull->parked = false;
        pull->count = 0; /* a take that was stale may have counted */
        pull->deliveries =
            arena_calloc(pull->request.arena, pull->max_events, sizeof(*pull->deliveries));
        pulls_remove(&subscription->pulls, pull);
        pulls_add(&draft->settling->pulls, pull);
        if (pull->deliveries)
            return pull;
    }
    return NULL;
}

static void grant(struct draft *draft, const struct pull *pull)
{
    int64_t sequences[PULL_MAX_EVENTS];
    uint32_t seconds = pull->lease_seconds;
    if (pull->count == 0)
        return;
    for (size_t i = 0; i < pull->count; i++)
        sequences[i] = pull->deliveries[i].event.sequence;
    struct ledger_grant grant = {
        .pull = pull->id,
        .lease_ms = (seconds ? seconds : draft->subscription->settings.lease_seconds) * 1000,
        .sequences = sequences,
        .count = pull->count};
    ledger_add_again(&draft->settling->body, &grant);
    draft->written = true;
}

/* Events whose time has come are given out again, or have failed for the last time. */
static void gather_due(struct draft *draft)
{
    struct subscription *subscription = draft->subscription;
    struct pull *pull = NULL;
    bool gives = !subscription->settings.paused;
    for (size_t i = 0; i < draft->due_count; i++) {
        const struct lease *lease = draft->due[i];
        if (place_of(draft, lease->sequence)->sequence != 0)
            continue;
        if (lease->out && is_last_attempt(subscription, lease)) {
            add_dead(draft, lease, (struct slice){ENDED_REASON, sizeof(ENDED_REASON) - 1});
            continue;
        }
        if (gives && (!pull || pull->count == pull->max_events)) {
            if (pull)
                grant(draft, pull);
            pull = next_pull(draft, subscription->pulls.first);
            gives = pull != NULL;
        }
        if (!gives)
            continue;
        pull->deliveries[pull->count++].event.sequence = lease->sequence;
        draft->settling->outcomes[SUBSCRIPTION_FAILED] += lease->out;
    }
    if (pull)
        grant(draft, pull);
}

/* ---- the whole ---- */

static void take_sequences(struct sequence_list *to, struct sequence_list *from)
{
    struct sequence_list empty = *to;
    CHECK(empty.count == 0);
    *to = *from;
    *from = empty;
}

/* What we give back or settle ourselves, when nobody has done anything about it meanwhile. */
static void gather_own(struct draft *draft)
{
    struct settling *settling = draft->settling;
    const struct ledger *ledger = draft->subscription->ledger;
    take_sequences(&settling->dropped, &draft->subscription->dropped);
    take_sequences(&settling->returned, &draft->subscription->returned);
    for (size_t i = 0; i < settling->dropped.count; i++) {
        struct touched *touched = place_of(draft, settling->dropped.list[i]);
        if (touched->sequence != 0 || !ledger_find(ledger, settling->dropped.list[i]))
            continue;
        *touched = (struct touched){.sequence = settling->dropped.list[i], .kind = SETTLE_ACK};
        add_settled(draft, touched->sequence);
    }
    for (size_t i = 0; i < settling->returned.count; i++) {
        struct touched *touched = place_of(draft, settling->returned.list[i]);
        const struct lease *lease = ledger_find(ledger, settling->returned.list[i]);
        if (touched->sequence != 0 || !lease || !lease->out)
            continue;
        *touched = (struct touched){.sequence = lease->sequence, .kind = SETTLE_RELEASE};
        ledger_add_back(&settling->body, &lease->sequence, 1, draft->now_us, true);
        draft->written = true;
    }
}

/* Dead letters blocked their keys when they became it, and do so no more. */
static bool has_unblocked(const struct subscription *subscription)
{
    return !subscription->settings.blocks_by_dead &&
           ledger_figures_of(subscription->ledger).blocked > 0;
}

static void gather_unblocked(struct draft *draft)
{
    int64_t sequences[MAX_DUE];
    if (!has_unblocked(draft->subscription))
        return;
    size_t count = ledger_blocked(draft->subscription->ledger, sequences, MAX_DUE);
    ledger_add_unblocked(&draft->settling->body, sequences, count);
    draft->written = true;
}

static bool wants_checkpoint(const struct ledger *ledger)
{
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t least = figures.checkpoint_bytes * 2;
    return figures.since >= CHECKPOINT_ENTRIES &&
           figures.since_bytes >= (least < CHECKPOINT_BYTES ? 0 : least);
}

void settling_begin(struct subscription *subscription)
{
    struct settling *settling = &subscription->settling;
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    CHECK(!settling->under_way && !settling->answers.first && !settling->pulls.first);
    arena_reset(&settling->arena);
    settling->body.size = 0;
    settling->dropped.count = settling->returned.count = 0;
    memset(settling->outcomes, 0, sizeof(settling->outcomes));
    settling->settlement = (struct store_settlement){
        .subscription = subscription->id,
        .revision = subscription->revision,
        .before = figures.settlement,
        .seen = figures.take,
        .takes = -1,
    };
    settling->under_way = true;
}

/* The most events that it can be about. */
static size_t count_most(const struct draft *draft)
{
    const struct subscription *subscription = draft->subscription;
    size_t most = subscription->dropped.count + subscription->returned.count + draft->due_count;
    size_t ids = 0;
    for (const struct subscription_request *request = subscription->settles.first;
         request && ids <= MAX_IDS; request = request->next)
        ids += most_of((const struct settle *)request);
    return most + (ids < MAX_IDS ? ids : MAX_IDS);
}

/* False when there was no memory. */
static bool draft_init(struct draft *draft, struct subscription *subscription)
{
    struct arena *arena = &subscription->settling.arena;
    draft->subscription = subscription;
    draft->settling = &subscription->settling;
    draft->now_us = store_clock_now_us(&subscription->all->clock);
    draft->due_count = ledger_due(subscription->ledger, draft->now_us, draft->due, MAX_DUE);
    draft->ids = draft->settled_count = draft->dead_count = 0;
    draft->written = false;
    size_t most = count_most(draft);
    draft->mask = 1;
    while (draft->mask < 2 * most)
        draft->mask = 2 * draft->mask + 1;
    draft->table = arena_calloc(arena, draft->mask + 1, sizeof(*draft->table));
    draft->settled = arena_calloc(arena, most + 1, sizeof(*draft->settled));
    draft->dead = arena_calloc(arena, most + 1, sizeof(*draft->dead));
    return draft->table && draft->settled && draft->dead;
}

/* Whether there is anything to make one for. */
static bool has_something(const struct subscription *subscription)
{
    return subscription->settles.first || subscription->dropped.count > 0 ||
           subscription->returned.count > 0 || wants_checkpoint(subscription->ledger) ||
           has_unblocked(subscription) ||
           ledger_next_us(subscription->ledger) <= store_clock_now_us(&subscription->all->clock);
}

static bool make_checkpoint(struct subscription *subscription)
{
    struct settling *settling = &subscription->settling;
    ledger_make_checkpoint(&settling->body, subscription->ledger);
    settling->settlement.takes = ledger_figures_of(subscription->ledger).take.number;
    return true;
}

bool settling_make(struct subscription *subscription, struct request_queue *answers)
{
    struct settling *settling = &subscription->settling;
    struct draft draft;
    if (!has_something(subscription))
        return false;
    settling_begin(subscription);
    if (wants_checkpoint(subscription->ledger))
        return make_checkpoint(subscription);
    if (!draft_init(&draft, subscription)) {
        settling->under_way = false;
        return false; /* the clock tries again */
    }
    ledger_make_settlement(&settling->body, subscription->ledger);
    gather_own(&draft);
    gather_settles(&draft, answers);
    gather_due(&draft);
    gather_unblocked(&draft);
    ledger_add_settled(&settling->body, draft.settled, draft.settled_count);
    int64_t *dead =
        draft.dead_count ? arena_calloc(&settling->arena, draft.dead_count, sizeof(*dead)) : NULL;
    for (size_t i = 0; dead && i < draft.dead_count; i++)
        dead[i] = draft.dead[i].sequence;
    if (dead)
        ledger_add_dead(&settling->body, dead, draft.dead_count,
                        subscription->settings.by_key && subscription->settings.blocks_by_dead);
    settling->settlement.dead = draft.dead;
    settling->settlement.dead_count = dead ? draft.dead_count : 0;
    if (subscription->settings.acknowledges_in_inbox) {
        settling->settlement.acknowledged = draft.settled;
        settling->settlement.acknowledged_count = draft.settled_count;
    }
    settling->under_way = draft.written || settling->pulls.first;
    return settling->under_way;
}

/* ---- writing ---- */

static void on_written(struct write_op *op);

void settling_start(struct subscription *subscription)
{
    struct settling *settling = &subscription->settling;
    struct store_settlement *settlement = &settling->settlement;
    struct status status = STATUS_INIT;
    const struct subscription_request *first = settling->answers.first;
    CHECK(settling->under_way);
    settling->asked_us = clock_monotonic_us();
    atomic_fetch_add(&subscription->users, 1);
    random_fill(&settlement->entry.token, sizeof(settlement->entry.token));
    settlement->entry.body = (struct slice){settling->body.data, settling->body.size};
    settling->item =
        (struct write_item){.stored = {.kind = STORE_SETTLE, .settlement = settlement}};
    store_settlement_id(settlement, settling->item.stored.event.id);
    settling->op = (struct write_op){
        .op = {.scope = subscription->scope,
               .deadline_ms = clock_monotonic_ms() + WRITE_DEADLINE_MS,
               .caller = first ? first->caller : (struct caller){0}},
        .items = &settling->item,
        .count = 1,
        .arena = &settling->arena,
        .done = on_written,
    };
    if (!settling->body.failed && writer_submit(subscription->all->writer, &settling->op, &status))
        return;
    if (settling->body.failed)
        status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    settling->op.op.status = status;
    on_written(&settling->op);
}

static struct subscription *subscription_of(struct write_op *op)
{
    return (struct subscription *)((char *)op - offsetof(struct subscription, settling.op));
}

/* Events that the settlement gives out again are read next. Lock held. */
static void grant_pulls(struct subscription *subscription)
{
    struct settling *settling = &subscription->settling;
    for (struct pull *pull = settling->pulls.first, *next; pull; pull = next) {
        next = pull->next;
        pulls_remove(&settling->pulls, pull);
        for (size_t i = 0; i < pull->count; i++) {
            struct delivery *delivery = &pull->deliveries[i];
            const struct lease *lease = ledger_find(subscription->ledger, delivery->event.sequence);
            if (lease)
                delivery_fill(subscription, delivery, lease);
        }
        metric_add(&subscription_deliveries, subscription->series, (int64_t)pull->count);
        pulls_add(&subscription->granted, pull);
    }
}

/* Lock held. */
static void count_outcomes(struct subscription *subscription)
{
    for (size_t i = 0; i < SUBSCRIPTION_OUTCOMES; i++)
        metric_add(&subscription_outcomes, subscription->series * SUBSCRIPTION_OUTCOMES + i,
                   (int64_t)subscription->settling.outcomes[i]);
}

/* Pulls that got nothing after all wait again, before the others. Lock held. */
static void put_pulls_back(struct subscription *subscription)
{
    for (struct pull *pull = subscription->settling.pulls.first; pull; pull = pull->next)
        pull->count = 0;
    pulls_put_back(&subscription->pulls, &subscription->settling.pulls);
}

static void put_requests_back(struct subscription *subscription)
{
    struct request_queue *answers = &subscription->settling.answers;
    struct request_queue *settles = &subscription->settles;
    if (!answers->first)
        return;
    *answers->last = settles->first;
    if (!settles->first)
        settles->last = answers->last;
    settles->first = answers->first;
    queue_init(answers);
}

/* Applies what was written, unless the worker has read it already. Lock held. */
static void apply(struct subscription *subscription)
{
    struct settling *settling = &subscription->settling;
    const struct store_entry *entry = &settling->settlement.entry;
    struct ledger_figures figures = ledger_figures_of(subscription->ledger);
    bool no_memory;
    store_clock_note(&subscription->all->clock, entry->at_us, settling->asked_us);
    if (entry->number <= figures.settlement.number)
        return;
    if (entry->number > figures.settlement.number + 1)
        subscription->stale = true;
    else if (!ledger_apply_settlement(subscription->ledger, entry, &no_memory))
        subscription->stale = subscription->spoiled = true;
}

/* Lock held. True when it was written; false with `why`, or when it is to be decided again. */
static bool take_outcome(struct subscription *subscription, struct status *why)
{
    struct settling *settling = &subscription->settling;
    const struct status *failure =
        settling->op.op.status.code != STATUS_OK ? &settling->op.op.status : settling->item.failure;
    if (failure)
        *why = *failure;
    else if (settling->item.stored.outcome == STORE_NOT_FOUND)
        subscription_not_found(subscription, why);
    if (failure || settling->item.stored.outcome == STORE_STALE ||
        settling->item.stored.outcome == STORE_NOT_FOUND || !subscription->ledger) {
        subscription->stale = true;
        return false;
    }
    apply(subscription);
    return true;
}

static void on_written(struct write_op *op)
{
    struct subscription *subscription = subscription_of(op);
    struct settling *settling = &subscription->settling;
    struct request_queue answers;
    struct pull_list failed;
    struct status why = STATUS_INIT;
    queue_init(&answers);
    pulls_init(&failed);
    pthread_mutex_lock(&subscription->lock);
    bool written = take_outcome(subscription, &why);
    if (written && settling->settlement.takes >= 0) {
        subscription->trim_to.settlement = settling->settlement.entry.number;
        subscription->trim_to.take = settling->settlement.takes;
    }
    if (written)
        count_outcomes(subscription);
    if (written && subscription->ledger)
        grant_pulls(subscription);
    else if (why.code == STATUS_OK)
        put_pulls_back(subscription);
    else
        pulls_put_back(&failed, &settling->pulls);
    if (!written && why.code == STATUS_OK) {
        put_requests_back(subscription);
    } else {
        for (struct subscription_request *request; (request = queue_take(&settling->answers));) {
            request->status = why;
            queue_add(&answers, request);
        }
    }
    settling->under_way = subscription->blocked = false;
    pthread_mutex_unlock(&subscription->lock);
    queue_answer(&answers);
    for (struct pull *pull = failed.first; pull; pull = pull->next)
        pull->count = 0;
    pulls_answer(&failed, &why);
    subscription->all->go_on(subscription);
    atomic_fetch_sub(&subscription->users, 1);
}
