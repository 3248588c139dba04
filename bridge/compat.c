/* Shapes of answers only: what is accepted is the same. */
#include "compat.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "routes.h"

#define BODY_CAP (4u << 20)

static const struct {
    const char *detail; /* of a field, or its beginning */
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

static void append_text(struct buffer *body, const char *text)
{
    buffer_append_json_string(body, text, strlen(text));
}

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

static void append_malformed(struct buffer *body, const struct request *request,
                             const struct problem *problem)
{
    if (request->body_size == 0) {
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

bool compat_answer_problem(struct request *request, const struct problem *problem)
{
    bool malformed = strcmp(problem->code, "MALFORMED_JSON") == 0;
    if (problem->status != 422 && !malformed)
        return false;
    struct buffer body;
    buffer_init(&body, BODY_CAP);
    buffer_append_text(&body, "{\"detail\":[");
    if (malformed)
        append_malformed(&body, request, problem);
    else
        append_fields(&body, request->route->body == BODY_UNUSED ? "query" : "body", problem);
    buffer_append_text(&body, "]}");
    request_answer(request, 422, &body);
    request->answer.content_type = "application/json";
    return true;
}

void compat_append_time(struct buffer *buffer, int64_t time_us, bool fastapi)
{
    buffer_append_json_time(buffer, time_us);
    if (!fastapi || buffer->failed)
        return;
    CHECK(buffer->size >= 2 && buffer->data[buffer->size - 2] == 'Z');
    buffer->size--;
    buffer->data[buffer->size - 1] = '"';
    buffer->data[buffer->size] = '\0';
}
