/* What belongs to one tenant is not there for another. */
#include <string.h>

#include "contract.h"

#define OTHER ((struct scope){.tenant = 7})

static void ids_are_each_tenants_own(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    world->scope = OTHER;
    assert_false(has_number(world, 1));
    struct store_item appends[3] = {event_numbered(1), event_numbered(2), event_numbered(1)};
    appends[0].event.source = appends[2].event.source = slice_of("other");
    append_items(world, appends, 3);
    assert_int_equal(appends[0].outcome, STORE_DONE);
    assert_int_equal(appends[1].outcome, STORE_DONE);
    assert_int_equal(appends[2].outcome, STORE_REPEATED);
    assert_slice(get_number(world, 1).source, "other", 5);

    assert_int_equal(appends[0].event.sequence, 1); /* each tenant has its own log */
    assert_int_equal(appends[1].event.sequence, 2);
    assert_int_equal(appends[2].event.sequence, 1);
    assert_int_equal(get_number(world, 2).sequence, 2);

    world->scope = SCOPE_DEFAULT;
    assert_slice(get_number(world, 1).source, "crm", 3);
    append_items(world, appends, 2); /* compared with its own */
    assert_int_equal(appends[0].outcome, STORE_CONFLICT);
    assert_int_equal(appends[1].outcome, STORE_REPEATED);
}

static void an_acknowledgement_is_of_its_tenant(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    world->scope = OTHER;
    append_numbers(world, 1, 1);
    struct store_item acks[2] = {ack_numbered(1, NOON + 9 * SECOND),
                                 ack_numbered(2, NOON + 9 * SECOND)};
    ack_items(world, acks, 2);
    assert_int_equal(acks[0].outcome, STORE_DONE);
    assert_int_equal(acks[1].outcome, STORE_NOT_FOUND);

    world->scope = SCOPE_DEFAULT;
    assert_int_equal(get_number(world, 1).acknowledged_at_us, 0);
    assert_int_equal(get_number(world, 2).acknowledged_at_us, 0);
    struct store_item again = ack_numbered(1, NOON + 10 * SECOND);
    ack_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_DONE);
    world->scope = OTHER;
    ack_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.acknowledged_at_us, NOON + 9 * SECOND);
}

static void check_lists(struct world *world, uint32_t pending, uint32_t acknowledged)
{
    for (int i = 0; i < 8; i++) {
        struct store_list list = {.set = i & 1, .oldest_first = i & 2, .limit = i & 4 ? 100 : 10};
        assert_int_equal(list_page(world, list).count, i & 1 ? acknowledged : pending);
    }
    assert_int_equal(backlog_of(world).pending, pending);
}

static void lists_hold_one_tenants_events(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 4);
    world->scope = OTHER;
    check_lists(world, 0, 0);
    append_numbers(world, 3, 5);
    struct store_item acks[2] = {ack_numbered(3, NOON), ack_numbered(4, NOON)};
    ack_items(world, acks, 2);
    check_lists(world, 3, 2);
    assert_int_equal(backlog_of(world).oldest_created_at_us, NOON + 5 * SECOND);
    world->scope = SCOPE_DEFAULT;
    check_lists(world, 4, 0);
    assert_int_equal(backlog_of(world).oldest_created_at_us, NOON + SECOND);
}

int run_scope_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(ids_are_each_tenants_own),
        WORLD_TEST(an_acknowledgement_is_of_its_tenant),
        WORLD_TEST(lists_hold_one_tenants_events),
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
