/* The open connections, so that when there are too many the one that has given nothing for longest
 * makes room: peers that hold connections without using them keep nobody out. */
#ifndef TRIGGERS_BRIDGE_CONNECTIONS_H
#define TRIGGERS_BRIDGE_CONNECTIONS_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

struct connection;

struct connections {
    pthread_mutex_t mutex;
    long open;
    /* Those that wait for their peers, linked in the order in which they began to: idle ones,
     * requests on their way in, answers on their way out. */
    struct connection *oldest;
    struct connection *newest;
};

void connections_init(struct connections *connections);
void connections_fini(struct connections *connections);

/* Of a new connection, on the thread that serves it. With more than `max` open, closes the oldest
 * of those that wait. NULL without memory: it is then never closed for others. */
struct connection *connections_add(struct connections *connections,
                                   struct MHD_Connection *connection, long max);
void connections_remove(struct connections *connections, struct connection *connection);

/* Says that a request of the connection, which may be NULL, is being answered (not waiting) or that
 * its answer is ready (waiting). On the thread that serves the connection. */
void connections_set_waiting(struct connections *connections, struct connection *connection,
                             bool waiting);

#endif
