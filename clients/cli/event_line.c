/* Reads the members of an NDJSON object. The core checks their values. */
#include "event_line.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

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
    return true;
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
    return event->payload || fail_member(&parser, "payload", "is missing");
}
