/* Dialing, and the life of a connection, which is a link. */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 500

/* After this long it dials again: a name may lead elsewhere by then. */
#define DIAL_TIMEOUT_MS 5000

/* nng 1.10 may panic when a dialer is closed just as its connection opens, so a client that is
 * closed lets one that has begun end, for this long. */
#define DIAL_CLOSE_MS 200

/* The largest answer is a page of 8 MiB of payloads with what belongs to them. */
#define MAX_ANSWER LINK_MAX_MESSAGE

static struct peer *peer_cast(void *owner)
{
    struct peer *peer = owner;
    CHECK(peer->magic == PEER_MAGIC);
    return peer;
}

/* Called with the lock held. */
static void peer_move(struct peer *peer, enum peer_state to)
{
    static const unsigned allowed[] = {
        [PEER_PAUSED] = 1u << PEER_DIALING | 1u << PEER_CONNECTED,
        [PEER_DIALING] = 1u << PEER_PAUSED,
        [PEER_CONNECTED] = 1u << PEER_OPEN | 1u << PEER_CLOSED,
        [PEER_OPEN] = 1u << PEER_CLOSED,
        [PEER_CLOSED] = 1u << PEER_UNUSED,
        [PEER_UNUSED] = 1u << PEER_PAUSED,
    };
    CHECK(allowed[peer->state] & 1u << to);
    CHECK(!peer->link == (to < PEER_CONNECTED));
    peer->state = to;
}

/* ---- events of the link ---- */

static bool on_received(void *owner, struct link *link, const struct link_received *received)
{
    (void)link;
    struct peer *peer = peer_cast(owner);
    peer->silent_from_ms = 0;
    peer->peers->events->received(peer->peers->owner, received);
    return true;
}

static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    (void)link;
    (void)left; /* on_closed reports messages that have not left */
    peer_cast(owner)->peers->events->sent(message);
}

/* The link may have ended on another thread meanwhile. */
static void on_greeted(void *owner, struct link *link)
{
    (void)link;
    struct peer *peer = peer_cast(owner);
    struct peers *peers = peer->peers;
    pthread_mutex_lock(&peers->mutex);
    if (peer->state == PEER_CONNECTED) {
        peer_move(peer, PEER_OPEN);
        peer->backoff_ms = RECONNECT_MIN_MS;
        peer->silent_from_ms = 0;
        peers->open++;
        peers->gave_up = false;
    }
    pthread_mutex_unlock(&peers->mutex);
    peers->events->opened(peers->owner);
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    (void)link;
    (void)why;
    struct peer *peer = peer_cast(owner);
    struct peers *peers = peer->peers;
    pthread_mutex_lock(&peers->mutex);
    CHECK(peers->open >= (peer->state == PEER_OPEN));
    peers->open -= peer->state == PEER_OPEN;
    peer_move(peer, PEER_CLOSED);
    pthread_mutex_unlock(&peers->mutex);
    peers->events->lost(peers->owner, peer);
}

static void on_unused(void *owner, struct link *link)
{
    (void)link;
    struct peer *peer = peer_cast(owner);
    struct peers *peers = peer->peers;
    pthread_mutex_lock(&peers->mutex);
    peer_move(peer, PEER_UNUSED);
    keeper_look_at(peers->keeper, 0);
    pthread_mutex_unlock(&peers->mutex);
}

static const struct link_events events = {
    .received = on_received,
    .sent = on_sent,
    .greeted = on_greeted,
    .closed = on_closed,
    .unused = on_unused,
    .max_body = MAX_ANSWER,
};

/* ---- dialing ---- */

static void dial_later(struct peer *peer)
{
    if (peer->peers->stopping)
        return;
    nng_aio_set_timeout(peer->aio, NNG_DURATION_INFINITE);
    nng_sleep_aio((nng_duration)backoff_next_ms(&peer->backoff_ms, RECONNECT_MAX_MS), peer->aio);
}

static struct link_tls_files files_of(const struct peers *peers)
{
    return (struct link_tls_files){peers->tls_cert, peers->tls_key, peers->tls_ca};
}

/* Files that cannot be used leave what was read before. */
static void renew_tls(struct peer *peer)
{
    struct status ignored = STATUS_INIT;
    struct link_tls_files files = files_of(peer->peers);
    if (peer->address.tls && pem_files_have_changed(&peer->tls_files))
        (void)!core_address_set_tls(peer->dialer, peer->host, &files, &ignored);
}

static void dial(struct peer *peer)
{
    struct peers *peers = peer->peers;
    pthread_mutex_lock(&peers->mutex);
    bool stopping = peers->stopping;
    if (!stopping)
        peer_move(peer, PEER_DIALING);
    pthread_mutex_unlock(&peers->mutex);
    if (stopping)
        return;
    renew_tls(peer);
    nng_aio_set_timeout(peer->aio, DIAL_TIMEOUT_MS);
    nng_stream_dialer_dial(peer->dialer, peer->aio);
}

static void use_stream(struct peer *peer, nng_stream *stream)
{
    struct peers *peers = peer->peers;
    struct link *link = link_new(stream, &peer->address, LINK_REQUESTER, &events, peer);
    if (!link) {
        dial_later(peer);
        return;
    }
    link_charge(link, peers->memory);
    pthread_mutex_lock(&peers->mutex);
    CHECK(!peer->link);
    peer->link = link;
    peer_move(peer, PEER_CONNECTED);
    pthread_mutex_unlock(&peers->mutex);
    link_start(link);
}

/* It has dialed or waited. When the peers are stopped, stop_dialing frees the stream: nng 1.5 may
 * still use it until the aio has been stopped. */
static void on_aio_done(void *data)
{
    struct peer *peer = peer_cast(data);
    struct peers *peers = peer->peers;
    pthread_mutex_lock(&peers->mutex);
    bool dialed = peer->state == PEER_DIALING;
    bool stopping = peers->stopping;
    bool connected = dialed && nng_aio_result(peer->aio) == 0;
    nng_stream *stream = connected ? nng_aio_get_output(peer->aio, 0) : NULL;
    if (dialed)
        peer_move(peer, PEER_PAUSED);
    peer->leftover = stopping ? stream : NULL;
    pthread_cond_broadcast(&peers->changed);
    pthread_mutex_unlock(&peers->mutex);
    if (stopping)
        return;
    if (stream)
        use_stream(peer, stream);
    else
        (dialed ? dial_later : dial)(peer);
}

/* ---- life ---- */

static bool fail_memory(struct status *status)
{
    return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
}

static bool peer_init(struct peer *peer, const struct core_address *address, struct status *status)
{
    const struct peers *peers = peer->peers;
    struct link_tls_files files = files_of(peers);
    peer->magic = PEER_MAGIC;
    peer->backoff_ms = RECONNECT_MIN_MS;
    peer->host = strdup(address->name);
    peer->tls_files = (struct pem_files){.paths = {peers->tls_ca, peers->tls_cert, peers->tls_key}};
    pem_files_note(&peer->tls_files);
    if (!peer->host || nng_aio_alloc(&peer->aio, on_aio_done, peer) != 0)
        return fail_memory(status);
    return core_address_make_dialer(address, &files, &peer->address, &peer->dialer, status);
}

static bool copy_path(char **copy, const char *path, struct status *status)
{
    *copy = path && *path ? strdup(path) : NULL;
    return *copy || !path || !*path || fail_memory(status);
}

bool peers_init(struct peers *peers, const struct core_address_list *addresses,
                const struct link_tls_files *files, struct status *status)
{
    pthread_mutex_init(&peers->mutex, NULL);
    wait_init(&peers->changed);
    CHECK(peers->events && peers->keeper && addresses->count <= CORE_ADDRESS_MAX);
    bool ready = copy_path(&peers->tls_ca, files->ca, status) &&
                 copy_path(&peers->tls_cert, files->cert, status) &&
                 copy_path(&peers->tls_key, files->key, status);
    while (ready && peers->count < addresses->count) {
        struct peer *peer = &peers->items[peers->count];
        peer->peers = peers;
        peer->number = peers->count++;
        ready = peer_init(peer, &addresses->items[peer->number], status);
        peers->uses_tls = peers->uses_tls || peer->address.tls;
    }
    if (!ready)
        peers_fini(peers);
    return ready;
}

void peers_fini(struct peers *peers)
{
    CHECK(peers->open == 0);
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->items[i];
        CHECK(!peer->link);
        nng_aio_free(peer->aio);
        nng_stream_dialer_free(peer->dialer);
        link_address_fini(&peer->address);
        free(peer->host);
        peer->magic = 0;
    }
    free(peers->tls_ca);
    free(peers->tls_cert);
    free(peers->tls_key);
    pthread_cond_destroy(&peers->changed);
    pthread_mutex_destroy(&peers->mutex);
}

/* None is dialed before all are known to be good. */
void peers_start(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        dial(&peers->items[i]);
}

/* The peer's link, held, when it has not ended; or NULL. Called with the lock held. */
static struct link *hold_link(struct peer *peer)
{
    if (peer->state != PEER_CONNECTED && peer->state != PEER_OPEN)
        return NULL;
    link_hold(peer->link);
    return peer->link;
}

static void close_held(struct link *link)
{
    link_close(link);
    link_release(link);
}

static void stop_dialing(struct peer *peer)
{
    struct peers *peers = peer->peers;
    int64_t end_ms = clock_monotonic_ms() + DIAL_CLOSE_MS;
    bool in_time = true;
    pthread_mutex_lock(&peers->mutex);
    while (peer->state == PEER_DIALING && in_time)
        in_time = wait_until(&peers->changed, &peers->mutex, end_ms);
    pthread_mutex_unlock(&peers->mutex);
    nng_stream_dialer_close(peer->dialer);
    nng_aio_stop(peer->aio);
    nng_stream_free(peer->leftover);
}

static void stop_link(struct peer *peer)
{
    struct peers *peers = peer->peers;
    pthread_mutex_lock(&peers->mutex);
    struct link *link = hold_link(peer);
    pthread_mutex_unlock(&peers->mutex);
    if (link)
        close_held(link);
    pthread_mutex_lock(&peers->mutex);
    while (peer->link)
        pthread_cond_wait(&peers->changed, &peers->mutex);
    pthread_mutex_unlock(&peers->mutex);
}

void peers_stop(struct peers *peers)
{
    pthread_mutex_lock(&peers->mutex);
    CHECK(!peers->stopping);
    peers->stopping = true;
    pthread_mutex_unlock(&peers->mutex);
    for (size_t i = 0; i < peers->count; i++) {
        stop_dialing(&peers->items[i]);
        stop_link(&peers->items[i]);
    }
}

/* A peer whose link must be freed, which only the keeper does; or NULL. */
static struct peer *find_unused(struct peers *peers)
{
    struct peer *unused = NULL;
    pthread_mutex_lock(&peers->mutex);
    for (size_t i = 0; i < peers->count && !unused; i++) {
        if (peers->items[i].state == PEER_UNUSED)
            unused = &peers->items[i];
    }
    pthread_mutex_unlock(&peers->mutex);
    return unused;
}

void peers_free_unused(struct peers *peers)
{
    struct peer *peer;
    while ((peer = find_unused(peers))) {
        CHECK(peer->link);
        link_free(peer->link);
        pthread_mutex_lock(&peers->mutex);
        peer->link = NULL;
        peer_move(peer, PEER_PAUSED);
        pthread_cond_broadcast(&peers->changed);
        pthread_mutex_unlock(&peers->mutex);
        dial_later(peer);
    }
}

/* ---- what they are used for ---- */

struct peer *peers_hold_next(struct peers *peers, struct peer *avoided)
{
    struct peer *next = NULL;
    pthread_mutex_lock(&peers->mutex);
    for (size_t i = 1; i <= peers->count && !next; i++) {
        struct peer *peer = &peers->items[(peers->last + i) % peers->count];
        if (peer->state == PEER_OPEN && peer != avoided)
            next = peer;
    }
    if (next)
        peers->last = next->number;
    else if (avoided && avoided->state == PEER_OPEN)
        next = avoided;
    if (next)
        link_hold(next->link);
    pthread_mutex_unlock(&peers->mutex);
    return next;
}

void peer_expect_answer(struct peer *peer, int64_t by_ms)
{
    int64_t from_ms = peer->silent_from_ms;
    while ((from_ms == 0 || by_ms < from_ms) &&
           !atomic_compare_exchange_weak(&peer->silent_from_ms, &from_ms, by_ms))
        ;
}

/* A held link is not freed, so it still belongs to the peer. */
void peer_send(struct peer *peer, struct link_message *message)
{
    struct link *link = peer->link;
    CHECK(peer->magic == PEER_MAGIC && link && message);
    link_send(link, message);
    link_release(link);
}

void peers_close_silent(struct peers *peers)
{
    struct link *silent[CORE_ADDRESS_MAX];
    size_t count = 0;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&peers->mutex);
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->items[i];
        int64_t from_ms = peer->silent_from_ms;
        if (peer->state == PEER_OPEN && from_ms != 0 && from_ms <= now_ms)
            silent[count++] = hold_link(peer);
    }
    peers->gave_up = peers->gave_up || count > 0;
    pthread_mutex_unlock(&peers->mutex);
    for (size_t i = 0; i < count; i++)
        close_held(silent[i]);
}
