/* A walk over tags and lengths (protobuf encoding, "wire types"). Recursion is as deep as the
 * message types nest, which is fixed: no message of ours contains itself. */
#include "rpc/wire.h"

#include <string.h>
#include <unistr.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct reader {
    const uint8_t *next;
    const uint8_t *end;
};

static bool read_varint(struct reader *in, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && in->next < in->end; shift += 7) {
        uint8_t byte = *in->next++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool skip(struct reader *in, uint64_t size)
{
    if (size > (uint64_t)(in->end - in->next))
        return false;
    in->next += size;
    return true;
}

/* Steps over one value; `content` gets the inside of a length-delimited one. */
static bool read_value(struct reader *in, unsigned type, struct reader *content)
{
    uint64_t number;
    switch (type) {
    case WIRE_VARINT: return read_varint(in, &number);
    case WIRE_FIXED64: return skip(in, 8);
    case WIRE_FIXED32: return skip(in, 4);
    case WIRE_BYTES:
        if (!read_varint(in, &number))
            return false;
        content->next = in->next;
        if (!skip(in, number))
            return false;
        content->end = in->next;
        return true;
    default: return false; /* groups are not part of proto3 */
    }
}

static bool check_string(const struct reader *content, const ProtobufCFieldDescriptor *field,
                         const char *reason, struct status *status)
{
    size_t size = (size_t)(content->end - content->next);
    if (u8_check(content->next, size))
        return status_fail(status, STATUS_INVALID_ARGUMENT, reason, "field %s is not valid UTF-8",
                           field->name);
    if (size > 0 && memchr(content->next, 0, size))
        return status_fail(status, STATUS_INVALID_ARGUMENT, reason,
                           "field %s contains U+0000, which is not accepted", field->name);
    return true;
}

bool wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                const char *reason, struct status *status)
{
    if (size == 0)
        return true; /* `bytes` may be NULL */
    struct reader in = {bytes, bytes + size};
    while (in.next < in.end) {
        uint64_t tag;
        struct reader content = {0};
        if (!read_varint(&in, &tag) || tag >> 3 == 0 || tag > UINT32_MAX ||
            !read_value(&in, (unsigned)tag & 7, &content))
            return status_fail(status, STATUS_INVALID_ARGUMENT, reason,
                               "the bytes are not a %s message", type->name);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (!field || (tag & 7) != WIRE_BYTES)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && !check_string(&content, field, reason, status))
            return false;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            !wire_check(field->descriptor, content.next, (size_t)(content.end - content.next),
                        reason, status))
            return false;
    }
    return true;
}
