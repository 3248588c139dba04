/* The life of a link, and what addresses need for links. */
#include "sp/link.h"

#include <nng/transport/ws/websocket.h>
#include <stdlib.h>
#include <string.h>

#include "sp/link_internal.h"

/* What nng's own WebSocket transport sets: a message of SP is a message of the WebSocket. The name
 * of the option is not in nng's headers. */
#define OPTION_MESSAGES "ws:msgmode"
#define SUBPROTOCOL "rep.sp.nanomsg.org" /* both ends name the replier */

/* nng's TLS streams do not tell their reader of an end that comes while nobody reads, and let no
 * time pass for it. So they are looked at this often. */
#define TLS_CHECK_MS 30000

/* ---- life ---- */

/* link_free waits for this, so that the link need not be held. */
static void on_check(void *argument)
{
    struct link *link = argument;
    nng_sockaddr address;
    if (nng_aio_result(link->checker) != 0 || link->closed)
        return;
    if (nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0)
        link_close(link);
    else
        link_check(link);
}

void link_check(struct link *link)
{
    if (link->kind.tls)
        nng_sleep_aio(TLS_CHECK_MS, link->checker);
}

static bool prepare_greeting(struct link *link)
{
    const uint8_t greeting[GREETING_SIZE] = {0, 'S', 'P', 0, 0, (uint8_t)link->protocol};
    if (link->kind.framing == LINK_WEBSOCKET)
        return true;
    if (nng_msg_alloc(&link->greeting.message, 0) != 0)
        return false;
    return nng_msg_append(link->greeting.message, greeting, sizeof(greeting)) == 0;
}

struct link *link_new(nng_stream *stream, struct link_kind kind, enum link_protocol protocol,
                      const struct link_events *events, void *owner)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link) {
        nng_stream_free(stream);
        return NULL;
    }
    link->events = events;
    link->owner = owner;
    link->stream = stream;
    link->kind = kind;
    link->protocol = protocol;
    link->out.last = &link->out.first;
    atomic_init(&link->holders, 1);
    pthread_mutex_init(&link->mutex, NULL);
    if (prepare_greeting(link) && link_init_reading(link) &&
        nng_aio_alloc(&link->reader, link_on_read, link) == 0 &&
        nng_aio_alloc(&link->writer, link_on_written, link) == 0 &&
        nng_aio_alloc(&link->resumer, link_on_resumed, link) == 0 &&
        (!kind.tls || nng_aio_alloc(&link->checker, on_check, link) == 0) &&
        (kind.framing != LINK_WEBSOCKET || nng_aio_alloc(&link->prober, link_on_probed, link) == 0))
        return link;
    link_free(link);
    return NULL;
}

void link_free(struct link *link)
{
    nng_aio *const aios[] = {link->reader, link->writer, link->resumer, link->checker,
                             link->prober};
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
    link_discard(&link->greeting);
    pthread_mutex_destroy(&link->mutex);
    free(link);
}

void link_hold(struct link *link)
{
    atomic_fetch_add(&link->holders, 1);
}

void link_let_go(struct link *link)
{
    if (atomic_fetch_sub(&link->holders, 1) == 1)
        link->events->unused(link->owner, link);
}

void link_close_because(struct link *link, const char *why)
{
    if (atomic_exchange(&link->closed, true))
        return;
    nng_stream_close(link->stream);
    link->events->closed(link->owner, link, why);
}

/* Streams differ: closing again or cancelling ends what would not end by itself. */
void link_end_begun(struct link *link, nng_aio *aio)
{
    if (!link->closed)
        return;
    nng_stream_close(link->stream);
    nng_aio_cancel(aio);
}

void link_close(struct link *link)
{
    link_close_because(link, NULL);
}

/* ---- addresses ---- */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

struct link_kind link_kind_of(const char *url)
{
    struct link_kind kind = {.tls = has_prefix(url, "wss") || has_prefix(url, "tls")};
    if (has_prefix(url, "ws"))
        kind.framing = LINK_WEBSOCKET;
    else if (has_prefix(url, "ipc"))
        kind.framing = LINK_IPC;
    return kind;
}

int link_prepare_listener(nng_stream_listener *listener, const char *url)
{
    /* Without it a connection that a balancer has forgotten in silence stays for ever. A transport
     * that does not know it (ipc) is as good without. */
    nng_stream_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true);
    if (link_kind_of(url).framing != LINK_WEBSOCKET)
        return 0;
    int result = nng_stream_listener_set_bool(listener, OPTION_MESSAGES, true);
    if (result == 0)
        result = nng_stream_listener_set_string(listener, NNG_OPT_WS_PROTOCOL, SUBPROTOCOL);
    if (result == 0)
        result = nng_stream_listener_set_size(listener, NNG_OPT_RECVMAXSZ, LINK_MAX_MESSAGE);
    /* A WebSocket message may come in one frame, whose limit is 1 MiB unless set. */
    if (result == 0)
        result = nng_stream_listener_set_size(listener, NNG_OPT_WS_RECVMAXFRAME, LINK_MAX_MESSAGE);
    return result;
}

int link_prepare_dialer(nng_stream_dialer *dialer, const char *url)
{
    nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
    if (link_kind_of(url).framing != LINK_WEBSOCKET)
        return 0;
    int result = nng_stream_dialer_set_bool(dialer, OPTION_MESSAGES, true);
    if (result == 0)
        result = nng_stream_dialer_set_string(dialer, NNG_OPT_WS_PROTOCOL, SUBPROTOCOL);
    if (result == 0)
        result = nng_stream_dialer_set_size(dialer, NNG_OPT_RECVMAXSZ, LINK_MAX_MESSAGE);
    if (result == 0)
        result = nng_stream_dialer_set_size(dialer, NNG_OPT_WS_RECVMAXFRAME, LINK_MAX_MESSAGE);
    return result;
}
