/* TLS between libmicrohttpd and its sockets: at least 1.2, forward secrecy, authenticated ciphers.
 *
 * libmicrohttpd makes and uses GnuTLS's sessions; the bridge gives each its certificate, and
 * replaces two functions of GnuTLS by its own, as heads.h does recv(2). gnutls_record_recv runs
 * the filter of heads.h on what was decrypted. gnutls_handshake does nothing, and the first
 * gnutls_record_recv makes the handshake: libmicrohttpd 0.9.75 forgets that a handshake waits for
 * its peer, and spins until it comes. */
#ifndef TRIGGERS_BRIDGE_TLS_H
#define TRIGGERS_BRIDGE_TLS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "certificates.h"
#include "heads.h"
#include "pace.h"

/* What GnuTLS takes for a connection: 24 KiB were measured, and a record may have arrived in part.
 */
#define TLS_COST 32768

struct gnutls_session_int;

/* The TLS of a connection. It is used on the loop's thread, but for `last_words`. */
struct tls_session {
    struct gnutls_session_int *gnutls; /* libmicrohttpd's; NULL: plain HTTP */
    struct certificate *certificate;   /* held */
    int socket;
    struct head *head;
    struct pace *pace;
    bool open;    /* after the handshake */
    bool in_head; /* a request has begun whose head has not ended */
    /* Sent in place of what would be read next, before the connection closes. Any thread may set
     * it, and then shuts the receiving side of the socket. */
    _Atomic(const char *) last_words;
};

/* Cipher suites and versions, for libmicrohttpd. */
extern const char TLS_PRIORITIES[];

/* Finds what is replaced. False when there is no GnuTLS. Call once, before the first session. */
bool tls_init(void);

/* Begins the TLS of a connection, which makes its handshake within the patience of its pace. The
 * session is libmicrohttpd's; `head` and `pace` are those of the connection. */
void tls_begin(struct tls_session *tls, struct gnutls_session_int *session,
               struct certificates *certificates, int socket, struct head *head, struct pace *pace);

/* Call it when libmicrohttpd has freed the session; does nothing for plain HTTP. */
void tls_end(struct tls_session *tls);

/* A client on a connected socket that blocks, which believes any certificate: the peer is this
 * machine. It sends a request and reads the beginning of the answer. */
bool tls_ask(int socket, const char *request, char *answer, size_t size);

/* Whether the peer of a connected socket that blocks speaks TLS. */
bool tls_is_spoken(int socket);

#endif
