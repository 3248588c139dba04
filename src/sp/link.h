/* One connection between a requester and a replier, at either end: SP messages over a stream of
 * nng, which is tcp, TLS or ipc, and over the first two also as a WebSocket. Messages are received
 * one by one; those to be sent leave in the order in which they are given, as many together as
 * there are. nng's threads run what happens, and nothing here blocks them.
 *
 * Why not nng's sockets: those read and write each message by itself, count a message as sent that
 * still waits for its reader in memory, and in nng 1.5 may abort the program or lose the connection
 * when a peer comes or goes. Its WebSockets read a frame in three steps, do not tell of every end,
 * and cannot be cancelled while they are dialed. */
#ifndef TRIGGERS_SP_LINK_H
#define TRIGGERS_SP_LINK_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/status.h"

struct handshake_access;

/* How messages are told apart. */
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

/* SP's numbers of protocols. */
enum link_protocol { LINK_REQUESTER = 0x30, LINK_REPLIER = 0x31 };

/* Before the body of a message: where its answer goes. A word of 4 bytes for each device on the
 * way, and last the requester's own number for it, which has the highest bit set. */
#define LINK_MAX_ROUTE 36

/* Longer messages end the link. */
#define LINK_MAX_MESSAGE (16u << 20)

/* A peer may rest for so long in the middle of a message, and else has to send or read this much in
 * a second: the `n` bytes of a message take at most LINK_REST_MS + n / LINK_RATE s. */
#define LINK_REST_MS 10000
#define LINK_RATE (64u << 10)

/* What is received: `route` and then `body`, NULL when it was too long or there was no room for it.
 * Valid until `received` returns, or, when that returns false, until it returns true; until then
 * `body` may be changed. */
struct link_received {
    uint8_t route[LINK_MAX_ROUTE];
    size_t route_size;
    uint8_t *body;
    size_t size;
};

/* Room for a message, and its place in the line of those that wait to leave. */
struct link_message {
    uint8_t *memory; /* see link_reserve; NULL once it has left */
    uint8_t *bytes;  /* what goes over the stream, in `memory` */
    size_t size;
    struct link_message *next;
};

struct link;

/* What the two ends do with a link. `owner` is that of link_new. */
struct link_events {
    /* False when it cannot be taken now: it is given again after link_resume. One at a time. */
    bool (*received)(void *owner, struct link *link, const struct link_received *received);
    /* The message has left or never will, and is the owner's again, empty. */
    void (*sent)(void *owner, struct link *link, struct link_message *message, bool left);
    /* Once, when the peer has shown that it is one, before anything is received; NULL: not told. */
    void (*greeted)(void *owner, struct link *link);
    /* Once, when the peer has gone or misbehaves, or link_close was called. `why` is for the log,
     * what the peer did wrong; NULL: nothing. What was given to be sent is told to `sent` too,
     * before or after. */
    void (*closed)(void *owner, struct link *link, const char *why);
    /* Once, when it is closed and nobody holds it: the owner calls link_free, on a thread that may
     * wait and is none of nng's. */
    void (*unused)(void *owner, struct link *link);
    /* Of a longer body only the size is received, so that it can be answered. */
    size_t max_body;
};

/* Takes over `stream`, which was dialed or accepted for `address`; this outlives the link. NULL
 * when there is no memory; the stream is freed then. */
struct link *link_new(nng_stream *stream, const struct link_address *address,
                      enum link_protocol protocol, const struct link_events *events, void *owner);

/* Before link_start: what has been received and waits is charged to `share`, which outlives the
 * link, but for the first LINK_ROOM_IDLE bytes. Otherwise nothing is charged. */
#define LINK_ROOM_IDLE 1024
void link_charge(struct link *link, struct budget_share *share);

/* The same, and the peer has to read at LINK_RATE what is sent. */
void link_limit(struct link *link, struct budget_share *share);

/* Begins to receive, first the peer's greeting. Messages can be sent from now on. */
void link_start(struct link *link);

/* While someone holds a link it is not given to `unused`. A new one is held by itself until it has
 * closed; who uses it otherwise than in its events holds it. Any thread. */
void link_hold(struct link *link);
void link_let_go(struct link *link);

/* Makes a message of `route` and room for `size` bytes of body, and returns that room; NULL without
 * memory. It fits links of any framing, for which it takes at most LINK_MESSAGE_HEAD bytes more
 * than a body of 16 MiB. */
#define LINK_MESSAGE_HEAD 512
uint8_t *link_reserve(struct link_message *message, const uint8_t *route, size_t route_size,
                      size_t size);

/* Frees a message that is not to be sent. */
void link_discard(struct link_message *message);

/* Sends the message, or not when the link is closed: `sent` is called once, perhaps before this
 * returns. Never with a lock held that the events take. Any thread. */
void link_send(struct link *link, struct link_message *message);

/* Goes on after `received` returned false; once for each time. Any thread. */
void link_resume(struct link *link);

/* Ends the link; idempotent, does not wait. Any thread; the events may run meanwhile. */
void link_close(struct link *link);

/* Since when (monotonic ms) memory has been kept by the message that the peer is sending, or the
 * one that it is to read, or, where that is longer, by its reading slower than LINK_RATE_PRESSED a
 * second; 0: by none. Any thread. */
#define LINK_RATE_PRESSED (256u << 10)
int64_t link_slow_since(const struct link *link);

/* Waits for nng's threads and frees it; not on one of them. */
void link_free(struct link *link);

/* ---- addresses ---- */

/* Takes a URL apart whose scheme is tcp, tls+tcp, ipc, ws or wss; an nng error, after which nothing
 * is to be freed. */
int link_address_init(struct link_address *address, const char *url);
void link_address_fini(struct link_address *address);

/* Makes what streams are accepted by or dialed with; an nng error. TLS is to be set besides. */
int link_make_listener(const struct link_address *address, nng_stream_listener **listener);
int link_make_dialer(const struct link_address *address, nng_stream_dialer **dialer);

#endif
