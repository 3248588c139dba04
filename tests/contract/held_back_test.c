/* Events that are held back: those that have a time, and the next ones of ordering keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define OTHER ((struct scope){.tenant = 7})

static struct store_delayed delayed_page(struct world *world, struct store_delayed delayed)
{
    struct status status = STATUS_INIT;
    delayed.arena = delayed.arena ? delayed.arena : &world->arena;
    delayed.max_bytes = delayed.max_bytes ? delayed.max_bytes : SIZE_MAX;
    delayed.limit = delayed.limit ? delayed.limit : STORE_LIST_MAX;
    if (world->store->driver->delayed(world->reader, world->scope, &delayed, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return delayed;
}

/* All times, all sequences. */
static struct store_delayed all_delayed(void)
{
    return (struct store_delayed){
        .after_us = INT64_MIN, .until_us = INT64_MAX, .to_sequence = INT64_MAX, .counts = true};
}

static void walk_keys(struct world *world, struct store_key_walk *walk)
{
    struct status status = STATUS_INIT;
    for (size_t i = 0; i < walk->count; i++)
        walk->keys[i].next = -1;
    if (world->store->driver->key_next(world->reader, world->scope, walk, &status) != STORE_OK)
        fail_msg("%s", status.message);
}

/* The first event of the key after the sequence. */
static int64_t next_of(struct world *world, const char *key, int64_t after)
{
    struct store_key_next next = {.key = store_key_of(slice_of(key)), .after = after};
    struct store_key_walk walk = {.keys = &next, .count = 1, .to = INT64_MAX};
    walk_keys(world, &walk);
    return next.next;
}

static void append_delayed(struct world *world, uint32_t number, int64_t deliver_at_us)
{
    struct store_item append = event_numbered(number);
    append.event.deliver_at_us = deliver_at_us;
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);
}

static void append_of_key(struct world *world, uint32_t number, const char *key)
{
    struct store_item append = event_numbered(number);
    append.event.ordering_key = slice_of(key);
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);
}

/* ---- both, against a model ---- */

#define EVENTS 700 /* several blocks, the last of them not full */
#define KEYS 5

struct model {
    unsigned seed;
    struct model_event {
        int64_t deliver_at_us;
        uint32_t key; /* 0: none */
        bool acknowledged;
    } events[EVENTS + 1]; /* by sequence, which is the number, too */
};

static const char *const KEY_NAMES[KEYS] = {"", "a", "b", "c", "d"};

static uint32_t below(struct model *model, uint32_t bound)
{
    return (uint32_t)rand_r(&model->seed) % bound;
}

static const char *source_of(int64_t sequence)
{
    return sequence % 3 ? "crm" : "shop";
}

static void fill(struct world *world, struct model *model)
{
    struct store_item appends[EVENTS], acks[EVENTS];
    size_t ack_count = 0;
    for (uint32_t i = 1; i <= EVENTS; i++) {
        struct model_event *event = &model->events[i];
        event->key = below(model, KEYS);
        if (below(model, 3) == 0)
            event->deliver_at_us = NOON + 1 + below(model, 40);
        event->acknowledged = below(model, 4) == 0;
        appends[i - 1] = event_numbered(i);
        appends[i - 1].event.source = slice_of(source_of(i));
        appends[i - 1].event.ordering_key = slice_of(KEY_NAMES[event->key]);
        appends[i - 1].event.deliver_at_us = event->deliver_at_us;
        if (event->acknowledged)
            acks[ack_count++] = ack_numbered(i, NOON + 1);
    }
    append_items(world, appends, EVENTS);
    ack_items(world, acks, ack_count);
}

/* After the one place and up to the other, both of a time and a sequence. */
static bool is_between(int64_t us, int64_t sequence, const struct store_delayed *delayed)
{
    return (us > delayed->after_us ||
            (us == delayed->after_us && sequence > delayed->after_sequence)) &&
           us <= delayed->until_us;
}

static bool passes(const struct model *model, int64_t sequence, bool pending,
                   const struct store_filter *filter)
{
    struct slice source = slice_of(source_of(sequence));
    return (!pending || !model->events[sequence].acknowledged) &&
           store_filter_fits(filter->sources, filter->source_count, source);
}

/* What the next page has to begin with; 0: nothing. */
static int64_t expected_next(const struct model *model, const struct store_delayed *delayed)
{
    int64_t found = 0;
    for (int64_t i = 1; i <= EVENTS; i++) {
        int64_t us = model->events[i].deliver_at_us;
        if (us != 0 && i > delayed->from_sequence && i <= delayed->to_sequence &&
            is_between(us, i, delayed) && passes(model, i, delayed->pending, &delayed->filter) &&
            (found == 0 || us < model->events[found].deliver_at_us))
            found = i;
    }
    return found;
}

static void check_rest(const struct model *model, const struct store_delayed *page)
{
    int64_t next_us = INT64_MAX, total = 0;
    struct store_delayed later = *page;
    later.until_us = INT64_MAX;
    for (int64_t i = page->from_sequence + 1; i <= EVENTS && i <= page->to_sequence; i++) {
        int64_t us = model->events[i].deliver_at_us;
        total += us != 0 && is_between(us, i, &later);
        if (us > page->until_us && us < next_us)
            next_us = us;
    }
    if (!page->more)
        assert_int_equal(page->next_us, next_us);
    assert_int_equal(page->total, total);
}

/* From page to page, until there is no more. */
static void check_delayed(struct world *world, struct model *model, struct store_delayed delayed)
{
    for (bool on = true; on;) {
        arena_reset(&world->arena);
        delayed.limit = below(model, 2) ? 1 + below(model, 60) : 60 + below(model, 100);
        struct store_delayed page = delayed_page(world, delayed);
        check_rest(model, &page);
        for (size_t i = 0; i < page.count; i++) {
            const struct store_event *event = &page.events[i];
            assert_int_equal(event->sequence, expected_next(model, &delayed));
            const struct model_event *expected = &model->events[event->sequence];
            assert_int_equal(event->deliver_at_us, expected->deliver_at_us);
            assert_int_equal(event->acknowledged_at_us != 0, expected->acknowledged);
            assert_slice(event->source, source_of(event->sequence),
                         strlen(source_of(event->sequence)));
            assert_slice(event->ordering_key, KEY_NAMES[expected->key],
                         strlen(KEY_NAMES[expected->key]));
            assert_slice(event->payload, "{\"a\": 1.0}", 10);
            delayed.after_us = event->deliver_at_us;
            delayed.after_sequence = event->sequence;
        }
        assert_true(page.count == page.limit || !page.more);
        on = page.more;
    }
    assert_int_equal(expected_next(model, &delayed), 0);
}

static void check_keys(struct world *world, struct model *model, struct store_key_walk walk)
{
    struct store_key_next keys[KEYS];
    walk.keys = keys;
    walk.count = below(model, KEYS); /* those of the names from 1 on */
    for (size_t i = 0; i < walk.count; i++)
        keys[i] = (struct store_key_next){.key = store_key_of(slice_of(KEY_NAMES[i + 1])),
                                          .after = below(model, EVENTS + 20)};
    walk_keys(world, &walk);
    for (size_t i = 0; i < walk.count; i++) {
        int64_t next = 0;
        for (int64_t j = keys[i].after + 1; j <= EVENTS && j <= walk.to && next == 0; j++)
            if (model->events[j].key == i + 1 && passes(model, j, walk.pending, &walk.filter))
                next = j;
        assert_int_equal(keys[i].next, next);
    }
}

static void both_agree_with_a_model(void **state)
{
    struct world *world = *state;
    const char *chosen = getenv("TRIGGERS_TEST_SEED");
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->seed = chosen ? (unsigned)atoi(chosen) : 20261130;
    printf("seed %u\n", model->seed);
    fill(world, model);
    for (int i = 0; i < 60; i++) {
        static const char *const patterns[] = {"crm", "shop", "s*", "none", "*"};
        struct slice names[2] = {slice_of(patterns[below(model, 5)]),
                                 slice_of(patterns[below(model, 5)])};
        struct store_filter filter = {.sources = names,
                                      .source_count = below(model, 2) ? below(model, 3) : 0};
        check_delayed(world, model,
                      (struct store_delayed){
                          .after_us = NOON + below(model, 20),
                          .after_sequence = below(model, EVENTS),
                          .until_us = NOON + 20 + below(model, 25),
                          .from_sequence = below(model, 2) ? below(model, EVENTS) : 0,
                          .to_sequence = EVENTS / 2 + below(model, EVENTS),
                          .filter = filter,
                          .pending = below(model, 2),
                          .counts = true,
                      });
        check_keys(world, model,
                   (struct store_key_walk){.to = EVENTS / 2 + below(model, EVENTS),
                                           .filter = filter,
                                           .pending = below(model, 2)});
    }
    free(model);
}

/* ---- until their time ---- */

static void many_of_one_time_come_by_their_sequences(void **state)
{
    struct world *world = *state;
    struct store_item appends[1500];
    for (uint32_t i = 0; i < 1500; i++) {
        appends[i] = event_numbered(i + 1);
        appends[i].event.deliver_at_us = NOON + 5;
    }
    append_items(world, appends, 1500);
    struct store_delayed next = all_delayed();
    next.until_us = NOON + 5;
    struct store_delayed page = delayed_page(world, next);
    assert_int_equal(page.count, STORE_LIST_MAX);
    assert_true(page.more);
    assert_int_equal(page.total, 1500);
    for (size_t i = 0; i < page.count; i++)
        assert_int_equal(page.events[i].sequence, i + 1);
    next.after_us = NOON + 5;
    next.after_sequence = STORE_LIST_MAX;
    page = delayed_page(world, next);
    assert_int_equal(page.count, 500);
    assert_false(page.more);
    assert_int_equal(page.events[0].sequence, STORE_LIST_MAX + 1);
    assert_int_equal(page.next_us, INT64_MAX);
    assert_int_equal(page.total, 500);
}

/* Each limit in each of the ways in which a page is cut. */
static void a_page_ends_before_so_many_bytes(void **state)
{
    struct world *world = *state;
    for (uint32_t i = 1; i <= 4; i++)
        append_delayed(world, i, NOON + i); /* payloads of 10 bytes */
    static const uint32_t limits[] = {10, STORE_LIST_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct store_delayed next = all_delayed();
        next.limit = limits[i];
        next.max_bytes = 20;
        struct store_delayed page = delayed_page(world, next);
        assert_int_equal(page.count, 2);
        assert_true(page.more);
        next.max_bytes = 1;
        page = delayed_page(world, next);
        assert_int_equal(page.count, 1);
        assert_true(page.more);
        next.max_bytes = 40;
        page = delayed_page(world, next);
        assert_int_equal(page.count, 4);
        assert_false(page.more);
    }
    struct store_delayed next = all_delayed();
    next.limit = 4;
    assert_false(delayed_page(world, next).more);
    next.limit = 3;
    assert_true(delayed_page(world, next).more);
}

static void an_arena_that_is_full_is_told(void **state)
{
    struct world *world = *state;
    append_delayed(world, 1, NOON);
    append_delayed(world, 2, NOON);
    struct arena arena;
    struct store_delayed next = all_delayed();
    next.arena = &arena;
    arena_init(&arena, 1);
    assert_true(delayed_page(world, next).no_memory);
    arena_fini(&arena);
}

static void any_time_and_sequence_may_be_asked_for(void **state)
{
    struct world *world = *state;
    append_delayed(world, 1, INT64_MAX);
    append_delayed(world, 2, -1);
    append_delayed(world, 3, 1);
    append_numbers(world, 4, 1);
    struct store_delayed all = all_delayed();
    struct store_delayed page = delayed_page(world, all);
    assert_int_equal(page.count, 3);
    assert_int_equal(page.events[0].sequence, 2);
    assert_int_equal(page.events[0].deliver_at_us, -1);
    assert_int_equal(page.events[2].sequence, 1);
    assert_int_equal(page.events[2].deliver_at_us, INT64_MAX);
    assert_int_equal(page.next_us, INT64_MAX);
    assert_int_equal(page.total, 3);

    struct store_delayed none = all;
    none.until_us = INT64_MIN;
    page = delayed_page(world, none);
    assert_int_equal(page.count, 0);
    assert_int_equal(page.next_us, -1);

    none = all;
    none.after_us = none.after_sequence = INT64_MAX;
    page = delayed_page(world, none);
    assert_int_equal(page.count, 0);
    assert_int_equal(page.total, 0);

    all.from_sequence = all.after_sequence = INT64_MIN;
    assert_int_equal(delayed_page(world, all).count, 3);
    none = all;
    none.from_sequence = INT64_MAX;
    assert_int_equal(delayed_page(world, none).count, 0);
    none = all;
    none.to_sequence = INT64_MIN;
    page = delayed_page(world, none);
    assert_int_equal(page.count, 0);
    assert_int_equal(page.total, 0);
    assert_int_equal(page.next_us, INT64_MAX);
}

static void so_many_are_counted(void **state)
{
    struct world *world = *state;
    struct store_item appends[1000];
    for (uint32_t i = 0; i < STORE_DELAYED_COUNT / 1000; i++) {
        for (uint32_t j = 0; j < 1000; j++) {
            appends[j] = event_numbered(1000 * i + j);
            appends[j].event.deliver_at_us = NOON + 1000 * i + j;
        }
        append_items(world, appends, 1000);
    }
    struct store_delayed all = all_delayed();
    all.limit = 1;
    assert_int_equal(delayed_page(world, all).total, STORE_DELAYED_COUNT);
    append_delayed(world, STORE_DELAYED_COUNT, NOON);
    assert_int_equal(delayed_page(world, all).total, STORE_DELAYED_COUNT);
    all.from_sequence = 2;
    assert_int_equal(delayed_page(world, all).total, STORE_DELAYED_COUNT - 1);
}

static void remove_event(struct world *world, int64_t sequence)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "delete from %s = %d",
             database_is_postgres() ? "triggers.events where tenant_id = 0 and sequence"
                                    : "events where position",
             (int)sequence);
    database_execute(world->url, sql);
}

static void erase_event(struct world *world, uint32_t number)
{
    struct store_item erase = ack_numbered(number, 0);
    erase.kind = STORE_ERASE;
    ack_items(world, &erase, 1);
    assert_int_equal(erase.outcome, STORE_DONE);
}

static void what_was_removed_is_not_held_back_and_what_was_erased_is(void **state)
{
    struct world *world = *state;
    for (uint32_t i = 1; i <= 4; i++) {
        struct store_item append = event_numbered(i);
        append.event.deliver_at_us = NOON + i;
        append.event.ordering_key = slice_of("key");
        append_items(world, &append, 1);
    }
    erase_event(world, 2);
    remove_event(world, 1);
    remove_event(world, 4);
    struct store_delayed all = all_delayed();
    struct store_delayed page = delayed_page(world, all);
    assert_int_equal(page.count, 2);
    assert_int_equal(page.total, 2);
    assert_int_equal(page.events[0].sequence, 2);
    assert_int_equal(page.events[0].payload.size, 0);
    assert_slice(page.events[0].ordering_key, "key", 3);
    all.until_us = NOON;
    assert_int_equal(delayed_page(world, all).next_us, NOON + 2);
    assert_int_equal(next_of(world, "key", 0), 2);
    assert_int_equal(next_of(world, "key", 3), 0);
}

static void what_is_held_back_is_of_its_tenant(void **state)
{
    struct world *world = *state;
    append_delayed(world, 1, NOON + 9);
    append_of_key(world, 2, "a");
    world->scope = OTHER;
    append_of_key(world, 1, "a");
    append_of_key(world, 2, "b");
    append_delayed(world, 3, NOON + 8);
    struct store_delayed next = all_delayed();
    struct store_delayed page = delayed_page(world, next);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.total, 1);
    assert_int_equal(page.events[0].sequence, 3);
    assert_int_equal(next_of(world, "a", 0), 1);
    assert_int_equal(next_of(world, "b", 0), 2);
    next.until_us = NOON;
    assert_int_equal(delayed_page(world, next).next_us, NOON + 8);

    world->scope = SCOPE_DEFAULT;
    page = delayed_page(world, next);
    assert_int_equal(page.count, 0);
    assert_int_equal(page.next_us, NOON + 9);
    assert_int_equal(page.total, 1);
    assert_int_equal(next_of(world, "a", 0), 2);
    assert_int_equal(next_of(world, "b", 0), 0);
}

/* ---- after others of their key ---- */

static void the_next_one_of_a_key_is_found(void **state)
{
    struct world *world = *state;
    char longest[STORE_ORDERING_KEY_MAX + 1] = {0};
    memset(longest, 'k', STORE_ORDERING_KEY_MAX);
    append_numbers(world, 1, 1);
    append_of_key(world, 2, longest);
    longest[0] = 'K'; /* another key */
    append_of_key(world, 3, longest);
    append_of_key(world, 4, longest);
    assert_int_equal(next_of(world, longest, INT64_MIN), 3);
    assert_int_equal(next_of(world, longest, 2), 3);
    assert_int_equal(next_of(world, longest, 3), 4);
    assert_int_equal(next_of(world, longest, 4), 0);
    assert_int_equal(next_of(world, longest, INT64_MAX), 0);
    assert_int_equal(next_of(world, "never", 0), 0);
    struct store_key_next key = {.key = store_key_of(slice_of(longest))};
    struct store_key_walk walk = {.keys = &key, .count = 1, .to = 2};
    walk_keys(world, &walk);
    assert_int_equal(key.next, 0);
    walk.to = INT64_MIN;
    walk_keys(world, &walk);
    assert_int_equal(key.next, 0);
}

/* Who stores a hash of his own finds the same event by both names. */
static void keys_of_one_hash_are_one_key(void **state)
{
    struct world *world = *state;
    append_of_key(world, 1, "a");
    append_of_key(world, 2, "b");
    char sql[160];
    snprintf(sql, sizeof(sql), "update %s set ordering_hash = %lld where ordering_key = 'b'",
             database_is_postgres() ? "triggers.events" : "events",
             (long long)store_key_of(slice_of("a")));
    database_execute(world->url, sql);
    assert_int_equal(next_of(world, "a", 0), 1);
    assert_int_equal(next_of(world, "a", 1), 2);
    assert_int_equal(next_of(world, "b", 0), 0);
    assert_slice(get_number(world, 2).ordering_key, "b", 1);
}

static void so_many_keys_are_looked_for_at_once(void **state)
{
    struct world *world = *state;
    struct store_item appends[1000];
    struct store_key_next keys[STORE_LIST_MAX];
    char names[1000][8];
    for (uint32_t i = 0; i < 1000; i++) {
        appends[i] = event_numbered(i + 1);
        snprintf(names[i], sizeof(names[i]), "%u", i);
        appends[i].event.ordering_key = slice_of(names[i]);
        keys[999 - i].key = store_key_of(slice_of(names[i]));
        keys[999 - i].after = i % 2 ? i : i + 1;
    }
    append_items(world, appends, 1000);
    struct store_key_walk walk = {.keys = keys, .count = STORE_LIST_MAX, .to = 1000};
    walk_keys(world, &walk);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(keys[999 - i].next, i % 2 ? i + 1 : 0);
}

/* They are stored. */
static void hashes_of_keys_never_change(void **state)
{
    (void)state;
    assert_true(store_key_of(slice_of("")) == 0);
    assert_true(store_key_of(slice_of("a")) == UINT64_C(0x6ec69a597ccf65fe));
    assert_true(store_key_of(slice_of("order-4711")) == UINT64_C(0xcbb85e9796d5257e));
    assert_true(store_key_of(slice_of("gr\xc3\xbc\xc3\x9f")) == UINT64_C(0xe314dfd103dbd1fc));
}

int run_held_back_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(both_agree_with_a_model),
        WORLD_TEST(many_of_one_time_come_by_their_sequences),
        WORLD_TEST(a_page_ends_before_so_many_bytes),
        WORLD_TEST(an_arena_that_is_full_is_told),
        WORLD_TEST(any_time_and_sequence_may_be_asked_for),
        WORLD_TEST(so_many_are_counted),
        WORLD_TEST(what_was_removed_is_not_held_back_and_what_was_erased_is),
        WORLD_TEST(what_is_held_back_is_of_its_tenant),
        WORLD_TEST(the_next_one_of_a_key_is_found),
        WORLD_TEST(keys_of_one_hash_are_one_key),
        WORLD_TEST(so_many_keys_are_looked_for_at_once),
        cmocka_unit_test(hashes_of_keys_never_change),
    };
    return cmocka_run_group_tests_name("held_back", tests, NULL, NULL);
}
