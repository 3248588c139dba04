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
#define MAX_ENTRIES 700
#define MAX_HELD 4000
#define MAX_PULL 6
#define MAX_PULLS 8
#define MAX_ATTEMPTS 3
#define MAX_OUTSTANDING 40
#define LEASE_MS 20000

static struct subscription_settings settings;

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
    bool passed;        /* the start or a seek is after it */
    bool lost;          /* a take of it was lost: it may be out twice, and forget attempts */
    bool letter;        /* a dead letter of it is in the store */
    bool given;         /* at any time */
};
static struct truth truths[MAX_EVENTS + 1];

static bool is_wanted(int64_t sequence)
{
    return sequence % 7 != 3;
}

/* ---- cores and workers ---- */

struct core {
    struct ledger *ledger; /* NULL: it has just started */
    bool cut;              /* its sessions were, when the store crashed */
};
static struct core cores[MAX_CORES];
static size_t core_count;

/* A delivery that a worker has, perhaps for long. */
struct held {
    int64_t sequence;
    struct lease_id id;
    int64_t epoch;
};
static struct held held[MAX_HELD];
static size_t held_count;

static uint64_t pulls[MAX_PULLS]; /* whose answers may have been lost */

static struct {
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

static bool append_take(struct core *core, struct buffer *body)
{
    if (!append(core, &store.takes, ledger_figures_of(core->ledger).take, body))
        return false;
    apply_written(core->ledger, true);
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
    held[held_count++] =
        (struct held){lease->sequence, lease->id, ledger_figures_of(core->ledger).epoch};
}

/* The event was given out, by one who had seen settlements up to there. */
static void note_given(const struct core *core, int64_t sequence, uint64_t pull,
                       int64_t settlements)
{
    struct truth *truth = &truths[sequence];
    const struct lease *lease = ledger_find(core->ledger, sequence);
    assert_non_null(lease);
    assert_true(is_wanted(sequence) && !truth->passed);
    assert_true(truth->state != SETTLED || (truth->lost && truth->settled_by > settlements));
    assert_true(truth->state != DEAD);
    if (truth->state == OUT || truth->state == WAITING)
        assert_true(truth->due_us <= steps_now_us || truth->lost);
    truth->attempts++;
    if (!truth->lost) {
        assert_int_equal(lease->attempts, truth->attempts);
        assert_true(lease->attempts <= MAX_ATTEMPTS);
    }
    if (truth->state != SETTLED)
        truth->state = OUT;
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
    truths[sequence].state = DEAD;
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
    int64_t settlements = ledger_figures_of(core->ledger).settlement.number;
    struct buffer body = new_settlement(core);
    if (dead_count > 0)
        ledger_add_dead(&body, dead, dead_count, false);
    if (again_count > 0)
        ledger_add_again(&body, &(struct ledger_grant){pull, LEASE_MS, again, again_count});
    if (!append_settlement(core, &body)) {
        read_all(core);
        return true;
    }
    bool counts = !is_void(core);
    for (size_t i = 0; i < again_count && counts; i++)
        note_given(core, again[i], pull, settlements);
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

static void pull_new(struct core *core, uint64_t pull, size_t max)
{
    int64_t sequences[MAX_PULL];
    size_t count = 0;
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    int64_t at = figures.position;
    for (; at < store.log_end && count < max; at++)
        if (is_wanted(at + 1) && !ledger_is_ahead(core->ledger, at + 1))
            sequences[count++] = at + 1;
    if (at == figures.position || figures.out + figures.waiting + count > MAX_OUTSTANDING)
        return;
    size_t first = chance((unsigned)count + 1);
    const struct ledger_grant grants[] = {{pull, LEASE_MS, sequences, first},
                                          {pull, LEASE_MS, sequences + first, count - first}};
    struct buffer body = new_body();
    struct ledger_take take = ledger_take_of(core->ledger);
    take.position = at;
    take.grants = grants;
    take.grant_count = 2;
    ledger_make_take(&body, core->ledger, &take);
    if (!append_take(core, &body)) {
        read_all(core);
        return;
    }
    for (size_t i = 0; i < count; i++)
        note_given(core, sequences[i], pull, figures.settlement.number);
    seen.given += count;
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
    if (claim == LEASE_SETTLED)
        assert_true(truth->state == SETTLED || truth->state == DEAD);
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
    /* Acks may be decided without having seen the take, though cores read on then. */
    if (is_unknown(core, delivery) && (saying != ACK || delivery->id.again || one_in(2)))
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
        ledger_add_dead(&body, sequence, 1, false);
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
    size_t count = 0;
    bool revives = !one_in(3);
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++)
        if (truths[sequence].letter && one_in(2))
            letters[count++] = sequence;
    if (count == 0)
        return;
    int64_t position = ledger_figures_of(core->ledger).position;
    struct buffer body = new_settlement(core);
    if (revives)
        ledger_add_revived(&body, core->ledger, letters, NULL, count, steps_now_us + SECOND);
    else
        ledger_add_buried(&body, count);
    if (!append_settlement(core, &body)) {
        read_all(core);
        return;
    }
    bool counts = revives && !is_void(core);
    for (size_t i = 0; i < count; i++) {
        struct truth *truth = &truths[letters[i]];
        truth->letter = false;
        if (!counts || letters[i] > position || truth->state == OUT || truth->state == WAITING)
            continue;
        *truth = (struct truth){.state = WAITING,
                                .due_us = steps_now_us + SECOND,
                                .lost = truth->lost,
                                .given = truth->given};
        seen.revived++;
    }
}

/* ---- the rest ---- */

static void seek(struct core *core)
{
    int64_t position = between(0, store.log_end);
    struct buffer body = new_body();
    ledger_make_seek(&body, position);
    if (!append_take(core, &body)) {
        read_all(core);
        return;
    }
    store.durable = store.epoch = store.takes.count;
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

/* The leases come in the order of their next times, however many are asked for. */
static void check_order(const struct ledger *ledger)
{
    const struct lease *leases[MAX_EVENTS], *first[MAX_EVENTS];
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t count = ledger_due(ledger, INT64_MAX, leases, MAX_EVENTS);
    assert_int_equal(count, figures.out + figures.waiting);
    int64_t before_us = 0;
    for (size_t i = 0; i < count; i++) {
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

/* The ledger says what is true. */
static void check_state(struct core *core)
{
    int64_t letters = 0;
    read_all(core);
    struct ledger_figures figures = ledger_figures_of(core->ledger);
    size_t out = 0, waiting = 0;
    int64_t oldest = 0;
    for (int64_t sequence = 1; sequence <= store.log_end; sequence++) {
        const struct truth *truth = &truths[sequence];
        const struct lease *lease = ledger_find(core->ledger, sequence);
        assert_true((lease != NULL) == (truth->state == OUT || truth->state == WAITING));
        letters += truth->letter;
        if (!lease)
            continue;
        oldest = oldest ? oldest : sequence;
        assert_true(lease->out == (truth->state == OUT));
        assert_int_equal(lease->due_us, truth->due_us);
        assert_int_equal(lease->attempts, truth->attempts);
        out += truth->state == OUT;
        waiting += truth->state == WAITING;
    }
    assert_int_equal(figures.out, out);
    assert_int_equal(figures.waiting, waiting);
    assert_int_equal(ledger_oldest(core->ledger), oldest);
    assert_true(figures.dead >= letters);
    check_order(core->ledger);
}

static void pass_time(void)
{
    switch (chance(12)) {
    case 0: steps_now_us -= between(1, 40) * SECOND; break; /* the clock is set */
    case 1: steps_now_us += between(1, 3600) * SECOND; break;
    default: steps_now_us += between(0, 8000) * SECOND / 1000;
    }
}

static void step(bool crashes)
{
    struct core *core = &cores[chance((unsigned)core_count)];
    if (core->cut || !core->ledger)
        read_some(core, core->cut);
    unsigned what = chance(100);
    if (what < 15 && store.log_end < MAX_EVENTS)
        store.log_end +=
            between(0, MAX_EVENTS - store.log_end < 5 ? MAX_EVENTS - store.log_end : 5);
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
}

/* The workers settle all they get, until there is nothing more; then every event that was to be
 * given out was. */
static void finish(void)
{
    struct core *core = &cores[0];
    for (unsigned rounds = 0;; rounds++) {
        read_all(core);
        struct ledger_figures figures = ledger_figures_of(core->ledger);
        if (figures.position == store.log_end && figures.out + figures.waiting == 0)
            break;
        assert_true(rounds < 2000);
        held_count = 0;
        steps_now_us += 10 * SECOND;
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
    store.log_end = between(0, 20);
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
    const size_t counts[] = {
        seen.given,      seen.again,       seen.settled,  seen.late,
        seen.ahead,      seen.lost_leases, seen.dead,     seen.revived,
        seen.repeated,   seen.stale,       seen.seeks,    seen.crashes,
        seen.lost_takes, seen.rebuilt,     seen.compared, seen.void_settlements};
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
