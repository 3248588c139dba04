/* Texts are written member by member; the payload is passed through byte for byte. FastAPI's and
 * pydantic's shapes of errors and times are for answers only: the same input is accepted. */
#include "hand_made.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/rfc3339.h"

#define MAX_DELAY_S 2678400 /* as the core has it */

/* ---- events in ---- */

static void add_error(struct hand_made_errors *errors, const char *name, const char *detail)
{
    CHECK(errors->count < sizeof(errors->fields) / sizeof(errors->fields[0]));
    errors->fields[errors->count++] = (struct problem_field){name, detail};
}

/* The last member of each name that matters; its text is NULL when there is none. */
struct members {
    struct json_value event_id;
    struct json_value source;
    struct json_value event_type;
    struct json_value payload;
    struct json_value ordering_key;
    struct json_value deliver_at;
    struct json_value delay_seconds;
};

static void find_members(const struct json_value *object, struct members *members)
{
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value value;
    *members = (struct members){0};
    while (json_object_next(object, &cursor, &key, &value)) {
        if (json_string_equals(&key, "source"))
            members->source = value;
        else if (json_string_equals(&key, "event_type"))
            members->event_type = value;
        else if (json_string_equals(&key, "payload"))
            members->payload = value;
        else if (json_string_equals(&key, "event_id"))
            members->event_id = value;
        else if (json_string_equals(&key, "ordering_key"))
            members->ordering_key = value;
        else if (json_string_equals(&key, "deliver_at"))
            members->deliver_at = value;
        else if (json_string_equals(&key, "delay_seconds"))
            members->delay_seconds = value;
    }
}

/* Decodes a name into the arena. False without memory. */
static bool read_name(const struct json_value *value, const char *name, struct arena *arena,
                      const char **out, struct hand_made_errors *errors)
{
    size_t length;
    if (!value->text || value->type != JSON_STRING) {
        add_error(errors, name, value->text ? "must be a string" : "must be given");
        return true;
    }
    char *text = arena_alloc(arena, value->size);
    if (!text)
        return false;
    if (!json_string_decode(value, text, &length))
        add_error(errors, name, "must not have half of a surrogate pair");
    else if (strlen(text) != length)
        add_error(errors, name, "must not have the character U+0000");
    *out = text;
    return true;
}

/* Reads the id that the caller made; null counts as absent. False without memory. */
static bool read_id(const struct json_value *value, bool keyed, struct arena *arena,
                    triggers_new_event *event, struct hand_made_errors *errors)
{
    if (!value->text || value->type == JSON_NULL)
        return true;
    if (keyed)
        add_error(errors, "event_id", "must not be given together with an Idempotency-Key");
    else if (value->size == strlen("\"\""))
        add_error(errors, "event_id", "must not be empty");
    else
        return read_name(value, "event_id", arena, &event->event_id, errors);
    return true;
}

static void read_payload(const struct json_value *value, triggers_new_event *event,
                         struct hand_made_errors *errors)
{
    if (!value->text || value->type != JSON_OBJECT) {
        add_error(errors, "payload", value->text ? "must be a JSON object" : "must be given");
        return;
    }
    event->payload = value->text;
    event->payload_size = value->size;
}

static bool is_given(const struct json_value *value)
{
    return value->text && value->type != JSON_NULL;
}

/* The members that a create need not have; null counts as absent. False without memory. */
static bool read_ordering_key(const struct json_value *value, struct arena *arena,
                              triggers_new_event *event, struct hand_made_errors *errors)
{
    return !is_given(value) ||
           read_name(value, "ordering_key", arena, &event->ordering_key, errors);
}

/* Rounded up to a microsecond. False without memory. */
static bool read_deliver_at(const struct json_value *value, struct arena *arena,
                            triggers_new_event *event, struct hand_made_errors *errors)
{
    const char *text = NULL;
    size_t count = errors->count;
    int64_t seconds;
    int32_t nanos;
    if (!is_given(value))
        return true;
    if (!read_name(value, "deliver_at", arena, &text, errors))
        return false;
    if (errors->count > count)
        return true;
    if (!rfc3339_read(text, &seconds, &nanos))
        add_error(errors, "deliver_at",
                  "must be a time as in RFC 3339, such as 2026-01-31T23:59:59Z");
    else
        event->deliver_at_us = seconds * 1000000 + (nanos + 999) / 1000;
    return true;
}

/* Some write whole numbers with a fraction, of zeros. */
static bool read_seconds(const struct json_value *value, uint32_t *seconds)
{
    const char *at = value->text, *end = value->text + value->size;
    for (*seconds = 0; at < end && *at >= '0' && *at <= '9'; at++) {
        *seconds = *seconds * 10 + (uint32_t)(*at - '0');
        if (*seconds > MAX_DELAY_S)
            return false;
    }
    if (at < end && *at == '.' && at > value->text) {
        for (at++; at < end && *at == '0'; at++)
            ;
    }
    return at == end;
}

static void read_delay(const struct members *members, triggers_new_event *event,
                       struct hand_made_errors *errors)
{
    if (!is_given(&members->delay_seconds))
        return;
    if (is_given(&members->deliver_at))
        add_error(errors, "delay_seconds", "must not be given together with deliver_at");
    else if (!read_seconds(&members->delay_seconds, &event->delay_seconds))
        add_error(errors, "delay_seconds",
                  "must be a whole number from 0 to 2678400, which is 31 days");
}

enum hand_made_result hand_made_read_event(const struct json_value *value, struct arena *arena,
                                           bool keyed, triggers_new_event *event,
                                           struct hand_made_errors *errors)
{
    struct members members;
    *event = (triggers_new_event){0};
    errors->count = 0;
    if (value->type != JSON_OBJECT) {
        add_error(errors, "", "must be a JSON object");
        return HAND_MADE_WRONG;
    }
    find_members(value, &members);
    if (!read_id(&members.event_id, keyed, arena, event, errors) ||
        !read_name(&members.source, "source", arena, &event->source, errors) ||
        !read_name(&members.event_type, "event_type", arena, &event->event_type, errors))
        return HAND_MADE_NO_MEMORY;
    read_payload(&members.payload, event, errors);
    if (!read_ordering_key(&members.ordering_key, arena, event, errors) ||
        !read_deliver_at(&members.deliver_at, arena, event, errors))
        return HAND_MADE_NO_MEMORY;
    read_delay(&members, event, errors);
    return errors->count > 0 ? HAND_MADE_WRONG : HAND_MADE_OK;
}

/* ---- events out ---- */

/* A time in UTC; for FastAPI's callers without the Z that says so, which Python before 3.11 cannot
 * read. */
static void append_time(struct buffer *buffer, int64_t time_us,
                        const struct bridge_settings *settings)
{
    buffer_append_json_time(buffer, time_us);
    if (!settings->fastapi || buffer->failed)
        return;
    CHECK(buffer->size >= 2 && buffer->data[buffer->size - 2] == 'Z');
    buffer->size--;
    buffer->data[buffer->size - 1] = '"';
    buffer->data[buffer->size] = '\0';
}

static void append_text(struct buffer *buffer, const char *text)
{
    buffer_append_json_string(buffer, text, strlen(text));
}

static void append_string(struct buffer *buffer, const char *name, const char *text)
{
    buffer_append_text(buffer, name);
    append_text(buffer, text);
}

static void append_sequence(struct buffer *buffer, const triggers_event *event)
{
    buffer_append_format(buffer, ",\"sequence\":%" PRId64, event->sequence);
}

void hand_made_write_created(struct buffer *buffer, const triggers_event *event,
                             const char *message, const struct bridge_settings *settings)
{
    append_string(buffer, "{\"event_id\":", event->event_id);
    buffer_append_text(buffer, ",\"status\":\"received\",\"created_at\":");
    append_time(buffer, event->created_at_us, settings);
    if (message)
        append_string(buffer, ",\"message\":", message);
    append_sequence(buffer, event);
    buffer_append_text(buffer, "}");
}

static void append_payload(struct buffer *buffer, const triggers_event *event, bool portable)
{
    buffer_append_text(buffer, ",\"payload\":");
    if (event->payload_size == 0)
        buffer_append_text(buffer, "null,\"payload_erased\":true");
    else if (!portable || json_is_portable(event->payload, event->payload_size))
        buffer_append(buffer, event->payload, event->payload_size);
    else
        buffer_append_text(buffer, "null,\"payload_omitted\":true");
}

static void append_delivery(struct buffer *buffer, const triggers_event *event,
                            const struct bridge_settings *settings)
{
    buffer_append_text(buffer, ",\"ordering_key\":");
    if (event->ordering_key[0])
        append_text(buffer, event->ordering_key);
    else
        buffer_append_text(buffer, "null");
    buffer_append_text(buffer, ",\"deliver_at\":");
    if (event->deliver_at_us)
        append_time(buffer, event->deliver_at_us, settings);
    else
        buffer_append_text(buffer, "null");
}

void hand_made_write_acked(struct buffer *buffer, const triggers_event *event,
                           const struct bridge_settings *settings)
{
    append_string(buffer, "{\"event_id\":", event->event_id);
    buffer_append_text(buffer, ",\"status\":\"acknowledged\",\"acknowledged_at\":");
    append_time(buffer, event->acknowledged_at_us, settings);
    buffer_append_text(buffer, "}");
}

void hand_made_write_event(struct buffer *buffer, const triggers_event *event, bool portable,
                           const struct bridge_settings *settings)
{
    append_string(buffer, "{\"event_id\":", event->event_id);
    append_string(buffer, ",\"source\":", event->source);
    append_string(buffer, ",\"event_type\":", event->event_type);
    append_payload(buffer, event, portable);
    buffer_append_text(buffer, event->status == TRIGGERS_STATUS_ACKNOWLEDGED
                                   ? ",\"status\":\"acknowledged\",\"created_at\":"
                                   : ",\"status\":\"pending\",\"created_at\":");
    append_time(buffer, event->created_at_us, settings);
    buffer_append_text(buffer, ",\"acknowledged_at\":");
    if (event->acknowledged_at_us)
        append_time(buffer, event->acknowledged_at_us, settings);
    else
        buffer_append_text(buffer, "null");
    append_sequence(buffer, event);
    append_delivery(buffer, event, settings);
    buffer_append_text(buffer, "}");
}

static void write_events(struct buffer *buffer, const triggers_reply *reply,
                         const struct bridge_settings *settings)
{
    buffer_append_text(buffer, "{\"events\":[");
    for (size_t i = 0; i < reply->item_count; i++) {
        if (i > 0)
            buffer_append_text(buffer, ",");
        hand_made_write_event(buffer, &reply->items[i].event, settings->payloads == 0, settings);
    }
    buffer_append_text(buffer, "]");
}

void hand_made_write_page(struct buffer *buffer, const triggers_reply *reply,
                          const struct bridge_settings *settings)
{
    write_events(buffer, reply, settings);
    buffer_append_format(buffer, ",\"total\":%zu,\"next_cursor\":", reply->item_count);
    if (reply->next_page_token[0])
        append_text(buffer, reply->next_page_token);
    else
        buffer_append_text(buffer, "null");
    buffer_append_text(buffer, "}");
}

void hand_made_write_log(struct buffer *buffer, const triggers_reply *reply,
                         const struct bridge_settings *settings)
{
    write_events(buffer, reply, settings);
    buffer_append_format(buffer, ",\"next_after\":%" PRId64 ",\"first_sequence\":%" PRId64 "}",
                         reply->next_after, reply->first_sequence);
}

/* ---- errors ---- */

/* Names of the protocol that differ here, and their texts. */
static const struct {
    const char *field;
    const char *name;
    const char *detail; /* NULL: the core's text */
} NAMES[] = {
    {"page_token", "cursor",
     "must be the next_cursor of a page with the same status, order and filter"},
    {"page_size", "limit", NULL},
    {"after_sequence", "after", NULL},
    {"wait_ms", "wait", NULL},
    {"filter.sources", "source", NULL},
    {"filter.event_types", "event_type", NULL},
    {"filter.from_time", "from", NULL},
    {"filter.until_time", "until", "must be after from"},
};

struct problem_field hand_made_field(const char *field, const char *detail, struct arena *arena)
{
    (void)arena;
    const char *close = strchr(field, ']');
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        size_t size = strcspn(field, "[");
        if (strncmp(field, NAMES[i].field, size) == 0 && !NAMES[i].field[size])
            return (struct problem_field){NAMES[i].name,
                                          NAMES[i].detail ? NAMES[i].detail : detail};
    }
    if (close)
        field = close[1] == '.' ? close + 2 : close + 1;
    else if (strcmp(field, "events") == 0)
        field = "";
    return (struct problem_field){field, detail};
}

/* How pydantic says it. */
static const struct {
    const char *detail; /* the detail of a field, or its beginning */
    const char *type;
    const char *message;
} WORDS[] = {
    {"must be given", "missing", "Field required"},
    {"must be a string", "string_type", "Input should be a valid string"},
    {"must have at least 1 character", "string_too_short",
     "String should have at least 1 character"},
    {"must have at most 255 characters", "string_too_long",
     "String should have at most 255 characters"},
    {"must be an array", "list_type", "Input should be a valid list"},
    {"must be a JSON array", "list_type", "Input should be a valid list"},
};

static void append_words(struct buffer *body, const char *message, const char *type)
{
    buffer_append_text(body, ",\"msg\":");
    append_text(body, message);
    buffer_append_format(body, ",\"type\":\"%s\"}", type);
}

static void append_value_error(struct buffer *body, const char *detail)
{
    char message[512];
    snprintf(message, sizeof(message), "Value error, %s", detail);
    append_words(body, message, "value_error");
}

static bool is_no_object(const char *detail)
{
    return strcmp(detail, "must be a JSON object") == 0 ||
           strcmp(detail, "must be a JSON object, not another JSON value") == 0;
}

static void append_message(struct buffer *body, const struct problem_field *field)
{
    if (is_no_object(field->detail) && field->name[0]) {
        append_words(body, "Input should be a valid dictionary", "dict_type");
        return;
    }
    if (is_no_object(field->detail)) {
        append_words(body, "Input should be a valid dictionary or object to extract fields from",
                     "model_attributes_type");
        return;
    }
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strncmp(field->detail, WORDS[i].detail, strlen(WORDS[i].detail)) == 0) {
            append_words(body, WORDS[i].message, WORDS[i].type);
            return;
        }
    }
    append_value_error(body, field->detail);
}

static void append_field(struct buffer *body, const char *where, const struct problem_field *field)
{
    buffer_append_format(body, "{\"loc\":[\"%s\"", where);
    if (field->name[0]) {
        buffer_append_text(body, ",");
        append_text(body, field->name);
    }
    buffer_append_text(body, "]");
    append_message(body, field);
}

static void append_malformed(struct buffer *body, const struct problem *problem, bool empty)
{
    if (empty) {
        buffer_append_text(body, "{\"loc\":[\"body\"]");
        append_words(body, "Field required", "missing");
        return;
    }
    buffer_append_format(body, "{\"loc\":[\"body\",%zu],\"ctx\":{\"error\":", problem->at);
    append_text(body, problem->detail);
    buffer_append_text(body, "}");
    append_words(body, "JSON decode error", "json_invalid");
}

static void append_fields(struct buffer *body, const char *where, const struct problem *problem)
{
    const struct problem_field whole = {"", problem->detail};
    if (problem->field_count == 0)
        append_field(body, where, &whole);
    for (size_t i = 0; i < problem->field_count; i++) {
        if (i > 0)
            buffer_append_text(body, ",");
        append_field(body, where, &problem->fields[i]);
    }
}

bool hand_made_write_problem(struct buffer *buffer, const struct problem *problem,
                             const char *where, bool empty)
{
    bool malformed = strcmp(problem->code, "MALFORMED_JSON") == 0;
    if (problem->status != 422 && !malformed)
        return false;
    buffer_append_text(buffer, "{\"detail\":[");
    if (malformed)
        append_malformed(buffer, problem, empty);
    else
        append_fields(buffer, where, problem);
    buffer_append_text(buffer, "]}");
    return true;
}
