/* The items of a batch, sorted by id; items with the same id are together, the earliest first. Rows
 * are locked and indexes grow in this order, and answers find their items by it. */
#ifndef TRIGGERS_STORE_POSTGRES_KEYS_H
#define TRIGGERS_STORE_POSTGRES_KEYS_H

#include <stddef.h>
#include <stdint.h>

struct key {
    const uint8_t *id; /* borrowed from the item */
    size_t item;       /* its index in the batch */
};

struct keys {
    struct key *list;
    size_t count;
};

void keys_sort(struct keys *keys);

/* The first position after those with the same id as position `start`. */
size_t keys_group_end(const struct keys *keys, size_t start);

/* The first position with this id; `count` when there is none. */
size_t keys_find(const struct keys *keys, const uint8_t *id);

#endif
