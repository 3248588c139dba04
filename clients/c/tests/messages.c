/* By the messages' descriptors. */
#include "messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "value.h"

#define ARENA_CAP ((size_t)1 << 28)

static void give_up(const char *problem, const char *name)
{
    fprintf(stderr, "%s: %s\n", name, problem);
    exit(1);
}

/* ---- reading ---- */

static ProtobufCMessage *read_message(struct arena *arena, const ProtobufCMessageDescriptor *type,
                                      const struct value *value);

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM: return sizeof(int32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return sizeof(int64_t);
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    default: give_up("a type of which the scenarios have nothing", field->name); return 0;
    }
}

static void read_scalar(struct arena *arena, const ProtobufCFieldDescriptor *field,
                        const struct value *value, void *to)
{
    const ProtobufCEnumValue *constant;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32: *(uint32_t *)to = (uint32_t)value->number; break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(int64_t *)to = value->text ? strtoll(value->text, NULL, 10) : value->number;
        break;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)to = value->number != 0; break;
    case PROTOBUF_C_TYPE_ENUM:
        constant = protobuf_c_enum_descriptor_get_value_by_name(field->descriptor, value->text);
        if (!constant)
            give_up("no value has this name", value->text);
        *(int *)to = constant->value;
        break;
    case PROTOBUF_C_TYPE_STRING: *(char **)to = value->text; break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)to = read_message(arena, field->descriptor, value);
        break;
    default: give_up("a type of which the scenarios send nothing", field->name);
    }
}

static void read_field(struct arena *arena, const ProtobufCFieldDescriptor *field,
                       const struct value *value, char *message)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        read_scalar(arena, field, value, message + field->offset);
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *(uint32_t *)(message + field->quantifier_offset) = field->id;
        return;
    }
    char *elements = arena_calloc(arena, value->count + 1, size_of(field));
    for (size_t i = 0; i < value->count; i++)
        read_scalar(arena, field, value->items[i], elements + i * size_of(field));
    *(size_t *)(message + field->quantifier_offset) = value->count;
    *(void **)(message + field->offset) = elements;
}

static ProtobufCMessage *read_message(struct arena *arena, const ProtobufCMessageDescriptor *type,
                                      const struct value *value)
{
    ProtobufCMessage *message = arena_calloc(arena, 1, type->sizeof_message);
    type->message_init(message);
    for (size_t i = 0; i < value->count; i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(type, value->names[i]);
        if (!field)
            give_up("no field has this name", value->names[i]);
        read_field(arena, field, value->items[i], (char *)message);
    }
    return message;
}

ProtobufCMessage *messages_read(const ProtobufCMessageDescriptor *type, const char *text,
                                size_t size)
{
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    ProtobufCMessage *message = read_message(&arena, type, value_parse(&arena, text, size));
    uint8_t *packed = arena_alloc(&arena, protobuf_c_message_get_packed_size(message));
    size_t used = protobuf_c_message_pack(message, packed);
    ProtobufCMessage *copy = protobuf_c_message_unpack(type, NULL, used, packed);
    arena_fini(&arena);
    return copy;
}

/* ---- writing ---- */

static struct value *write_message(struct arena *arena, const ProtobufCMessage *message);

static struct value *write_time(struct arena *arena, const Google__Protobuf__Timestamp *time)
{
    char text[64], second[32];
    time_t seconds = (time_t)time->seconds;
    struct tm parts;
    strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &parts));
    snprintf(text, sizeof(text), "%s.%06dZ", second, time->nanos / 1000);
    return value_text(arena, text);
}

static struct value *write_bytes(struct arena *arena, const ProtobufCBinaryData *bytes)
{
    struct buffer text;
    buffer_init(&text, ARENA_CAP);
    base64_append(&text, bytes->data, bytes->len);
    struct value *value = value_bytes(arena, text.data, text.size);
    buffer_fini(&text);
    return value;
}

static struct value *write_scalar(struct arena *arena, const ProtobufCFieldDescriptor *field,
                                  const void *from)
{
    const ProtobufCMessage *message;
    char digits[32];
    struct value *value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32: return value_number(arena, *(const int32_t *)from);
    case PROTOBUF_C_TYPE_UINT32: return value_number(arena, *(const uint32_t *)from);
    case PROTOBUF_C_TYPE_INT64:
        snprintf(digits, sizeof(digits), "%" PRId64, *(const int64_t *)from);
        return value_text(arena, digits);
    case PROTOBUF_C_TYPE_UINT64:
        snprintf(digits, sizeof(digits), "%" PRIu64, *(const uint64_t *)from);
        return value_text(arena, digits);
    case PROTOBUF_C_TYPE_BOOL:
        value = value_new(arena, VALUE_BOOLEAN);
        value->number = *(const protobuf_c_boolean *)from;
        return value;
    case PROTOBUF_C_TYPE_ENUM:
        return value_text(
            arena,
            protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)from)->name);
    case PROTOBUF_C_TYPE_STRING: return value_text(arena, *(char *const *)from);
    case PROTOBUF_C_TYPE_BYTES: return write_bytes(arena, from);
    case PROTOBUF_C_TYPE_MESSAGE:
        message = *(ProtobufCMessage *const *)from;
        if (message->descriptor == &google__protobuf__timestamp__descriptor)
            return write_time(arena, (const Google__Protobuf__Timestamp *)message);
        return write_message(arena, message);
    default: give_up("a type of which the scenarios get nothing", field->name); return NULL;
    }
}

/* Whether it is more than its default; one of a oneof, when it is the one. */
static bool is_written(const ProtobufCFieldDescriptor *field, const char *message)
{
    static const char zeros[sizeof(ProtobufCBinaryData)];
    const char *at = message + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(message + field->quantifier_offset) > 0;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(message + field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return **(char *const *)at != '\0';
    if (field->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)at)->len > 0;
    return memcmp(at, zeros, size_of(field)) != 0;
}

static struct value *write_field(struct arena *arena, const ProtobufCFieldDescriptor *field,
                                 const char *message)
{
    const char *at = message + field->offset;
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return write_scalar(arena, field, at);
    struct value *list = value_new(arena, VALUE_LIST);
    size_t count = *(const size_t *)(message + field->quantifier_offset);
    for (size_t i = 0; i < count; i++)
        value_push(arena, list,
                   write_scalar(arena, field, *(const char *const *)at + i * size_of(field)));
    return list;
}

static struct value *write_message(struct arena *arena, const ProtobufCMessage *message)
{
    struct value *value = value_new(arena, VALUE_OBJECT);
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (is_written(field, (const char *)message))
            value_set(arena, value, field->name, write_field(arena, field, (const char *)message));
    }
    return value;
}

char *messages_write(const ProtobufCMessage *message)
{
    struct arena arena;
    struct buffer text;
    arena_init(&arena, ARENA_CAP);
    buffer_init(&text, ARENA_CAP);
    value_write(&text, write_message(&arena, message));
    char *copy = strdup(text.data);
    buffer_fini(&text);
    arena_fini(&arena);
    return copy;
}
