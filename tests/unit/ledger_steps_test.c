/* Subscriptions in simulated schedules: a store of two lists that refuses who has not seen all of
 * one (and may lose its last takes), a few cores that each have seen some of them, and workers.
 * Beside them the test keeps what is true of each event, by what the store was told, without
 * ledgers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "steps.h"
#include "subscriptions/settings.h"

#define SCHEDULES 3000
#define STEPS 250
#define SECOND INT64_C(1000000)
#define MAX_CORES 3
#define MAX_EVENTS 200
#define MAX_ENTRIES 1500
#define MAX_HELD 4000
#define MAX_PULL 6
#define MAX_PULLS 8
#define MAX_ATTEMPTS 3
#define MAX_OUTSTANDING 40
#define LEASE_MS 20000

static struct subscription_settings settings;

/* ---- the log ---- */

static const uint64_t keys[] = {1, UINT64_MAX, 0x0123456789ABCDEF, INT64_MAX};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

struct event {
    uint64_t key;
    int64_t deliver_us; /* 0: at once */
};
static struct event events[MAX_EVENTS + 1];
static bool has_delays;

/* ---- the store ---- */

struct written {
    struct store_entry entry;
    int64_t takes; /* that its writer had seen */
    bool checkpoints;
};

struct written_list {
    struct written written[MAX_ENTRIES];
    int64_t count;
    int64_t at_us;
};

static struct {
    struct written_list takes, settlements;
    int64_t durable;    /* takes up to here are never lost */
    int64_t checkpoint; /* number of the last one */
    int64_t epoch;
    int64_t log_end;
    int64_t latest_us; /* the clock has never shown more */
} store;

/* ---- what is true of an event ---- */

enum truth_state { NEW, OUT, WAITING, SETTLED, DEAD };

struct truth {
    enum truth_state state;
    struct lease_id id;
    int64_t due_us, started_us;
    uint64_t pull;
    uint32_t attempts;
    int64_t settled_by; /* settlement */
    int64_t revived_by; /* the same; 0: it has not become a dead letter, or not since then */
    bool blocks;        /* dead: its key */
    bool passed;        /* the start or a seek is after it */
    bool late;          /* a take gave it out when the position was after it */
    bool lost;          /* a take of it was lost: it may be out twice, and forget attempts */
    bool letter;        /* a dead letter of it is in the store */
    bool given;         /* at any time */
};
static struct truth truths[MAX_EVENTS + 1];

static bool is_wanted(int64_t sequence)
{
    return sequence % 7 != 3;
}

static bool has_lease(const struct truth *truth)
{
    return truth->state == OUT || truth->state == WAITING ||
           (truth->state == DEAD && truth->blocks);
}

/* Of the events of a key that have a lease: those that are out are before the dead, and these
 * before those that wait. */
static bool is_first_of_key(int64_t sequence)
{
    static const int ranks[] = {[OUT] = 0, [DEAD] = 1, [WAITING] = 2};
    int rank = ranks[truths[sequence].state];
    for (int64_t other = 1; other <= store.log_end && events[sequence].key != 0; other++) {
        const struct truth *truth = &truths[other];
        if (other == sequence || events[other].key != events[sequence].key || !has_lease(truth))
            continue;
        if (ranks[truth->state] < rank || (ranks[truth->state] == rank && other < sequence))
            return false;
    }
    return true;
}

/* Whether the position has passed the event without giving it out. */
static bool is_new_below(int64_t sequence, int64_t position)
{
    return sequence <= position && is_wanted(sequence) && !truths[sequence].passed &&
           truths[sequence].state == NEW;
}

/* The first such event of the key; 0: none. */
static int64_t first_passed(uint64_t key, int64_t position)
{
    for (int64_t sequence = 1; sequence <= position; sequence++)
        if (events[sequence].key == key && is_new_below(sequence, position))
            return sequence;
    return 0;
}

static bool is_lost_key(uint64_t key)
{
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++)
        if (events[sequence].key == key && truths[sequence].lost)
            return true;
    return false;
}

/* ---- cores and workers ---- */

struct core {
    struct ledger *ledger; /* NULL: it has just started */
    bool cut;              /* its sessions were, when the store crashed */
    int64_t scanned; /* from the position up to here, there are only events of keys that wait */
};
static struct core cores[MAX_CORES];
static size_t core_count;

/* A delivery that a worker has, perhaps for long. */
struct held {
    int64_t sequence;
    struct lease_id id;
    int64_t epoch;
    bool durable; /* the take is: who reads on finds it */
};
static struct held held[MAX_HELD];
static size_t held_count;

static uint64_t pulls[MAX_PULLS]; /* whose answers may have been lost */

static bool blocks; /* dead letters do, from now on */

static struct {
    size_t by_time, by_mark, by_log_later, marked, scanned, blocked, unblocked, races;
    size_t given, again, settled, late, ahead, lost_leases, dead, revived, repeated, stale, seeks,
        crashes, lost_takes, rebuilt, compared, void_settlements;
} seen;

/* ---- cores read ---- */

/* Begins at a checkpoint, with nothing but that. */
static void start_core(struct core *core, int64_t checkpoint)
{
    bool no_memory;
    ledger_close(core->ledger);
    core->ledger = ledger_open(0, 0, subscription_next_us, &settings);
    assert_non_null(core->ledger);
    const struct store_entry *entry = &store.settlements.written[checkpoint - 1].entry;
    assert_true(ledger_apply_settlement(core->ledger, entry, &no_memory));
    core->scanned = ledger_figures_of(core->ledger).position;
}

static void apply_written(struct ledger *ledger, bool is_take)
{
    bool no_memory;
    struct ledger_figures figures = ledger_figures_of(ledger);
    if (is_take)
        assert_true(
            ledger_apply_take(ledger, &store.takes.written[figures.take.number].entry, &no_memory));
    else
        assert_true(ledger_apply_settlement(
            ledger, &store.settlements.written[figures.settlement.number].entry, &no_memory));
}

/* Applies what is up to there in any order that a core may see it in. */
static void apply_in_any_order(struct ledger *ledger, int64_t takes, int64_t settlements)
{
    for (;;) {
        struct ledger_figures figures = ledger_figures_of(ledger);
        bool has_take = figures.take.number < takes;
        bool has_settlement =
            figures.settlement.number < settlements &&
            store.settlements.written[figures.settlement.number].takes <= figures.take.number;
        if (!has_take && !has_settlement)
            break;
        apply_written(ledger, has_take && (!has_settlement || one_in(2)));
    }
}

/* Applies it as what a read has found. */
static void apply_as_read(struct ledger *ledger, int64_t takes, int64_t settlements)
{
    static struct store_entry take_entries[MAX_ENTRIES], settlement_entries[MAX_ENTRIES];
    bool no_memory;
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t take_count = 0, settlement_count = 0;
    for (int64_t i = figures.take.number; i < takes; i++)
        take_entries[take_count++] = store.takes.written[i].entry;
    for (int64_t i = figures.settlement.number; i < settlements; i++)
        settlement_entries[settlement_count++] = store.settlements.written[i].entry;
    assert_true(ledger_apply_read(ledger, take_entries, take_count, settlement_entries,
                                  settlement_count, &no_memory));
}

static bool is_known(const struct written_list *list, struct store_entry_before before)
{
    return before.number == 0 || (before.number <= list->count &&
                                  list->written[before.number - 1].entry.token == before.token);
}

/* From the last checkpoint on, when it has nothing, or entries that are not there any more. */
static void begin_reading(struct core *core)
{
    if (core->ledger && is_known(&store.takes, ledger_figures_of(core->ledger).take) &&
        !one_in(50)) {
        core->cut = false;
        return;
    }
    seen.rebuilt++;
    start_core(core, store.checkpoint);
    core->cut = false;
}

static int64_t between(int64_t low, int64_t high)
{
    return low + chance((unsigned)(high - low) + 1);
}

/* Reads some of what is new: settlements, and at least the takes that were there for them. */
static void read_some(struct core *core, bool everything)
{
    begin_reading(core);
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    int64_t settlements = everything ? store.settlements.count
                                     : between(figures.settlement.number, store.settlements.count);
    int64_t least = figures.take.number;
    for (int64_t i = figures.settlement.number; i < settlements; i++)
        if (store.settlements.written[i].takes > least)
            least = store.settlements.written[i].takes;
    int64_t takes = everything ? store.takes.count : between(least, store.takes.count);
    if (one_in(2))
        apply_as_read(core->ledger, takes, settlements);
    else
        apply_in_any_order(core->ledger, takes, settlements);
    /* After takes of others, keys may not wait any more. */
    if (takes > figures.take.number)
        core->scanned = ledger_figures_of(core->ledger).position;
}

static void read_all(struct core *core)
{
    read_some(core, true);
}

static bool has_read_all(const struct core *core)
{
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    return figures.take.number == store.takes.count && is_known(&store.takes, figures.take) &&
           figures.settlement.number == store.settlements.count;
}

/* ---- cores write ---- */

static bool append(struct core *core, struct written_list *list, struct store_entry_before before,
                   struct buffer *body)
{
    assert_false(body->failed);
    if (before.number != list->count || !is_known(list, before)) {
        seen.stale++;
        buffer_fini(body);
        return false;
    }
    assert_true(list->count < MAX_ENTRIES);
    list->at_us = steps_now_us > list->at_us ? steps_now_us : list->at_us;
    list->written[list->count++] = (struct written){
        .entry = {.number = before.number + 1,
                  .token = (uint64_t)chance(1u << 30) << 32 | chance(1u << 30),
                  .at_us = steps_now_us,
                  .body = {body->data, body->size}},
        .takes = ledger_figures_of(core->ledger).take.number,
    };
    return true;
}

static bool append_take(struct core *core, struct buffer *body, bool durable)
{
    if (!append(core, &store.takes, ledger_figures_of(core->ledger).take, body))
        return false;
    if (durable)
        store.durable = store.takes.count;
    apply_written(core->ledger, true);
    core->scanned = ledger_figures_of(core->ledger).position;
    return true;
}

static bool append_settlement(struct core *core, struct buffer *body)
{
    if (!append(core, &store.settlements, ledger_figures_of(core->ledger).settlement, body))
        return false;
    int64_t takes = ledger_figures_of(core->ledger).take.number;
    store.durable = takes > store.durable ? takes : store.durable;
    apply_written(core->ledger, false);
    return true;
}

static struct buffer new_body(void)
{
    struct buffer body;
    buffer_init(&body, 1 << 20);
    return body;
}

static struct buffer new_settlement(const struct core *core)
{
    struct buffer body = new_body();
    ledger_make_settlement(&body, core->ledger);
    return body;
}

/* What was written by one who had not seen the last seek counts for nothing. */
static bool is_void(const struct core *core)
{
    bool is = ledger_figures_of(core->ledger).epoch != store.epoch;
    seen.void_settlements += is;
    return is;
}

/* ---- pulls ---- */

static void hold(const struct core *core, const struct lease *lease)
{
    if (held_count == MAX_HELD)
        held[chance(MAX_HELD)] = held[--held_count];
    held[held_count++] = (struct held){
        .sequence = lease->sequence,
        .id = lease->id,
        .epoch = ledger_figures_of(core->ledger).epoch,
        .durable = lease->id.again || lease->id.number <= store.durable,
    };
}

/* A new event of the key: those before it were given out, and nobody has one of them, or will have
 * it again, but for one that was revived without this core knowing. */
static void check_new_of_key(int64_t sequence, int64_t settlements)
{
    for (int64_t other = 1; other <= store.log_end; other++) {
        const struct truth *truth = &truths[other];
        if (other == sequence || events[other].key != events[sequence].key || truth->passed)
            continue;
        assert_true(other > sequence || !is_wanted(other) || truth->state != NEW);
        bool has = has_lease(truth);
        assert_true(!has || truth->revived_by > settlements);
        seen.races += has;
    }
}

/* One that is given out again: nobody has another one of the key, but for what a take gave him of
 * which this core did not know, when one of the two was revived. */
static void check_again_of_key(int64_t sequence, int64_t takes)
{
    const struct truth *self = &truths[sequence];
    for (int64_t other = 1; other <= store.log_end; other++) {
        const struct truth *truth = &truths[other];
        if (other == sequence || events[other].key != events[sequence].key || truth->passed)
            continue;
        if (self->state != OUT)
            assert_true(truth->state != DEAD || !truth->blocks);
        if (truth->state != OUT)
            continue;
        assert_true(self->state == OUT || (!truth->id.again && truth->id.number > takes));
        assert_true(self->revived_by > 0 || truth->revived_by > 0);
    }
}

/* What one had seen who has given an event out. */
struct sight {
    int64_t settlements, takes, position;
};

static struct sight sight_of(const struct core *core)
{
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    return (struct sight){figures.settlement.number, figures.take.number, figures.position};
}

/* The event was given out, by a take or `again`. */
static void note_given(const struct core *core, int64_t sequence, uint64_t pull, struct sight sight,
                       bool again)
{
    struct truth *truth = &truths[sequence];
    const struct lease *lease = ledger_find(core->ledger, sequence);
    assert_non_null(lease);
    assert_true(is_wanted(sequence) && !truth->passed);
    assert_true(events[sequence].deliver_us <= store.latest_us);
    bool late = !again && sequence <= sight.position;
    if (truth->state == SETTLED)
        assert_true(truth->lost && (truth->settled_by > sight.settlements || late));
    if (again) {
        assert_true(truth->state == OUT || truth->state == WAITING);
        assert_true(truth->due_us <= steps_now_us);
    } else {
        assert_true(truth->state == NEW || truth->state == SETTLED);
    }
    if (events[sequence].key != 0 && again)
        check_again_of_key(sequence, sight.takes);
    else if (events[sequence].key != 0)
        check_new_of_key(sequence, sight.settlements);
    truth->attempts++;
    if (!truth->lost) {
        assert_int_equal(lease->attempts, truth->attempts);
        assert_true(lease->attempts <= MAX_ATTEMPTS);
    }
    /* That it was settled ahead is forgotten when the position has passed it. */
    if (truth->state != SETTLED || late)
        truth->state = OUT;
    truth->late = late || (again && truth->late);
    truth->given = true;
    truth->attempts = lease->attempts;
    truth->id = lease->id;
    truth->due_us = lease->due_us;
    truth->started_us = lease->started_us;
    truth->pull = pull;
    hold(core, lease);
}

static void note_dead(int64_t sequence)
{
    struct truth *truth = &truths[sequence];
    truth->state = DEAD;
    truth->blocks = blocks && events[sequence].key != 0;
    seen.blocked += truth->blocks;
    seen.dead++;
}

static void note_dead_letter(int64_t sequence)
{
    truths[sequence].letter = true;
}

/* Gives out again what is due, or makes it a dead letter. False: there was nothing. */
static bool pull_due(struct core *core, uint64_t pull, size_t max)
{
    const struct lease *due[MAX_PULL];
    int64_t again[MAX_PULL], dead[MAX_PULL];
    size_t again_count = 0, dead_count = 0;
    size_t count = ledger_due(core->ledger, steps_now_us, due, max);
    for (size_t i = 0; i < count; i++) {
        bool over = due[i]->out && due[i]->attempts >= MAX_ATTEMPTS;
        if (over)
            dead[dead_count++] = due[i]->sequence;
        else
            again[again_count++] = due[i]->sequence;
    }
    if (count == 0)
        return false;
    struct sight sight = sight_of(core);
    struct buffer body = new_settlement(core);
    if (dead_count > 0)
        ledger_add_dead(&body, dead, dead_count, blocks);
    if (again_count > 0)
        ledger_add_again(&body, &(struct ledger_grant){pull, LEASE_MS, again, again_count, NULL});
    if (!append_settlement(core, &body)) {
        read_all(core);
        return true;
    }
    bool counts = !is_void(core);
    for (size_t i = 0; i < again_count && counts; i++)
        note_given(core, again[i], pull, sight, true);
    for (size_t i = 0; i < dead_count; i++) {
        struct truth *truth = &truths[dead[i]];
        note_dead_letter(dead[i]);
        if (!counts)
            continue;
        assert_true(truth->state == OUT && truth->due_us <= steps_now_us);
        assert_int_equal(truth->attempts, MAX_ATTEMPTS);
        note_dead(dead[i]);
    }
    seen.again += again_count;
    return true;
}

/* A take that is being made, in the order of the parts: what has become due, keys that are ready,
 * and then the log. */
struct draft {
    struct core *core;
    struct ledger_take take;
    int64_t passed[MAX_PULL], fresh[MAX_PULL];
    uint64_t passed_keys[MAX_PULL], fresh_keys[MAX_PULL];
    size_t passed_count, fresh_count;
    struct ledger_key marks[KEYS];
    size_t left; /* events that it may give out */
    int64_t scanned;
    bool moves_time;
    bool passes_delayed;
};

static bool is_after_time(const struct draft *draft, int64_t sequence)
{
    int64_t us = events[sequence].deliver_us;
    return us != draft->take.delayed_us ? us > draft->take.delayed_us
                                        : sequence > draft->take.delayed_sequence;
}

/* The event up to the position that is the next one to become due; 0: none. */
static int64_t next_delayed(const struct draft *draft)
{
    struct ledger_figures figures = ledger_figures_of(draft->core->ledger);
    int64_t next = 0;
    for (int64_t sequence = figures.begin + 1; sequence <= figures.position; sequence++)
        if (events[sequence].deliver_us != 0 && is_after_time(draft, sequence) &&
            (next == 0 || events[sequence].deliver_us < events[next].deliver_us))
            next = sequence;
    return next;
}

static void walk_times(struct draft *draft)
{
    struct ledger_take *take = &draft->take;
    if (take->next_delayed_us > steps_now_us)
        return;
    int64_t next;
    while ((next = next_delayed(draft)) != 0 && events[next].deliver_us <= steps_now_us &&
           draft->left > 0) {
        take->delayed_us = events[next].deliver_us;
        take->delayed_sequence = next;
        if (!is_wanted(next))
            continue;
        draft->passed_keys[draft->passed_count] = 0;
        draft->passed[draft->passed_count++] = next;
        draft->left--;
        seen.by_time++;
    }
    if (next == 0 || events[next].deliver_us > steps_now_us) {
        take->delayed_us = steps_now_us;
        take->delayed_sequence = take->position;
    }
    take->next_delayed_us = next ? events[next].deliver_us : INT64_MAX;
    draft->moves_time = true;
}

/* What the draft does with a key; NULL: nothing yet. */
static struct ledger_key *mark_of(struct draft *draft, uint64_t key)
{
    for (size_t i = 0; i < draft->take.key_count; i++)
        if (draft->marks[i].key == key)
            return &draft->marks[i];
    return NULL;
}

/* The next event of the key up to there; 0: none. */
static int64_t key_next(uint64_t key, int64_t after, int64_t to)
{
    for (int64_t sequence = after + 1; sequence <= to; sequence++)
        if (events[sequence].key == key && is_wanted(sequence))
            return sequence;
    return 0;
}

static void walk_keys(struct draft *draft)
{
    struct ledger_key ready[MAX_PULL];
    size_t count = ledger_ready(draft->core->ledger, ready, draft->left);
    for (size_t i = 0; i < count; i++) {
        int64_t next = key_next(ready[i].key, ready[i].from, draft->scanned);
        draft->passed_keys[draft->passed_count] = ready[i].key;
        draft->passed[draft->passed_count++] = ready[i].from;
        draft->marks[draft->take.key_count++] = (struct ledger_key){ready[i].key, next};
        draft->left--;
        seen.by_mark++;
    }
    if (count > 0)
        draft->take.position = draft->scanned;
}

/* The key waits: it is marked, from this event on if it was not. */
static void pass_of_key(struct draft *draft, uint64_t key, int64_t sequence)
{
    struct ledger_key *mark = mark_of(draft, key);
    if (mark ? mark->from != 0 : ledger_key_is_marked(draft->core->ledger, key))
        return;
    if (!mark)
        mark = &draft->marks[draft->take.key_count++];
    *mark = (struct ledger_key){key, sequence};
    seen.marked++;
}

static bool gives_of_key(const struct draft *draft, uint64_t key)
{
    for (size_t i = 0; i < draft->fresh_count; i++)
        if (draft->fresh_keys[i] == key)
            return true;
    for (size_t i = 0; i < draft->passed_count; i++)
        if (draft->passed_keys[i] == key)
            return true;
    return false;
}

/* One event of the log. */
static void look_at(struct draft *draft, int64_t sequence)
{
    const struct event *event = &events[sequence];
    const struct ledger *ledger = draft->core->ledger;
    if (event->deliver_us != 0 && is_after_time(draft, sequence)) {
        if (event->deliver_us < draft->take.next_delayed_us)
            draft->take.next_delayed_us = event->deliver_us;
        draft->passes_delayed = true;
        return;
    }
    if (!is_wanted(sequence) || ledger_is_ahead(ledger, sequence))
        return;
    if (event->key != 0 &&
        (ledger_key_is_busy(ledger, event->key) || gives_of_key(draft, event->key))) {
        pass_of_key(draft, event->key, sequence);
        return;
    }
    draft->fresh_keys[draft->fresh_count] = event->key;
    draft->fresh[draft->fresh_count++] = sequence;
    draft->left--;
    seen.by_log_later += event->deliver_us != 0;
}

static void walk_log(struct draft *draft)
{
    int64_t at = draft->scanned;
    int64_t page = at + 1 + chance(20);
    while (at < store.log_end && at < page && draft->left > 0)
        look_at(draft, ++at);
    draft->take.position = draft->scanned = at;
}

static bool append_draft(struct draft *draft, uint64_t pull)
{
    size_t first = chance((unsigned)draft->fresh_count + 1);
    size_t first_passed = chance((unsigned)draft->passed_count + 1);
    const struct ledger_grant fresh[] = {{pull, LEASE_MS, draft->fresh, first, draft->fresh_keys},
                                         {pull, LEASE_MS, draft->fresh + first,
                                          draft->fresh_count - first, draft->fresh_keys + first}};
    const struct ledger_grant passed[] = {
        {pull, LEASE_MS, draft->passed, first_passed, draft->passed_keys},
        {pull, LEASE_MS, draft->passed + first_passed, draft->passed_count - first_passed,
         draft->passed_keys + first_passed}};
    struct buffer body = new_body();
    draft->take.grants = fresh;
    draft->take.grant_count = 2;
    draft->take.passed = passed;
    draft->take.passed_count = draft->passed_count > 0 ? 2 : 0;
    draft->take.keys = draft->marks;
    ledger_make_take(&body, draft->core->ledger, &draft->take);
    return append_take(draft->core, &body, draft->passed_count > 0 || draft->moves_time);
}

static void pull_new(struct core *core, uint64_t pull, size_t max)
{
    struct sight sight = sight_of(core);
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    size_t held_now = figures.out + figures.waiting + figures.blocked;
    size_t room = held_now < MAX_OUTSTANDING ? MAX_OUTSTANDING - held_now : 0;
    struct draft draft = {.core = core,
                          .take = ledger_take_of(core->ledger),
                          .left = max < room ? max : room,
                          .scanned = core->scanned};
    if (draft.left == 0)
        return;
    if (!one_in(4))
        walk_times(&draft);
    if (!one_in(4))
        walk_keys(&draft);
    if (!one_in(4))
        walk_log(&draft);
    if (draft.fresh_count + draft.passed_count + draft.take.key_count == 0 && !draft.moves_time &&
        !draft.passes_delayed) {
        seen.scanned += draft.scanned > figures.position;
        core->scanned = draft.scanned;
        return;
    }
    if (!append_draft(&draft, pull)) {
        read_all(core);
        return;
    }
    for (size_t i = 0; i < draft.passed_count; i++)
        note_given(core, draft.passed[i], pull, sight, false);
    for (size_t i = 0; i < draft.fresh_count; i++)
        note_given(core, draft.fresh[i], pull, sight, false);
    seen.given += draft.passed_count + draft.fresh_count;
}

/* The answer to a pull was lost: it gets what it has, and nothing else. */
static bool pull_again(const struct core *core, uint64_t pull)
{
    const struct lease *leases[MAX_EVENTS];
    size_t count = ledger_pulled(core->ledger, pull, steps_now_us, leases, MAX_EVENTS);
    size_t expected = 0;
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++) {
        const struct truth *truth = &truths[sequence];
        expected += truth->state == OUT && truth->pull == pull && truth->due_us > steps_now_us &&
                    steps_now_us - truth->started_us < LEDGER_PULL_US;
    }
    /* Who has begun at a checkpoint does not know the pulls that were old before the clock was set.
     */
    bool is_set_back = steps_now_us < store.takes.at_us || steps_now_us < store.settlements.at_us;
    if (has_read_all(core))
        assert_true(is_set_back ? count <= expected : count == expected);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || leases[i]->sequence > leases[i - 1]->sequence);
        hold(core, leases[i]);
    }
    seen.repeated += count;
    return count > 0;
}

static void pull(struct core *core)
{
    uint64_t *id = &pulls[chance(MAX_PULLS)];
    size_t max = 1 + chance(MAX_PULL);
    if (*id == 0 || one_in(3)) {
        *id = (uint64_t)chance(1u << 30) << 33 | 1;
    } else if (pull_again(core, *id)) {
        return;
    }
    uint64_t pull_id = one_in(3) ? 0 : *id;
    if (!pull_due(core, pull_id, max))
        pull_new(core, pull_id, max);
}

/* ---- settling ---- */

static bool is_same(struct lease_id a, struct lease_id b)
{
    return a.number == b.number && a.token == b.token && a.again == b.again;
}

/* What was claimed is so, or there was a lost take, or the core has not seen the one that gave it
 * out. */
static void check_claim(const struct core *core, const struct held *delivery,
                        enum lease_claim claim)
{
    const struct truth *truth = &truths[delivery->sequence];
    bool has_it = delivery->epoch == store.epoch && is_same(truth->id, delivery->id) &&
                  (truth->state == OUT || truth->state == WAITING);
    bool in_time = has_it && truth->state == OUT && truth->due_us > steps_now_us;
    if (!has_read_all(core))
        return;
    if (claim == LEASE_LOST)
        assert_true(!has_it);
    if (claim == LEASE_HELD)
        assert_true(in_time);
    if (claim == LEASE_LATE)
        assert_true(has_it && !in_time);
    if (claim == LEASE_SETTLED) /* the take was lost, and the key was busy when it was taken anew */
        assert_true(truth->state == SETTLED || truth->state == DEAD ||
                    (truth->lost && truth->state == NEW && events[delivery->sequence].key != 0));
    if (claim == LEASE_AHEAD)
        assert_true(truth->lost && truth->state == NEW);
}

/* Whether the id is of an entry that the core has not seen. */
static bool is_unknown(const struct core *core, const struct held *delivery)
{
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    return delivery->epoch > figures.epoch ||
           delivery->id.number >
               (delivery->id.again ? figures.settlement.number : figures.take.number);
}

/* What a worker says of a delivery, written and noted. */
enum saying { ACK, NACK, RELEASE, EXTEND, GIVE_UP, SAYINGS };

static void note_said(const struct held *delivery, enum saying saying, int64_t until_us)
{
    struct truth *truth = &truths[delivery->sequence];
    switch (saying) {
    case ACK:
        truth->state = SETTLED;
        truth->settled_by = store.settlements.count;
        break;
    case GIVE_UP: note_dead(delivery->sequence); break;
    case EXTEND: truth->due_us = truth->state == OUT ? until_us : truth->due_us; break;
    default:
        truth->attempts -= saying == RELEASE && truth->state == OUT;
        truth->state = WAITING;
        truth->due_us = until_us;
    }
}

static void say(struct core *core, const struct held *delivery, enum saying saying)
{
    /* Acks may be decided without having seen the take, though cores read on then: not those of
     * takes that are never lost. */
    if (is_unknown(core, delivery) && (saying != ACK || delivery->durable || one_in(2)))
        read_all(core);
    enum lease_claim claim =
        ledger_claim(core->ledger, delivery->sequence, delivery->id, delivery->epoch, steps_now_us);
    check_claim(core, delivery, claim);
    seen.lost_leases += claim == LEASE_LOST;
    seen.late += claim == LEASE_LATE;
    seen.ahead += claim == LEASE_AHEAD;
    if (claim == LEASE_LOST || claim == LEASE_SETTLED || (claim == LEASE_AHEAD && saying != ACK))
        return;
    const struct lease *lease = ledger_find(core->ledger, delivery->sequence);
    if (saying == NACK && lease->out && lease->attempts >= MAX_ATTEMPTS)
        saying = GIVE_UP;
    int64_t until_us = steps_now_us + between(0, 30) * SECOND;
    const int64_t *sequence = &delivery->sequence;
    struct buffer body = new_settlement(core);
    if (saying == ACK)
        ledger_add_settled(&body, sequence, 1);
    else if (saying == EXTEND)
        ledger_add_extended(&body, sequence, 1, until_us);
    else if (saying == GIVE_UP)
        ledger_add_dead(&body, sequence, 1, blocks);
    else
        ledger_add_back(&body, sequence, 1, until_us, saying == RELEASE);
    if (!append_settlement(core, &body)) {
        read_all(core);
        return;
    }
    if (saying == GIVE_UP)
        note_dead_letter(*sequence);
    if (is_void(core))
        return;
    const struct truth *truth = &truths[*sequence];
    if (claim == LEASE_AHEAD && truth->state != NEW && truth->late)
        return; /* it is not ahead any more, and somebody else has it */
    /* Nobody changes what somebody else has. */
    assert_true(claim == LEASE_AHEAD || is_same(truth->id, delivery->id));
    note_said(delivery, saying, until_us);
    seen.settled += saying == ACK;
}

static void say_something(struct core *core)
{
    if (held_count == 0)
        return;
    size_t which = one_in(4)
                       ? chance((unsigned)held_count)
                       : held_count - 1 - chance((unsigned)(held_count < 20 ? held_count : 20));
    struct held delivery = held[which];
    unsigned saying = chance(2 * SAYINGS);
    if (!one_in(5))
        held[which] = held[--held_count]; /* else it is said again, or something else */
    say(core, &delivery, saying < SAYINGS ? saying : ACK);
}

/* ---- dead letters ---- */

static void treat_dead_letters(struct core *core)
{
    int64_t letters[MAX_EVENTS];
    uint64_t letter_keys[MAX_EVENTS];
    size_t count = 0;
    bool revives = !one_in(3);
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++) {
        if (truths[sequence].letter && one_in(2)) {
            letter_keys[count] = events[sequence].key;
            letters[count++] = sequence;
        }
    }
    if (count == 0)
        return;
    int64_t position = ledger_figures_of(core->ledger).position;
    struct buffer body = new_settlement(core);
    if (revives)
        ledger_add_revived(&body, core->ledger, letters, letter_keys, count, steps_now_us + SECOND);
    else
        ledger_add_buried(&body, count), ledger_add_unblocked(&body, letters, count);
    if (!append_settlement(core, &body)) {
        read_all(core);
        return;
    }
    bool counts = !is_void(core);
    for (size_t i = 0; i < count; i++) {
        struct truth *truth = &truths[letters[i]];
        truth->letter = false;
        if (counts && !revives) {
            seen.unblocked += truth->blocks;
            truth->blocks = false;
        }
        if (!counts || !revives || letters[i] > position || truth->state == OUT ||
            truth->state == WAITING ||
            (letter_keys[i] != 0 && first_passed(letter_keys[i], letters[i]) != 0))
            continue;
        *truth = (struct truth){.state = WAITING,
                                .due_us = steps_now_us + SECOND,
                                .revived_by = store.settlements.count,
                                .lost = truth->lost,
                                .given = truth->given};
        seen.revived++;
    }
}

/* Dead letters have blocked, and are to do so no more. */
static void unblock(struct core *core)
{
    int64_t sequences[MAX_EVENTS];
    size_t count = ledger_blocked(core->ledger, sequences, MAX_EVENTS);
    if (blocks || count == 0)
        return;
    struct buffer body = new_settlement(core);
    ledger_add_unblocked(&body, sequences, count);
    if (!append_settlement(core, &body)) {
        read_all(core);
        return;
    }
    if (is_void(core))
        return;
    for (size_t i = 0; i < count; i++) {
        assert_true(truths[sequences[i]].state == DEAD && truths[sequences[i]].blocks);
        truths[sequences[i]].blocks = false;
        seen.unblocked++;
    }
}

/* ---- the rest ---- */

static void seek(struct core *core)
{
    int64_t position = between(0, store.log_end);
    struct buffer body = new_body();
    ledger_make_seek(&body, position);
    if (!append_take(core, &body, true)) {
        read_all(core);
        return;
    }
    store.epoch = store.takes.count;
    for (int64_t sequence = 1; sequence <= MAX_EVENTS; sequence++)
        truths[sequence] =
            (struct truth){.passed = sequence <= position, .letter = truths[sequence].letter};
    seen.seeks++;
}

static void make_checkpoint(struct core *core)
{
    struct buffer body = new_body();
    ledger_make_checkpoint(&body, core->ledger);
    if (append_settlement(core, &body))
        store.checkpoint = store.settlements.count;
    else
        read_all(core);
}

/* The database crashes, and perhaps the last takes are lost. */
static void crash(void)
{
    int64_t left = between(store.durable, store.takes.count);
    for (int64_t i = left; i < store.takes.count; i++) {
        for (int64_t sequence = 1; sequence <= store.log_end; sequence++) {
            struct truth *truth = &truths[sequence];
            if (truth->id.number != i + 1 || truth->id.again || truth->state == NEW)
                continue;
            truth->lost = true;
            truth->attempts = 0;
            truth->id = (struct lease_id){0};
            truth->state = truth->state == SETTLED ? SETTLED : NEW;
        }
        free((char *)store.takes.written[i].entry.body.data);
        seen.lost_takes++;
    }
    store.takes.count = left;
    for (size_t i = 0; i < core_count; i++)
        cores[i].cut = true;
    seen.crashes++;
}

static struct buffer state_of(const struct ledger *ledger)
{
    struct buffer bytes = new_body();
    ledger_make_checkpoint(&bytes, ledger);
    assert_false(bytes.failed);
    return bytes;
}

/* Who has applied everything, in whatever order and from wherever, has the same state. */
static void compare_states(struct core *core)
{
    struct core replays[3] = {0};
    read_all(core);
    struct buffer expected = state_of(core->ledger);
    for (size_t i = 0; i < 3; i++) {
        start_core(&replays[i], i == 0 ? store.checkpoint : 1);
        if (one_in(2))
            apply_as_read(replays[i].ledger, store.takes.count, store.settlements.count);
        else
            apply_in_any_order(replays[i].ledger, store.takes.count, store.settlements.count);
        struct buffer bytes = state_of(replays[i].ledger);
        assert_int_equal(bytes.size, expected.size);
        assert_memory_equal(bytes.data, expected.data, bytes.size);
        buffer_fini(&bytes);
        ledger_close(replays[i].ledger);
    }
    buffer_fini(&expected);
    seen.compared++;
}

/* The leases that have a next time come in the order of these, however many are asked for. */
static void check_order(const struct ledger *ledger)
{
    const struct lease *leases[MAX_EVENTS], *first[MAX_EVENTS];
    size_t count = ledger_due(ledger, INT64_MAX, leases, MAX_EVENTS);
    int64_t before_us = 0;
    size_t expected = 0;
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++)
        expected += has_lease(&truths[sequence]) && truths[sequence].state != DEAD &&
                    is_first_of_key(sequence);
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++) {
        assert_true(is_first_of_key(leases[i]->sequence));
        int64_t next_us = subscription_next_us(&settings, leases[i]);
        assert_true(next_us > before_us || (i > 0 && next_us == before_us &&
                                            leases[i]->sequence > leases[i - 1]->sequence));
        before_us = next_us;
    }
    if (count > 0)
        assert_int_equal(ledger_next_us(ledger), subscription_next_us(&settings, leases[0]));
    size_t some = chance((unsigned)count + 1);
    assert_int_equal(ledger_due(ledger, INT64_MAX, first, some), some);
    for (size_t i = 0; i < some; i++)
        assert_ptr_equal(first[i], leases[i]);
}

/* Keys wait that have events which were passed, and are ready when they have no lease. */
static void check_keys(const struct ledger *ledger)
{
    struct ledger_key ready[KEYS], first[KEYS];
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t marked = 0, free_count = 0;
    size_t count = ledger_ready(ledger, ready, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        bool is_held = false;
        for (int64_t sequence = 1; sequence <= store.log_end; sequence++)
            is_held = is_held || (events[sequence].key == keys[i] && has_lease(&truths[sequence]));
        bool is_marked = ledger_key_is_marked(ledger, keys[i]);
        if (!is_lost_key(keys[i]))
            assert_true(is_marked == (first_passed(keys[i], figures.position) != 0));
        assert_true(ledger_key_is_busy(ledger, keys[i]) == (is_marked || is_held));
        marked += is_marked;
        free_count += is_marked && !is_held;
    }
    assert_int_equal(figures.marks, marked);
    assert_int_equal(count, free_count);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || ready[i].from > ready[i - 1].from);
        if (!is_lost_key(ready[i].key))
            assert_int_equal(ready[i].from, first_passed(ready[i].key, figures.position));
    }
    size_t some = chance((unsigned)count + 1);
    assert_int_equal(ledger_ready(ledger, first, some), some);
    assert_memory_equal(first, ready, some * sizeof(*first));
}

/* The ledger says what is true. */
static void check_state(struct core *core)
{
    int64_t letters = 0;
    read_all(core);
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    size_t out = 0, waiting = 0, blocked = 0;
    int64_t oldest = 0;
    bool lost = false;
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++) {
        const struct truth *truth = &truths[sequence];
        const struct lease *lease = ledger_find(core->ledger, sequence);
        assert_true((lease != NULL) == has_lease(truth));
        letters += truth->letter;
        lost = lost || truth->lost;
        if (!lease) {
            if (is_new_below(sequence, figures.position) && events[sequence].deliver_us != 0)
                assert_true(figures.next_delayed_us <= events[sequence].deliver_us);
            if (is_new_below(sequence, figures.position) && events[sequence].key != 0)
                oldest = oldest ? oldest : sequence;
            continue;
        }
        assert_true(lease->key == events[sequence].key);
        assert_true(lease->out == (truth->state == OUT) && lease->dead == (truth->state == DEAD));
        out += truth->state == OUT;
        waiting += truth->state == WAITING;
        blocked += truth->state == DEAD;
        if (truth->state == DEAD)
            continue;
        oldest = oldest ? oldest : sequence;
        assert_int_equal(lease->due_us, truth->due_us);
        assert_int_equal(lease->attempts, truth->attempts);
    }
    assert_int_equal(figures.out, out);
    assert_int_equal(figures.waiting, waiting);
    assert_int_equal(figures.blocked, blocked);
    if (!lost)
        assert_int_equal(ledger_oldest(core->ledger), oldest);
    assert_true(figures.dead >= letters);
    check_order(core->ledger);
    check_keys(core->ledger);
}

static void pass_time(void)
{
    switch (chance(12)) {
    case 0: steps_now_us -= between(1, 40) * SECOND; break; /* the clock is set */
    case 1: steps_now_us += between(1, 3600) * SECOND; break;
    default: steps_now_us += between(0, 8000) * SECOND / 1000;
    }
    if (store.latest_us < steps_now_us)
        store.latest_us = steps_now_us;
}

/* Events are created. */
static void add_events(int64_t count)
{
    for (; count > 0 && store.log_end < MAX_EVENTS; count--) {
        struct event *event = &events[++store.log_end];
        *event = (struct event){0};
        if (has_delays && one_in(3))
            event->deliver_us = steps_now_us + between(1, one_in(5) ? 600 : 20) * SECOND;
        else if (settings.by_key && !one_in(4))
            event->key = keys[chance(KEYS)];
    }
}

static void step(bool crashes)
{
    struct core *core = &cores[chance((unsigned)core_count)];
    if (core->cut || !core->ledger)
        read_some(core, core->cut);
    unsigned what = chance(100);
    if (what < 15)
        add_events(between(0, 5));
    else if (what < 35)
        pull(core);
    else if (what < 68)
        say_something(core);
    else if (what < 78)
        read_some(core, one_in(2));
    else if (what < 87)
        pass_time();
    else if (what < 90)
        treat_dead_letters(core);
    else if (what < 92)
        make_checkpoint(core);
    else if (what == 92)
        seek(core);
    else if (what == 93)
        ledger_close(core->ledger), core->ledger = NULL;
    else if (what == 94 && crashes)
        crash();
    else if (what == 95)
        compare_states(core);
    else if (what == 96)
        check_state(core);
    else if (what == 97 && settings.by_key)
        blocks = !blocks;
    else if (what == 98)
        unblock(core);
}

/* The workers settle all they get, until there is nothing more; then every event that was to be
 * given out was. */
static void finish(void)
{
    struct core *core = &cores[0];
    blocks = false;
    for (unsigned rounds = 0;; rounds++) {
        read_all(core);
        unblock(core);
        struct ledger_figures figures = ledger_figures_of(core->ledger);
        if (core->scanned == store.log_end && figures.out + figures.waiting == 0 &&
            figures.marks == 0 && figures.next_delayed_us == INT64_MAX)
            break;
        assert_true(rounds < 2000);
        held_count = 0;
        steps_now_us += 10 * SECOND;
        store.latest_us += 10 * SECOND;
        if (!pull_due(core, 0, MAX_PULL))
            pull_new(core, 0, MAX_PULL);
        while (held_count > 0) {
            struct held delivery = held[--held_count];
            say(core, &delivery, ACK);
        }
    }
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++) {
        const struct truth *truth = &truths[sequence];
        if (is_wanted(sequence) && !truth->passed)
            assert_true(truth->given && (truth->state == SETTLED || truth->state == DEAD));
    }
}

static void begin_schedule(void)
{
    memset(truths, 0, sizeof(truths));
    memset(pulls, 0, sizeof(pulls));
    memset(&store, 0, sizeof(store));
    held_count = 0;
    core_count = 1 + chance(MAX_CORES);
    store.latest_us = steps_now_us;
    settings.by_key = one_in(2);
    blocks = settings.by_key && one_in(3);
    has_delays = one_in(2);
    add_events(between(0, 20));
    int64_t start = between(0, store.log_end);
    for (int64_t sequence = 1; sequence <= start; sequence++)
        truths[sequence].passed = true;
    struct core creator = {.ledger =
                               ledger_open(start, steps_now_us, subscription_next_us, &settings)};
    make_checkpoint(&creator);
    ledger_close(creator.ledger);
}

static void end_schedule(void)
{
    struct written_list *lists[] = {&store.takes, &store.settlements};
    for (size_t i = 0; i < 2; i++)
        for (int64_t j = 0; j < lists[i]->count; j++)
            free((char *)lists[i]->written[j].entry.body.data);
    for (size_t i = 0; i < core_count; i++) {
        ledger_close(cores[i].ledger);
        cores[i] = (struct core){0};
    }
}

static void schedules(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SCHEDULES; i++) {
        begin_schedule();
        bool crashes = one_in(2);
        for (unsigned j = 0; j < STEPS; j++)
            step(crashes);
        finish();
        for (size_t j = 0; j < core_count; j++) {
            compare_states(&cores[j]);
            check_state(&cores[j]);
        }
        end_schedule();
    }
    print_message("given %zu, again %zu, settled %zu, late %zu, ahead %zu, lost leases %zu, dead "
                  "%zu, revived %zu, repeated %zu\n",
                  seen.given, seen.again, seen.settled, seen.late, seen.ahead, seen.lost_leases,
                  seen.dead, seen.revived, seen.repeated);
    print_message("stale %zu, seeks %zu, crashes %zu, lost takes %zu, rebuilt %zu, compared %zu, "
                  "void settlements %zu\n",
                  seen.stale, seen.seeks, seen.crashes, seen.lost_takes, seen.rebuilt,
                  seen.compared, seen.void_settlements);
    print_message("by time %zu, by mark %zu, delayed by the log %zu, marked %zu, only scanned %zu, "
                  "blocked %zu, unblocked %zu, races %zu\n",
                  seen.by_time, seen.by_mark, seen.by_log_later, seen.marked, seen.scanned,
                  seen.blocked, seen.unblocked, seen.races);
    const size_t counts[] = {
        seen.by_time,    seen.by_mark,   seen.by_log_later, seen.marked,          seen.scanned,
        seen.blocked,    seen.unblocked, seen.races,        seen.given,           seen.again,
        seen.settled,    seen.late,      seen.ahead,        seen.lost_leases,     seen.dead,
        seen.revived,    seen.repeated,  seen.stale,        seen.seeks,           seen.crashes,
        seen.lost_takes, seen.rebuilt,   seen.compared,     seen.void_settlements};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        assert_true(counts[i] > 0); /* all of it has happened */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schedules)};
    steps_begin();
    settings = subscription_settings_new();
    settings.max_attempts = MAX_ATTEMPTS;
    settings.backoff_maximum = 5;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
