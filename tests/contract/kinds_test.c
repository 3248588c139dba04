/* The kinds of a tenant's events: numbered as they first came, paged, added by several at once. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

/* Event `number` of the kind `kind`. */
static struct store_item event_of_kind(uint32_t number, uint32_t kind, char name[16])
{
    struct store_item append = event_numbered(number);
    snprintf(name, 16, "k%05u", kind);
    append.event.source = slice_of(name);
    return append;
}

static void assert_kind(const struct store_named_kind *kind, int32_t number, const char *source,
                        const char *type)
{
    assert_int_equal(kind->number, number);
    assert_slice(kind->source, source, strlen(source));
    assert_slice(kind->type, type, strlen(type));
}

static void are_numbered_as_they_first_came(void **state)
{
    struct world *world = *state;
    assert_int_equal(kinds_page(world, 0, 10).count, 0);
    assert_false(kinds_page(world, 0, 10).more);
    static const char *const pairs[][2] = {{"b", "y"}, {"a", "y"}, {"b", "y"}, {"", "x"},
                                           {"x", ""},  {"a", "y"}, {"b", "Y"}, {"b y", "y"}};
    struct store_item appends[8];
    for (uint32_t i = 0; i < 8; i++) {
        appends[i] = event_numbered(i + 1);
        appends[i].event.source = slice_of(pairs[i][0]);
        appends[i].event.type = slice_of(pairs[i][1]);
    }
    for (size_t i = 0; i < 8; i++)
        append_items(world, appends, i + 1);
    struct store_kinds page = kinds_page(world, 0, 10);
    assert_int_equal(page.count, 6);
    assert_false(page.more);
    static const size_t firsts[] = {0, 1, 3, 4, 6, 7};
    for (size_t i = 0; i < 6; i++)
        assert_kind(&page.kinds[i], (int32_t)i + 1, pairs[firsts[i]][0], pairs[firsts[i]][1]);

    world->scope = (struct scope){.tenant = 7};
    assert_int_equal(kinds_page(world, 0, 10).count, 0);
    append_numbers(world, 1, 2);
    page = kinds_page(world, 0, 10);
    assert_int_equal(page.count, 1);
    assert_kind(&page.kinds[0], 1, "crm", "lead.created");
}

/* What is not stored adds none, and what was acknowledged keeps its kind. */
static void stay_and_come_with_events(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    char names[2][16];
    struct store_item appends[2] = {event_of_kind(1, 1, names[0]), event_of_kind(2, 2, names[1])};
    append_items(world, appends, 1);
    assert_int_equal(appends[0].outcome, STORE_CONFLICT);
    struct store_kinds page = kinds_page(world, 0, 10);
    assert_true(page.count >= 1); /* a kind that only a conflict named does no harm */
    assert_kind(&page.kinds[0], 1, "crm", "lead.created");
    append_items(world, appends, 2);
    ack_up_to(world, 1, 2, 1);
    page = kinds_page(world, 0, 10);
    assert_slice(page.kinds[page.count - 1].source, "k00002", 6);
}

static void are_paged_above_a_thousand(void **state)
{
    enum { KINDS = 2300, BATCH = 230 };
    struct world *world = *state;
    static char names[BATCH][16];
    struct store_item appends[BATCH];
    for (uint32_t i = 0; i < KINDS; i++) {
        appends[i % BATCH] = event_of_kind(i, i, names[i % BATCH]);
        if (i % BATCH == BATCH - 1)
            append_items(world, appends, BATCH);
    }
    static const uint32_t limits[] = {1, 999, 1000, 77, 300};
    int32_t after = 0;
    for (size_t i = 0; after < KINDS; i++) {
        struct store_kinds page = kinds_page(world, after, limits[i % 5]);
        assert_true(page.count > 0 && page.count <= limits[i % 5]);
        for (size_t j = 0; j < page.count; j++) {
            char name[16];
            snprintf(name, sizeof(name), "k%05d", after);
            assert_kind(&page.kinds[j], ++after, name, "lead.created");
        }
        assert_int_equal(page.more, after < KINDS);
        assert_true(page.count == limits[i % 5] || !page.more);
    }
    assert_int_equal(after, KINDS);
    assert_int_equal(kinds_page(world, KINDS, 5).count, 0);
    assert_int_equal(kinds_page(world, INT32_MAX, 5).count, 0);

    /* Filters find them, from the first to the last. */
    for (uint32_t i = 0; i < KINDS; i += 209) {
        char name[16];
        snprintf(name, sizeof(name), "k%05u", i);
        struct slice source = slice_of(name);
        struct store_list page = list_page(
            world,
            (struct store_list){.limit = 5, .filter = {.sources = &source, .source_count = 1}});
        assert_int_equal(page.count, 1);
        assert_int_equal(id_number(page.events[0].id), i);
    }
    struct slice all = slice_of("k*");
    struct store_list list = {.set = STORE_LOG,
                              .oldest_first = true,
                              .limit = 1000,
                              .filter = {.sources = &all, .source_count = 1}};
    size_t found = 0;
    for (int64_t before = -1; before < list.after;) {
        struct store_list page = list_page(world, list);
        found += page.count;
        before = list.after;
        list.after = page.read_to;
    }
    assert_int_equal(found, KINDS);
}

static void what_does_not_fit_the_arena_is_said(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct arena small;
    arena_init(&small, 8);
    struct store_kinds kinds = {.limit = 5, .arena = &small};
    struct status status = STATUS_INIT;
    assert_int_equal(world->store->driver->kinds(world->reader, world->scope, &kinds, &status),
                     STORE_OK);
    assert_true(kinds.no_memory);
    arena_fini(&small);
    assert_false(kinds_page(world, 0, 5).no_memory);
}

/* ---- several sessions add the same new kinds ---- */

enum { ADDERS = 4, ROUNDS = 40, EACH = 5 };

struct adder {
    struct world *world;
    uint32_t number;
    pthread_barrier_t *start;
    enum store_result result;
    struct status status;
};

/* One batch of the events of one round; each adder's begins with another kind. */
static enum store_result add_round(struct adder *adder, struct store_session *session,
                                   uint32_t round)
{
    const struct store_driver *driver = adder->world->store->driver;
    char names[EACH][16];
    struct store_item appends[EACH];
    struct store_item *items[EACH];
    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t number = (adder->number * ROUNDS + round) * EACH + i;
        appends[i] = event_of_kind(number, round * EACH + (i + adder->number) % EACH, names[i]);
        items[i] = &appends[i];
    }
    enum store_result result;
    struct store_write batch = {items, EACH};
    int tries = 0;
    do
        result = driver->write(session, SCOPE_DEFAULT, &batch, &adder->status);
    while ((result == STORE_RETRY || result == STORE_LOCKED) && ++tries < 100);
    return result;
}

static void *add(void *context)
{
    struct adder *adder = context;
    struct store_session *session = NULL;
    adder->result = session_at(adder->world, &session, &adder->status);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(adder->start);
        if (adder->result == STORE_OK)
            adder->result = add_round(adder, session, round);
    }
    adder->world->store->driver->session_close(session);
    return NULL;
}

static void are_added_by_several_at_once(void **state)
{
    struct world *world = *state;
    struct adder adders[ADDERS];
    pthread_t threads[ADDERS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, ADDERS);
    for (uint32_t i = 0; i < ADDERS; i++) {
        adders[i] = (struct adder){.world = world, .number = i, .start = &start};
        assert_int_equal(pthread_create(&threads[i], NULL, add, &adders[i]), 0);
    }
    for (size_t i = 0; i < ADDERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (size_t i = 0; i < ADDERS; i++)
        if (adders[i].result != STORE_OK)
            fail_msg("%s", adders[i].status.message);

    struct store_kinds kinds = kinds_page(world, 0, 1000);
    assert_int_equal(kinds.count, ROUNDS * EACH); /* each once */
    for (size_t i = 1; i < kinds.count; i++)
        assert_true(kinds.kinds[i].number > kinds.kinds[i - 1].number);
    struct store_list page = list_page(
        world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 1000});
    assert_int_equal(page.count, ADDERS * ROUNDS * EACH);
    for (size_t i = 0; i < page.count; i++) {
        uint32_t number = id_number(page.events[i].id);
        char name[16];
        (void)event_of_kind(
            number, number / EACH % ROUNDS * EACH + (number % EACH + number / EACH / ROUNDS) % EACH,
            name);
        assert_slice(page.events[i].source, name, strlen(name));
    }
}

int run_kinds_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(are_numbered_as_they_first_came),
        WORLD_TEST(stay_and_come_with_events),
        WORLD_TEST(are_paged_above_a_thousand),
        WORLD_TEST(what_does_not_fit_the_arena_is_said),
        WORLD_TEST(are_added_by_several_at_once),
    };
    return cmocka_run_group_tests_name("kinds", tests, NULL, NULL);
}
