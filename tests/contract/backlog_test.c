/* What waits: how many events, and since when. */
#include "contract.h"

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
    append_numbers(world, 2, 1);
    assert_backlog(world, 4, NOON + 2 * SECOND);
    struct store_item acks[] = {ack_numbered(2, NOON), ack_numbered(6, NOON)};
    ack_items(world, acks, 2);
    assert_backlog(world, 2, NOON + 5 * SECOND);
    struct store_item rest[] = {ack_numbered(5, NOON), ack_numbered(7, NOON)};
    ack_items(world, rest, 2);
    assert_backlog(world, 0, 0);
}

#define STEP 500

static void append_up_to(struct world *world, uint32_t first, uint32_t count)
{
    for (uint32_t end = first + count; first < end; first += STEP)
        append_numbers(world, first, end - first < STEP ? end - first : STEP);
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

static void counts_exactly_up_to_its_limit(void **state)
{
    struct world *world = *state;
    append_up_to(world, 1, STORE_BACKLOG_EXACT - 1);
    assert_backlog(world, STORE_BACKLOG_EXACT - 1, NOON + SECOND);
    append_numbers(world, STORE_BACKLOG_EXACT, 1);
    assert_backlog(world, STORE_BACKLOG_EXACT, NOON + SECOND);
}

static void above_its_limit_only_postgres_estimates(void **state)
{
    struct world *world = *state;
    uint32_t count = STORE_BACKLOG_EXACT + 2 * STEP;
    append_up_to(world, 1, count);
    if (database_is_postgres()) {
        database_execute(world->url, "update pg_catalog.pg_class set reltuples = -1"
                                     " where oid = 'triggers.pending'::regclass");
        assert_backlog(world, STORE_BACKLOG_EXACT + 1, NOON + SECOND); /* never analysed */
        database_execute(world->url, "analyze triggers.pending");
    }
    assert_backlog(world, count, NOON + SECOND);
}

int run_backlog_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(counts_what_is_pending),
        WORLD_TEST(counts_each_event_once),
        WORLD_TEST(counts_exactly_up_to_its_limit),
        WORLD_TEST(above_its_limit_only_postgres_estimates),
    };
    return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
