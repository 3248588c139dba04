/* The thread that accepts connections and deals them to the loops. */
#ifndef TRIGGERS_BRIDGE_ACCEPT_H
#define TRIGGERS_BRIDGE_ACCEPT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define ACCEPT_LISTENERS_MAX 16

/* A listening socket, which does not block, and the loops that serve it; these have the same
 * connections. */
struct http_listener {
    int socket;
    struct loop *loops;
    size_t loop_count;
};

struct acceptor {
    struct http_listener listeners[ACCEPT_LISTENERS_MAX];
    size_t listener_count;
    int stop; /* an eventfd, written once */
    pthread_t thread;
};

/* Takes over the listening sockets. All of `acceptor` is set except its last two members. False
 * without descriptors or threads: the sockets still belong to the caller then. */
bool acceptor_start(struct acceptor *acceptor);

/* Deals the connections that have arrived and refuses all later ones. */
void acceptor_stop(struct acceptor *acceptor);

#endif
