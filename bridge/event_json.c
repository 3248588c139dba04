/* The members of an event, in and out. The payload is passed through byte for byte. */
#include "event_json.h"

#include "base/check.h"
#include "compat.h"

#include <string.h>

static void add_error(struct event_json_errors *errors, const char *name, const char *detail)
{
    CHECK(errors->count < sizeof(errors->fields) / sizeof(errors->fields[0]));
    errors->fields[errors->count++] = (struct problem_field){name, detail};
}

/* The last member of each name that matters; text NULL when there is none. */
struct members {
    struct json_value event_id;
    struct json_value source;
    struct json_value event_type;
    struct json_value payload;
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
    }
}

/* Decodes a name into the arena. False without memory. */
static bool read_name(const struct json_value *value, const char *name, struct arena *arena,
                      const char **out, struct event_json_errors *errors)
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

/* The id that the caller made; null is as good as none. False without memory. */
static bool read_id(const struct json_value *value, bool keyed, struct arena *arena,
                    triggers_new_event *event, struct event_json_errors *errors)
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
                         struct event_json_errors *errors)
{
    if (!value->text || value->type != JSON_OBJECT) {
        add_error(errors, "payload", value->text ? "must be a JSON object" : "must be given");
        return;
    }
    event->payload = value->text;
    event->payload_size = value->size;
}

enum event_json_result event_json_read(const struct json_value *value, struct arena *arena,
                                       bool keyed, triggers_new_event *event,
                                       struct event_json_errors *errors)
{
    struct members members;
    *event = (triggers_new_event){0};
    errors->count = 0;
    if (value->type != JSON_OBJECT) {
        add_error(errors, "", "must be a JSON object");
        return EVENT_JSON_WRONG;
    }
    find_members(value, &members);
    if (!read_id(&members.event_id, keyed, arena, event, errors) ||
        !read_name(&members.source, "source", arena, &event->source, errors) ||
        !read_name(&members.event_type, "event_type", arena, &event->event_type, errors))
        return EVENT_JSON_NO_MEMORY;
    read_payload(&members.payload, event, errors);
    return errors->count > 0 ? EVENT_JSON_WRONG : EVENT_JSON_OK;
}

static void append_string(struct buffer *buffer, const char *name, const char *text)
{
    buffer_append_text(buffer, name);
    buffer_append_json_string(buffer, text, strlen(text));
}

static void append_payload(struct buffer *buffer, const triggers_event *event, bool portable)
{
    buffer_append_text(buffer, ",\"payload\":");
    if (!portable || json_is_portable(event->payload, event->payload_size))
        buffer_append(buffer, event->payload, event->payload_size);
    else
        buffer_append_text(buffer, "null,\"payload_omitted\":true");
}

void event_json_write_acked(struct buffer *buffer, const triggers_event *event,
                            const struct settings *settings)
{
    append_string(buffer, "{\"event_id\":", event->event_id);
    buffer_append_text(buffer, ",\"status\":\"acknowledged\",\"acknowledged_at\":");
    compat_append_time(buffer, event->acknowledged_at_us, settings->fastapi);
    buffer_append_text(buffer, "}");
}

void event_json_write(struct buffer *buffer, const triggers_event *event, bool portable,
                      const struct settings *settings)
{
    append_string(buffer, "{\"event_id\":", event->event_id);
    append_string(buffer, ",\"source\":", event->source);
    append_string(buffer, ",\"event_type\":", event->event_type);
    append_payload(buffer, event, portable);
    buffer_append_text(buffer, event->status == TRIGGERS_STATUS_ACKNOWLEDGED
                                   ? ",\"status\":\"acknowledged\",\"created_at\":"
                                   : ",\"status\":\"pending\",\"created_at\":");
    compat_append_time(buffer, event->created_at_us, settings->fastapi);
    buffer_append_text(buffer, ",\"acknowledged_at\":");
    if (event->acknowledged_at_us)
        compat_append_time(buffer, event->acknowledged_at_us, settings->fastapi);
    else
        buffer_append_text(buffer, "null");
    buffer_append_text(buffer, "}");
}
