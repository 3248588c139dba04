/* A thread that serves connections: it waits for their sockets and runs a libmicrohttpd of its own.
 *
 * libmicrohttpd has no thread here, for two reasons. Its own wait again for as long as at first
 * when 128 sockets are ready at once (MHD_epoll of 0.9.75 and 1.0.1), and they abort when they are
 * told to stop listening at the wrong moment (MHD_quiesce_daemon). */
#ifndef TRIGGERS_BRIDGE_LOOP_H
#define TRIGGERS_BRIDGE_LOOP_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "connections.h"

struct loop {
    struct MHD_Daemon *daemon; /* without a listening socket; used on the loop's thread alone */
    struct connections *connections;
    atomic_long load; /* connections served and dealt */
    pthread_t thread;
    int wake; /* an eventfd, written to end the waiting */
    atomic_bool stopping;
    pthread_mutex_t mutex;     /* of these two */
    bool waiting;              /* the thread does nothing but wait */
    struct connection *handed; /* new ones, and suspended ones to be resumed */
    struct connection *adding; /* on its way into the daemon */
};

/* Takes over `daemon`, whose MHD_OPTION_NOTIFY_CONNECTION is loop_on_connection with the loop.
 * False without descriptors or threads. */
bool loop_start(struct loop *loop, struct MHD_Daemon *daemon, struct connections *connections);

/* Closes what is open and returns when the thread has ended. No connection may be suspended. */
void loop_stop(struct loop *loop);

/* Gives the loop a connection that connections_add made. Any thread. */
void loop_deal(struct loop *loop, struct connection *connection);

/* Suspends a connection, of whose request it is then another's turn. On the loop's thread. */
void loop_suspend(struct connection *connection);

/* Resumes a connection that was suspended: from now on it is the loop's. Any thread. */
void loop_resume(struct connection *connection);

/* An MHD_NotifyConnectionCallback. It makes the struct connection the socket's context. */
void loop_on_connection(void *loop, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode what);

#endif
