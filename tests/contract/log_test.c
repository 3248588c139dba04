/* Reading the log: what is pending and what is acknowledged, in one order, and how far it was read.
 */
#include <stdlib.h>
#include <string.h>

#include "contract.h"

static struct store_list log_page(struct world *world, int64_t after, uint32_t limit)
{
    return list_page(world,
                     (struct store_list){
                         .set = STORE_LOG, .oldest_first = true, .after = after, .limit = limit});
}

static void an_empty_log_is_read_to_where_it_was_asked(void **state)
{
    struct world *world = *state;
    static const int64_t positions[] = {0, 1, 1000, INT64_MAX};
    for (int written = 0; written < 2; written++) {
        for (size_t i = (size_t)written; i < 4; i++) {
            struct store_list page = log_page(world, positions[i], 10);
            assert_int_equal(page.count, 0);
            assert_false(page.more);
            assert_int_equal(page.read_to, positions[i]);
            assert_int_equal(page.first, 1);
        }
        append_numbers(world, 1, 1); /* positions from its end on are as before */
    }
}

static void both_states_are_in_one_order(void **state)
{
    struct world *world = *state;
    append_up_to(world, 1, 600);
    ack_up_to(world, 3, 600, 3);
    ack_up_to(world, 256, 300, 1);
    int64_t after = 0;
    for (bool more = true; more; arena_reset(&world->arena)) {
        struct store_list page = log_page(world, after, 70);
        for (size_t i = 0; i < page.count; i++) {
            const struct store_event *event = &page.events[i];
            bool acked = ++after % 3 == 0 || (after >= 256 && after <= 300);
            assert_int_equal(event->sequence, after);
            assert_int_equal(event->created_at_us, NOON + after * SECOND);
            assert_int_equal(event->acknowledged_at_us, acked ? NOON + after * SECOND : 0);
        }
        more = page.more;
        assert_int_equal(more, after < 600);
        assert_int_equal(page.read_to, after);
        assert_int_equal(page.first, 1);
    }
    assert_int_equal(after, 600);
}

static void more_is_exact_at_the_limit(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    assert_true(log_page(world, 0, 4).more);
    assert_int_equal(log_page(world, 0, 4).read_to, 4);
    assert_false(log_page(world, 0, 5).more);
    assert_false(log_page(world, 0, 6).more);
    assert_int_equal(log_page(world, 0, 6).read_to, 5);
    assert_true(log_page(world, 3, 1).more);
    assert_false(log_page(world, 4, 1).more);
    assert_int_equal(log_page(world, 5, 1).count, 0);
}

static void a_page_ends_before_its_bytes_pass(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5); /* of 10 bytes each */
    static const size_t most[] = {1, 10, 19, 29, 30, 49, 50};
    static const size_t counts[] = {1, 1, 1, 2, 3, 4, 5};
    for (size_t i = 0; i < 14; i++) {
        struct store_list page = list_page(world, (struct store_list){.set = STORE_LOG,
                                                                      .oldest_first = true,
                                                                      .limit = i % 2 ? 5 : 500,
                                                                      .max_bytes = most[i / 2]});
        assert_int_equal(page.count, counts[i / 2]);
        assert_int_equal(page.more, counts[i / 2] < 5);
        assert_int_equal(page.read_to, counts[i / 2]);
    }
}

/* Bytes end a page although what the filter passes over lies between. */
static void a_filtered_page_ends_before_its_bytes_pass(void **state)
{
    struct world *world = *state;
    struct store_item appends[600];
    for (uint32_t i = 0; i < 600; i++) {
        appends[i] = event_numbered(i + 1);
        appends[i].event.source = slice_of((i + 1) % 100 == 0 ? "rare" : "crm");
    }
    append_items(world, appends, 600);
    struct slice rare = slice_of("rare");
    struct store_list asked = {.set = STORE_LOG,
                               .oldest_first = true,
                               .limit = 10,
                               .max_bytes = 25,
                               .filter = {.sources = &rare, .source_count = 1}};
    for (int64_t i = 0; i < 3; i++) {
        struct store_list page = list_page(world, asked);
        assert_int_equal(page.count, 2);
        assert_int_equal(page.events[0].sequence, 200 * i + 100);
        assert_int_equal(page.events[1].sequence, 200 * i + 200);
        assert_int_equal(page.more, i < 2);
        assert_true(i == 2 || page.read_to < page.events[1].sequence + 100);
        asked.after = page.read_to;
    }
    assert_int_equal(list_page(world, asked).count, 0);
}

static void a_filter_that_nothing_passes_is_read_to_the_end(void **state)
{
    struct world *world = *state;
    struct slice names[2] = {slice_of("nobody"), slice_of("no*")};
    struct store_list asked = {.set = STORE_LOG,
                               .oldest_first = true,
                               .limit = 10,
                               .filter = {.sources = names, .source_count = 2}};
    for (uint32_t count = 0; count < 3000; count += 500) {
        int pages = 0;
        for (int64_t before = -1; asked.after > before; pages++) {
            struct store_list page = list_page(world, asked);
            assert_int_equal(page.count, 0);
            before = asked.after;
            asked.after = page.read_to;
        }
        assert_int_equal(asked.after, count);
        assert_true(pages <= 10);
        append_numbers(world, count + 1, 500);
        if (count % 1000 == 0)
            asked.after = 0;
    }
    /* A time that nothing has is the same. */
    asked.filter = (struct store_filter){.from_us = NOON - 2 * SECOND, .until_us = NOON};
    asked.after = 0;
    for (int64_t before = -1; asked.after > before;) {
        struct store_list page = list_page(world, asked);
        assert_int_equal(page.count, 0);
        before = asked.after;
        asked.after = page.read_to;
    }
    assert_int_equal(asked.after, 3000);
}

static void a_page_that_does_not_fit_the_arena_is_said(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    struct arena small;
    arena_init(&small, 64);
    struct store_list asked = {.set = STORE_LOG, .oldest_first = true, .limit = 5, .arena = &small};
    assert_true(list_page(world, asked).no_memory);
    arena_fini(&small);
    assert_false(log_page(world, 0, 5).no_memory);
}

static void several_lists_of_all_sets_at_once(void **state)
{
    enum { LISTS = 6 };
    struct world *world = *state;
    append_up_to(world, 1, 700);
    ack_up_to(world, 1, 700, 2);
    struct slice type = slice_of("lead.*");
    struct store_list each[LISTS] = {
        {.set = STORE_LOG, .oldest_first = true, .limit = 3},
        {.set = STORE_PENDING, .oldest_first = true, .limit = 3},
        {.set = STORE_LOG, .oldest_first = true, .limit = 2, .after = 699},
        {.set = STORE_ACKNOWLEDGED, .limit = 2},
        {.set = STORE_LOG,
         .oldest_first = true,
         .limit = 2,
         .after = 400,
         .filter = {.types = &type, .type_count = 1}},
        {.set = STORE_PENDING, .limit = 1000, .after = 5},
    };
    static const size_t counts[] = {3, 3, 1, 2, 2, 2};
    static const bool more[] = {true, true, false, true, true, false};
    static const int64_t firsts[] = {1, 2, 700, 699, 401, 4};
    struct store_list *lists[LISTS];
    for (size_t i = 0; i < LISTS; i++) {
        lists[i] = &each[i];
        each[i].arena = &world->arena;
        each[i].max_bytes = SIZE_MAX;
    }
    struct status status = STATUS_INIT;
    assert_int_equal(
        world->store->driver->list(world->reader, SCOPE_DEFAULT, lists, LISTS, &status), STORE_OK);
    for (size_t i = 0; i < LISTS; i++) {
        assert_int_equal(each[i].count, counts[i]);
        assert_int_equal(each[i].more, more[i]);
        assert_int_equal(each[i].events[0].sequence, firsts[i]);
    }
}

int run_log_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(an_empty_log_is_read_to_where_it_was_asked),
        WORLD_TEST(both_states_are_in_one_order),
        WORLD_TEST(more_is_exact_at_the_limit),
        WORLD_TEST(a_page_ends_before_its_bytes_pass),
        WORLD_TEST(a_filtered_page_ends_before_its_bytes_pass),
        WORLD_TEST(a_filter_that_nothing_passes_is_read_to_the_end),
        WORLD_TEST(a_page_that_does_not_fit_the_arena_is_said),
        WORLD_TEST(several_lists_of_all_sets_at_once),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
