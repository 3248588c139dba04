/* Memory that is freed all at once: one arena holds everything a call allocates. It has a cap, and
 * is charged to a budget where one is given, so that input cannot make a call take more than its
 * share. Not thread-safe: one owner at a time. */
#ifndef TRIGGERS_BASE_ARENA_H
#define TRIGGERS_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; arena_reset keeps one small one */
    size_t used;                /* bytes handed out since the last reset */
    size_t cap;                 /* the most that `used` may reach */
    struct charge *charge;      /* for its blocks except the kept one; NULL: not counted. May be set
                                   while nothing is handed out */
    size_t charged;             /* to `charge`, since the last reset */
    bool exhausted;             /* an allocation was refused since the last reset */
    bool over_budget;           /* because of the budget: it may fit later */
};

/* An empty arena; allocates nothing until the first arena_alloc. */
void arena_init(struct arena *arena, size_t cap);

/* Frees everything and leaves the arena empty; may be used again. */
void arena_fini(struct arena *arena);

/* Forgets all allocations but keeps one small block for the next use. */
void arena_reset(struct arena *arena);

/* A place that an arena has reached, to go back to. */
struct arena_place {
    struct arena_block *newest;
    struct arena_block *next; /* after it */
    size_t newest_used, used;
};

/* Where the arena is, which is not empty. */
struct arena_place arena_mark(const struct arena *arena);

/* Frees what was allocated after `place`. */
void arena_rewind(struct arena *arena, struct arena_place place);

/* `size` bytes aligned for any type, not cleared; NULL when the cap, the budget or memory is
 * exhausted. */
void *arena_alloc(struct arena *arena, size_t size);

/* `count` cleared elements of `size` bytes; NULL on overflow or like arena_alloc. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* A copy of `size` bytes with a NUL after them; NULL like arena_alloc. */
char *arena_copy(struct arena *arena, const void *bytes, size_t size);

#endif
