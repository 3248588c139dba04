/* The client: its socket, its call slots, and the calls in flight on them. */
#ifndef TRIGGERS_CLIENT_CLIENT_H
#define TRIGGERS_CLIENT_CLIENT_H

#include <nng/nng.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>

#include "address.h"
#include "base/status.h"
#include "reply.h"
#include "triggers.h"

struct slot;

/* A connection that stands. */
struct peer {
    nng_pipe pipe;
    int64_t waiting_since_ms; /* the first call sent since it was last heard of; 0: none */
};

struct triggers_client {
    nng_socket socket;
    char *name;          /* for the core's log: "<program> libtriggers/<version>" */
    char *urls;          /* the addresses as they were given, for error texts */
    bool uses_tls;       /* any of them is wss or tls+tcp */
    uint32_t timeout_ms; /* of calls that give none */
    uint32_t max_in_flight;
    bool retries;        /* calls that the core cannot do now are tried again */
    int dialers;         /* addresses that it connects to */
    int64_t opened_ms;   /* on the monotonic clock */
    atomic_int pipes;    /* connections that stand; set under `mutex` */
    atomic_bool gave_up; /* connections were closed for their silence and none has come since */
    atomic_bool closing; /* set under `mutex` */

    pthread_mutex_t mutex;  /* the rest; never held while nng (but to cancel) or a callback runs */
    pthread_cond_t changed; /* nothing is in flight or inside any more, or `pipes` changed */
    struct slot *slots;     /* all, newest first; only grows */
    struct slot *free;
    uint32_t in_flight;
    uint32_t inside; /* threads that start a call or run a callback */
    struct peer peers[ADDRESS_MAX];
    size_t peer_count;
};

/* One call: what to send is given beside it. */
struct call {
    const struct method *method;
    const triggers_call_options *options; /* borrowed for the start only; may be NULL */
    size_t item_count;                    /* items that a good answer has; 0: any number */
    triggers_callback *callback;          /* NULL: the reply is freed */
    void *user_data;
};

/* Opens the socket with one dialer an address (connection.c). False with a text. */
bool client_connect(triggers_client *client, const struct address_list *addresses,
                    const char *tls_ca_file, struct status *status) MUST_CHECK;

/* Connections that come and go (peers.c); the mutex is held. */
void peers_add(triggers_client *client, nng_pipe pipe);
void peers_remove(triggers_client *client, nng_pipe pipe);

/* What calls learn about them: a request leaves on one of them, one has answered. */
void peers_note_sent(triggers_client *client);
void peers_note_heard(triggers_client *client, nng_pipe pipe);

/* After a call without an answer: gives up the connections that have long been silent. Another is
 * made in place of each at once, and takes over its calls. */
void peers_close_silent(triggers_client *client);

/* Closes the socket. False when nng does not come to an end with it: its threads may then use the
 * client for ever. */
bool client_disconnect(triggers_client *client);

/* Sends a request and sees to it that the call ends with one reply (slot.c). `body` is read before
 * this returns. The callback may run before this returns. */
void client_start_call(triggers_client *client, const struct call *call,
                       const ProtobufCMessage *body);

/* Ends a call that was not started. */
void client_refuse_call(const struct call *call, const struct status *status);

/* Cancels the calls in flight, waits until they have ended and frees the slots. `closing` is
 * set. */
void client_stop_calls(triggers_client *client);

#endif
