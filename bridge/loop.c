/* One turn: wait, take the new connections, let libmicrohttpd do what it can without waiting. */
#include "loop.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "figures.h"

/* ---- any thread ---- */

static void wake(struct loop *loop)
{
    eventfd_write(loop->wake, 1);
}

void loop_deal(struct loop *loop, struct connection *connection)
{
    atomic_fetch_add(&loop->load, 1);
    connection->loop = loop;
    pthread_mutex_lock(&loop->mutex);
    connection->next_dealt = loop->dealt;
    loop->dealt = connection;
    pthread_mutex_unlock(&loop->mutex);
    wake(loop);
}

void loop_resume(struct loop *loop, struct MHD_Connection *connection)
{
    MHD_resume_connection(connection);
    /* It wakes the daemon too, but a daemon that runs already may take the signal and not look. */
    wake(loop);
}

/* ---- the loop's thread ---- */

static void forget(struct loop *loop, struct connection *connection)
{
    connections_remove(loop->connections, connection);
    atomic_fetch_sub(&loop->load, 1);
}

void loop_on_connection(void *argument, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    (void)connection;
    struct loop *loop = argument;
    bool started = what == MHD_CONNECTION_NOTIFY_STARTED;
    figures_note_connection(started);
    if (started) {
        *context = loop->adding;
        loop->adding = NULL;
        connections_set_waiting(loop->connections, *context, true);
    } else {
        forget(loop, *context);
    }
}

static void add(struct loop *loop, struct connection *connection)
{
    loop->adding = connection;
    MHD_add_connection(loop->daemon, connection->socket,
                       (const struct sockaddr *)&connection->address, connection->address_size);
    /* Refused for want of memory, and closed, before it was told of. */
    if (loop->adding)
        forget(loop, connection);
    loop->adding = NULL;
}

static void take_dealt(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct connection *dealt = loop->dealt;
    loop->dealt = NULL;
    pthread_mutex_unlock(&loop->mutex);
    while (dealt) {
        struct connection *connection = dealt;
        dealt = connection->next_dealt;
        add(loop, connection);
    }
}

/* Milliseconds until a connection times out; 0 when libmicrohttpd has more to do, -1: for ever. */
static int patience(const struct loop *loop)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    if (MHD_get_timeout(loop->daemon, &timeout_ms) == MHD_NO)
        return -1;
    return timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX;
}

static void *run(void *argument)
{
    struct loop *loop = argument;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd watched[] = {{.fd = info->epoll_fd, .events = POLLIN},
                               {.fd = loop->wake, .events = POLLIN}};
    while (!atomic_load(&loop->stopping)) {
        poll(watched, 2, patience(loop));
        if (watched[1].revents) {
            eventfd_t count;
            eventfd_read(loop->wake, &count); /* before looking at what it was written for */
            take_dealt(loop);
        }
        MHD_run(loop->daemon);
    }
    take_dealt(loop);
    MHD_stop_daemon(loop->daemon);
    return NULL;
}

/* ---- start and stop ---- */

bool loop_start(struct loop *loop, struct MHD_Daemon *daemon, struct connections *connections)
{
    loop->daemon = daemon;
    loop->connections = connections;
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&loop->mutex, NULL);
    if (loop->wake >= 0 && pthread_create(&loop->thread, NULL, run, loop) == 0)
        return true;
    MHD_stop_daemon(daemon);
    close(loop->wake);
    pthread_mutex_destroy(&loop->mutex);
    return false;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
    pthread_join(loop->thread, NULL);
    close(loop->wake);
    pthread_mutex_destroy(&loop->mutex);
}
