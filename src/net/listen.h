/* Opening the listeners of a server: URL lists, limits, TLS. */
#ifndef TRIGGERS_NET_LISTEN_H
#define TRIGGERS_NET_LISTEN_H

#include <nng/nng.h>

#include "base/status.h"
#include "sp/link.h"

#define LISTEN_MAX 16

struct listen_config {
    const char *urls;     /* separated by commas: ws, wss, tcp, tls+tcp, ipc */
    const char *tls_cert; /* PEM file of the certificate chain; NULL without wss and tls+tcp */
    const char *tls_key;  /* PEM file of its private key */
    const struct handshake_access *access; /* which browsers get in; outlives the listeners */
};

struct listener {
    nng_stream_listener *streams;
    struct link_address address;
};

/* Checks without listening: every URL has an accepted form, and TLS ones have a certificate that
 * can be read. False with INVALID_ARGUMENT. */
bool listen_check(const struct listen_config *config, struct status *status) MUST_CHECK;

/* Listens on every URL of the list. `listeners` gets `*count` open listeners, also on failure; the
 * caller closes them. False with a text that names the URL at fault. */
bool listen_all(const struct listen_config *config, struct listener listeners[LISTEN_MAX],
                size_t *count, struct status *status) MUST_CHECK;

/* Whether all URLs of the list lead only to this machine. */
bool listen_is_local(const struct listen_config *config);

/* Closes it and frees what is in it; call after the links that came from it are freed. */
void listener_close(struct listener *listener);

#endif
