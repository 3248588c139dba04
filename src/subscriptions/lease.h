/* What a lease is: an event that was given out and is not settled; and what a key is of which
 * events wait until that is so. */
#ifndef TRIGGERS_SUBSCRIPTIONS_LEASE_H
#define TRIGGERS_SUBSCRIPTIONS_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* Which entry gave an event out. */
struct lease_id {
    int64_t number; /* of the entry; 0: none, as of a revived dead letter */
    uint32_t token; /* of the entry, its low half */
    bool again;     /* a settlement gave it out again; else a take did */
};

struct lease {
    int64_t sequence;
    uint64_t key; /* store_key_of its event's ordering key, in a subscription by key; 0: none */
    struct lease_id id; /* the last one, which may be over */
    uint64_t pull;      /* out: the hash of its pull; 0: none */
    int64_t first_us; /* when it was given out for the first time; 0: a revived dead letter that was
                         not yet */
    int64_t started_us; /* when it was given out last */
    int64_t due_us;     /* when it may be given out again: waiting, the time that was said; out, the
                           end of the lease, to which the caller adds the back-off */
    uint32_t attempts;  /* how often it was given out; a release takes one back */
    bool out;           /* somebody has it, perhaps for too long; else it waits until due_us */
    bool dead;          /* not out; it is a dead letter, and blocks its key until it is revived or
                           removed */
    bool passed;        /* the take of its id gave it out when the position was after it */
};

/* The most leases, by whoever makes an entry: who makes takes may not have seen what is revived,
 * and who revives may not have seen the takes, so there may be twice as many. */
#define LEDGER_MAX_OUTSTANDING 100000

/* A key that waits. */
struct ledger_key {
    uint64_t key; /* store_key_of, not 0 */
    int64_t from; /* the first of its events that the position has passed without giving it out */
};

/* The most of them: who takes passes no event of another key then. */
#define LEDGER_MAX_MARKS 200000

/* When a lease is to be looked at again: the heap's order. From its due_us, attempts and the
 * subscription's settings; pure, and at least due_us unless it is out and its attempts are over. */
typedef int64_t ledger_next(const void *settings, const struct lease *lease);

#endif
