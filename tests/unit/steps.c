#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

int64_t steps_monotonic_us = 1000000;
int64_t steps_now_us = INT64_C(1700000000000000);
static uint64_t seed;

static int64_t read_monotonic(void)
{
    return steps_monotonic_us;
}

static int64_t read_now(void)
{
    return steps_now_us;
}

/* xorshift64 */
unsigned chance(unsigned count)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % count;
}

bool one_in(unsigned count)
{
    return chance(count) == 0;
}

static void fill(void *bytes, size_t size)
{
    for (uint8_t *byte = bytes; size > 0; size--)
        *byte++ = (uint8_t)chance(256);
}

void steps_pass_ms(int64_t ms)
{
    assert_true(ms >= 0);
    steps_monotonic_us += ms * 1000;
    steps_now_us += ms * 1000;
}

void steps_begin(void)
{
    const char *given = getenv("TRIGGERS_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    else
        random_fill(&seed, sizeof(seed));
    seed = seed ? seed : 1;
    print_message("TRIGGERS_TEST_SEED=%llu\n", (unsigned long long)seed);
    clock_set_monotonic_for_test(read_monotonic);
    clock_set_now_for_test(read_now);
    random_set_for_test(fill);
}
