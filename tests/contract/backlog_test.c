/* What waits: how many events, and since when; and who keeps the database from cleaning up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "contract.h"
#include "store/items.h"

static void assert_backlog(struct world *world, int64_t pending, int64_t oldest_created_at_us)
{
    struct store_backlog backlog = backlog_of(world);
    assert_int_equal(backlog.pending, pending);
    assert_int_equal(backlog.oldest_created_at_us, oldest_created_at_us);
}

static void counts_what_is_pending(void **state)
{
    struct world *world = *state;
    assert_backlog(world, 0, 0);
    append_numbers(world, 5, 3);
    assert_backlog(world, 3, NOON + 5 * SECOND);
    append_numbers(world, 8, 1);
    assert_backlog(world, 4, NOON + 5 * SECOND);
    struct store_item acks[] = {ack_numbered(5, NOON), ack_numbered(7, NOON)};
    ack_items(world, acks, 2);
    assert_backlog(world, 2, NOON + 6 * SECOND);
    struct store_item rest[] = {ack_numbered(6, NOON), ack_numbered(8, NOON)};
    ack_items(world, rest, 2);
    assert_backlog(world, 0, 0);
}

static void counts_each_event_once(void **state)
{
    struct world *world = *state;
    struct store_item appends[] = {event_numbered(1), event_numbered(1), event_numbered(2)};
    struct store_item acks[] = {ack_numbered(2, NOON), ack_numbered(2, NOON),
                                ack_numbered(3, NOON)};
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, 3, acks, 3, &status), STORE_OK);
    assert_backlog(world, 1, NOON + SECOND);
    assert_int_equal(write_items(world, appends, 3, acks, 3, &status), STORE_OK);
    assert_backlog(world, 1, NOON + SECOND);
}

static void counts_exactly_over_many_blocks(void **state)
{
    enum { COUNT = 10000, LEFT = 500 };
    struct world *world = *state;
    append_up_to(world, 1, COUNT);
    assert_backlog(world, COUNT, NOON + SECOND);
    ack_up_to(world, 1, LEFT - 1, 1);
    ack_up_to(world, LEFT + 1, COUNT, 1);
    assert_backlog(world, 1, NOON + LEFT * SECOND);
    append_up_to(world, COUNT + 1, COUNT + 300);
    assert_backlog(world, 301, NOON + LEFT * SECOND);
}

static void above_its_limit_it_estimates(void **state)
{
    enum { COUNT = (STORE_BACKLOG_BLOCKS + 40) * STORE_BLOCK };
    struct world *world = *state;
    append_up_to(world, 1, COUNT);
    struct store_backlog backlog = backlog_of(world);
    assert_in_range(backlog.pending, STORE_BACKLOG_BLOCKS * STORE_BLOCK / 2, 2 * COUNT);
    assert_int_equal(backlog.oldest_created_at_us, NOON + SECOND);
}

/* ---- who keeps an old snapshot ---- */

#define SNAPSHOT "set transaction isolation level repeatable read; select 1"

/* The backlog with such a holder, which may come a moment later. */
static struct store_backlog backlog_held_by(struct world *world, const char *holder)
{
    int64_t until_ms = clock_monotonic_ms() + 10000;
    struct store_backlog backlog;
    do
        backlog = backlog_of(world);
    while (strcmp(backlog.snapshot_holder, holder) != 0 && clock_monotonic_ms() < until_ms);
    assert_string_equal(backlog.snapshot_holder, holder);
    return backlog;
}

static void assert_holder(struct world *world, const char *name)
{
    char sql[256], holder[160];
    snprintf(sql, sizeof(sql),
             "select pid from pg_stat_activity where application_name = '%s'"
             " and datname = current_database() and pid <> pg_backend_pid()",
             name);
    int64_t pid = database_number(world->url, sql);
    snprintf(holder, sizeof(holder), "session %lld of role \"holder\" (%s)", (long long)pid,
             *name ? name : "no application name");
    struct store_backlog first = backlog_held_by(world, holder);
    append_numbers(world, 1, 1);
    struct store_backlog later = backlog_of(world);
    assert_in_range(first.oldest_snapshot_us, 1, 60 * SECOND);
    assert_true(later.oldest_snapshot_us > first.oldest_snapshot_us);
    assert_true(later.oldest_snapshot_transactions >= first.oldest_snapshot_transactions);
}

static void who_keeps_an_old_snapshot_is_named(void **state)
{
    struct world *world = *state;
    if (!database_is_postgres())
        skip(); /* nobody can */
    database_server_execute("drop role if exists holder");
    database_server_execute("create role holder superuser login password 'pw'");
    char *url = NULL;
    assert_true(asprintf(&url, "%s&user=holder&password=pw&application_name=", world->url) > 0);
    backlog_held_by(world, "");
    struct side *unnamed = side_begin(url, SNAPSHOT);
    assert_holder(world, "");
    struct side *named = side_begin(url, "set local application_name = 'weekly report';" SNAPSHOT);
    assert_holder(world, ""); /* it was the first */
    side_end(unnamed);
    assert_holder(world, "weekly report");
    side_end(named);
    backlog_held_by(world, "");
    database_server_execute("begin; " SNAPSHOT); /* in another database */
    assert_string_equal(backlog_of(world).snapshot_holder, "");
    database_server_execute("rollback");
    database_server_execute("drop role holder");
    free(url);
}

int run_backlog_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(counts_what_is_pending),
        WORLD_TEST(counts_each_event_once),
        WORLD_TEST(counts_exactly_over_many_blocks),
        WORLD_TEST(above_its_limit_it_estimates),
        WORLD_TEST(who_keeps_an_old_snapshot_is_named),
    };
    return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
