/* The functions of GnuTLS that libmicrohttpd calls, replaced. */
#include "tls.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/check.h"
#include "problem.h"

const char TLS_PRIORITIES[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:"
    "+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE";

#define WARNINGS_IN_A_ROW 4

/* Bytes that a client may need for a handshake; the most are for its certificates. GnuTLS gathers a
 * message of any size until it is complete. */
#define HANDSHAKE_MAX 32768

static int (*make_handshake)(gnutls_session_t session);

bool tls_init(void)
{
    void *found = dlsym(RTLD_NEXT, "gnutls_handshake");
    memcpy(&make_handshake, &found, sizeof(found));
    return found;
}

/* ---- a connection ---- */

/* As a part of the handshake. */
static int check_client(gnutls_session_t session)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned faults = 0;
    int error = gnutls_certificate_verify_peers(session, &purpose, 1, &faults);
    return error == GNUTLS_E_SUCCESS && faults == 0 ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

void tls_begin(struct tls_session *tls, gnutls_session_t session, struct certificates *certificates,
               int socket, struct head *head, struct pace *pace)
{
    CHECK(!tls->gnutls && session && make_handshake);
    tls->gnutls = session;
    tls->certificate = certificates_hold(certificates);
    tls->socket = socket;
    tls->head = head;
    tls->pace = pace;
    gnutls_session_set_ptr(session, tls);
    CHECK(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
                                 certificate_credentials(tls->certificate)) == GNUTLS_E_SUCCESS);
    if (certificate_asks_clients(tls->certificate)) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_function(session, check_client);
    }
    pace_begin(pace, PACE_BODY); /* the handshake */
}

void tls_end(struct tls_session *tls)
{
    if (tls->certificate)
        certificate_release(tls->certificate);
    *tls = (struct tls_session){0};
}

/* ---- receiving ---- */

struct tls_stream {
    struct tls_session *tls;
    ssize_t error; /* GnuTLS's, of the last receive */
};

/* As gnutls_record_recv, which is replaced. A peer that sends nothing but warnings would be read
 * for ever. */
static ssize_t receive_record(gnutls_session_t session, void *buffer, size_t size)
{
    uint8_t sequence[8];
    ssize_t received;
    int warnings = 0;
    do
        received = gnutls_record_recv_seq(session, buffer, size, sequence);
    while (received == GNUTLS_E_INTERRUPTED ||
           (received == GNUTLS_E_WARNING_ALERT_RECEIVED && ++warnings < WARNINGS_IN_A_ROW));
    return received;
}

static ssize_t receive_decrypted(void *pointer, void *buffer, size_t size)
{
    struct tls_stream *stream = pointer;
    ssize_t received = receive_record(stream->tls->gnutls, buffer, size);
    if (received >= 0)
        return received;
    stream->error = received;
    errno = received == GNUTLS_E_AGAIN ? EAGAIN : ECONNRESET;
    return -1;
}

/* What does not fit into the socket is lost. */
static void answer_encrypted(void *pointer, const struct problem *refused)
{
    const struct tls_stream *stream = pointer;
    struct buffer answer;
    problem_write_answer(refused, &answer);
    if (!answer.failed)
        (void)!gnutls_record_send(stream->tls->gnutls, answer.data, answer.size);
    gnutls_bye(stream->tls->gnutls, GNUTLS_SHUT_WR);
    shutdown(stream->tls->socket, SHUT_WR);
    buffer_fini(&answer);
}

static int open_session(struct tls_session *tls)
{
    int error = make_handshake(tls->gnutls);
    if (error == GNUTLS_E_AGAIN && pace_bytes_read(tls->socket) > HANDSHAKE_MAX)
        error = GNUTLS_E_HANDSHAKE_TOO_LARGE;
    if (error == GNUTLS_E_SUCCESS) {
        tls->open = true;
        pace_begin(tls->pace, PACE_IDLE);
    } else if (gnutls_error_is_fatal(error)) {
        gnutls_alert_send_appropriate(tls->gnutls, error);
    }
    return error == GNUTLS_E_SUCCESS || gnutls_error_is_fatal(error) ? error : GNUTLS_E_AGAIN;
}

/* The bytes of the handshake hide from the pace when the first head begins. */
static void note_head(struct tls_session *tls)
{
    bool in_head = tls->head->part < BODY_COUNTED && tls->head->bytes > 0;
    if (in_head && !tls->in_head)
        pace_begin(tls->pace, PACE_BODY);
    tls->in_head = in_head;
}

static ssize_t end_session(struct tls_session *tls, const char *last_words)
{
    (void)!gnutls_record_send(tls->gnutls, last_words, strlen(last_words));
    gnutls_bye(tls->gnutls, GNUTLS_SHUT_WR);
    shutdown(tls->socket, SHUT_RDWR);
    return 0;
}

__attribute__((visibility("default"))) ssize_t gnutls_record_recv(gnutls_session_t session,
                                                                  void *buffer, size_t size)
{
    struct tls_session *tls = gnutls_session_get_ptr(session);
    if (!tls)
        return receive_record(session, buffer, size);
    int error = tls->open ? GNUTLS_E_SUCCESS : open_session(tls);
    if (error != GNUTLS_E_SUCCESS)
        return error;
    const char *last_words = atomic_load(&tls->last_words);
    if (last_words)
        return end_session(tls, last_words);
    struct tls_stream decrypted = {.tls = tls};
    const struct head_stream stream = {receive_decrypted, answer_encrypted, &decrypted, true};
    ssize_t received = head_receive(tls->head, &stream, buffer, size);
    note_head(tls);
    if (received >= 0)
        return received;
    return decrypted.error ? decrypted.error : GNUTLS_E_AGAIN;
}

__attribute__((visibility("default"))) int gnutls_handshake(gnutls_session_t session)
{
    return gnutls_session_get_ptr(session) ? GNUTLS_E_SUCCESS : make_handshake(session);
}

/* ---- a client ---- */

static bool begin_client(gnutls_session_t session, gnutls_certificate_credentials_t credentials,
                         int socket)
{
    gnutls_transport_set_int(session, socket);
    return gnutls_priority_set_direct(session, TLS_PRIORITIES, NULL) == GNUTLS_E_SUCCESS &&
           gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) == GNUTLS_E_SUCCESS;
}

static bool exchange(gnutls_session_t session, const char *request, char *answer, size_t size)
{
    size_t length = 0;
    if (gnutls_record_send(session, request, strlen(request)) < 0)
        return false;
    while (length < size) {
        ssize_t got = receive_record(session, answer + length, size - length);
        if (got <= 0)
            return false;
        length += (size_t)got;
    }
    return true;
}

/* Makes a handshake; its result is in `*error`. */
static gnutls_session_t connect_client(gnutls_certificate_credentials_t credentials, int socket,
                                       int *error)
{
    gnutls_session_t session;
    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) != GNUTLS_E_SUCCESS)
        return NULL;
    *error = GNUTLS_E_INTERNAL_ERROR;
    if (begin_client(session, credentials, socket)) {
        do
            *error = make_handshake(session);
        while (*error == GNUTLS_E_INTERRUPTED || *error == GNUTLS_E_WARNING_ALERT_RECEIVED);
    }
    return session;
}

static bool try_client(int socket, const char *request, char *answer, size_t size)
{
    gnutls_certificate_credentials_t credentials;
    if (gnutls_certificate_allocate_credentials(&credentials) != GNUTLS_E_SUCCESS)
        return false;
    int error;
    bool done = false;
    gnutls_session_t session = connect_client(credentials, socket, &error);
    if (session) {
        /* Who wants to see a certificate ends the handshake with an alert, in TLS 1.2. */
        done = request ? error == GNUTLS_E_SUCCESS && exchange(session, request, answer, size)
                       : error == GNUTLS_E_SUCCESS || error == GNUTLS_E_FATAL_ALERT_RECEIVED;
        gnutls_deinit(session);
    }
    gnutls_certificate_free_credentials(credentials);
    return done;
}

bool tls_ask(int socket, const char *request, char *answer, size_t size)
{
    return try_client(socket, request, answer, size);
}

bool tls_is_spoken(int socket)
{
    return try_client(socket, NULL, NULL, 0);
}
