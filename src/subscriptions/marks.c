/* Slots without holes, and two ways to find one. */
#include "subscriptions/marks.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define NO_PLACE UINT32_MAX
#define FIRST_CAPACITY 8u

struct mark {
    struct ledger_key key;
    uint32_t ready_at; /* its place in `ready`; NO_PLACE: it is not ready */
};

void marks_clear(struct marks *marks)
{
    free(marks->slots);
    *marks = (struct marks){0};
}

/* ---- by key: open addressing, one after the other, without signs of what was removed ---- */

static uint32_t home_of(const struct marks *marks, uint64_t key)
{
    return (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32) & (2 * marks->capacity - 1);
}

/* Where the slot of a key is in by_key, or would be. */
static uint32_t *place_of(const struct marks *marks, uint64_t key)
{
    uint32_t mask = 2 * marks->capacity - 1;
    uint32_t at = home_of(marks, key);
    while (marks->by_key[at] != NO_PLACE && marks->slots[marks->by_key[at]].key.key != key)
        at = (at + 1) & mask;
    return &marks->by_key[at];
}

static struct mark *mark_of(const struct marks *marks, uint64_t key)
{
    uint32_t slot = marks->count > 0 ? *place_of(marks, key) : NO_PLACE;
    return slot == NO_PLACE ? NULL : &marks->slots[slot];
}

/* Empties a place, and moves those after it that the hole would hide. */
static void empty_place(struct marks *marks, uint32_t *place)
{
    uint32_t mask = 2 * marks->capacity - 1;
    uint32_t hole = (uint32_t)(place - marks->by_key);
    for (uint32_t at = (hole + 1) & mask; marks->by_key[at] != NO_PLACE; at = (at + 1) & mask) {
        uint32_t home = home_of(marks, marks->slots[marks->by_key[at]].key.key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            marks->by_key[hole] = marks->by_key[at];
            hole = at;
        }
    }
    marks->by_key[hole] = NO_PLACE;
}

/* ---- those that are ready: a heap ---- */

static bool is_before(const struct marks *marks, uint32_t a, uint32_t b)
{
    return marks->slots[a].key.from < marks->slots[b].key.from;
}

static void ready_place(struct marks *marks, uint32_t at, uint32_t slot)
{
    marks->ready[at] = slot;
    marks->slots[slot].ready_at = at;
}

/* Moves the slot at `at` to where it belongs. */
static void ready_settle(struct marks *marks, uint32_t at)
{
    uint32_t slot = marks->ready[at];
    for (; at > 0 && is_before(marks, slot, marks->ready[(at - 1) / 2]); at = (at - 1) / 2)
        ready_place(marks, at, marks->ready[(at - 1) / 2]);
    for (uint32_t child; (child = 2 * at + 1) < marks->ready_count; at = child) {
        if (child + 1 < marks->ready_count &&
            is_before(marks, marks->ready[child + 1], marks->ready[child]))
            child++;
        if (!is_before(marks, marks->ready[child], slot))
            break;
        ready_place(marks, at, marks->ready[child]);
    }
    ready_place(marks, at, slot);
}

static void ready_join(struct marks *marks, uint32_t slot)
{
    ready_place(marks, marks->ready_count++, slot);
    ready_settle(marks, marks->slots[slot].ready_at);
}

static void ready_leave(struct marks *marks, struct mark *mark)
{
    uint32_t at = mark->ready_at;
    mark->ready_at = NO_PLACE;
    uint32_t last = marks->ready[--marks->ready_count];
    if (at < marks->ready_count) {
        ready_place(marks, at, last);
        ready_settle(marks, at);
    }
}

/* Walks the heap from its top, always on from the lowest of the places reached, which are a heap
 * themselves, in `found`. */
size_t marks_ready(const struct marks *marks, struct ledger_key *keys, size_t max)
{
    uint32_t *ends = marks->found;
    size_t end_count = 0, count = 0;
    if (marks->ready_count > 0)
        ends[end_count++] = 0;
    while (end_count > 0 && count < max) {
        uint32_t at = ends[0];
        keys[count++] = marks->slots[marks->ready[at]].key;
        uint32_t last = ends[--end_count];
        size_t hole = 0;
        for (size_t child; (child = 2 * hole + 1) < end_count; hole = child) {
            if (child + 1 < end_count &&
                is_before(marks, marks->ready[ends[child + 1]], marks->ready[ends[child]]))
                child++;
            if (!is_before(marks, marks->ready[ends[child]], marks->ready[last]))
                break;
            ends[hole] = ends[child];
        }
        ends[hole] = last;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < marks->ready_count;
             child++) {
            size_t end = end_count++;
            for (; end > 0 &&
                   is_before(marks, marks->ready[child], marks->ready[ends[(end - 1) / 2]]);
                 end = (end - 1) / 2)
                ends[end] = ends[(end - 1) / 2];
            ends[end] = child;
        }
    }
    return count;
}

/* ---- the whole ---- */

/* Twice as many slots; what is found by hashes is placed anew. */
static bool grow(struct marks *marks)
{
    CHECK(marks->slots || marks->count == 0);
    uint32_t capacity = marks->capacity ? 2 * marks->capacity : FIRST_CAPACITY;
    struct mark *slots =
        malloc(capacity * sizeof(struct mark) + 4 * (size_t)capacity * sizeof(uint32_t));
    if (!slots)
        return false;
    uint32_t *ready = (uint32_t *)(slots + capacity);
    if (marks->slots) {
        memcpy(slots, marks->slots, marks->count * sizeof(*slots));
        memcpy(ready, marks->ready, marks->ready_count * sizeof(*ready));
        free(marks->slots);
    }
    marks->slots = slots;
    marks->capacity = capacity;
    marks->ready = ready;
    marks->found = ready + capacity;
    marks->by_key = marks->found + capacity;
    memset(marks->by_key, 0xFF, 2 * (size_t)capacity * sizeof(uint32_t)); /* NO_PLACE */
    for (uint32_t i = 0; i < marks->count; i++)
        *place_of(marks, slots[i].key.key) = i;
    return true;
}

int64_t marks_find(const struct marks *marks, uint64_t key)
{
    const struct mark *mark = mark_of(marks, key);
    return mark ? mark->key.from : 0;
}

struct ledger_key marks_at(const struct marks *marks, size_t i)
{
    return marks->slots[i].key;
}

void marks_set_ready(struct marks *marks, uint64_t key, bool ready)
{
    struct mark *mark = mark_of(marks, key);
    if (!mark || (mark->ready_at != NO_PLACE) == ready)
        return;
    if (ready)
        ready_join(marks, (uint32_t)(mark - marks->slots));
    else
        ready_leave(marks, mark);
}

bool marks_set(struct marks *marks, struct ledger_key key, bool ready, bool *no_memory)
{
    struct mark *mark = mark_of(marks, key.key);
    if (mark) {
        marks_set_ready(marks, key.key, false);
        mark->key.from = key.from;
        marks_set_ready(marks, key.key, ready);
        return true;
    }
    if (marks->count == LEDGER_MAX_MARKS)
        return false;
    if (marks->count == marks->capacity && !grow(marks)) {
        *no_memory = true;
        return false;
    }
    CHECK(marks->slots);
    *place_of(marks, key.key) = marks->count;
    marks->slots[marks->count++] = (struct mark){key, NO_PLACE};
    marks_set_ready(marks, key.key, ready);
    return true;
}

/* The last one gets its slot. */
void marks_remove(struct marks *marks, uint64_t key)
{
    struct mark *mark = mark_of(marks, key);
    CHECK(mark);
    if (mark->ready_at != NO_PLACE)
        ready_leave(marks, mark);
    empty_place(marks, place_of(marks, key));
    struct mark *last = &marks->slots[--marks->count];
    if (last != mark) {
        *place_of(marks, last->key.key) = (uint32_t)(mark - marks->slots);
        *mark = *last;
        if (mark->ready_at != NO_PLACE)
            marks->ready[mark->ready_at] = (uint32_t)(mark - marks->slots);
    }
    if (marks->count == 0)
        marks_clear(marks);
}
