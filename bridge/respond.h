/* Hands the answer of a request to libmicrohttpd, with the headers that every answer has. */
#ifndef TRIGGERS_BRIDGE_RESPOND_H
#define TRIGGERS_BRIDGE_RESPOND_H

#include "request.h"

/* Takes the answer's body. False without memory: the connection is to be closed. */
bool respond(struct request *request);

#endif
