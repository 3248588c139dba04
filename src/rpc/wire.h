/* Encoded messages before protobuf-c decodes them: they are checked, and freed of what would cost
 * memory and is not wanted. */
#ifndef TRIGGERS_RPC_WIRE_H
#define TRIGGERS_RPC_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"
#include "rpc/call.h"

/* The most elements of a repeated field, and the most fields of one message that are not repeated,
 * which proto3 allows to be given again and again. Two bytes of either become a hundred when
 * decoded. */
#define WIRE_MAX_ELEMENTS 1000
#define WIRE_MAX_SINGLE 100

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Bytes that are not yet read. */
struct wire_reader {
    const uint8_t *next;
    const uint8_t *end;
};

/* One field of a message as it was sent. */
struct wire_field {
    const uint8_t *start; /* its tag */
    uint32_t number;
    unsigned type;              /* enum wire_type, if known */
    uint64_t value;             /* of a varint */
    struct wire_reader content; /* of WIRE_BYTES */
};

/* Steps over the next field. False when the bytes from there on are not a message. */
bool wire_next(struct wire_reader *in, struct wire_field *field);

/* What is wrong with a message. */
struct wire_check {
    const char *reason;               /* of `status`, unless BATCH_SIZE_INVALID */
    struct status status;             /* when something is wrong: INVALID_ARGUMENT */
    struct field_violation violation; /* the field at fault; it has no name when none is */
    bool unknown;                     /* not wrong: there were unknown fields */
};

/* Checks `*size` bytes as a message of the given type, nested ones included: fields have the types
 * that the .proto file says, strings are UTF-8 (proto3) and, because protobuf-c hands them out as C
 * strings, hold no NUL, and no field is given too often. Unknown fields, which proto3 accepts and
 * protobuf-c would keep, are dropped: the bytes move together in place and `*size` shrinks.
 *
 * False when something is wrong, for `reason` (BATCH_SIZE_INVALID when a repeated field has too
 * many elements). `bytes` may be NULL when there are none. Allocates nothing. Any thread. */
bool wire_clean(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t *size,
                const char *reason, struct wire_check *check) MUST_CHECK;

#endif
