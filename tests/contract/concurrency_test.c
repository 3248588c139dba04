/* Several sessions at once, each on its own thread: the same ids written, acknowledged, read and
 * the same empty database opened. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "contract.h"

#define THREADS 4
#define ITEMS 200

/* One thread's part; filled by it, judged by the test after it ended. */
struct part {
    struct world *world;
    unsigned number;
    pthread_barrier_t *start;
    struct store_item appends[ITEMS];
    struct store_item acks[ITEMS];
    enum store_result result;
    struct status status;
};

static void shuffle(uint32_t numbers[ITEMS], unsigned seed)
{
    for (uint32_t i = 0; i < ITEMS; i++)
        numbers[i] = i;
    for (uint32_t i = ITEMS - 1; i > 0; i--) {
        uint32_t other = (uint32_t)rand_r(&seed) % (i + 1);
        uint32_t number = numbers[i];
        numbers[i] = numbers[other];
        numbers[other] = number;
    }
}

/* Writes ten items at a time, as often as the store asks for it. */
static enum store_result write_parts(struct part *part, struct store_session *session, bool acks)
{
    const struct store_driver *driver = part->world->store->driver;
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < ITEMS && result == STORE_OK; i += 10) {
        struct store_item *items[10];
        for (size_t j = 0; j < 10; j++)
            items[j] = acks ? &part->acks[i + j] : &part->appends[i + j];
        struct store_write batch = {items, 10};
        do
            result = driver->write(session, SCOPE_DEFAULT, &batch, &part->status);
        while (result == STORE_RETRY);
    }
    return result;
}

static void run_part(struct part *part, bool acks)
{
    const struct store_driver *driver = part->world->store->driver;
    struct store_session *session = NULL;
    part->result = session_at(part->world, &session, &part->status);
    pthread_barrier_wait(part->start);
    if (part->result == STORE_OK)
        part->result = write_parts(part, session, acks);
    driver->session_close(session);
}

static void *append_part(void *context)
{
    struct part *part = context;
    uint32_t numbers[ITEMS];
    shuffle(numbers, part->number);
    for (size_t i = 0; i < ITEMS; i++) {
        part->appends[i] = event_numbered(numbers[i]);
        part->appends[i].event.created_at_us += part->number;
    }
    run_part(part, false);
    return NULL;
}

static void *ack_part(void *context)
{
    struct part *part = context;
    uint32_t numbers[ITEMS];
    shuffle(numbers, part->number);
    for (size_t i = 0; i < ITEMS; i++)
        part->acks[i] = ack_numbered(numbers[i], NOON + part->number);
    run_part(part, true);
    return NULL;
}

static struct part *run_parts(struct world *world, void *(*run)(void *))
{
    struct part *parts = calloc(THREADS, sizeof(*parts));
    assert_non_null(parts);
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        parts[i] = (struct part){.world = world, .number = i + 1, .start = &start};
        assert_int_equal(pthread_create(&threads[i], NULL, run, &parts[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (unsigned i = 0; i < THREADS; i++)
        if (parts[i].result != STORE_OK)
            fail_msg("%s", parts[i].status.message);
    return parts;
}

static void the_same_events_are_stored_once(void **state)
{
    struct world *world = *state;
    struct part *parts = run_parts(world, append_part);
    unsigned stored[ITEMS] = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < ITEMS; j++) {
            const struct store_item *append = &parts[i].appends[j];
            uint32_t number = id_number(append->event.id);
            stored[number] += append->outcome == STORE_DONE;
            assert_true(append->outcome == STORE_DONE || append->outcome == STORE_REPEATED);
            assert_int_equal(append->event.created_at_us, get_number(world, number).created_at_us);
        }
    }
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(stored[i], 1);
    assert_int_equal(list_page(world, (struct store_list){.limit = 1000}).count, ITEMS);
    free(parts);
}

static void one_acknowledgement_wins(void **state)
{
    struct world *world = *state;
    append_numbers(world, 0, ITEMS);
    struct part *parts = run_parts(world, ack_part);
    unsigned done[ITEMS] = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < ITEMS; j++) {
            const struct store_item *ack = &parts[i].acks[j];
            uint32_t number = id_number(ack->event.id);
            done[number] += ack->outcome == STORE_DONE;
            assert_true(ack->outcome == STORE_DONE || ack->outcome == STORE_REPEATED);
            assert_int_equal(ack->event.acknowledged_at_us,
                             get_number(world, number).acknowledged_at_us);
        }
    }
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(done[i], 1);
    assert_int_equal(list_page(world, (struct store_list){.limit = 1}).count, 0);
    free(parts);
}

static void *open_part(void *context)
{
    struct part *part = context;
    const struct store_driver *driver = part->world->store->driver;
    struct store_session *session = NULL;
    pthread_barrier_wait(part->start);
    part->result =
        driver->session_open(part->world->store, part->number % 2, &session, &part->status);
    driver->session_close(session);
    return NULL;
}

static void an_empty_place_is_opened_by_many_at_once(void **state)
{
    struct world *world = *state;
    free(run_parts(world, open_part));
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    append_numbers(world, 1, 1);
}

/* Lists the inbox until told to stop; the part is OK when every page was complete and in order. */
struct watching {
    struct world *world;
    atomic_bool stop;
    enum store_result result;
    bool sound;
    size_t most;
    struct status status;
};

static void check_page(struct watching *watching, const struct store_list *page)
{
    for (size_t i = 0; i < page->count; i++)
        watching->sound = watching->sound && id_number(page->events[i].id) == i &&
                          page->events[i].payload.size == 10;
    watching->sound = watching->sound && page->count >= watching->most;
    watching->most = page->count;
}

static void *watch(void *context)
{
    struct watching *watching = context;
    const struct store_driver *driver = watching->world->store->driver;
    struct arena arena;
    arena_init(&arena, (size_t)8 << 20);
    bool last = false;
    while (!last && watching->result == STORE_OK) {
        last = atomic_load(&watching->stop); /* one more page after the last write */
        arena_reset(&arena);
        struct store_list page = {
            .oldest_first = true, .limit = 1000, .max_bytes = SIZE_MAX, .arena = &arena};
        watching->result = driver->list(watching->world->reader, SCOPE_DEFAULT,
                                        &(struct store_list *){&page}, 1, &watching->status);
        if (watching->result == STORE_OK)
            check_page(watching, &page);
    }
    arena_fini(&arena);
    return NULL;
}

static void a_reader_sees_whole_batches_while_they_are_written(void **state)
{
    struct world *world = *state;
    struct watching watching = {.world = world, .sound = true};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch, &watching), 0);
    for (uint32_t i = 0; i < 500; i += 5)
        append_numbers(world, i, 5);
    atomic_store(&watching.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(watching.result, STORE_OK);
    assert_true(watching.sound);
    assert_int_equal(watching.most, 500);
}

int run_concurrency_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(the_same_events_are_stored_once),
        WORLD_TEST(one_acknowledgement_wins),
        CLOSED_WORLD_TEST(an_empty_place_is_opened_by_many_at_once),
        WORLD_TEST(a_reader_sees_whole_batches_while_they_are_written),
    };
    return cmocka_run_group_tests_name("concurrency", tests, NULL, NULL);
}
