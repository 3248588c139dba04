#include "access/quota.h"

#include <stdlib.h>

#define SECOND_US INT64_C(1000000)
#define LONGEST_S 3600 /* for which one call may use up a bucket */

struct quota *quota_new(void)
{
    struct quota *quota = calloc(1, sizeof(*quota));
    if (quota)
        atomic_init(&quota->references, 1);
    return quota;
}

struct quota *quota_hold(struct quota *quota)
{
    atomic_fetch_add(&quota->references, 1);
    return quota;
}

void quota_release(struct quota *quota)
{
    if (quota && atomic_fetch_sub(&quota->references, 1) == 1)
        free(quota);
}

void quota_set(struct quota *quota, const Triggers__V1__Limits *limits)
{
    atomic_store(&quota->buckets[QUOTA_CALLS].per_second, limits ? limits->calls_per_second : 0);
    atomic_store(&quota->buckets[QUOTA_EVENTS].per_second, limits ? limits->events_per_second : 0);
    atomic_store(&quota->buckets[QUOTA_BYTES].per_second, limits ? limits->bytes_per_second : 0);
}

int64_t quota_wait_us(const struct quota *quota, enum quota_kind kind, int64_t now_us)
{
    const struct quota_bucket *bucket = &quota->buckets[kind];
    if (atomic_load_explicit(&bucket->per_second, memory_order_relaxed) == 0)
        return 0;
    int64_t missing_us = atomic_load(&bucket->full_us) - now_us;
    return missing_us >= SECOND_US ? missing_us - SECOND_US + 1 : 0;
}

void quota_take(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores,
                int64_t now_us)
{
    struct quota_bucket *bucket = &quota->buckets[kind];
    uint64_t per_second = atomic_load_explicit(&bucket->per_second, memory_order_relaxed);
    if (per_second == 0)
        return;
    double seconds = (double)amount * cores / (double)per_second;
    int64_t cost_us = seconds < LONGEST_S ? (int64_t)(seconds * SECOND_US) : LONGEST_S * SECOND_US;
    int_fast64_t full_us = atomic_load(&bucket->full_us);
    while (!atomic_compare_exchange_weak(&bucket->full_us, &full_us,
                                         (full_us > now_us ? full_us : now_us) + cost_us)) {
    }
}
