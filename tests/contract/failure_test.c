/* Batches that cannot be written: nothing of them stays, and the session goes on. */
#include <stdio.h>

#include "contract.h"

/* From now on the database refuses events whose payload is "bad", and acks of one time. */
static void refuse_bad_items(struct world *world)
{
    database_execute(
        world->url, database_is_postgres()
                        ? "create function triggers.refuse() returns trigger language plpgsql as"
                          " $$ begin raise exception 'refused: %', new; end $$;"
                          "create trigger refuse before insert on triggers.events for each row"
                          " when (new.payload = '\\x626164') execute function triggers.refuse();"
                          "create trigger refuse before insert on triggers.acknowledged"
                          " for each row when (new.acknowledged_at = '2030-01-01Z')"
                          " execute function triggers.refuse()"
                        : "create trigger refuse_event before insert on events"
                          " when new.payload = x'626164' begin select raise(abort, 'refused'); end;"
                          "create trigger refuse_ack before insert on acknowledged"
                          " when new.acknowledged_at = 1893456000000000"
                          " begin select raise(abort, 'refused'); end");
}

/* A caller may send it again, and does not drop it for good. */
static void assert_is_the_stores_fault(const struct status *status)
{
    assert_int_equal(status->code, STATUS_UNAVAILABLE);
    assert_true(status->retry_delay_ms > 0);
}

static void a_refused_event_takes_its_batch_along(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    refuse_bad_items(world);

    struct store_item appends[3] = {event_numbered(2), event_numbered(3), event_numbered(4)};
    appends[1].event.payload = slice_of("bad");
    struct store_item ack = ack_numbered(1, NOON);
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, 3, &ack, 1, &status), STORE_REJECTED);
    assert_is_the_stores_fault(&status);
    assert_false(has_number(world, 2));
    assert_false(has_number(world, 3));
    assert_false(has_number(world, 4));
    assert_int_equal(get_number(world, 1).acknowledged_at_us, 0);

    /* The session goes on, with the rest of the batch. */
    append_items(world, &appends[0], 1);
    append_items(world, &appends[2], 1);
    assert_int_equal(appends[0].event.sequence, 2); /* what was refused leaves no gap */
    assert_int_equal(appends[2].event.sequence, 3);
    assert_int_equal(write_items(world, &appends[1], 1, NULL, 0, &status), STORE_REJECTED);
    assert_int_equal(list_page(world, (struct store_list){.limit = 10}).count, 3);
}

static void a_refused_ack_takes_its_batch_along(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    refuse_bad_items(world);

    struct store_item append = event_numbered(3);
    struct store_item acks[2] = {ack_numbered(1, NOON), ack_numbered(2, INT64_C(1893456000000000))};
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, &append, 1, acks, 2, &status), STORE_REJECTED);
    assert_false(has_number(world, 3));
    assert_int_equal(list_page(world, (struct store_list){.limit = 10}).count, 2);
    ack_items(world, acks, 1);
    assert_int_equal(acks[0].outcome, STORE_DONE);
}

/* Triggers fail in other ways than by saying no, and none is the fault of who sent the event. */
static void no_failure_of_the_database_is_the_callers(void **state)
{
    static const char *const postgres[] = {"54000", "22008", "22021", "22P02", "23514", "42P01",
                                           "42501", "3D000", "57P01", "08006", "53100", "25006",
                                           "XX001", "0A000", "26000", "P0001", "ABCDE"};
    static const char *const sqlite[] = {"raise(abort, 'no')", "raise(rollback, 'no')",
                                         "raise(fail, 'no')", "json_extract('{', '$')",
                                         "abs(-9223372036854775807 - 1)"};
    struct world *world = *state;
    bool is_postgres = database_is_postgres();
    size_t count =
        is_postgres ? sizeof(postgres) / sizeof(char *) : sizeof(sqlite) / sizeof(char *);
    for (uint32_t i = 0; i < count; i++) {
        char sql[512];
        snprintf(sql, sizeof(sql),
                 is_postgres ? "create or replace function triggers.fail() returns trigger"
                               " language plpgsql as $$ begin raise using errcode = '%s'; end $$;"
                               "drop trigger if exists fail on triggers.events;"
                               "create trigger fail before insert on triggers.events for each row"
                               " when (new.payload = '\\x626164') execute function triggers.fail()"
                             : "drop trigger if exists fail; create trigger fail before insert on"
                               " events when new.payload = x'626164' begin select %s; end",
                 is_postgres ? postgres[i] : sqlite[i]);
        database_execute(world->url, sql);
        struct store_item appends[2] = {event_numbered(2 * i), event_numbered(2 * i + 1)};
        appends[1].event.payload = slice_of("bad");
        struct status status = STATUS_INIT;
        assert_int_equal(write_items(world, appends, 2, NULL, 0, &status), STORE_REJECTED);
        assert_is_the_stores_fault(&status);
        append_items(world, appends, 1);
        assert_int_equal(appends[0].outcome, STORE_DONE);
        assert_int_equal(appends[0].event.sequence, i + 1);
    }
}

static void a_writer_that_is_kept_out_is_told_in_time(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct side *side = side_begin(world->url, database_is_postgres()
                                                   ? "lock table triggers.events in exclusive mode"
                                                   : "update events set kind = kind");
    struct store_item append = event_numbered(2);
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, &append, 1, NULL, 0, &status),
                     database_is_postgres() ? STORE_LOCKED : STORE_UNAVAILABLE);
    assert_is_the_stores_fault(&status);
    assert_false(has_number(world, 2)); /* readers are not kept out */
    side_end(side);
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);
    assert_int_equal(append.event.sequence, 2);
}

int run_failure_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_refused_event_takes_its_batch_along),
        WORLD_TEST(a_refused_ack_takes_its_batch_along),
        WORLD_TEST(no_failure_of_the_database_is_the_callers),
        WORLD_TEST(a_writer_that_is_kept_out_is_told_in_time),
    };
    return cmocka_run_group_tests_name("failure", tests, NULL, NULL);
}
