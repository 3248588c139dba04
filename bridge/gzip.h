/* Content coded with gzip (RFC 1952): bodies are expanded as their pieces come, answers compressed
 * as libmicrohttpd asks for more of them, so that neither is there twice and no long one holds up
 * other connections. On the thread of the request's connection. */
#ifndef TRIGGERS_BRIDGE_GZIP_H
#define TRIGGERS_BRIDGE_GZIP_H

#include "request.h"

/* Shorter answers are sent as they are. */
#define GZIP_ANSWER_MIN 1024

/* The body of the request is expanded from now on; answers 503 without memory. */
void gunzip_begin(struct request *request);

/* Expands a piece of the body into request->body, of which at most request->body_cap bytes are
 * taken: answers 413 for more, for over a hundred times what was sent, and 400 for what is no gzip.
 * `size` becomes what has not been looked at: with BODY_WAITS, give that again. */
enum body_result gunzip_add(struct request *request, const char *bytes, size_t *size);

/* The whole body has come: answers 400 when its gzip has not. False, suspended: try again. */
bool gunzip_end(struct request *request);

/* NULL: does nothing. */
void gunzip_free(struct gunzip *gunzip);

/* A response with the answer's body, of which it takes what is not static, compressed. NULL without
 * memory: nothing has been taken. */
struct MHD_Response *gzip_response(struct answer *answer, struct charge *charge);

#endif
