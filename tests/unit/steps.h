/* For tests that go through time and interleavings step by step, without threads: chances from a
 * seed, which is printed and which TRIGGERS_TEST_SEED sets to see the same again, and a clock that
 * only the test moves. */
#ifndef TRIGGERS_TESTS_UNIT_STEPS_H
#define TRIGGERS_TESTS_UNIT_STEPS_H

#include <stdbool.h>
#include <stdint.h>

/* Takes and prints the seed. Both clocks are the test's from now on, random_fill gives chances. */
void steps_begin(void);

/* What both clocks show, in microseconds; they begin with different times. */
extern int64_t steps_monotonic_us, steps_now_us;

/* Moves both. */
void steps_pass_ms(int64_t ms);

/* One of 0 to `count` - 1. */
unsigned chance(unsigned count);

/* True once in `count` times. */
bool one_in(unsigned count);

#endif
