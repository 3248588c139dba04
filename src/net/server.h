/* The server: receives envelopes on any set of URLs, as the replying end of SP's REQ/REP, has them
 * dispatched, and sends the answers. */
#ifndef TRIGGERS_NET_SERVER_H
#define TRIGGERS_NET_SERVER_H

#include "base/metrics.h"
#include "base/status.h"
#include "rpc/dispatch.h"

struct server;
struct handshake_access;

struct server_config {
    const char *listen;   /* URLs, separated by commas: ws, wss, tcp, tls+tcp, ipc */
    const char *tls_cert; /* PEM file of the certificate chain; NULL without wss and tls+tcp */
    const char *tls_key;  /* PEM file of its private key */
    const struct handshake_access *access; /* which browsers get in; outlives the server */
};

/* Calls that are handled at once; further ones wait in their connections. Of these
 * there may be as many as the process may have descriptors, less some for the store; more are
 * closed at once. */
#define SERVER_MAX_CALLS 2048

/* Connections that stand. */
extern struct metric server_connections;

/* Checks without listening: every URL has an accepted form, and TLS ones have a certificate that
 * can be read. False with INVALID_ARGUMENT. */
bool server_config_check(const struct server_config *config, struct status *status) MUST_CHECK;

/* Listens and serves until server_stop. `dispatcher` must outlive the server. False with a text
 * that names the URL at fault; nothing is left listening then. */
bool server_start(const struct server_config *config, struct dispatcher *dispatcher,
                  struct server **server, struct status *status) MUST_CHECK;

/* Waits until every call in hand has been answered and the answers have left, or `timeout_ms` have
 * passed. New calls are still received; the dispatcher should refuse them. True when all is done.
 */
bool server_drain(struct server *server, int64_t timeout_ms);

/* Closes all connections and frees the server. No call may be with a handler any more. */
void server_stop(struct server *server);

#endif
