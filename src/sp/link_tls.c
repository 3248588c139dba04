/* Configurations for nng, from files. */
#include "sp/link_tls.h"

#include <string.h>

#include "base/check.h"
#include "base/pem_files.h"
#include "sp/tls_engine.h"

static bool fail_setup(int error, struct status *status)
{
    return status_fail(status, STATUS_INTERNAL, "TLS", "cannot set up TLS: %s",
                       nng_strerror(error));
}

static bool set_pair(nng_tls_config *config, const struct link_tls_files *files,
                     struct status *status)
{
    char *cert = pem_file_read(files->cert, status);
    char *key = cert ? pem_file_read(files->key, status) : NULL;
    int error = key ? nng_tls_config_own_cert(config, cert, key, NULL) : 0;
    bool read = key;
    pem_text_free(key);
    pem_text_free(cert);
    if (!read || error == 0)
        return read;
    if (error == TLS_ENGINE_KEY_MISMATCH)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE",
                           "the key in %s does not belong to the certificate in %s", files->key,
                           files->cert);
    return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE",
                       "%s and %s are not a PEM certificate and its unencrypted private key",
                       files->cert, files->key);
}

static bool set_ca(nng_tls_config *config, const char *path, struct status *status)
{
    char *text = pem_file_read(path, status);
    if (!text)
        return false;
    const char *revoked = strstr(text, "-----BEGIN X509 CRL-----") ? text : NULL;
    int error = nng_tls_config_ca_chain(config, text, revoked);
    if (error == 0)
        error = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    pem_text_free(text);
    return error == 0 || status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE",
                                     "%s is not a PEM file of certificates", path);
}

static bool fill(nng_tls_config *config, const struct link_tls_files *files, struct status *status)
{
    return (!files->cert || set_pair(config, files, status)) &&
           (!files->ca || set_ca(config, files->ca, status));
}

static bool make(const struct link_tls_files *files, nng_tls_mode mode, nng_tls_config **config,
                 struct status *status)
{
    *config = NULL;
    int error = tls_engine_use();
    if (error == 0)
        error = nng_tls_config_alloc(config, mode);
    if (error != 0)
        return fail_setup(error, status);
    if (fill(*config, files, status))
        return true;
    nng_tls_config_free(*config);
    *config = NULL;
    return false;
}

bool link_tls_make_server(const struct link_tls_files *files, nng_tls_config **config,
                          struct status *status)
{
    CHECK(files->cert && files->key);
    return make(files, NNG_TLS_MODE_SERVER, config, status);
}

bool link_tls_make_client(const struct link_tls_files *files, const char *host,
                          nng_tls_config **config, struct status *status)
{
    CHECK(files->ca && !files->cert == !files->key);
    if (!make(files, NNG_TLS_MODE_CLIENT, config, status))
        return false;
    int error = nng_tls_config_server_name(*config, host);
    if (error == 0)
        return true;
    nng_tls_config_free(*config);
    *config = NULL;
    return fail_setup(error, status);
}
