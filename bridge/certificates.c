/* GnuTLS checks that a certificate and a key belong together. */
#include "certificates.h"

#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

enum { CERT, KEY, CLIENT_CA };

struct certificate {
    atomic_uint holders;
    gnutls_certificate_credentials_t credentials;
    bool asks_clients;
};

static gnutls_datum_t to_datum(char *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

static bool fail_pair(const struct pem_files *files, int error, struct status *status)
{
    if (error == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE",
                           "the key in %s does not belong to the certificate in %s",
                           files->paths[KEY], files->paths[CERT]);
    return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE",
                       "%s and %s are not a PEM certificate and its unencrypted private key: %s",
                       files->paths[CERT], files->paths[KEY], gnutls_strerror(error));
}

static bool load_pair(struct certificate *certificate, const struct pem_files *files,
                      struct status *status)
{
    char *cert = pem_file_read(files->paths[CERT], status);
    char *key = cert ? pem_file_read(files->paths[KEY], status) : NULL;
    bool loaded = key;
    if (key) {
        gnutls_datum_t cert_datum = to_datum(cert);
        gnutls_datum_t key_datum = to_datum(key);
        int error = gnutls_certificate_set_x509_key_mem2(certificate->credentials, &cert_datum,
                                                         &key_datum, GNUTLS_X509_FMT_PEM, NULL, 0);
        loaded = error >= 0 || fail_pair(files, error, status);
    }
    pem_text_free(key);
    pem_text_free(cert);
    return loaded;
}

static bool load_client_ca(struct certificate *certificate, const struct pem_files *files,
                           struct status *status)
{
    certificate->asks_clients = files->paths[CLIENT_CA] != NULL;
    if (!certificate->asks_clients)
        return true;
    char *text = pem_file_read(files->paths[CLIENT_CA], status);
    if (!text)
        return false;
    gnutls_datum_t datum = to_datum(text);
    int count = gnutls_certificate_set_x509_trust_mem(certificate->credentials, &datum,
                                                      GNUTLS_X509_FMT_PEM);
    pem_text_free(text);
    return count > 0 || status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE",
                                    "%s has no PEM certificates", files->paths[CLIENT_CA]);
}

/* Held once; NULL with a text. */
static struct certificate *load(const struct pem_files *files, struct status *status)
{
    struct certificate *certificate = calloc(1, sizeof(*certificate));
    if (!certificate ||
        gnutls_certificate_allocate_credentials(&certificate->credentials) != GNUTLS_E_SUCCESS) {
        free(certificate);
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
        return NULL;
    }
    atomic_init(&certificate->holders, 1);
    if (load_pair(certificate, files, status) && load_client_ca(certificate, files, status))
        return certificate;
    certificate_release(certificate);
    return NULL;
}

bool certificates_open(struct certificates *certificates, const char *cert, const char *key,
                       const char *client_ca, struct status *status)
{
    *certificates = (struct certificates){.files.paths = {cert, key, client_ca}};
    pthread_mutex_init(&certificates->mutex, NULL);
    if (!cert != !key || (client_ca && !cert))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_MISSING",
                           "HTTPS needs both API_TLS_CERT and API_TLS_KEY");
    if (!cert)
        return true;
    pem_files_note(&certificates->files);
    certificates->current = load(&certificates->files, status);
    return certificates->current;
}

void certificates_close(struct certificates *certificates)
{
    if (certificates->current)
        certificate_release(certificates->current);
    pthread_mutex_destroy(&certificates->mutex);
}

static void reload(struct certificates *certificates)
{
    struct status status = STATUS_INIT;
    struct certificate *loaded = load(&certificates->files, &status);
    if (!loaded) {
        log_error("the new certificate cannot be used, the old one stays",
                  {"because", status.message});
        return;
    }
    pthread_mutex_lock(&certificates->mutex);
    struct certificate *old = certificates->current;
    certificates->current = loaded;
    pthread_mutex_unlock(&certificates->mutex);
    certificate_release(old);
    log_info("the certificate was read again", {"file", certificates->files.paths[CERT]});
}

void certificates_look(struct certificates *certificates, bool asked)
{
    if (!certificates->current)
        return;
    if (asked)
        pem_files_note(&certificates->files);
    if (asked || pem_files_have_changed(&certificates->files))
        reload(certificates);
}

struct certificate *certificates_hold(struct certificates *certificates)
{
    pthread_mutex_lock(&certificates->mutex);
    struct certificate *certificate = certificates->current;
    CHECK(certificate && atomic_fetch_add(&certificate->holders, 1) > 0);
    pthread_mutex_unlock(&certificates->mutex);
    return certificate;
}

void certificate_release(struct certificate *certificate)
{
    unsigned before = atomic_fetch_sub(&certificate->holders, 1);
    CHECK(before > 0);
    if (before > 1)
        return;
    gnutls_certificate_free_credentials(certificate->credentials);
    free(certificate);
}

struct gnutls_certificate_credentials_st *
certificate_credentials(const struct certificate *certificate)
{
    return certificate->credentials;
}

bool certificate_asks_clients(const struct certificate *certificate)
{
    return certificate->asks_clients;
}
