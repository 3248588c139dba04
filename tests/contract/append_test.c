/* Appending: every outcome, and that what is stored is what came. */
#include <stdlib.h>
#include <string.h>

#include "contract.h"

static void stores_an_event(void **state)
{
    struct world *world = *state;
    struct store_item append = event_numbered(1);
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);

    struct store_event event = get_number(world, 1);
    assert_slice(event.source, "crm", 3);
    assert_slice(event.type, "lead.created", 12);
    assert_slice(event.payload, "{\"a\": 1.0}", 10);
    assert_int_equal(event.created_at_us, NOON + 1 * SECOND);
    assert_int_equal(event.acknowledged_at_us, 0);
}

static void answers_a_repetition_with_the_first_time(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);

    struct store_item again = event_numbered(1);
    again.event.created_at_us += 77;
    append_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.created_at_us, NOON + 1 * SECOND);
    assert_int_equal(list_page(world, (struct store_list){.limit = 10}).count, 1);
}

static void other_content_is_a_conflict(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);

    struct store_item others[4] = {event_numbered(1), event_numbered(1), event_numbered(1),
                                   event_numbered(1)};
    others[0].event.source = slice_of("crn");
    others[1].event.type = slice_of("");
    others[2].event.payload = slice_of("{\"a\": 1.00}");
    others[3].event.ordering_key = slice_of("key");
    append_items(world, others, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(others[i].outcome, STORE_CONFLICT);

    struct store_event event = get_number(world, 1);
    assert_slice(event.source, "crm", 3);
    assert_slice(event.payload, "{\"a\": 1.0}", 10);
}

static void the_earliest_of_a_batch_wins(void **state)
{
    struct world *world = *state;
    struct store_item appends[5] = {event_numbered(9), event_numbered(4), event_numbered(4),
                                    event_numbered(4), event_numbered(1)};
    appends[2].event.created_at_us -= 5 * SECOND;
    appends[3].event.payload = slice_of("[]");
    append_items(world, appends, 5);
    assert_int_equal(appends[0].outcome, STORE_DONE);
    assert_int_equal(appends[1].outcome, STORE_DONE);
    assert_int_equal(appends[2].outcome, STORE_REPEATED);
    assert_int_equal(appends[2].event.created_at_us, NOON + 4 * SECOND);
    assert_int_equal(appends[3].outcome, STORE_CONFLICT);
    assert_int_equal(appends[4].outcome, STORE_DONE);
    assert_int_equal(list_page(world, (struct store_list){.limit = 10}).count, 3);
}

static void repetitions_in_a_batch_of_what_was_there(void **state)
{
    struct world *world = *state;
    append_numbers(world, 4, 1);

    struct store_item appends[4] = {event_numbered(4), event_numbered(5), event_numbered(4),
                                    event_numbered(4)};
    appends[0].event.payload = slice_of("[]"); /* the earliest of the batch, but not the first */
    appends[2].event.created_at_us += 3;
    appends[3].event.created_at_us += 4;
    append_items(world, appends, 4);
    assert_int_equal(appends[0].outcome, STORE_CONFLICT);
    assert_int_equal(appends[1].outcome, STORE_DONE);
    assert_int_equal(appends[2].outcome, STORE_REPEATED);
    assert_int_equal(appends[3].outcome, STORE_REPEATED);
    assert_int_equal(appends[2].event.created_at_us, NOON + 4 * SECOND);
    assert_int_equal(appends[3].event.created_at_us, NOON + 4 * SECOND);
}

static void a_thousand_at_once_and_again(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1000);
    struct store_item again[1000];
    for (uint32_t i = 0; i < 1000; i++)
        again[i] = event_numbered(1000 - i);
    append_items(world, again, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(again[i].outcome, STORE_REPEATED);
    assert_int_equal(list_page(world, (struct store_list){.limit = 1000}).count, 1000);
    assert_false(list_page(world, (struct store_list){.limit = 1000}).more);
}

static void an_empty_batch_is_fine(void **state)
{
    append_items(*state, NULL, 0);
}

/* In every order of events that have one and that have none. */
static void ordering_keys_and_times_come_back_exactly(void **state)
{
    struct world *world = *state;
    char longest[STORE_ORDERING_KEY_MAX];
    memset(longest, 'k', sizeof(longest));
    struct slice keys[] = {slice_of(""), slice_of("\xc3\xbc '$1\""), {longest, sizeof(longest)}};
    int64_t times[] = {0, 1, NOON + 7, INT64_MAX};
    struct store_item appends[60];
    for (uint32_t i = 0; i < 60; i++) {
        appends[i] = event_numbered(i);
        if (i >= 20)
            appends[i].event.ordering_key = keys[i % 3];
        if (i >= 40)
            appends[i].event.deliver_at_us = times[i % 4];
    }
    append_items(world, appends, 20); /* none */
    append_items(world, appends + 20, 20);
    append_items(world, appends + 40, 20);
    struct store_list log =
        list_page(world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 60});
    assert_int_equal(log.count, 60);
    for (uint32_t i = 0; i < 60; i++) {
        const struct store_event *event = &appends[i].event, *listed = &log.events[i];
        struct store_event got = get_number(world, i);
        assert_slice(listed->ordering_key, event->ordering_key.data, event->ordering_key.size);
        assert_int_equal(listed->deliver_at_us, event->deliver_at_us);
        assert_slice(got.ordering_key, event->ordering_key.data, event->ordering_key.size);
        assert_int_equal(got.deliver_at_us, event->deliver_at_us);
    }
    append_items(world, appends, 60);
    for (uint32_t i = 0; i < 60; i++)
        assert_int_equal(appends[i].outcome, STORE_REPEATED);
}

/* The ordering key is content, which the batch's first one of an id has; when it is delivered is
 * not. */
static void a_repetition_has_the_ordering_key_but_any_time(void **state)
{
    struct world *world = *state;
    for (int round = 0; round < 2; round++) { /* then it is there */
        struct store_item appends[4] = {event_numbered(1), event_numbered(1), event_numbered(1),
                                        event_numbered(1)};
        appends[0].event.ordering_key = appends[2].event.ordering_key = slice_of("a");
        appends[1].event.ordering_key = slice_of("b");
        appends[2].event.deliver_at_us = NOON + 5;
        append_items(world, appends, 4);
        assert_int_equal(appends[0].outcome, round == 0 ? STORE_DONE : STORE_REPEATED);
        assert_int_equal(appends[1].outcome, STORE_CONFLICT);
        assert_int_equal(appends[2].outcome, STORE_REPEATED);
        assert_int_equal(appends[3].outcome, STORE_CONFLICT);
    }
    assert_int_equal(get_number(world, 1).deliver_at_us, 0);
}

/* Stores one event with this content and compares what comes back, from get and from list. */
static void assert_kept(struct world *world, uint32_t number, struct slice source,
                        struct slice type, struct slice payload)
{
    struct store_item append = event_numbered(number);
    append.event.source = source;
    append.event.type = type;
    append.event.payload = payload;
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_REPEATED);

    struct store_list newest = list_page(world, (struct store_list){.limit = 1});
    struct store_event events[2] = {get_number(world, number), newest.events[0]};
    for (size_t i = 0; i < 2; i++) {
        assert_slice(events[i].source, source.data, source.size);
        assert_slice(events[i].type, type.data, type.size);
        assert_slice(events[i].payload, payload.data, payload.size);
    }
}

static void content_comes_back_exactly(void **state)
{
    struct world *world = *state;
    static const char *const texts[] = {
        "'; drop table events; --",
        "\"quoted\" \\'escaped\\' $1 $$ ?1 %s",
        "{\"x\":null}",
        "gr\xc3\xbc\xc3\x9f gott \xf0\x9f\x90\x98 \xe2\x80\xae",
        "\x01\x7f\t\n\r",
        " padded ",
    };
    uint32_t number = 1;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_kept(world, number++, slice_of(texts[i]), slice_of(texts[i]), slice_of(texts[i]));

    char bytes[1024];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    assert_kept(world, number++, slice_of("s"), slice_of("t"),
                (struct slice){bytes, sizeof(bytes)});
    assert_kept(world, number++, slice_of("s"), slice_of("t"), (struct slice){NULL, 0});
    assert_kept(world, number++, slice_of("s"), slice_of("t"), slice_of("{}"));
}

static void a_large_payload_comes_back_exactly(void **state)
{
    struct world *world = *state;
    const size_t size = 1 << 20;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 13); /* does not compress */
    assert_kept(world, 1, slice_of("s"), slice_of("t"), (struct slice){bytes, size});
    memset(bytes, ' ', size); /* compresses well */
    assert_kept(world, 2, slice_of("s"), slice_of("t"), (struct slice){bytes, size});
    free(bytes);
}

/* More than the buffers of a socket hold, both ways at once. */
static void a_batch_of_large_payloads_goes_through(void **state)
{
    enum { COUNT = 24, SIZE = 1 << 20 };
    struct world *world = *state;
    char *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    struct store_item appends[COUNT];
    struct store_get gets[COUNT];
    struct store_get *list[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        appends[i] = event_numbered(i);
        appends[i].event.payload = (struct slice){bytes, SIZE - i};
        gets[i] = (struct store_get){.arena = &world->arena};
        id_numbered(i, gets[i].id);
        list[i] = &gets[i];
    }
    append_items(world, appends, COUNT);
    append_items(world, appends, COUNT);
    struct status status = STATUS_INIT;
    assert_int_equal(world->store->driver->get(world->reader, SCOPE_DEFAULT, list, COUNT, &status),
                     STORE_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(appends[i].outcome, STORE_REPEATED);
        assert_slice(gets[i].event.payload, bytes, SIZE - i);
    }
    free(bytes);
}

static void times_keep_their_microseconds(void **state)
{
    struct world *world = *state;
    static const int64_t times[] = {
        1, 946684799999999, 946684800000000, NOON + 1, -1, INT64_C(253402300799999999), INT64_MAX};
    for (uint32_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct store_item append = event_numbered(i);
        append.event.created_at_us = times[i];
        append_items(world, &append, 1);
        assert_int_equal(get_number(world, i).created_at_us, times[i]);
    }
}

int run_append_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(stores_an_event),
        WORLD_TEST(answers_a_repetition_with_the_first_time),
        WORLD_TEST(other_content_is_a_conflict),
        WORLD_TEST(the_earliest_of_a_batch_wins),
        WORLD_TEST(repetitions_in_a_batch_of_what_was_there),
        WORLD_TEST(a_thousand_at_once_and_again),
        WORLD_TEST(an_empty_batch_is_fine),
        WORLD_TEST(content_comes_back_exactly),
        WORLD_TEST(ordering_keys_and_times_come_back_exactly),
        WORLD_TEST(a_repetition_has_the_ordering_key_but_any_time),
        WORLD_TEST(a_large_payload_comes_back_exactly),
        WORLD_TEST(a_batch_of_large_payloads_goes_through),
        WORLD_TEST(times_keep_their_microseconds),
    };
    return cmocka_run_group_tests_name("append", tests, NULL, NULL);
}
