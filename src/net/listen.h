/* Opening the listeners of a server: URL lists, limits, TLS. */
#ifndef TRIGGERS_NET_LISTEN_H
#define TRIGGERS_NET_LISTEN_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "base/status.h"
#include "sp/link.h"

#define LISTEN_MAX 16

struct listen_config {
    const char *urls;     /* separated by commas: ws, wss, tcp, tls+tcp, ipc */
    const char *tls_cert; /* PEM file of the certificate chain; NULL without wss and tls+tcp */
    const char *tls_key;  /* PEM file of its private key */
    /* PEM file of authorities, one of which has signed the certificates that peers must show; NULL:
     * they need none. */
    const char *tls_client_ca;
    const struct handshake_access *access; /* which browsers get in; outlives the listeners */
};

struct listener {
    nng_stream_listener *streams;
    struct link_address address;
    nng_tls_config *tls;
    nng_tls_config *former_tls; /* nng 1.5 may just be reading it */
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

/* Reads the files of TLS. The caller frees `*tls`. False with a text that names the file at fault.
 */
bool listen_load_tls(const struct listen_config *config, nng_tls_config **tls,
                     struct status *status) MUST_CHECK;

/* TLS for the connections that are accepted from now on; the caller keeps `tls`. Returns 0 or an
 * nng error. One thread at a time. */
int listener_set_tls(struct listener *listener, nng_tls_config *tls) MUST_CHECK;

/* Closes it and frees what is in it; call after the links that came from it are freed. */
void listener_close(struct listener *listener);

#endif
