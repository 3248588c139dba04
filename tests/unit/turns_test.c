/* The order in which operations of several callers are served, and how much each may hold, stepped
 * through one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "events/turns.h"

#define MAX_COUNT 1344
#define MAX_BYTES ((size_t)44 << 20)

static struct turns turns;

static int setup(void **state)
{
    (void)state;
    return turns_init(&turns, (struct held){MAX_COUNT, MAX_BYTES}) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    turns_fini(&turns);
    return 0;
}

static struct op *op_new(uint64_t connection, uint64_t client, size_t items)
{
    struct op *op = calloc(1, sizeof(*op));
    op->caller = (struct caller){connection, client};
    op->items = items;
    op->bytes = items * 200;
    return op;
}

static void add(uint64_t connection, uint64_t client, size_t items)
{
    assert_true(turns_add(&turns, op_new(connection, client, items)));
}

static void add_many(size_t count, uint64_t connection, uint64_t client, size_t items)
{
    for (size_t i = 0; i < count; i++)
        add(connection, client, items);
}

/* Takes and releases the next operation; whose it was. */
static struct caller serve(void)
{
    struct op *op = turns_next(&turns, false);
    struct caller caller = op->caller;
    turns_take(&turns, op, op->items - op->first);
    turns_release(&turns, op);
    free(op);
    return caller;
}

static void serve_all(void)
{
    while (turns.waiting > 0) {
        turns_begin(&turns);
        serve();
    }
    assert_null(turns_next(&turns, false));
    assert_int_equal(turns.all.held.count, 0);
    assert_int_equal(turns.all.held.bytes, 0);
    for (size_t i = 0; i < TURN_BUCKETS; i++)
        assert_null(turns.buckets[i]);
}

static void one_callers_operations_are_served_in_order(void **state)
{
    (void)state;
    struct op *ops[100];
    for (size_t i = 0; i < 100; i++) {
        ops[i] = op_new(1, 0, i % 3 == 0 ? 1000 : 1);
        assert_true(turns_add(&turns, ops[i]));
    }
    for (size_t i = 0; i < 100; i++) {
        assert_ptr_equal(turns_next(&turns, false), ops[i]);
        turns_take(&turns, ops[i], ops[i]->items);
        turns_release(&turns, ops[i]);
        free(ops[i]);
    }
    serve_all();
}

static void who_wants_little_does_not_wait_for_who_wants_much(void **state)
{
    (void)state;
    add_many(30, 1, 0, 1000);
    add_many(30, 1, 7, 1000); /* another client of the same connection */
    assert_int_equal(serve().connection, 1);
    add(2, 0, 1);
    add(1, 9, 1);
    assert_null(turns_next(&turns, true)->next);
    assert_int_equal(serve().connection, 2);
    assert_int_equal(serve().client, 9);
    assert_null(turns_next(&turns, true));
    serve_all();
}

static void many_small_operations_are_no_way_to_be_first(void **state)
{
    (void)state;
    add_many(1000, 1, 0, 1);
    add_many(10, 2, 0, 1);
    size_t waited = 0;
    for (size_t left = 10; left > 0; waited++)
        left -= serve().connection == 2;
    assert_true(waited <= 10 + 2 * TURN_LITTLE);
    serve_all();
}

/* ---- tenants ---- */

static void add_for(int64_t tenant, uint64_t connection, size_t items)
{
    struct op *op = op_new(connection, 0, items);
    op->scope.tenant = tenant;
    assert_true(turns_add(&turns, op));
}

/* Takes and releases a batch of at most `most` operations; whose it was, and how many. */
static size_t serve_batch(size_t most, bool fresh_only, int64_t *tenant)
{
    struct op *ops[200];
    size_t count = 0;
    turns_begin(&turns);
    for (struct op *op; count < most && (op = turns_next(&turns, fresh_only)); count++) {
        ops[count] = op;
        assert_int_equal(op->scope.tenant, ops[0]->scope.tenant);
        *tenant = op->scope.tenant;
        turns_take(&turns, op, op->items - op->first);
    }
    for (size_t i = 0; i < count; i++) {
        turns_release(&turns, ops[i]);
        free(ops[i]);
    }
    return count;
}

static void assert_batch(size_t most, bool fresh_only, int64_t tenant, size_t count)
{
    int64_t whose = -1;
    assert_int_equal(serve_batch(most, fresh_only, &whose), count);
    assert_int_equal(whose, count ? tenant : -1);
}

/* However many connections one has, another waits for one batch of it. */
static void tenants_have_a_batch_each(void **state)
{
    (void)state;
    for (uint64_t connection = 1; connection <= 200; connection++)
        add_for(1, connection, 1);
    add_for(2, 1, 1); /* the connection has calls for both */
    add_for(3, 300, 1);
    assert_batch(50, false, 1, 50);
    assert_batch(50, false, 2, 1);
    assert_batch(50, false, 3, 1);
    assert_batch(50, false, 1, 50);
    add_for(2, 1, 1); /* before the batch is over */
    assert_batch(50, false, 2, 1);
    assert_batch(50, false, 1, 50);
    assert_batch(100, false, 1, 50);
    serve_all();
}

/* Batches for those who ask for little are in turn, too. */
static void tenants_with_little_have_a_batch_each(void **state)
{
    (void)state;
    add_for(1, 1, 1000);
    assert_null(turns_next(&turns, true)); /* from here on it takes turns */
    for (uint64_t connection = 2; connection < 6; connection++) {
        add_for(1, connection, 1);
        add_for(2, connection, 1);
    }
    assert_batch(2, true, 1, 2);
    assert_batch(2, true, 2, 2);
    assert_batch(2, true, 1, 2);
    add_for(1, 9, 1);
    assert_batch(9, true, 2, 2);
    assert_batch(9, true, 1, 1);
    assert_batch(9, true, 0, 0);
    assert_batch(9, false, 1, 1);
    serve_all();
}

/* What joins a batch later is its tenant's. */
static void a_batch_goes_on_with_its_tenant(void **state)
{
    (void)state;
    add_for(1, 1, 1);
    struct op *op = turns_next(&turns, false);
    turns_take(&turns, op, 1);
    add_for(2, 1, 1);
    turns_begin(&turns);
    turns_go_on(&turns, op);
    assert_null(turns_next(&turns, false));
    add_for(1, 2, 1);
    assert_int_equal(turns_next(&turns, false)->scope.tenant, 1);
    turns_release(&turns, op);
    free(op);
    serve_all();
}

static void a_tenant_leaves_room_for_others(void **state)
{
    (void)state;
    size_t held = 0;
    for (bool added = true; added; held += added) {
        struct op *op = op_new(held, 0, 1);
        op->scope.tenant = 1;
        added = turns_add(&turns, op);
        if (!added)
            free(op);
    }
    assert_int_equal(held, 4 * MAX_COUNT / 5 + 1);
    for (uint64_t i = 0; i < 50; i++)
        add_for(2, i, 1);
    while (turns.waiting > 0) {
        turns_begin(&turns);
        serve();
    }
    serve_all();
}

/* Items served of each connection, 1 to 3, while all of them have something waiting. */
static void serve_items(size_t rounds, size_t items[4])
{
    for (size_t i = 0; i < rounds; i++) {
        size_t size = turns_next(&turns, false)->items;
        items[serve().connection] += size;
    }
}

static void connections_share_alike_whatever_they_send(void **state)
{
    (void)state;
    for (uint64_t client = 0; client < 40; client++)
        add(1, client, 700);
    add_many(30, 2, 0, 1000);
    add_many(300, 3, 0, 100);
    while (turns_next(&turns, true))
        serve(); /* what comes before the turns */
    size_t items[4] = {0};
    serve_items(250, items);
    for (size_t i = 1; i <= 3; i++)
        assert_in_range(items[i], items[2] - 1100, items[2] + 1100);
    serve_all();
}

static void clients_of_a_connection_share_alike(void **state)
{
    (void)state;
    add_many(40, 1, 1, 1000);
    add_many(80, 1, 2, 500);
    size_t items[3] = {0};
    for (size_t i = 0; i < 100; i++) {
        size_t size = turns_next(&turns, false)->items;
        items[serve().client] += size;
    }
    assert_in_range(items[1], items[2] - 1100, items[2] + 1100);
    serve_all();
}

static void bytes_cost_as_items_do(void **state)
{
    (void)state;
    struct op *op = op_new(1, 0, 4);
    assert_int_equal(turn_cost(op, 4), 4);
    op->bytes = 4 << 20;
    assert_int_equal(turn_cost(op, 4), 4 + (4 << 20) / TURN_BYTES);
    assert_int_equal(turn_cost(op, 1), 1 + (1 << 20) / TURN_BYTES);
    assert_true(turns_add(&turns, op));
    add(1, 1, 8);
    assert_int_equal(serve().client, 1);
    serve_all();
}

static void what_is_left_of_an_operation_is_next(void **state)
{
    (void)state;
    struct op *op = op_new(1, 0, 1000);
    assert_true(turns_add(&turns, op));
    add_many(3, 1, 0, 10);
    add_many(3, 2, 0, 1000);
    assert_ptr_equal(turns_next(&turns, false), op);
    turns_take(&turns, op, 400);
    assert_int_equal(op->end, 400);
    assert_ptr_not_equal(turns_next(&turns, false), op);
    turns_put_back(&turns, op);
    add(3, 0, 1);
    assert_int_equal(serve().connection, 3);
    assert_ptr_equal(turns_next(&turns, false), op);
    turns_take(&turns, op, 600);
    assert_int_equal(op->first, 400);
    assert_int_equal(op->end, 1000);
    turns_release(&turns, op);
    free(op);
    serve_all();
}

/* How many more operations of a caller are taken. */
static size_t fill(uint64_t connection, uint64_t client, size_t items)
{
    for (size_t count = 0;; count++) {
        struct op *op = op_new(connection, client, items);
        if (turns_add(&turns, op))
            continue;
        free(op);
        return count;
    }
}

static void there_is_always_room_for_another(void **state)
{
    (void)state;
    assert_int_equal(fill(1, 1, 1), 1024);
    assert_true(fill(1, 2, 1) >= 30); /* of the same connection */
    assert_true(fill(2, 0, 1) >= 100);
    assert_true(fill(3, 0, 1) >= 20);
    serve_all();
    assert_int_equal(fill(1, 0, 1), 1024);
    serve_all();
}

static void there_is_always_room_for_anothers_bytes(void **state)
{
    (void)state;
    assert_in_range(fill(1, 0, 1000), 100, 200);
    struct op *large = op_new(2, 0, 1000);
    large->bytes = ((size_t)8 << 20) + 300000;
    assert_true(turns_add(&turns, large));
    serve_all();
}

static void any_number_of_callers_fits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MAX_COUNT; i++)
        add(i << 32 | i, i * 1000003, 1);
    struct op *op = op_new(MAX_COUNT, 0, 1);
    assert_false(turns_add(&turns, op));
    free(op);
    serve_all();
    for (uint64_t i = 0; i < 150; i++)
        add(5, i, 1000);
    serve_all();
}

static void clearing_takes_what_waits_and_no_more(void **state)
{
    (void)state;
    add_many(3, 1, 0, 1);
    add_many(3, 1, 4, 1000);
    add_many(3, 2, 0, 300);
    struct op *taken = turns_next(&turns, false);
    turns_take(&turns, taken, taken->items);
    size_t count = 0;
    for (struct op *op = turns_clear(&turns), *next; op; op = next, count++) {
        next = op->next;
        free(op);
    }
    assert_int_equal(count, 8);
    assert_int_equal(turns.all.held.count, 1);
    turns_release(&turns, taken);
    free(taken);
    serve_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_callers_operations_are_served_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tenants_have_a_batch_each, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_with_little_have_a_batch_each, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_goes_on_with_its_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tenant_leaves_room_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(who_wants_little_does_not_wait_for_who_wants_much, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_small_operations_are_no_way_to_be_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(connections_share_alike_whatever_they_send, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(clients_of_a_connection_share_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_cost_as_items_do, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_of_an_operation_is_next, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_always_room_for_another, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_always_room_for_anothers_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(any_number_of_callers_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(clearing_takes_what_waits_and_no_more, setup, teardown),
    };
    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
