/* The limits on connections are applied here: see connections.h. */
#include "accept.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "http_listen.h"

/* The most from one listening socket before the others have their turn: all that its backlog holds.
 */
#define ACCEPTED_IN_A_ROW HTTP_LISTEN_BACKLOG

/* The wait with too many connections or no descriptors, until some have been closed. */
#define PAUSE_MS 10

static struct loop *find_least_loaded(const struct http_listener *listener)
{
    CHECK(listener->loop_count > 0);
    struct loop *least = &listener->loops[0];
    for (size_t i = 1; i < listener->loop_count; i++) {
        if (atomic_load(&listener->loops[i].load) < atomic_load(&least->load))
            least = &listener->loops[i];
    }
    return least;
}

enum accepted { ACCEPTED, NONE_LEFT, NO_ROOM };

static enum accepted accept_one(const struct http_listener *listener)
{
    struct connections *connections = listener->loops->connections;
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    if (connections_full(connections))
        return NO_ROOM;
    int socket =
        accept4(listener->socket, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return NONE_LEFT;
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
            return ACCEPTED; /* the error of a connection that has gone: accept(2), "Error handling"
                              */
        connections_close_oldest(connections);
        return NO_ROOM;
    }
    struct connection *connection = connections_add(connections, socket, &address, size);
    if (connection)
        loop_deal(find_least_loaded(listener), connection);
    else
        close(socket);
    return ACCEPTED;
}

/* False when there was no room. */
static bool accept_some(const struct http_listener *listener)
{
    enum accepted last = ACCEPTED;
    for (int i = 0; i < ACCEPTED_IN_A_ROW && last == ACCEPTED; i++)
        last = accept_one(listener);
    return last != NO_ROOM;
}

static void *accept_all(void *argument)
{
    struct acceptor *acceptor = argument;
    struct pollfd watched[1 + ACCEPT_LISTENERS_MAX] = {{.fd = acceptor->stop, .events = POLLIN}};
    size_t count = acceptor->listener_count;
    CHECK(count > 0 && count <= ACCEPT_LISTENERS_MAX);
    for (size_t i = 0; i < count; i++)
        watched[1 + i] = (struct pollfd){.fd = acceptor->listeners[i].socket, .events = POLLIN};
    bool room = true;
    while (!watched[0].revents) {
        poll(watched, room ? 1 + count : 1, room ? -1 : PAUSE_MS);
        room = true;
        for (size_t i = 0; i < count; i++)
            room = accept_some(&acceptor->listeners[i]) && room;
    }
    for (size_t i = 0; i < count; i++)
        close(acceptor->listeners[i].socket);
    return NULL;
}

bool acceptor_start(struct acceptor *acceptor)
{
    acceptor->stop = eventfd(0, EFD_CLOEXEC);
    if (acceptor->stop >= 0 && pthread_create(&acceptor->thread, NULL, accept_all, acceptor) == 0)
        return true;
    close(acceptor->stop);
    return false;
}

void acceptor_stop(struct acceptor *acceptor)
{
    eventfd_write(acceptor->stop, 1);
    pthread_join(acceptor->thread, NULL);
    close(acceptor->stop);
}
