/* The thread that accepts connections and deals them to the loops. */
#ifndef TRIGGERS_BRIDGE_ACCEPT_H
#define TRIGGERS_BRIDGE_ACCEPT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define ACCEPT_LISTENERS_MAX 8

struct acceptor {
    struct connections *connections;
    struct loop *loops;
    size_t loop_count;
    int listeners[ACCEPT_LISTENERS_MAX];
    size_t listener_count;
    int stop; /* an eventfd, written once */
    pthread_t thread;
};

/* Takes over the listening sockets, which are non-blocking. `acceptor` is set but for its last two
 * members. False without descriptors or threads: the sockets are then still the caller's. */
bool acceptor_start(struct acceptor *acceptor);

/* Deals the connections that have come and refuses all later ones. */
void acceptor_stop(struct acceptor *acceptor);

#endif
