/* Acknowledging: every outcome, and that an event is in exactly one of the two lists. */
#include "contract.h"

#define LATER (NOON + 7200 * SECOND) /* than any event here was created */

static size_t count_listed(struct world *world, enum store_set set)
{
    return list_page(world, (struct store_list){.set = set, .limit = 1000}).count;
}

static void moves_an_event_out_of_the_inbox(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    struct store_item ack = ack_numbered(2, NOON + 60 * SECOND);
    ack_items(world, &ack, 1);
    assert_int_equal(ack.outcome, STORE_DONE);

    assert_int_equal(get_number(world, 2).acknowledged_at_us, NOON + 60 * SECOND);
    assert_int_equal(get_number(world, 1).acknowledged_at_us, 0);
    struct store_list done =
        list_page(world, (struct store_list){.set = STORE_ACKNOWLEDGED, .limit = 10});
    assert_int_equal(done.count, 1);
    assert_int_equal(id_number(done.events[0].id), 2);
    assert_int_equal(done.events[0].created_at_us, NOON + 2 * SECOND);
    assert_int_equal(done.events[0].acknowledged_at_us, NOON + 60 * SECOND);
    assert_slice(done.events[0].payload, "{\"a\": 1.0}", 10);
    assert_int_equal(count_listed(world, STORE_PENDING), 2);
}

static void again_keeps_the_first_time(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct store_item first = ack_numbered(1, NOON + 60 * SECOND);
    ack_items(world, &first, 1);
    struct store_item again = ack_numbered(1, NOON + 99 * SECOND);
    ack_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.acknowledged_at_us, NOON + 60 * SECOND);
    assert_int_equal(get_number(world, 1).acknowledged_at_us, NOON + 60 * SECOND);
    assert_int_equal(count_listed(world, STORE_ACKNOWLEDGED), 1);
}

static void an_unknown_id_is_not_found(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct store_item acks[3] = {ack_numbered(7, LATER), ack_numbered(1, LATER),
                                 ack_numbered(7, LATER)};
    ack_items(world, acks, 3);
    assert_int_equal(acks[0].outcome, STORE_NOT_FOUND);
    assert_int_equal(acks[1].outcome, STORE_DONE);
    assert_int_equal(acks[2].outcome, STORE_NOT_FOUND);
}

static void the_first_of_a_batch_sets_the_time(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    struct store_item acks[4] = {ack_numbered(2, LATER + 3), ack_numbered(1, LATER + 9),
                                 ack_numbered(1, LATER + 2), ack_numbered(2, LATER + 4)};
    ack_items(world, acks, 4);
    assert_int_equal(acks[0].outcome, STORE_DONE);
    assert_int_equal(acks[1].outcome, STORE_DONE);
    assert_int_equal(acks[2].outcome, STORE_REPEATED);
    assert_int_equal(acks[2].event.acknowledged_at_us, LATER + 9);
    assert_int_equal(acks[3].outcome, STORE_REPEATED);
    assert_int_equal(acks[3].event.acknowledged_at_us, LATER + 3);

    struct store_item later[2] = {ack_numbered(1, LATER + 20), ack_numbered(1, LATER + 21)};
    ack_items(world, later, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(later[i].outcome, STORE_REPEATED);
        assert_int_equal(later[i].event.acknowledged_at_us, LATER + 9);
    }
}

static void a_batch_may_acknowledge_what_it_appends(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct store_item appends[2] = {event_numbered(2), event_numbered(1)};
    struct store_item acks[3] = {ack_numbered(3, LATER), ack_numbered(2, LATER),
                                 ack_numbered(1, LATER)};
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, 2, acks, 3, &status), STORE_OK);
    assert_int_equal(appends[0].outcome, STORE_DONE);
    assert_int_equal(appends[1].outcome, STORE_REPEATED);
    assert_int_equal(acks[0].outcome, STORE_NOT_FOUND);
    assert_int_equal(acks[1].outcome, STORE_DONE);
    assert_int_equal(acks[2].outcome, STORE_DONE);
    assert_int_equal(count_listed(world, STORE_PENDING), 0);
    assert_int_equal(count_listed(world, STORE_ACKNOWLEDGED), 2);
}

static void appending_again_does_not_bring_it_back(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct store_item ack = ack_numbered(1, LATER + 5);
    ack_items(world, &ack, 1);
    struct store_item again = event_numbered(1);
    append_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(count_listed(world, STORE_PENDING), 0);
    assert_int_equal(get_number(world, 1).acknowledged_at_us, LATER + 5);
}

static void a_thousand_at_once(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1500);
    struct store_item acks[1000];
    for (uint32_t i = 0; i < 1000; i++)
        acks[i] = ack_numbered(1000 - i, LATER + i);
    ack_items(world, acks, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(acks[i].outcome, STORE_DONE);
    assert_int_equal(count_listed(world, STORE_PENDING), 500);
    assert_int_equal(count_listed(world, STORE_ACKNOWLEDGED), 1000);
    assert_int_equal(get_number(world, 1).acknowledged_at_us, LATER + 999);
}

/* A clock that was set back, or another machine's. */
static void no_event_is_acknowledged_before_it_was_created(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    struct store_item append = event_numbered(3);
    struct store_item acks[4] = {ack_numbered(3, NOON - SECOND), ack_numbered(1, NOON),
                                 ack_numbered(1, LATER), ack_numbered(2, LATER)};
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, &append, 1, acks, 4, &status), STORE_OK);
    assert_int_equal(acks[0].event.acknowledged_at_us, NOON + 3 * SECOND);
    assert_int_equal(acks[1].event.acknowledged_at_us, NOON + 1 * SECOND);
    assert_int_equal(acks[2].outcome, STORE_REPEATED);
    assert_int_equal(acks[2].event.acknowledged_at_us, NOON + 1 * SECOND);
    assert_int_equal(acks[3].event.acknowledged_at_us, LATER);
    assert_int_equal(get_number(world, 3).acknowledged_at_us, NOON + 3 * SECOND);
    assert_int_equal(get_number(world, 1).acknowledged_at_us, NOON + 1 * SECOND);

    struct store_item again = ack_numbered(1, NOON - SECOND);
    ack_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.acknowledged_at_us, NOON + 1 * SECOND);
}

int run_ack_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(moves_an_event_out_of_the_inbox),
        WORLD_TEST(again_keeps_the_first_time),
        WORLD_TEST(an_unknown_id_is_not_found),
        WORLD_TEST(the_first_of_a_batch_sets_the_time),
        WORLD_TEST(a_batch_may_acknowledge_what_it_appends),
        WORLD_TEST(appending_again_does_not_bring_it_back),
        WORLD_TEST(a_thousand_at_once),
        WORLD_TEST(no_event_is_acknowledged_before_it_was_created),
    };
    return cmocka_run_group_tests_name("ack", tests, NULL, NULL);
}
