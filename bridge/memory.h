/* What the program holds in memory for its callers, under one ceiling. Each address from which
 * connections come has a share; connections themselves are subtracted from the ceiling, as there is
 * another limit for them. A large request for which there is no room waits for it, suspended, so
 * that its client sends no more. */
#ifndef TRIGGERS_BRIDGE_MEMORY_H
#define TRIGGERS_BRIDGE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"

/* Code, threads, links to the core, and freed memory that malloc keeps. */
#define PROGRAM_MEMORY (12L << 20)

struct connection;
struct connections;

enum room_state { ROOM_UNASKED, ROOM_WAITED_FOR, ROOM_GIVEN, ROOM_DENIED };

/* A request as the memory sees it, and what it asked for, with which result. */
struct room {
    struct connection *peer;
    struct charge *charge; /* for all that it holds */
    int64_t since_us;      /* when it began */
    bool large;            /* it says that it will be, so it is never taken for a small one */
    bool has_reply;        /* of which it wants to make a text, and to free it then */
    enum room_state state;
    size_t size;
    size_t spare;
    int64_t until_ms;
    struct room *next;
};

struct memory {
    struct budget budget;
    struct budget_share core; /* for the calls to the core; libtriggers uses it */
    size_t ceiling;           /* the budget's ceiling without connections */
    struct connections *connections;
    atomic_ulong refused;  /* requests refused since the start */
    pthread_mutex_t mutex; /* of the rest; only those of loops are taken while it is held */
    struct room *first;    /* those that wait for room, the oldest first */
    atomic_size_t wanted;  /* bytes that the first one needs; 0: none waits */
    unsigned long turns;   /* how often they have been served */
    const struct room *_Atomic favoured; /* until its answer has arrived, nobody else gets memory */
    bool closed;
};

/* `limit` is that of the whole program, in bytes. Slow ones of `connections` are closed when there
 * is no other way to make room. */
void memory_init(struct memory *memory, size_t limit, struct connections *connections);
void memory_fini(struct memory *memory);

/* How many connections may be open: they take at most three quarters of the ceiling. */
long memory_max_connections(const struct memory *memory);

/* Whether the smallest request would be refused now. */
bool memory_is_full(struct memory *memory);

enum memory_result {
    MEMORY_TAKEN,
    MEMORY_WAITS,  /* the connection is suspended; ask for the same again when it is resumed */
    MEMORY_REFUSED /* it has waited too long */
};

/* Charges `size` more bytes to the request, on its connection's thread, if `spare` more are free as
 * well: a request that begins must leave room for what it will need, or requests that have begun
 * would wait for each other. */
enum memory_result memory_take(struct memory *memory, struct room *room, size_t size, size_t spare);

/* Gives what has been released to those that wait, and refuses those that have waited too long. */
void memory_serve(struct memory *memory);

/* When one has waited for a second and there is no other way to make room, refuses the youngest of
 * those that wait, as they hold the memory among themselves. Call it about once a second. */
void memory_check(struct memory *memory);

/* The request has released what it had reserved, for the answer to its call, which libtriggers
 * charges as it arrives: until memory_unfavour nobody else gets that memory. */
void memory_favour(struct memory *memory, const struct room *room);
void memory_unfavour(struct memory *memory, const struct room *room);

/* From now on no request waits. */
void memory_close(struct memory *memory);

#endif
