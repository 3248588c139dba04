/* How much a tenant has: against what is in the tables, whatever was acknowledged and removed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "contract.h"
#include "store/items.h"

static struct store_usage usage_step(struct world *world, struct store_usage usage)
{
    struct status status = STATUS_INIT;
    if (world->store->driver->usage(world->reader, world->scope, &usage, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return usage;
}

/* All steps together. */
static struct store_usage usage_of(struct world *world, uint32_t blocks)
{
    struct store_usage sum = {0}, step = {.blocks = blocks, .after_block = -1};
    do {
        int64_t before = step.after_block;
        step = usage_step(world, step);
        assert_true(!step.more || step.after_block > before);
        sum.pending += step.pending;
        sum.single_events += step.single_events;
        sum.single_bytes += step.single_bytes;
    } while (step.more);
    step.pending = sum.pending;
    step.single_events = sum.single_events;
    step.single_bytes = sum.single_bytes;
    return step;
}

/* A number of the world's tenant; `where` is about its sequences, as s. */
static int64_t number_of(struct world *world, const char *what, const char *where)
{
    char sql[600];
    snprintf(sql, sizeof(sql),
             database_is_postgres()
                 ? "select %s from (select sequence as s, octet_length(payload) as size,"
                   " exists (select from acknowledged a where a.tenant_id = e.tenant_id"
                   " and a.sequence = e.sequence) as done from events e"
                   " where tenant_id = %" PRId64 ") x where %s"
                 : "select %s from (select position & 1099511627775 as s, length(payload) as size,"
                   " exists (select 1 from acknowledged a where a.position = e.position) as done"
                   " from events e where tenant_id = %" PRId64 ") x where %s",
             what, world->scope.tenant, where);
    return database_number(world->url, sql);
}

static void check_usage(struct world *world, uint32_t blocks)
{
    char log[64], pending_singles[64];
    struct store_usage usage = usage_of(world, blocks);
    snprintf(log, sizeof(log), "s >= %" PRId64, usage.first);
    snprintf(pending_singles, sizeof(pending_singles), "s < %" PRId64 " and not done", usage.first);
    assert_int_equal(usage.pending, number_of(world, "count(*)", "not done"));
    assert_int_equal(usage.last, number_of(world, "coalesce(max(s), 0)", "true"));
    assert_int_equal(usage.last - usage.first + 1, number_of(world, "count(*)", log));
    assert_int_equal(usage.bytes, number_of(world, "coalesce(sum(size), 0)", log));
    /* Of single events, some that are acknowledged may be left out. */
    assert_in_range(usage.single_events, number_of(world, "count(*)", pending_singles),
                    number_of(world, "count(*)", "true") - (usage.last - usage.first + 1));
    assert_in_range(usage.single_bytes, number_of(world, "coalesce(sum(size), 0)", pending_singles),
                    number_of(world, "coalesce(sum(size), 0)", "true") - usage.bytes);
}

static char PAYLOAD[2000];

static void append_sized(struct world *world, uint32_t first, uint32_t count, unsigned *seed)
{
    static struct store_item appends[600]; /* at most */
    for (uint32_t i = 0; i < count && i < 600; i++) {
        appends[i] = event_numbered(first + i);
        appends[i].event.payload = (struct slice){PAYLOAD, (size_t)rand_r(seed) % sizeof(PAYLOAD)};
    }
    append_items(world, appends, count);
}

static void acknowledge_some(struct world *world, uint32_t last, int percent, unsigned *seed)
{
    static struct store_item acks[300];
    size_t count = 0;
    for (uint32_t number = 1; number <= last && count < 300; number++)
        if (rand_r(seed) % 100 < percent && has_number(world, number))
            acks[count++] = ack_numbered(number, NOON + last * SECOND);
    if (count > 0)
        ack_items(world, acks, count);
}

static void trim(struct world *world, int64_t acknowledged_us, int64_t pending_us)
{
    struct store_trim trim = {acknowledged_us, pending_us, 1, .more = true};
    struct status status = STATUS_INIT;
    while (trim.more || trim.acknowledged + trim.pending > 0)
        assert_int_equal(world->store->driver->trim(world->writer, world->scope, &trim, &status),
                         STORE_OK);
}

/* Another tenant has events, too, all the time. */
static void it_is_what_the_tables_have(void **state)
{
    struct world *world = *state;
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof(PAYLOAD); i++)
        PAYLOAD[i] = (char)('a' + i % 26);
    check_usage(world, 1);
    uint32_t last = 0;
    for (int round = 0; round < 8; round++) {
        uint32_t count = 100 + (uint32_t)rand_r(&seed) % 500;
        world->scope.tenant = 1;
        append_sized(world, last + 1, round == 0 ? 155 : 300, &seed);
        world->scope.tenant = 0;
        append_sized(world, last + 1, count, &seed);
        last += count;
        check_usage(world, 2);
        acknowledge_some(world, last / 2, 70, &seed);
        check_usage(world, 1);
        if (round > 2)
            trim(world, NOON + (last - 400) * SECOND, INT64_MIN);
        check_usage(world, 2);
        check_usage(world, 100);
        world->scope.tenant = 1;
        check_usage(world, 3);
        world->scope.tenant = 0;
        last += 600; /* ids of the other tenant's */
    }
    trim(world, NOON + last * SECOND * 2, NOON + last * SECOND * 2);
    check_usage(world, 2);
    reopen(world);
    check_usage(world, 2);
}

/* Its bytes are not taken from a full block's, which are counted once. */
static void what_is_erased_counts_as_before_in_a_full_block(void **state)
{
    struct world *world = *state;
    unsigned seed = 2;
    append_sized(world, 1, 2 * STORE_BLOCK, &seed);
    append_sized(world, 2 * STORE_BLOCK + 1, STORE_BLOCK, &seed);
    int64_t before = usage_of(world, 100).bytes;
    struct store_item erase = {.kind = STORE_ERASE};
    id_numbered(STORE_BLOCK + 10, erase.event.id);
    append_items(world, &erase, 1);
    assert_int_equal(usage_of(world, 100).bytes, before);
    id_numbered(3 * STORE_BLOCK, erase.event.id);
    append_items(world, &erase, 1);
    assert_true(usage_of(world, 100).bytes < before);
}

/* Blocks that were full before the store counted bytes have none. */
static void older_blocks_have_no_bytes(void **state)
{
    struct world *world = *state;
    unsigned seed = 3;
    append_sized(world, 1, 2 * STORE_BLOCK, &seed);
    database_execute(world->url, database_is_postgres() ? "update triggers.blocks set bytes = null"
                                                        : "update blocks set bytes = null");
    append_sized(world, 2 * STORE_BLOCK + 1, 2 * STORE_BLOCK, &seed);
    char counted[64];
    snprintf(counted, sizeof(counted), "s < %d or s >= %d", STORE_BLOCK, 2 * STORE_BLOCK);
    assert_int_equal(usage_of(world, 100).bytes, number_of(world, "sum(size)", counted));
    assert_int_equal(usage_of(world, 100).pending, 4 * STORE_BLOCK);
}

static void it_counts_subscriptions(void **state)
{
    struct world *world = *state;
    const struct store_driver *driver = world->store->driver;
    struct status status = STATUS_INIT;
    struct store_put put = {.settings = slice_of("{}"), .checkpoint = slice_of("begin"), .most = 2};
    static const char *const NAMES[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        put.name = slice_of(NAMES[i]);
        put.revision = 0;
        assert_int_equal(driver->subscription_put(world->writer, world->scope, &put, &status),
                         STORE_OK);
        assert_int_equal(put.outcome, i < 2 ? STORE_DONE : STORE_CONFLICT);
    }
    assert_int_equal(usage_of(world, 1).subscriptions, 2);
    world->scope.tenant = 1;
    assert_int_equal(usage_of(world, 1).subscriptions, 0);
    put.revision = 0;
    assert_int_equal(driver->subscription_put(world->writer, world->scope, &put, &status),
                     STORE_OK);
    assert_int_equal(put.outcome, STORE_DONE);
}

int run_usage_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(it_is_what_the_tables_have),
        WORLD_TEST(what_is_erased_counts_as_before_in_a_full_block),
        WORLD_TEST(older_blocks_have_no_bytes),
        WORLD_TEST(it_counts_subscriptions),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
