/* The body of a request: kept, counted and thrown away, or expanded when it is compressed with gzip
 * (RFC 1952), as its pieces arrive, so that it is not held in memory twice. On the thread of the
 * request's connection. */
#ifndef TRIGGERS_BRIDGE_BODY_H
#define TRIGGERS_BRIDGE_BODY_H

#include "request.h"

/* The most bytes of a body that is refused, and read and thrown away so that its sender can read
 * the answer. */
#define BODY_DISCARD_MAX (16u << 20)

enum body_result {
    BODY_TAKEN,
    BODY_WAITS, /* for memory, suspended: give what was not taken again */
    BODY_CLOSES /* even throwing it away would take too much: close the connection */
};

/* Keeps the body from now on; answers 413 or 415 when its headers say that it cannot be read, 503
 * without memory. Without this call it is thrown away. */
void body_begin(struct request *request);

/* Takes a piece of the body; answers 413 or 503 when it is too much, and 400 when it is not gzip.
 * One that expands to over a hundred times what was sent is too much. `size` becomes the size of
 * what was not taken. */
enum body_result body_add(struct request *request, const char *bytes, size_t *size);

/* Call it when the whole body has arrived: answers 400 when its gzip is incomplete. False, with the
 * connection suspended: call it again. */
bool body_end(struct request *request);

/* Frees the body; call it before the request is freed. */
void body_drop(struct request *request);

#endif
