/* The calls of a server: their memory, the places of those that run at once, the connections that
 * wait for a place, and the calls that are parked, which need none. Any thread. */
#ifndef TRIGGERS_RPC_CALL_POOL_H
#define TRIGGERS_RPC_CALL_POOL_H

#include <pthread.h>

#include "rpc/call.h"

/* What brings calls: a connection. Zeroed at first, and outlives its calls. */
struct call_source {
    struct call_source *next; /* that waits for a place */
    bool granted;             /* a place, which it has waited for */
    bool closed;              /* its calls are not parked any more */
};

struct call_pool_config {
    const struct call_transport *transport;
    /* A place is free for a source that has waited: it takes one with call_pool_take, or goes.
     * Called once for each time that it had to wait, no lock held. */
    void (*resume)(struct call_source *source);
    size_t object_size; /* of the transport's structure, which begins with its struct call */
    size_t max_running; /* calls that have a place */
    size_t max_parked;  /* further ones that wait without one */
};

struct call_pool {
    struct call_pool_config config;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* nothing runs or is parked */
    char *objects;       /* `used` of them were taken at some time */
    atomic_size_t used;
    struct call *unused;
    size_t unused_count;
    atomic_size_t running, parked; /* set with the lock held */
    struct call_source *first_waiting;
    struct call_source **last_waiting;
    bool stopping; /* nothing is parked any more */
};

/* False without memory. Objects that are never taken take none. */
bool call_pool_open(struct call_pool *pool, const struct call_pool_config *config) MUST_CHECK;

/* No call may be running or parked. */
void call_pool_close(struct call_pool *pool);

/* A call that has ended, with a place; NULL: the source waits until it is resumed, and must not
 * take another before. */
struct call *call_pool_take(struct call_pool *pool, struct call_source *source);

/* Gives back a call that has ended, and its place to the source that has waited longest. */
void call_pool_put(struct call_pool *pool, struct call *call);

/* The source has closed: its parked calls will be woken with CALL_GONE, and a place that it was
 * granted is given back. May be repeated. */
void call_pool_leave(struct call_pool *pool, struct call_source *source);

/* Whether there is something for call_pool_watch to look at. */
bool call_pool_is_busy(const struct call_pool *pool);

/* Does what is due at `now_ms`: gives away the places of calls that were parked, wakes parked ones,
 * answers running ones whose deadline has passed. One thread, every few milliseconds while the pool
 * is busy. */
void call_pool_watch(struct call_pool *pool, int64_t now_ms);

/* Wakes what is parked with CALL_STOPPING, and waits until every call has ended or `timeout_ms`
 * have passed. New ones may still run. True when all have ended. */
bool call_pool_drain(struct call_pool *pool, int64_t timeout_ms);

/* Lets the call wait, without a place among those that run, until call_unpark or `waiter->woken`,
 * which is at `until_ms` (monotonic) or at its deadline at the latest; the handler holds it no
 * longer. False when it cannot wait, because too many do, the connection has closed or the server
 * stops: then the handler still holds it, and answers.
 *
 * A lock of the handler's that its source and `woken` take may be held: so a call is parked and
 * listed at once. */
bool call_park(struct call *call, struct call_waiter *waiter, int64_t until_ms) MUST_CHECK;

/* For the source that a parked call waits for, under the lock that it was parked with: the call is
 * the handler's again. False when another has woken it, which will call `woken`. */
bool call_unpark(struct call *call) MUST_CHECK;

#endif
