/* Slots, and four ways to find one. Indexes of slots stay the same until the lease is removed. */
#include "subscriptions/leases.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define NO_SLOT UINT32_MAX
#define FIRST_CAPACITY 8u
#define NEVER INT64_MAX

struct lease_slot {
    struct lease lease;
    int64_t next_us;
    uint32_t heap_at;
    uint32_t pull_next, pull_previous; /* in the list of by_pull; pull_next of a free slot: the next
                                          free one */
    /* Of one with a key. The first one of its key is in a list of by_key; the others are in the
     * list of their parent's children in the heap of the key, where the previous one of the first
     * child is the parent. */
    uint32_t key_next, key_previous;
    uint32_t key_child;
    bool is_first;
};

void leases_init(struct leases *leases, ledger_next *next, const void *settings)
{
    *leases = (struct leases){.next = next, .settings = settings, .free = NO_SLOT};
}

void leases_fini(struct leases *leases)
{
    free(leases->slots);
}

void leases_clear(struct leases *leases)
{
    leases_fini(leases);
    leases_init(leases, leases->next, leases->settings);
}

static uint32_t index_of(const struct leases *leases, const struct lease_slot *slot)
{
    return (uint32_t)(slot - leases->slots);
}

/* ---- by time ---- */

static bool is_before(const struct leases *leases, uint32_t a, uint32_t b)
{
    const struct lease_slot *one = &leases->slots[a], *other = &leases->slots[b];
    return one->next_us != other->next_us ? one->next_us < other->next_us
                                          : one->lease.sequence < other->lease.sequence;
}

static void heap_place(struct leases *leases, uint32_t at, uint32_t slot)
{
    leases->heap[at] = slot;
    leases->slots[slot].heap_at = at;
}

/* Moves the slot at `at` to where it belongs. */
static void heap_settle(struct leases *leases, uint32_t at)
{
    uint32_t slot = leases->heap[at];
    for (; at > 0 && is_before(leases, slot, leases->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_place(leases, at, leases->heap[(at - 1) / 2]);
    for (uint32_t child; (child = 2 * at + 1) < leases->count; at = child) {
        if (child + 1 < leases->count &&
            is_before(leases, leases->heap[child + 1], leases->heap[child]))
            child++;
        if (!is_before(leases, leases->heap[child], slot))
            break;
        heap_place(leases, at, leases->heap[child]);
    }
    heap_place(leases, at, slot);
}

/* When it is next, which may be never. */
static int64_t next_of(const struct leases *leases, const struct lease_slot *slot)
{
    if (slot->lease.key != 0 && (!slot->is_first || slot->lease.dead))
        return NEVER;
    return leases->next(leases->settings, &slot->lease);
}

void leases_reorder(struct leases *leases, const void *settings)
{
    leases->settings = settings;
    uint32_t count = leases->count;
    for (leases->count = 0; leases->count < count;) {
        uint32_t at = leases->count++;
        struct lease_slot *slot = &leases->slots[leases->heap[at]];
        slot->next_us = next_of(leases, slot);
        heap_settle(leases, at);
    }
}

static void turn_back(struct lease *lease, int64_t now_us, int64_t by_us)
{
    int64_t ahead_us = lease->started_us - now_us;
    if (ahead_us > 0) {
        lease->started_us = now_us;
        lease->due_us -= ahead_us;
    } else if (!lease->out && lease->due_us > now_us) {
        int64_t left_us = lease->due_us - now_us;
        lease->due_us -= left_us < by_us ? left_us : by_us;
    }
}

void leases_turn_back(struct leases *leases, int64_t now_us, int64_t by_us)
{
    for (uint32_t i = 0; i < leases->count; i++)
        turn_back(&leases->slots[leases->heap[i]].lease, now_us, by_us);
    leases_reorder(leases, leases->settings);
}

int64_t leases_next_us(const struct leases *leases)
{
    return leases->count > 0 ? leases->slots[leases->heap[0]].next_us : INT64_MAX;
}

/* Walks the heap from its top, always on from the earliest of the places reached, which are a heap
 * themselves, in `found`. */
size_t leases_due(const struct leases *leases, int64_t now_us, const struct lease **due, size_t max)
{
    uint32_t *ends = leases->found;
    size_t end_count = 0, count = 0;
    if (leases->count > 0)
        ends[end_count++] = 0;
    while (end_count > 0 && count < max) {
        uint32_t at = ends[0];
        const struct lease_slot *slot = &leases->slots[leases->heap[at]];
        if (slot->next_us > now_us || slot->next_us == NEVER)
            break;
        due[count++] = &slot->lease;
        uint32_t last = ends[--end_count];
        size_t hole = 0;
        for (size_t child; (child = 2 * hole + 1) < end_count; hole = child) {
            if (child + 1 < end_count &&
                is_before(leases, leases->heap[ends[child + 1]], leases->heap[ends[child]]))
                child++;
            if (!is_before(leases, leases->heap[ends[child]], leases->heap[last]))
                break;
            ends[hole] = ends[child];
        }
        ends[hole] = last;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < leases->count; child++) {
            size_t end = end_count++;
            for (; end > 0 &&
                   is_before(leases, leases->heap[child], leases->heap[ends[(end - 1) / 2]]);
                 end = (end - 1) / 2)
                ends[end] = ends[(end - 1) / 2];
            ends[end] = child;
        }
    }
    return count;
}

/* ---- by sequence: open addressing, one after the other, without marks of what was removed ---- */

static uint32_t spread(uint64_t value, uint32_t size)
{
    return (uint32_t)((value * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);
}

/* Where the slot of a sequence is in by_sequence, or would be. */
static uint32_t place_of(const struct leases *leases, int64_t sequence)
{
    uint32_t size = 2 * leases->capacity;
    uint32_t at = spread((uint64_t)sequence, size);
    while (leases->by_sequence[at] != NO_SLOT &&
           leases->slots[leases->by_sequence[at]].lease.sequence != sequence)
        at = (at + 1) & (size - 1);
    return at;
}

static struct lease_slot *slot_of(const struct leases *leases, int64_t sequence)
{
    uint32_t slot = leases->capacity ? leases->by_sequence[place_of(leases, sequence)] : NO_SLOT;
    return slot == NO_SLOT ? NULL : &leases->slots[slot];
}

/* Empties a place, and moves those after it that the hole would hide. */
static void empty_place(struct leases *leases, uint32_t hole)
{
    uint32_t mask = 2 * leases->capacity - 1;
    for (uint32_t at = (hole + 1) & mask; leases->by_sequence[at] != NO_SLOT;
         at = (at + 1) & mask) {
        int64_t sequence = leases->slots[leases->by_sequence[at]].lease.sequence;
        uint32_t home = spread((uint64_t)sequence, mask + 1);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            leases->by_sequence[hole] = leases->by_sequence[at];
            hole = at;
        }
    }
    leases->by_sequence[hole] = NO_SLOT;
}

/* ---- by pull: lists ---- */

static uint32_t *pull_head(const struct leases *leases, uint64_t pull)
{
    return &leases->by_pull[spread(pull, leases->capacity)];
}

static void pull_join(struct leases *leases, struct lease_slot *slot)
{
    if (slot->lease.pull == 0)
        return;
    uint32_t *head = pull_head(leases, slot->lease.pull);
    slot->pull_next = *head;
    slot->pull_previous = NO_SLOT;
    if (*head != NO_SLOT)
        leases->slots[*head].pull_previous = index_of(leases, slot);
    *head = index_of(leases, slot);
}

static void pull_leave(struct leases *leases, const struct lease_slot *slot)
{
    if (slot->lease.pull == 0)
        return;
    if (slot->pull_next != NO_SLOT)
        leases->slots[slot->pull_next].pull_previous = slot->pull_previous;
    if (slot->pull_previous != NO_SLOT)
        leases->slots[slot->pull_previous].pull_next = slot->pull_next;
    else
        *pull_head(leases, slot->lease.pull) = slot->pull_next;
}

const struct lease *leases_pulled(const struct leases *leases, uint64_t pull,
                                  const struct lease *after)
{
    if (leases->capacity == 0)
        return NULL;
    uint32_t at = after ? ((const struct lease_slot *)after)->pull_next : *pull_head(leases, pull);
    while (at != NO_SLOT && leases->slots[at].lease.pull != pull)
        at = leases->slots[at].pull_next;
    return at == NO_SLOT ? NULL : &leases->slots[at].lease;
}

/* ---- by key: lists of the first ones, each on top of a pairing heap of its key's leases ---- */

static bool comes_first(const struct leases *leases, uint32_t a, uint32_t b)
{
    const struct lease *one = &leases->slots[a].lease, *other = &leases->slots[b].lease;
    if (one->out != other->out)
        return one->out;
    if (one->dead != other->dead)
        return one->dead;
    return one->sequence < other->sequence;
}

static uint32_t *key_head(const struct leases *leases, uint64_t key)
{
    return &leases->by_key[spread(key, leases->capacity)];
}

/* The first one of a key; NO_SLOT: there is none. */
static uint32_t first_of_key(const struct leases *leases, uint64_t key)
{
    uint32_t at = leases->capacity ? *key_head(leases, key) : NO_SLOT;
    while (at != NO_SLOT && leases->slots[at].lease.key != key)
        at = leases->slots[at].key_next;
    return at;
}

/* The slot is the first one of its key from now on. */
static void first_join(struct leases *leases, uint32_t first)
{
    struct lease_slot *slot = &leases->slots[first];
    uint32_t *head = key_head(leases, slot->lease.key);
    slot->is_first = true;
    slot->key_next = *head;
    slot->key_previous = NO_SLOT;
    if (*head != NO_SLOT)
        leases->slots[*head].key_previous = first;
    *head = first;
}

static void first_leave(struct leases *leases, uint32_t first)
{
    struct lease_slot *slot = &leases->slots[first];
    slot->is_first = false;
    if (slot->key_next != NO_SLOT)
        leases->slots[slot->key_next].key_previous = slot->key_previous;
    if (slot->key_previous != NO_SLOT)
        leases->slots[slot->key_previous].key_next = slot->key_next;
    else
        *key_head(leases, slot->lease.key) = slot->key_next;
}

/* Makes one heap of two, of which either may be NO_SLOT. */
static uint32_t meld(struct leases *leases, uint32_t a, uint32_t b)
{
    if (a == NO_SLOT || b == NO_SLOT)
        return a == NO_SLOT ? b : a;
    uint32_t top = comes_first(leases, a, b) ? a : b;
    uint32_t child = top == a ? b : a;
    uint32_t next = leases->slots[top].key_child;
    leases->slots[child].key_next = next;
    leases->slots[child].key_previous = top;
    if (next != NO_SLOT)
        leases->slots[next].key_previous = child;
    leases->slots[top].key_child = child;
    return top;
}

/* Makes one heap of a list of them: first of pairs, and then of all, from the last one on. */
static uint32_t meld_list(struct leases *leases, uint32_t list)
{
    uint32_t pairs = NO_SLOT, top = NO_SLOT;
    while (list != NO_SLOT) {
        uint32_t one = list, other = leases->slots[one].key_next;
        list = other == NO_SLOT ? NO_SLOT : leases->slots[other].key_next;
        uint32_t pair = meld(leases, one, other);
        leases->slots[pair].key_next = pairs;
        pairs = pair;
    }
    while (pairs != NO_SLOT) {
        uint32_t pair = pairs;
        pairs = leases->slots[pair].key_next;
        top = meld(leases, top, pair);
    }
    return top;
}

static void key_join(struct leases *leases, struct lease_slot *slot)
{
    uint32_t first = first_of_key(leases, slot->lease.key);
    slot->key_child = NO_SLOT;
    slot->is_first = false;
    if (first != NO_SLOT)
        first_leave(leases, first);
    first_join(leases, meld(leases, first, index_of(leases, slot)));
}

static void key_leave(struct leases *leases, struct lease_slot *slot)
{
    uint32_t index = index_of(leases, slot);
    uint32_t first = first_of_key(leases, slot->lease.key);
    first_leave(leases, first);
    if (first == index) {
        first = NO_SLOT;
    } else {
        struct lease_slot *previous = &leases->slots[slot->key_previous];
        if (slot->key_next != NO_SLOT)
            leases->slots[slot->key_next].key_previous = slot->key_previous;
        if (previous->key_child == index)
            previous->key_child = slot->key_next;
        else
            previous->key_next = slot->key_next;
    }
    first = meld(leases, first, meld_list(leases, slot->key_child));
    if (first != NO_SLOT)
        first_join(leases, first);
}

/* A slot, or NO_SLOT, may have become the first one of its key, or may be so no more. */
static void time_anew(struct leases *leases, uint32_t index)
{
    if (index == NO_SLOT)
        return;
    struct lease_slot *slot = &leases->slots[index];
    slot->next_us = next_of(leases, slot);
    heap_settle(leases, slot->heap_at);
}

bool leases_have_key(const struct leases *leases, uint64_t key)
{
    return first_of_key(leases, key) != NO_SLOT;
}

/* ---- the whole ---- */

/* Twice as many slots; what is found by hashes is placed anew. */
static bool grow(struct leases *leases)
{
    uint32_t capacity = leases->capacity ? 2 * leases->capacity : FIRST_CAPACITY;
    size_t indexes = 6 * (size_t)capacity;
    struct lease_slot *slots =
        malloc(capacity * sizeof(struct lease_slot) + indexes * sizeof(uint32_t));
    if (!slots)
        return false;
    uint32_t *heap = (uint32_t *)(slots + capacity);
    if (leases->capacity) {
        memcpy(slots, leases->slots, leases->used * sizeof(*slots));
        memcpy(heap, leases->heap, leases->count * sizeof(*heap));
        free(leases->slots);
    }
    leases->slots = slots;
    leases->capacity = capacity;
    leases->heap = heap;
    leases->found = heap + capacity;
    leases->by_sequence = leases->found + capacity;
    leases->by_pull = leases->by_sequence + 2 * (size_t)capacity;
    leases->by_key = leases->by_pull + capacity;
    memset(leases->by_sequence, 0xFF, 4 * (size_t)capacity * sizeof(uint32_t)); /* NO_SLOT */
    for (uint32_t i = 0; i < leases->count; i++) {
        struct lease_slot *slot = &slots[heap[i]];
        leases->by_sequence[place_of(leases, slot->lease.sequence)] = heap[i];
        pull_join(leases, slot);
        if (slot->lease.key != 0 && slot->is_first)
            first_join(leases, heap[i]);
    }
    return true;
}

const struct lease *leases_find(const struct leases *leases, int64_t sequence)
{
    const struct lease_slot *slot = slot_of(leases, sequence);
    return slot ? &slot->lease : NULL;
}

const struct lease *leases_at(const struct leases *leases, size_t i)
{
    return &leases->slots[leases->heap[i]].lease;
}

static void count_lease(struct leases *leases, const struct lease *lease, uint32_t by)
{
    leases->out += lease->out ? by : 0;
    if (lease->key != 0) {
        leases->keyed += by;
        leases->dead += lease->dead ? by : 0;
    }
}

bool leases_add(struct leases *leases, const struct lease *lease, bool *no_memory)
{
    if (leases->count == LEASES_MAX)
        return false;
    if (leases->count == leases->capacity && !grow(leases)) {
        *no_memory = true;
        return false;
    }
    uint32_t place = place_of(leases, lease->sequence);
    CHECK(leases->by_sequence[place] == NO_SLOT);
    uint32_t index = leases->free;
    if (index != NO_SLOT)
        leases->free = leases->slots[index].pull_next;
    else
        index = leases->used++;
    struct lease_slot *slot = &leases->slots[index];
    slot->lease = *lease;
    leases->by_sequence[place] = index;
    pull_join(leases, slot);
    uint32_t first = NO_SLOT;
    if (lease->key != 0) {
        first = first_of_key(leases, lease->key);
        key_join(leases, slot);
    }
    slot->next_us = next_of(leases, slot);
    heap_place(leases, leases->count++, index);
    heap_settle(leases, slot->heap_at);
    time_anew(leases, first);
    count_lease(leases, lease, 1);
    return true;
}

void leases_set(struct leases *leases, const struct lease *lease)
{
    struct lease_slot *slot = slot_of(leases, lease->sequence);
    CHECK(slot && slot->lease.key == lease->key);
    count_lease(leases, &slot->lease, UINT32_MAX); /* less by one */
    count_lease(leases, lease, 1);
    pull_leave(leases, slot);
    uint32_t first = NO_SLOT, then = NO_SLOT;
    if (lease->key != 0) {
        first = first_of_key(leases, lease->key);
        key_leave(leases, slot);
        slot->lease = *lease;
        key_join(leases, slot);
        then = first_of_key(leases, lease->key);
    }
    slot->lease = *lease;
    slot->next_us = next_of(leases, slot);
    pull_join(leases, slot);
    heap_settle(leases, slot->heap_at);
    time_anew(leases, first);
    time_anew(leases, then);
}

void leases_remove(struct leases *leases, int64_t sequence)
{
    struct lease_slot *slot = slot_of(leases, sequence);
    CHECK(slot);
    empty_place(leases, place_of(leases, sequence));
    pull_leave(leases, slot);
    count_lease(leases, &slot->lease, UINT32_MAX); /* less by one */
    uint32_t first = NO_SLOT;
    if (slot->lease.key != 0) {
        key_leave(leases, slot);
        first = first_of_key(leases, slot->lease.key);
    }
    uint32_t at = slot->heap_at;
    uint32_t last = leases->heap[--leases->count];
    if (at < leases->count) {
        heap_place(leases, at, last);
        heap_settle(leases, at);
    }
    time_anew(leases, first);
    slot->pull_next = leases->free;
    leases->free = index_of(leases, slot);
    if (leases->count == 0)
        leases_clear(leases);
}
