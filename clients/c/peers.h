/* The peers of a client: the cores at its addresses. Each is dialed until there is a connection,
 * and again when that has ended. They know nothing of the content of messages. */
#ifndef TRIGGERS_CLIENT_PEERS_H
#define TRIGGERS_CLIENT_PEERS_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/pem_files.h"
#include "base/status.h"
#include "core_address.h"
#include "keeper.h"
#include "sp/link.h"

struct peer;

/* The events of peers, on threads of nng or on those that send or close, without a lock of the
 * peers held. None may block. */
struct peer_events {
    /* An answer has arrived; see `received` in link.h, which returns true here. */
    void (*received)(void *owner, const struct link_received *received);
    /* A message given to peer_send has left or never will, and belongs to the owner again. */
    void (*sent)(struct link_message *message);
    /* One more peer can be chosen. */
    void (*opened)(void *owner);
    /* It cannot be chosen any more. What was given to it may or may not have arrived. */
    void (*lost)(void *owner, struct peer *peer);
};

/* What a peer does, in this order, except that dialing may fail, and that a connection may end
 * before it is greeted. */
enum peer_state {
    PEER_PAUSED, /* waits before it dials again, or has dialed */
    PEER_DIALING,
    PEER_CONNECTED, /* there is a link */
    PEER_OPEN,      /* the link is greeted and can send */
    PEER_CLOSED,    /* the link has ended */
    PEER_UNUSED,    /* the keeper must free the link */
};

#define PEER_MAGIC 0x50454552u

struct peer {
    unsigned magic;
    size_t number; /* its place among the peers */
    struct peers *peers;
    nng_stream_dialer *dialer;
    struct link_address address;
    char *host;                     /* its name, for TLS; owned */
    struct pem_files tls_files;     /* of `peers`; on the thread that dials */
    nng_aio *aio;                   /* dials, or waits before that */
    uint32_t backoff_ms;            /* see backoff_next_ms */
    _Atomic int64_t silent_from_ms; /* if nothing is heard of it until then, it is silent; 0: no
                                       answer is expected */

    /* Under `mutex`. */
    enum peer_state state; /* moved by peer_move */
    nng_stream *leftover;  /* connected while the peers were being stopped; or NULL */
    struct link *link;     /* the connection until it is freed; NULL: none */
};

struct peers {
    /* Set by the owner before peers_init. */
    const struct peer_events *events;
    void *owner;
    struct keeper *keeper;       /* calls peers_free_unused */
    struct budget_share *memory; /* is charged for what is received; NULL: nothing is charged */

    size_t count;
    bool uses_tls; /* any of them */
    char *tls_ca;  /* the paths of its files, owned; NULL: none */
    char *tls_cert;
    char *tls_key;
    atomic_int open;     /* open peers; set under `mutex` */
    atomic_bool gave_up; /* connections were closed for their silence and none has come since */

    pthread_mutex_t mutex;  /* the rest; never held while events run */
    pthread_cond_t changed; /* while stopping: a state or link of a peer has changed */
    atomic_bool stopping;   /* set under `mutex` */
    size_t last;            /* the peer that was chosen last */
    struct peer items[CORE_ADDRESS_MAX];
};

/* Makes a peer for each address. `files` is copied, and "" is as good as NULL in it; the files are
 * read again when they have changed and a peer dials. False with a text; nothing needs to be freed
 * then. */
bool peers_init(struct peers *peers, const struct core_address_list *addresses,
                const struct link_tls_files *files, struct status *status) MUST_CHECK;

/* Begins to dial. The keeper must have been started. */
void peers_start(struct peers *peers);

/* Ends dialing and the connections, and waits until the keeper has freed these. */
void peers_stop(struct peers *peers);

/* Frees the peers, which are stopped or were never started. */
void peers_fini(struct peers *peers);

/* The next open peer in turn, `avoided` only when no other is open; NULL: none. It is held: one
 * peer_send must follow. Any thread. */
struct peer *peers_hold_next(struct peers *peers, struct peer *avoided) MUST_CHECK;

/* A call that its core answers by then is about to be sent: if nothing comes back until then, the
 * peer is silent. */
void peer_expect_answer(struct peer *peer, int64_t by_ms);

/* Sends to a held peer, unless it has been lost meanwhile, and releases it. Call it without a lock
 * that the events take. */
void peer_send(struct peer *peer, struct link_message *message);

/* After a call without an answer: ends the connections that are silent. Each is replaced at once.
 * Call it without a lock that the events take. */
void peers_close_silent(struct peers *peers);

/* Frees the connections that have ended and dials again; called by the keeper, as it may block. */
void peers_free_unused(struct peers *peers);

#endif
