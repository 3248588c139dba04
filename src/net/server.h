/* The server: receives envelopes on any set of URLs, as the replying end of SP's REQ/REP, has them
 * dispatched, and sends the answers. */
#ifndef TRIGGERS_NET_SERVER_H
#define TRIGGERS_NET_SERVER_H

#include "base/budget.h"
#include "base/metrics.h"
#include "base/status.h"
#include "net/listen.h"
#include "rpc/call.h"
#include "rpc/dispatch.h"

struct server;

struct server_config {
    struct listen_config listen;
    /* For connections, their messages, the memory of calls and answers until they have left;
     * outlives the server. When it is short, whoever has kept most of it for longest is cut off. */
    struct budget *budget;
    size_t max_connections; /* so many have descriptors; more are closed at once */
    /* Whether a peer with this address is a bridge, which is believed where its calls come from.
     * Called from any thread. NULL: none is. */
    bool (*is_bridge)(void *context, const char *address);
    void *bridge_context;
};

/* Calls that are handled at once; further ones wait in their connections. Of these there may be as
 * many as have descriptors and as half of the budget holds; more are closed at once. */
#define SERVER_MAX_CALLS 2048

/* Further calls that are parked, as far as the budget holds them. */
#define SERVER_MAX_PARKED 10000

/* Memory that the server needs besides its budget: every call with the first block of its arena,
 * and answers too small to be refused. */
#define SERVER_MEMORY ((size_t)SERVER_MAX_CALLS * (CALL_BYTES + 2048))

/* Open connections; bytes held of the budget and its ceiling. */
extern struct metric server_connections, server_memory, server_memory_ceiling;

/* Listens and serves until server_stop. `dispatcher` must outlive the server. False with a text
 * that names the URL at fault; nothing is left listening then. */
bool server_start(const struct server_config *config, struct dispatcher *dispatcher,
                  struct server **server, struct status *status) MUST_CHECK;

/* Brings server_memory up to date. Any thread. */
void server_note_memory(struct server *server);

/* Reads the files of TLS again when they have changed, or at once when `asked`: connections that
 * are accepted from now on get the new certificate, open ones stay. Files that cannot be used are
 * logged, and what was read before stays. Call it about once a second, on one thread. */
void server_look_at_certificates(struct server *server, bool asked);

/* Wakes the calls that are parked, and waits until every call in hand has been answered and the
 * answers have left, or `timeout_ms` have passed. New calls are still received; the dispatcher
 * should refuse them. True when all is done. */
bool server_drain(struct server *server, int64_t timeout_ms);

/* Closes all connections and frees the server. No call may be with a handler any more. */
void server_stop(struct server *server);

#endif
