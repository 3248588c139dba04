/* A walk over tags and lengths (protobuf encoding, "wire types"). Recursion is as deep as the
 * message types nest, which is fixed: no message of ours contains itself. */
#include "rpc/wire.h"

#include <string.h>
#include <unistr.h>

#include "base/check.h"
#include "base/varint.h"

bool wire_next(struct wire_reader *in, struct wire_field *field)
{
    uint64_t number;
    uint64_t size = 0;
    CHECK(in->next < in->end);
    *field = (struct wire_field){.start = in->next};
    if (!varint_read(&in->next, in->end, &number) || number >> 3 == 0 || number > UINT32_MAX)
        return false;
    field->number = (uint32_t)number >> 3;
    field->type = (unsigned)number & 7;
    switch (field->type) {
    case WIRE_VARINT: return varint_read(&in->next, in->end, &field->value);
    case WIRE_FIXED64: size = 8; break;
    case WIRE_FIXED32: size = 4; break;
    case WIRE_BYTES:
        if (!varint_read(&in->next, in->end, &size))
            return false;
        break;
    default: return false; /* groups are not part of proto3 */
    }
    if (size > (uint64_t)(in->end - in->next))
        return false;
    field->content = (struct wire_reader){in->next, in->next + size};
    in->next += size;
    return true;
}

/* ---- checking ---- */

static bool fail(struct wire_check *check, const ProtobufCFieldDescriptor *field,
                 const char *description)
{
    check->violation = (struct field_violation){field->name, description};
    return status_fail(&check->status, STATUS_INVALID_ARGUMENT, check->reason, "field %s %s",
                       field->name, description);
}

static bool fail_too_many(struct wire_check *check, const ProtobufCFieldDescriptor *field,
                          struct wire_reader rest, size_t count)
{
    struct wire_field next;
    while (rest.next < rest.end && wire_next(&rest, &next))
        count += next.number == field->id;
    check->violation = (struct field_violation){field->name, "must have 1 to 1000 elements"};
    return status_fail(&check->status, STATUS_INVALID_ARGUMENT, "BATCH_SIZE_INVALID",
                       "%s must have 1 to %d elements, has %zu", field->name, WIRE_MAX_ELEMENTS,
                       count);
}

/* How the types of our fields are sent. */
static const enum wire_type WIRE_TYPES[] = {
    [PROTOBUF_C_TYPE_STRING] = WIRE_BYTES,     [PROTOBUF_C_TYPE_BYTES] = WIRE_BYTES,
    [PROTOBUF_C_TYPE_MESSAGE] = WIRE_BYTES,    [PROTOBUF_C_TYPE_FIXED64] = WIRE_FIXED64,
    [PROTOBUF_C_TYPE_SFIXED64] = WIRE_FIXED64, [PROTOBUF_C_TYPE_DOUBLE] = WIRE_FIXED64,
    [PROTOBUF_C_TYPE_FIXED32] = WIRE_FIXED32,  [PROTOBUF_C_TYPE_SFIXED32] = WIRE_FIXED32,
    [PROTOBUF_C_TYPE_FLOAT] = WIRE_FIXED32, /* all others: WIRE_VARINT */
};

/* Numbers of a repeated field may come packed, several in one field: varints, as those of ours are.
 * So many are in there; each ends with a byte below 0x80. */
static size_t count_packed(const struct wire_reader *content)
{
    size_t count = 0;
    for (const uint8_t *byte = content->next; byte < content->end; byte++)
        count += *byte < 0x80;
    return count;
}

static bool check_message(struct wire_check *check, const ProtobufCMessageDescriptor *type,
                          struct wire_reader in)
{
    size_t elements = 0; /* of all repeated fields; most of our messages have one */
    size_t single = 0;
    while (in.next < in.end) {
        struct wire_field found;
        if (!wire_next(&in, &found))
            return status_fail(&check->status, STATUS_INVALID_ARGUMENT, check->reason,
                               "the bytes are not a %s message", type->name);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, found.number);
        if (!field) {
            check->unknown = true;
            continue;
        }
        bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
        bool packed =
            repeated && found.type == WIRE_BYTES && WIRE_TYPES[field->type] == WIRE_VARINT;
        if (found.type != WIRE_TYPES[field->type] && !packed)
            return fail(check, field, "has another type than the .proto file says");
        elements += packed ? count_packed(&found.content) : repeated;
        if (elements > WIRE_MAX_ELEMENTS)
            return fail_too_many(check, field, in, elements);
        if (!repeated && ++single > WIRE_MAX_SINGLE)
            return fail(check, field, "is given too many times");
        bool text = field->type == PROTOBUF_C_TYPE_STRING;
        size_t size = text ? (size_t)(found.content.end - found.content.next) : 0;
        if (size > 0 && u8_check(found.content.next, size))
            return fail(check, field, "is not valid UTF-8");
        if (size > 0 && memchr(found.content.next, 0, size))
            return fail(check, field, "contains U+0000, which is not accepted");
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            !check_message(check, field->descriptor, found.content))
            return false;
    }
    return true;
}

/* ---- dropping ---- */

/* Writes a length in as many bytes as another, larger one had. */
static void put_length(uint8_t *out, size_t bytes, size_t length)
{
    for (; bytes > 1; bytes--, length >>= 7)
        *out++ = (uint8_t)(length | 0x80);
    CHECK(length < 0x80);
    *out = (uint8_t)length;
}

static size_t length_size(const struct wire_field *field)
{
    const uint8_t *start = field->start;
    while (*start++ & 0x80) {
    }
    return (size_t)(field->content.next - start);
}

/* Moves the known fields together to `out`, which does not lie after them; returns their end. */
static uint8_t *keep_known(const ProtobufCMessageDescriptor *type, struct wire_reader in,
                           uint8_t *out)
{
    struct wire_field found;
    while (in.next < in.end && wire_next(&in, &found)) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, found.number);
        if (!field)
            continue;
        bool nested = found.type == WIRE_BYTES && field->type == PROTOBUF_C_TYPE_MESSAGE;
        size_t length_bytes = nested ? length_size(&found) : 0;
        size_t size = (size_t)((nested ? found.content.next : in.next) - found.start);
        CHECK(out <= found.start);
        memmove(out, found.start, size);
        out += size;
        if (!nested)
            continue;
        uint8_t *end = keep_known(field->descriptor, found.content, out);
        put_length(out - length_bytes, length_bytes, (size_t)(end - out));
        out = end;
    }
    return out;
}

bool wire_clean(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t *size,
                const char *reason, struct wire_check *check)
{
    check->reason = reason;
    check->violation = (struct field_violation){0};
    check->unknown = false;
    if (*size == 0)
        return true; /* `bytes` may be NULL */
    struct wire_reader in = {bytes, bytes + *size};
    if (!check_message(check, type, in))
        return false;
    if (check->unknown)
        *size = (size_t)(keep_known(type, in, bytes) - bytes);
    return true;
}
