/* Requests in their envelope, as bytes ready to be sent. */
#ifndef TRIGGERS_CLIENT_ENVELOPE_H
#define TRIGGERS_CLIENT_ENVELOPE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/status.h"

/* What the envelope states besides the body. Texts are borrowed; NULL leaves one out. */
struct envelope {
    const char *method; /* "package.Service/Method" */
    const char *request_id;
    const char *traceparent;
    const char *client;
    const char *caller;
};

/* Encodes envelope and request, without the timeout, into malloc'd bytes, which the caller owns and
 * which are charged to `charge`. False with INVALID_ARGUMENT and MESSAGE_TOO_LARGE when there are
 * more than TRIGGERS_MAX_MESSAGE with a timeout of up to `max_timeout_ms`, or with
 * RESOURCE_EXHAUSTED. */
bool envelope_pack(const struct envelope *envelope, const ProtobufCMessage *body,
                   uint32_t max_timeout_ms, struct charge *charge, uint8_t **bytes, size_t *size,
                   struct status *status) MUST_CHECK;

/* Fills `status`: there is no room for the call, and it was not sent. Returns false. */
bool envelope_fail_busy(struct status *status);

#define ENVELOPE_MAX_TIMEOUT_SIZE 6

/* Writes the timeout, which goes after a packed envelope, and returns its size. It differs for each
 * try; a shorter timeout never takes more bytes. */
size_t envelope_pack_timeout(uint32_t timeout_ms, uint8_t out[ENVELOPE_MAX_TIMEOUT_SIZE]);

#endif
