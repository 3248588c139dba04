/* The JSON scanner against jansson, both ways: what one accepts and the other refuses must have an
 * excuse, and what both accept must be the same values, as the cursors and the string decoder tell
 * them. */
#include <string.h>

#include "base/json.h"
/* Both have an enumeration of types with these names. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_NULL
#include "fuzz.h"

/* Why jansson may refuse what we accept: numbers that no C type holds, U+0000 in a name, more
 * nesting than it takes, and surrogates without a partner, for which it has no code of its own. */
static bool jansson_is_excused(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
    case json_error_stack_overflow: return true;
    case json_error_invalid_syntax: return strstr(error->text, "invalid Unicode '\\u") != NULL;
    default: return false;
    }
}

/* Why jansson may accept what we refuse: it allows more nesting, and it loses a NUL that it looked
 * at to see where a number or word ends. */
static bool we_are_excused(const char *text, size_t size, const struct json_error *error)
{
    return strstr(error->reason, "nested over 512 deep") ||
           (error->offset < size && text[error->offset] == '\0');
}

static void compare(const struct json_value *ours, const json_t *theirs);

/* A copy with a NUL, as strtod wants it. */
static void compare_number(const struct json_value *ours, const json_t *theirs)
{
    char *text = strndup(ours->text, ours->size);
    MUST(text);
    if (json_is_integer(theirs))
        MUST(strtoll(text, NULL, 10) == json_integer_value(theirs));
    else
        MUST(strtod(text, NULL) == json_real_value(theirs));
    free(text);
}

/* The decoded string, malloc'd. */
static char *decoded(const struct json_value *string, size_t *length)
{
    char *text = malloc(string->size);
    MUST(text);
    MUST(json_string_decode(string, text, length));
    MUST(*length < string->size && text[*length] == '\0');
    if (strlen(text) == *length)
        MUST(json_string_equals(string, text));
    return text;
}

static void compare_string(const struct json_value *ours, const json_t *theirs)
{
    size_t length;
    char *text = decoded(ours, &length);
    MUST(json_typeof(theirs) == JANSSON_STRING);
    MUST(length == json_string_length(theirs));
    MUST(memcmp(text, json_string_value(theirs), length) == 0);
    free(text);
}

static void compare_array(const struct json_value *ours, const json_t *theirs)
{
    struct json_cursor cursor = {0};
    struct json_value element;
    size_t count = 0;
    MUST(json_typeof(theirs) == JANSSON_ARRAY);
    for (; json_array_next(ours, &cursor, &element); count++)
        compare(&element, json_array_get(theirs, count)); /* NULL behind the end */
    MUST(count == json_array_size(theirs));
}

static size_t count_members(const struct json_value *object)
{
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value value;
    size_t count = 0;
    while (json_object_next(object, &cursor, &key, &value))
        count++;
    return count;
}

/* Of members with the same name jansson keeps the last: then only the names are compared. */
static void compare_object(const struct json_value *ours, const json_t *theirs)
{
    bool distinct = count_members(ours) == json_object_size(theirs);
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value value;
    MUST(json_typeof(theirs) == JANSSON_OBJECT);
    while (json_object_next(ours, &cursor, &key, &value)) {
        size_t length;
        char *name = decoded(&key, &length);
        const json_t *member = json_object_getn(theirs, name, length);
        MUST(member);
        if (distinct)
            compare(&value, member);
        free(name);
    }
}

static void compare(const struct json_value *ours, const json_t *theirs)
{
    MUST(theirs);
    switch (ours->type) {
    case JSON_NULL: MUST(json_typeof(theirs) == JANSSON_NULL); break;
    case JSON_BOOLEAN:
        MUST(json_is_boolean(theirs));
        MUST((ours->text[0] == 't') == json_is_true(theirs));
        break;
    case JSON_NUMBER: compare_number(ours, theirs); break;
    case JSON_STRING: compare_string(ours, theirs); break;
    case JSON_ARRAY: compare_array(ours, theirs); break;
    case JSON_OBJECT: compare_object(ours, theirs); break;
    }
}

/* Walks a value that only we accept: nothing to compare with, but nothing may break. */
static void walk(const struct json_value *value)
{
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value inner;
    if (value->type == JSON_STRING) {
        size_t length;
        char *text = malloc(value->size);
        MUST(text);
        json_string_decode(value, text, &length);
        json_string_equals(value, "\xF0\x9F\x98\x80");
        free(text);
    } else if (value->type == JSON_ARRAY) {
        while (json_array_next(value, &cursor, &inner))
            walk(&inner);
    } else if (value->type == JSON_OBJECT) {
        while (json_object_next(value, &cursor, &key, &inner)) {
            walk(&key);
            walk(&inner);
        }
    }
}

static void check_same(const char *text, size_t size, bool valid, const struct json_value *ours,
                       const struct json_error *why)
{
    json_error_t error;
    json_t *theirs = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (valid && theirs)
        compare(ours, theirs);
    else if (valid)
        MUST(jansson_is_excused(&error));
    else if (theirs)
        MUST(we_are_excused(text, size, why));
    json_decref(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct json_value value;
    struct json_error error;
    bool valid = json_check(text, size, &value, &error);
    if (valid) {
        MUST(value.text >= text && value.text + value.size <= text + size);
        walk(&value);
    } else {
        MUST(error.offset <= size && error.reason[0]);
    }
    check_same(text, size, valid, &value, &error);
    return 0;
}
