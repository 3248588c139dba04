/* Who gets memory when there is too little: the rooms of requests, without the requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <microhttpd.h>

#include "connections.h"
#include "loop.h"
#include "memory.h"

enum { KIB = 1024, CEILING = 1024 * KIB }; /* one address gets 576 KiB of it for large ones */
enum { ASKERS = 3 };

static struct memory memory;
static struct connections connections;
static struct loop loop;
static struct peer_address address;
static struct {
    struct connection peer;
    struct charge charge;
    struct room room;
} askers[ASKERS];

/* In the place of libmicrohttpd's. */
void MHD_suspend_connection(struct MHD_Connection *connection)
{
    assert_ptr_equal(connection, &askers);
}

static int setup(void **state)
{
    (void)state;
    memory_init(&memory, PROGRAM_MEMORY + CEILING, &connections);
    connections_init(&connections, &memory.budget);
    pthread_mutex_init(&loop.mutex, NULL);
    address = (struct peer_address){.share.budget = &memory.budget};
    for (int i = 0; i < ASKERS; i++) {
        askers[i].peer = (struct connection){.loop = &loop, .http = (void *)&askers};
        askers[i].charge = (struct charge){.share = &address.share};
        askers[i].room = (struct room){
            .peer = &askers[i].peer, .charge = &askers[i].charge, .since_us = i, .large = true};
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < ASKERS; i++)
        charge_release(&askers[i].charge, askers[i].charge.held);
    pthread_mutex_destroy(&loop.mutex);
    connections_fini(&connections);
    memory_fini(&memory);
    return 0;
}

static enum memory_result take(int asker, size_t kib)
{
    return memory_take(&memory, &askers[asker].room, kib * KIB, 0);
}

static void release(int asker, size_t kib)
{
    charge_release(&askers[asker].charge, kib * KIB);
    memory_serve(&memory);
}

/* Whether the loop was told to resume this one, and then those told before it. */
static void assert_resumed(int asker)
{
    assert_ptr_equal(loop.handed, asker < 0 ? NULL : &askers[asker].peer);
    loop.handed = loop.handed ? loop.handed->next_handed : NULL;
}

static void those_that_wait_are_served_by_age(void **state)
{
    (void)state;
    assert_int_equal(take(0, 500), MEMORY_TAKEN);
    assert_int_equal(take(2, 200), MEMORY_WAITS);
    assert_int_equal(take(1, 300), MEMORY_WAITS);
    assert_resumed(-1);
    release(0, 500);
    assert_resumed(2);
    assert_resumed(1);
    assert_resumed(-1);
    assert_int_equal(take(2, 200), MEMORY_TAKEN);
    assert_int_equal(take(1, 300), MEMORY_TAKEN);
    assert_int_equal(memory.budget.held, 500 * KIB);
}

static void nobody_overtakes_an_older_one_except_the_small(void **state)
{
    (void)state;
    assert_int_equal(take(0, 500), MEMORY_TAKEN);
    assert_int_equal(take(1, 400), MEMORY_WAITS);
    assert_int_equal(take(2, 20), MEMORY_WAITS); /* it would fit */
    release(0, 100);
    assert_resumed(-1);
    memory_close(&memory);
    assert_int_equal(take(2, 20), MEMORY_REFUSED);
    askers[2].room.large = false;
    assert_int_equal(take(2, 8), MEMORY_TAKEN);
    assert_resumed(2);
    assert_resumed(1);
}

static void what_is_favoured_keeps_the_room_that_it_released(void **state)
{
    (void)state;
    memory_favour(&memory, &askers[0].room);
    assert_int_equal(take(1, 20), MEMORY_WAITS);
    memory_serve(&memory);
    assert_resumed(-1);
    memory_unfavour(&memory, &askers[1].room); /* it is not the one */
    assert_resumed(-1);
    memory_unfavour(&memory, &askers[0].room);
    assert_resumed(1);
    assert_int_equal(take(1, 20), MEMORY_TAKEN);
}

static void nobody_waits_when_it_is_closed(void **state)
{
    (void)state;
    assert_int_equal(take(0, 500), MEMORY_TAKEN);
    assert_int_equal(take(1, 300), MEMORY_WAITS);
    memory_close(&memory);
    assert_resumed(1);
    assert_int_equal(take(1, 300), MEMORY_REFUSED);
    assert_int_equal(take(2, 300), MEMORY_REFUSED);
    assert_int_equal(memory.refused, 2);
    assert_int_equal(take(2, 20), MEMORY_TAKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_that_wait_are_served_by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_overtakes_an_older_one_except_the_small, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_favoured_keeps_the_room_that_it_released, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_waits_when_it_is_closed, setup, teardown),
    };
    return cmocka_run_group_tests_name("bridge_memory", tests, NULL, NULL);
}
