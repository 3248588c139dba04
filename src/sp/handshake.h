/* The handshake of a WebSocket: one HTTP request and its answer (RFC 6455, section 4), for SP's
 * subprotocol. Both sides are here; neither allocates. */
#ifndef TRIGGERS_SP_HANDSHAKE_H
#define TRIGGERS_SP_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/web.h"

/* The longest head that is accepted, in bytes. */
#define HANDSHAKE_MAX_HEAD 8192

#define HANDSHAKE_KEY_SIZE 16    /* random bytes of a client */
#define HANDSHAKE_ACCEPT_SIZE 29 /* the size of what the server derives from them, with a NUL */

/* Room for an answer. */
#define HANDSHAKE_ANSWER_SIZE 512

/* Which browsers may connect. Programs send no Origin, and name a host that leads to where they
 * connect. */
struct handshake_access {
    struct origins origins; /* empty: no page at all */
    struct hosts hosts;
};

/* What a server listens on. */
struct handshake_server {
    const char *target;                    /* path; a query is ignored */
    const struct handshake_access *access; /* NULL: everybody may connect */
    const char *bound;                     /* see hosts_serve */
};

/* The size of the head of a request or an answer, with the empty line at its end; 0: it is not
 * complete. */
size_t handshake_find_end(const uint8_t *bytes, size_t size);

/* Answers the head of a request for the server's path; queries are ignored. True with the answer
 * that accepts it, or false with one that says what was wrong and ends the connection. `*size` gets
 * the size of the answer. */
bool handshake_answer(const uint8_t *request, size_t request_size,
                      const struct handshake_server *server, char answer[HANDSHAKE_ANSWER_SIZE],
                      size_t *size);

/* Writes the answer to a head that is longer than HANDSHAKE_MAX_HEAD; returns its size. */
size_t handshake_answer_too_long(char answer[HANDSHAKE_ANSWER_SIZE]);

/* A client's request, malloc'd, and what its answer must accept it with; NULL without memory.
 * `target` is the URL's path and query, `authority` its host and port. */
char *handshake_request(const char *target, const char *authority,
                        const uint8_t key[HANDSHAKE_KEY_SIZE], char accept[HANDSHAKE_ACCEPT_SIZE]);

/* Whether the head of an answer accepts the request. */
bool handshake_is_accepted(const uint8_t *answer, size_t size,
                           const char accept[HANDSHAKE_ACCEPT_SIZE]);

#endif
