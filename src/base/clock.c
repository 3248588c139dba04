/* Time and randomness from the kernel, replaceable by tests. */
#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t (*test_now_us)(void);
static void (*test_fill)(void *bytes, size_t size);

static int64_t read_clock_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return test_now_us ? test_now_us() : read_clock_us(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void random_fill(void *bytes, size_t size)
{
    if (test_fill) {
        test_fill(bytes, size);
        return;
    }
    char *next = bytes;
    while (size > 0) {
        ssize_t got = getrandom(next, size, 0);
        if (got < 0)
            continue; /* EINTR: the only error getrandom has with flags 0 and valid memory */
        next += got;
        size -= (size_t)got;
    }
}

void clock_set_now_for_test(int64_t (*now_us)(void))
{
    test_now_us = now_us;
}

void random_set_for_test(void (*fill)(void *bytes, size_t size))
{
    test_fill = fill;
}
