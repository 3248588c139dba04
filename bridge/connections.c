/* A list from the oldest to the newest. */
#include "connections.h"

#include <stdlib.h>
#include <sys/socket.h>

struct connection {
    int socket;
    bool waiting; /* it is in the list */
    struct connection *older;
    struct connection *newer;
};

void connections_init(struct connections *connections)
{
    *connections = (struct connections){0};
    pthread_mutex_init(&connections->mutex, NULL);
}

void connections_fini(struct connections *connections)
{
    pthread_mutex_destroy(&connections->mutex);
}

/* Lock held, as in append. */
static void unlink_waiting(struct connections *connections, struct connection *connection)
{
    if (!connection->waiting)
        return;
    connection->waiting = false;
    if (connection->older)
        connection->older->newer = connection->newer;
    else
        connections->oldest = connection->newer;
    if (connection->newer)
        connection->newer->older = connection->older;
    else
        connections->newest = connection->older;
}

static void append(struct connections *connections, struct connection *connection)
{
    connection->waiting = true;
    connection->older = connections->newest;
    connection->newer = NULL;
    if (connection->older)
        connection->older->newer = connection;
    else
        connections->oldest = connection;
    connections->newest = connection;
}

struct connection *connections_add(struct connections *connections,
                                   struct MHD_Connection *connection, long max)
{
    struct connection *added = calloc(1, sizeof(*added));
    if (!added)
        return NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    added->socket = info->connect_fd;
    pthread_mutex_lock(&connections->mutex);
    struct connection *oldest = connections->oldest;
    if (++connections->open > max && oldest) {
        unlink_waiting(connections, oldest);
        shutdown(oldest->socket, SHUT_RDWR); /* its thread sees that and closes it */
    }
    append(connections, added);
    pthread_mutex_unlock(&connections->mutex);
    return added;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    if (!connection)
        return;
    pthread_mutex_lock(&connections->mutex);
    connections->open--;
    unlink_waiting(connections, connection);
    pthread_mutex_unlock(&connections->mutex);
    free(connection);
}

void connections_set_waiting(struct connections *connections, struct connection *connection,
                             bool waiting)
{
    if (!connection)
        return;
    pthread_mutex_lock(&connections->mutex);
    unlink_waiting(connections, connection);
    if (waiting)
        append(connections, connection);
    pthread_mutex_unlock(&connections->mutex);
}
