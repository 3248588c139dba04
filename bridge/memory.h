/* What the program holds in memory for its callers, under one ceiling. Each address from which
 * connections come has a share (an IPv6 network of 64 bits counts as one); connections themselves
 * are taken off the ceiling, as there is another limit for them. A large request for which there is
 * no room waits for some, suspended, so that its client sends no more. */
#ifndef TRIGGERS_BRIDGE_MEMORY_H
#define TRIGGERS_BRIDGE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/budget.h"

/* Of libmicrohttpd: what heads.h leaves of the head of a request, and pieces of its body. */
#define CONNECTION_MEMORY 16384

/* Code, threads, links to the core, and what malloc keeps of what it was given back. */
#define PROGRAM_MEMORY (12L << 20)

struct bridge;
struct request;

/* From which connections are open. */
struct address {
    struct budget_share share; /* first */
    uint8_t bytes[16];         /* IPv6, of which IPv4 is a part (RFC 4291 section 2.5.5.2) */
    long connections;
    /* In which turn of serving one of its requests that go on, or begin, did not fit. */
    unsigned long passed_over[2];
    struct address *next;
};

struct memory {
    struct budget budget;
    struct budget_share core; /* of the calls to the core: libtriggers' */
    struct address others;    /* those for which there was no memory */
    size_t ceiling;           /* the budget's without connections */
    atomic_ulong refused;     /* requests, since the start */
    pthread_mutex_t mutex;    /* of the rest; nothing else is locked while it is held */
    struct address *addresses[256];
    struct request *first;                  /* wait for room, the oldest first */
    atomic_size_t wanted;                   /* by that one; 0: none waits */
    unsigned long turns;                    /* of serving them */
    const struct request *_Atomic favoured; /* until its answer has come, nobody gets any */
    bool closed;
};

/* `limit`: of the whole program, in bytes. */
void memory_init(struct memory *memory, size_t limit);
void memory_fini(struct memory *memory);

/* How many connections may be open beside `memory`: they take three quarters of it at most. */
long memory_max_connections(const struct memory *memory);

/* The share of a connection's peer, from its beginning to its end. Any thread. */
struct budget_share *memory_join(struct memory *memory, const struct sockaddr_storage *peer);
void memory_leave(struct memory *memory, struct budget_share *share);

/* Whether the smallest request would be refused now. */
bool memory_is_full(struct memory *memory);

enum memory_result {
    MEMORY_TAKEN,
    MEMORY_WAITS,  /* the connection is suspended; ask for the same again when it is resumed */
    MEMORY_REFUSED /* it has waited for long */
};

/* Charges `size` more bytes to the request, on its connection's thread, if `spare` more are free as
 * well: who begins leaves room for what he will need, lest those who have begun wait for each
 * other.
 */
enum memory_result memory_take(struct request *request, size_t size, size_t spare);

/* Gives what has been released to those that wait, and refuses who has waited for long. */
void memory_serve(struct memory *memory);

/* When one has waited for a second and room cannot be made otherwise: those that wait hold it among
 * themselves, and the youngest are refused. About once a second. */
void memory_check(struct bridge *bridge);

/* What `request` had reserved it has released for the answer to its call, which libtriggers charges
 * as it comes: until memory_unfavour the others leave it that. */
void memory_favour(struct request *request);
void memory_unfavour(struct request *request);

/* From now on nobody waits. */
void memory_close(struct memory *memory);

#endif
