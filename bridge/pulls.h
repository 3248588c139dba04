/* Pulls whose answer reaches nobody: what they got, or would get, is given back to the core at
 * once, by the id of the pull. The bridge makes one where the client has sent none. */
#ifndef TRIGGERS_BRIDGE_PULLS_H
#define TRIGGERS_BRIDGE_PULLS_H

#include <protobuf-c/protobuf-c.h>

#include "request.h"

/* Before the call is started. When the message is a pull, gives it an id if it has none, the same
 * when the request is started again, and keeps in `request->pull` what releases it. False without
 * memory. */
bool pulls_note(struct request *request, ProtobufCMessage *message) MUST_CHECK;

/* The request has ended. Releases the pull when its client has not got the answer; but when it was
 * the client who gave the id, only if it hung up while it waited, as it may ask for that answer
 * again. Frees `request->pull`. */
void pulls_end(struct request *request, bool answered);

#endif
