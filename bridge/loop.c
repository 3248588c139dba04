/* One turn: wait, take what others handed over, let libmicrohttpd do what it can without waiting.
 */
#include "loop.h"

#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

/* ---- any thread ---- */

static void hand_over(struct loop *loop, struct connection *connection)
{
    pthread_mutex_lock(&loop->mutex);
    CHECK(connection->loop == loop && loop->handed != connection);
    connection->next_handed = loop->handed;
    loop->handed = connection;
    bool wake = loop->waiting;
    loop->waiting = false;
    pthread_mutex_unlock(&loop->mutex);
    if (wake)
        eventfd_write(loop->wake, 1);
}

void loop_deal(struct loop *loop, struct connection *connection)
{
    CHECK(!connection->loop);
    atomic_fetch_add(&loop->load, 1);
    connection->loop = loop;
    hand_over(loop, connection);
}

void loop_suspend(struct connection *connection)
{
    CHECK(connection->http);
    MHD_suspend_connection(connection->http);
}

/* The loop itself resumes it, because MHD_resume_connection does not wake a daemon without a
 * thread. */
void loop_resume(struct connection *connection)
{
    CHECK(connection->http && connection->loop);
    hand_over(connection->loop, connection);
}

/* ---- the loop's thread ---- */

struct connection *loop_connection_opened(struct loop *loop, struct MHD_Connection *http)
{
    struct connection *connection = loop->adding;
    CHECK(connection && !connection->http);
    connection->http = http;
    loop->adding = NULL;
    connections_set_waiting(loop->connections, connection, true);
    return connection;
}

void loop_connection_closed(struct loop *loop, struct connection *connection)
{
    heads_forget(connection->socket, &connection->head);
    connections_remove(loop->connections, connection);
    CHECK(atomic_fetch_sub(&loop->load, 1) > 0);
}

struct visit {
    bool (*visit)(void *argument, const char *name, const char *value);
    void *argument;
};

static enum MHD_Result visit_parameter(void *pointer, enum MHD_ValueKind kind, const char *name,
                                       const char *value)
{
    (void)kind;
    const struct visit *visit = pointer;
    return visit->visit(visit->argument, name, value) ? MHD_YES : MHD_NO;
}

void loop_each_parameter(const struct connection *connection,
                         bool (*visit)(void *argument, const char *name, const char *value),
                         void *argument)
{
    MHD_get_connection_values(connection->http, MHD_GET_ARGUMENT_KIND, visit_parameter,
                              &(struct visit){visit, argument});
}

static void add(struct loop *loop, struct connection *connection)
{
    CHECK(!loop->adding && connection->loop == loop);
    loop->adding = connection;
    heads_watch(connection->socket, &connection->head);
    MHD_add_connection(loop->daemon, connection->socket,
                       (const struct sockaddr *)&connection->address, connection->address_size);
    /* It was refused for lack of memory, and closed, before we were told of it. */
    if (loop->adding)
        loop_connection_closed(loop, connection);
    loop->adding = NULL;
}

static void take(struct loop *loop, struct connection *handed)
{
    while (handed) {
        struct connection *connection = handed;
        handed = connection->next_handed;
        if (connection->http)
            MHD_resume_connection(connection->http);
        else
            add(loop, connection);
    }
}

/* Milliseconds until a connection times out; 0: libmicrohttpd has more to do; -1: no limit. */
static int patience(const struct loop *loop)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    if (MHD_get_timeout(loop->daemon, &timeout_ms) == MHD_NO)
        return -1;
    return timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX;
}

/* Begins to wait unless something was handed over already. */
static bool begin_waiting(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool waiting = loop->waiting = !loop->handed;
    pthread_mutex_unlock(&loop->mutex);
    return waiting;
}

/* Returns what was handed over. */
static struct connection *end_waiting(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct connection *handed = loop->handed;
    loop->handed = NULL;
    loop->waiting = false;
    pthread_mutex_unlock(&loop->mutex);
    return handed;
}

static void *serve_connections(void *argument)
{
    struct loop *loop = argument;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd watched[] = {{.fd = info->epoll_fd, .events = POLLIN},
                               {.fd = loop->wake, .events = POLLIN}};
    while (!atomic_load(&loop->stopping)) {
        if (begin_waiting(loop))
            poll(watched, 2, patience(loop));
        eventfd_t count;
        if (watched[1].revents)
            eventfd_read(loop->wake, &count);
        take(loop, end_waiting(loop));
        MHD_run(loop->daemon);
    }
    take(loop, end_waiting(loop));
    MHD_stop_daemon(loop->daemon);
    CHECK(loop->load == 0 && !loop->handed);
    return NULL;
}

/* ---- start and stop ---- */

bool loop_start(struct loop *loop, struct MHD_Daemon *daemon, struct connections *connections)
{
    CHECK(!loop->daemon && daemon);
    loop->daemon = daemon;
    loop->connections = connections;
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&loop->mutex, NULL);
    if (loop->wake >= 0 && pthread_create(&loop->thread, NULL, serve_connections, loop) == 0)
        return true;
    MHD_stop_daemon(daemon);
    close(loop->wake);
    pthread_mutex_destroy(&loop->mutex);
    return false;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    eventfd_write(loop->wake, 1);
    pthread_join(loop->thread, NULL);
    close(loop->wake);
    pthread_mutex_destroy(&loop->mutex);
}
