/* Which connections make room, and when: those that are accepted before a loop takes them, too. And
 * which of them share. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "connections.h"

enum { MAX = 4, LEAVING = 2, CEILING = 64 << 20 };

static struct budget budget;
static struct connections connections;
static struct connection *open_ones[MAX + LEAVING];
static int peers[MAX + LEAVING];

static int setup(void **state)
{
    (void)state;
    budget.ceiling = CEILING;
    connections_init(&connections, &budget);
    connections.max = MAX;
    connections.leaving = LEAVING;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(budget.ceiling, CEILING);
    connections_fini(&connections);
    return 0;
}

static struct sockaddr_storage read_address(const char *text)
{
    struct sockaddr_storage address = {.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET};
    void *bytes = address.ss_family == AF_INET6
                      ? (void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                      : (void *)&((struct sockaddr_in *)&address)->sin_addr;
    assert_int_equal(inet_pton(address.ss_family, text, bytes), 1);
    return address;
}

static void add_from(size_t number, const char *text)
{
    struct sockaddr_storage address = read_address(text);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    peers[number] = ends[1];
    open_ones[number] = connections_add(&connections, ends[0], &address, sizeof(address));
    assert_non_null(open_ones[number]);
}

static void add(size_t number)
{
    add_from(number, "192.0.2.1");
}

static void wait_for_its_peer(size_t number)
{
    connections_set_waiting(&connections, open_ones[number], true);
}

static bool is_told(size_t number)
{
    char byte;
    return recv(peers[number], &byte, 1, 0) == 0;
}

static void remove_one(size_t number)
{
    int socket = open_ones[number]->socket;
    connections_remove(&connections, open_ones[number]);
    close(socket);
    close(peers[number]);
}

static void the_oldest_that_waits_makes_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX; i++) {
        assert_false(connections_full(&connections));
        add(i);
        wait_for_its_peer(i);
    }
    connections_set_waiting(&connections, open_ones[0], false); /* its request is being answered */
    add(MAX);
    assert_false(is_told(0));
    assert_true(is_told(1));
    wait_for_its_peer(1); /* it was told, and is not told again */
    add(MAX + 1);
    assert_true(is_told(2));
    assert_false(is_told(3));
    assert_true(connections_full(&connections));
    assert_false(is_told(3)); /* there is room as soon as those have closed */
    remove_one(1);
    assert_false(connections_full(&connections));
    for (size_t i = 0; i < MAX + LEAVING; i++) {
        if (i != 1)
            remove_one(i);
    }
}

/* Before those that have waited for longer. */
static void one_that_can_be_spared_makes_room_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX; i++) {
        add(i);
        wait_for_its_peer(i);
    }
    connections_set_spare(&connections, open_ones[1]);
    connections_set_spare(&connections, open_ones[2]);
    connections_set_waiting(&connections, open_ones[2], false); /* its answer goes out */
    add(MAX);
    assert_true(is_told(1));
    connections_set_spare(&connections, open_ones[1]); /* it was told, and is not told again */
    add(MAX + 1);
    assert_true(is_told(0));
    assert_false(is_told(2));
    for (size_t i = 0; i < MAX + LEAVING; i++)
        remove_one(i);
}

/* The loops are slow to take what was accepted: nothing waits that could make room yet. */
static void what_no_loop_has_taken_makes_room_later(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX + LEAVING; i++)
        add(i);
    assert_true(connections_full(&connections));
    for (size_t i = 0; i < MAX + LEAVING; i++) {
        assert_false(is_told(i));
        wait_for_its_peer(i);
    }
    assert_true(connections_full(&connections));
    for (size_t i = 0; i < MAX + LEAVING; i++)
        assert_int_equal(is_told(i), i < LEAVING);
    remove_one(0);
    assert_false(connections_full(&connections));
    for (size_t i = 1; i < MAX + LEAVING; i++)
        remove_one(i);
}

/* An IPv6 network of 64 bits is one caller, and so is an address written in both ways. */
static void an_address_has_one_share(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t same_as; /* the first of its address */
    } cases[] = {
        {"192.0.2.1", 0},   {"::ffff:192.0.2.1", 0}, {"192.0.2.2", 2},
        {"2001:db8::1", 3}, {"2001:db8::ffff:1", 3}, {"2001:db8:0:1::1", 5},
    };
    enum { COUNT = sizeof(cases) / sizeof(cases[0]) };
    for (size_t i = 0; i < COUNT; i++) {
        add_from(i, cases[i].text);
        for (size_t j = 0; j < i; j++)
            assert_int_equal(open_ones[i]->share == open_ones[j]->share,
                             cases[i].same_as == cases[j].same_as);
    }
    assert_int_equal(budget.ceiling, CEILING - COUNT * CONNECTION_COST);
    for (size_t i = 0; i < COUNT; i++)
        remove_one(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_that_waits_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_can_be_spared_makes_room_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_no_loop_has_taken_makes_room_later, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_has_one_share, setup, teardown),
    };
    return cmocka_run_group_tests_name("bridge_connections", tests, NULL, NULL);
}
