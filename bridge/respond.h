/* Hands the answer of a request to libmicrohttpd, with the headers that every answer has. */
#ifndef TRIGGERS_BRIDGE_RESPOND_H
#define TRIGGERS_BRIDGE_RESPOND_H

#include "request.h"

/* Takes the answer's body. The result is what the handler returns to libmicrohttpd. */
enum MHD_Result respond(struct request *request);

#endif
