/* The sequences of events: from 1, without a gap, in the order of commits and of a batch's items.
 */
#include <stdlib.h>

#include "contract.h"

/* The sequence of each stored event is that of its number, from 1 to `count`. */
static void assert_numbers_are_sequences(struct world *world, uint32_t count)
{
    int64_t after = 0;
    while (after < count) {
        arena_reset(&world->arena);
        struct store_list page = list_page(
            world, (struct store_list){
                       .set = STORE_LOG, .oldest_first = true, .after = after, .limit = 1000});
        assert_true(page.count > 0);
        for (size_t i = 0; i < page.count; i++) {
            assert_int_equal(page.events[i].sequence, ++after);
            assert_int_equal(id_number(page.events[i].id), after);
        }
    }
    assert_int_equal(after, count);
}

static void count_from_one_in_the_order_of_the_items(void **state)
{
    struct world *world = *state;
    static const uint32_t numbers[] = {9, 2, 700, 1, 5, 4};
    struct store_item appends[6];
    for (size_t i = 0; i < 6; i++) {
        appends[i] = event_numbered(numbers[i]);
        appends[i].event.created_at_us = NOON - (int64_t)i; /* no order hangs on times */
    }
    struct store_item acks[2] = {ack_numbered(1, NOON), ack_numbered(9, NOON)};
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, 3, NULL, 0, &status), STORE_OK);
    assert_int_equal(write_items(world, appends + 3, 3, acks, 2, &status), STORE_OK);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(appends[i].event.sequence, i + 1);
        assert_int_equal(get_number(world, numbers[i]).sequence, i + 1);
    }
    assert_int_equal(acks[0].event.sequence, 4);
    assert_int_equal(acks[1].event.sequence, 1);
}

static void are_told_by_every_operation(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    struct store_item again = event_numbered(2);
    append_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.sequence, 2);
    for (int i = 0; i < 2; i++) {
        struct store_item ack = ack_numbered(2, NOON + 9 * SECOND);
        ack_items(world, &ack, 1);
        assert_int_equal(ack.outcome, i == 0 ? STORE_DONE : STORE_REPEATED);
        assert_int_equal(ack.event.sequence, 2);
    }
    append_items(world, &again, 1);
    assert_int_equal(again.event.sequence, 2);
    assert_int_equal(get_number(world, 2).sequence, 2);
    assert_int_equal(get_number(world, 3).sequence, 3);
    static const int64_t expected[][3] = {{1, 3, 0}, {2, 0, 0}, {1, 2, 3}};
    for (enum store_set set = STORE_PENDING; set <= STORE_LOG; set++) {
        struct store_list page =
            list_page(world, (struct store_list){.set = set, .oldest_first = true, .limit = 3});
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(i < page.count ? page.events[i].sequence : 0, expected[set][i]);
    }
}

static void are_not_used_up_by_what_is_not_stored(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    struct store_item appends[7] = {event_numbered(2), event_numbered(3), event_numbered(1),
                                    event_numbered(3), event_numbered(3), event_numbered(4),
                                    event_numbered(1)};
    appends[2].event.payload = appends[4].event.payload = slice_of("[]");
    struct store_item ack = ack_numbered(99, NOON);
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, 7, &ack, 1, &status), STORE_OK);
    static const enum store_outcome outcomes[] = {STORE_REPEATED, STORE_DONE,     STORE_CONFLICT,
                                                  STORE_REPEATED, STORE_CONFLICT, STORE_DONE,
                                                  STORE_REPEATED};
    static const int64_t sequences[] = {2, 3, 0, 3, 0, 4, 1};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(appends[i].outcome, outcomes[i]);
        if (outcomes[i] != STORE_CONFLICT)
            assert_int_equal(appends[i].event.sequence, sequences[i]);
    }
    append_items(world, appends, 2); /* a batch of repetitions alone */
    append_numbers(world, 5, 1);
    assert_numbers_are_sequences(world, 5);
}

static void go_on_over_blocks_and_sessions(void **state)
{
    struct world *world = *state;
    const struct store_driver *driver = world->store->driver;
    struct status status = STATUS_INIT;
    unsigned seed = 5;
    uint32_t next = 1;
    while (next < 2500) {
        uint32_t count = 1 + (uint32_t)rand_r(&seed) % 300;
        append_numbers(world, next, count);
        next += count;
        driver->session_close(world->writer);
        world->writer = NULL;
        assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    }
    append_numbers(world, next, 1000);
    append_numbers(world, next + 1000, 1);
    assert_numbers_are_sequences(world, next + 1000);
}

/* Each of the sessions finds that others have written since its own last batch. */
static void go_on_where_other_sessions_were(void **state)
{
    enum { SESSIONS = 3 };
    struct world *world = *state;
    struct store_session *sessions[SESSIONS] = {world->writer};
    struct status status = STATUS_INIT;
    for (size_t i = 1; i < SESSIONS; i++)
        assert_int_equal(session_at(world, &sessions[i], &status), STORE_OK);
    unsigned seed = 7;
    uint32_t next = 1;
    while (next < 1500) {
        uint32_t count = 1 + (uint32_t)rand_r(&seed) % 60;
        world->writer = sessions[rand_r(&seed) % SESSIONS];
        append_numbers(world, next, count);
        struct store_item both[2] = {event_numbered(next), event_numbered(next + count)};
        world->writer = sessions[rand_r(&seed) % SESSIONS];
        append_items(world, both, 2);
        assert_int_equal(both[0].outcome, STORE_REPEATED);
        assert_int_equal(both[0].event.sequence, next);
        assert_int_equal(both[1].event.sequence, next + count);
        next += count + 1;
    }
    world->writer = sessions[0];
    for (size_t i = 1; i < SESSIONS; i++)
        world->store->driver->session_close(sessions[i]);
    assert_numbers_are_sequences(world, next - 1);
}

int run_sequence_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(count_from_one_in_the_order_of_the_items),
        WORLD_TEST(are_told_by_every_operation),
        WORLD_TEST(are_not_used_up_by_what_is_not_stored),
        WORLD_TEST(go_on_over_blocks_and_sessions),
        WORLD_TEST(go_on_where_other_sessions_were),
    };
    return cmocka_run_group_tests_name("sequence", tests, NULL, NULL);
}
