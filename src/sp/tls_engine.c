/* nng calls an engine with the connection's lock held, and carries its bytes. */
#include "sp/tls_engine.h"

#include <arpa/inet.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>
#include <nng/supplemental/tls/engine.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define ADDRESS_MAX 64 /* characters of one */

/* RFC 5280, 4.2.1.6: [7] of a GeneralName. */
#define SAN_ADDRESS 7
#define SAN_TYPE_BITS 0x1F

/* Forward secrecy, and authenticated. */
static const int SUITES[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

/* A certificate that is shown. */
struct tls_pair {
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    struct tls_pair *next;
};

struct nng_tls_engine_config {
    mbedtls_ssl_config ssl;
    mbedtls_x509_crt ca;
    mbedtls_x509_crl revoked;
    struct tls_pair *pairs;
    char *name;          /* that of the server; NULL for an address */
    uint8_t address[16]; /* that of the server */
    size_t address_size; /* 0: none */
};

struct nng_tls_engine_conn {
    mbedtls_ssl_context ssl;
    void *carrier; /* nng's, of the bytes */
};

static int fill_random(void *unused, unsigned char *bytes, size_t size)
{
    (void)unused;
    random_fill(bytes, size);
    return 0;
}

/* ---- configurations ---- */

static int config_init(nng_tls_engine_config *config, nng_tls_mode mode)
{
    bool server = mode == NNG_TLS_MODE_SERVER;
    mbedtls_ssl_config *ssl = &config->ssl;
    mbedtls_ssl_config_init(ssl);
    mbedtls_x509_crt_init(&config->ca);
    mbedtls_x509_crl_init(&config->revoked);
    if (mbedtls_ssl_config_defaults(ssl, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        mbedtls_ssl_config_free(ssl);
        return NNG_ENOMEM;
    }
    mbedtls_ssl_conf_authmode(ssl, server ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ciphersuites(ssl, SUITES);
    mbedtls_ssl_conf_rng(ssl, fill_random, NULL);
#if MBEDTLS_VERSION_MAJOR < 3
    mbedtls_ssl_conf_min_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#else
    mbedtls_ssl_conf_min_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
    return 0;
}

static void free_pair(struct tls_pair *pair)
{
    mbedtls_x509_crt_free(&pair->cert);
    mbedtls_pk_free(&pair->key);
    free(pair);
}

static void config_fini(nng_tls_engine_config *config)
{
    mbedtls_ssl_config_free(&config->ssl);
    mbedtls_x509_crt_free(&config->ca);
    mbedtls_x509_crl_free(&config->revoked);
    while (config->pairs) {
        struct tls_pair *pair = config->pairs;
        config->pairs = pair->next;
        free_pair(pair);
    }
    free(config->name);
}

/* Whether the host is an address, perhaps in brackets and with a zone. */
static bool read_address(nng_tls_engine_config *config, const char *host)
{
    char text[ADDRESS_MAX];
    size_t bracket = *host == '[';
    size_t length = strcspn(host + bracket, "]%");
    config->address_size = 0;
    if (length >= sizeof(text))
        return false;
    memcpy(text, host + bracket, length);
    text[length] = '\0';
    if (inet_pton(AF_INET, text, config->address) == 1)
        config->address_size = sizeof(struct in_addr);
    else if (inet_pton(AF_INET6, text, config->address) == 1)
        config->address_size = sizeof(struct in6_addr);
    return config->address_size > 0;
}

static int config_set_server(nng_tls_engine_config *config, const char *host)
{
    char *name = read_address(config, host) ? NULL : strdup(host);
    if (!name && config->address_size == 0)
        return NNG_ENOMEM;
    free(config->name);
    config->name = name;
    return 0;
}

static int config_set_auth(nng_tls_engine_config *config, nng_tls_auth_mode mode)
{
    int how = MBEDTLS_SSL_VERIFY_REQUIRED;
    if (mode == NNG_TLS_AUTH_MODE_NONE)
        how = MBEDTLS_SSL_VERIFY_NONE;
    else if (mode == NNG_TLS_AUTH_MODE_OPTIONAL)
        how = MBEDTLS_SSL_VERIFY_OPTIONAL;
    mbedtls_ssl_conf_authmode(&config->ssl, how);
    return 0;
}

/* Of a system's file of authorities some may be of kinds that mbed TLS does not know. */
static int config_set_ca(nng_tls_engine_config *config, const char *certs, const char *revoked)
{
    int error = mbedtls_x509_crt_parse(&config->ca, (const uint8_t *)certs, strlen(certs) + 1);
    if (error < 0)
        return NNG_EINVAL;
    if (revoked && mbedtls_x509_crl_parse(&config->revoked, (const uint8_t *)revoked,
                                          strlen(revoked) + 1) != 0)
        return NNG_EINVAL;
    mbedtls_ssl_conf_ca_chain(&config->ssl, &config->ca, revoked ? &config->revoked : NULL);
    return 0;
}

static int read_key(mbedtls_pk_context *key, const char *text, const char *password)
{
    const uint8_t *bytes = (const uint8_t *)text;
    const uint8_t *word = (const uint8_t *)password;
    size_t length = password ? strlen(password) : 0;
#if MBEDTLS_VERSION_MAJOR < 3
    return mbedtls_pk_parse_key(key, bytes, strlen(text) + 1, word, length);
#else
    return mbedtls_pk_parse_key(key, bytes, strlen(text) + 1, word, length, fill_random, NULL);
#endif
}

static bool belong_together(const mbedtls_pk_context *public_key, const mbedtls_pk_context *key)
{
#if MBEDTLS_VERSION_MAJOR < 3
    return mbedtls_pk_check_pair(public_key, key) == 0;
#else
    return mbedtls_pk_check_pair(public_key, key, fill_random, NULL) == 0;
#endif
}

static int load_pair(struct tls_pair *pair, const char *cert, const char *key, const char *password)
{
    if (mbedtls_x509_crt_parse(&pair->cert, (const uint8_t *)cert, strlen(cert) + 1) != 0 ||
        read_key(&pair->key, key, password) != 0)
        return NNG_EINVAL;
    return belong_together(&pair->cert.pk, &pair->key) ? 0 : TLS_ENGINE_KEY_MISMATCH;
}

static int config_add_pair(nng_tls_engine_config *config, const char *cert, const char *key,
                           const char *password)
{
    struct tls_pair *pair = calloc(1, sizeof(*pair));
    if (!pair)
        return NNG_ENOMEM;
    mbedtls_x509_crt_init(&pair->cert);
    mbedtls_pk_init(&pair->key);
    int error = load_pair(pair, cert, key, password);
    if (error == 0 && mbedtls_ssl_conf_own_cert(&config->ssl, &pair->cert, &pair->key) != 0)
        error = NNG_ENOMEM;
    if (error != 0) {
        free_pair(pair);
        return error;
    }
    pair->next = config->pairs;
    config->pairs = pair;
    return 0;
}

/* It speaks 1.2 alone. */
static int config_set_version(nng_tls_engine_config *config, nng_tls_version min,
                              nng_tls_version max)
{
    (void)config;
    return min <= NNG_TLS_1_2 && max >= NNG_TLS_1_2 ? 0 : NNG_ENOTSUP;
}

/* ---- connections ---- */

static int carry_out(void *carrier, const unsigned char *bytes, size_t size)
{
    int error = nng_tls_engine_send(carrier, bytes, &size);
    if (error == NNG_EAGAIN)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return error == 0 ? (int)size : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int carry_in(void *carrier, unsigned char *bytes, size_t size)
{
    int error = nng_tls_engine_recv(carrier, bytes, &size);
    if (error == NNG_EAGAIN)
        return MBEDTLS_ERR_SSL_WANT_READ;
    return error == 0 ? (int)size : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int to_nng_error(int error)
{
    switch (error) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE: return NNG_EAGAIN;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF: return NNG_ECLOSED;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED: return NNG_ENOMEM;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED: return NNG_EPEERAUTH;
    default: return NNG_ECRYPTO;
    }
}

static bool is_valid_for(const mbedtls_x509_crt *cert, const uint8_t *address, size_t size)
{
    const mbedtls_x509_sequence *each = &cert->subject_alt_names;
    for (; each; each = each->next) {
        if ((each->buf.tag & SAN_TYPE_BITS) == SAN_ADDRESS && each->buf.len == size &&
            memcmp(each->buf.p, address, size) == 0)
            return true;
    }
    return false;
}

/* Called for each certificate of the chain, the peer's own (depth 0) last. */
static int check_address(void *argument, mbedtls_x509_crt *cert, int depth, uint32_t *faults)
{
    const nng_tls_engine_config *config = argument;
    if (depth == 0 && !is_valid_for(cert, config->address, config->address_size))
        *faults |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int conn_init(nng_tls_engine_conn *conn, void *carrier, nng_tls_engine_config *config)
{
    conn->carrier = carrier;
    mbedtls_ssl_init(&conn->ssl);
    mbedtls_ssl_set_bio(&conn->ssl, carrier, carry_out, carry_in, NULL);
    if (mbedtls_ssl_setup(&conn->ssl, &config->ssl) != 0 ||
        mbedtls_ssl_set_hostname(&conn->ssl, config->name) != 0)
        return NNG_ENOMEM;
    if (config->address_size > 0)
        mbedtls_ssl_set_verify(&conn->ssl, check_address, config);
    return 0;
}

/* Also when it was never initialized; it is zeroed then. */
static void conn_fini(nng_tls_engine_conn *conn)
{
    mbedtls_ssl_free(&conn->ssl);
}

static void conn_close(nng_tls_engine_conn *conn)
{
    (void)mbedtls_ssl_close_notify(&conn->ssl);
}

static int conn_handshake(nng_tls_engine_conn *conn)
{
    int error = mbedtls_ssl_handshake(&conn->ssl);
    return error == 0 ? 0 : to_nng_error(error);
}

static int conn_receive(nng_tls_engine_conn *conn, uint8_t *bytes, size_t *size)
{
    int count = mbedtls_ssl_read(&conn->ssl, bytes, *size);
    if (count <= 0)
        return count == 0 ? NNG_ECLOSED : to_nng_error(count);
    *size = (size_t)count;
    return 0;
}

static int conn_send(nng_tls_engine_conn *conn, const uint8_t *bytes, size_t *size)
{
    int count = mbedtls_ssl_write(&conn->ssl, bytes, *size);
    if (count < 0)
        return to_nng_error(count);
    *size = (size_t)count;
    return 0;
}

static bool conn_is_verified(nng_tls_engine_conn *conn)
{
    return mbedtls_ssl_get_verify_result(&conn->ssl) == 0;
}

#ifdef TLS_ENGINE_TELLS_NAMES
/* Nobody asks for them here. */
static char *conn_get_name(nng_tls_engine_conn *conn)
{
    (void)conn;
    return NULL;
}

static char **conn_get_names(nng_tls_engine_conn *conn)
{
    (void)conn;
    return NULL;
}
#endif

/* ---- the engine ---- */

static nng_tls_engine_config_ops config_ops = {
    .size = sizeof(nng_tls_engine_config),
    .init = config_init,
    .fini = config_fini,
    .server = config_set_server,
    .auth = config_set_auth,
    .ca_chain = config_set_ca,
    .own_cert = config_add_pair,
    .version = config_set_version,
};

static nng_tls_engine_conn_ops conn_ops = {
    .size = sizeof(nng_tls_engine_conn),
    .init = conn_init,
    .fini = conn_fini,
    .close = conn_close,
    .handshake = conn_handshake,
    .recv = conn_receive,
    .send = conn_send,
    .verified = conn_is_verified,
#ifdef TLS_ENGINE_TELLS_NAMES
    .peer_cn = conn_get_name,
    .peer_alt_names = conn_get_names,
#endif
};

static const nng_tls_engine engine = {
    .version = NNG_TLS_ENGINE_VERSION,
    .config_ops = &config_ops,
    .conn_ops = &conn_ops,
    .name = "triggers",
    .description = "mbed TLS with forward secrecy and authenticated ciphers only",
};

int tls_engine_use(void)
{
    /* The first call of nng sets its own engine. */
    return nng_tls_engine_name() ? nng_tls_engine_register(&engine) : NNG_EINTERNAL;
}
