/* The open connections, so that when there are too many the one that has given nothing for longest
 * makes room: peers that hold connections without using them keep nobody out. */
#ifndef TRIGGERS_BRIDGE_CONNECTIONS_H
#define TRIGGERS_BRIDGE_CONNECTIONS_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "heads.h"
#include "memory.h"
#include "pace.h"

struct MHD_Connection;
struct loop;

/* One that was accepted. It belongs to the loop that it is dealt to; the members of the list, and
 * the socket as long as it waits, to `connections`. */
#define CONNECTION_MAGIC 0x434f4e4eu

struct connection {
    unsigned magic;
    int socket;
    struct sockaddr_storage address; /* the peer's */
    socklen_t address_size;
    char name[64];               /* for the core, which serves each in turn: address and port */
    struct loop *loop;           /* serves it */
    struct MHD_Connection *http; /* once the loop has taken it */
    struct budget_share *share;  /* of its peer */
    struct pace pace;            /* of its peer */
    struct head head;            /* what it sends; the loop's thread */
    struct connection *next_handed;
    bool waiting; /* it is in the list */
    struct connection *older;
    struct connection *newer;
};

struct connections {
    struct memory *memory; /* set before the first, as `patience_ms` */
    long patience_ms;      /* see pace.h */
    atomic_ulong late;     /* closed since the start for their peers' slowness, and to make room */
    atomic_ulong for_room;
    pthread_mutex_t mutex; /* of the rest */
    long open;
    long max;     /* set before the first; one more closes the oldest that waits */
    long leaving; /* told to close and not yet closed, at most, beside `max` */
    /* Those that wait for their peers, linked in the order in which they began to: idle ones,
     * requests on their way in, answers on their way out. */
    struct connection *oldest;
    struct connection *newest;
};

/* The connection behind a pointer of libmicrohttpd. */
struct connection *connection_cast(void *pointer);

void connections_init(struct connections *connections);
void connections_fini(struct connections *connections);

/* Whether no more may be accepted until some have been closed. */
bool connections_full(struct connections *connections);

/* Of a new socket. With more than `max` open, closes the oldest of those that wait. NULL without
 * memory: the socket is then still the caller's. */
struct connection *connections_add(struct connections *connections, int socket,
                                   const struct sockaddr_storage *address, socklen_t size);

/* Frees it. Before its socket is closed, if it waits. */
void connections_remove(struct connections *connections, struct connection *connection);

/* Says whether it waits for its peer. Not before its loop has taken it, and not while a request of
 * it is being answered. On the loop's thread. */
void connections_set_waiting(struct connections *connections, struct connection *connection,
                             bool waiting);

/* Looks how far the peers have come and closes those that are late. About once a second. */
void connections_check(struct connections *connections);

/* Closes as many of those that were the slowest then as hold `size` bytes, if there are such;
 * returns how many bytes they hold. */
size_t connections_make_room(struct connections *connections, size_t size);

/* Those that wait, which must stay so meanwhile. */
void connections_visit_waiting(struct connections *connections,
                               void (*visit)(struct connection *connection, void *argument),
                               void *argument);

/* Closes the one that has waited for longest, if any does. */
void connections_close_oldest(struct connections *connections);

#endif
