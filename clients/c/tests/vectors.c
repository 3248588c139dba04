/* Envelopes with the generated messages, event ids with the library's own reader and writer. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/typeid.h"
#include "rules.h"
#include "triggers.h"
#include "triggers/rpc/v1/envelope.pb-c.h"
#include "value.h"

typedef Triggers__Rpc__V1__Request Request;
typedef Triggers__Rpc__V1__Response Response;

static bool fail(char *detail, size_t size, const struct value *vector, const char *what)
{
    snprintf(detail, size, "%s: %s", value_member_text(vector, "name"), what);
    return false;
}

/* ---- messages as values, so that they can be compared ---- */

static void set_text(struct arena *arena, struct value *object, const char *name, const char *text)
{
    value_set(arena, object, name, value_text(arena, text ? text : ""));
}

static void set_bytes(struct arena *arena, struct value *object, ProtobufCBinaryData bytes)
{
    value_set(arena, object, "body",
              value_bytes(arena, bytes.len ? (void *)bytes.data : "", bytes.len));
}

static struct value *request_value(struct arena *arena, const Request *request)
{
    struct value *value = value_new(arena, VALUE_OBJECT);
    struct value *metadata = value_new(arena, VALUE_OBJECT);
    /* Of a name that comes twice the last counts. */
    for (size_t i = 0; i < request->n_metadata; i++)
        set_text(arena, metadata, request->metadata[i]->key, request->metadata[i]->value);
    set_text(arena, value, "method", request->method);
    value_set(arena, value, "timeout_ms", value_number(arena, request->timeout_ms));
    value_set(arena, value, "metadata", metadata);
    set_bytes(arena, value, request->body);
    return value;
}

static struct value *details_value(struct arena *arena,
                                   const Triggers__Rpc__V1__ErrorDetails *details)
{
    struct value *value = value_new(arena, VALUE_OBJECT);
    struct value *violations = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < details->n_field_violations; i++) {
        struct value *violation = value_new(arena, VALUE_OBJECT);
        set_text(arena, violation, "field", details->field_violations[i]->field);
        set_text(arena, violation, "description", details->field_violations[i]->description);
        value_push(arena, violations, violation);
    }
    set_text(arena, value, "reason", details->reason);
    value_set(arena, value, "field_violations", violations);
    value_set(arena, value, "retry_delay_ms", value_number(arena, details->retry_delay_ms));
    return value;
}

static struct value *response_value(struct arena *arena, const Response *response)
{
    struct value *value = value_new(arena, VALUE_OBJECT);
    struct value *metadata = value_new(arena, VALUE_OBJECT);
    for (size_t i = 0; i < response->n_metadata; i++)
        set_text(arena, metadata, response->metadata[i]->key, response->metadata[i]->value);
    value_set(arena, value, "code", value_number(arena, (int64_t)response->code));
    set_text(arena, value, "message", response->message);
    value_set(arena, value, "details",
              response->details ? details_value(arena, response->details) : &value_null);
    value_set(arena, value, "metadata", metadata);
    set_bytes(arena, value, response->body);
    return value;
}

/* What the vector says: without its name and bytes, the body decoded. */
static struct value *wanted_value(struct arena *arena, const struct value *vector)
{
    struct value *wanted = value_new(arena, VALUE_OBJECT);
    for (size_t i = 0; i < vector->count; i++) {
        const char *name = vector->names[i];
        if (strcmp(name, "name") == 0 || strcmp(name, "bytes") == 0 || strcmp(name, "foreign") == 0)
            continue;
        const struct value *member = vector->items[i];
        if (strcmp(name, "body") == 0)
            member = rules_decode_base64(arena, member->text);
        value_set(arena, wanted, name, member);
    }
    return wanted;
}

/* ---- envelopes ---- */

static bool check_message(struct arena *arena, const struct value *vector,
                          const ProtobufCMessageDescriptor *type, char *detail, size_t size)
{
    bool is_request = type == &triggers__rpc__v1__request__descriptor;
    const struct value *bytes = rules_decode_base64(arena, value_member_text(vector, "bytes"));
    const struct value *wanted = wanted_value(arena, vector);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, NULL, bytes->size, (uint8_t *)bytes->text);
    if (!message)
        return fail(detail, size, vector, "was not parsed");
    struct value *found = is_request ? request_value(arena, (Request *)message)
                                     : response_value(arena, (Response *)message);
    bool same = value_equal(found, wanted);
    size_t packed = protobuf_c_message_get_packed_size(message);
    uint8_t *again = malloc(packed + 1);
    protobuf_c_message_pack(message, again);
    protobuf_c_message_free_unpacked(message, NULL);
    bool as_long = packed == bytes->size || value_member(vector, "foreign")->number;
    message = protobuf_c_message_unpack(type, NULL, packed, again);
    free(again);
    if (!same || !message) {
        if (message)
            protobuf_c_message_free_unpacked(message, NULL);
        return fail(detail, size, vector, "parsed to other fields");
    }
    found = is_request ? request_value(arena, (Request *)message)
                       : response_value(arena, (Response *)message);
    protobuf_c_message_free_unpacked(message, NULL);
    return (as_long && value_equal(found, wanted)) ||
           fail(detail, size, vector, "encoded to something else");
}

static bool check_envelopes(struct arena *arena, const struct value *vectors, char *detail,
                            size_t size)
{
    const struct value *requests = value_member(vectors, "requests");
    const struct value *responses = value_member(vectors, "responses");
    const struct value *malformed = value_member(vectors, "malformed");
    for (size_t i = 0; i < requests->count; i++) {
        if (!check_message(arena, requests->items[i], &triggers__rpc__v1__request__descriptor,
                           detail, size))
            return false;
    }
    for (size_t i = 0; i < responses->count; i++) {
        if (!check_message(arena, responses->items[i], &triggers__rpc__v1__response__descriptor,
                           detail, size))
            return false;
    }
    for (size_t i = 0; i < malformed->count; i++) {
        const char *text = value_member_text(malformed->items[i], "bytes");
        const struct value *bytes = rules_decode_base64(arena, text);
        ProtobufCMessage *message = protobuf_c_message_unpack(
            &triggers__rpc__v1__response__descriptor, NULL, bytes->size, (uint8_t *)bytes->text);
        if (message) {
            protobuf_c_message_free_unpacked(message, NULL);
            return fail(detail, size, malformed->items[i], "was parsed");
        }
    }
    return true;
}

/* ---- event ids ---- */

static void format_uuid(const uint8_t id[TYPEID_BYTES], char text[37])
{
    for (size_t i = 0; i < TYPEID_BYTES; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        text += sprintf(text, "%s%02x", dash ? "-" : "", id[i]);
    }
}

static bool check_made_ids(char *detail, size_t size)
{
    char last[TRIGGERS_ID_SIZE] = "", made[TRIGGERS_ID_SIZE];
    uint8_t id[TYPEID_BYTES] = {0};
    for (int i = 0; i < 1000; i++) {
        triggers_make_event_id(made);
        bool good = typeid_parse(made, strlen(made), id) && strcmp(made, last) > 0 &&
                    id[6] >> 4 == 7 && id[8] >> 6 == 2;
        if (!good) {
            snprintf(detail, size, "%s after %s is no ascending UUIDv7", made, last);
            return false;
        }
        strcpy(last, made);
    }
    int64_t made_ms = 0;
    for (int i = 0; i < 6; i++)
        made_ms = made_ms << 8 | id[i];
    if (llabs(made_ms - clock_now_us() / 1000) < 60000)
        return true;
    snprintf(detail, size, "%s is not of now", last);
    return false;
}

static bool check_typeids(const struct value *vectors, char *detail, size_t size)
{
    uint8_t id[TYPEID_BYTES];
    const struct value *valid = value_member(vectors, "valid");
    const struct value *invalid = value_member(vectors, "invalid");
    for (size_t i = 0; i < valid->count; i++) {
        const struct value *vector = valid->items[i];
        const struct value *text = value_member(vector, "event_id");
        char uuid[37], formatted[TYPEID_TEXT_SIZE];
        if (!typeid_parse(text->text, text->size, id))
            return fail(detail, size, vector, "was refused");
        format_uuid(id, uuid);
        typeid_format(id, formatted);
        if (strcmp(uuid, value_member_text(vector, "uuid")) != 0 ||
            strcmp(formatted, text->text) != 0)
            return fail(detail, size, vector, "became something else");
    }
    for (size_t i = 0; i < invalid->count; i++) {
        const struct value *text = value_member(invalid->items[i], "event_id");
        if (typeid_parse(text->text, text->size, id))
            return fail(detail, size, invalid->items[i], "was accepted");
    }
    return check_made_ids(detail, size);
}

bool vectors_check(const char *folder, const char *name, char *detail, size_t size)
{
    struct arena arena;
    char file[64];
    arena_init(&arena, (size_t)64 << 20);
    snprintf(file, sizeof(file), "%s.json", name);
    const struct value *vectors = value_read_file(&arena, folder, file);
    bool good = strcmp(name, "vectors/typeid") == 0
                    ? check_typeids(vectors, detail, size)
                    : check_envelopes(&arena, vectors, detail, size);
    arena_fini(&arena);
    return good;
}
