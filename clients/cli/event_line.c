/* Reads the members of an NDJSON object. The core checks their values. */
#include "event_line.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/rfc3339.h"

struct parser {
    struct arena *arena;
    triggers_new_event *event;
    char *error;
};

static bool fail(struct parser *parser, const char *text)
{
    snprintf(parser->error, EVENT_LINE_ERROR_SIZE, "%s", text);
    return false;
}

static bool fail_member(struct parser *parser, const char *member, const char *problem)
{
    snprintf(parser->error, EVENT_LINE_ERROR_SIZE, "\"%s\" %s", member, problem);
    return false;
}

static bool read_string(struct parser *parser, const char *member, const struct json_value *value,
                        const char **out)
{
    if (value->type != JSON_STRING)
        return fail_member(parser, member, "must be a string");
    size_t length;
    char *text = arena_alloc(parser->arena, value->size);
    if (!text)
        return fail(parser, "out of memory");
    if (!json_string_decode(value, text, &length) || strlen(text) != length)
        return fail_member(parser, member, "holds U+0000 or half of a surrogate pair");
    *out = text;
    return true;
}

static bool read_payload(struct parser *parser, const struct json_value *value)
{
    if (value->type != JSON_OBJECT)
        return fail_member(parser, "payload", "must be a JSON object");
    parser->event->payload = arena_copy(parser->arena, value->text, value->size);
    parser->event->payload_size = value->size;
    return parser->event->payload || fail(parser, "out of memory");
}

static bool read_deliver_at(struct parser *parser, const struct json_value *value)
{
    const char *text = "";
    int64_t seconds;
    int32_t nanos;
    if (!read_string(parser, "deliver_at", value, &text))
        return false;
    if (!rfc3339_read(text, &seconds, &nanos))
        return fail_member(parser, "deliver_at", "must be a time such as 2026-01-31T12:00:00Z");
    parser->event->deliver_at_us = seconds * 1000000 + (nanos + 999) / 1000;
    return true;
}

static bool read_delay(struct parser *parser, const struct json_value *value)
{
    uint64_t number = 0;
    bool digits = true;
    for (size_t i = 0; i < value->size && digits && number <= UINT32_MAX; i++) {
        digits = value->text[i] >= '0' && value->text[i] <= '9';
        number = number * 10 + (uint64_t)(value->text[i] - '0');
    }
    if (!digits || number > UINT32_MAX)
        return fail_member(parser, "delay_seconds", "must be a whole number");
    parser->event->delay_seconds = (uint32_t)number;
    return true;
}

/* What an event may lack; null counts as absent. */
static bool read_optional(struct parser *parser, const struct json_value *key,
                          const struct json_value *value)
{
    if (value->type == JSON_NULL)
        return true;
    if (json_string_equals(key, "ordering_key"))
        return read_string(parser, "ordering_key", value, &parser->event->ordering_key);
    if (json_string_equals(key, "deliver_at"))
        return read_deliver_at(parser, value);
    if (json_string_equals(key, "delay_seconds"))
        return read_delay(parser, value);
    return true;
}

static bool read_member(struct parser *parser, const struct json_value *key,
                        const struct json_value *value)
{
    if (json_string_equals(key, "source"))
        return read_string(parser, "source", value, &parser->event->source);
    if (json_string_equals(key, "event_type"))
        return read_string(parser, "event_type", value, &parser->event->event_type);
    if (json_string_equals(key, "event_id"))
        return read_string(parser, "event_id", value, &parser->event->event_id);
    if (json_string_equals(key, "payload"))
        return read_payload(parser, value);
    return read_optional(parser, key, value);
}

bool event_line_parse(const char *line, size_t size, struct arena *arena, triggers_new_event *event,
                      char error[EVENT_LINE_ERROR_SIZE])
{
    struct parser parser = {arena, event, error};
    struct json_value object, key, value;
    struct json_error problem;
    *event = (triggers_new_event){0};
    if (!json_check(line, size, &object, &problem)) {
        snprintf(error, EVENT_LINE_ERROR_SIZE, "not JSON at column %zu: %s", problem.offset + 1,
                 problem.reason);
        return false;
    }
    if (object.type != JSON_OBJECT)
        return fail(&parser, "must be a JSON object");
    struct json_cursor cursor = {0};
    while (json_object_next(&object, &cursor, &key, &value)) {
        if (!read_member(&parser, &key, &value))
            return false;
    }
    if (!event->source)
        return fail_member(&parser, "source", "is missing");
    if (!event->event_type)
        return fail_member(&parser, "event_type", "is missing");
    if (event->deliver_at_us && event->delay_seconds)
        return fail_member(&parser, "delay_seconds", "must not be given with \"deliver_at\"");
    return event->payload || fail_member(&parser, "payload", "is missing");
}
