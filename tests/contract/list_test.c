/* Listing what is pending and what is acknowledged: order, paging without gaps or doubles, the
 * limits of a page. log_test.c has the log, filter_test.c the filters. */
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define MANY 300

/* Short pages and long ones, which a store may make in ways of their own. */
#define LIMIT_MAX 150
static const uint32_t LIMITS[] = {5, 500};

#define AT_ONCE 4 /* lists */

/* Events whose numbers, ids and times fall while their sequences rise. */
static void append_falling(struct world *world, uint32_t count)
{
    struct store_item appends[MANY];
    for (uint32_t i = 0; i < count; i++) {
        appends[i] = event_numbered(count - 1 - i);
        appends[i].event.created_at_us = NOON + (int64_t)((count - 1 - i) / 7);
    }
    append_items(world, appends, count);
}

static void ack_all(struct world *world, uint32_t count)
{
    struct store_item acks[MANY];
    for (uint32_t i = 0; i < count; i++)
        acks[i] = ack_numbered(i, NOON + 5 * SECOND + i);
    ack_items(world, acks, count);
}

/* Pages through the whole list with random limits and expects each event once and in order. */
static void assert_complete(struct world *world, enum store_set set, bool oldest_first,
                            uint32_t count, unsigned seed)
{
    struct store_list list = {.set = set, .oldest_first = oldest_first};
    uint32_t seen = 0;
    bool more = true;
    while (more) {
        list.limit = 1 + (uint32_t)rand_r(&seed) % LIMIT_MAX;
        struct store_list page = list_page(world, list);
        assert_true(page.count == list.limit || !page.more);
        for (size_t i = 0; i < page.count; i++, seen++) {
            uint32_t place = oldest_first ? seen : count - 1 - seen;
            assert_int_equal(page.events[i].sequence, place + 1);
            assert_int_equal(id_number(page.events[i].id), count - 1 - place);
        }
        more = page.more;
        assert_int_equal(more, seen < count);
        if (page.count > 0)
            list.after = page.events[page.count - 1].sequence;
    }
    assert_int_equal(seen, count);
}

static void pages_have_no_gaps_and_no_doubles(void **state)
{
    struct world *world = *state;
    append_falling(world, MANY);
    for (unsigned seed = 1; seed <= 10; seed++) {
        assert_complete(world, STORE_PENDING, true, MANY, seed);
        assert_complete(world, STORE_PENDING, false, MANY, seed);
    }
    ack_all(world, MANY);
    for (unsigned seed = 1; seed <= 10; seed++) {
        assert_complete(world, STORE_ACKNOWLEDGED, true, MANY, seed);
        assert_complete(world, STORE_ACKNOWLEDGED, false, MANY, seed);
    }
    assert_int_equal(list_page(world, (struct store_list){.limit = 10}).count, 0);
}

static void an_empty_list_ends_at_once(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 4; i++) {
        struct store_list page =
            list_page(world, (struct store_list){.set = i & 1, .oldest_first = i & 2, .limit = 5});
        assert_int_equal(page.count, 0);
        assert_false(page.more);
    }
}

static void more_is_exact_at_the_limit(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    assert_true(list_page(world, (struct store_list){.limit = 4}).more);
    assert_false(list_page(world, (struct store_list){.limit = 5}).more);
    assert_false(list_page(world, (struct store_list){.limit = 6}).more);
}

static void a_page_ends_before_its_bytes_pass(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5); /* of 10 bytes each */
    for (size_t i = 0; i < 2; i++) {
        struct store_list page = {.limit = LIMITS[i], .oldest_first = true};
        page.max_bytes = 30;
        assert_int_equal(list_page(world, page).count, 3);
        assert_true(list_page(world, page).more);
        page.max_bytes = 29;
        assert_int_equal(list_page(world, page).count, 2);
        page.max_bytes = 50;
        assert_int_equal(list_page(world, page).count, 5);
        assert_false(list_page(world, page).more);
        page.max_bytes = 1;
        struct store_list least = list_page(world, page);
        assert_int_equal(least.count, 1);
        assert_true(least.more);
        assert_int_equal(id_number(least.events[0].id), 1);
    }
}

static void several_lists_at_once(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    struct store_item ack = ack_numbered(2, NOON + SECOND);
    ack_items(world, &ack, 1);
    struct store_list each[AT_ONCE] = {
        {.limit = 3, .oldest_first = true},
        {.limit = 500, .max_bytes = 30},
        {.limit = 1, .set = STORE_ACKNOWLEDGED},
        {.limit = 5, .set = STORE_ACKNOWLEDGED, .after = 1},
    };
    struct store_list *lists[AT_ONCE];
    struct status status = STATUS_INIT;
    for (size_t i = 0; i < AT_ONCE; i++) {
        lists[i] = &each[i];
        each[i].arena = &world->arena;
        each[i].max_bytes = each[i].max_bytes ? each[i].max_bytes : SIZE_MAX;
    }
    assert_int_equal(
        world->store->driver->list(world->reader, SCOPE_DEFAULT, lists, AT_ONCE, &status),
        STORE_OK);
    static const size_t counts[] = {3, 3, 1, 0};
    static const bool more[] = {true, true, false, false};
    static const uint32_t firsts[] = {1, 5, 2, 0};
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_int_equal(each[i].count, counts[i]);
        assert_int_equal(each[i].more, more[i]);
        assert_true(counts[i] == 0 || id_number(each[i].events[0].id) == firsts[i]);
    }
}

static void large_payloads_stay_behind(void **state)
{
    struct world *world = *state;
    const size_t size = 1 << 20;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    for (uint32_t i = 0; i < 4; i++) {
        struct store_item append = event_numbered(i);
        append.event.payload = (struct slice){bytes, size};
        append_items(world, &append, 1);
    }
    for (size_t i = 0; i < 2; i++) {
        struct store_list page =
            list_page(world, (struct store_list){.limit = LIMITS[i], .max_bytes = 2 * size + 1});
        assert_int_equal(page.count, 2);
        assert_true(page.more);
        assert_slice(page.events[1].payload, bytes, size);
    }
    free(bytes);
}

static void a_page_that_does_not_fit_the_arena_is_said(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    struct arena small;
    arena_init(&small, 64);
    assert_true(list_page(world, (struct store_list){.limit = 5, .arena = &small}).no_memory);
    arena_fini(&small);
    assert_false(list_page(world, (struct store_list){.limit = 5}).no_memory);
}

/* Cursors come from callers: any position must be taken. */
static void any_position_is_taken(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    static const int64_t past[] = {4, INT64_C(1) << 40, (INT64_C(1) << 40) + 1, INT64_MAX - 1,
                                   INT64_MAX};
    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        struct store_list list = {.limit = 5, .after = past[i], .oldest_first = true};
        assert_int_equal(list_page(world, list).count, 0);
        list.oldest_first = false;
        assert_int_equal(list_page(world, list).count, 3);
    }
}

int run_list_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(pages_have_no_gaps_and_no_doubles),
        WORLD_TEST(an_empty_list_ends_at_once),
        WORLD_TEST(more_is_exact_at_the_limit),
        WORLD_TEST(a_page_ends_before_its_bytes_pass),
        WORLD_TEST(several_lists_at_once),
        WORLD_TEST(large_payloads_stay_behind),
        WORLD_TEST(a_page_that_does_not_fit_the_arena_is_said),
        WORLD_TEST(any_position_is_taken),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
