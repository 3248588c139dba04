/* Opening: a place that is new, one that is there, one that a newer program made. */
#include <string.h>

#include "contract.h"

static void a_reading_session_may_be_the_first(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    assert_int_equal(
        world->store->driver->session_open(world->store, true, &world->reader, &status), STORE_OK);
    assert_false(has_number(world, 1));
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    append_numbers(world, 1, 1);
    assert_true(has_number(world, 1));
}

static void what_was_stored_is_there_again(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    struct store_item ack = ack_numbered(2, NOON + 60 * SECOND);
    ack_items(world, &ack, 1);
    const struct store_driver *driver = world->store->driver;
    driver->session_close(world->writer);
    driver->session_close(world->reader);
    driver->close(world->store);
    world->writer = world->reader = NULL;
    world->store = store_at(world->url);
    struct status status = STATUS_INIT;
    assert_int_equal(driver->session_open(world->store, true, &world->reader, &status), STORE_OK);
    assert_int_equal(list_page(world, (struct store_list){.limit = 10}).count, 2);
    assert_int_equal(get_number(world, 2).acknowledged_at_us, NOON + 60 * SECOND);
}

static void a_newer_schema_is_refused(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    database_execute(world->url, database_is_postgres()
                                     ? "insert into triggers.schema_version values (99)"
                                     : "pragma user_version = 99");
    for (int read_only = 0; read_only < 2; read_only++) {
        struct store_session *session = NULL;
        struct status status = STATUS_INIT;
        assert_int_equal(
            world->store->driver->session_open(world->store, read_only, &session, &status),
            STORE_FATAL);
        assert_null(session);
        assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
        assert_non_null(strstr(status.message, "version 99"));
        assert_non_null(strstr(status.message, "run a newer triggersd"));
    }
    assert_true(has_number(world, 1)); /* sessions that are open go on */
}

int run_schema_tests(void)
{
    const struct CMUnitTest tests[] = {
        CLOSED_WORLD_TEST(a_reading_session_may_be_the_first),
        WORLD_TEST(what_was_stored_is_there_again),
        WORLD_TEST(a_newer_schema_is_refused),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
