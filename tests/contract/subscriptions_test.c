/* Subscriptions over a real store: what a core does, without a server. Two "cores" in one process
 * share the store. What concerns ordering keys and times of delivery is in order_test.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cores.h"

/* ---- the tests ---- */

static void events_are_given_out_once_and_settled(void **state)
{
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK);
    create(core, 1, 100);
    struct waiting_pull *first = pull(core, "billing", 30);
    struct waiting_pull *second = pull(core, "billing", 1000);
    assert_int_equal(first->pull.count, 30);
    assert_int_equal(second->pull.count, 70);
    assert_int_equal(first->pull.deliveries[0].event.sequence, 1);
    assert_int_equal(second->pull.deliveries[69].event.sequence, 100);
    assert_int_equal(first->pull.deliveries[0].attempt, 1);
    struct subscription_figures figures = figures_of(core, "billing");
    assert_int_equal(figures.outstanding, 100);
    assert_int_equal(figures.position, 100);
    assert_int_equal(figures.backlog, 0);
    assert_int_equal(ack(core, "billing", first, 0, 30), SETTLE_DONE);
    assert_int_equal(ack(core, "billing", first, 0, 30), SETTLE_DONE);
    assert_int_equal(figures_of(core, "billing").outstanding, 70);
    struct waiting_pull *none = pull(core, "billing", 10);
    assert_int_equal(none->pull.count, 0);
    assert_int_equal(none->pull.empty, PULL_NOTHING_NEW);
    free_pull(first);
    free_pull(second);
    free_pull(none);
    core_close(core);
}

static void what_is_given_back_comes_again(void **state)
{
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK);
    create(core, 1, 3);
    struct waiting_pull *first = pull(core, "billing", 3);
    struct settle nack = {.kind = SETTLE_NACK, .delay_ms = 0};
    assert_int_equal(settle_some(core, "billing", first, 1, 1, nack).outcome, SETTLE_DONE);
    struct waiting_pull *again = pull(core, "billing", 10);
    assert_int_equal(again->pull.count, 1);
    assert_int_equal(again->pull.deliveries[0].event.sequence, 2);
    assert_int_equal(again->pull.deliveries[0].attempt, 2);
    assert_slice(again->pull.deliveries[0].event.source, "crm", 3);
    assert_int_equal(ack(core, "billing", first, 1, 1), SETTLE_LOST);
    struct settle release = {.kind = SETTLE_RELEASE};
    assert_int_equal(settle_some(core, "billing", again, 0, 1, release).outcome, SETTLE_DONE);
    struct waiting_pull *released = pull(core, "billing", 10);
    assert_int_equal(released->pull.count, 1);
    assert_int_equal(released->pull.deliveries[0].attempt, 2);
    free_pull(first);
    free_pull(again);
    free_pull(released);
    core_close(core);
}

static void a_pull_waits_for_what_is_created(void **state)
{
    struct core *core = core_open(*state);
    struct waiting_pull waiting;
    put(core, "billing", (struct put_subscription){0}, STATUS_OK);
    start_pull(core, &waiting, "billing", 10, true);
    create(core, 1, 2);
    await_done(&waiting.asked);
    assert_int_equal(waiting.pull.count, 2);
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

static void two_cores_share_one(void **state)
{
    struct core *cores[2] = {core_open(*state), core_open(*state)};
    enum { EVENTS = 400, STEP = 7 };
    bool seen[EVENTS + 1] = {false};
    put(cores[0], "billing", EARLIEST, STATUS_OK);
    create(cores[0], 1, EVENTS);
    int got = 0;
    for (int i = 0; got < EVENTS; i++) {
        struct waiting_pull *one = pull(cores[i % 2], "billing", STEP);
        for (size_t j = 0; j < one->pull.count; j++) {
            int64_t sequence = one->pull.deliveries[j].event.sequence;
            assert_false(seen[sequence]);
            seen[sequence] = true;
            got++;
        }
        assert_true(one->pull.count > 0);
        assert_int_equal(ack(cores[(i / 2) % 2], "billing", one, 0, one->pull.count), SETTLE_DONE);
        free_pull(one);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(figures_of(cores[i], "billing").outstanding, 0);
    core_close(cores[1]);
    core_close(cores[0]);
}

static void a_core_that_starts_again_knows_all(void **state)
{
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK);
    create(core, 1, 10);
    struct waiting_pull *first = pull(core, "billing", 5);
    core_close(core);
    core = core_open(*state);
    struct waiting_pull *second = pull(core, "billing", 10);
    assert_int_equal(second->pull.count, 5);
    assert_int_equal(second->pull.deliveries[0].event.sequence, 6);
    assert_int_equal(ack(core, "billing", first, 0, 5), SETTLE_DONE);
    assert_int_equal(figures_of(core, "billing").outstanding, 5);
    free_pull(first);
    free_pull(second);
    core_close(core);
}

/* More than a checkpoint's worth of entries, which the next core reads. */
static void checkpoints_are_read(void **state)
{
    struct core *core = core_open(*state);
    enum { EVENTS = 1300 };
    struct put_subscription patient = EARLIEST;
    patient.settings.lease_seconds = 3600; /* a slow machine takes longer than the default */
    patient.given = GIVEN_LEASE;
    put(core, "billing", patient, STATUS_OK);
    create(core, 1, 1000);
    create(core, 1001, EVENTS - 1000);
    struct waiting_pull *kept = pull(core, "billing", 3);
    for (int i = 3; i < EVENTS; i++) {
        struct waiting_pull *one = pull(core, "billing", 1);
        assert_int_equal(one->pull.count, 1);
        assert_int_equal(ack(core, "billing", one, 0, 1), SETTLE_DONE);
        free_pull(one);
    }
    struct world *world = *state;
    assert_true(database_number(world->url,
                                "select count(*) from settlements where takes is not null") > 1);
    core_close(core);
    core = core_open(*state);
    assert_int_equal(figures_of(core, "billing").outstanding, 3);
    assert_int_equal(ack(core, "billing", kept, 0, 3), SETTLE_DONE);
    assert_int_equal(figures_of(core, "billing").outstanding, 0);
    free_pull(kept);
    core_close(core);
}

/* Every attempt fails; the last one makes dead letters, which may be given out again. */
static void who_fails_for_the_last_time_is_a_dead_letter(void **state)
{
    struct world *world = *state;
    struct core *core = core_open(world);
    struct put_subscription two = EARLIEST;
    struct settle nack = {.kind = SETTLE_NACK, .delay_ms = 0, .reason = slice_of("broken")};
    two.settings.max_attempts = 2;
    two.given = GIVEN_ATTEMPTS;
    put(core, "billing", two, STATUS_OK);
    create(core, 1, 3);
    for (int attempt = 1; attempt <= 2; attempt++) {
        struct waiting_pull *some = pull(core, "billing", 2);
        assert_int_equal(some->pull.count, 2);
        assert_int_equal(some->pull.deliveries[0].attempt, attempt);
        assert_int_equal(settle_some(core, "billing", some, 0, 2, nack).outcome, SETTLE_DONE);
        free_pull(some);
    }
    assert_int_equal(figures_of(core, "billing").dead_letters, 2);
    struct asked asked;
    struct list_dead_letters list = {.list = {.limit = 10}};
    begin(core, &asked, &list.request, "billing");
    subscriptions_dead_letters(core->subscriptions, &list);
    await_done(&asked);
    assert_int_equal(list.list.count, 2);
    assert_int_equal(list.list.letters[0].letter.attempts, 2);
    assert_slice(list.list.letters[0].letter.reason, "broken", 6);
    assert_int_equal(list.list.letters[0].event.sequence, list.list.letters[0].letter.sequence);
    arena_fini(&asked.arena);
    uint8_t id[1][TYPEID_BYTES];
    id_numbered(1, id[0]);
    struct dead_letter_request redrive = {.redrive = true, .event_ids = id, .count = 1};
    assert_int_equal(settle_letters(core, "billing", redrive).concerned, 1);
    struct waiting_pull *again = pull(core, "billing", 10);
    assert_int_equal(again->pull.count, 1);
    assert_int_equal(again->pull.deliveries[0].event.sequence, 1);
    assert_int_equal(again->pull.deliveries[0].attempt, 1);
    struct dead_letter_request bury = {.all = true};
    assert_int_equal(settle_letters(core, "billing", bury).concerned, 1);
    assert_int_equal(figures_of(core, "billing").dead_letters, 0);
    assert_int_equal(database_number(world->url, "select count(*) from dead_letters"), 0);
    free_pull(again);
    core_close(core);
}

static void a_seek_moves_the_position(void **state)
{
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK);
    create(core, 1, 20);
    struct waiting_pull *before = pull(core, "billing", 10);
    struct start earliest = {.kind = START_EARLIEST};
    assert_int_equal(seek(core, "billing", earliest, true).events, 10);
    assert_int_equal(figures_of(core, "billing").position, 10);
    assert_int_equal(seek(core, "billing", earliest, false).position, 0);
    assert_int_equal(ack(core, "billing", before, 0, 10), SETTLE_LOST);
    struct waiting_pull *again = pull(core, "billing", 10);
    assert_int_equal(again->pull.deliveries[0].event.sequence, 1);
    assert_int_equal(ack(core, "billing", again, 0, 10), SETTLE_DONE);
    seek(core, "billing", (struct start){START_TIME, INT64_C(1) << 55}, false);
    struct waiting_pull waits;
    start_pull(core, &waits, "billing", 10, true);
    create(core, 21, 1);
    await_done(&waits.asked);
    assert_int_equal(waits.pull.count, 1);
    assert_int_equal(waits.pull.deliveries[0].event.sequence, 21);
    seek(core, "billing", (struct start){START_SEQUENCE, 5}, false);
    struct waiting_pull *fifth = pull(core, "billing", 1);
    assert_int_equal(fifth->pull.deliveries[0].event.sequence, 5);
    arena_fini(&waits.asked.arena);
    free_pull(before);
    free_pull(again);
    free_pull(fifth);
    core_close(core);
}

static void a_repeated_pull_gets_the_same(void **state)
{
    struct core *cores[2] = {core_open(*state), core_open(*state)};
    put(cores[0], "billing", EARLIEST, STATUS_OK);
    create(cores[0], 1, 20);
    char first[ACK_ID_SIZE] = "";
    for (int i = 0; i < 4; i++) {
        struct waiting_pull one = {
            .pull = {.max_events = 5, .max_bytes = PULL_MAX_BYTES, .id = 77}};
        begin(cores[0], &one.asked, &one.pull.request, "billing");
        subscriptions_pull(cores[0]->subscriptions, &one.pull);
        await_done(&one.asked);
        assert_int_equal(one.pull.count, 5);
        if (i == 0)
            memcpy(first, one.pull.deliveries[0].ack_id, sizeof(first));
        assert_string_equal(one.pull.deliveries[0].ack_id, first);
        arena_fini(&one.asked.arena);
    }
    assert_int_equal(figures_of(cores[1], "billing").outstanding, 5);
    core_close(cores[1]);
    core_close(cores[0]);
}

static void a_paused_or_full_subscription_gives_nothing(void **state)
{
    struct core *core = core_open(*state);
    struct put_subscription paused = {.settings.paused = true, .given = GIVEN_PAUSED};
    struct put_subscription goes_on = {.given = GIVEN_PAUSED};
    struct put_subscription small = {.settings.max_outstanding = 3, .given = GIVEN_OUTSTANDING};
    put(core, "billing", EARLIEST, STATUS_OK);
    create(core, 1, 10);
    put(core, "billing", paused, STATUS_OK);
    struct waiting_pull *none = pull(core, "billing", 5);
    assert_int_equal(none->pull.count, 0);
    assert_int_equal(none->pull.empty, PULL_PAUSED);
    struct waiting_pull waits;
    start_pull(core, &waits, "billing", 5, true);
    put(core, "billing", small, STATUS_OK);
    put(core, "billing", goes_on, STATUS_OK);
    await_done(&waits.asked);
    assert_int_equal(waits.pull.count, 3);
    struct waiting_pull *full = pull(core, "billing", 5);
    assert_int_equal(full->pull.count, 0);
    assert_int_equal(full->pull.empty, PULL_MAX_OUTSTANDING);
    ack(core, "billing", &waits, 0, 2);
    struct waiting_pull *room = pull(core, "billing", 5);
    assert_int_equal(room->pull.count, 2);
    arena_fini(&waits.asked.arena);
    free_pull(none);
    free_pull(full);
    free_pull(room);
    core_close(core);
}

static void the_inbox_is_shared(void **state)
{
    struct world *world = *state;
    struct core *core = core_open(world);
    create(core, 1, 6);
    ack_up_to(world, 1, 2, 1);
    struct waiting_pull *some = pull(core, "inbox", 2);
    assert_int_equal(some->pull.count, 2);
    assert_int_equal(some->pull.deliveries[0].event.sequence, 3);
    assert_int_equal(ack(core, "inbox", some, 0, 1), SETTLE_DONE);
    assert_int_equal(backlog_of(world).pending, 3);
    assert_true(get_number(world, 3).acknowledged_at_us != 0);
    ack_up_to(world, 4, 5, 1); /* one is out */
    struct settle nack = {.kind = SETTLE_NACK, .delay_ms = 0};
    assert_int_equal(settle_some(core, "inbox", some, 1, 1, nack).outcome, SETTLE_DONE);
    struct waiting_pull *rest = pull(core, "inbox", 10);
    assert_int_equal(rest->pull.count, 1);
    assert_int_equal(rest->pull.deliveries[0].event.sequence, 6);
    free_pull(some);
    free_pull(rest);
    core_close(core);
}

/* Of a lease that is over, the event is given out again, and after a while it is a dead letter. */
static void a_lease_ends(void **state)
{
    struct core *core = core_open(*state);
    struct put_subscription quick = EARLIEST;
    quick.settings.lease_seconds = 1;
    quick.settings.max_attempts = 2;
    quick.given = GIVEN_LEASE | GIVEN_ATTEMPTS | GIVEN_BACKOFF_MINIMUM; /* of 0 */
    put(core, "billing", quick, STATUS_OK);
    create(core, 1, 2);
    struct waiting_pull *first = pull(core, "billing", 2);
    struct settle longer = {.kind = SETTLE_EXTEND, .lease_seconds = 3600};
    assert_int_equal(settle_some(core, "billing", first, 1, 1, longer).outcome, SETTLE_DONE);
    struct waiting_pull again;
    start_pull(core, &again, "billing", 2, true);
    await_done(&again.asked);
    assert_int_equal(again.pull.count, 1);
    assert_int_equal(again.pull.deliveries[0].event.sequence, 1);
    assert_int_equal(again.pull.deliveries[0].attempt, 2);
    assert_int_equal(ack(core, "billing", first, 0, 1), SETTLE_LOST);
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (figures_of(core, "billing").dead_letters == 0 && clock_monotonic_ms() < until_ms)
        ;
    assert_int_equal(figures_of(core, "billing").dead_letters, 1);
    assert_int_equal(ack(core, "billing", first, 1, 1), SETTLE_DONE);
    arena_fini(&again.asked.arena);
    free_pull(first);
    core_close(core);
}

/* Whoever removed it stopped before its rows were gone. */
static void what_was_removed_is_swept(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    bool more;
    struct core *core = core_open(world);
    put(core, "billing", EARLIEST, STATUS_OK);
    core_close(core);
    assert_int_equal(
        world->store->driver->subscription_remove(world->writer, world->scope, 1, &more, &status),
        STORE_OK);
    if (database_is_postgres())
        database_execute(
            world->url,
            "insert into triggers.takes select 0, 1, n, 9, now() - interval '2 minutes', ''"
            " from generate_series(1, 2500) n;"
            "update triggers.subscriptions set removed_at = removed_at - interval '2 minutes'");
    else
        database_execute(world->url,
                         "with recursive s(n) as (select 1 union all select n + 1 from s"
                         " where n < 2500) insert into takes select 0, 1, n, 9, 1, x'' from s");
    core = core_open(world);
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (database_number(world->url, "select count(*) from subscriptions") > 0 &&
           clock_monotonic_ms() < until_ms)
        ;
    assert_int_equal(database_number(world->url, "select count(*) from takes"), 0);
    assert_int_equal(database_number(world->url, "select count(*) from subscriptions"), 0);
    core_close(core);
}

/* One thread makes and removes a subscription again and again; whoever asks it meanwhile is
 * answered. */
static void *make_and_remove(void *argument)
{
    struct core *core = argument;
    for (int i = 0; i < 150; i++) {
        struct asked asked;
        struct put_subscription put = {.given = 0};
        begin(core, &asked, &put.request, "brief");
        subscriptions_put(core->subscriptions, &put);
        await_done(&asked);
        arena_fini(&asked.arena);
        struct remove_subscription remove;
        begin(core, &asked, &remove.request, "brief");
        subscriptions_remove(core->subscriptions, &remove);
        await_done(&asked);
        arena_fini(&asked.arena);
    }
    return NULL;
}

static void who_asks_what_is_being_removed_is_answered(void **state)
{
    struct core *core = core_open(*state);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_and_remove, core), 0);
    for (int i = 0; i < 3000; i++) {
        struct waiting_pull waiting;
        start_pull(core, &waiting, "brief", 1, false);
        await_done(&waiting.asked);
        arena_fini(&waiting.asked.arena);
    }
    pthread_join(thread, NULL);
    core_close(core);
}

/* ---- the clock is set; only of SQLite, whose clock is this process's ---- */

#define HOUR_US (INT64_C(3600) * 1000000)

static _Atomic int64_t clock_is_set_by_us;

static int64_t read_set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000 + clock_is_set_by_us;
}

static bool clock_can_be_set(void)
{
    clock_is_set_by_us = 0;
    clock_set_now_for_test(database_is_postgres() ? NULL : read_set_clock);
    return !database_is_postgres();
}

static void put_short_leases(struct core *core, const char *name)
{
    struct put_subscription put_short = EARLIEST;
    put_short.settings.lease_seconds = 1;
    put_short.given = GIVEN_LEASE | GIVEN_BACKOFF_MINIMUM; /* of 0 */
    put(core, name, put_short, STATUS_OK);
}

struct holding {
    struct waiting_pull *pull;
    int64_t since_us; /* monotonic; it was given out then or later */
};

static struct holding hold_one(struct core *core, const char *name)
{
    struct holding held = {.since_us = clock_monotonic_us()};
    held.pull = pull(core, name, 1);
    assert_int_equal(held.pull->pull.count, 1);
    return held;
}

/* It is given out again, and no earlier than its lease of a second ends by its holder's clock. */
static void assert_ends(struct core *core, const char *name, struct holding held)
{
    struct waiting_pull again;
    start_pull(core, &again, name, 1, true);
    await_done(&again.asked);
    assert_int_equal(again.pull.count, 1);
    assert_int_equal(again.pull.deliveries[0].attempt, 2);
    assert_true(clock_monotonic_us() - held.since_us >= 1000000);
    assert_int_equal(ack(core, name, held.pull, 0, 1), SETTLE_LOST);
    assert_int_equal(ack(core, name, &again, 0, 1), SETTLE_DONE);
    assert_int_equal(figures_of(core, name).outstanding, 0);
    arena_fini(&again.asked.arena);
    free_pull(held.pull);
}

static void leases_end_though_the_clock_was_set_back(void **state)
{
    if (!clock_can_be_set())
        return;
    struct core *core = core_open(*state);
    put_short_leases(core, "billing");
    put_short_leases(core, "audit");
    create(core, 1, 1);
    struct holding before = hold_one(core, "billing");
    clock_is_set_by_us = -HOUR_US;
    struct holding after = hold_one(core, "audit");
    assert_ends(core, "billing", before);
    assert_ends(core, "audit", after);
    core_close(core);
    clock_set_now_for_test(NULL);
}

static void they_do_in_a_core_that_starts_after_that(void **state)
{
    if (!clock_can_be_set())
        return;
    struct core *core = core_open(*state);
    put_short_leases(core, "billing");
    create(core, 1, 1);
    struct holding before = hold_one(core, "billing");
    core_close(core);
    clock_is_set_by_us = -HOUR_US;
    core = core_open(*state);
    assert_ends(core, "billing", before);
    core_close(core);
    clock_set_now_for_test(NULL);
}

/* As if their holder had been too slow. Nothing is lost, nor settled twice, and so when the clock
 * is set right again. */
static void leases_end_early_when_the_clock_is_set_forward(void **state)
{
    if (!clock_can_be_set())
        return;
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK); /* leases of 30 seconds */
    create(core, 1, 2);
    struct holding before = hold_one(core, "billing");
    clock_is_set_by_us = HOUR_US;
    struct holding tells = hold_one(core, "billing");
    struct holding again = hold_one(core, "billing");
    assert_int_equal(again.pull->pull.deliveries[0].attempt, 2);
    clock_is_set_by_us = 0;
    assert_int_equal(ack(core, "billing", before.pull, 0, 1), SETTLE_LOST);
    assert_int_equal(ack(core, "billing", tells.pull, 0, 1), SETTLE_DONE);
    assert_int_equal(ack(core, "billing", again.pull, 0, 1), SETTLE_DONE);
    assert_int_equal(figures_of(core, "billing").outstanding, 0);
    free_pull(before.pull);
    free_pull(tells.pull);
    free_pull(again.pull);
    core_close(core);
    clock_set_now_for_test(NULL);
}

int run_subscription_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(events_are_given_out_once_and_settled),
        WORLD_TEST(what_is_given_back_comes_again),
        WORLD_TEST(a_pull_waits_for_what_is_created),
        WORLD_TEST(two_cores_share_one),
        WORLD_TEST(a_core_that_starts_again_knows_all),
        WORLD_TEST(checkpoints_are_read),
        WORLD_TEST(who_fails_for_the_last_time_is_a_dead_letter),
        WORLD_TEST(a_seek_moves_the_position),
        WORLD_TEST(a_repeated_pull_gets_the_same),
        WORLD_TEST(a_paused_or_full_subscription_gives_nothing),
        WORLD_TEST(the_inbox_is_shared),
        WORLD_TEST(a_lease_ends),
        WORLD_TEST(who_asks_what_is_being_removed_is_answered),
        WORLD_TEST(what_was_removed_is_swept),
        WORLD_TEST(leases_end_though_the_clock_was_set_back),
        WORLD_TEST(they_do_in_a_core_that_starts_after_that),
        WORLD_TEST(leases_end_early_when_the_clock_is_set_forward),
    };
    return cmocka_run_group_tests_name("subscriptions", tests, NULL, NULL);
}
