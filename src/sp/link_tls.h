/* TLS of links: at least 1.2, forward secrecy, authenticated ciphers. Of nng's streams with TLS
 * only the engine is replaced, by one over mbed TLS: nng's own takes static RSA and CBC, and knows
 * no addresses in certificates. The engine is that of the whole process: nng has one at a time. */
#ifndef TRIGGERS_SP_LINK_TLS_H
#define TRIGGERS_SP_LINK_TLS_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdbool.h>

#include "base/status.h"

/* PEM files. */
struct link_tls_files {
    const char *cert; /* shown to peers, with its chain; NULL: none, as a client may have */
    const char *key;  /* of it, unencrypted */
    const char *ca;   /* signs the peers' certificates; NULL: a server's peers need none */
};

/* TLS for a listener, which shows a certificate. The caller frees `*config`, which is NULL on
 * failure. False with INVALID_ARGUMENT and a text that names the file at fault, or INTERNAL. */
bool link_tls_make_server(const struct link_tls_files *files, nng_tls_config **config,
                          struct status *status) MUST_CHECK;

/* The same for a dialer of `host`, a name or an address, with or without brackets, for which the
 * peer's certificate must be valid. */
bool link_tls_make_client(const struct link_tls_files *files, const char *host,
                          nng_tls_config **config, struct status *status) MUST_CHECK;

#endif
