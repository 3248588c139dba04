/* Peers: each is dialed until there is a connection, a link, and again when that has gone. */
#include "backoff.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"
#include "client.h"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 500

/* A name may lead elsewhere by then. */
#define DIAL_TIMEOUT_MS 5000

/* nng 1.10 may panic when a dialer is closed just as its connection comes: one that has begun is
 * let end when the client is closed, for this long. */
#define DIAL_CLOSE_MS 200

/* Silence of this length, with a call that got no answer, is death. nng does not notice a peer that
 * vanished without closing, and sends call after call into the void. But a core answers every call
 * by its deadline, be it with an error: a connection on which nothing comes back is dead. */
#define SILENCE_MS 1000

/* The largest answer is a page of 8 MiB of payloads with what belongs to them. */
#define MAX_ANSWER LINK_MAX_MESSAGE

static struct peer *peer_cast(void *owner)
{
    struct peer *peer = owner;
    CHECK(peer->magic == PEER_MAGIC);
    return peer;
}

/* The mutex is held. */
static void peer_move(struct peer *peer, enum peer_state to)
{
    static const unsigned allowed[] = {
        [PEER_PAUSED] = 1u << PEER_DIALING | 1u << PEER_CONNECTED,
        [PEER_DIALING] = 1u << PEER_PAUSED,
        [PEER_CONNECTED] = 1u << PEER_STANDS | 1u << PEER_CLOSED,
        [PEER_STANDS] = 1u << PEER_CLOSED,
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
    flights_take_answer(peer_cast(owner), received);
    return true;
}

static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    (void)owner;
    (void)link;
    (void)left; /* of what has not, on_closed tells */
    flights_free_message(message);
}

/* It may have ended on another thread meanwhile. */
static void on_greeted(void *owner, struct link *link)
{
    (void)link;
    struct peer *peer = peer_cast(owner);
    triggers_client *client = peer->client;
    pthread_mutex_lock(&client->mutex);
    if (peer->state == PEER_CONNECTED) {
        peer_move(peer, PEER_STANDS);
        peer->backoff_ms = RECONNECT_MIN_MS;
        peer->waiting_since_ms = 0;
        client->standing++;
        client->gave_up = false;
    }
    pthread_mutex_unlock(&client->mutex);
    flights_send_waiting(client);
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    (void)link;
    (void)why;
    struct peer *peer = peer_cast(owner);
    triggers_client *client = peer->client;
    pthread_mutex_lock(&client->mutex);
    CHECK(client->standing >= (peer->state == PEER_STANDS));
    client->standing -= peer->state == PEER_STANDS;
    peer_move(peer, PEER_CLOSED);
    pthread_mutex_unlock(&client->mutex);
    flights_lose(peer);
}

static void on_unused(void *owner, struct link *link)
{
    (void)link;
    struct peer *peer = peer_cast(owner);
    pthread_mutex_lock(&peer->client->mutex);
    CHECK(!peer->sent.first);
    peer_move(peer, PEER_UNUSED);
    keeper_look_at(peer->client, 0);
    pthread_mutex_unlock(&peer->client->mutex);
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
    if (peer->client->closing)
        return;
    nng_aio_set_timeout(peer->aio, NNG_DURATION_INFINITE);
    nng_sleep_aio((nng_duration)backoff_next_ms(&peer->backoff_ms, RECONNECT_MAX_MS), peer->aio);
}

void peer_dial(struct peer *peer)
{
    triggers_client *client = peer->client;
    pthread_mutex_lock(&client->mutex);
    bool closing = client->closing;
    if (!closing)
        peer_move(peer, PEER_DIALING);
    pthread_mutex_unlock(&client->mutex);
    if (closing)
        return;
    nng_aio_set_timeout(peer->aio, DIAL_TIMEOUT_MS);
    nng_stream_dialer_dial(peer->dialer, peer->aio);
}

static void use_stream(struct peer *peer, nng_stream *stream)
{
    struct link *link = link_new(stream, &peer->address, LINK_REQUESTER, &events, peer);
    if (!link) {
        dial_later(peer);
        return;
    }
    link_charge(link, peer->client->memory);
    pthread_mutex_lock(&peer->client->mutex);
    CHECK(!peer->link);
    peer->link = link;
    peer_move(peer, PEER_CONNECTED);
    pthread_mutex_unlock(&peer->client->mutex);
    link_start(link);
}

/* It has dialed or waited. When the client closes, peer_stop frees the stream: nng 1.5 may still
 * look at it until the aio has been stopped. */
static void on_aio_done(void *data)
{
    struct peer *peer = peer_cast(data);
    triggers_client *client = peer->client;
    pthread_mutex_lock(&client->mutex);
    bool dialed = peer->state == PEER_DIALING;
    bool closing = client->closing;
    bool connected = dialed && nng_aio_result(peer->aio) == 0;
    nng_stream *stream = connected ? nng_aio_get_output(peer->aio, 0) : NULL;
    if (dialed)
        peer_move(peer, PEER_PAUSED);
    peer->leftover = closing ? stream : NULL;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->mutex);
    if (closing)
        return;
    if (stream)
        use_stream(peer, stream);
    else
        (dialed ? dial_later : peer_dial)(peer);
}

/* ---- life ---- */

int peer_init(struct peer *peer)
{
    peer->backoff_ms = RECONNECT_MIN_MS;
    return nng_aio_alloc(&peer->aio, on_aio_done, peer);
}

void peer_fini(struct peer *peer)
{
    CHECK(!peer->link && !peer->sent.first);
    nng_aio_free(peer->aio);
    nng_stream_dialer_free(peer->dialer);
    link_address_fini(&peer->address);
}

static void wait_dialed(struct peer *peer)
{
    triggers_client *client = peer->client;
    int64_t end_ms = clock_monotonic_ms() + DIAL_CLOSE_MS;
    bool in_time = true;
    pthread_mutex_lock(&client->mutex);
    while (peer->state == PEER_DIALING && in_time)
        in_time = wait_until(&client->changed, &client->mutex, end_ms);
    pthread_mutex_unlock(&client->mutex);
}

static void stop_dialing(struct peer *peer)
{
    wait_dialed(peer);
    nng_stream_dialer_close(peer->dialer);
    nng_aio_stop(peer->aio);
    nng_stream_free(peer->leftover);
}

/* The peer's link, held, when it has not ended; or NULL. The mutex is held. */
static struct link *hold_link(struct peer *peer)
{
    if (peer->state != PEER_CONNECTED && peer->state != PEER_STANDS)
        return NULL;
    link_hold(peer->link);
    return peer->link;
}

static void close_held(struct link *link)
{
    link_close(link);
    link_let_go(link);
}

void peer_stop(struct peer *peer)
{
    triggers_client *client = peer->client;
    stop_dialing(peer);
    pthread_mutex_lock(&client->mutex);
    struct link *link = hold_link(peer);
    pthread_mutex_unlock(&client->mutex);
    if (link)
        close_held(link);
    pthread_mutex_lock(&client->mutex);
    while (peer->link)
        pthread_cond_wait(&client->changed, &client->mutex);
    pthread_mutex_unlock(&client->mutex);
}

void peer_free_link(struct peer *peer)
{
    triggers_client *client = peer->client;
    link_free(peer->link);
    pthread_mutex_lock(&client->mutex);
    peer->link = NULL;
    peer_move(peer, PEER_PAUSED);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->mutex);
    dial_later(peer);
}

/* ---- all of them; the mutex is held but in peers_close_silent ---- */

struct peer *peers_find_unused(triggers_client *client)
{
    for (size_t i = 0; i < client->peer_count; i++) {
        if (client->peers[i].state == PEER_UNUSED)
            return &client->peers[i];
    }
    return NULL;
}

struct peer *peers_choose(triggers_client *client, struct peer *avoided)
{
    for (size_t i = 1; i <= client->peer_count; i++) {
        size_t index = (client->last_peer + i) % client->peer_count;
        struct peer *peer = &client->peers[index];
        if (peer->state != PEER_STANDS || peer == avoided)
            continue;
        client->last_peer = index;
        return peer;
    }
    return avoided && avoided->state == PEER_STANDS ? avoided : NULL;
}

void peers_close_silent(triggers_client *client)
{
    struct link *silent[CORE_ADDRESS_MAX];
    size_t count = 0;
    int64_t limit_ms = clock_monotonic_ms() - SILENCE_MS;
    pthread_mutex_lock(&client->mutex);
    for (size_t i = 0; i < client->peer_count; i++) {
        struct peer *peer = &client->peers[i];
        if (peer->state == PEER_STANDS && peer->waiting_since_ms != 0 &&
            peer->waiting_since_ms <= limit_ms)
            silent[count++] = hold_link(peer);
    }
    client->gave_up = client->gave_up || count > 0;
    pthread_mutex_unlock(&client->mutex);
    for (size_t i = 0; i < count; i++)
        close_held(silent[i]);
}
