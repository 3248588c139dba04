/* The keys of one ledger that wait: of each the first event that the position has passed without
 * giving it out. Found by key; those that are ready, as nothing of them is out, also by their
 * event. It knows nothing of leases: who does says what is ready. One that is empty has no memory.
 */
#ifndef TRIGGERS_SUBSCRIPTIONS_MARKS_H
#define TRIGGERS_SUBSCRIPTIONS_MARKS_H

#include <stddef.h>

#include "base/status.h"
#include "subscriptions/lease.h"

struct mark; /* a key that waits, and its place */

struct marks {
    struct mark *slots; /* `count` of them; the memory, of which the others are parts */
    uint32_t *ready;    /* slots: a heap, the lowest event first */
    uint32_t *found;    /* ends of walks through the heap, within marks_ready */
    uint32_t *by_key;   /* slots: a hash table, twice as large as `capacity` */
    uint32_t capacity;  /* 0, or a power of 2 */
    uint32_t count;
    uint32_t ready_count;
};

void marks_clear(struct marks *marks);

/* `from` of a key, not 0; 0: it does not wait. */
int64_t marks_find(const struct marks *marks, uint64_t key);

/* The i-th, in no particular order. */
struct ledger_key marks_at(const struct marks *marks, size_t i);

/* The key waits, from another event on or as a new one. False without memory, or when there are
 * LEDGER_MAX_MARKS. */
bool marks_set(struct marks *marks, struct ledger_key key, bool ready, bool *no_memory) MUST_CHECK;

/* Removes one that is there. */
void marks_remove(struct marks *marks, uint64_t key);

/* Says whether the key is ready; it may also be one that does not wait. */
void marks_set_ready(struct marks *marks, uint64_t key, bool ready);

/* Those that are ready, at most `max`, the lowest `from` first. */
size_t marks_ready(const struct marks *marks, struct ledger_key *keys, size_t max);

#endif
