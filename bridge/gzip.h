/* Content coded with gzip (RFC 1952). Bodies are expanded as their pieces arrive, and answers
 * compressed as libmicrohttpd asks for more, so neither is held in memory twice and no long one
 * holds up other connections. On the thread of the request's connection. */
#ifndef TRIGGERS_BRIDGE_GZIP_H
#define TRIGGERS_BRIDGE_GZIP_H

#include "request.h"

struct gzip;

/* Shorter answers are not compressed. */
#define GZIP_ANSWER_MIN 1024

/* Expands the body of the request from now on; answers 503 without memory. */
void gunzip_begin(struct request *request);

/* Expands a piece of the body into request->body, at most to request->body_cap bytes. Answers 413
 * when it expands to more, or to over a hundred times what was sent, and 400 when it is not gzip.
 * `size` becomes the size of what was not read: after BODY_WAITS, give that again. */
enum body_result gunzip_add(struct request *request, const char *bytes, size_t *size);

/* Call it when the whole body has arrived: answers 400 when its gzip is incomplete. False, with the
 * connection suspended: call it again. */
bool gunzip_end(struct request *request);

/* NULL: does nothing. */
void gunzip_free(struct gunzip *gunzip);

/* Begins to compress the answer's body; it takes over the body unless that is static. NULL without
 * memory: nothing has been taken. */
struct gzip *gzip_begin(struct answer *answer, struct charge *charge);

/* Writes the next part of the compressed body to `out`, of `size` bytes; returns how many bytes it
 * wrote, 0 at the end. */
size_t gzip_read(struct gzip *gzip, char *out, size_t size);

void gzip_free(struct gzip *gzip);

#endif
