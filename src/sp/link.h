/* One connection between a requester and a replier, at either end: SP messages over a stream of
 * nng, which is tcp, TLS or ipc, and over the first two also as a WebSocket. Messages are received
 * one by one; those to be sent leave in the order in which they are given, as many at once as are
 * waiting. The events run on nng's threads, and nothing here blocks these.
 *
 * Why not nng's sockets: they read and write each message by itself, count a message as sent while
 * it still waits for its reader in memory, and in nng 1.5 may abort the program or lose the
 * connection when a peer comes or goes. nng's WebSockets read a frame in three steps, do not report
 * every end, and cannot be cancelled while they are dialed. */
#ifndef TRIGGERS_SP_LINK_H
#define TRIGGERS_SP_LINK_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/status.h"

struct handshake_access;

/* How messages are delimited. */
enum link_framing { LINK_TCP, LINK_IPC, LINK_WEBSOCKET };

/* The URLs that can be listened on and dialed. */
#define LINK_SCHEMES "ws://, wss://, tcp://, tls+tcp:// and ipc://"
struct link_scheme {
    const char *prefix; /* with "://" */
    enum link_framing framing;
    bool tls;
};

/* The scheme that the URL begins with; NULL when it is not one of LINK_SCHEMES. */
const struct link_scheme *link_scheme_of(const char *url);

/* Where links come from or go to; see link_address_init. */
struct link_address {
    enum link_framing framing;
    bool tls;
    char *stream_url; /* for nng's streams */
    /* Of a WebSocket. */
    char *authority; /* host and port */
    char *target;    /* path and query */
    /* Of one that is listened on, set after link_address_init. */
    const struct handshake_access *access; /* which browsers get in; NULL: all */
    bool loopback;                         /* see host_is_bound_to_loopback */
};

/* SP's protocol numbers. */
enum link_protocol { LINK_REQUESTER = 0x30, LINK_REPLIER = 0x31 };

/* What precedes the body of a message: where its answer goes. It is a word of 4 bytes for each
 * device on the way, and last the requester's own number for it, which has the highest bit set. At
 * most so many bytes. */
#define LINK_MAX_ROUTE 36

/* Longer messages end the link. */
#define LINK_MAX_MESSAGE (16u << 20)

/* A peer may pause for LINK_REST_MS in the middle of a message, and otherwise must send or read
 * LINK_RATE bytes in a second: the `n` bytes of a message take at most LINK_REST_MS + n / LINK_RATE
 * s. */
#define LINK_REST_MS 10000
#define LINK_RATE (64u << 10)

/* A received message: `route` and then `body`, NULL when it was too long or there was no room for
 * it. Valid until `received` returns true; until then the owner may change `body`. */
struct link_received {
    uint8_t route[LINK_MAX_ROUTE];
    size_t route_size;
    uint8_t *body;
    size_t size;
};

/* A message, and its place in the queue of those that wait to leave. */
struct link_message {
    uint8_t *memory; /* see link_reserve; NULL once it has left */
    uint8_t *bytes;  /* what goes over the stream, in `memory` */
    size_t size;
    struct link_message *next;
};

struct link;

/* What the two ends do with a link. `owner` is that of link_new. */
struct link_events {
    /* Takes a message. False when it cannot be taken now: it is given again after link_resume. One
     * at a time. */
    bool (*received)(void *owner, struct link *link, const struct link_received *received);
    /* The message has left or never will; it belongs to the owner again, empty. */
    void (*sent)(void *owner, struct link *link, struct link_message *message, bool left);
    /* Called once, when the peer has shown that it speaks the protocol, before anything is
     * received. NULL: not called. */
    void (*greeted)(void *owner, struct link *link);
    /* Called once, when the peer has gone or misbehaves, or link_close was called. `why` says for
     * the log what the peer did wrong; NULL: nothing. `sent` is still called for each message
     * given, before or after. */
    void (*closed)(void *owner, struct link *link, const char *why);
    /* Called once, when it is closed and nobody holds it: the owner calls link_free, on a thread
     * that may wait and is none of nng's. */
    void (*unused)(void *owner, struct link *link);
    /* For a longer body only the size is passed on, so that it can be answered. */
    size_t max_body;
};

/* Takes over `stream`, which was dialed or accepted for `address`, which must outlive the link.
 * NULL without memory; the stream is freed then. */
struct link *link_new(nng_stream *stream, const struct link_address *address,
                      enum link_protocol protocol, const struct link_events *events, void *owner);

/* Charges what has been received and waits to `share`, which must outlive the link, except the
 * first LINK_ROOM_IDLE bytes. Without this nothing is charged. Call before link_start. */
#define LINK_ROOM_IDLE 1024
void link_charge(struct link *link, struct budget_share *share);

/* The same, and the peer must read what is sent at LINK_RATE. */
void link_limit(struct link *link, struct budget_share *share);

/* Begins to receive, first the peer's greeting. Messages can be sent from now on. */
void link_start(struct link *link);

/* `unused` is not called for a link while someone holds it. A new link holds itself until it has
 * closed; everyone who uses it outside of its events must hold it. Any thread. */
void link_hold(struct link *link);
void link_release(struct link *link);

/* Makes a message of `route` and room for `size` bytes of body, and returns that room; NULL without
 * memory. It fits links of any framing, and takes at most LINK_MESSAGE_HEAD bytes more than its
 * body. */
#define LINK_MESSAGE_HEAD 512
uint8_t *link_reserve(struct link_message *message, const uint8_t *route, size_t route_size,
                      size_t size);

/* Frees a message that will not be sent. */
void link_discard(struct link_message *message);

/* Sends the message, unless the link is closed; in both cases `sent` is called once, perhaps before
 * this returns. Never call it with a lock held that the events take. Any thread. */
void link_send(struct link *link, struct link_message *message);

/* Continues after `received` returned false; call once for each time. Any thread. */
void link_resume(struct link *link);

/* Ends the link; idempotent, does not wait. Any thread; the events may run meanwhile. */
void link_close(struct link *link);

/* Since when (monotonic ms) the peer has kept memory: by the message that it is sending, by the one
 * that it must read, or, where that is longer, by reading less than LINK_RATE_PRESSED bytes in a
 * second; 0: it keeps none. Any thread. */
#define LINK_RATE_PRESSED (256u << 10)
int64_t link_slow_since(const struct link *link);

/* Waits for nng's threads and frees the link; never call it on one of them. */
void link_free(struct link *link);

/* ---- addresses ---- */

/* Parses a URL whose scheme is tcp, tls+tcp, ipc, ws or wss. Returns 0 or an nng error, after which
 * nothing needs to be freed. */
int link_address_init(struct link_address *address, const char *url);
void link_address_fini(struct link_address *address);

/* Makes what accepts or dials streams; returns 0 or an nng error. TLS is set by the caller. */
int link_make_listener(const struct link_address *address, nng_stream_listener **listener);
int link_make_dialer(const struct link_address *address, nng_stream_dialer **dialer);

#endif
