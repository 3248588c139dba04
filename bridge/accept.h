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

/* Takes over the listening sockets, which are non-blocking. All of `acceptor` is set except its
 * last two members. False without descriptors or threads: the sockets still belong to the caller
 * then. */
bool acceptor_start(struct acceptor *acceptor);

/* Deals the connections that have arrived and refuses all later ones. */
void acceptor_stop(struct acceptor *acceptor);

#endif
