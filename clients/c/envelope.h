/* Requests in their envelope, as messages ready to be sent. */
#ifndef TRIGGERS_CLIENT_ENVELOPE_H
#define TRIGGERS_CLIENT_ENVELOPE_H

#include <nng/nng.h>
#include <protobuf-c/protobuf-c.h>

#include "base/status.h"

/* What the envelope says beside the body. Texts are borrowed; NULL leaves one out. */
struct envelope {
    const char *method; /* "package.Service/Method" */
    uint32_t timeout_ms;
    const char *request_id;
    const char *traceparent;
    const char *client;
};

/* Encodes both into a new message, which the caller owns. False with INVALID_ARGUMENT and
 * MESSAGE_TOO_LARGE when it has more than TRIGGERS_MAX_MESSAGE bytes, or RESOURCE_EXHAUSTED. */
bool envelope_pack(const struct envelope *envelope, const ProtobufCMessage *body, nng_msg **message,
                   struct status *status) MUST_CHECK;

#endif
