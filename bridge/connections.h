/* The open connections, and the addresses that they come from. When there are too many, the one
 * that has waited for its peer longest makes room, so peers that hold connections without using
 * them keep nobody out. */
#ifndef TRIGGERS_BRIDGE_CONNECTIONS_H
#define TRIGGERS_BRIDGE_CONNECTIONS_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/budget.h"
#include "heads.h"
#include "pace.h"
#include "tls.h"

/* For libmicrohttpd: what heads.h leaves of the head of a request, and pieces of its body. */
#define CONNECTION_MEMORY 16384

/* What a connection takes of the budget: that, and the small parts of one request. With TLS, also
 * TLS_COST. */
#define CONNECTION_COST (CONNECTION_MEMORY + 4096)

struct MHD_Connection;
struct connection;
struct loop;

/* Why a wait ends. */
enum loop_end { LOOP_GOES_ON, LOOP_HUNG_UP, LOOP_STOPS };

/* Whom loop_watch tells. */
struct watch {
    void (*end)(void *user_data, enum loop_end why); /* NULL: it does not watch */
    void *user_data;
    int64_t until_ms; /* see loop_sleep; 0: until it is resumed by somebody */
    struct connection *previous;
    struct connection *next;
};

/* An address from which connections are open; an IPv6 network of 64 bits counts as one. */
struct peer_address {
    struct budget_share share; /* first */
    uint8_t bytes[16];         /* IPv6, with IPv4 as a part of it (RFC 4291 section 2.5.5.2) */
    long connections;
    /* In which turn of memory.c, whose lock is held for it, one of its requests did not fit: one
     * that goes on, and one that begins. */
    unsigned long passed_over[2];
    struct peer_address *next;
};

/* An accepted connection. It belongs to the loop that it is dealt to, except the members of the
 * list, and while it waits the socket, which belong to `connections`. */
#define CONNECTION_MAGIC 0x434f4e4eu

struct connection {
    unsigned magic;
    int socket;
    struct sockaddr_storage address; /* the peer's */
    socklen_t address_size;
    char host[INET6_ADDRSTRLEN]; /* the address as a text; "": it has none */
    char name[64]; /* address and port; tells the core, which serves each in turn, whose call it is
                    */
    struct loop *loop;           /* serves it */
    struct MHD_Connection *http; /* once the loop has taken it */
    struct budget_share *share;  /* of its peer's address */
    struct pace pace;            /* of its peer */
    struct head head;            /* what the peer sends; on the loop's thread */
    struct tls_session tls;
    struct watch watch; /* see loop_watch */
    struct connection *next_handed;
    bool waiting; /* it is in the list */
    bool closing; /* it was told to close, and is not in the list again */
    struct connection *older;
    struct connection *newer;
};

struct connections {
    struct budget *budget; /* its ceiling is lower by what the connections take */
    size_t cost;           /* of one of them; set before the first connection, as the next */
    long patience_ms;      /* see pace.h */
    atomic_ulong late;     /* closed since the start: for a slow peer, and to make room */
    atomic_ulong for_room;
    pthread_mutex_t mutex; /* of the rest */
    struct peer_address *addresses[256];
    struct peer_address others; /* all those for which there was no memory */
    long open;
    long max; /* set before the first connection; one more closes the one that has waited longest */
    long leaving; /* how many more may be open until those that were told to have closed */
    long closing; /* were told to */
    /* Those that wait for their peers, in the order in which they began to wait: idle ones,
     * requests on their way in, answers on their way out. */
    struct connection *oldest;
    struct connection *newest;
};

/* The connection that a pointer of libmicrohttpd leads to. */
struct connection *connection_cast(void *pointer);

void connections_init(struct connections *connections, struct budget *budget);
void connections_fini(struct connections *connections);

/* Whether no more may be accepted until some have been closed. With more than `max` open, closes
 * those that have waited longest: to be asked again while it is so. */
bool connections_full(struct connections *connections);

/* A connection for a new socket. With more than `max` open, closes the one that has waited longest.
 * NULL without memory: the socket still belongs to the caller then. */
struct connection *connections_add(struct connections *connections, int socket,
                                   const struct sockaddr_storage *address, socklen_t size);

/* Frees the connection. If it waits, call this before its socket is closed. */
void connections_remove(struct connections *connections, struct connection *connection);

/* Notes whether it waits for its peer. Call it on the loop's thread, not before the loop has taken
 * the connection, and not while a request of it is being answered. */
void connections_set_waiting(struct connections *connections, struct connection *connection,
                             bool waiting);

/* The same, and it is the first to be closed for others. */
void connections_set_spare(struct connections *connections, struct connection *connection);

/* Checks the progress of the peers and closes those that are late. Call it about once a second. */
void connections_check(struct connections *connections);

/* Closes the slowest of that check until they hold `size` bytes together; returns how many bytes
 * they hold. */
size_t connections_make_room(struct connections *connections, size_t size);

/* Closes the one that has waited longest, if any waits. */
void connections_close_oldest(struct connections *connections);

#endif
