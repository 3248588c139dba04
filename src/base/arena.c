/* A list of blocks that are filled one after the other. Large allocations get a block of their own.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define FIRST_SIZE 1344 /* enough for an ordinary call, of which many may wait at once */
#define BLOCK_SIZE 4096 /* of further blocks */

struct arena_block {
    struct arena_block *next;
    size_t size; /* of bytes */
    size_t used;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena, size_t cap)
{
    *arena = (struct arena){.cap = cap};
}

static void free_blocks(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

static void release(struct arena *arena)
{
    CHECK(arena->charged == 0 || arena->charge);
    if (arena->charged > 0)
        charge_release(arena->charge, arena->charged);
    arena->charged = 0;
}

void arena_fini(struct arena *arena)
{
    free_blocks(arena->blocks);
    release(arena);
    arena_init(arena, arena->cap);
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    struct arena_block *block = arena->blocks;
    while (block) {
        struct arena_block *next = block->next;
        if (!kept && block->size == FIRST_SIZE)
            kept = block;
        else
            free(block);
        block = next;
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    release(arena);
    arena->blocks = kept;
    arena->used = 0;
    arena->exhausted = arena->over_budget = false;
}

struct arena_place arena_mark(const struct arena *arena)
{
    CHECK(arena->blocks);
    return (struct arena_place){arena->blocks, arena->blocks->next, arena->blocks->used,
                                arena->used};
}

/* Frees the blocks from `block` to before `end`, which were charged. */
static void free_charged(struct arena *arena, struct arena_block *block,
                         const struct arena_block *end)
{
    while (block != end) {
        struct arena_block *next = block->next;
        size_t bytes = sizeof(*block) + block->size;
        if (arena->charge) {
            CHECK(arena->charged >= bytes);
            charge_release(arena->charge, bytes);
            arena->charged -= bytes;
        }
        free(block);
        block = next;
    }
}

void arena_rewind(struct arena *arena, struct arena_place place)
{
    CHECK(place.newest && place.used <= arena->used);
    free_charged(arena, arena->blocks, place.newest);
    free_charged(arena, place.newest->next, place.next); /* large ones, see block_for */
    place.newest->next = place.next;
    place.newest->used = place.newest_used;
    arena->blocks = place.newest;
    arena->used = place.used;
    arena->exhausted = arena->over_budget = false;
}

static struct arena_block *block_new(struct arena *arena, size_t size)
{
    size_t bytes = sizeof(struct arena_block) + size;
    if (arena->charge && !charge_add(arena->charge, bytes)) {
        arena->over_budget = true;
        return NULL;
    }
    struct arena_block *block = malloc(bytes);
    if (block)
        *block = (struct arena_block){.size = size};
    arena->charged += arena->charge ? bytes : 0;
    return block;
}

/* A block with room for `size` bytes: the newest when it fits, else a new one. An oversized block
 * goes after the newest one in the list, so that the room left there is still used. */
static struct arena_block *block_for(struct arena *arena, size_t size)
{
    struct arena_block *head = arena->blocks;
    size_t usual = head ? BLOCK_SIZE : FIRST_SIZE;
    if (head && head->size - head->used >= size)
        return head;
    struct arena_block *block = block_new(arena, size > usual ? size : usual);
    if (!block)
        return NULL;
    struct arena_block **place = head && size > usual ? &head->next : &arena->blocks;
    block->next = *place;
    *place = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    CHECK(arena->used <= arena->cap);
    size_t left = arena->cap - arena->used;
    size_t room = size <= left ? (size + align - 1) / align * align : SIZE_MAX;
    struct arena_block *block = room <= left ? block_for(arena, room) : NULL;
    if (!block) {
        arena->exhausted = true;
        return NULL;
    }
    CHECK(block->used <= block->size && room <= block->size - block->used);
    void *result = block->bytes + block->used;
    block->used += room;
    arena->used += room;
    return result;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX; /* refused below */
    void *result = arena_alloc(arena, bytes);
    if (result)
        memset(result, 0, bytes);
    return result;
}

char *arena_copy(struct arena *arena, const void *bytes, size_t size)
{
    CHECK(bytes || size == 0);
    char *copy = arena_alloc(arena, size < SIZE_MAX ? size + 1 : SIZE_MAX);
    if (!copy)
        return NULL;
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}
