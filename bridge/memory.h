/* What the program holds in memory for its callers, under one ceiling. Each address from which
 * connections come has a share (an IPv6 network of 64 bits counts as one); connections themselves
 * are subtracted from the ceiling, as there is another limit for them. A large request for which
 * there is no room waits for it, suspended, so that its client sends no more. */
#ifndef TRIGGERS_BRIDGE_MEMORY_H
#define TRIGGERS_BRIDGE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/budget.h"

/* For libmicrohttpd: what heads.h leaves of the head of a request, and pieces of its body. */
#define CONNECTION_MEMORY 16384

/* Code, threads, links to the core, and freed memory that malloc keeps. */
#define PROGRAM_MEMORY (12L << 20)

struct bridge;
struct request;

/* An address from which connections are open. */
struct peer_address {
    struct budget_share share; /* first */
    uint8_t bytes[16];         /* IPv6, with IPv4 as a part of it (RFC 4291 section 2.5.5.2) */
    long connections;
    /* In which turn one of its requests did not fit: one that goes on, and one that begins. */
    unsigned long passed_over[2];
    struct peer_address *next;
};

struct memory {
    struct budget budget;
    struct budget_share core;   /* for the calls to the core; libtriggers uses it */
    struct peer_address others; /* all those for which there was no memory */
    size_t ceiling;             /* the budget's ceiling without connections */
    atomic_ulong refused;       /* requests refused since the start */
    pthread_mutex_t mutex;      /* of the rest; nothing else is locked while it is held */
    struct peer_address *addresses[256];
    struct request *first; /* those that wait for room, the oldest first */
    atomic_size_t wanted;  /* bytes that the first one needs; 0: none waits */
    unsigned long turns;   /* how often they have been served */
    const struct request
        *_Atomic favoured; /* until its answer has arrived, nobody else gets memory */
    bool closed;
};

/* `limit` is that of the whole program, in bytes. */
void memory_init(struct memory *memory, size_t limit);
void memory_fini(struct memory *memory);

/* How many connections may be open: they take at most three quarters of the ceiling. */
long memory_max_connections(const struct memory *memory);

/* The share of a connection's peer, from its beginning to its end. Any thread. */
struct budget_share *memory_join(struct memory *memory, const struct sockaddr_storage *peer);
void memory_leave(struct memory *memory, struct budget_share *share);

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
enum memory_result memory_take(struct request *request, size_t size, size_t spare);

/* Gives what has been released to those that wait, and refuses those that have waited too long. */
void memory_serve(struct memory *memory);

/* When one has waited for a second and there is no other way to make room, refuses the youngest of
 * those that wait, as they hold the memory among themselves. Call it about once a second. */
void memory_check(struct bridge *bridge);

/* `request` has released what it had reserved, for the answer to its call, which libtriggers
 * charges as it arrives: until memory_unfavour nobody else gets that memory. */
void memory_favour(struct request *request);
void memory_unfavour(struct request *request);

/* From now on no request waits. */
void memory_close(struct memory *memory);

#endif
