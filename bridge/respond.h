/* Hands the answer of a request to libmicrohttpd, with the headers that every answer has. */
#ifndef TRIGGERS_BRIDGE_RESPOND_H
#define TRIGGERS_BRIDGE_RESPOND_H

#include "request.h"

/* Takes the answer's body. False without memory: the connection is to be closed. */
bool respond(struct request *request);

/* Sends an answer without libmicrohttpd, where that takes none, and shuts the sending side. On the
 * loop's thread. */
void respond_directly(const struct connection *peer, const struct problem *problem);

/* The answer to a chunked body with a line that ends with a bare LF. */
extern const struct problem CHUNKS_MALFORMED;

#endif
