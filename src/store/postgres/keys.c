/* Sorting and finding by id; see keys.h. */
#include "store/postgres/keys.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/typeid.h"

static int compare(const void *left, const void *right)
{
    const struct key *a = left;
    const struct key *b = right;
    int order = memcmp(a->id, b->id, TYPEID_BYTES);
    return order != 0 ? order : (a->item > b->item) - (a->item < b->item);
}

void keys_sort(struct keys *keys)
{
    if (keys->count > 1)
        qsort(keys->list, keys->count, sizeof(*keys->list), compare);
}

size_t keys_group_end(const struct keys *keys, size_t start)
{
    CHECK(start < keys->count);
    size_t end = start + 1;
    while (end < keys->count && memcmp(keys->list[end].id, keys->list[start].id, TYPEID_BYTES) == 0)
        end++;
    return end;
}

size_t keys_find(const struct keys *keys, const uint8_t *id)
{
    size_t low = 0;
    size_t high = keys->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(keys->list[middle].id, id, TYPEID_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < keys->count && memcmp(keys->list[low].id, id, TYPEID_BYTES) == 0;
    return found ? low : keys->count;
}
