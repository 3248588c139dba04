/* A check of encoded messages that protobuf-c does not make: proto3 strings are UTF-8 and, because
 * protobuf-c hands them out as C strings, hold no NUL. */
#ifndef TRIGGERS_RPC_WIRE_H
#define TRIGGERS_RPC_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"

/* Walks `size` bytes as a message of the given type without allocating; `bytes` may be NULL when
 * there are none. False with INVALID_ARGUMENT and `reason` when the bytes are no such message or a
 * string is at fault; the text names the field. Unknown fields are passed over. Any thread. */
bool wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                const char *reason, struct status *status) MUST_CHECK;

#endif
