/* What is too slow of a peer, and how its counts are looked at over a real connection. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "pace.h"

#define PATIENCE_MS 10000

static void the_whole_time_is_bounded_by_the_size(void **state)
{
    (void)state;
    assert_false(pace_is_too_slow(0, PATIENCE_MS, PATIENCE_MS));
    assert_false(pace_is_too_slow(0, PATIENCE_MS + 999, PATIENCE_MS));
    assert_true(pace_is_too_slow(0, PATIENCE_MS + 1000, PATIENCE_MS));
    assert_true(pace_is_too_slow(PACE_LOWEST - 1, PATIENCE_MS + 1000, PATIENCE_MS));
    assert_false(pace_is_too_slow(PACE_LOWEST, PATIENCE_MS + 1000, PATIENCE_MS));
    assert_true(pace_is_too_slow(8 << 20, PATIENCE_MS + 513000, PATIENCE_MS));
    assert_true(pace_is_too_slow(UINT64_MAX / 2 / PACE_LOWEST, INT64_MAX / 2, PATIENCE_MS));
}

/* A connection to oneself. */
static void connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[0], (struct sockaddr *)&address, size), 0);
    ends[1] = accept(listener, NULL, NULL);
    assert_true(ends[1] >= 0);
    close(listener);
}

static void send_bytes(int socket, size_t size)
{
    char bytes[1000] = {0};
    assert_int_equal(send(socket, bytes, size, 0), (ssize_t)size);
}

static void read_bytes(int socket, size_t size)
{
    char bytes[1000];
    assert_int_equal(recv(socket, bytes, size, MSG_WAITALL), (ssize_t)size);
}

static void heads_are_timed_from_their_first_byte(void **state)
{
    (void)state;
    int ends[2];
    connect_pair(ends);
    struct pace pace;
    pace_init(&pace, 0);
    assert_false(pace_is_late(&pace, ends[1], 60000, PATIENCE_MS)); /* idle */
    send_bytes(ends[0], 10);
    assert_false(pace_is_late(&pace, ends[1], 60500, PATIENCE_MS));
    assert_false(pace_is_late(&pace, ends[1], 80000, PATIENCE_MS)); /* nobody has read it */
    read_bytes(ends[1], 10);
    assert_true(pace_is_late(&pace, ends[1], 80000, PATIENCE_MS));
    pace_begin(&pace, PACE_OURS);
    assert_false(pace_is_late(&pace, ends[1], 90000, PATIENCE_MS));
    pace_begin(&pace, PACE_IDLE);
    assert_false(pace_is_late(&pace, ends[1], 100000, PATIENCE_MS));
    assert_false(pace_is_late(&pace, ends[1], 200000, PATIENCE_MS));
    close(ends[0]);
    close(ends[1]);
}

static void bodies_are_as_slow_as_what_has_come_since(void **state)
{
    (void)state;
    int ends[2];
    connect_pair(ends);
    struct pace pace;
    pace_init(&pace, 0);
    pace_begin(&pace, PACE_BODY);
    assert_false(pace_is_late(&pace, ends[1], 1000, PATIENCE_MS));
    assert_true(pace_rate(&pace) == PACE_UNKNOWN);
    send_bytes(ends[0], 500);
    read_bytes(ends[1], 500);
    assert_false(pace_is_late(&pace, ends[1], 6000, PATIENCE_MS));
    assert_int_equal(pace_rate(&pace), 100);
    assert_true(pace_is_late(&pace, ends[1], 12000, PATIENCE_MS));
    pace_begin(&pace, PACE_BODY); /* of another request */
    assert_true(pace_rate(&pace) == PACE_UNKNOWN);
    assert_false(pace_is_late(&pace, ends[1], 13000, PATIENCE_MS));
    close(ends[0]);
    close(ends[1]);
}

static void answer_is(enum pace_phase phase, bool late, const char *status)
{
    int ends[2];
    connect_pair(ends);
    struct pace pace;
    pace_init(&pace, 0);
    pace_begin(&pace, phase);
    assert_false(pace_is_late(&pace, ends[1], 1000, PATIENCE_MS));
    const char *text = pace_last_words(&pace, late);
    close(ends[1]);
    close(ends[0]);
    if (!status) {
        assert_null(text);
        return;
    }
    assert_true(strncmp(text, status, strlen(status)) == 0);
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    if (body && length)
        assert_int_equal(strtoul(length + strlen("Content-Length: "), NULL, 10), strlen(body + 4));
}

static void slow_peers_are_told_where_they_wait_for_an_answer(void **state)
{
    (void)state;
    answer_is(PACE_IDLE, true, "HTTP/1.1 408 ");
    answer_is(PACE_BODY, true, "HTTP/1.1 408 ");
    answer_is(PACE_BODY, false, "HTTP/1.1 503 ");
    answer_is(PACE_ANSWER, true, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_time_is_bounded_by_the_size),
        cmocka_unit_test(heads_are_timed_from_their_first_byte),
        cmocka_unit_test(bodies_are_as_slow_as_what_has_come_since),
        cmocka_unit_test(slow_peers_are_told_where_they_wait_for_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
