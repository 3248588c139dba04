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
    const char *authorization; /* as it is for every try; see also envelope_pack_end */
    const char *address;
};

/* Encodes envelope and request, without its end, into malloc'd bytes, which the caller owns and
 * which are charged to `charge`. False with INVALID_ARGUMENT and MESSAGE_TOO_LARGE when there are
 * more than TRIGGERS_MAX_MESSAGE with an end of `end_size` bytes, or with RESOURCE_EXHAUSTED. */
bool envelope_pack(const struct envelope *envelope, const ProtobufCMessage *body, size_t end_size,
                   struct charge *charge, uint8_t **bytes, size_t *size,
                   struct status *status) MUST_CHECK;

/* Fills `status`: there is no room for the call, and it was not sent. Returns false. */
bool envelope_fail_busy(struct status *status);

#define ENVELOPE_MAX_END_SIZE 320

/* Writes what goes after a packed envelope and may differ for each try, the timeout and who calls,
 * and returns its size. `authorization` is that metadata's value; "": none. A shorter timeout never
 * takes more bytes. */
size_t envelope_pack_end(uint32_t timeout_ms, const char *authorization,
                         uint8_t out[ENVELOPE_MAX_END_SIZE]);

#endif
