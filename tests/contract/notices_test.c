/* Notices between processes, in the stores that have them. */
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "contract.h"

enum { ROOM = 8, PATIENCE_MS = 20000 };

struct pair {
    struct world *world;
    struct store_session *one, *other;
    int wake;
};

static struct pair pair_open(struct world *world)
{
    struct status status = STATUS_INIT;
    struct pair pair = {.world = world, .wake = eventfd(0, EFD_NONBLOCK)};
    const struct store_driver *driver = world->store->driver;
    assert_true(pair.wake >= 0);
    assert_int_equal(driver->notice_open(world->store, &pair.one, &status), STORE_OK);
    assert_int_equal(driver->notice_open(world->store, &pair.other, &status), STORE_OK);
    return pair;
}

static void pair_close(const struct pair *pair)
{
    pair->world->store->driver->session_close(pair->one);
    pair->world->store->driver->session_close(pair->other);
    close(pair->wake);
}

static void tell(const struct pair *pair, struct store_session *session,
                 const struct store_notice *notices, size_t count)
{
    struct status status = STATUS_INIT;
    assert_int_equal(pair->world->store->driver->notice_send(session, notices, count, &status),
                     STORE_OK);
}

static size_t hear(const struct pair *pair, struct store_session *session, int64_t wait_ms,
                   struct store_notice *notices, size_t room)
{
    struct status status = STATUS_INIT;
    assert_int_equal(pair->world->store->driver->notice_await(session, pair->wake, wait_ms, notices,
                                                              &room, &status),
                     STORE_OK);
    return room;
}

static void notices_reach_others_but_not_who_sent_them(void **state)
{
    struct pair pair = pair_open(*state);
    const struct store_notice told[] = {{0, 1234}, {7, INT64_MAX}};
    struct store_notice heard[ROOM];
    tell(&pair, pair.one, told, 2);
    assert_int_equal(hear(&pair, pair.other, PATIENCE_MS, heard, ROOM), 2);
    assert_int_equal(heard[0].tenant, 0);
    assert_int_equal(heard[0].last, 1234);
    assert_int_equal(heard[1].tenant, 7);
    assert_true(heard[1].last == INT64_MAX);
    assert_int_equal(hear(&pair, pair.one, 0, heard, ROOM), 0);
    tell(&pair, pair.other, told, 1); /* what comes next at the first is this */
    assert_int_equal(hear(&pair, pair.one, PATIENCE_MS, heard, ROOM), 1);
    pair_close(&pair);
}

static void what_has_no_room_comes_next_time(void **state)
{
    struct pair pair = pair_open(*state);
    struct store_notice heard[ROOM];
    for (int64_t i = 1; i <= 3; i++)
        tell(&pair, pair.one, &(struct store_notice){0, i}, 1);
    for (int64_t i = 1; i <= 3; i++) {
        assert_int_equal(hear(&pair, pair.other, PATIENCE_MS, heard, 1), 1);
        assert_int_equal(heard[0].last, i);
    }
    pair_close(&pair);
}

static void many_notices_are_cut_off_at_most(void **state)
{
    enum { MANY = 1000 };
    static struct store_notice told[MANY], heard[MANY];
    struct pair pair = pair_open(*state);
    for (size_t i = 0; i < MANY; i++)
        told[i] = (struct store_notice){(int64_t)i, INT64_MAX - (int64_t)i};
    tell(&pair, pair.one, told, MANY);
    size_t count = hear(&pair, pair.other, PATIENCE_MS, heard, MANY);
    assert_true(count >= 64);
    for (size_t i = 0; i < count; i++)
        assert_true(heard[i].tenant == told[i].tenant && heard[i].last == told[i].last);
    pair_close(&pair);
}

static void waiting_for_notices_ends(void **state)
{
    struct pair pair = pair_open(*state);
    struct store_notice heard[ROOM];
    int64_t started_ms = clock_monotonic_ms();
    assert_int_equal(hear(&pair, pair.one, 100, heard, ROOM), 0);
    assert_true(clock_monotonic_ms() - started_ms >= 100);
    uint64_t one = 1;
    assert_int_equal(write(pair.wake, &one, sizeof(one)), sizeof(one));
    assert_int_equal(hear(&pair, pair.one, INT32_MAX, heard, ROOM), 0);
    pair_close(&pair);
}

/* Anyone may notify on the channel. */
static void what_is_no_notice_is_passed_over(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_open(world);
    struct store_notice heard[ROOM];
    static const char *const payloads[] = {"", " ", "1", "1 ", "a b", "1 -5", "1 0", "1 x", "-"};
    char sql[128];
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        snprintf(sql, sizeof(sql), "notify triggers_log, '%s'", payloads[i]);
        database_execute(world->url, sql);
    }
    tell(&pair, pair.other, &(struct store_notice){5, 6}, 1);
    size_t count = 0;
    while (count == 0)
        count = hear(&pair, pair.one, PATIENCE_MS, heard, ROOM);
    assert_int_equal(count, 1);
    assert_true(heard[0].tenant == 5 && heard[0].last == 6);
    pair_close(&pair);
}

static void a_session_of_notices_that_was_ended_is_lost(void **state)
{
    struct world *world = *state;
    struct pair pair = pair_open(world);
    const struct store_driver *driver = world->store->driver;
    struct store_notice heard[ROOM];
    struct status status = STATUS_INIT;
    size_t room = ROOM;
    database_execute(world->url, "select pg_terminate_backend(pid) from pg_stat_activity"
                                 " where datname = current_database() and query ilike 'listen%'");
    assert_int_equal(driver->notice_await(pair.one, pair.wake, PATIENCE_MS, heard, &room, &status),
                     STORE_LOST);
    assert_int_equal(driver->notice_send(pair.other, &(struct store_notice){0, 1}, 1, &status),
                     STORE_LOST);
    pair_close(&pair);
}

int run_notices_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(notices_reach_others_but_not_who_sent_them),
        WORLD_TEST(what_has_no_room_comes_next_time),
        WORLD_TEST(many_notices_are_cut_off_at_most),
        WORLD_TEST(waiting_for_notices_ends),
        WORLD_TEST(what_is_no_notice_is_passed_over),
        WORLD_TEST(a_session_of_notices_that_was_ended_is_lost),
    };
    return cmocka_run_group_tests_name("notices", tests, NULL, NULL);
}
