/* Messages into JSON, and what the descriptors say to both directions. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "transcode.h"

typedef ProtobufCFieldDescriptor Field;

/* protobuf-c does not say it, but protoc gives a map's entries this name and these fields. */
bool transcode_is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
        return false;
    const ProtobufCMessageDescriptor *type = field->descriptor;
    const char *end = strrchr(type->name, 'E');
    return end && strcmp(end, "Entry") == 0 && type->n_fields == 2 &&
           strcmp(type->fields[0].name, "key") == 0 &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING &&
           strcmp(type->fields[1].name, "value") == 0;
}

const char *transcode_enum_name(const ProtobufCEnumDescriptor *type, const char *name)
{
    const char *at = name;
    for (const char *c = type->short_name; *c; c++) {
        bool upper = *c >= 'A' && *c <= 'Z';
        if (upper && c > type->short_name && *at++ != '_')
            return name;
        char expected = *c >= 'a' && *c <= 'z' ? (char)(*c & ~0x20) : *c;
        if (*at++ != expected)
            return name;
    }
    return *at == '_' ? at + 1 : name;
}

void transcode_append_enum(struct buffer *buffer, const ProtobufCEnumDescriptor *type,
                           const ProtobufCEnumValue *value)
{
    for (const char *c = transcode_enum_name(type, value->name); *c; c++) {
        char lower = transcode_lower(*c);
        buffer_append(buffer, &lower, 1);
    }
}

size_t transcode_value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 8;
    case PROTOBUF_C_TYPE_STRING: return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(ProtobufCMessage *);
    default: return 4;
    }
}

/* The fewest digits that are read as the same number; JSON has no others than finite ones. */
static void write_double(struct buffer *buffer, double number, bool single)
{
    char text[32] = "null";
    int digits = single ? 6 : 15;
    if (isfinite(number))
        do
            snprintf(text, sizeof(text), "%.*g", digits, number);
        while (digits++ < (single ? 9 : 17) &&
               (single ? (double)strtof(text, NULL) : strtod(text, NULL)) != number);
    buffer_append_text(buffer, text);
}

/* A value that this version does not know is told by its number. */
static void write_enum(struct buffer *buffer, const ProtobufCEnumDescriptor *type, int number)
{
    CHECK(type->magic == PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC);
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    if (!value) {
        buffer_append_format(buffer, "%d", number);
        return;
    }
    buffer_append(buffer, "\"", 1);
    transcode_append_enum(buffer, type, value);
    buffer_append(buffer, "\"", 1);
}

static void write_time(struct buffer *buffer, const Google__Protobuf__Timestamp *time)
{
    int64_t time_us;
    if (__builtin_mul_overflow(time->seconds, 1000000, &time_us) ||
        __builtin_add_overflow(time_us, time->nanos / 1000, &time_us))
        buffer_append_text(buffer, "null");
    else
        buffer_append_json_time(buffer, time_us);
}

static void write_text(struct buffer *buffer, const char *text)
{
    buffer_append_json_string(buffer, text, strlen(text));
}

static void write_bytes(struct buffer *buffer, const ProtobufCBinaryData *bytes)
{
    if (bytes->len > 0)
        buffer_append(buffer, bytes->data, bytes->len);
    else
        buffer_append_text(buffer, "null");
}

static void write_members(struct buffer *buffer, const ProtobufCMessage *message, unsigned depth);

static void write_message(struct buffer *buffer, const ProtobufCMessage *message, unsigned depth)
{
    if (!message)
        buffer_append_text(buffer, "null");
    else if (message->descriptor == &google__protobuf__timestamp__descriptor)
        write_time(buffer, (const Google__Protobuf__Timestamp *)message);
    else
        write_members(buffer, message, depth + 1);
}

static void write_value(struct buffer *buffer, const Field *field, const void *value,
                        unsigned depth)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buffer_append_format(buffer, "%" PRId32, *(const int32_t *)value);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buffer_append_format(buffer, "%" PRId64, *(const int64_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        buffer_append_format(buffer, "%" PRIu32, *(const uint32_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buffer_append_format(buffer, "%" PRIu64, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_FLOAT: write_double(buffer, (double)*(const float *)value, true); break;
    case PROTOBUF_C_TYPE_DOUBLE: write_double(buffer, *(const double *)value, false); break;
    case PROTOBUF_C_TYPE_BOOL:
        buffer_append_text(buffer, *(const protobuf_c_boolean *)value ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM: write_enum(buffer, field->descriptor, *(const int *)value); break;
    case PROTOBUF_C_TYPE_STRING: write_text(buffer, *(char *const *)value); break;
    case PROTOBUF_C_TYPE_BYTES: write_bytes(buffer, value); break;
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(buffer, *(ProtobufCMessage *const *)value, depth);
        break;
    }
}

static const void *member_of(const ProtobufCMessage *message, size_t offset)
{
    return (const char *)message + offset;
}

static void write_array(struct buffer *buffer, const Field *field, const char *elements,
                        size_t count, unsigned depth)
{
    buffer_append(buffer, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append(buffer, ",", 1);
        write_value(buffer, field, elements + i * transcode_value_size(field->type), depth);
    }
    buffer_append(buffer, "]", 1);
}

static const char *key_of(const ProtobufCMessage *entry)
{
    return *(char *const *)member_of(entry, entry->descriptor->fields[0].offset);
}

/* Of entries with the same key the last counts, as protobuf has it. */
static bool comes_again(ProtobufCMessage *const *entries, size_t i, size_t count)
{
    const char *key = key_of(entries[i]);
    while (++i < count && strcmp(key, key_of(entries[i])) != 0)
        ;
    return i < count;
}

static void write_map(struct buffer *buffer, ProtobufCMessage *const *entries, size_t count,
                      unsigned depth)
{
    const char *separator = "{";
    for (size_t i = 0; i < count; i++) {
        if (comes_again(entries, i, count))
            continue;
        const Field *value = &entries[i]->descriptor->fields[1];
        buffer_append(buffer, separator, 1);
        separator = ",";
        write_text(buffer, key_of(entries[i]));
        buffer_append(buffer, ":", 1);
        write_value(buffer, value, member_of(entries[i], value->offset), depth);
    }
    buffer_append_text(buffer, count > 0 ? "}" : "{}");
}

static void write_elements(struct buffer *buffer, const ProtobufCMessage *message,
                           const Field *field, unsigned depth)
{
    size_t count = *(const size_t *)member_of(message, field->quantifier_offset);
    const void *elements = *(const void *const *)member_of(message, field->offset);
    CHECK(elements || count == 0);
    if (transcode_is_map(field))
        write_map(buffer, elements, count, depth);
    else
        write_array(buffer, field, elements, count, depth);
}

static void write_field(struct buffer *buffer, const ProtobufCMessage *message, const Field *field,
                        unsigned depth)
{
    const void *quantifier = member_of(message, field->quantifier_offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        write_elements(buffer, message, field, depth);
    else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
             *(const uint32_t *)quantifier != field->id)
        buffer_append_text(buffer, "null");
    else
        write_value(buffer, field, member_of(message, field->offset), depth);
}

static void write_members(struct buffer *buffer, const ProtobufCMessage *message, unsigned depth)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    CHECK(type->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
    if (depth > TRANSCODE_MAX_DEPTH) {
        buffer->failed = true;
        return;
    }
    buffer_append(buffer, "{", 1);
    for (unsigned i = 0; i < type->n_fields; i++) {
        buffer_append_text(buffer, i > 0 ? ",\"" : "\"");
        buffer_append_text(buffer, type->fields[i].name);
        buffer_append(buffer, "\":", 2);
        write_field(buffer, message, &type->fields[i], depth);
    }
    buffer_append(buffer, "}", 1);
}

void transcode_write(struct buffer *buffer, const ProtobufCMessage *message)
{
    write_members(buffer, message, 1);
}
