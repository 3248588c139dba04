/* One turn: wait, take what others handed over, let libmicrohttpd do what it can without waiting.
 */
#include "loop.h"

#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

/* Taken at once. */
#define HANG_UPS 64

#define LONG_AGO 1 /* a time that has passed */

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

void loop_end_waits(struct loop *loop)
{
    atomic_store(&loop->ending, true);
    eventfd_write(loop->wake, 1);
}

bool loop_is_ending(const struct loop *loop)
{
    return atomic_load(&loop->ending);
}

/* ---- watching; on the loop's thread ---- */

void loop_watch(struct connection *connection, void (*end)(void *user_data, enum loop_end why),
                void *user_data)
{
    struct loop *loop = connection->loop;
    CHECK(!connection->watch.end && end);
    connection->watch = (struct watch){.end = end, .user_data = user_data, .next = loop->watched};
    if (loop->watched)
        loop->watched->watch.previous = connection;
    loop->watched = connection;
    /* Without memory in the kernel the wait ends by itself. */
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = connection};
    (void)epoll_ctl(loop->hang_ups, EPOLL_CTL_ADD, connection->socket, &event);
    if (loop->ended)
        end(user_data, LOOP_STOPS);
}

void loop_sleep(struct connection *connection, int64_t sleep_ms)
{
    struct loop *loop = connection->loop;
    CHECK(connection->watch.end && connection->watch.until_ms == 0 && sleep_ms > 0);
    connection->watch.until_ms = loop->ended ? LONG_AGO : clock_monotonic_ms() + sleep_ms;
    loop->sleeping++;
}

void loop_set_waiting(struct connection *connection, bool waiting)
{
    connections_set_waiting(connection->loop->connections, connection, waiting);
}

static void tell(struct connection *connection, enum loop_end why)
{
    CHECK(connection->watch.end);
    connection->watch.end(connection->watch.user_data, why);
    if (connection->watch.until_ms)
        connection->watch.until_ms = LONG_AGO;
}

static void unwatch(struct loop *loop, struct connection *connection)
{
    struct watch *watch = &connection->watch;
    if (!watch->end)
        return;
    (void)epoll_ctl(loop->hang_ups, EPOLL_CTL_DEL, connection->socket, NULL);
    if (watch->next)
        watch->next->watch.previous = watch->previous;
    if (watch->previous)
        watch->previous->watch.next = watch->next;
    else
        loop->watched = watch->next;
    loop->sleeping -= watch->until_ms != 0;
    *watch = (struct watch){0};
}

static void take_hang_ups(struct loop *loop)
{
    struct epoll_event events[HANG_UPS];
    int count;
    do {
        count = epoll_wait(loop->hang_ups, events, HANG_UPS, 0);
        for (int i = 0; i < count; i++) {
            tell(connection_cast(events[i].data.ptr), LOOP_HUNG_UP);
        }
    } while (count == HANG_UPS);
}

static void end_waits(struct loop *loop)
{
    if (loop->ended || !atomic_load(&loop->ending))
        return;
    loop->ended = true;
    for (struct connection *each = loop->watched; each; each = each->watch.next)
        tell(each, LOOP_STOPS);
}

/* Resumes those whose time has come. */
static void end_sleeps(struct loop *loop)
{
    int64_t now_ms = loop->sleeping > 0 ? clock_monotonic_ms() : 0;
    struct connection *next;
    for (struct connection *each = loop->sleeping > 0 ? loop->watched : NULL; each; each = next) {
        next = each->watch.next;
        if (each->watch.until_ms == 0 || each->watch.until_ms > now_ms)
            continue;
        unwatch(loop, each);
        MHD_resume_connection(each->http);
    }
}

/* Milliseconds until the first of them; -1: nobody sleeps. */
static int next_sleep(const struct loop *loop)
{
    int64_t first_ms = INT64_MAX;
    for (const struct connection *each = loop->watched; each; each = each->watch.next) {
        if (each->watch.until_ms && each->watch.until_ms < first_ms)
            first_ms = each->watch.until_ms;
    }
    int64_t left_ms = first_ms - clock_monotonic_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

/* ---- the loop's thread ---- */

struct connection *loop_connection_opened(struct loop *loop, struct MHD_Connection *http)
{
    struct connection *connection = loop->adding;
    CHECK(connection && !connection->http);
    connection->http = http;
    loop->adding = NULL;
    if (loop->certificates) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(http, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        tls_begin(&connection->tls, info->tls_session, loop->certificates, connection->socket,
                  &connection->head, &connection->pace);
    }
    loop_set_waiting(connection, true);
    return connection;
}

void loop_connection_closed(struct loop *loop, struct connection *connection)
{
    heads_forget(connection->socket, &connection->head);
    tls_end(&connection->tls);
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
    if (!loop->certificates)
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
        unwatch(loop, connection);
        if (connection->http)
            MHD_resume_connection(connection->http);
        else
            add(loop, connection);
    }
}

/* Milliseconds until a connection times out or has slept enough; 0: libmicrohttpd has more to do;
 * -1: no limit. */
static int patience(const struct loop *loop)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    int sleep_ms = loop->sleeping > 0 ? next_sleep(loop) : -1;
    if (MHD_get_timeout(loop->daemon, &timeout_ms) == MHD_NO)
        return sleep_ms;
    int left_ms = timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX;
    return sleep_ms >= 0 && sleep_ms < left_ms ? sleep_ms : left_ms;
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
                               {.fd = loop->wake, .events = POLLIN},
                               {.fd = loop->hang_ups, .events = POLLIN}};
    while (!atomic_load(&loop->stopping)) {
        if (begin_waiting(loop))
            poll(watched, sizeof(watched) / sizeof(watched[0]), patience(loop));
        eventfd_t count;
        if (watched[1].revents)
            eventfd_read(loop->wake, &count);
        if (watched[2].revents)
            take_hang_ups(loop);
        end_waits(loop);
        end_sleeps(loop);
        take(loop, end_waiting(loop));
        MHD_run(loop->daemon);
    }
    take(loop, end_waiting(loop));
    MHD_stop_daemon(loop->daemon);
    CHECK(loop->load == 0 && !loop->handed && !loop->watched);
    return NULL;
}

/* ---- start and stop ---- */

bool loop_start(struct loop *loop, struct MHD_Daemon *daemon, struct connections *connections,
                struct certificates *certificates)
{
    CHECK(!loop->daemon && daemon);
    loop->daemon = daemon;
    loop->connections = connections;
    loop->certificates = certificates;
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->hang_ups = epoll_create1(EPOLL_CLOEXEC);
    pthread_mutex_init(&loop->mutex, NULL);
    if (loop->wake >= 0 && loop->hang_ups >= 0 &&
        pthread_create(&loop->thread, NULL, serve_connections, loop) == 0)
        return true;
    MHD_stop_daemon(daemon);
    close(loop->wake);
    close(loop->hang_ups);
    pthread_mutex_destroy(&loop->mutex);
    return false;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    eventfd_write(loop->wake, 1);
    pthread_join(loop->thread, NULL);
    close(loop->wake);
    close(loop->hang_ups);
    pthread_mutex_destroy(&loop->mutex);
}
