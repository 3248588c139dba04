/* How much a key, or all keys of a tenant, may do in a second: token buckets, each kept as the time
 * at which it is full again (the generic cell rate algorithm of ATM's traffic management). They
 * hold a second's worth. Any thread; no locks: of calls at the same moment a few may pass that are
 * beyond. */
#ifndef TRIGGERS_ACCESS_QUOTA_H
#define TRIGGERS_ACCESS_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "triggers/v1/access.pb-c.h"

enum quota_kind { QUOTA_CALLS, QUOTA_EVENTS, QUOTA_BYTES, QUOTA_KINDS };

struct quota {
    atomic_uint references;
    atomic_uint cores;             /* that shared it when something was taken */
    atomic_uint_fast64_t refusals; /* on record: of which minute, and which or how many */
    struct quota_bucket {
        atomic_uint_fast64_t per_second; /* 0: not limited */
        atomic_int_fast64_t full_us;     /* monotonic, as the next */
        atomic_int_fast64_t rests_us;    /* until when those rest that were refused so far */
    } buckets[QUOTA_KINDS];
};

/* Not limited, with one reference; NULL without memory. */
struct quota *quota_new(void);
struct quota *quota_hold(struct quota *quota);
void quota_release(struct quota *quota); /* NULL is allowed */

/* NULL: not limited. What was taken stays taken. */
void quota_set(struct quota *quota, const Triggers__V1__Limits *limits);

/* After how many microseconds something may be taken; 0: now. */
int64_t quota_wait_us(const struct quota *quota, enum quota_kind kind, int64_t now_us);

/* Takes an amount, be it more than there is: then nothing is to be taken for longer. `cores`: so
 * many share what is allowed, at least 1. */
void quota_take(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores,
                int64_t now_us);

/* For how many microseconds, at most QUOTA_LONGEST_REST_US, nothing more is to be read from a
 * connection whose call about such an amount was refused: no more of all refused ones come back
 * than there will be something for. */
#define QUOTA_LONGEST_REST_US 1000000
int64_t quota_rest_us(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores,
                      int64_t now_us);

/* Gives back what was taken, as it came to nothing. */
void quota_give_back(struct quota *quota, enum quota_kind kind, uint64_t amount, unsigned cores);

/* Whether a refusal goes on record, which is noted: of a key, one of each kind in a minute, 0 to
 * QUOTA_REFUSAL_KINDS - 1; of all keys of a tenant, so many in a minute. */
#define QUOTA_REFUSAL_KINDS 24
#define QUOTA_REFUSALS_OF_TENANT 60
bool quota_note_refusal(struct quota *of_key, unsigned kind, int64_t now_us);
bool quota_count_refusal(struct quota *of_tenant, int64_t now_us);

/* Adds to the texts of PASS_LIMITS_SIZE bytes, see base/pass.h, what is limited: names begin with
 * `prefix`. */
void quota_describe(const struct quota *quota, const char *prefix, int64_t now_us, char *policy,
                    char *left);

#endif
