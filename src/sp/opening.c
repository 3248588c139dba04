/* Addresses, and the beginning and the end of the links that come from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "sp/link_internal.h"

/* An end of a TLS stream that link_look_for_end came too early for is found after the first of
 * these, or at the latest after the other, as each look is twice as long after the one before. */
#define FIRST_LOOK_MS 1000
#define LOOK_MS 32000

/* ---- the beginning and the end ---- */

/* link_free waits for this callback, so the link need not be held. */
static void on_look(void *argument)
{
    struct link *link = link_cast(argument);
    if (nng_aio_result(link->looker) != 0)
        return;
    link_look_for_end(link);
    if (link->look_ms < LOOK_MS)
        link->look_ms *= 2;
    if (!link->closed)
        nng_sleep_aio(link->look_ms, link->looker);
}

struct link *link_new(nng_stream *stream, const struct link_address *address,
                      enum link_protocol protocol, const struct link_events *events, void *owner)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link) {
        nng_stream_free(stream);
        return NULL;
    }
    CHECK(events->received && events->sent && events->closed && events->unused);
    link->magic = LINK_MAGIC;
    link->events = events;
    link->owner = owner;
    link->stream = stream;
    link->address = address;
    link->protocol = protocol;
    link->look_ms = FIRST_LOOK_MS;
    link->out.last = &link->out.first;
    atomic_init(&link->holders, 1);
    pthread_mutex_init(&link->mutex, NULL);
    if (link_init_reading(link) && nng_aio_alloc(&link->reader, link_on_read, link) == 0 &&
        nng_aio_alloc(&link->writer, link_on_written, link) == 0 &&
        nng_aio_alloc(&link->resumer, link_on_resumed, link) == 0 &&
        (!address->tls || nng_aio_alloc(&link->looker, on_look, link) == 0))
        return link;
    link_free(link);
    return NULL;
}

void link_charge(struct link *link, struct budget_share *share)
{
    CHECK(link->state == LINK_MADE && link->in.charge.held == 0);
    link->in.charge.share = share;
}

void link_limit(struct link *link, struct budget_share *share)
{
    CHECK(share);
    link->limited = true;
    link_charge(link, share);
}

/* The handshake of a client. */
static void ask_for_websocket(struct link *link)
{
    uint8_t key[HANDSHAKE_KEY_SIZE];
    random_fill(key, sizeof(key));
    char *request =
        handshake_request(link->address->target, link->address->authority, key, link->accept);
    if (request)
        link_say(link, request, strlen(request), false);
    else
        link_close_because(link, NULL);
    free(request);
}

static void greet(struct link *link)
{
    const uint8_t greeting[GREETING_SIZE] = {0, 'S', 'P', 0, 0, (uint8_t)link->protocol};
    if (link->address->framing != LINK_WEBSOCKET)
        link_say(link, greeting, sizeof(greeting), false);
    else if (link->protocol == LINK_REQUESTER)
        ask_for_websocket(link);
}

void link_start(struct link *link)
{
    link_move(link, LINK_STARTED);
    link_hold(link);
    greet(link);
    link_read_on(link);
    if (link->address->tls)
        nng_sleep_aio(link->look_ms, link->looker);
    link_release(link);
}

int64_t link_slow_since(const struct link *link)
{
    int64_t sending = link->in.slow_since_ms;
    int64_t reading = link->out.slow_since_ms;
    if (link->closed)
        return 0;
    return sending == 0 || (reading != 0 && reading < sending) ? reading : sending;
}

void link_free(struct link *link)
{
    CHECK(link->state == LINK_MADE || link->state == LINK_UNUSED);
    nng_aio *const aios[] = {link->reader, link->writer, link->resumer, link->looker};
    nng_stream_close(link->stream);
    for (size_t i = 0; i < sizeof(aios) / sizeof(aios[0]); i++) {
        if (aios[i])
            nng_aio_stop(aios[i]);
    }
    nng_stream_free(link->stream);
    for (size_t i = 0; i < sizeof(aios) / sizeof(aios[0]); i++) {
        if (aios[i])
            nng_aio_free(aios[i]);
    }
    link_fini_reading(link);
    CHECK(!link->out.first && !link->out.writing);
    link_discard(&link->words);
    pthread_mutex_destroy(&link->mutex);
    link->magic = 0;
    free(link);
}

/* ---- addresses ---- */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool has_port(const char *authority)
{
    const char *bracket = strrchr(authority, ']');
    return strchr(bracket ? bracket : authority, ':') != NULL;
}

/* A WebSocket is a stream of tcp or TLS whose ends have made a handshake. */
static bool init_websocket(struct link_address *address, const char *rest)
{
    size_t length = strcspn(rest, "/?#");
    const char *target = rest + length;
    const char *slash = *target == '/' ? "" : "/";
    address->authority = strndup(rest, length);
    if (!address->authority ||
        asprintf(&address->target, "%s%.*s", slash, (int)strcspn(target, "#"), target) < 0) {
        address->target = NULL;
        return false;
    }
    const char *port = has_port(address->authority) ? "" : address->tls ? ":443" : ":80";
    if (asprintf(&address->stream_url, "%s://%s%s", address->tls ? "tls+tcp" : "tcp",
                 address->authority, port) < 0)
        address->stream_url = NULL;
    return address->stream_url != NULL;
}

const struct link_scheme *link_scheme_of(const char *url)
{
    static const struct link_scheme schemes[] = {
        {"ws://", LINK_WEBSOCKET, false}, {"wss://", LINK_WEBSOCKET, true},
        {"tcp://", LINK_TCP, false},      {"tls+tcp://", LINK_TCP, true},
        {"ipc://", LINK_IPC, false},
    };
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (has_prefix(url, schemes[i].prefix))
            return &schemes[i];
    }
    return NULL;
}

int link_address_init(struct link_address *address, const char *url)
{
    const struct link_scheme *scheme = link_scheme_of(url);
    CHECK(scheme);
    *address = (struct link_address){.framing = scheme->framing, .tls = scheme->tls};
    bool done;
    if (scheme->framing == LINK_WEBSOCKET) {
        done = init_websocket(address, strstr(url, "://") + 3);
    } else {
        address->stream_url = strdup(url);
        done = address->stream_url != NULL;
    }
    if (!done)
        link_address_fini(address);
    return done ? 0 : NNG_ENOMEM;
}

void link_address_fini(struct link_address *address)
{
    free(address->stream_url);
    free(address->authority);
    free(address->target);
    *address = (struct link_address){0};
}

/* Without keep-alive, a connection that a balancer has silently forgotten would stay for ever. A
 * transport that does not know it (ipc) does not need it. With Nagle's algorithm, which only nng's
 * listeners leave on, an answer may wait 40 ms until the peer acknowledges the one before. */
int link_make_listener(const struct link_address *address, nng_stream_listener **listener)
{
    CHECK(address->stream_url);
    int result = nng_stream_listener_alloc(listener, address->stream_url);
    if (result == 0) {
        nng_stream_listener_set_bool(*listener, NNG_OPT_TCP_KEEPALIVE, true);
        nng_stream_listener_set_bool(*listener, NNG_OPT_TCP_NODELAY, true);
    }
    return result;
}

int link_make_dialer(const struct link_address *address, nng_stream_dialer **dialer)
{
    CHECK(address->stream_url);
    int result = nng_stream_dialer_alloc(dialer, address->stream_url);
    if (result == 0)
        nng_stream_dialer_set_bool(*dialer, NNG_OPT_TCP_KEEPALIVE, true);
    return result;
}
