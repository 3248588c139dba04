/* JSON into messages. Reading continues after an error, so that all errors are reported at once. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/check.h"
#include "transcode.h"

#define POINTER_CAP 65536
#define POINTER_KEY_MAX 255 /* the most bytes of a map's key in a pointer */
#define WORDS_CAP 4096      /* for the words of an enum */

typedef ProtobufCFieldDescriptor Field;

struct reader {
    struct arena *arena;
    struct transcode_errors *errors;
    bool wrong; /* there was an error, reported or not */
    bool no_memory;
};

/* Where a value is: in a member of `parent`, or its element `index`. */
struct place {
    const struct place *parent; /* NULL: the document */
    const char *name;           /* NULL: an element */
    size_t index;
    unsigned depth; /* number of messages around it */
};

/* ---- errors ---- */

/* By RFC 6901 sections 3 and 6. */
static void append_name(struct buffer *out, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (plain || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.')
            buffer_append(out, name, 1);
        else if (c == '~' || c == '/')
            buffer_append_text(out, c == '~' ? "~0" : "~1");
        else
            buffer_append_format(out, "%%%02X", c);
    }
}

static void append_place(struct buffer *out, const struct place *place)
{
    if (!place)
        return;
    append_place(out, place->parent);
    if (place->name && strlen(place->name) > POINTER_KEY_MAX)
        return;
    if (place->parent && out->size > 0)
        buffer_append_text(out, "/");
    if (place->name)
        append_name(out, place->name);
    else
        buffer_append_format(out, "%zu", place->index);
}

/* `detail` is static or in the arena. */
static void refuse(struct reader *reader, const struct place *place, const char *detail)
{
    struct transcode_errors *errors = reader->errors;
    reader->wrong = true;
    CHECK(errors->count <= TRANSCODE_MAX_ERRORS);
    if (errors->count == TRANSCODE_MAX_ERRORS)
        return;
    struct buffer pointer;
    buffer_init(&pointer, POINTER_CAP);
    append_place(&pointer, place);
    char *name = pointer.failed ? NULL : arena_copy(reader->arena, pointer.data, pointer.size);
    buffer_fini(&pointer);
    reader->no_memory |= !name || !detail;
    if (!reader->no_memory)
        errors->fields[errors->count++] = (struct problem_field){name, detail};
}

/* ---- memory ---- */

static void *take(struct reader *reader, size_t count, size_t size)
{
    void *memory = arena_calloc(reader->arena, count, size);
    reader->no_memory |= !memory;
    return memory;
}

static ProtobufCMessage *make_message(struct reader *reader, const ProtobufCMessageDescriptor *type)
{
    CHECK(type->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
    ProtobufCMessage *message = take(reader, 1, type->sizeof_message);
    if (message)
        type->message_init(message);
    return message;
}

static void *member_of(ProtobufCMessage *message, size_t offset)
{
    return (char *)message + offset;
}

/* Adds a cleared element to a repeated field: its array grows whenever its length is a power of
 * two. NULL when there are too many, or without memory. */
static void *add_element(struct reader *reader, ProtobufCMessage *message, const Field *field,
                         const struct place *place)
{
    size_t *count = member_of(message, field->quantifier_offset);
    char **elements = member_of(message, field->offset);
    size_t size = transcode_value_size(field->type);
    CHECK(field->label == PROTOBUF_C_LABEL_REPEATED && *count <= TRANSCODE_MAX_ELEMENTS);
    if (*count == TRANSCODE_MAX_ELEMENTS) {
        refuse(reader, place, "must have at most 1000 elements");
        return NULL;
    }
    if ((*count & (*count - 1)) == 0) {
        char *more = take(reader, *count ? 2 * *count : 1, size);
        if (!more)
            return NULL;
        if (*count > 0)
            memcpy(more, *elements, *count * size);
        *elements = more;
    }
    return *elements + (*count)++ * size;
}

/* ---- single values ---- */

/* The decoded text in the arena; NULL after having noted what is wrong. */
static char *read_text(struct reader *reader, const struct json_value *value,
                       const struct place *place, const char *accepted)
{
    size_t length;
    if (value->type != JSON_STRING) {
        refuse(reader, place, accepted);
        return NULL;
    }
    char *text = arena_alloc(reader->arena, value->size);
    reader->no_memory |= !text;
    if (!text)
        return NULL;
    if (!json_string_decode(value, text, &length))
        refuse(reader, place, "must not have half of a surrogate pair");
    else if (strlen(text) != length)
        refuse(reader, place, "must not have the character U+0000");
    else
        return text;
    return NULL;
}

/* Reads a whole number written without a fraction or exponent. */
static bool parse_digits(const struct json_value *value, bool *negative, uint64_t *digits)
{
    *negative = value->text[0] == '-';
    *digits = 0;
    for (size_t i = *negative; i < value->size; i++) {
        uint64_t digit = (uint64_t)value->text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(*digits, 10, digits) ||
            __builtin_add_overflow(*digits, digit, digits))
            return false;
    }
    return value->type == JSON_NUMBER;
}

static int64_t read_signed(struct reader *reader, const struct json_value *value,
                           const struct place *place, uint64_t max, const char *accepted)
{
    bool negative;
    uint64_t digits;
    if (parse_digits(value, &negative, &digits) && digits <= max + negative)
        return (int64_t)(negative ? 0 - digits : digits);
    refuse(reader, place, accepted);
    return 0;
}

static uint64_t read_unsigned(struct reader *reader, const struct json_value *value,
                              const struct place *place, uint64_t max, const char *accepted)
{
    bool negative;
    uint64_t digits;
    if (parse_digits(value, &negative, &digits) && digits <= (negative ? 0 : max))
        return digits;
    refuse(reader, place, accepted);
    return 0;
}

static double read_double(struct reader *reader, const struct json_value *value,
                          const struct place *place, double max, const char *accepted)
{
    if (value->type != JSON_NUMBER) {
        refuse(reader, place, accepted);
        return 0;
    }
    char *text = arena_copy(reader->arena, value->text, value->size);
    reader->no_memory |= !text;
    double number = text ? strtod(text, NULL) : 0;
    if (fabs(number) > max)
        refuse(reader, place, accepted);
    return number;
}

static int read_boolean(struct reader *reader, const struct json_value *value,
                        const struct place *place)
{
    if (value->type != JSON_BOOLEAN)
        refuse(reader, place, "must be true or false");
    return value->text[0] == 't';
}

/* ---- enums ---- */

/* Whether `text` is `name` in lower case. */
static bool is_lower(const char *text, const char *name)
{
    while (*name && *text == transcode_lower(*name)) {
        text++;
        name++;
    }
    return !*text && !*name;
}

/* "must be one of pending, acknowledged", in the arena. */
static const char *list_words(struct reader *reader, const ProtobufCEnumDescriptor *type)
{
    struct buffer words;
    buffer_init(&words, WORDS_CAP);
    buffer_append_text(&words, "must be one of ");
    for (unsigned i = 0; i < type->n_values; i++) {
        transcode_append_enum(&words, type, &type->values[i]);
        if (i + 1 < type->n_values)
            buffer_append_text(&words, ", ");
    }
    const char *text = words.failed ? NULL : arena_copy(reader->arena, words.data, words.size);
    buffer_fini(&words);
    return text;
}

static int read_enum(struct reader *reader, const ProtobufCEnumDescriptor *type,
                     const struct json_value *value, const struct place *place)
{
    CHECK(type->magic == PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC);
    const char *text = value->type == JSON_STRING ? read_text(reader, value, place, "") : "";
    for (unsigned i = 0; text && i < type->n_values; i++) {
        if (is_lower(text, transcode_enum_name(type, type->values[i].name)))
            return type->values[i].value;
    }
    if (text)
        refuse(reader, place, list_words(reader, type));
    return 0;
}

/* ---- bytes ---- */

static void read_json(struct reader *reader, const struct json_value *value,
                      const struct place *place, ProtobufCBinaryData *bytes)
{
    if (value->type != JSON_OBJECT)
        refuse(reader, place, "must be a JSON object");
    *bytes = (ProtobufCBinaryData){.len = value->size, .data = (uint8_t *)value->text};
}

/* Into the memory of the text. */
static void read_base64(struct reader *reader, const struct json_value *value,
                        const struct place *place, ProtobufCBinaryData *bytes)
{
    static const char accepted[] = "must be a string of base64 (RFC 4648)";
    char *text = read_text(reader, value, place, accepted);
    bytes->data = (uint8_t *)text;
    if (text && !base64_read(text, bytes->data, &bytes->len))
        refuse(reader, place, accepted);
}

/* ---- messages ---- */

static void read_members(struct reader *reader, const struct json_value *value,
                         ProtobufCMessage *message, const struct place *place);

static ProtobufCMessage *read_message(struct reader *reader, const ProtobufCMessageDescriptor *type,
                                      const struct json_value *value, const struct place *place)
{
    const struct transcode_text *form = transcode_text_of(type);
    ProtobufCMessage *message = make_message(reader, type);
    if (message && !form)
        read_members(reader, value, message, place);
    const char *text = message && form ? read_text(reader, value, place, form->accepted) : NULL;
    if (text && !form->read(text, message))
        refuse(reader, place, form->accepted);
    return message;
}

#define WHOLE(from, to) "must be a whole number from " from " to " to

static void read_value(struct reader *reader, const Field *field, const struct json_value *value,
                       void *out, const struct place *place)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        *(int32_t *)out = (int32_t)read_signed(reader, value, place, INT32_MAX,
                                               WHOLE("-2147483648", "2147483647"));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        *(int64_t *)out = read_signed(reader, value, place, INT64_MAX,
                                      WHOLE("-9223372036854775808", "9223372036854775807"));
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        *(uint32_t *)out =
            (uint32_t)read_unsigned(reader, value, place, UINT32_MAX, WHOLE("0", "4294967295"));
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(uint64_t *)out =
            read_unsigned(reader, value, place, UINT64_MAX, WHOLE("0", "18446744073709551615"));
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)out = (float)read_double(reader, value, place, (double)__FLT_MAX__,
                                           "must be a number of up to 3.4e38");
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)out =
            read_double(reader, value, place, __DBL_MAX__, "must be a number of up to 1.7e308");
        break;
    case PROTOBUF_C_TYPE_BOOL: *(int *)out = read_boolean(reader, value, place); break;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)out = read_enum(reader, field->descriptor, value, place);
        break;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)out = read_text(reader, value, place, "must be a string");
        break;
    case PROTOBUF_C_TYPE_BYTES:
        (transcode_is_payload(field) ? read_json : read_base64)(reader, value, place, out);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)out = read_message(reader, field->descriptor, value, place);
        break;
    }
}

static void read_array(struct reader *reader, ProtobufCMessage *message, const Field *field,
                       const struct json_value *value, const struct place *place)
{
    struct json_cursor cursor = {0};
    struct json_value element;
    struct place inside = {.parent = place, .depth = place->depth};
    if (value->type != JSON_ARRAY) {
        refuse(reader, place, "must be an array");
        return;
    }
    for (; json_array_next(value, &cursor, &element); inside.index++) {
        void *out = add_element(reader, message, field, place);
        if (!out)
            return;
        read_value(reader, field, &element, out, &inside);
    }
}

/* The entry with this key; makes it if there is none. */
static ProtobufCMessage *find_entry(struct reader *reader, ProtobufCMessage *message,
                                    const Field *field, const char *key, const struct place *place)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;
    size_t count = *(size_t *)member_of(message, field->quantifier_offset);
    ProtobufCMessage **entries = *(ProtobufCMessage ***)member_of(message, field->offset);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(*(char **)member_of(entries[i], type->fields[0].offset), key) == 0)
            return entries[i];
    }
    ProtobufCMessage *entry = make_message(reader, type);
    ProtobufCMessage **out = entry ? add_element(reader, message, field, place) : NULL;
    if (!out)
        return NULL;
    *(const char **)member_of(entry, type->fields[0].offset) = key;
    return *out = entry;
}

static void read_map(struct reader *reader, ProtobufCMessage *message, const Field *field,
                     const struct json_value *value, const struct place *place)
{
    const Field *values = &((const ProtobufCMessageDescriptor *)field->descriptor)->fields[1];
    struct json_cursor cursor = {0};
    struct json_value name, member;
    if (value->type != JSON_OBJECT) {
        refuse(reader, place, "must be a JSON object");
        return;
    }
    while (json_object_next(value, &cursor, &name, &member)) {
        const char *key = read_text(reader, &name, place, "");
        if (!key)
            continue;
        ProtobufCMessage *entry = find_entry(reader, message, field, key, place);
        if (!entry)
            return;
        struct place inside = {.parent = place, .name = key, .depth = place->depth};
        read_value(reader, values, &member, member_of(entry, values->offset), &inside);
    }
}

/* Makes the field as if it had not been given. */
static void clear(ProtobufCMessage *message, const Field *field)
{
    void *member = member_of(message, field->offset);
    void *quantifier = member_of(message, field->quantifier_offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        *(size_t *)quantifier = 0;
    else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        memset(member, 0, transcode_value_size(field->type));
    else if (*(uint32_t *)quantifier == field->id)
        *(uint32_t *)quantifier = 0;
    if (field->type == PROTOBUF_C_TYPE_STRING && field->label != PROTOBUF_C_LABEL_REPEATED &&
        !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        *(const char **)member = protobuf_c_empty_string;
}

static const char *name_other(struct reader *reader, const ProtobufCMessageDescriptor *type,
                              unsigned id)
{
    const Field *other = protobuf_c_message_descriptor_get_field(type, id);
    char text[128];
    CHECK(other);
    int size = snprintf(text, sizeof(text), "must not be given together with %.80s", other->name);
    return arena_copy(reader->arena, text, (size_t)size);
}

/* Marks a field as the one of its oneof that is set; false when another one is set. */
static bool choose(struct reader *reader, ProtobufCMessage *message, const Field *field,
                   const struct place *place)
{
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return true;
    uint32_t *chosen = member_of(message, field->quantifier_offset);
    if (*chosen != 0 && *chosen != field->id) {
        refuse(reader, place, name_other(reader, message->descriptor, *chosen));
        return false;
    }
    *chosen = field->id;
    return true;
}

static void read_field(struct reader *reader, ProtobufCMessage *message, const Field *field,
                       const struct json_value *value, const struct place *place)
{
    clear(message, field);
    if (value->type == JSON_NULL)
        return;
    if (transcode_is_map(field))
        read_map(reader, message, field, value, place);
    else if (field->label == PROTOBUF_C_LABEL_REPEATED)
        read_array(reader, message, field, value, place);
    else if (choose(reader, message, field, place))
        read_value(reader, field, value, member_of(message, field->offset), place);
}

/* Members usually come in the order of the fields: `*next` is where to begin. */
static const Field *find_member(const ProtobufCMessageDescriptor *type,
                                const struct json_value *name, unsigned *next)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[*next];
        *next = *next + 1 < type->n_fields ? *next + 1 : 0;
        if (json_string_equals(name, field->name))
            return field;
    }
    return NULL;
}

static void read_members(struct reader *reader, const struct json_value *value,
                         ProtobufCMessage *message, const struct place *place)
{
    struct json_cursor cursor = {0};
    struct json_value name, member;
    unsigned next = 0;
    unsigned depth = place ? place->depth + 1 : 1;
    if (value->type != JSON_OBJECT) {
        refuse(reader, place, "must be a JSON object");
        return;
    }
    if (depth > TRANSCODE_MAX_DEPTH) {
        refuse(reader, place, "must not be nested more than 16 deep");
        return;
    }
    while (json_object_next(value, &cursor, &name, &member)) {
        const Field *field = find_member(message->descriptor, &name, &next);
        if (!field)
            continue;
        struct place inside = {.parent = place, .name = field->name, .depth = depth};
        read_field(reader, message, field, &member, &inside);
    }
}

static enum transcode_result result_of(const struct reader *reader)
{
    if (reader->no_memory)
        return TRANSCODE_NO_MEMORY;
    CHECK(!reader->wrong || reader->errors->count > 0);
    return reader->wrong ? TRANSCODE_WRONG : TRANSCODE_OK;
}

enum transcode_result transcode_read(const struct json_value *value, const char *body,
                                     ProtobufCMessage *message, struct arena *arena,
                                     struct transcode_errors *errors)
{
    struct reader reader = {.arena = arena, .errors = errors};
    if (strcmp(body, "*") == 0) {
        read_members(&reader, value, message, NULL);
    } else {
        const Field *field =
            protobuf_c_message_descriptor_get_field_by_name(message->descriptor, body);
        struct place document = {.name = "", .depth = 1};
        CHECK(field);
        read_field(&reader, message, field, value, &document);
    }
    return result_of(&reader);
}

/* ---- parameters ---- */

/* Whether JSON has the field's values as strings. */
static bool is_text(const Field *field)
{
    return field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_ENUM ||
           (field->type == PROTOBUF_C_TYPE_BYTES && !transcode_is_payload(field)) ||
           transcode_text_of(field->descriptor);
}

static void add_value(struct reader *reader, ProtobufCMessage *message, const Field *field,
                      const struct json_value *value, const struct place *place)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || transcode_is_map(field)) {
        read_field(reader, message, field, value, place);
        return;
    }
    struct place inside = {.parent = place, .depth = place->depth};
    inside.index = *(size_t *)member_of(message, field->quantifier_offset);
    void *out = add_element(reader, message, field, place);
    if (out)
        read_value(reader, field, value, out, &inside);
}

static void read_leaf(struct reader *reader, ProtobufCMessage *message, const Field *field,
                      const char *text, const struct place *place)
{
    struct json_value value;
    struct json_error error;
    if (!is_text(field) && json_check(text, strlen(text), &value, &error) &&
        value.type != JSON_NULL) {
        add_value(reader, message, field, &value, place);
        return;
    }
    struct buffer quoted;
    buffer_init(&quoted, 6 * strlen(text) + 2); /* \uXXXX and the quotes */
    buffer_append_json_string(&quoted, text, strlen(text));
    reader->no_memory |= quoted.failed;
    if (!quoted.failed && json_check(quoted.data, quoted.size, &value, &error))
        add_value(reader, message, field, &value, place);
    else
        refuse(reader, place, "must be valid UTF-8");
    buffer_fini(&quoted);
}

static const Field *find_field(const ProtobufCMessageDescriptor *type, const char *name,
                               size_t size)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (strncmp(type->fields[i].name, name, size) == 0 && !type->fields[i].name[size])
            return &type->fields[i];
    }
    return NULL;
}

/* The message in a field; makes it if there is none. NULL when the field cannot hold a message. */
static ProtobufCMessage *open_message(struct reader *reader, ProtobufCMessage *message,
                                      const Field *field, const struct place *place)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED ||
        is_text(field))
        return NULL;
    ProtobufCMessage **inner = member_of(message, field->offset);
    bool chosen = !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
                  *(uint32_t *)member_of(message, field->quantifier_offset) == field->id;
    if (!choose(reader, message, field, place))
        return NULL;
    if (!chosen || !*inner)
        *inner = make_message(reader, field->descriptor);
    return *inner;
}

static void read_parameter(struct reader *reader, ProtobufCMessage *message, const char *name,
                           const char *text, const struct place *parent)
{
    size_t size = strcspn(name, ".");
    const Field *field = find_field(message->descriptor, name, size);
    if (!field)
        return;
    struct place place = {
        .parent = parent, .name = field->name, .depth = parent ? parent->depth + 1 : 1};
    if (!name[size]) {
        read_leaf(reader, message, field, text, &place);
        return;
    }
    if (place.depth == TRANSCODE_MAX_DEPTH) {
        refuse(reader, &place, "must not be nested more than 16 deep");
        return;
    }
    ProtobufCMessage *inner = open_message(reader, message, field, &place);
    if (inner)
        read_parameter(reader, inner, name + size + 1, text, &place);
}

enum transcode_result transcode_read_parameter(const char *name, const char *text,
                                               ProtobufCMessage *message, struct arena *arena,
                                               struct transcode_errors *errors)
{
    struct reader reader = {.arena = arena, .errors = errors};
    read_parameter(&reader, message, name, text, NULL);
    return result_of(&reader);
}
