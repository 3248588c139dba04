/* The client: its peers, the calls in flight, and the thread that keeps time for them. */
#ifndef TRIGGERS_CLIENT_CLIENT_H
#define TRIGGERS_CLIENT_CLIENT_H

#include <nng/nng.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/status.h"
#include "core_address.h"
#include "reply.h"
#include "sp/link.h"
#include "triggers.h"

struct flight;

/* Calls in order, each in one list at most (flight.c). */
struct flight_list {
    struct flight *first;
    struct flight *last;
};

/* What a peer does, in this order, but that dialing may fail, and that a connection may end before
 * it is greeted. */
enum peer_state {
    PEER_PAUSED, /* waits before it dials again, or has dialed */
    PEER_DIALING,
    PEER_CONNECTED, /* there is a link */
    PEER_STANDS,    /* which is greeted and can be sent on */
    PEER_CLOSED,    /* which has ended */
    PEER_UNUSED,    /* which is to be freed by the keeper */
};

/* One address: it is dialed, and again when the connection is lost. */
#define PEER_MAGIC 0x50454552u

struct peer {
    unsigned magic;
    triggers_client *client;
    nng_stream_dialer *dialer;
    struct link_address address;
    nng_aio *aio;        /* dials, or waits before that */
    uint32_t backoff_ms; /* see backoff_next_ms */

    /* Under the client's mutex. */
    enum peer_state state;    /* moved by peer_move */
    nng_stream *leftover;     /* connected while the client was being closed; or NULL */
    struct link *link;        /* the connection until it is freed; NULL: none */
    int64_t waiting_since_ms; /* the first call sent since it was last heard of; 0: none */
    struct flight_list sent;  /* wait for their answers */
};

#define FLIGHT_TABLE_SIZE 1024

struct triggers_client {
    char *name;          /* for the core's log: "<program> libtriggers/<version>" */
    char *urls;          /* the addresses as they were given, for error texts */
    bool uses_tls;       /* any of them is wss or tls+tcp */
    uint32_t timeout_ms; /* of calls that give none */
    uint32_t max_in_flight;
    int no_retry;                /* as in the options */
    struct budget_share *memory; /* NULL: calls may take any */
    atomic_uint next_id;         /* of a request */
    atomic_int standing;         /* peers that stand; set under `mutex` */
    atomic_bool gave_up; /* connections were closed for their silence and none has come since */
    atomic_bool closing; /* set under `mutex` */

    pthread_mutex_t mutex; /* the rest; never held while events of links or a callback run */
    pthread_cond_t
        changed; /* while it is closed: nothing is in flight any more, or a peer changed */
    struct flight *flights[FLIGHT_TABLE_SIZE]; /* by the lowest bits of their ids */
    atomic_uint in_flight;                     /* set under `mutex` */
    struct flight_list waiting;                /* for a connection */
    struct peer peers[CORE_ADDRESS_MAX];
    size_t peer_count;
    size_t last_peer; /* that was given a call */

    pthread_t keeper;
    pthread_cond_t work; /* the keeper has something to do before `keeper_ms` */
    int64_t keeper_ms;   /* when it looks again by itself */
    bool keeper_stopping;
};

/* ---- connections (connection.c) ---- */

/* Starts the keeper and dials every address. False with a text. */
bool client_connect(triggers_client *client, const struct core_address_list *addresses,
                    const char *tls_ca_file, struct status *status) MUST_CHECK;

/* Ends all that client_connect began. `closing` is set and nothing is in flight. */
void client_disconnect(triggers_client *client);

/* ---- peers (peers.c) ---- */

/* Makes the peer's aio; an nng error. */
int peer_init(struct peer *peer);
/* Frees what it dials with, NULL included. It has been stopped or was never dialed. */
void peer_fini(struct peer *peer);

/* Dials, and from then on whenever there is no connection. */
void peer_dial(struct peer *peer);

/* Ends dialing and the connection, whose link the keeper then frees. `closing` is set. */
void peer_stop(struct peer *peer);

/* Frees the unused link and dials anew; the keeper's. */
void peer_free_link(struct peer *peer);

/* A peer whose link is unused, or NULL. The mutex is held. */
struct peer *peers_find_unused(triggers_client *client);

/* The next peer in turn that stands, `avoided` only when no other does; NULL: none. The mutex is
 * held. */
struct peer *peers_choose(triggers_client *client, struct peer *avoided);

/* After a call without an answer: gives up the connections that have long been silent. Another is
 * made in place of each at once, and takes over its calls. */
void peers_close_silent(triggers_client *client);

/* ---- calls in flight (flight.c) ---- */

/* One call: what to send is given beside it. */
struct invocation {
    const struct method *method;          /* borrowed for the start only */
    const triggers_call_options *options; /* borrowed for the start only; may be NULL */
    size_t item_count;                    /* items that a good answer has; 0: any number */
    triggers_callback *callback;          /* NULL: the reply is freed */
    void *user_data;
};

/* Sends a request and sees to it that the call ends with one reply. `body` is read before this
 * returns. The callback may run before this returns. */
void client_start_call(triggers_client *client, const struct invocation *call,
                       const ProtobufCMessage *body);

/* Ends a call that was not started. */
void client_refuse_call(const struct invocation *call, const struct status *status);

/* Cancels the calls in flight and waits until they have ended. `closing` is set. */
void flights_stop(triggers_client *client);

/* What peers tell: a message has left or will not, an answer has come, one can be sent on, one was
 * lost. */
void flights_free_message(struct link_message *message);
void flights_take_answer(struct peer *peer, const struct link_received *received);
void flights_send_waiting(triggers_client *client);
void flights_lose(struct peer *peer);

/* Takes the calls that are due from the others, each linked to the next; the mutex is held.
 * `*next_ms` is set to when the next one will be due, INT64_MAX for never. */
struct flight *flights_take_due(triggers_client *client, int64_t now_ms, int64_t *next_ms);

/* Ends them, or goes on with them. */
void flights_serve_due(struct flight *due);

/* ---- the keeper (keeper.c) ---- */

bool keeper_start(triggers_client *client);
void keeper_stop(triggers_client *client);

/* Has the keeper look at the calls and links no later than then. The mutex is held. */
void keeper_look_at(triggers_client *client, int64_t when_ms);

#endif
