/* The running bridge: what all requests share. Everything except the counters is set before the
 * first request and stays until the last. */
#ifndef TRIGGERS_BRIDGE_BRIDGE_H
#define TRIGGERS_BRIDGE_BRIDGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certificates.h"
#include "connections.h"
#include "idempotency.h"
#include "memory.h"
#include "settings.h"
#include "triggers.h"

struct bridge {
    struct bridge_settings settings;
    triggers_client *client;
    atomic_long starting;             /* calls that are being started */
    atomic_bool client_closed;        /* no more calls are started */
    struct certificates certificates; /* of HTTPS */
    struct idempotency keys;
    struct connections connections; /* of the API's port */
    struct connections monitoring; /* of the port for monitoring, so that it is served in a flood */
    struct memory memory;
    atomic_long calls;       /* with the core now, but for those of requests that wait */
    atomic_long waiting;     /* requests that wait for events */
    atomic_int full_for;     /* times in a row that bridge_check found it full */
    atomic_bool keys_needed; /* the core said so the last time that it said anything about it */
    atomic_bool core_lost;   /* the last call found no core, which is logged once */
    atomic_bool stopping;    /* /ready says so */
    atomic_bool draining;    /* answers close their connections */
    atomic_long requests;    /* that have begun and are not completed */
    atomic_long answering;   /* of those, the ones that have arrived completely */
    pthread_mutex_t idle_mutex;
    pthread_cond_t
        idle; /* one of the three counters became 0 while draining; on the monotonic clock */
};

void bridge_init(struct bridge *bridge);
void bridge_fini(struct bridge *bridge);

/* Around every request, around its answering, and around the start of a call; `counter` is one of
 * the bridge's three. Any thread. */
void bridge_enter(atomic_long *counter);
void bridge_leave(struct bridge *bridge, atomic_long *counter);

/* From now on answers close their connections. Waits until the counter is 0; false when it is not
 * after `timeout_ms`. */
bool bridge_drain(struct bridge *bridge, atomic_long *counter, int64_t timeout_ms);

/* Checks memory, slow peers and calls; call about once a second, on one thread. */
void bridge_check(struct bridge *bridge);

/* Whether even the smallest requests are refused, and have been for some seconds. */
bool bridge_is_overloaded(struct bridge *bridge);

/* Ends the calls in flight and refuses new ones; returns when all callbacks have run. */
void bridge_close_client(struct bridge *bridge);

#endif
