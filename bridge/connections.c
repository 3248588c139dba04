/* A list from the oldest to the newest. */
#include "connections.h"

#include <stdlib.h>

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

bool connections_full(struct connections *connections)
{
    pthread_mutex_lock(&connections->mutex);
    bool full = connections->open >= connections->max + connections->leaving;
    pthread_mutex_unlock(&connections->mutex);
    return full;
}

/* Lock held. */
static void close_oldest(struct connections *connections)
{
    struct connection *oldest = connections->oldest;
    if (!oldest)
        return;
    unlink_waiting(connections, oldest);
    shutdown(oldest->socket, SHUT_RDWR); /* its loop sees that and closes it */
}

void connections_close_oldest(struct connections *connections)
{
    pthread_mutex_lock(&connections->mutex);
    close_oldest(connections);
    pthread_mutex_unlock(&connections->mutex);
}

struct connection *connections_add(struct connections *connections, int socket,
                                   const struct sockaddr_storage *address, socklen_t size)
{
    struct connection *added = calloc(1, sizeof(*added));
    if (!added)
        return NULL;
    added->socket = socket;
    added->address = *address;
    added->address_size = size;
    pthread_mutex_lock(&connections->mutex);
    if (++connections->open > connections->max)
        close_oldest(connections);
    pthread_mutex_unlock(&connections->mutex);
    return added;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    pthread_mutex_lock(&connections->mutex);
    connections->open--;
    unlink_waiting(connections, connection);
    pthread_mutex_unlock(&connections->mutex);
    free(connection);
}

void connections_set_waiting(struct connections *connections, struct connection *connection,
                             bool waiting)
{
    pthread_mutex_lock(&connections->mutex);
    unlink_waiting(connections, connection);
    if (waiting)
        append(connections, connection);
    pthread_mutex_unlock(&connections->mutex);
}
