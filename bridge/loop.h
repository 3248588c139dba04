/* A thread that serves connections: it waits for their sockets and runs a libmicrohttpd daemon of
 * its own.
 *
 * libmicrohttpd has no threads of its own here, for two reasons: when 128 sockets are ready at once
 * they wait once more for the whole time (MHD_epoll of 0.9.75 and 1.0.1), and they abort when they
 * are told to stop listening at the wrong moment (MHD_quiesce_daemon). */
#ifndef TRIGGERS_BRIDGE_LOOP_H
#define TRIGGERS_BRIDGE_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "connections.h"

struct MHD_Connection;
struct MHD_Daemon;

struct loop {
    struct MHD_Daemon *daemon; /* without a listening socket; used only on the loop's thread */
    struct connections *connections;
    struct certificates *certificates; /* of HTTPS; NULL: plain HTTP */
    atomic_long load;                  /* connections that are served or dealt */
    pthread_t thread;
    int wake;     /* an eventfd, written to wake the thread */
    int hang_ups; /* an epoll with the sockets of the connections that are watched */
    struct connection *watched;
    size_t sleeping;    /* of those; see loop_sleep */
    atomic_bool ending; /* see loop_end_waits */
    bool ended;         /* the thread has done so */
    atomic_bool stopping;
    pthread_mutex_t mutex;     /* of these two */
    bool waiting;              /* the thread is waiting */
    struct connection *handed; /* new ones, and suspended ones to be resumed */
    struct connection *adding; /* being given to the daemon */
};

/* Takes over `daemon`, which tells loop_connection_opened and loop_connection_closed of its
 * connections. It serves HTTPS with `certificates`, plain HTTP with NULL. False without descriptors
 * or threads. */
bool loop_start(struct loop *loop, struct MHD_Daemon *daemon, struct connections *connections,
                struct certificates *certificates);

/* Closes all connections and returns when the thread has ended. No connection may be suspended. */
void loop_stop(struct loop *loop);

/* Gives the loop a connection that connections_add made. Any thread. */
void loop_deal(struct loop *loop, struct connection *connection);

/* Suspends a connection: from now on somebody else owns its request. On the loop's thread. */
void loop_suspend(struct connection *connection);

/* Resumes a connection that was suspended: from now on it belongs to the loop. Any thread. */
void loop_resume(struct connection *connection);

/* Calls `end` when the peer of a suspended connection hangs up, or at loop_end_waits, until the
 * connection is resumed. A peer that only sends no more counts as one that has hung up. On the
 * loop's thread, as is `end`, which may not resume the connection. */
void loop_watch(struct connection *connection, void (*end)(void *user_data, enum loop_end why),
                void *user_data);

/* Resumes a connection that is suspended and watched after so many milliseconds, or when its watch
 * ends. On the loop's thread. */
void loop_sleep(struct connection *connection, int64_t sleep_ms);

/* See connections_set_waiting. */
void loop_set_waiting(struct connection *connection, bool waiting);

/* Ends the waits of all connections that are or will be watched. Any thread. */
void loop_end_waits(struct loop *loop);
bool loop_is_ending(const struct loop *loop);

/* Visits the parameters of the target of the connection's request, as they were sent, percent signs
 * and all, until `visit` returns false; the value is NULL without "=". On the loop's thread. */
void loop_each_parameter(const struct connection *connection,
                         bool (*visit)(void *argument, const char *name, const char *value),
                         void *argument);

/* libmicrohttpd has taken the connection that the loop is giving it, which is returned. On the
 * loop's thread. */
struct connection *loop_connection_opened(struct loop *loop, struct MHD_Connection *http);

/* libmicrohttpd is about to close the connection: frees it. On the loop's thread. */
void loop_connection_closed(struct loop *loop, struct connection *connection);

#endif
