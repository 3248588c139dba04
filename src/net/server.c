/* A fixed pool of calls: each request that a link brings takes one, until its answer has left. nng
 * runs the events of links on its few threads; nothing here blocks them. */
#include "net/server.h"

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/listen.h"
#include "sp/link.h"

/* How long a peer may leave answers unread before its connection is closed: long, unless such peers
 * take up most of the calls or of the memory. */
#define PATIENCE_MS 10000
#define PATIENCE_PRESSED_MS 1000

/* Bytes of requests and answers in hand, and of these requests that are still being received. Small
 * answers are let through, to say so. */
#define MAX_BYTES (64u << 20)
#define MAX_RECEIVING_BYTES (32u << 20)
#define SMALL_ANSWER 4096

/* Closing a connection that has unread requests resets it, and drops what has not left the kernel.
 */
#define FLUSH_MS 100

/* Descriptors kept back from connections, for the store and its files. */
#define SPARE_FILES 256

/* How often the deadlines of the calls in hand are looked at. */
#define WATCH_MS 20

/* A listener that cannot accept, as for want of descriptors, tries again after this. */
#define ACCEPT_PAUSE_MS 100

struct slot {
    struct call call; /* first: a call is its slot */
    struct server *server;
    struct peer *peer;
    uint8_t route[LINK_MAX_ROUTE];
    size_t route_size;
    struct link_message answer;
    size_t charged; /* of the server's bytes */
    struct slot *next_free;
    atomic_int holders; /* the handler and the answer, until each is done */
};

/* A connection. */
struct peer {
    struct server *server;
    struct link *link;
    struct peer *next;
    struct peer **previous;    /* what points here */
    struct peer *next_waiting; /* for a slot */
    struct peer *next_unused;
    struct slot *granted; /* it waits no longer */
};

struct acceptor {
    struct server *server;
    struct listener listener;
    nng_aio *aio;
    bool pausing;
};

struct server {
    struct dispatcher *dispatcher;
    struct acceptor acceptors[LISTEN_MAX];
    size_t acceptor_count;
    struct slot *slots;
    size_t slot_count;
    atomic_size_t bytes; /* in hand */
    size_t max_peers;
    atomic_size_t busy; /* slots not free; set under `lock`, as the rest */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* `busy` or `peer_count` is 0 */
    struct slot *free;
    struct peer *peers;
    size_t peer_count;
    bool crowded; /* the last connection was one too many */
    struct peer *first_waiting;
    struct peer **last_waiting;
    struct peer *unused; /* to be freed by the watcher */
    pthread_t watcher;
    bool watching; /* the thread exists */
    bool resting;  /* it waits for calls */
    bool stopping;
    pthread_cond_t wake; /* for it */
    pthread_mutex_t closings_lock;
    struct log_repeats closings; /* of connections whose peers misbehave */
};

static metric_cell connections_cell;
struct metric server_connections = {.name = "connections",
                                    .help = "Connections of clients that stand.",
                                    .kind = METRIC_GAUGE,
                                    .cells = &connections_cell};

/* ---- memory ---- */

/* Replaces what is charged; false, charging nothing, when all would be over `limit`. */
static bool charge(struct server *server, size_t *charged, size_t size, size_t limit)
{
    atomic_fetch_sub(&server->bytes, *charged);
    *charged = 0;
    if (atomic_fetch_add(&server->bytes, size) + size > limit) {
        atomic_fetch_sub(&server->bytes, size);
        return false;
    }
    *charged = size;
    return true;
}

static bool is_pressed(const struct server *server)
{
    return server->busy > SERVER_MAX_CALLS / 4 * 3 || server->bytes > MAX_BYTES / 4 * 3;
}

/* ---- slots ---- */

static void wake_watcher(struct server *server)
{
    if (server->resting)
        pthread_cond_signal(&server->wake);
}

/* The slot that the peer was granted or a free one; NULL when it has to wait. */
static struct slot *slot_acquire(struct server *server, struct peer *peer)
{
    pthread_mutex_lock(&server->lock);
    struct slot *slot = peer->granted;
    peer->granted = NULL;
    if (!slot && server->free && !server->first_waiting) {
        slot = server->free;
        server->free = slot->next_free;
        server->busy++;
        wake_watcher(server);
    } else if (!slot) {
        peer->next_waiting = NULL;
        *server->last_waiting = peer;
        server->last_waiting = &peer->next_waiting;
        link_hold(peer->link);
    }
    pthread_mutex_unlock(&server->lock);
    return slot;
}

/* Takes out the peer that has waited longest; under the lock. */
static struct peer *take_waiting(struct server *server)
{
    struct peer *peer = server->first_waiting;
    if (!peer)
        return NULL;
    server->first_waiting = peer->next_waiting;
    if (!server->first_waiting)
        server->last_waiting = &server->first_waiting;
    return peer;
}

static void resume(struct peer *peer)
{
    struct link *link = peer->link;
    link_resume(link);
    link_let_go(link);
}

/* To the peer that has waited longest, or to the others. */
static void slot_release(struct slot *slot)
{
    struct server *server = slot->server;
    pthread_mutex_lock(&server->lock);
    struct peer *peer = take_waiting(server);
    if (peer) {
        peer->granted = slot;
    } else {
        slot->next_free = server->free;
        server->free = slot;
        server->busy--;
        if (server->busy == 0)
            pthread_cond_broadcast(&server->idle);
    }
    pthread_mutex_unlock(&server->lock);
    if (peer)
        resume(peer);
}

static void slot_let_go(struct slot *slot)
{
    if (atomic_fetch_sub(&slot->holders, 1) > 1)
        return;
    charge(slot->server, &slot->charged, 0, SIZE_MAX);
    slot_release(slot);
}

/* The handler is done. The answer may wait long for its peer; the call's memory need not. */
static void slot_leave(struct call *call)
{
    arena_reset(&call->arena);
    slot_let_go((struct slot *)call);
}

static uint8_t *slot_reserve(struct call *call, size_t size)
{
    struct slot *slot = (struct slot *)call;
    /* The answer takes the place of the request, but for a handler that has not let go of it. */
    size_t limit = size <= SMALL_ANSWER ? SIZE_MAX : MAX_BYTES;
    if (!call->expired && !charge(slot->server, &slot->charged, size, limit))
        return NULL;
    return link_reserve(&slot->answer, slot->route, slot->route_size, size);
}

static void slot_send(struct call *call)
{
    struct slot *slot = (struct slot *)call;
    struct link *link = slot->peer->link;
    if (!call->expired)
        slot_leave(call);
    if (slot->answer.memory) {
        link_send(link, &slot->answer);
    } else {
        slot_let_go(slot);
        link_let_go(link);
    }
}

static const struct call_transport SLOT_TRANSPORT = {
    .reserve = slot_reserve, .send = slot_send, .leave = slot_leave};

/* ---- events of links ---- */

static bool on_received(void *owner, struct link *link, const struct link_received *received)
{
    struct peer *peer = owner;
    struct server *server = peer->server;
    struct slot *slot = slot_acquire(server, peer);
    if (!slot)
        return false;
    link_hold(link); /* until the answer has left */
    slot->peer = peer;
    memcpy(slot->route, received->route, received->route_size);
    slot->route_size = received->route_size;
    atomic_store(&slot->holders, 2);
    bool too_long = received->size > RPC_MAX_MESSAGE;
    if (too_long || (received->body && charge(server, &slot->charged, received->size, MAX_BYTES)))
        dispatch(server->dispatcher, &slot->call, received->body, received->size);
    else
        dispatch_refuse_busy(&slot->call);
    return true;
}

static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    (void)owner;
    (void)left;
    size_t offset = offsetof(struct slot, answer);
    slot_let_go((struct slot *)((char *)message - offset));
    link_let_go(link);
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    (void)link;
    struct server *server = ((struct peer *)owner)->server;
    if (!why)
        return;
    unsigned left_out;
    pthread_mutex_lock(&server->closings_lock);
    bool due = log_repeats_due(&server->closings, why, &left_out);
    pthread_mutex_unlock(&server->closings_lock);
    if (due)
        log_warning("closing the connection of a peer", {"because", why},
                    {"left_out", NULL, left_out});
}

/* Links are freed by a thread that may wait. */
static void on_unused(void *owner, struct link *link)
{
    (void)link;
    struct peer *peer = owner;
    struct server *server = peer->server;
    struct slot *granted = peer->granted;
    peer->granted = NULL;
    if (granted)
        slot_release(granted);
    pthread_mutex_lock(&server->lock);
    peer->next_unused = server->unused;
    server->unused = peer;
    wake_watcher(server);
    pthread_mutex_unlock(&server->lock);
}

static bool on_charge(void *owner, size_t *charged, size_t size)
{
    struct peer *peer = owner;
    return charge(peer->server, charged, size, size > 0 ? MAX_RECEIVING_BYTES : SIZE_MAX);
}

static nng_duration get_patience(void *owner)
{
    const struct peer *peer = owner;
    return is_pressed(peer->server) ? PATIENCE_PRESSED_MS : PATIENCE_MS;
}

static const struct link_events LINK_EVENTS = {
    .received = on_received,
    .sent = on_sent,
    .closed = on_closed,
    .unused = on_unused,
    .charge = on_charge,
    .patience = get_patience,
    .max_body = RPC_MAX_MESSAGE,
};

/* ---- connections ---- */

/* Whether one more is allowed; it is in the list then. */
static bool add_peer(struct server *server, struct peer *peer)
{
    pthread_mutex_lock(&server->lock);
    bool allowed = server->peer_count < server->max_peers;
    bool tell = !allowed && !server->crowded;
    server->crowded = !allowed;
    if (allowed) {
        peer->next = server->peers;
        peer->previous = &server->peers;
        if (peer->next)
            peer->next->previous = &peer->next;
        server->peers = peer;
        server->peer_count++;
        metric_add(&server_connections, 0, 1);
    }
    pthread_mutex_unlock(&server->lock);
    if (tell)
        log_warning("too many connections, refusing more",
                    {"limit", NULL, (double)server->max_peers});
    return allowed;
}

/* Under the lock. The peer counts until it is freed. */
static void unlist_peer(struct peer *peer)
{
    *peer->previous = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
}

static void free_peer(struct server *server, struct peer *peer)
{
    if (peer->link)
        link_free(peer->link);
    free(peer);
    metric_add(&server_connections, 0, -1);
    pthread_mutex_lock(&server->lock);
    server->peer_count--;
    if (server->peer_count == 0)
        pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->lock);
}

static void welcome(struct server *server, nng_stream *stream, const struct link_address *address)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer || !add_peer(server, peer)) {
        nng_stream_free(stream);
        free(peer);
        return;
    }
    peer->server = server;
    peer->link = link_new(stream, address, LINK_REPLIER, &LINK_EVENTS, peer);
    if (peer->link) {
        link_start(peer->link);
        return;
    }
    pthread_mutex_lock(&server->lock);
    unlist_peer(peer);
    pthread_mutex_unlock(&server->lock);
    free_peer(server, peer);
}

static void accept_next(struct acceptor *acceptor, int error)
{
    acceptor->pausing = error != 0;
    if (acceptor->pausing)
        nng_sleep_aio(ACCEPT_PAUSE_MS, acceptor->aio);
    else
        nng_stream_listener_accept(acceptor->listener.streams, acceptor->aio);
}

static void on_accepted(void *argument)
{
    struct acceptor *acceptor = argument;
    int error = nng_aio_result(acceptor->aio);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        return;
    if (error == 0 && !acceptor->pausing)
        welcome(acceptor->server, nng_aio_get_output(acceptor->aio, 0),
                &acceptor->listener.address);
    accept_next(acceptor, error);
}

/* ---- the watcher ---- */

static struct timespec moment(int64_t monotonic_ms)
{
    return (struct timespec){monotonic_ms / 1000, monotonic_ms % 1000 * 1000000};
}

static void wait_for_work(struct server *server)
{
    struct timespec until = moment(clock_monotonic_ms() + WATCH_MS);
    server->resting = server->busy == 0;
    if (server->resting && !server->unused && !server->stopping)
        pthread_cond_wait(&server->wake, &server->lock);
    else if (!server->resting)
        pthread_cond_timedwait(&server->wake, &server->lock, &until);
    server->resting = false;
}

/* Has the lock and gives it up. */
static void free_unused(struct server *server)
{
    struct peer *unused = server->unused;
    server->unused = NULL;
    for (struct peer *peer = unused; peer; peer = peer->next_unused)
        unlist_peer(peer);
    pthread_mutex_unlock(&server->lock);
    while (unused) {
        struct peer *peer = unused;
        unused = peer->next_unused;
        free_peer(server, peer);
    }
}

/* Answers calls whose deadline passes while their handler waits for the store, and frees links that
 * have ended. */
static void *watch(void *argument)
{
    struct server *server = argument;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        wait_for_work(server);
        free_unused(server);
        int64_t now_ms = clock_monotonic_ms();
        for (size_t i = 0; i < server->slot_count; i++)
            call_expire(&server->slots[i].call, now_ms);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void stop_watching(struct server *server)
{
    if (!server->watching)
        return;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->watcher, NULL);
}

/* ---- start and stop ---- */

/* As many connections as descriptors allow, of which the program may have as many as the system
 * lets it. */
static size_t count_peers_allowed(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur > 2 * SPARE_FILES ? limit.rlim_cur - SPARE_FILES : SPARE_FILES;
}

static void init_lock(struct server *server)
{
    pthread_mutex_init(&server->lock, NULL);
    pthread_mutex_init(&server->closings_lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->idle, &attributes);
    pthread_cond_init(&server->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static bool server_open(struct server *server, struct dispatcher *dispatcher)
{
    *server = (struct server){.dispatcher = dispatcher, .max_peers = count_peers_allowed()};
    server->last_waiting = &server->first_waiting;
    init_lock(server);
    server->slots = calloc(SERVER_MAX_CALLS, sizeof(*server->slots));
    if (!server->slots)
        return false;
    for (; server->slot_count < SERVER_MAX_CALLS; server->slot_count++) {
        struct slot *slot = &server->slots[server->slot_count];
        slot->server = server;
        call_init(&slot->call, &SLOT_TRANSPORT);
        slot->next_free = server->free;
        server->free = slot;
    }
    server->watching = pthread_create(&server->watcher, NULL, watch, server) == 0;
    return server->watching;
}

static bool start_listening(struct server *server, const struct server_config *config,
                            struct status *status)
{
    struct listener listeners[LISTEN_MAX];
    bool opened = listen_all(config, listeners, &server->acceptor_count, status);
    for (size_t i = 0; i < server->acceptor_count; i++) {
        struct acceptor *acceptor = &server->acceptors[i];
        *acceptor = (struct acceptor){.server = server, .listener = listeners[i]};
        if (nng_aio_alloc(&acceptor->aio, on_accepted, acceptor) != 0)
            opened =
                status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory to listen");
    }
    for (size_t i = 0; opened && i < server->acceptor_count; i++)
        accept_next(&server->acceptors[i], 0);
    return opened;
}

bool server_start(const struct server_config *config, struct dispatcher *dispatcher,
                  struct server **out, struct status *status)
{
    *out = NULL;
    struct server *server = malloc(sizeof(*server));
    if (!server || !server_open(server, dispatcher)) {
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "cannot set up the server");
    } else if (start_listening(server, config, status)) {
        *out = server;
        return true;
    }
    if (server)
        server_stop(server);
    return false;
}

bool server_drain(struct server *server, int64_t timeout_ms)
{
    struct timespec until = moment(clock_monotonic_ms() + timeout_ms);
    int waited = 0;
    pthread_mutex_lock(&server->lock);
    while (server->busy > 0 && waited == 0)
        waited = pthread_cond_timedwait(&server->idle, &server->lock, &until);
    bool done = server->busy == 0;
    pthread_mutex_unlock(&server->lock);
    return done;
}

static void stop_accepting(struct server *server)
{
    for (size_t i = 0; i < server->acceptor_count; i++) {
        struct acceptor *acceptor = &server->acceptors[i];
        nng_stream_listener_close(acceptor->listener.streams);
        if (acceptor->aio) {
            nng_aio_stop(acceptor->aio);
            nng_aio_free(acceptor->aio);
        }
    }
}

static void close_connections(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct peer *peer = server->peers; peer; peer = peer->next)
        link_close(peer->link);
    while (server->peer_count > 0) {
        struct peer *waiting = take_waiting(server);
        if (!waiting) {
            pthread_cond_wait(&server->idle, &server->lock);
            continue;
        }
        pthread_mutex_unlock(&server->lock);
        resume(waiting);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

void server_stop(struct server *server)
{
    stop_accepting(server);
    nng_msleep(FLUSH_MS);
    close_connections(server);
    stop_watching(server);
    for (size_t i = 0; i < server->acceptor_count; i++)
        listener_close(&server->acceptors[i].listener);
    for (size_t i = 0; i < server->slot_count; i++)
        call_fini(&server->slots[i].call);
    free(server->slots);
    pthread_cond_destroy(&server->idle);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->closings_lock);
    free(server);
}
