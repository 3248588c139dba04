/* Removal from the old end: what goes and what stays, against a model of it; beside other sessions.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "store/items.h"

#define MAX_EVENTS 6000
#define KINDS 5

/* Event `number` has the sequence `number`. */
struct log {
    struct logged {
        int64_t created_us, acknowledged_us; /* 0: pending */
        bool removed;
    } events[MAX_EVENTS + 1];
    uint32_t count;
    uint32_t first_block; /* the log begins there */
    int64_t now_us;
    uint32_t acknowledged, pending; /* removed in all */
};

static struct store_trim trim_once(struct world *world, struct store_trim trim)
{
    struct status status = STATUS_INIT;
    enum store_result result;
    do
        result = world->store->driver->trim(world->writer, world->scope, &trim, &status);
    while (result == STORE_RETRY);
    if (result != STORE_OK)
        fail_msg("%s", status.message);
    return trim;
}

/* Until nothing is left to do. */
static void trim_all(struct world *world, struct log *log, int64_t acknowledged_us,
                     int64_t pending_us, uint32_t blocks)
{
    struct store_trim trim = {acknowledged_us, pending_us, blocks, .more = true};
    uint32_t acknowledged = 0, pending = 0;
    while (trim.more || trim.acknowledged + trim.pending > 0 || trim.swept_kind != 0) {
        trim = trim_once(world, trim);
        acknowledged += (uint32_t)trim.acknowledged;
        pending += (uint32_t)trim.pending;
    }
    assert_int_equal(acknowledged, log->acknowledged);
    assert_int_equal(pending, log->pending);
    log->acknowledged = log->pending = 0;
    assert_int_equal(trim.first, log->first_block == 0 ? 1 : log->first_block * STORE_BLOCK);
}

/* ---- the model ---- */

static const char *type_of(uint32_t number)
{
    static const char *const types[KINDS] = {"a", "b", "c", "d", "e"};
    return types[number * number % 11 % KINDS];
}

static void write_kinds(struct world *world, struct log *log, uint32_t count)
{
    struct store_item appends[500];
    assert_true(count <= 500 && log->count + count <= MAX_EVENTS);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = ++log->count;
        log->now_us += SECOND;
        appends[i] = event_numbered(number);
        appends[i].event.type = slice_of(type_of(number));
        appends[i].event.created_at_us = log->now_us;
        log->events[number] = (struct logged){.created_us = log->now_us};
    }
    append_items(world, appends, count);
}

/* Each of those is acknowledged with a chance of `percent`. */
static void acknowledge_some(struct world *world, struct log *log, uint32_t first, uint32_t last,
                             int percent, unsigned *seed)
{
    struct store_item acks[500];
    uint32_t count = 0;
    log->now_us += SECOND;
    for (uint32_t number = first; number <= last; number++) {
        struct logged *event = &log->events[number];
        if (event->removed || rand_r(seed) % 100 >= percent)
            continue;
        if (event->acknowledged_us == 0)
            event->acknowledged_us = log->now_us;
        acks[count++] = ack_numbered(number, log->now_us);
        if (count == 500 || number == last) {
            ack_items(world, acks, count);
            count = 0;
        }
    }
    if (count > 0)
        ack_items(world, acks, count);
}

static void model_remove(struct log *log, uint32_t number, int64_t acknowledged_us,
                         int64_t pending_us)
{
    struct logged *event = &log->events[number];
    if (event->removed)
        return;
    bool acknowledged = event->acknowledged_us != 0;
    event->removed =
        acknowledged ? event->acknowledged_us < acknowledged_us : event->created_us < pending_us;
    log->acknowledged += event->removed && acknowledged;
    log->pending += event->removed && !acknowledged;
}

static bool model_block_may_go(const struct log *log, uint32_t block, int64_t acknowledged_us)
{
    for (uint32_t i = 0; i < STORE_BLOCK; i++) {
        const struct logged *event = &log->events[block * STORE_BLOCK + i];
        if (event->created_us >= acknowledged_us || event->acknowledged_us >= acknowledged_us)
            return false;
    }
    return true;
}

static void model_trim(struct log *log, int64_t acknowledged_us, int64_t pending_us)
{
    uint32_t open_block = (log->count + 1) / STORE_BLOCK;
    while (log->first_block + 1 < open_block &&
           model_block_may_go(log, log->first_block, acknowledged_us))
        log->first_block++;
    for (uint32_t number = 1; number < log->first_block * STORE_BLOCK; number++)
        model_remove(log, number, acknowledged_us, pending_us);
}

/* ---- what is there ---- */

static bool is_listed(const struct log *log, const struct store_list *list, uint32_t number)
{
    const struct logged *event = &log->events[number];
    if (!store_filter_fits(list->filter.types, list->filter.type_count, slice_of(type_of(number))))
        return false;
    if (list->set == STORE_LOG)
        return number >= log->first_block * STORE_BLOCK;
    return !event->removed && (event->acknowledged_us != 0) == (list->set == STORE_ACKNOWLEDGED);
}

static void check_list(struct world *world, const struct log *log, struct store_list list)
{
    uint32_t number = list.oldest_first ? 0 : log->count + 1;
    uint32_t expected = 0, listed = 0;
    for (uint32_t i = 1; i <= log->count; i++)
        expected += is_listed(log, &list, i);
    for (bool more = true; more;) {
        arena_reset(&world->arena);
        struct store_list page = list_page(world, list);
        for (size_t i = 0; i < page.count; i++, listed++) {
            const struct store_event *event = &page.events[i];
            do {
                number = list.oldest_first ? number + 1 : number - 1;
                assert_true(number >= 1 && number <= log->count);
            } while (!is_listed(log, &list, number));
            assert_int_equal(event->sequence, number);
            assert_int_equal(event->acknowledged_at_us, log->events[number].acknowledged_us);
            list.after = number;
        }
        more = page.more;
    }
    assert_int_equal(listed, expected);
}

/* All lists, with and without a filter that walks by kinds, and the backlog. */
static void check_all(struct world *world, const struct log *log)
{
    struct slice some[] = {slice_of("a"), slice_of("d")};
    uint32_t pending = 0;
    for (uint32_t i = 1; i <= log->count; i++)
        pending += !log->events[i].removed && log->events[i].acknowledged_us == 0;
    for (enum store_set set = STORE_PENDING; set <= STORE_LOG; set++)
        for (int i = set == STORE_LOG ? 2 : 0; i < 4; i++) {
            struct store_list list = {.set = set, .oldest_first = i & 2, .limit = 200};
            if (i & 1)
                list.filter = (struct store_filter){.types = some, .type_count = 2};
            check_list(world, log, list);
        }
    assert_int_equal(backlog_of(world).pending, pending);
    for (uint32_t i = 1; i <= log->count; i += 37)
        assert_int_equal(has_number(world, i), !log->events[i].removed);
}

/* What acknowledgements before it left. */
static void settle(struct world *world, struct log *log)
{
    write_kinds(world, log, 1);
    trim_all(world, log, INT64_MIN, INT64_MIN, 1);
}

/* Nothing is left of what was removed, in any table. */
static void check_rest(struct world *world)
{
    bool postgres = database_is_postgres();
    const char *place = postgres ? "a.tenant_id = e.tenant_id and a.sequence = e.sequence"
                                 : "a.position = e.position";
    const char *sequence = postgres ? "e.sequence" : "(e.position % 1099511627776)";
    char sql[512];
    snprintf(
        sql, sizeof(sql),
        "select count(*) from acknowledged a where not exists (select 1 from events e where %s)",
        place);
    assert_int_equal(database_number(world->url, sql), 0);
    snprintf(sql, sizeof(sql),
             "select count(*) from pending p where not exists (select 1 from events e where"
             " (p.kind = 0 or e.kind = p.kind) and %s / 256 = p.block and not exists"
             " (select 1 from acknowledged a where %s))",
             sequence, place);
    assert_int_equal(database_number(world->url, sql), 0);
    snprintf(sql, sizeof(sql),
             "select count(*) from %s b where kind > 0 and not exists (select 1 from events e"
             " where e.kind = b.kind and %s / 256 = b.block)",
             postgres ? "blocks" : "kind_blocks", sequence);
    assert_int_equal(database_number(world->url, sql), 0);
}

static void it_is_as_the_model(void **state)
{
    struct world *world = *state;
    static struct log log;
    for (unsigned seed = 1; seed <= 3; seed++) {
        log = (struct log){.now_us = NOON};
        for (int round = 0; round < 12; round++) {
            int percent = rand_r(&seed) % 3 * 50;
            write_kinds(world, &log, 100 + (uint32_t)rand_r(&seed) % 400);
            acknowledge_some(world, &log, 1 + (uint32_t)rand_r(&seed) % log.count, log.count,
                             percent, &seed);
            acknowledge_some(world, &log, 1, log.count / 2, 60, &seed);
            int64_t acknowledged_us = log.now_us - rand_r(&seed) % 1500 * SECOND;
            int64_t pending_us =
                rand_r(&seed) % 3 == 0 ? INT64_MIN : acknowledged_us - rand_r(&seed) % 500 * SECOND;
            model_trim(&log, acknowledged_us, pending_us);
            trim_all(world, &log, acknowledged_us, pending_us, 20);
            check_all(world, &log);
        }
        settle(world, &log);
        check_rest(world);
        world_tear_down(state);
        world_set_up(state);
        world = *state;
    }
}

/* Single events before the log's beginning, while they are acknowledged and go. */
static void what_stays_is_found_by_its_kind(void **state)
{
    struct world *world = *state;
    static struct log log;
    log = (struct log){.now_us = NOON};
    unsigned seed = 1;
    for (int i = 0; i < 4; i++)
        write_kinds(world, &log, 500);
    acknowledge_some(world, &log, 1, log.count, 90, &seed);
    for (int round = 0; round < 6; round++) {
        model_trim(&log, log.now_us + SECOND, INT64_MIN);
        trim_all(world, &log, log.now_us + SECOND, INT64_MIN, 20);
        check_all(world, &log);
        acknowledge_some(world, &log, 1, log.count, 40, &seed);
        check_all(world, &log);
    }
    settle(world, &log);
    check_rest(world);
}

static void one_block_at_a_time(void **state)
{
    struct world *world = *state;
    append_up_to(world, 1, 6 * STORE_BLOCK);
    ack_up_to(world, 1, 6 * STORE_BLOCK, 1);
    struct store_trim trim = {NOON + 10000 * SECOND, INT64_MIN, .blocks = 1};
    for (int i = 0; i < 5; i++) {
        trim = trim_once(world, trim);
        assert_int_equal(trim.acknowledged, i == 0 ? STORE_BLOCK - 1 : STORE_BLOCK);
        assert_int_equal(trim.pending, 0);
        assert_int_equal(trim.first, (i + 1) * STORE_BLOCK);
        assert_true(trim.more);
    }
    trim = trim_once(world, trim); /* the last full block stays, however old */
    assert_int_equal(trim.acknowledged, 0);
    assert_false(trim.more);
    assert_int_equal(trim.first, 5 * STORE_BLOCK);
    struct store_item next = event_numbered(5 * STORE_BLOCK - 1); /* its id is free again */
    append_items(world, &next, 1);
    assert_int_equal(next.outcome, STORE_DONE);
    assert_int_equal(next.event.sequence, 6 * STORE_BLOCK + 1);
}

static void nothing_goes_unless_it_is_told(void **state)
{
    struct world *world = *state;
    append_up_to(world, 1, 3 * STORE_BLOCK);
    ack_up_to(world, 1, 3 * STORE_BLOCK, 1);
    struct store_trim trim = trim_once(world, (struct store_trim){INT64_MIN, INT64_MIN, 5});
    assert_int_equal(trim.acknowledged + trim.pending, 0);
    assert_int_equal(trim.first, 1);
    assert_false(trim.more);
    assert_true(has_number(world, 1));
}

static void tenants_are_apart(void **state)
{
    struct world *world = *state;
    append_up_to(world, 1, 3 * STORE_BLOCK);
    ack_up_to(world, 1, 3 * STORE_BLOCK, 1);
    world->scope.tenant = 7;
    append_up_to(world, 1, 3 * STORE_BLOCK);
    ack_up_to(world, 1, 3 * STORE_BLOCK, 1);
    struct store_trim trim = {NOON + 10000 * SECOND, NOON + 10000 * SECOND, .blocks = 20};
    assert_int_equal(trim_once(world, trim).acknowledged, 2 * STORE_BLOCK - 1);
    assert_false(has_number(world, 1));
    world->scope = SCOPE_DEFAULT;
    assert_true(has_number(world, 1));
    assert_int_equal(
        list_page(world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 1})
            .first,
        1);
}

/* ---- beside other sessions ---- */

struct beside {
    struct world *world;
    unsigned number;
    atomic_bool *stop;
    enum store_result result;
    struct status status;
};

static enum store_result write_again(struct beside *beside, struct store_session *session,
                                     struct store_item *items, size_t count)
{
    struct store_item *list[200];
    enum store_result result;
    for (size_t i = 0; i < count; i++)
        list[i] = &items[i];
    struct store_write batch = {list, count};
    do
        result =
            beside->world->store->driver->write(session, SCOPE_DEFAULT, &batch, &beside->status);
    while (result == STORE_RETRY || result == STORE_LOCKED);
    return result;
}

/* Creates, and acknowledges and erases what it can find at the log's old end, where it is being
 * removed. */
static void *write_beside(void *context)
{
    struct beside *beside = context;
    struct store_session *session = NULL;
    beside->result = session_at(beside->world, &session, &beside->status);
    for (uint32_t first = 0; first < 4000 && beside->result == STORE_OK; first += 100) {
        struct store_item appends[100], acks[200];
        uint32_t own = beside->number * 100000;
        for (uint32_t i = 0; i < 100; i++)
            appends[i] = event_numbered(own + first + i);
        beside->result = write_again(beside, session, appends, 100);
        for (uint32_t i = 0; i < 200; i++)
            acks[i] = ack_numbered((1 - beside->number) * 100000 + first - first % 400 + 2 * i,
                                   NOON + 200000 * SECOND);
        if (beside->result == STORE_OK)
            beside->result = write_again(beside, session, acks, 200);
        for (uint32_t i = 0; i < 200; i++) { /* which changes the rows that are being removed */
            acks[i] = ack_numbered((1 - beside->number) * 100000 + first - first % 400 + i, 0);
            acks[i].kind = STORE_ERASE;
        }
        if (beside->result == STORE_OK)
            beside->result = write_again(beside, session, acks, 200);
    }
    beside->world->store->driver->session_close(session);
    return NULL;
}

static void *trim_beside(void *context)
{
    struct beside *beside = context;
    struct store_session *session = NULL;
    beside->result = session_at(beside->world, &session, &beside->status);
    struct store_trim trim = {NOON + 300000 * SECOND, NOON + 300000 * SECOND, .blocks = 2};
    while (beside->result == STORE_OK && !atomic_load(beside->stop)) {
        beside->result =
            beside->world->store->driver->trim(session, SCOPE_DEFAULT, &trim, &beside->status);
        if (beside->result == STORE_RETRY || beside->result == STORE_LOCKED)
            beside->result = STORE_OK;
    }
    beside->world->store->driver->session_close(session);
    return NULL;
}

static void others_write_and_trim_at_once(void **state)
{
    struct world *world = *state;
    static atomic_bool stop;
    struct beside besides[4];
    pthread_t threads[4];
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 4; i++) {
        besides[i] = (struct beside){world, i, &stop, .status = STATUS_INIT};
        void *(*run)(void *) = i < 2 ? write_beside : trim_beside;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &besides[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (i == 2)
            atomic_store(&stop, true);
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < 4; i++)
        if (besides[i].result != STORE_OK)
            fail_msg("%u: %s", i, besides[i].status.message);
    struct store_trim trim = {NOON + 300000 * SECOND, NOON + 300000 * SECOND, 20, .more = true};
    while (trim.more || trim.swept_kind != 0 || trim.acknowledged + trim.pending > 0)
        trim = trim_once(world, trim);
    check_rest(world);
    struct store_list page = list_page(
        world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 1000});
    assert_int_equal(page.events[0].sequence, page.first);
    assert_int_equal(page.read_to, 8000);
    assert_int_equal(page.count, 8000 - page.first + 1); /* all of the log, without a gap */
    assert_int_equal(page.first, (8001 / STORE_BLOCK - 1) * STORE_BLOCK);
    assert_int_equal(database_number(world->url, "select count(*) from events"), page.count);
}

/* Rows of `pending` that nobody settled go. */
static void what_was_not_settled_is_swept(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    append_up_to(world, 1, 4 * STORE_BLOCK);
    ack_up_to(world, 1, 3 * STORE_BLOCK, 1);
    world->store->driver->session_close(world->writer);
    world->writer = NULL;
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    struct store_trim trim = {INT64_MIN, INT64_MIN, 1};
    do
        trim = trim_once(world, trim);
    while (trim.swept_kind != 0);
    assert_int_equal(database_number(world->url, "select count(*) from pending where block < 3"),
                     0);
    assert_int_equal(database_number(world->url, "select count(*) from pending"), 2);
    assert_int_equal(backlog_of(world).pending, STORE_BLOCK);
}

int run_trim_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(it_is_as_the_model),
        WORLD_TEST(what_stays_is_found_by_its_kind),
        WORLD_TEST(one_block_at_a_time),
        WORLD_TEST(nothing_goes_unless_it_is_told),
        WORLD_TEST(tenants_are_apart),
        WORLD_TEST(others_write_and_trim_at_once),
        WORLD_TEST(what_was_not_settled_is_swept),
    };
    return cmocka_run_group_tests_name("trim", tests, NULL, NULL);
}
