/* Reading events by id. */
#include <string.h>

#include "contract.h"

static void get_items(struct world *world, struct store_get *gets, size_t count)
{
    struct store_get *list[16];
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        list[i] = &gets[i];
    struct status status = STATUS_INIT;
    assert_int_equal(world->store->driver->get(world->reader, SCOPE_DEFAULT, list, count, &status),
                     STORE_OK);
}

static struct store_get get_numbered(uint32_t number, struct arena *arena)
{
    struct store_get get = {.arena = arena};
    id_numbered(number, get.id);
    return get;
}

static void answers_each_in_its_place(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    static const uint32_t numbers[] = {5, 99, 1, 5, 3};
    struct store_get gets[5];
    for (size_t i = 0; i < 5; i++)
        gets[i] = get_numbered(numbers[i], &world->arena);
    get_items(world, gets, 5);
    for (size_t i = 0; i < 5; i++) {
        bool there = numbers[i] <= 5;
        assert_int_equal(gets[i].outcome, there ? STORE_DONE : STORE_NOT_FOUND);
        assert_false(gets[i].no_memory);
        if (there)
            assert_int_equal(gets[i].event.created_at_us, NOON + numbers[i] * SECOND);
    }
}

static void what_does_not_fit_the_arena_is_said(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct arena small;
    arena_init(&small, 8);
    struct store_get gets[2] = {get_numbered(1, &small), get_numbered(1, &world->arena)};
    get_items(world, gets, 2);
    assert_true(gets[0].no_memory);
    assert_null(gets[0].event.payload.data);
    assert_false(gets[1].no_memory);
    assert_int_equal(gets[1].outcome, STORE_DONE);
    arena_fini(&small);
}

static void none_is_fine(void **state)
{
    get_items(*state, NULL, 0);
}

static void a_ping_is_answered(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world->store->driver->ping(world->reader, &status), STORE_OK);
        assert_int_equal(world->store->driver->ping(world->writer, &status), STORE_OK);
    }
}

int run_get_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(answers_each_in_its_place),
        WORLD_TEST(what_does_not_fit_the_arena_is_said),
        WORLD_TEST(none_is_fine),
        WORLD_TEST(a_ping_is_answered),
    };
    return cmocka_run_group_tests_name("get", tests, NULL, NULL);
}
