/* Each request that a link brings takes a call of the pool, until its answer has left. nng runs the
 * events of links on its few threads; nothing here blocks them. */
#include "net/server.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pem_files.h"
#include "base/wait.h"
#include "sp/link.h"

/* While memory is short, who has kept some of it for longer than this may be cut off, so many in
 * one turn of the watcher. */
#define PATIENCE_MS 2000
#define CUTS_AT_ONCE 16

/* What a connection takes by itself, as measured. */
#define PEER_BYTES ((size_t)8 << 10)
#define PEER_BYTES_TLS ((size_t)48 << 10)

/* Answers that are sent even when nothing more may be held, as they say so. */
#define SMALL_ANSWER 2048

/* Closing a connection that has unread requests resets it, and drops what has not left the kernel.
 */
#define FLUSH_MS 100

/* How often the deadlines of the calls in hand are looked at. */
#define WATCH_MS 20

/* A listener that cannot accept, as for want of descriptors, tries again after this. */
#define ACCEPT_PAUSE_MS 100

struct slot {
    struct call call; /* first: a call is its slot */
    uint8_t route[LINK_MAX_ROUTE];
    size_t route_size;
    struct link_message answer;
    struct charge memory;  /* for the call's arena: the handler's */
    struct charge sending; /* for the answer */
};

#define SERVER_PEER_MAGIC 0x50454552u

/* A connection. */
struct server_peer {
    unsigned magic;
    struct server *server;
    struct link *link;
    struct budget_share share;
    struct charge charge; /* for itself */
    struct server_peer *next;
    struct server_peer **previous; /* what points here */
    struct server_peer *next_unused;
    struct server_peer *next_closed; /* by the watcher, with this one */
    struct server_peer *next_slow;
    bool cut_off;
    struct call_source source; /* of its calls */
    uint64_t number;           /* its connection's, from 1 */
    char address[CALL_ADDRESS_SIZE];
    bool is_bridge;
};

struct server_acceptor {
    struct server *server;
    struct listener listener;
    nng_aio *aio;
    bool pausing;
};

struct server {
    struct dispatcher *dispatcher;
    struct link_events link_events;
    struct budget *budget;
    bool (*is_bridge)(void *context, const char *address);
    void *bridge_context;
    struct listen_config listen;
    struct pem_files tls_files; /* of it */
    struct server_acceptor acceptors[LISTEN_MAX];
    size_t acceptor_count;
    struct call_pool calls;
    size_t max_peers;
    pthread_mutex_t lock;  /* for what follows; not held when the pool or a link is called */
    pthread_cond_t nobody; /* `peer_count` is 0 */
    struct server_peer *peers;
    size_t peer_count;
    uint64_t last_number;       /* of a peer */
    size_t peer_bytes;          /* what they take by themselves */
    struct server_peer *unused; /* to be freed by the watcher */
    struct server_peer *slow;   /* have something to bring, and are slowed down */
    pthread_t watcher;
    bool watching;       /* the thread exists */
    atomic_bool resting; /* it waits for calls */
    int64_t wakes_ms;    /* until then it waits, at most; monotonic */
    bool grown;          /* much was held since it gave memory back to the system */
    bool closing;        /* all connections */
    bool stopping;
    pthread_cond_t wake; /* for it */
};

static metric_cell connections_cell, memory_cell, memory_ceiling_cell;
struct metric server_connections = {.name = "connections",
                                    .help = "Open connections of clients.",
                                    .kind = METRIC_GAUGE,
                                    .cells = &connections_cell};
struct metric server_memory = {.name = "held_memory_bytes",
                               .help = "Memory held for connections, requests and answers.",
                               .kind = METRIC_GAUGE,
                               .cells = &memory_cell};
struct metric server_memory_ceiling = {.name = "held_memory_max_bytes",
                                       .help = "The most memory that may be held for these.",
                                       .kind = METRIC_GAUGE,
                                       .cells = &memory_ceiling_cell};

static struct server_peer *peer_cast(void *owner)
{
    struct server_peer *peer = owner;
    CHECK(peer->magic == SERVER_PEER_MAGIC);
    return peer;
}

/* ---- calls ---- */

static struct server_peer *peer_of(struct call_source *source)
{
    return peer_cast((char *)source - offsetof(struct server_peer, source));
}

/* The peer waits no longer, for a call or as it was slowed down. */
static void on_place(struct call_source *source)
{
    struct link *link = peer_of(source)->link;
    link_resume(link);
    link_release(link);
}

static uint8_t *slot_reserve(struct call *call, size_t size)
{
    struct slot *slot = (struct slot *)call;
    if (!charge_add(&slot->sending, size + LINK_MESSAGE_HEAD) && size > SMALL_ANSWER)
        return NULL;
    return link_reserve(&slot->answer, slot->route, slot->route_size, size);
}

/* The answer has left or never will. */
static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    (void)owner;
    (void)link;
    (void)left;
    struct slot *slot = (struct slot *)((char *)message - offsetof(struct slot, answer));
    charge_release(&slot->sending, slot->sending.held);
    call_release(&slot->call);
}

static void slot_send(struct call *call)
{
    struct slot *slot = (struct slot *)call;
    struct server_peer *peer = peer_of(call->source);
    if (slot->answer.memory)
        link_send(peer->link, &slot->answer);
    else
        on_sent(peer, peer->link, &slot->answer, false);
}

/* The peer is held as long as what is charged to it may be used. */
static void slot_end(struct call *call)
{
    struct slot *slot = (struct slot *)call;
    struct link *link = peer_of(call->source)->link;
    CHECK(slot->memory.held == 0 && slot->sending.held == 0 && !slot->answer.memory);
    call_pool_put(call->pool, call);
    link_release(link);
}

static const struct call_transport SLOT_TRANSPORT = {
    .reserve = slot_reserve, .send = slot_send, .end = slot_end};

/* ---- events of links ---- */

/* Whether the peer is slowed down: the watcher goes on with it when that is over. */
static bool waits_as_slow(struct server_peer *peer)
{
    struct server *server = peer->server;
    int64_t until_ms = atomic_load(&peer->source.slow_until_ms);
    if (until_ms == 0 || until_ms <= clock_monotonic_ms())
        return false;
    pthread_mutex_lock(&server->lock);
    peer->next_slow = server->slow;
    server->slow = peer;
    if (until_ms < server->wakes_ms) {
        server->wakes_ms = until_ms;
        pthread_cond_signal(&server->wake);
    }
    pthread_mutex_unlock(&server->lock);
    return true;
}

/* The link is held until the call has ended or need not be waited for. */
static bool on_received(void *owner, struct link *link, const struct link_received *received)
{
    struct server_peer *peer = peer_cast(owner);
    struct server *server = peer->server;
    link_hold(link);
    if (waits_as_slow(peer))
        return false;
    struct call *call = call_pool_take(&server->calls, &peer->source);
    if (!call)
        return false;
    if (atomic_load(&server->resting)) { /* the watcher may have found nothing to do */
        pthread_mutex_lock(&server->lock);
        pthread_cond_signal(&server->wake);
        pthread_mutex_unlock(&server->lock);
    }
    struct slot *slot = (struct slot *)call;
    slot->memory.share = slot->sending.share = &peer->share;
    call->arena.charge = &slot->memory;
    call->caller = (struct caller){.connection = peer->number};
    call->peer_address = peer->address;
    call->peer_is_bridge = peer->is_bridge;
    memcpy(slot->route, received->route, received->route_size);
    slot->route_size = received->route_size;
    if (received->body || received->size > server->dispatcher->max_message)
        dispatch(server->dispatcher, call, received->body, received->size);
    else
        dispatch_refuse_busy(call);
    return true;
}

static void tell_closing(const char *why)
{
    log_warning_limited(why, "closing the connection of a peer", {"because", why});
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    struct server_peer *peer = peer_cast(owner);
    (void)link;
    if (why)
        tell_closing(why);
    call_pool_leave(&peer->server->calls, &peer->source);
}

/* Links are freed by a thread that may wait. */
static void on_unused(void *owner, struct link *link)
{
    (void)link;
    struct server_peer *peer = peer_cast(owner);
    struct server *server = peer->server;
    call_pool_leave(&server->calls, &peer->source); /* it may have been granted a place since */
    pthread_mutex_lock(&server->lock);
    peer->next_unused = server->unused;
    server->unused = peer;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
}

static struct link_events events_of_links(size_t max_message)
{
    return (struct link_events){
        .received = on_received,
        .sent = on_sent,
        .closed = on_closed,
        .unused = on_unused,
        .max_body = max_message,
    };
}

/* ---- connections ---- */

/* Whether one more is allowed, which takes `bytes` by itself; it is in the list then. */
static bool add_peer(struct server *server, struct server_peer *peer, size_t bytes)
{
    pthread_mutex_lock(&server->lock);
    bool allowed = server->peer_count < server->max_peers &&
                   server->peer_bytes + bytes <= server->budget->ceiling / 2 &&
                   charge_add(&peer->charge, bytes);
    if (allowed) {
        peer->number = ++server->last_number;
        peer->next = server->peers;
        peer->previous = &server->peers;
        if (peer->next)
            peer->next->previous = &peer->next;
        server->peers = peer;
        server->peer_count++;
        server->peer_bytes += bytes;
        metric_add(&server_connections, 0, 1);
    }
    size_t open = server->peer_count;
    pthread_mutex_unlock(&server->lock);
    if (!allowed)
        log_warning_limited("", "too many connections, refusing more",
                            {"open", NULL, (double)open});
    return allowed;
}

/* Under the lock. The peer counts until it is freed. */
static void unlist_peer(struct server_peer *peer)
{
    CHECK(*peer->previous == peer);
    *peer->previous = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
}

static void free_peer(struct server *server, struct server_peer *peer)
{
    size_t bytes = peer->charge.held;
    CHECK(!peer->source.granted && peer->share.held >= bytes);
    if (peer->link)
        link_free(peer->link);
    charge_release(&peer->charge, bytes);
    CHECK(peer->share.held == 0);
    peer->magic = 0;
    free(peer);
    metric_add(&server_connections, 0, -1);
    pthread_mutex_lock(&server->lock);
    CHECK(server->peer_count > 0 && server->peer_bytes >= bytes);
    server->peer_count--;
    server->peer_bytes -= bytes;
    if (server->peer_count == 0)
        pthread_cond_broadcast(&server->nobody);
    pthread_mutex_unlock(&server->lock);
}

/* What comes over a local socket counts as from the loopback address. */
static void take_peer_address(struct server_peer *peer, nng_stream *stream,
                              const struct link_address *listened_on)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF}; /* ::ffff:0:0/96, an IPv4 one */
    nng_sockaddr address;
    if (listened_on->framing == LINK_IPC) {
        snprintf(peer->address, sizeof(peer->address), "127.0.0.1");
        return;
    }
    if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &address) != 0)
        return;
    const uint8_t *bytes = address.s_in6.sa_addr;
    if (address.s_family == NNG_AF_INET)
        inet_ntop(AF_INET, &address.s_in.sa_addr, peer->address, sizeof(peer->address));
    else if (address.s_family == NNG_AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0)
        inet_ntop(AF_INET, bytes + sizeof(mapped), peer->address, sizeof(peer->address));
    else if (address.s_family == NNG_AF_INET6)
        inet_ntop(AF_INET6, bytes, peer->address, sizeof(peer->address));
}

static void welcome(struct server *server, nng_stream *stream, const struct link_address *address)
{
    struct server_peer *peer = calloc(1, sizeof(*peer));
    if (peer) {
        peer->magic = SERVER_PEER_MAGIC;
        peer->server = server;
        peer->share.budget = server->budget;
        peer->charge.share = &peer->share;
        take_peer_address(peer, stream, address);
        peer->is_bridge =
            server->is_bridge && server->is_bridge(server->bridge_context, peer->address);
    }
    if (!peer || !add_peer(server, peer, address->tls ? PEER_BYTES_TLS : PEER_BYTES)) {
        nng_stream_free(stream);
        free(peer);
        return;
    }
    struct link *link = link_new(stream, address, LINK_REPLIER, &server->link_events, peer);
    pthread_mutex_lock(&server->lock);
    peer->link = link;
    if (!link)
        unlist_peer(peer);
    pthread_mutex_unlock(&server->lock);
    if (!link) {
        free_peer(server, peer);
        return;
    }
    link_limit(link, &peer->share);
    link_start(link);
}

static void accept_next(struct server_acceptor *acceptor, int error)
{
    acceptor->pausing = error != 0;
    if (acceptor->pausing)
        nng_sleep_aio(ACCEPT_PAUSE_MS, acceptor->aio);
    else
        nng_stream_listener_accept(acceptor->listener.streams, acceptor->aio);
}

static void on_accepted(void *argument)
{
    struct server_acceptor *acceptor = argument;
    int error = nng_aio_result(acceptor->aio);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        return;
    if (error == 0 && !acceptor->pausing)
        welcome(acceptor->server, nng_aio_get_output(acceptor->aio, 0),
                &acceptor->listener.address);
    accept_next(acceptor, error == NNG_EAGAIN ? 0 : error); /* see server_look_at_certificates */
}

/* ---- the watcher ---- */

static void wait_for_work(struct server *server)
{
    atomic_store(&server->resting, true); /* before the pool is looked at: see on_received */
    if (call_pool_is_busy(&server->calls) || budget_bearable(server->budget) < SIZE_MAX)
        atomic_store(&server->resting, false);
    server->wakes_ms = server->resting ? INT64_MAX : clock_monotonic_ms() + WATCH_MS;
    for (struct server_peer *peer = server->slow; peer; peer = peer->next_slow) {
        int64_t until_ms = atomic_load(&peer->source.slow_until_ms);
        server->wakes_ms = until_ms < server->wakes_ms ? until_ms : server->wakes_ms;
    }
    if (!server->unused && !server->closing && !server->stopping)
        wait_until(&server->wake, &server->lock, server->wakes_ms);
    server->resting = false;
    server->wakes_ms = INT64_MIN;
}

/* The peer that has kept most for longest, in bytes times milliseconds; NULL: nobody has for long.
 * Called with the lock held. */
static struct server_peer *find_slowest(struct server *server, int64_t now_ms)
{
    struct server_peer *slowest = NULL;
    int64_t most = 0;
    for (struct server_peer *peer = server->peers; peer; peer = peer->next) {
        int64_t since_ms = peer->link ? link_slow_since(peer->link) : 0;
        if (peer->cut_off || since_ms == 0 || now_ms - since_ms < PATIENCE_MS)
            continue;
        int64_t kept = (now_ms - since_ms) * (int64_t)peer->share.held;
        if (kept > most) {
            slowest = peer;
            most = kept;
        }
    }
    return slowest;
}

static void add_closed(struct server_peer **closed, struct server_peer *peer)
{
    peer->next_closed = *closed;
    *closed = peer;
}

/* Those to be closed: all, or who has kept memory for longest, while more is held than can be
 * borne. Called with the lock held. */
static struct server_peer *choose_closed(struct server *server, int64_t now_ms)
{
    size_t enough = budget_bearable(server->budget);
    size_t freed = 0;
    struct server_peer *closed = NULL;
    for (struct server_peer *peer = server->peers; peer && server->closing; peer = peer->next)
        add_closed(&closed, peer);
    server->closing = false;
    if (closed || enough == SIZE_MAX)
        return closed;
    for (int i = 0; i < CUTS_AT_ONCE && server->budget->held > enough + freed; i++) {
        struct server_peer *slowest = find_slowest(server, now_ms);
        if (!slowest)
            break;
        freed += slowest->share.held;
        slowest->cut_off = true;
        add_closed(&closed, slowest);
    }
    return closed;
}

/* Only the watcher frees peers, so they are there. */
static void close_peers(const struct server_peer *closed)
{
    if (closed && closed->cut_off)
        tell_closing("it is slow and memory is short");
    for (; closed; closed = closed->next_closed)
        link_close(closed->link);
}

/* Takes out those that have been slowed down for long enough. Called with the lock held. */
static struct server_peer *take_rested(struct server *server, int64_t now_ms)
{
    struct server_peer *rested = NULL, *peer;
    struct server_peer **place = &server->slow;
    while ((peer = *place)) {
        if (!server->closing && atomic_load(&peer->source.slow_until_ms) > now_ms) {
            place = &peer->next_slow;
            continue;
        }
        *place = peer->next_slow;
        peer->next_slow = rested;
        rested = peer;
    }
    return rested;
}

static void resume_peers(struct server_peer *rested)
{
    while (rested) {
        struct server_peer *peer = rested;
        rested = peer->next_slow;
        on_place(&peer->source);
    }
}

/* Takes out those whose links have ended. Called with the lock held. */
static struct server_peer *take_unused(struct server *server)
{
    struct server_peer *unused = server->unused;
    server->unused = NULL;
    for (struct server_peer *peer = unused; peer; peer = peer->next_unused)
        unlist_peer(peer);
    return unused;
}

static void free_peers(struct server *server, struct server_peer *unused)
{
    while (unused) {
        struct server_peer *peer = unused;
        unused = peer->next_unused;
        free_peer(server, peer);
    }
}

/* What malloc has kept after a load goes back at a quiet moment. */
static void give_memory_back(struct server *server)
{
    if (server->budget->held > server->budget->ceiling / 4) {
        server->grown = true;
    } else if (server->grown && !call_pool_is_busy(&server->calls)) {
        server->grown = false;
        malloc_trim(0);
    }
}

/* Does what is due of calls, goes on with who was slowed down, cuts off who keeps memory for long
 * while it is short, closes all at the end, and frees links that have ended. */
static void *watch(void *argument)
{
    struct server *server = argument;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        wait_for_work(server);
        int64_t now_ms = clock_monotonic_ms();
        struct server_peer *rested = take_rested(server, now_ms);
        struct server_peer *closed = choose_closed(server, now_ms);
        struct server_peer *unused = take_unused(server);
        pthread_mutex_unlock(&server->lock);
        close_peers(closed);
        resume_peers(rested);
        free_peers(server, unused);
        give_memory_back(server);
        call_pool_watch(&server->calls, now_ms);
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

static bool server_open(struct server *server, struct dispatcher *dispatcher,
                        const struct server_config *config)
{
    *server = (struct server){.dispatcher = dispatcher,
                              .link_events = events_of_links(dispatcher->max_message),
                              .budget = config->budget,
                              .listen = config->listen,
                              .tls_files.paths = {config->listen.tls_cert, config->listen.tls_key,
                                                  config->listen.tls_client_ca},
                              .is_bridge = config->is_bridge,
                              .bridge_context = config->bridge_context,
                              .max_peers = config->max_connections};
    pem_files_note(&server->tls_files);
    metric_set(&server_memory_ceiling, 0, (int64_t)config->budget->ceiling);
    pthread_mutex_init(&server->lock, NULL);
    wait_init(&server->nobody);
    wait_init(&server->wake);
    struct call_pool_config calls = {.transport = &SLOT_TRANSPORT,
                                     .resume = on_place,
                                     .object_size = sizeof(struct slot),
                                     .max_running = SERVER_MAX_CALLS,
                                     .max_parked = SERVER_MAX_PARKED};
    if (!call_pool_open(&server->calls, &calls))
        return false;
    server->watching = pthread_create(&server->watcher, NULL, watch, server) == 0;
    return server->watching;
}

static bool start_listening(struct server *server, const struct listen_config *config,
                            struct status *status)
{
    struct listener listeners[LISTEN_MAX];
    bool opened = listen_all(config, listeners, &server->acceptor_count, status);
    for (size_t i = 0; i < server->acceptor_count; i++) {
        struct server_acceptor *acceptor = &server->acceptors[i];
        *acceptor = (struct server_acceptor){.server = server, .listener = listeners[i]};
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
    if (!server || !server_open(server, dispatcher, config)) {
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "cannot set up the server");
    } else if (start_listening(server, &config->listen, status)) {
        *out = server;
        return true;
    }
    if (server)
        server_stop(server);
    return false;
}

void server_note_memory(struct server *server)
{
    metric_set(&server_memory, 0, (int64_t)server->budget->held);
}

/* An accept that waits would still use the former TLS, so it begins again. */
static void renew_tls(struct server_acceptor *acceptor, nng_tls_config *tls)
{
    int error = listener_set_tls(&acceptor->listener, tls);
    if (error != 0)
        log_error("the new certificate cannot be used, the old one stays",
                  {"because", nng_strerror(error)});
    nng_aio_abort(acceptor->aio, NNG_EAGAIN);
}

static void reload_certificates(struct server *server)
{
    struct status status = STATUS_INIT;
    nng_tls_config *tls;
    if (!listen_load_tls(&server->listen, &tls, &status)) {
        log_error("the new certificate cannot be used, the old one stays",
                  {"because", status.message});
        return;
    }
    for (size_t i = 0; i < server->acceptor_count; i++) {
        if (server->acceptors[i].listener.address.tls)
            renew_tls(&server->acceptors[i], tls);
    }
    nng_tls_config_free(tls);
    log_info("the certificate was read again", {"file", server->listen.tls_cert});
}

void server_look_at_certificates(struct server *server, bool asked)
{
    bool uses_tls = false;
    for (size_t i = 0; i < server->acceptor_count; i++)
        uses_tls = uses_tls || server->acceptors[i].listener.address.tls;
    if (!uses_tls)
        return;
    if (asked)
        pem_files_note(&server->tls_files);
    if (asked || pem_files_have_changed(&server->tls_files))
        reload_certificates(server);
}

bool server_drain(struct server *server, int64_t timeout_ms)
{
    return call_pool_drain(&server->calls, timeout_ms);
}

static void stop_accepting(struct server *server)
{
    for (size_t i = 0; i < server->acceptor_count; i++) {
        struct server_acceptor *acceptor = &server->acceptors[i];
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
    server->closing = true;
    pthread_cond_signal(&server->wake);
    while (server->peer_count > 0)
        pthread_cond_wait(&server->nobody, &server->lock);
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
    CHECK(!server->peers && !server->unused && !server->slow);
    call_pool_close(&server->calls);
    pthread_cond_destroy(&server->nobody);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
