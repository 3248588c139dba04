/* Time and randomness. Everything in the programs that needs either gets it here, so that tests can
 * set both. All functions may be called from any thread. */
#ifndef TRIGGERS_BASE_CLOCK_H
#define TRIGGERS_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Microseconds since 1970-01-01 UTC. */
int64_t clock_now_us(void);

/* Milliseconds of the monotonic clock; for deadlines and durations. */
int64_t clock_monotonic_ms(void);

/* Microseconds on the same clock; for measuring. */
int64_t clock_monotonic_us(void);

/* Fills `size` bytes with the kernel's randomness. No byte of it is given out twice, not even to a
 * child made by fork. Does not fail. */
void random_fill(void *bytes, size_t size);

/* Tests only: replaces the source of clock_now_us, of the monotonic clock, or of random_fill; NULL
 * restores the real one. Call before other threads start. wait_until always uses the kernel's
 * clock. */
void clock_set_now_for_test(int64_t (*now_us)(void));
void clock_set_monotonic_for_test(int64_t (*monotonic_us)(void));
void random_set_for_test(void (*fill)(void *bytes, size_t size));

#endif
