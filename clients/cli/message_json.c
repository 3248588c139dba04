#include "message_json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "print.h"

typedef ProtobufCFieldDescriptor Member;

static void print_timestamp(const Google__Protobuf__Timestamp *time)
{
    char text[PRINT_TIME_SIZE];
    print_format_time(time->seconds * 1000000 + time->nanos / 1000, text);
    printf("\"%s\"", text);
}

/* The prefix is the name of the type, in capitals with "_" between its words. What a newer core has
 * added is printed as its number. */
static void print_enum(const ProtobufCEnumDescriptor *type, int number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    if (!value) {
        printf("%d", number);
        return;
    }
    size_t prefix = 1; /* the last "_" */
    for (const char *c = type->short_name; *c; c++)
        prefix += c > type->short_name && isupper((unsigned char)*c) ? 2 : 1;
    CHECK(strlen(value->name) > prefix && value->name[prefix - 1] == '_');
    putchar('"');
    for (const char *c = value->name + prefix; *c; c++)
        putchar(tolower((unsigned char)*c));
    putchar('"');
}

static size_t size_of(const Member *member)
{
    switch (member->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    default: return sizeof(uint32_t);
    }
}

static void print_value(const Member *member, const void *value)
{
    switch (member->type) {
    case PROTOBUF_C_TYPE_INT32: printf("%" PRId32, *(const int32_t *)value); break;
    case PROTOBUF_C_TYPE_UINT32: printf("%" PRIu32, *(const uint32_t *)value); break;
    case PROTOBUF_C_TYPE_INT64: printf("%" PRId64, *(const int64_t *)value); break;
    case PROTOBUF_C_TYPE_UINT64: printf("%" PRIu64, *(const uint64_t *)value); break;
    case PROTOBUF_C_TYPE_BOOL:
        fputs(*(const protobuf_c_boolean *)value ? "true" : "false", stdout);
        break;
    case PROTOBUF_C_TYPE_ENUM: print_enum(member->descriptor, *(const int *)value); break;
    case PROTOBUF_C_TYPE_STRING: print_json_string(*(char *const *)value); break;
    case PROTOBUF_C_TYPE_MESSAGE:
        print_message_json(*(const ProtobufCMessage *const *)value);
        break;
    default: CHECK(!"a type that no message here has");
    }
}

static void print_elements(const Member *member, const char *elements, size_t count)
{
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", stdout);
        print_value(member, elements + i * size_of(member));
    }
    putchar(']');
}

static void print_member(const ProtobufCMessage *message, const Member *member)
{
    const char *value = (const char *)message + member->offset;
    const char *quantifier = (const char *)message + member->quantifier_offset;
    bool one_of = (member->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    printf("\"%s\":", member->name);
    if (member->label == PROTOBUF_C_LABEL_REPEATED)
        print_elements(member, *(const char *const *)value, *(const size_t *)quantifier);
    else if (one_of && *(const uint32_t *)quantifier != member->id)
        fputs("null", stdout);
    else
        print_value(member, value);
}

void print_message_json(const ProtobufCMessage *message)
{
    if (!message) {
        fputs("null", stdout);
        return;
    }
    if (message->descriptor == &google__protobuf__timestamp__descriptor) {
        print_timestamp((const Google__Protobuf__Timestamp *)message);
        return;
    }
    putchar('{');
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        fputs(i > 0 ? "," : "", stdout);
        print_member(message, &message->descriptor->fields[i]);
    }
    putchar('}');
}
