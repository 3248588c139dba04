/* Counts of durations, exact to less than 2 %, in memory of fixed size. Adding is lock-free and may
 * be done by any number of threads. */
#ifndef TRIGGERS_CLI_HISTOGRAM_H
#define TRIGGERS_CLI_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_STEP_BITS 6 /* 64 steps for each power of two */
#define HISTOGRAM_MAX_BITS                                                                         \
    32 /* up to 71 minutes in microseconds; longer ones count as 71 minutes */
#define HISTOGRAM_SIZE ((HISTOGRAM_MAX_BITS - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

/* Zero-initialise. */
struct histogram {
    atomic_uint_fast64_t counts[HISTOGRAM_SIZE];
    atomic_uint_fast64_t total;
    atomic_uint_fast64_t max; /* exact */
};

void histogram_add(struct histogram *histogram, uint64_t us);

/* The duration that `share` (0 to 1) of all durations do not exceed; 0 when there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

#endif
