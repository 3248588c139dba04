/* What subscriptions hold back: events of an ordering key while another one is out, and those whose
 * time of delivery has not come. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cores.h"

#define MANY_MS 3600000

/* One event for each letter, which is its key; "-": none. */
static void create_keyed(struct core *core, uint32_t first, const char *keys)
{
    size_t count = strlen(keys);
    struct store_item *events = calloc(count, sizeof(*events));
    for (size_t i = 0; i < count; i++) {
        events[i] = event_numbered(first + (uint32_t)i);
        if (keys[i] != '-')
            events[i].event.ordering_key = (struct slice){&keys[i], 1};
    }
    create_items(core, events, count);
    free(events);
}

static int64_t in_ms(int64_t ms)
{
    return clock_now_us() + ms * 1000;
}

static void create_delayed(struct core *core, uint32_t number, int64_t deliver_at_us,
                           const char *source)
{
    struct store_item item = event_numbered(number);
    item.event.deliver_at_us = deliver_at_us;
    item.event.source = slice_of(source);
    create_items(core, &item, 1);
}

static void assert_given(const struct waiting_pull *given, const char *sequences)
{
    char text[256] = "";
    size_t size = 0;
    for (size_t i = 0; i < given->pull.count && size < sizeof(text); i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%lld", i ? " " : "",
                                 (long long)given->pull.deliveries[i].event.sequence);
    assert_string_equal(text, sequences);
}

/* Pulls all that there is, and says what it must be. */
static struct waiting_pull *given(struct core *core, const char *name, const char *sequences)
{
    struct waiting_pull *pulled = pull(core, name, 100);
    assert_given(pulled, sequences);
    return pulled;
}

static void gives_nothing(struct core *core, const char *name)
{
    struct waiting_pull *none = given(core, name, "");
    assert_int_equal(none->pull.empty, PULL_NOTHING_NEW);
    free_pull(none);
}

/* Acknowledges the i-th delivery, after which others are given out. */
static struct waiting_pull *given_after(struct core *core, struct waiting_pull *of, size_t i,
                                        const char *sequences)
{
    assert_int_equal(ack(core, "billing", of, i, 1), SETTLE_DONE);
    return given(core, "billing", sequences);
}

static void put_keyed(struct core *core, bool blocks, uint32_t attempts)
{
    struct put_subscription keyed = EARLIEST;
    keyed.settings.by_key = true;
    keyed.settings.blocks_by_dead = blocks;
    keyed.settings.max_attempts = attempts;
    keyed.settings.lease_seconds = 3600;
    keyed.given = GIVEN_ORDERING | GIVEN_AFTER_DEAD | GIVEN_ATTEMPTS | GIVEN_LEASE;
    put(core, "billing", keyed, STATUS_OK);
}

static const struct settle FAILS = {.kind = SETTLE_NACK, .delay_ms = 0};

/* ---- keys ---- */

static void of_a_key_one_is_out(void **state)
{
    struct core *core = core_open(*state);
    put_keyed(core, false, 10);
    create_keyed(core, 1, "aabab-");
    struct waiting_pull *first = given(core, "billing", "1 3 6");
    gives_nothing(core, "billing");
    assert_int_equal(figures_of(core, "billing").position, 6);
    assert_int_equal(figures_of(core, "billing").outstanding, 3);
    assert_true(figures_of(core, "billing").backlog >= 2);
    struct waiting_pull *second = given_after(core, first, 0, "2");
    assert_slice(second->pull.deliveries[0].event.source, "crm", 3);
    assert_int_equal(second->pull.deliveries[0].attempt, 1);
    assert_int_equal(settle_some(core, "billing", second, 0, 1, FAILS).outcome, SETTLE_DONE);
    struct waiting_pull *again = given(core, "billing", "2");
    assert_int_equal(again->pull.deliveries[0].attempt, 2);
    create_keyed(core, 7, "ab-c");
    struct waiting_pull *others = given(core, "billing", "9 10");
    struct waiting_pull *fourth = given_after(core, again, 0, "4");
    struct waiting_pull *fifth = given_after(core, first, 1, "5");
    struct waiting_pull *seventh = given_after(core, fourth, 0, "7");
    struct waiting_pull *eighth = given_after(core, fifth, 0, "8");
    assert_int_equal(ack(core, "billing", first, 2, 1), SETTLE_DONE);
    assert_int_equal(ack(core, "billing", others, 0, 2), SETTLE_DONE);
    assert_int_equal(ack(core, "billing", seventh, 0, 1), SETTLE_DONE);
    assert_int_equal(ack(core, "billing", eighth, 0, 1), SETTLE_DONE);
    gives_nothing(core, "billing");
    struct subscription_figures figures = figures_of(core, "billing");
    assert_int_equal(figures.outstanding + (size_t)figures.backlog + figures.waiting, 0);
    struct waiting_pull *all[] = {first, second, again, others, fourth, fifth, seventh, eighth};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free_pull(all[i]);
    core_close(core);
}

/* Without an ordering, keys do not matter. */
static void keys_alone_hold_nothing_back(void **state)
{
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK);
    create_keyed(core, 1, "aaa");
    free_pull(given(core, "billing", "1 2 3"));
    core_close(core);
}

static void who_waits_gets_the_next_of_a_key(void **state)
{
    struct core *core = core_open(*state);
    struct waiting_pull waiting;
    put_keyed(core, false, 10);
    create_keyed(core, 1, "aa");
    struct waiting_pull *first = given(core, "billing", "1");
    start_pull(core, &waiting, "billing", 5, true);
    assert_int_equal(ack(core, "billing", first, 0, 1), SETTLE_DONE);
    await_done(&waiting.asked);
    assert_given(&waiting, "2");
    free_pull(first);
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

/* Which keys wait, and from where on, is in the ledger. */
static void keys_outlast_the_core(void **state)
{
    struct core *core = core_open(*state);
    put_keyed(core, false, 10);
    create_keyed(core, 1, "aaba");
    struct waiting_pull *first = given(core, "billing", "1 3");
    core_close(core);
    core = core_open(*state);
    gives_nothing(core, "billing");
    struct waiting_pull *second = given_after(core, first, 0, "2");
    core_close(core);
    core = core_open(*state);
    struct waiting_pull *fourth = given_after(core, second, 0, "4");
    free_pull(first);
    free_pull(second);
    free_pull(fourth);
    core_close(core);
}

/* Deliveries go through any core, and acknowledgements through the other one. */
static void cores_share_keys(void **state)
{
    enum { EVENTS = 210, KEYS = 7 };
    struct core *cores[2] = {core_open(*state), core_open(*state)};
    char keys[EVENTS + 1] = "";
    int64_t last[KEYS] = {0};
    int out[KEYS] = {0};
    for (int i = 0; i < EVENTS; i++)
        keys[i] = (char)('a' + i * i % KEYS);
    put_keyed(cores[0], false, 10);
    create_keyed(cores[0], 1, keys);
    int got = 0;
    for (int i = 0; got < EVENTS && i < 10 * EVENTS; i++) {
        struct waiting_pull *some = pull(cores[i % 2], "billing", 3);
        for (size_t j = 0; j < some->pull.count; j++) {
            int64_t sequence = some->pull.deliveries[j].event.sequence;
            int key = keys[sequence - 1] - 'a';
            assert_int_equal(out[key]++, 0);
            assert_true(sequence > last[key]);
            last[key] = sequence;
            got++;
        }
        for (size_t j = 0; j < some->pull.count; j++) {
            out[keys[some->pull.deliveries[j].event.sequence - 1] - 'a'] = 0;
            assert_int_equal(ack(cores[(i + 1) % 2], "billing", some, j, 1), SETTLE_DONE);
        }
        if (some->pull.count == 0)
            figures_of(cores[i % 2], "billing"); /* reads what the other one has settled */
        free_pull(some);
    }
    assert_int_equal(got, EVENTS);
    assert_int_equal(figures_of(cores[0], "billing").backlog, 0);
    core_close(cores[1]);
    core_close(cores[0]);
}

/* How often a core asked the store, of which this is the driver. */
static const struct store_driver *counted;
static atomic_int lists, walks, reads;

static enum store_result count_list(struct store_session *session, struct scope scope,
                                    struct store_list **pages, size_t count, struct status *status)
{
    lists++;
    return counted->list(session, scope, pages, count, status);
}

static enum store_result count_walk(struct store_session *session, struct scope scope,
                                    struct store_key_walk *walk, struct status *status)
{
    walks++;
    return counted->key_next(session, scope, walk, status);
}

static enum store_result count_read(struct store_session *session, struct scope scope,
                                    struct store_get **gets, size_t count, struct status *status)
{
    reads++;
    return counted->get(session, scope, gets, count, status);
}

static void begin_to_count(void)
{
    lists = walks = reads = 0;
}

/* The log is read over them once; then neither they nor what comes after them costs more. */
static void a_key_with_many_delays_no_other(void **state)
{
    enum { EVENTS = 10000, STEP = 1000 };
    struct world *world = *state;
    struct store *store = store_at(world->url);
    counted = store->driver;
    struct store_driver counts = *counted;
    counts.list = count_list;
    counts.key_next = count_walk;
    counts.get = count_read;
    store->driver = &counts;
    struct core *core = core_over(store);
    char keys[STEP + 1] = "";
    memset(keys, 'a', STEP);
    put_keyed(core, false, 10);
    for (uint32_t i = 0; i < EVENTS; i += STEP)
        create_keyed(core, i + 1, keys);
    create_keyed(core, EVENTS + 1, "bb");
    struct waiting_pull *first = pull(core, "billing", 1);
    assert_given(first, "1");
    begin_to_count();
    struct waiting_pull *other = pull(core, "billing", 1);
    assert_given(other, "10001");
    assert_true(lists <= EVENTS / STORE_LIST_MAX + 10);
    begin_to_count();
    struct waiting_pull *second = given_after(core, first, 0, "2");
    struct waiting_pull *beside = given_after(core, other, 0, "10002");
    assert_int_equal(walks, 1); /* the log had not been read up to 10002 */
    assert_int_equal(reads, 1);
    assert_true(lists <= 2);
    free_pull(first);
    free_pull(other);
    free_pull(second);
    free_pull(beside);
    core_stop(core);
    store->driver = counted; /* which closes its sessions */
    core_end(core);
}

static void a_dead_letter_lets_its_key_go_on(void **state)
{
    struct core *core = core_open(*state);
    put_keyed(core, false, 1);
    create_keyed(core, 1, "aaa");
    struct waiting_pull *first = given(core, "billing", "1");
    assert_int_equal(settle_some(core, "billing", first, 0, 1, FAILS).outcome, SETTLE_DONE);
    struct waiting_pull *second = given(core, "billing", "2");
    struct dead_letter_request redrive = {.redrive = true, .all = true};
    assert_int_equal(settle_letters(core, "billing", redrive).concerned, 1);
    gives_nothing(core, "billing"); /* the key is out */
    struct waiting_pull *again = given_after(core, second, 0, "1");
    struct waiting_pull *third = given_after(core, again, 0, "3");
    assert_int_equal(ack(core, "billing", third, 0, 1), SETTLE_DONE);
    gives_nothing(core, "billing");
    free_pull(first);
    free_pull(second);
    free_pull(again);
    free_pull(third);
    core_close(core);
}

/* Until it is given out again and settled, or removed, or does not block any more. */
static void a_dead_letter_blocks_its_key(void **state)
{
    struct core *core = core_open(*state);
    put_keyed(core, true, 1);
    create_keyed(core, 1, "aaaab");
    struct waiting_pull *first = given(core, "billing", "1 5");
    assert_int_equal(settle_some(core, "billing", first, 0, 2, FAILS).outcome, SETTLE_DONE);
    gives_nothing(core, "billing");
    assert_int_equal(ack(core, "billing", first, 0, 1), SETTLE_DONE); /* of a dead letter */
    gives_nothing(core, "billing");
    struct subscription_figures figures = figures_of(core, "billing");
    assert_int_equal(figures.dead_letters, 2);
    assert_int_equal(figures.outstanding + figures.waiting, 0);
    struct dead_letter_request redrive = {.redrive = true, .all = true};
    assert_int_equal(settle_letters(core, "billing", redrive).concerned, 2);
    struct waiting_pull *again = given(core, "billing", "1 5");
    struct waiting_pull *second = given_after(core, again, 0, "2");
    assert_int_equal(settle_some(core, "billing", second, 0, 1, FAILS).outcome, SETTLE_DONE);
    core_close(core);
    core = core_open(*state);
    gives_nothing(core, "billing");
    struct dead_letter_request bury = {.all = true};
    assert_int_equal(settle_letters(core, "billing", bury).concerned, 1);
    struct waiting_pull *third = given(core, "billing", "3");
    assert_int_equal(settle_some(core, "billing", third, 0, 1, FAILS).outcome, SETTLE_DONE);
    struct waiting_pull waiting;
    start_pull(core, &waiting, "billing", 5, true);
    put(core, "billing", (struct put_subscription){.given = GIVEN_AFTER_DEAD}, STATUS_OK);
    await_done(&waiting.asked);
    assert_given(&waiting, "4");
    assert_int_equal(figures_of(core, "billing").dead_letters, 1);
    arena_fini(&waiting.asked.arena);
    free_pull(first);
    free_pull(again);
    free_pull(second);
    free_pull(third);
    core_close(core);
}

static void dead_letters_that_block_count_as_outstanding(void **state)
{
    struct core *core = core_open(*state);
    struct put_subscription small = {.settings.max_outstanding = 1, .given = GIVEN_OUTSTANDING};
    put_keyed(core, true, 1);
    put(core, "billing", small, STATUS_OK);
    create_keyed(core, 1, "ab");
    struct waiting_pull *first = given(core, "billing", "1");
    assert_int_equal(settle_some(core, "billing", first, 0, 1, FAILS).outcome, SETTLE_DONE);
    struct waiting_pull *none = given(core, "billing", "");
    assert_int_equal(none->pull.empty, PULL_MAX_OUTSTANDING);
    settle_letters(core, "billing", (struct dead_letter_request){.all = true});
    free_pull(given(core, "billing", "2"));
    free_pull(first);
    free_pull(none);
    core_close(core);
}

/* What retention has removed meanwhile is left out. */
static void a_key_goes_on_after_an_event_that_is_gone(void **state)
{
    struct world *world = *state;
    struct core *core = core_open(world);
    put_keyed(core, false, 10);
    create_keyed(core, 1, "aaaa");
    struct waiting_pull *first = given(core, "billing", "1");
    database_execute(world->url, database_is_postgres()
                                     ? "delete from triggers.events where sequence in (2, 3)"
                                     : "delete from events where position in (2, 3)");
    struct waiting_pull waiting;
    start_pull(core, &waiting, "billing", 5, true);
    assert_int_equal(ack(core, "billing", first, 0, 1), SETTLE_DONE);
    await_done(&waiting.asked);
    assert_given(&waiting, "4");
    free_pull(first);
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

static void a_seek_forgets_which_keys_wait(void **state)
{
    struct core *core = core_open(*state);
    put_keyed(core, false, 10);
    create_keyed(core, 1, "aab");
    free_pull(given(core, "billing", "1 3"));
    seek(core, "billing", (struct start){START_SEQUENCE, 2}, false);
    free_pull(given(core, "billing", "2 3"));
    core_close(core);
}

/* ---- times ---- */

static void an_event_waits_for_its_time(void **state)
{
    struct core *core = core_open(*state);
    struct waiting_pull waiting;
    int64_t due_us = in_ms(300);
    put(core, "billing", EARLIEST, STATUS_OK);
    create_delayed(core, 1, due_us, "crm");
    create(core, 2, 1);
    free_pull(given(core, "billing", "2"));
    assert_int_equal(figures_of(core, "billing").delayed, 1);
    assert_int_equal(figures_of(core, "billing").backlog, 0);
    start_pull(core, &waiting, "billing", 5, true);
    await_done(&waiting.asked);
    assert_true(clock_now_us() >= due_us);
    assert_given(&waiting, "1");
    assert_slice(waiting.pull.deliveries[0].event.source, "crm", 3);
    assert_int_equal(figures_of(core, "billing").delayed, 0);
    assert_int_equal(ack(core, "billing", &waiting, 0, 1), SETTLE_DONE);
    gives_nothing(core, "billing");
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

/* In the order of their times, by any core, each once, whatever core was there when they were
 * passed.
 */
static void cores_share_times(void **state)
{
    enum { EVENTS = 60 };
    struct core *cores[2] = {core_open(*state), core_open(*state)};
    bool seen[EVENTS + 1] = {false};
    int64_t due_us[EVENTS + 1];
    put(cores[0], "billing", EARLIEST, STATUS_OK);
    for (uint32_t i = 1; i <= EVENTS; i++)
        create_delayed(cores[i % 2], i, due_us[i] = in_ms((i * 37 % EVENTS) * 8), "crm");
    int got = 0;
    while (got < EVENTS) {
        struct waiting_pull waiting;
        start_pull(cores[got % 2], &waiting, "billing", 7, true);
        await_done(&waiting.asked);
        for (size_t i = 0; i < waiting.pull.count; i++) {
            int64_t sequence = waiting.pull.deliveries[i].event.sequence;
            assert_false(seen[sequence]);
            seen[sequence] = true;
            assert_true(clock_now_us() >= due_us[sequence]);
            got++;
        }
        arena_fini(&waiting.asked.arena);
    }
    core_close(cores[1]);
    core_close(cores[0]);
}

/* Those that a new subscription finds in the log are given out at once if their time has come;
 * after another start of the core the others are known. */
static void times_outlast_the_core(void **state)
{
    struct core *core = core_open(*state);
    int64_t due_us = in_ms(2000);
    create_delayed(core, 1, in_ms(-1000), "crm");
    create_delayed(core, 2, in_ms(MANY_MS), "crm");
    create_delayed(core, 3, due_us, "crm");
    put(core, "billing", EARLIEST, STATUS_OK);
    free_pull(given(core, "billing", "1"));
    core_close(core);
    core = core_open(*state);
    assert_int_equal(figures_of(core, "billing").delayed, 2);
    struct waiting_pull waiting;
    start_pull(core, &waiting, "billing", 5, true);
    await_done(&waiting.asked);
    assert_true(clock_now_us() >= due_us);
    assert_given(&waiting, "3");
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

static void times_follow_the_filter(void **state)
{
    struct core *core = core_open(*state);
    const struct slice source = slice_of("crm");
    struct put_subscription some = EARLIEST;
    struct waiting_pull waiting;
    some.settings.filter = (struct store_filter){.sources = &source, .source_count = 1};
    some.given = GIVEN_FILTER;
    put(core, "billing", some, STATUS_OK);
    create_delayed(core, 1, in_ms(100), "web");
    create_delayed(core, 2, in_ms(200), "crm");
    start_pull(core, &waiting, "billing", 5, true);
    await_done(&waiting.asked);
    assert_given(&waiting, "2");
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

/* Back over events whose time has come, and forward over one that waits. */
static void times_after_a_seek(void **state)
{
    struct core *core = core_open(*state);
    put(core, "billing", EARLIEST, STATUS_OK);
    create_delayed(core, 1, in_ms(-1000), "crm");
    create_delayed(core, 2, in_ms(MANY_MS), "crm");
    free_pull(given(core, "billing", "1"));
    seek(core, "billing", (struct start){.kind = START_EARLIEST}, false);
    free_pull(given(core, "billing", "1"));
    assert_int_equal(figures_of(core, "billing").delayed, 1);
    seek(core, "billing", (struct start){.kind = START_LATEST}, false);
    assert_int_equal(figures_of(core, "billing").delayed, 0);
    gives_nothing(core, "billing");
    core_close(core);
}

static void of_the_inbox_what_is_acknowledged_before_its_time_is_left_out(void **state)
{
    struct world *world = *state;
    struct core *core = core_open(world);
    struct waiting_pull waiting;
    create_delayed(core, 1, in_ms(200), "crm");
    create_delayed(core, 2, in_ms(250), "crm");
    create(core, 3, 1);
    free_pull(given(core, "inbox", "3"));
    ack_up_to(world, 1, 1, 1);
    start_pull(core, &waiting, "inbox", 5, true);
    await_done(&waiting.asked);
    assert_given(&waiting, "2");
    arena_fini(&waiting.asked.arena);
    core_close(core);
}

int run_order_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(of_a_key_one_is_out),
        WORLD_TEST(keys_alone_hold_nothing_back),
        WORLD_TEST(who_waits_gets_the_next_of_a_key),
        WORLD_TEST(keys_outlast_the_core),
        WORLD_TEST(cores_share_keys),
        WORLD_TEST(a_key_with_many_delays_no_other),
        WORLD_TEST(a_dead_letter_lets_its_key_go_on),
        WORLD_TEST(a_dead_letter_blocks_its_key),
        WORLD_TEST(dead_letters_that_block_count_as_outstanding),
        WORLD_TEST(a_key_goes_on_after_an_event_that_is_gone),
        WORLD_TEST(a_seek_forgets_which_keys_wait),
        WORLD_TEST(an_event_waits_for_its_time),
        WORLD_TEST(cores_share_times),
        WORLD_TEST(times_outlast_the_core),
        WORLD_TEST(times_follow_the_filter),
        WORLD_TEST(times_after_a_seek),
        WORLD_TEST(of_the_inbox_what_is_acknowledged_before_its_time_is_left_out),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
