/* Converts between JSON and messages of the protocol, by the messages' descriptors. Every call
 * except those of the old service uses it.
 *
 * Names of members are those of the fields in the .proto file. Times are RFC 3339, written in UTC
 * with microseconds; durations are seconds such as "1.5s". An enum's value is its name in lower
 * case without the enum's own in front. Numbers are JSON numbers, those of 64 bits too. The bytes
 * of a field `payload` are a JSON object, byte for byte; other bytes are base64. A boolean whose
 * name begins with payload_ is written only when it is true, and an empty `ordering_key` as null. A
 * map, whose keys are texts, is an object. An ItemError is written as the problem that a call of
 * its own would answer with. Absent messages are null in an answer; null in a request counts as
 * absent. Members without a field of that name are ignored, and of repeated ones the last counts.
 * Any thread; nothing is kept. */
#ifndef TRIGGERS_BRIDGE_TRANSCODE_H
#define TRIGGERS_BRIDGE_TRANSCODE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "problem.h"

#define TRANSCODE_MAX_DEPTH 16      /* nested messages, with the outermost one */
#define TRANSCODE_MAX_ELEMENTS 1000 /* of one array or map of a request */
#define TRANSCODE_MAX_ERRORS 16     /* reported at once */

/* What is wrong; a field's name is its JSON pointer without the first slash, fit for a URI. */
struct transcode_errors {
    struct problem_field fields[TRANSCODE_MAX_ERRORS];
    size_t count;
};

enum transcode_result { TRANSCODE_OK, TRANSCODE_WRONG, TRANSCODE_NO_MEMORY };

/* Reads a checked value into an initialised message, or into its field `body` unless that is "*".
 * What it points to is in the arena, except that payloads are slices of the value. TRANSCODE_WRONG
 * adds all errors to `errors`; the message must not be used then. */
enum transcode_result transcode_read(const struct json_value *value, const char *body,
                                     ProtobufCMessage *message, struct arena *arena,
                                     struct transcode_errors *errors);

/* The same for a parameter of a query or path: `name` is a field, of a message in it with dots
 * ("filter.source"), and `text` is its value: a string without quotes, all else as in JSON. A
 * parameter without a field of that name is ignored; each one of a repeated field adds an element.
 * `text` must be in the arena. */
enum transcode_result transcode_read_parameter(const char *name, const char *text,
                                               ProtobufCMessage *message, struct arena *arena,
                                               struct transcode_errors *errors);

/* Appends the message as one JSON object. With `portable`, the messages of its arrays and maps are
 * without payloads that not every JSON reader can take, so that the others can be read: null is
 * there, and "payload_omitted":true. The buffer fails when there is more nesting than a request may
 * have. */
void transcode_write(struct buffer *buffer, const ProtobufCMessage *message, bool portable);

/* ---- what reading and writing share ---- */

/* Whether a field is a map, which protobuf-c holds as a repeated message of key and value. */
bool transcode_is_map(const ProtobufCFieldDescriptor *field);

/* Whether a field holds a JSON object. */
bool transcode_is_payload(const ProtobufCFieldDescriptor *field);

/* A message that is a text in JSON. */
struct transcode_text {
    const ProtobufCMessageDescriptor *type;
    bool (*read)(const char *text, ProtobufCMessage *message); /* into an initialised one */
    void (*append)(struct buffer *buffer, const ProtobufCMessage *message);
    const char *accepted; /* the error for a text that cannot be read */
};

/* NULL when the type, any descriptor, is not one of those. */
const struct transcode_text *transcode_text_of(const void *type);

/* The part of an enum value's name that JSON shows, in lower case: "PENDING" of
 * "EVENT_STATUS_PENDING". */
const char *transcode_enum_name(const ProtobufCEnumDescriptor *type, const char *name);

/* Appends that part. */
void transcode_append_enum(struct buffer *buffer, const ProtobufCEnumDescriptor *type,
                           const ProtobufCEnumValue *value);

static inline char transcode_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Bytes of one value of a field in a message. */
size_t transcode_value_size(ProtobufCType type);

#endif
