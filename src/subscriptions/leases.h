/* The leases of one ledger: found by the sequence of their event, by their pull, by their key, and
 * by the time they are next. It knows nothing of entries. One that is empty has no memory.
 *
 * Of the leases of one key only the first one has a next time, and none when that is dead: those
 * that are out come first, then the dead, then those that wait, and of these the lowest sequence.
 * There are several only when dead letters were revived, or while entries are applied in another
 * order than they were decided in. */
#ifndef TRIGGERS_SUBSCRIPTIONS_LEASES_H
#define TRIGGERS_SUBSCRIPTIONS_LEASES_H

#include <stddef.h>

#include "base/status.h"
#include "subscriptions/lease.h"

#define LEASES_MAX (2 * LEDGER_MAX_OUTSTANDING)

struct lease_slot; /* a lease and its places */

struct leases {
    ledger_next *next;
    const void *settings;
    struct lease_slot *slots; /* the memory, of which the others are parts */
    uint32_t *heap;           /* slots: the earliest next time first, then the lowest sequence */
    uint32_t *found;          /* ends of walks through the heap, within leases_due */
    uint32_t *by_sequence;    /* slots: a hash table, twice as large as `capacity` */
    uint32_t *by_pull;        /* slots: the heads of lists, `capacity` of them */
    uint32_t *by_key;         /* slots: the heads of lists of the first ones of keys, the same */
    uint32_t capacity;        /* 0, or a power of 2 */
    uint32_t used;            /* slots from here on were never used */
    uint32_t free;            /* the first of a list */
    uint32_t count;
    uint32_t out;   /* of these, somebody has */
    uint32_t dead;  /* of these */
    uint32_t keyed; /* of these, have a key */
};

void leases_init(struct leases *leases, ledger_next *next, const void *settings);
void leases_fini(struct leases *leases);

/* Without this one. */
void leases_clear(struct leases *leases);

void leases_reorder(struct leases *leases, const void *settings);

/* Whether there is one of the key, which is not 0. */
bool leases_have_key(const struct leases *leases, uint64_t key);

/* ledger_turn_back. */
void leases_turn_back(struct leases *leases, int64_t now_us, int64_t by_us);

/* NULL: there is none. */
const struct lease *leases_find(const struct leases *leases, int64_t sequence);

/* The i-th, in no particular order. */
const struct lease *leases_at(const struct leases *leases, size_t i);

/* Adds one, for whose sequence there is none. False without memory, or when there are LEASES_MAX.
 */
bool leases_add(struct leases *leases, const struct lease *lease, bool *no_memory) MUST_CHECK;

/* Changes one that is there, but for its key. */
void leases_set(struct leases *leases, const struct lease *lease);

/* Removes one that is there. */
void leases_remove(struct leases *leases, int64_t sequence);

/* ledger.h has what these do; leases_pulled tells all that the pull has, in no particular order. */
size_t leases_due(const struct leases *leases, int64_t now_us, const struct lease **due,
                  size_t max);
int64_t leases_next_us(const struct leases *leases);

/* Goes through the leases of a pull that is not 0: the first one after `after`, which is one of
 * them; NULL: from the beginning; at the end NULL. */
const struct lease *leases_pulled(const struct leases *leases, uint64_t pull,
                                  const struct lease *after);

#endif
