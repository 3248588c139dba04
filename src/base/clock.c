/* Time and randomness from the kernel, replaceable by tests. */
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"

static int64_t (*test_now_us)(void);
static int64_t (*test_monotonic_us)(void);
static void (*test_fill)(void *bytes, size_t size);

static int64_t read_clock_us(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return test_now_us ? test_now_us() : read_clock_us(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
    return test_monotonic_us ? test_monotonic_us() : read_clock_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

/* Random bytes that a thread has taken from the kernel and not yet given out, so that an id costs
 * no system call. */
static _Thread_local struct {
    size_t left; /* the first of `bytes` */
    char bytes[256];
} random_pool;

/* A child inherits the pool of the thread that forked, and must not give out the same bytes. */
static void forget_random_pool(void)
{
    random_pool.left = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_random_pool);
}

static void fill_from_kernel(char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        CHECK(got >= 0 || errno == EINTR);
        if (got < 0)
            continue;
        bytes += got;
        size -= (size_t)got;
    }
}

void random_fill(void *bytes, size_t size)
{
    if (test_fill) {
        test_fill(bytes, size);
        return;
    }
    if (size > sizeof(random_pool.bytes)) {
        fill_from_kernel(bytes, size);
        return;
    }
    if (size > random_pool.left) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, watch_forks);
        fill_from_kernel(random_pool.bytes, sizeof(random_pool.bytes));
        random_pool.left = sizeof(random_pool.bytes);
    }
    random_pool.left -= size;
    memcpy(bytes, random_pool.bytes + random_pool.left, size);
    explicit_bzero(random_pool.bytes + random_pool.left, size);
}

void clock_set_now_for_test(int64_t (*now_us)(void))
{
    test_now_us = now_us;
}

void clock_set_monotonic_for_test(int64_t (*monotonic_us)(void))
{
    test_monotonic_us = monotonic_us;
}

void random_set_for_test(void (*fill)(void *bytes, size_t size))
{
    test_fill = fill;
}
