/* Ledgers: entries in order, whoever appends them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ledger_world.h"

static bool is_entry(const struct store_entry *entry, struct store_entry_before known)
{
    return entry->number == known.number && entry->token == known.token;
}

/* ---- appending ---- */

static void entries_follow_each_other(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct owner begun = owner;
    int64_t before_us = read_from(world, &owner).now_us;
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE);
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(owner.take.number, 2);
    assert_int_equal(owner.settlement.number, 2);

    struct store_ledger read = read_from(world, &begun);
    assert_int_equal(read.outcome, STORE_DONE);
    assert_int_equal(read.new_take_count, 2);
    assert_int_equal(read.new_settlement_count, 1);
    assert_true(is_entry(&read.new_takes[1], owner.take));
    assert_true(is_entry(&read.new_settlements[0], owner.settlement));
    const struct ledger_body *body = (const void *)read.new_takes[1].body.data;
    assert_int_equal(read.new_takes[1].body.size, sizeof(*body));
    assert_int_equal(body->token, owner.take.token);
    assert_int_equal(body->before, read.new_takes[0].token);
    assert_true(read.new_takes[0].at_us >= before_us);
    assert_true(read.new_takes[1].at_us >= read.new_takes[0].at_us);
    assert_true(read.now_us >= read.new_takes[1].at_us);
    assert_int_equal(read.row.id, owner.id);
    assert_int_equal(read.row.revision, 1);
    assert_slice(read.row.name, "work", 4);
    assert_int_equal(read.checkpoint_takes, -1);

    read = read_from(world, &owner);
    assert_int_equal(read.outcome, STORE_DONE);
    assert_int_equal(read.new_take_count + read.new_settlement_count, 0);
}

static void who_has_not_seen_the_last_entry_is_stale(void **state)
{
    struct world *world = *state;
    struct owner first = make_subscription(world, "work");
    struct owner second = first;
    second.salt++;
    assert_int_equal(take_next(world, &first), STORE_DONE);
    assert_int_equal(take_next(world, &second), STORE_STALE);
    assert_int_equal(settle_next(world, &second), STORE_DONE); /* the lists go side by side */
    assert_int_equal(settle_next(world, &first), STORE_STALE);

    second.take = (struct store_entry_before){1, first.take.token + 1}; /* another one's number */
    assert_int_equal(take_next(world, &second), STORE_STALE);
    second.take = (struct store_entry_before){2, first.take.token}; /* none is there */
    assert_int_equal(take_next(world, &second), STORE_STALE);
    struct owner forged = second;
    forged.settlement.token++;
    assert_int_equal(settle_next(world, &forged), STORE_STALE);
    forged = second;
    forged.settlement = (struct store_entry_before){0, 0};
    assert_int_equal(settle_next(world, &forged), STORE_STALE);

    struct store_ledger_head head = head_of(world, first.id);
    assert_int_equal(head.take, 1);
    assert_int_equal(head.settlement, 2);
    second.take = first.take;
    assert_int_equal(take_next(world, &second), STORE_DONE);
}

static void a_changed_subscription_makes_stale(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    assert_int_equal(put_in(world, "work", "{\"paused\":true}", 1).outcome, STORE_DONE);
    assert_int_equal(take_next(world, &owner), STORE_STALE);
    assert_int_equal(settle_next(world, &owner), STORE_STALE);
    struct store_ledger read = read_from(world, &owner);
    assert_int_equal(read.row.revision, 2);
    assert_slice(read.row.settings, "{\"paused\":true}", 15);
    owner.revision = read.row.revision;
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct owner other = owner;
    other.id += 1000;
    assert_int_equal(take_next(world, &other), STORE_NOT_FOUND);
    assert_int_equal(settle_next(world, &other), STORE_NOT_FOUND);
    assert_int_equal(read_from(world, &other).outcome, STORE_NOT_FOUND);
    assert_int_equal(read_whole(world, other.id).outcome, STORE_NOT_FOUND);
    assert_int_equal(head_of(world, other.id).revision, 0);

    world->scope.tenant = 7;
    assert_int_equal(take_next(world, &owner), STORE_NOT_FOUND);
    assert_int_equal(settle_next(world, &owner), STORE_NOT_FOUND);
    assert_int_equal(read_from(world, &owner).outcome, STORE_NOT_FOUND);
    assert_int_equal(head_of(world, owner.id).settlement, 0);
}

static void each_take_of_a_call_has_its_outcome(void **state)
{
    struct world *world = *state;
    struct owner owners[3];
    owners[0] = make_subscription(world, "first");
    owners[1] = make_subscription(world, "second");
    owners[2] = make_subscription(world, "third");
    assert_int_equal(take_next(world, &(struct owner){owners[1].id, 1, 5, {0, 0}, {0, 0}}),
                     STORE_DONE);
    struct owner missing = {.id = owners[2].id + 1000, .revision = 1};
    struct store_take takes[] = {next_take(&owners[2]), next_take(&missing), next_take(&owners[1]),
                                 next_take(&owners[0])};
    takes[3].durable = true;
    take_several(world, takes, 4);
    assert_int_equal(takes[0].outcome, STORE_DONE);
    assert_int_equal(takes[1].outcome, STORE_NOT_FOUND);
    assert_int_equal(takes[2].outcome, STORE_STALE);
    assert_int_equal(takes[3].outcome, STORE_DONE);
    assert_int_equal(takes[0].entry.number, 1);
    assert_true(takes[0].entry.at_us > 0);
    assert_int_equal(head_of(world, owners[2].id).take, 1);
    assert_int_equal(head_of(world, owners[0].id).take, 1);
}

/* The answer was lost, and the batch is written again. */
static void a_settlement_is_written_once(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct store_settlement settlement = next_settlement(&owner);
    struct store_settlement again = settlement;
    struct store_settlement other = settlement;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE);
    enum store_outcome outcome;
    settle_several(world, &again, 1, &outcome);
    assert_int_equal(outcome, STORE_REPEATED);
    assert_int_equal(again.entry.number, 2);
    assert_int_equal(again.entry.at_us, settlement.entry.at_us);
    other.entry.token++;
    settle_several(world, &other, 1, &outcome);
    assert_int_equal(outcome, STORE_STALE);
    assert_int_equal(head_of(world, owner.id).settlement, 3);
}

/* The database has lost a take that the settlement hangs on, or another came in its place. */
static void a_settlement_needs_the_take_that_was_seen(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct store_settlement settlement = next_settlement(&owner);
    settlement.seen = (struct store_entry_before){1, 5};
    assert_int_equal(settle(world, &owner, &settlement), STORE_STALE);
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    settlement.seen = (struct store_entry_before){1, owner.take.token + 1};
    assert_int_equal(settle(world, &owner, &settlement), STORE_STALE);
    settlement.seen = owner.take;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
}

/* In one batch, as when two callers try the same: the first of them counts. */
static void a_settlement_may_be_twice_in_a_batch(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct store_settlement settlements[3];
    enum store_outcome outcomes[3];
    for (size_t i = 0; i < 3; i++)
        settlements[i] = next_settlement(&owner);
    settlements[2].entry.token++;
    settle_several(world, settlements, 3, outcomes);
    assert_int_equal(outcomes[0], STORE_DONE);
    assert_int_equal(outcomes[1], STORE_REPEATED);
    assert_int_equal(outcomes[2], STORE_STALE);
    assert_int_equal(settlements[1].entry.at_us, settlements[0].entry.at_us);
}

/* ---- what settlements do ---- */

static int64_t acknowledged_at(struct world *world, uint32_t number)
{
    return get_number(world, number).acknowledged_at_us;
}

static void a_stale_settlement_does_nothing_and_holds_up_none(void **state)
{
    struct world *world = *state;
    static const int64_t sequences[] = {1, 2, 3};
    append_numbers(world, 1, 3);
    struct owner owners[3];
    struct store_settlement settlements[3];
    enum store_outcome outcomes[3];
    owners[0] = make_subscription(world, "first");
    owners[1] = make_subscription(world, "second");
    owners[2] = make_subscription(world, "third");
    struct store_dead_letter dead[3];
    for (size_t i = 0; i < 3; i++) {
        dead[i] = (struct store_dead_letter){.sequence = sequences[i],
                                             .attempts = 1,
                                             .first_us = NOON,
                                             .reason = slice_of("broken")};
        settlements[i] = next_settlement(&owners[i]);
        settlements[i].acknowledged = &sequences[i];
        settlements[i].dead = &dead[i];
        settlements[i].acknowledged_count = settlements[i].dead_count = 1;
    }
    owners[1].salt++; /* somebody else */
    assert_int_equal(settle_next(world, &owners[1]), STORE_DONE);
    settle_several(world, settlements, 3, outcomes);
    assert_int_equal(outcomes[0], STORE_DONE);
    assert_int_equal(outcomes[1], STORE_STALE);
    assert_int_equal(outcomes[2], STORE_DONE);
    assert_int_equal(acknowledged_at(world, 1), settlements[0].entry.at_us);
    assert_int_equal(acknowledged_at(world, 2), 0);
    assert_int_equal(acknowledged_at(world, 3), settlements[2].entry.at_us);
    for (size_t i = 0; i < 3; i++) {
        struct store_dead_letters page = dead_page(
            world, (struct store_dead_letters){.subscription = owners[i].id, .limit = 10});
        assert_int_equal(page.count, i == 1 ? 0 : 1);
    }
}

static void a_settlement_acknowledges_in_the_inbox(void **state)
{
    struct world *world = *state;
    static const int64_t sequences[] = {3, 1, 2, 5, 999};
    append_numbers(world, 1, 4);
    struct store_item earlier = ack_numbered(1, NOON + 600 * SECOND);
    ack_items(world, &earlier, 1);
    struct store_item late = event_numbered(5); /* made by a clock that is ahead of the store's */
    late.event.created_at_us = clock_now_us() + 3600 * SECOND;
    append_items(world, &late, 1);
    struct owner owner = make_subscription(world, "work");
    struct store_settlement settlement = next_settlement(&owner);
    settlement.acknowledged = sequences;
    settlement.acknowledged_count = 5;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    assert_int_equal(acknowledged_at(world, 1), NOON + 600 * SECOND);
    assert_int_equal(acknowledged_at(world, 2), settlement.entry.at_us);
    assert_int_equal(acknowledged_at(world, 3), settlement.entry.at_us);
    assert_int_equal(acknowledged_at(world, 4), 0);
    assert_int_equal(acknowledged_at(world, 5), late.event.created_at_us);
    struct store_list pending =
        list_page(world, (struct store_list){.oldest_first = true, .limit = 10});
    assert_int_equal(pending.count, 1);
    assert_int_equal(pending.events[0].sequence, 4);
}

/* One batch, in which the settlement comes first. */
static void a_batch_may_settle_what_it_appends(void **state)
{
    struct world *world = *state;
    static const int64_t sequences[] = {1};
    struct owner owner = make_subscription(world, "work");
    struct store_settlement settlement = next_settlement(&owner);
    settlement.acknowledged = sequences;
    settlement.acknowledged_count = 1;
    struct store_item append = event_numbered(1);
    struct store_item item = {.kind = STORE_SETTLE, .settlement = &settlement};
    store_settlement_id(&settlement, item.event.id);
    struct store_write batch = {(struct store_item *[]){&item, &append}, 2};
    struct status status = STATUS_INIT;
    assert_int_equal(world->store->driver->write(world->writer, world->scope, &batch, &status),
                     STORE_OK);
    assert_int_equal(item.outcome, STORE_DONE);
    assert_int_equal(append.outcome, STORE_DONE);
    assert_true(acknowledged_at(world, 1) != 0);
}

/* Lists are not led to blocks in which settlements have acknowledged everything. */
static void a_block_that_was_settled_leaves_nothing(void **state)
{
    struct world *world = *state;
    enum { COUNT = 2 * 256 };
    static int64_t sequences[COUNT];
    struct owner owner = make_subscription(world, "work");
    append_up_to(world, 1, COUNT);
    assert_true(database_number(world->url, "select count(*) from pending") > 0);
    for (size_t i = 0; i < COUNT; i++)
        sequences[i] = (int64_t)i + 1;
    for (size_t i = 0; i < COUNT; i += 64) {
        struct store_settlement settlement = next_settlement(&owner);
        settlement.acknowledged = &sequences[i];
        settlement.acknowledged_count = 64;
        assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    }
    int64_t until_ms = clock_monotonic_ms() + 5000;
    do
        assert_int_equal(settle_next(world, &owner), STORE_DONE);
    while (database_number(world->url, "select count(*) from pending") > 0 &&
           clock_monotonic_ms() < until_ms);
    assert_int_equal(database_number(world->url, "select count(*) from pending"), 0);
    assert_int_equal(backlog_of(world).pending, 0);
}

/* ---- reading ---- */

static void write_checkpoint(struct world *world, struct owner *owner)
{
    struct store_settlement settlement = next_settlement(owner);
    settlement.takes = owner->take.number;
    settlement.entry.body = slice_of("everything");
    assert_int_equal(settle(world, owner, &settlement), STORE_DONE);
}

static void reading_begins_at_the_newest_checkpoint(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct store_ledger read = read_whole(world, owner.id);
    assert_int_equal(read.outcome, STORE_DONE);
    assert_int_equal(read.checkpoint_takes, 0);
    assert_int_equal(read.new_settlement_count, 1);
    assert_int_equal(read.new_settlements[0].token, 0);
    assert_slice(read.new_settlements[0].body, "beginning", 9);
    assert_int_equal(read.new_take_count, 0);

    for (int i = 0; i < 3; i++)
        assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE);
    write_checkpoint(world, &owner);
    struct owner at_checkpoint = owner;
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE);

    read = read_whole(world, owner.id);
    assert_int_equal(read.outcome, STORE_DONE);
    assert_int_equal(read.checkpoint_takes, 3);
    assert_int_equal(read.new_settlement_count, 2);
    assert_true(is_entry(&read.new_settlements[0], at_checkpoint.settlement));
    assert_slice(read.new_settlements[0].body, "everything", 10);
    assert_true(is_entry(&read.new_settlements[1], owner.settlement));
    assert_int_equal(read.new_take_count, 1);
    assert_true(is_entry(&read.new_takes[0], owner.take));
}

static void trim(struct world *world, const struct owner *owner, struct store_ledger_head *from,
                 struct store_ledger_head to)
{
    struct status status = STATUS_INIT;
    if (world->store->driver->ledger_trim(world->writer, world->scope, owner->id, from, to,
                                          &status) != STORE_OK)
        fail_msg("%s", status.message);
}

static void what_a_checkpoint_replaced_may_go(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct owner bystander = make_subscription(world, "other");
    struct owner begun = owner;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take_next(world, &owner), STORE_DONE);
        assert_int_equal(settle_next(world, &owner), STORE_DONE);
        assert_int_equal(take_next(world, &bystander), STORE_DONE);
    }
    write_checkpoint(world, &owner);
    struct store_ledger_head from = {0};
    struct store_ledger_head to = {.take = 3, .settlement = owner.settlement.number};
    if (database_is_postgres()) {
        trim(world, &owner, &from, to);
        assert_int_equal(from.take, 0);
        assert_int_equal(from.settlement, 0);
        assert_int_equal(read_from(world, &begun).new_take_count, 3);
    }
    let_entries_age(world);
    trim(world, &owner, &from, to);
    assert_int_equal(from.take, 3);
    assert_int_equal(from.settlement, owner.settlement.number);
    trim(world, &owner, &from, to); /* nothing to do */
    assert_int_equal(from.take, 3);

    assert_int_equal(read_from(world, &begun).outcome, STORE_STALE);
    struct store_ledger read = read_whole(world, owner.id);
    assert_int_equal(read.outcome, STORE_DONE);
    assert_int_equal(read.checkpoint_takes, 3);
    assert_int_equal(read.new_settlement_count, 1);
    assert_int_equal(read.new_take_count, 0);
    begun.settlement = (struct store_entry_before){0, 0};
    assert_int_equal(take_next(world, &begun),
                     STORE_STALE); /* number 1 is free, and not to be had */
    assert_int_equal(settle_next(world, &begun), STORE_STALE);
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE);
    assert_int_equal(read_from(world, &(struct owner){.id = bystander.id}).new_take_count, 3);
}

/* Entries of before seem to be of later. They go by and by, and none is left behind. */
static void entries_go_in_their_order_when_the_clock_was_set_back(void **state)
{
    struct world *world = *state;
    if (!database_is_postgres())
        return; /* which keeps none */
    struct owner owner = make_subscription(world, "work");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take_next(world, &owner), STORE_DONE);
        assert_int_equal(settle_next(world, &owner), STORE_DONE);
    }
    write_checkpoint(world, &owner);
    struct store_ledger_head from = {0};
    struct store_ledger_head to = {.take = 3, .settlement = owner.settlement.number};
    let_entries_age(world);
    database_execute(world->url,
                     "update triggers.takes set written_at = written_at + interval '1 hour'"
                     " where number = 1;"
                     "update triggers.settlements set written_at = written_at + interval '1 hour'"
                     " where number = 2");
    trim(world, &owner, &from, to);
    assert_int_equal(from.take, 0);
    assert_int_equal(from.settlement, 2);
    assert_int_equal(database_number(world->url, "select count(*) from takes"), 3);
    database_execute(world->url,
                     "update triggers.takes set written_at = written_at - interval '1 hour';"
                     "update triggers.settlements"
                     "  set written_at = written_at - interval '1 hour'");
    trim(world, &owner, &from, to);
    assert_int_equal(from.take, 3);
    assert_int_equal(from.settlement, owner.settlement.number);
    assert_int_equal(database_number(world->url, "select count(*) from takes"), 1);
}

/* The database has crashed, and lost the last takes. */
static void takes_may_be_lost_and_others_come_in_their_place(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    struct owner before = owner;
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    database_execute(world->url, database_is_postgres()
                                     ? "delete from triggers.takes where number > 1"
                                     : "delete from takes where number > 1");
    assert_int_equal(take_next(world, &owner), STORE_STALE);
    assert_int_equal(read_from(world, &owner).outcome, STORE_STALE);
    assert_int_equal(read_from(world, &before).outcome, STORE_DONE);
    assert_int_equal(settle_next(world, &owner), STORE_DONE); /* settlements know nothing of it */

    before.salt++;
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_next(world, &before), STORE_DONE);
    assert_int_equal(before.take.number, owner.take.number);
    assert_int_equal(read_from(world, &owner).outcome, STORE_STALE);
    assert_int_equal(take_next(world, &owner), STORE_STALE);
    struct store_ledger read = read_whole(world, owner.id);
    assert_int_equal(read.new_take_count, 3);
    assert_true(is_entry(&read.new_takes[2], before.take));
}

static void a_ledger_that_does_not_fit_is_told(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    static char body[100000];
    struct store_settlement settlement = next_settlement(&owner);
    settlement.entry.body = (struct slice){body, sizeof(body)};
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    struct arena arena;
    arena_init(&arena, sizeof(body) / 2);
    struct store_ledger ledger = {.subscription = owner.id, .arena = &arena};
    struct status status = STATUS_INIT;
    assert_int_equal(world->store->driver->ledger(world->writer, world->scope, &ledger, &status),
                     STORE_OK);
    assert_true(ledger.no_memory);
    arena_fini(&arena);
    struct store_ledger read = read_whole(world, owner.id);
    assert_slice(read.new_settlements[1].body, body, sizeof(body));
}

/* ---- several at once ---- */

#define THREADS 4
#define ENTRIES 60 /* that each appends of either list */

struct appender {
    struct world *world;
    pthread_barrier_t *start;
    struct owner owner;
    int takes, settlements; /* that were appended */
    int stale;
    bool removed; /* appends until it is */
    enum store_result result;
    struct status status;
};

/* Reads what the others have appended. */
static void catch_up(struct appender *appender, struct store_session *session)
{
    const struct store_driver *driver = appender->world->store->driver;
    struct owner *owner = &appender->owner;
    struct arena arena;
    arena_init(&arena, (size_t)8 << 20);
    struct store_ledger ledger = {.subscription = owner->id,
                                  .takes = owner->take,
                                  .settlements = owner->settlement,
                                  .arena = &arena};
    appender->result = driver->ledger(session, SCOPE_DEFAULT, &ledger, &appender->status);
    if (appender->result == STORE_OK && ledger.outcome == STORE_DONE) {
        size_t takes = ledger.new_take_count, settlements = ledger.new_settlement_count;
        if (takes > 0)
            owner->take = (struct store_entry_before){ledger.new_takes[takes - 1].number,
                                                      ledger.new_takes[takes - 1].token};
        if (settlements > 0)
            owner->settlement =
                (struct store_entry_before){ledger.new_settlements[settlements - 1].number,
                                            ledger.new_settlements[settlements - 1].token};
    }
    arena_fini(&arena);
}

static enum store_outcome append_take(struct appender *appender, struct store_session *session)
{
    const struct store_driver *driver = appender->world->store->driver;
    struct store_take take = next_take(&appender->owner);
    do
        appender->result = driver->take(session, SCOPE_DEFAULT, &(struct store_take *){&take}, 1,
                                        &appender->status);
    while (appender->result == STORE_RETRY || appender->result == STORE_LOCKED);
    if (take.outcome == STORE_DONE)
        appender->owner.take = (struct store_entry_before){take.entry.number, take.entry.token};
    return take.outcome;
}

static enum store_outcome append_settlement(struct appender *appender,
                                            struct store_session *session)
{
    const struct store_driver *driver = appender->world->store->driver;
    struct store_settlement settlement = next_settlement(&appender->owner);
    struct store_item item = {.kind = STORE_SETTLE, .settlement = &settlement};
    store_settlement_id(&settlement, item.event.id);
    struct store_write batch = {&(struct store_item *){&item}, 1};
    do
        appender->result = driver->write(session, SCOPE_DEFAULT, &batch, &appender->status);
    while (appender->result == STORE_RETRY || appender->result == STORE_LOCKED);
    if (item.outcome == STORE_DONE)
        appender->owner.settlement =
            (struct store_entry_before){settlement.entry.number, settlement.entry.token};
    return item.outcome;
}

/* False: it is to stop. */
static bool append_one(struct appender *appender, struct store_session *session)
{
    bool take = appender->takes <= appender->settlements;
    enum store_outcome outcome =
        take ? append_take(appender, session) : append_settlement(appender, session);
    if (appender->result != STORE_OK)
        return false;
    appender->takes += take && outcome == STORE_DONE;
    appender->settlements += !take && outcome == STORE_DONE;
    appender->stale += outcome == STORE_STALE;
    appender->removed = outcome == STORE_NOT_FOUND;
    if (outcome == STORE_STALE)
        catch_up(appender, session);
    return appender->result == STORE_OK && !appender->removed;
}

static void *append_many(void *context)
{
    struct appender *appender = context;
    struct store_session *session = NULL;
    appender->result = session_at(appender->world, &session, &appender->status);
    pthread_barrier_wait(appender->start);
    while (appender->result == STORE_OK && appender->settlements < ENTRIES &&
           append_one(appender, session))
        continue;
    appender->world->store->driver->session_close(session);
    return NULL;
}

static void start_appenders(struct world *world, struct appender *appenders, pthread_t *threads,
                            pthread_barrier_t *start, struct owner owner)
{
    for (unsigned i = 0; i < THREADS; i++) {
        owner.salt = i + 1;
        appenders[i] = (struct appender){.world = world, .start = start, .owner = owner};
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, &appenders[i]), 0);
    }
}

/* Each entry was decided by one who knew the one before. */
static void check_chain(const struct store_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct ledger_body *body = (const void *)entries[i].body.data;
        assert_int_equal(entries[i].body.size, sizeof(*body));
        assert_int_equal(entries[i].number, entries[i - 1].number + 1);
        assert_int_equal(body->token, entries[i].token);
        assert_int_equal(body->before, entries[i - 1].token);
        assert_true(entries[i].at_us >= entries[i - 1].at_us);
    }
}

static void several_sessions_append_one_ledger(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct appender appenders[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, THREADS);
    start_appenders(world, appenders, threads, &start, owner);
    size_t takes = 0, settlements = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (appenders[i].result != STORE_OK)
            fail_msg("%s", appenders[i].status.message);
        takes += (size_t)appenders[i].takes;
        settlements += (size_t)appenders[i].settlements;
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(settlements, THREADS * ENTRIES);
    struct store_ledger read = read_whole(world, owner.id);
    assert_int_equal(read.new_take_count, takes);
    assert_int_equal(read.new_settlement_count, settlements + 1);
    assert_int_equal(read.new_takes[0].number, 1);
    check_chain(read.new_takes, read.new_take_count);
    check_chain(read.new_settlements, read.new_settlement_count);
}

static void one_is_removed_while_others_append(void **state)
{
    struct world *world = *state;
    struct owner owner = make_subscription(world, "work");
    struct appender appenders[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    struct status status = STATUS_INIT;
    bool more = true;
    pthread_barrier_init(&start, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        owner.salt = i + 1;
        appenders[i] = (struct appender){
            .world = world, .start = &start, .owner = owner, .settlements = INT32_MIN / 2};
        appenders[i].takes = appenders[i].settlements;
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, &appenders[i]), 0);
    }
    pthread_barrier_wait(&start);
    while (head_of(world, owner.id).settlement < 20)
        continue;
    while (more)
        assert_int_equal(world->store->driver->subscription_remove(world->writer, world->scope,
                                                                   owner.id, &more, &status),
                         STORE_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (appenders[i].result != STORE_OK)
            fail_msg("%s", appenders[i].status.message);
        assert_true(appenders[i].removed);
    }
    pthread_barrier_destroy(&start);
    let_entries_age(world);
    do
        assert_int_equal(world->store->driver->subscription_remove(world->writer, world->scope,
                                                                   owner.id, &more, &status),
                         STORE_OK);
    while (more);
    assert_int_equal(database_number(world->url, "select count(*) from takes"), 0);
    assert_int_equal(database_number(world->url, "select count(*) from settlements"), 0);
    assert_int_equal(database_number(world->url, "select count(*) from subscriptions"), 0);
}

int run_ledgers_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(entries_follow_each_other),
        WORLD_TEST(who_has_not_seen_the_last_entry_is_stale),
        WORLD_TEST(a_changed_subscription_makes_stale),
        WORLD_TEST(what_is_not_there_is_not_found),
        WORLD_TEST(each_take_of_a_call_has_its_outcome),
        WORLD_TEST(a_settlement_is_written_once),
        WORLD_TEST(a_settlement_needs_the_take_that_was_seen),
        WORLD_TEST(a_settlement_may_be_twice_in_a_batch),
        WORLD_TEST(a_stale_settlement_does_nothing_and_holds_up_none),
        WORLD_TEST(a_settlement_acknowledges_in_the_inbox),
        WORLD_TEST(a_batch_may_settle_what_it_appends),
        WORLD_TEST(a_block_that_was_settled_leaves_nothing),
        WORLD_TEST(reading_begins_at_the_newest_checkpoint),
        WORLD_TEST(what_a_checkpoint_replaced_may_go),
        WORLD_TEST(entries_go_in_their_order_when_the_clock_was_set_back),
        WORLD_TEST(takes_may_be_lost_and_others_come_in_their_place),
        WORLD_TEST(a_ledger_that_does_not_fit_is_told),
        WORLD_TEST(several_sessions_append_one_ledger),
        WORLD_TEST(one_is_removed_while_others_append),
    };
    return cmocka_run_group_tests_name("ledgers", tests, NULL, NULL);
}
