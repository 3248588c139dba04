/* The blocks of the log, as store/items.h has them: the inbox stays right however acknowledgements
 * of several sessions fall before and after a block is full, and what is done leaves nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "contract.h"
#include "store/items.h"

#define COUNT (4 * STORE_BLOCK + 100)

/* Event `number` has the sequence `number`; some are acknowledged. */
struct inbox {
    bool acknowledged[COUNT + 2];
    uint32_t count;
};

static void write_up_to(struct world *world, struct inbox *inbox, uint32_t last)
{
    append_up_to(world, inbox->count + 1, last);
    inbox->count = last;
}

static void acknowledge(struct world *world, struct inbox *inbox, uint32_t first, uint32_t last,
                        uint32_t step)
{
    ack_up_to(world, first, last, step);
    for (uint32_t i = first; i <= last; i += step)
        inbox->acknowledged[i] = true;
}

/* Both lists in both orders, and the count, are as the acknowledgements were. */
static void check_inbox(struct world *world, const struct inbox *inbox)
{
    for (int i = 0; i < 4; i++) {
        struct store_list list = {
            .set = i & 1 ? STORE_ACKNOWLEDGED : STORE_PENDING, .oldest_first = i & 2, .limit = 150};
        uint32_t place = 0; /* so many events of the log were passed */
        uint32_t listed = 0;
        for (bool more = true; more;) {
            arena_reset(&world->arena);
            struct store_list page = list_page(world, list);
            for (size_t j = 0; j < page.count; j++, listed++) {
                uint32_t number;
                do {
                    assert_true(place < inbox->count);
                    place++;
                    number = list.oldest_first ? place : inbox->count + 1 - place;
                } while (inbox->acknowledged[number] != (list.set == STORE_ACKNOWLEDGED));
                assert_int_equal(page.events[j].sequence, number);
                list.after = number;
            }
            more = page.more;
        }
        uint32_t expected = 0;
        for (uint32_t number = 1; number <= inbox->count; number++)
            expected += inbox->acknowledged[number] == (list.set == STORE_ACKNOWLEDGED);
        assert_int_equal(listed, expected);
        if (list.set == STORE_PENDING)
            assert_int_equal(backlog_of(world).pending, expected);
    }
}

/* Rows of `pending` for full blocks before the one with sequence `before`. */
static int64_t pending_rows(struct world *world, uint32_t before)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "select count(*) from pending where block < %u",
             before / STORE_BLOCK);
    return database_number(world->url, sql);
}

/* Further writes of these sessions, which store nothing, leave no row: the next ones, or those of a
 * moment later. */
static void assert_sessions_leave_no_row(struct world *world, struct store_session *const *sessions,
                                         size_t count, uint32_t before)
{
    struct store_session *writer = world->writer;
    int64_t until_ms = clock_monotonic_ms() + 5000;
    do {
        for (size_t i = 0; i < count; i++) {
            world->writer = sessions[i];
            append_numbers(world, 1, 1);
        }
    } while (pending_rows(world, before) > 0 && clock_monotonic_ms() < until_ms);
    world->writer = writer;
    assert_int_equal(pending_rows(world, before), 0);
}

static void assert_no_row_is_left(struct world *world, uint32_t before)
{
    assert_sessions_leave_no_row(world, &world->writer, 1, before);
}

static void a_block_that_was_acknowledged_leaves_nothing(void **state)
{
    struct world *world = *state;
    struct inbox inbox = {.count = 0};
    write_up_to(world, &inbox, COUNT - 2);
    assert_true(pending_rows(world, COUNT) > 0);
    acknowledge(world, &inbox, 1, 2 * STORE_BLOCK, 1);
    check_inbox(world, &inbox);
    write_up_to(world, &inbox, COUNT - 1);
    assert_no_row_is_left(world, 2 * STORE_BLOCK);
    assert_true(pending_rows(world, COUNT) > 0);
    acknowledge(world, &inbox, 2 * STORE_BLOCK + 1, COUNT - 1, 1);
    check_inbox(world, &inbox);
    write_up_to(world, &inbox, COUNT);
    check_inbox(world, &inbox);
    assert_no_row_is_left(world, COUNT);
    assert_int_equal(database_number(world->url, "select count(*) from pending"), 0);
}

static void a_block_may_be_acknowledged_before_it_is_full(void **state)
{
    struct world *world = *state;
    struct inbox inbox = {.count = 0};
    for (uint32_t last = 50; last <= COUNT; last += 50) {
        write_up_to(world, &inbox, last);
        acknowledge(world, &inbox, last - 49, last, 1);
        check_inbox(world, &inbox);
    }
    assert_no_row_is_left(world, inbox.count);
}

/* One batch appends what it acknowledges, past the end of a block. */
static void a_batch_may_acknowledge_the_block_it_fills(void **state)
{
    struct world *world = *state;
    enum { SIZE = STORE_BLOCK + 20 };
    struct inbox inbox = {.count = 0};
    for (uint32_t first = 1; first + SIZE <= COUNT; first += SIZE) {
        struct store_item appends[SIZE], acks[SIZE];
        for (uint32_t i = 0; i < SIZE; i++) {
            appends[i] = event_numbered(first + i);
            acks[i] = ack_numbered(first + i, NOON);
            inbox.acknowledged[first + i] = i > 0;
        }
        struct status status = STATUS_INIT;
        assert_int_equal(write_items(world, appends, SIZE, acks + 1, SIZE - 1, &status), STORE_OK);
        inbox.count += SIZE;
        check_inbox(world, &inbox);
    }
    acknowledge(world, &inbox, 1, inbox.count, SIZE);
    check_inbox(world, &inbox);
    assert_no_row_is_left(world, inbox.count);
}

static void single_events_stay_in_their_blocks(void **state)
{
    struct world *world = *state;
    struct inbox inbox = {.count = 0};
    write_up_to(world, &inbox, COUNT);
    acknowledge(world, &inbox, 1, 254, 1);
    acknowledge(world, &inbox, 256, 600, 1);
    acknowledge(world, &inbox, 602, COUNT - 1, 1);
    check_inbox(world, &inbox);
    struct store_item again = ack_numbered(1, NOON); /* a further write that stores nothing */
    ack_items(world, &again, 1);
    append_numbers(world, COUNT + 1, 1);
    inbox.count = COUNT + 1;
    acknowledge(world, &inbox, COUNT + 1, COUNT + 1, 1);
    check_inbox(world, &inbox);
    assert_true(pending_rows(world, COUNT) > 0);
}

/* Two sessions acknowledge the halves of each block, in turns or one after the other, before and
 * after it is full; who is last leaves nothing. */
static void the_halves_of_blocks_are_two_sessions(void **state)
{
    struct world *world = *state;
    struct store_session *sessions[3] = {world->writer};
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &sessions[1], &status), STORE_OK);
    assert_int_equal(session_at(world, &sessions[2], &status), STORE_OK);
    struct inbox inbox = {.count = 0};
    for (uint32_t last = 100; last <= 4 * STORE_BLOCK; last += 100) {
        world->writer = sessions[2];
        write_up_to(world, &inbox, last);
        for (uint32_t half = 0; half < 2; half++) {
            world->writer = sessions[half];
            acknowledge(world, &inbox, last - 99 + half, last, 2);
        }
        check_inbox(world, &inbox);
    }
    world->writer = sessions[0];
    assert_sessions_leave_no_row(world, sessions, 3, inbox.count);
    world->store->driver->session_close(sessions[1]);
    world->store->driver->session_close(sessions[2]);
}

/* A session that ends before its next write leaves rows, which do no harm. */
static void a_session_may_end_after_it_acknowledged(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    struct inbox inbox = {.count = 0};
    write_up_to(world, &inbox, 3 * STORE_BLOCK);
    acknowledge(world, &inbox, 1, 2 * STORE_BLOCK, 1);
    world->store->driver->session_close(world->writer);
    world->writer = NULL;
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    check_inbox(world, &inbox);
    write_up_to(world, &inbox, COUNT);
    check_inbox(world, &inbox);
}

/* ---- what is written ---- */

/* Statistics come late: waits until those of all `events` rows are there. */
static void wait_for_statistics(struct world *world, uint32_t events)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "do $$ begin for i in 1..1000 loop perform pg_stat_clear_snapshot();"
             " exit when (select n_tup_ins from pg_stat_user_tables"
             " where relid = 'triggers.events'::regclass) >= %u;"
             " perform pg_sleep(0.02); end loop; end $$",
             events);
    database_execute(world->url, sql);
}

static int64_t statistic(struct world *world, const char *column)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "select sum(%s) from pg_stat_user_tables where schemaname = 'triggers'", column);
    return database_number(world->url, sql);
}

static void close_sessions(struct world *world)
{
    world->store->driver->session_close(world->writer);
    world->store->driver->session_close(world->reader);
    world->writer = world->reader = NULL;
}

/* Creates, acks and reads update no row, and leave fewer dead rows than were acknowledged. */
static void no_row_is_updated(void **state)
{
    enum { EVENTS = 100000, STEPS = 1000 };
    struct world *world = *state;
    if (!database_is_postgres())
        skip(); /* it cleans up itself, in the same pages */
    database_execute(world->url, "do $$ declare t text; begin for t in select tablename from"
                                 " pg_tables where schemaname = 'triggers' loop execute format("
                                 "'alter table triggers.%I set (autovacuum_enabled = off)', t);"
                                 " end loop; end $$");
    for (uint32_t first = 1; first < EVENTS; first += STEPS) {
        append_numbers(world, first, STEPS);
        append_numbers(world, first, 3); /* repeated */
        ack_up_to(world, first, first + STEPS - 1, 1);
        ack_up_to(world, first, first + 2, 1);
        arena_reset(&world->arena);
        for (enum store_set set = STORE_PENDING; set <= STORE_LOG; set++)
            list_page(world, (struct store_list){.set = set, .oldest_first = true, .limit = 50});
        get_number(world, first);
        backlog_of(world);
    }
    assert_no_row_is_left(world, EVENTS);
    close_sessions(world);
    wait_for_statistics(world, EVENTS);
    assert_int_equal(statistic(world, "n_tup_upd"), 0);
    assert_true(statistic(world, "n_tup_del") <= EVENTS);
    assert_true(statistic(world, "n_dead_tup") <= EVENTS);
}

int run_blocks_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_block_that_was_acknowledged_leaves_nothing),
        WORLD_TEST(a_block_may_be_acknowledged_before_it_is_full),
        WORLD_TEST(a_batch_may_acknowledge_the_block_it_fills),
        WORLD_TEST(single_events_stay_in_their_blocks),
        WORLD_TEST(the_halves_of_blocks_are_two_sessions),
        WORLD_TEST(a_session_may_end_after_it_acknowledged),
        WORLD_TEST(no_row_is_updated),
    };
    return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
