/* The certificate that the bridge shows, with its key, and whose certificates clients must show:
 * read from files, and again when these change. Connections that are open keep what they began
 * with. */
#ifndef TRIGGERS_BRIDGE_CERTIFICATES_H
#define TRIGGERS_BRIDGE_CERTIFICATES_H

#include <pthread.h>
#include <stdbool.h>

#include "base/pem_files.h"
#include "base/status.h"

struct certificate;

struct certificates {
    struct pem_files files; /* the certificate, its key, the authorities of clients or NULL */
    pthread_mutex_t mutex;
    struct certificate *current; /* NULL: the bridge serves plain HTTP */
};

/* Reads the files, whose paths must outlive `certificates`. Both paths NULL: there is no TLS.
 * `client_ca` NULL: clients need no certificate. False with INVALID_ARGUMENT. */
bool certificates_open(struct certificates *certificates, const char *cert, const char *key,
                       const char *client_ca, struct status *status) MUST_CHECK;
void certificates_close(struct certificates *certificates);

/* Reads the files again when they have changed, or at once when `asked`. Files that cannot be used
 * are logged, and what was read before stays. Call it about once a second, on one thread. */
void certificates_look(struct certificates *certificates, bool asked);

/* The certificate for a new connection, held. Any thread, as certificate_release. */
struct certificate *certificates_hold(struct certificates *certificates);
void certificate_release(struct certificate *certificate);

/* For GnuTLS; valid while the certificate is held. */
struct gnutls_certificate_credentials_st *
certificate_credentials(const struct certificate *certificate);
bool certificate_asks_clients(const struct certificate *certificate);

#endif
