#include "access/quota.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/pass.h"

#define SECOND_US INT64_C(1000000)
#define LONGEST_S 3600 /* for which one call may use up a bucket */
/* A connection may have calls that no limit is about: one that is alone with its refusals rests for
 * this long at most, and few are not kept waiting for the little that a low limit allows. */
#define SHORT_REST_US 100000
#define LEAST_PER_SECOND 1000
#define ALLOWED_OF_ONE 4 /* one that comes back finds what is there for so many calls like that */

struct quota *quota_new(void)
{
    struct quota *quota = calloc(1, sizeof(*quota));
    if (!quota)
        return NULL;
    atomic_init(&quota->references, 1);
    atomic_init(&quota->cores, 1);
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

/* For how long the amount fills the bucket that so many share. */
static int64_t cost_us(uint64_t amount, unsigned cores, uint64_t per_second)
{
    double seconds = (double)amount * cores / (double)per_second;
    return seconds < LONGEST_S ? (int64_t)(seconds * SECOND_US) : LONGEST_S * SECOND_US;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void quota_take(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores,
                int64_t now_us)
{
    struct quota_bucket *bucket = &quota->buckets[kind];
    uint64_t per_second = atomic_load_explicit(&bucket->per_second, memory_order_relaxed);
    if (per_second == 0)
        return;
    atomic_store_explicit(&quota->cores, cores, memory_order_relaxed);
    int64_t cost = cost_us(amount, cores, per_second);
    int_fast64_t full_us = atomic_load(&bucket->full_us);
    while (!atomic_compare_exchange_weak(&bucket->full_us, &full_us,
                                         (full_us > now_us ? full_us : now_us) + cost)) {
    }
}

int64_t quota_rest_us(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores,
                      int64_t now_us)
{
    struct quota_bucket *bucket = &quota->buckets[kind];
    uint64_t per_second = atomic_load_explicit(&bucket->per_second, memory_order_relaxed);
    if (per_second < LEAST_PER_SECOND)
        per_second = LEAST_PER_SECOND;
    int64_t cost = cost_us(amount * ALLOWED_OF_ONE, cores, per_second);
    int64_t soonest_us = now_us + least(quota_wait_us(quota, kind, now_us), SHORT_REST_US);
    int64_t latest_us = now_us + QUOTA_LONGEST_REST_US;
    int64_t until_us;
    int_fast64_t others_us = atomic_load(&bucket->rests_us);
    do {
        until_us = others_us > soonest_us ? least(others_us, latest_us) : soonest_us;
    } while (!atomic_compare_exchange_weak(&bucket->rests_us, &others_us,
                                           least(until_us + cost, latest_us)));
    return until_us - now_us;
}

void quota_give_back(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores)
{
    struct quota_bucket *bucket = &quota->buckets[kind];
    uint64_t per_second = atomic_load_explicit(&bucket->per_second, memory_order_relaxed);
    if (per_second > 0)
        atomic_fetch_sub(&bucket->full_us, cost_us(amount, cores, per_second));
}

/* What was noted in this minute; `*old` is all that was. */
static uint64_t this_minute(struct quota *quota, int64_t now_us, uint_fast64_t *old)
{
    uint64_t minute = (uint64_t)(now_us / (60 * SECOND_US)) << QUOTA_REFUSAL_KINDS;
    *old = atomic_load(&quota->refusals);
    return *old >> QUOTA_REFUSAL_KINDS == minute >> QUOTA_REFUSAL_KINDS ? *old : minute;
}

bool quota_note_refusal(struct quota *of_key, unsigned kind, int64_t now_us)
{
    uint64_t bit = (uint64_t)1 << kind;
    uint_fast64_t old;
    uint64_t noted;
    CHECK(kind < QUOTA_REFUSAL_KINDS);
    do {
        noted = this_minute(of_key, now_us, &old);
        if (noted & bit)
            return false;
    } while (!atomic_compare_exchange_weak(&of_key->refusals, &old, noted | bit));
    return true;
}

bool quota_count_refusal(struct quota *of_tenant, int64_t now_us)
{
    uint_fast64_t old;
    uint64_t counted;
    do {
        counted = this_minute(of_tenant, now_us, &old);
        if ((counted & (((uint64_t)1 << QUOTA_REFUSAL_KINDS) - 1)) >= QUOTA_REFUSALS_OF_TENANT)
            return false;
    } while (!atomic_compare_exchange_weak(&of_tenant->refusals, &old, counted + 1));
    return true;
}

static void add_item(char *list, const char *prefix, const char *name, const char *parameter,
                     uint64_t number)
{
    size_t size = strlen(list);
    snprintf(list + size, PASS_LIMITS_SIZE - size, "%s\"%s%s\";%s=%" PRIu64 ";%s",
             size > 0 ? ", " : "", prefix, name, parameter, number,
             parameter[0] == 'q' ? "w=1" : "t=1");
}

void quota_describe(const struct quota *quota, const char *prefix, int64_t now_us, char *policy,
                    char *left)
{
    static const char *const NAMES[] = {
        [QUOTA_CALLS] = "calls", [QUOTA_EVENTS] = "events", [QUOTA_BYTES] = "bytes"};
    unsigned cores = atomic_load_explicit(&quota->cores, memory_order_relaxed);
    for (enum quota_kind kind = 0; kind < QUOTA_KINDS; kind++) {
        const struct quota_bucket *bucket = &quota->buckets[kind];
        uint64_t per_second = atomic_load_explicit(&bucket->per_second, memory_order_relaxed);
        int64_t taken_us = atomic_load(&bucket->full_us) - now_us;
        int64_t left_us = taken_us <= 0           ? SECOND_US
                          : taken_us >= SECOND_US ? 0
                                                  : SECOND_US - taken_us;
        if (per_second == 0)
            continue;
        add_item(policy, prefix, NAMES[kind], "q", per_second);
        add_item(left, prefix, NAMES[kind], "r",
                 (uint64_t)((double)per_second / cores * (double)left_us / SECOND_US));
    }
}
