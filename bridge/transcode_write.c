/* Messages into JSON, and what both directions read from descriptors. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/check.h"
#include "transcode.h"
#include "triggers/v1/events.pb-c.h"

typedef ProtobufCFieldDescriptor Field;

struct json_writer {
    struct buffer *buffer;
    bool portable;
    unsigned depth; /* messages around what is written */
    unsigned lists; /* arrays and maps around it */
};

bool transcode_is_payload(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES && field->label != PROTOBUF_C_LABEL_REPEATED &&
           strcmp(field->name, "payload") == 0;
}

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

/* Writes the fewest digits that are read as the same number; JSON has only finite numbers. */
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

/* A value that this version does not know is written as its number. */
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

static void write_text(struct buffer *buffer, const char *text)
{
    buffer_append_json_string(buffer, text, strlen(text));
}

/* On pages those that would keep others from being read are left out. */
static void write_payload(const struct json_writer *writer, const ProtobufCBinaryData *bytes)
{
    const char *json = (const char *)bytes->data;
    if (bytes->len == 0)
        buffer_append_text(writer->buffer, "null");
    else if (!writer->portable || writer->lists == 0 || json_is_portable(json, bytes->len))
        buffer_append(writer->buffer, json, bytes->len);
    else
        buffer_append_text(writer->buffer, "null,\"payload_omitted\":true");
}

/* An event has no ordering key then, as where it is not transcoded. */
static bool is_no_key(const Field *field, const char *text)
{
    return !text[0] && strcmp(field->name, "ordering_key") == 0;
}

static void write_bytes(struct buffer *buffer, const ProtobufCBinaryData *bytes)
{
    buffer_append(buffer, "\"", 1);
    base64_append(buffer, bytes->data, bytes->len);
    buffer_append(buffer, "\"", 1);
}

static void write_problem(struct buffer *buffer, const Triggers__V1__ItemError *error)
{
    const Triggers__Rpc__V1__ErrorDetails *details = error->details;
    const triggers_error failure = {
        .code = (triggers_code)(error->code ? error->code : TRIGGERS_UNKNOWN),
        .message = error->message,
        .reason = details ? details->reason : "",
    };
    struct problem problem = problem_from_error(&failure, NULL, NULL);
    problem_write(buffer, &problem, NULL);
}

static void write_members(struct json_writer *writer, const ProtobufCMessage *message);

static void write_message(struct json_writer *writer, const ProtobufCMessage *message)
{
    const struct transcode_text *form = message ? transcode_text_of(message->descriptor) : NULL;
    if (!message)
        buffer_append_text(writer->buffer, "null");
    else if (form)
        form->append(writer->buffer, message);
    else if (message->descriptor == &triggers__v1__item_error__descriptor)
        write_problem(writer->buffer, (const Triggers__V1__ItemError *)message);
    else
        write_members(writer, message);
}

static void write_value(struct json_writer *writer, const Field *field, const void *value)
{
    struct buffer *buffer = writer->buffer;
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
    case PROTOBUF_C_TYPE_STRING:
        if (is_no_key(field, *(char *const *)value))
            buffer_append_text(buffer, "null");
        else
            write_text(buffer, *(char *const *)value);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        if (transcode_is_payload(field))
            write_payload(writer, value);
        else
            write_bytes(buffer, value);
        break;
    case PROTOBUF_C_TYPE_MESSAGE: write_message(writer, *(ProtobufCMessage *const *)value); break;
    }
}

static const void *member_of(const ProtobufCMessage *message, size_t offset)
{
    return (const char *)message + offset;
}

static void write_array(struct json_writer *writer, const Field *field, const char *elements,
                        size_t count)
{
    buffer_append(writer->buffer, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append(writer->buffer, ",", 1);
        write_value(writer, field, elements + i * transcode_value_size(field->type));
    }
    buffer_append(writer->buffer, "]", 1);
}

static const char *key_of(const ProtobufCMessage *entry)
{
    return *(char *const *)member_of(entry, entry->descriptor->fields[0].offset);
}

/* Of entries with the same key the last one counts, as in protobuf. */
static bool comes_again(ProtobufCMessage *const *entries, size_t i, size_t count)
{
    const char *key = key_of(entries[i]);
    while (++i < count && strcmp(key, key_of(entries[i])) != 0)
        ;
    return i < count;
}

static void write_map(struct json_writer *writer, ProtobufCMessage *const *entries, size_t count)
{
    const char *separator = "{";
    for (size_t i = 0; i < count; i++) {
        if (comes_again(entries, i, count))
            continue;
        const Field *value = &entries[i]->descriptor->fields[1];
        buffer_append(writer->buffer, separator, 1);
        separator = ",";
        write_text(writer->buffer, key_of(entries[i]));
        buffer_append(writer->buffer, ":", 1);
        write_value(writer, value, member_of(entries[i], value->offset));
    }
    buffer_append_text(writer->buffer, count > 0 ? "}" : "{}");
}

static void write_elements(struct json_writer *writer, const ProtobufCMessage *message,
                           const Field *field)
{
    size_t count = *(const size_t *)member_of(message, field->quantifier_offset);
    const void *elements = *(const void *const *)member_of(message, field->offset);
    CHECK(elements || count == 0);
    writer->lists++;
    if (transcode_is_map(field))
        write_map(writer, elements, count);
    else
        write_array(writer, field, elements, count);
    writer->lists--;
}

static void write_field(struct json_writer *writer, const ProtobufCMessage *message,
                        const Field *field)
{
    const void *quantifier = member_of(message, field->quantifier_offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        write_elements(writer, message, field);
    else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
             *(const uint32_t *)quantifier != field->id)
        buffer_append_text(writer->buffer, "null");
    else
        write_value(writer, field, member_of(message, field->offset));
}

/* What is said of a payload, when it is not so. */
static bool is_left_out(const ProtobufCMessage *message, const Field *field)
{
    return field->type == PROTOBUF_C_TYPE_BOOL && field->label != PROTOBUF_C_LABEL_REPEATED &&
           strncmp(field->name, "payload_", strlen("payload_")) == 0 &&
           !*(const protobuf_c_boolean *)member_of(message, field->offset);
}

static void write_members(struct json_writer *writer, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    struct buffer *buffer = writer->buffer;
    const char *separator = "\"";
    CHECK(type->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
    if (++writer->depth > TRANSCODE_MAX_DEPTH)
        buffer->failed = true;
    buffer_append(buffer, "{", 1);
    for (unsigned i = 0; i < type->n_fields && !buffer->failed; i++) {
        if (is_left_out(message, &type->fields[i]))
            continue;
        buffer_append_text(buffer, separator);
        separator = ",\"";
        buffer_append_text(buffer, type->fields[i].name);
        buffer_append(buffer, "\":", 2);
        write_field(writer, message, &type->fields[i]);
    }
    buffer_append(buffer, "}", 1);
    writer->depth--;
}

void transcode_write(struct buffer *buffer, const ProtobufCMessage *message, bool portable)
{
    write_members(&(struct json_writer){.buffer = buffer, .portable = portable}, message);
}
