/* The world of one test, and short forms of the store's operations. */
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define ARENA_CAP ((size_t)64 << 20)
#define MAX_ITEMS 2000
#define STEP 500 /* items of a batch where there are many */

struct store *store_at(const char *url)
{
    struct store *store = NULL;
    struct status status = STATUS_INIT;
    if (!store_open(url, &store, &status))
        fail_msg("%s", status.message);
    return store;
}

static struct world *world_new(char *url)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    arena_init(&world->arena, ARENA_CAP);
    world->scope = SCOPE_DEFAULT;
    world->url = url;
    world->store = store_at(url);
    return world;
}

static char *model;       /* the URL of the database that is copied */
static const char *walls; /* NULL: none */

void world_use_walls(const char *file)
{
    walls = file;
}

static void make_model(void)
{
    model = database_new_url(NULL);
    struct store *store = store_at(model);
    struct store_session *session = NULL;
    struct status status = STATUS_INIT;
    if (store->driver->session_open(store, false, &session, &status) != STORE_OK)
        fail_msg("%s", status.message);
    store->driver->session_close(session);
    store->driver->close(store);
    assert_true(!walls || database_put_up_walls(model, walls));
}

void world_end(void)
{
    if (model)
        database_remove(model);
    free(model);
    model = NULL;
}

int world_set_up_closed(void **state)
{
    *state = world_new(database_new_url(NULL));
    return 0;
}

int world_set_up(void **state)
{
    if (database_is_postgres() && !model)
        make_model();
    struct world *world = world_new(model ? database_copy(model) : database_new_url(NULL));
    *state = world;
    struct status status = STATUS_INIT;
    if (world->store->driver->session_open(world->store, true, &world->reader, &status) !=
            STORE_OK ||
        session_at(world, &world->writer, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return 0;
}

int world_tear_down(void **state)
{
    struct world *world = *state;
    world->store->driver->session_close(world->reader);
    world->store->driver->session_close(world->writer);
    world->store->driver->close(world->store);
    database_remove(world->url);
    arena_fini(&world->arena);
    free(world->url);
    free(world);
    return 0;
}

enum store_result session_at(struct world *world, struct store_session **session,
                             struct status *status)
{
    return world->store->driver->session_open(world->store, false, session, status);
}

void reopen(struct world *world)
{
    const struct store_driver *driver = world->store->driver;
    struct status status = STATUS_INIT;
    driver->session_close(world->writer);
    driver->session_close(world->reader);
    world->writer = world->reader = NULL;
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    assert_int_equal(driver->session_open(world->store, true, &world->reader, &status), STORE_OK);
}

struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

void id_numbered(uint32_t number, uint8_t id[TYPEID_BYTES])
{
    memset(id, 0x5A, TYPEID_BYTES);
    for (int i = 0; i < 4; i++)
        id[6 + i] = (uint8_t)(number >> (24 - 8 * i));
}

uint32_t id_number(const uint8_t id[TYPEID_BYTES])
{
    uint32_t number = 0;
    for (int i = 0; i < 4; i++)
        number = number << 8 | id[6 + i];
    return number;
}

struct store_item event_numbered(uint32_t number)
{
    struct store_item append = {.kind = STORE_APPEND,
                                .event = {
                                    .source = slice_of("crm"),
                                    .type = slice_of("lead.created"),
                                    .payload = slice_of("{\"a\": 1.0}"),
                                    .created_at_us = NOON + (int64_t)number * SECOND,
                                }};
    id_numbered(number, append.event.id);
    return append;
}

struct store_item ack_numbered(uint32_t number, int64_t acknowledged_at_us)
{
    struct store_item ack = {.kind = STORE_ACK, .event.acknowledged_at_us = acknowledged_at_us};
    id_numbered(number, ack.event.id);
    return ack;
}

enum store_result write_items(struct world *world, struct store_item *appends, size_t append_count,
                              struct store_item *acks, size_t ack_count, struct status *status)
{
    struct store_item *items[2 * MAX_ITEMS];
    assert_true(append_count <= MAX_ITEMS && ack_count <= MAX_ITEMS);
    for (size_t i = 0; i < ack_count; i++) /* first, as their order by kind must not count */
        items[i] = &acks[i];
    for (size_t i = 0; i < append_count; i++)
        items[ack_count + i] = &appends[i];
    struct store_write batch = {items, append_count + ack_count};
    return world->store->driver->write(world->writer, world->scope, &batch, status);
}

static void write_ok(struct world *world, struct store_item *appends, size_t append_count,
                     struct store_item *acks, size_t ack_count)
{
    struct status status = STATUS_INIT;
    if (write_items(world, appends, append_count, acks, ack_count, &status) != STORE_OK)
        fail_msg("%s", status.message);
}

void append_items(struct world *world, struct store_item *appends, size_t count)
{
    write_ok(world, appends, count, NULL, 0);
}

void ack_items(struct world *world, struct store_item *acks, size_t count)
{
    write_ok(world, NULL, 0, acks, count);
}

void append_numbers(struct world *world, uint32_t first, uint32_t count)
{
    struct store_item appends[MAX_ITEMS];
    assert_true(count <= MAX_ITEMS);
    for (uint32_t i = 0; i < count; i++)
        appends[i] = event_numbered(first + i);
    append_items(world, appends, count);
}

void append_up_to(struct world *world, uint32_t first, uint32_t last)
{
    for (; first <= last; first += STEP)
        append_numbers(world, first, last - first < STEP ? last - first + 1 : STEP);
}

void ack_up_to(struct world *world, uint32_t first, uint32_t last, uint32_t step)
{
    struct store_item acks[STEP];
    while (first <= last) {
        size_t count = 0;
        for (; count < STEP && first <= last; first += step)
            acks[count++] = ack_numbered(first, NOON + first * SECOND);
        ack_items(world, acks, count);
    }
}

static struct store_get get(struct world *world, uint32_t number)
{
    struct store_get wanted = {.arena = &world->arena};
    struct store_get *list[] = {&wanted};
    struct status status = STATUS_INIT;
    id_numbered(number, wanted.id);
    if (world->store->driver->get(world->reader, world->scope, list, 1, &status) != STORE_OK)
        fail_msg("%s", status.message);
    assert_false(wanted.no_memory);
    return wanted;
}

struct store_event get_number(struct world *world, uint32_t number)
{
    struct store_get found = get(world, number);
    assert_int_equal(found.outcome, STORE_DONE);
    assert_memory_equal(found.event.id, found.id, TYPEID_BYTES);
    return found.event;
}

bool has_number(struct world *world, uint32_t number)
{
    return get(world, number).outcome == STORE_DONE;
}

/* What holds for every page. */
static void check_page(const struct store_list *page)
{
    int64_t last = page->after;
    assert_true(page->count <= page->limit);
    for (size_t i = 0; i < page->count; i++) {
        const struct store_event *event = &page->events[i];
        bool beginning = last == 0 && !page->oldest_first;
        assert_true(page->oldest_first ? event->sequence > last
                                       : event->sequence < last || beginning);
        assert_true(event->sequence > 0);
        if (page->set != STORE_LOG)
            assert_int_equal(event->acknowledged_at_us != 0, page->set == STORE_ACKNOWLEDGED);
        assert_true(page->filter.from_us == 0 || event->created_at_us >= page->filter.from_us);
        assert_true(page->filter.until_us == 0 || event->created_at_us < page->filter.until_us);
        last = event->sequence;
    }
    if (page->set != STORE_LOG)
        return;
    assert_true(page->read_to >= page->after && page->read_to >= last);
    assert_true(page->first >= 1);
}

struct store_list list_page(struct world *world, struct store_list list)
{
    struct status status = STATUS_INIT;
    list.arena = list.arena ? list.arena : &world->arena;
    list.max_bytes = list.max_bytes ? list.max_bytes : SIZE_MAX;
    if (world->store->driver->list(world->reader, world->scope, &(struct store_list *){&list}, 1,
                                   &status) != STORE_OK)
        fail_msg("%s", status.message);
    if (!list.no_memory)
        check_page(&list);
    return list;
}

struct store_kinds kinds_page(struct world *world, int32_t after, uint32_t limit)
{
    struct store_kinds kinds = {.after = after, .limit = limit, .arena = &world->arena};
    struct status status = STATUS_INIT;
    if (world->store->driver->kinds(world->reader, world->scope, &kinds, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return kinds;
}

struct store_backlog backlog_of(struct world *world)
{
    struct store_backlog backlog = {-1, -1};
    struct status status = STATUS_INIT;
    if (world->store->driver->backlog(world->reader, world->scope, &backlog, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return backlog;
}

void assert_slice(struct slice slice, const void *bytes, size_t size)
{
    assert_int_equal(slice.size, size);
    if (size > 0)
        assert_memory_equal(slice.data, bytes, size);
}
