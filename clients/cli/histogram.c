/* Values below 64 have a bucket each; above that, every power of two is divided into 64 steps. */
#include "histogram.h"

#define STEPS (1u << HISTOGRAM_STEP_BITS)

static unsigned bucket_of(uint64_t value)
{
    const uint64_t top = (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1;
    if (value > top)
        value = top;
    if (value < STEPS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return ((shift + 1) << HISTOGRAM_STEP_BITS) + (unsigned)(value >> shift) - STEPS;
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = (bucket & (STEPS - 1)) + STEPS;
    return ((step + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
    atomic_fetch_add_explicit(&histogram->counts[bucket_of(us)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->total, 1, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    while (us > max && !atomic_compare_exchange_weak(&histogram->max, &max, us))
        ;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
    uint64_t total = histogram->total;
    uint64_t max = histogram->max;
    double wanted = share * (double)total;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_SIZE && total > 0; i++) {
        seen += histogram->counts[i];
        if (seen > 0 && (double)seen >= wanted)
            return bucket_top(i) < max ? bucket_top(i) : max;
    }
    return max;
}
