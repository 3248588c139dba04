/* Values in an arena, made from the scanner of src/base. */
#include "value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_FILE ((size_t)1 << 20)

const struct value value_null;

static void *must(void *memory)
{
    if (memory)
        return memory;
    fputs("no memory for the scenario\n", stderr);
    exit(1);
}

struct value *value_new(struct arena *arena, enum value_type type)
{
    struct value *value = must(arena_calloc(arena, 1, sizeof(*value)));
    value->type = type;
    return value;
}

struct value *value_number(struct arena *arena, int64_t number)
{
    struct value *value = value_new(arena, VALUE_NUMBER);
    value->number = number;
    return value;
}

struct value *value_bytes(struct arena *arena, const void *bytes, size_t size)
{
    struct value *value = value_new(arena, VALUE_TEXT);
    value->text = must(arena_copy(arena, bytes, size));
    value->size = size;
    return value;
}

struct value *value_text(struct arena *arena, const char *text)
{
    return value_bytes(arena, text, strlen(text));
}

static void grow(struct arena *arena, struct value *value)
{
    if (value->count < value->room)
        return;
    size_t room = value->room ? value->room * 2 : 4;
    struct value **items = must(arena_calloc(arena, room, sizeof(*items)));
    char **names = must(arena_calloc(arena, room, sizeof(*names)));
    if (value->count > 0) {
        memcpy(items, value->items, value->count * sizeof(struct value *));
        memcpy(names, value->names, value->count * sizeof(char *));
    }
    value->items = items;
    value->names = names;
    value->room = room;
}

void value_push(struct arena *arena, struct value *list, const struct value *item)
{
    grow(arena, list);
    list->items[list->count++] = (struct value *)item;
}

void value_set(struct arena *arena, struct value *object, const char *name,
               const struct value *member)
{
    size_t i = 0;
    while (i < object->count && strcmp(object->names[i], name) != 0)
        i++;
    if (i == object->count) {
        value_push(arena, object, member);
        object->names[i] = must(arena_copy(arena, name, strlen(name)));
    }
    object->items[i] = (struct value *)member;
}

/* ---- parsing ---- */

static struct value *decode_text(struct arena *arena, const struct json_value *json)
{
    struct value *value = value_new(arena, VALUE_TEXT);
    value->text = must(arena_alloc(arena, json->size));
    if (!json_string_decode(json, value->text, &value->size)) {
        fputs("a text of the scenarios has half a surrogate pair\n", stderr);
        exit(1);
    }
    return value;
}

static struct value *convert(struct arena *arena, const struct json_value *json)
{
    struct json_cursor cursor = {0};
    struct json_value key, element;
    struct value *value;
    switch (json->type) {
    case JSON_NULL: return value_new(arena, VALUE_NULL);
    case JSON_STRING: return decode_text(arena, json);
    case JSON_NUMBER: return value_number(arena, strtoll(json->text, NULL, 10));
    case JSON_BOOLEAN:
        value = value_new(arena, VALUE_BOOLEAN);
        value->number = json->text[0] == 't';
        return value;
    case JSON_ARRAY:
        value = value_new(arena, VALUE_LIST);
        while (json_array_next(json, &cursor, &element))
            value_push(arena, value, convert(arena, &element));
        return value;
    case JSON_OBJECT: break;
    }
    value = value_new(arena, VALUE_OBJECT);
    while (json_object_next(json, &cursor, &key, &element))
        value_set(arena, value, decode_text(arena, &key)->text, convert(arena, &element));
    return value;
}

const struct value *value_parse(struct arena *arena, const char *text, size_t size)
{
    struct json_value json;
    struct json_error error;
    if (!json_check(text, size, &json, &error)) {
        fprintf(stderr, "not JSON: %s at byte %zu\n", error.reason, error.offset);
        exit(1);
    }
    return convert(arena, &json);
}

const struct value *value_read_file(struct arena *arena, const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    char *text = malloc(MAX_FILE);
    if (!file || !text) {
        perror(path);
        exit(1);
    }
    size_t size = fread(text, 1, MAX_FILE, file);
    fclose(file);
    const struct value *value = value_parse(arena, text, size);
    free(text);
    return value;
}

/* ---- looking ---- */

const struct value *value_member(const struct value *object, const char *name)
{
    for (size_t i = 0; object->type == VALUE_OBJECT && i < object->count; i++) {
        if (strcmp(object->names[i], name) == 0)
            return object->items[i];
    }
    return &value_null;
}

const char *value_member_text(const struct value *object, const char *name)
{
    return value_member(object, name)->text;
}

int64_t value_member_number(const struct value *object, const char *name, int64_t fallback)
{
    const struct value *member = value_member(object, name);
    return member->type == VALUE_NULL ? fallback : member->number;
}

static const struct value *look_up_each(struct arena *arena, const struct value *list,
                                        const char *path)
{
    struct value *found = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < list->count; i++)
        value_push(arena, found, value_look_up(arena, list->items[i], path));
    return found;
}

const struct value *value_look_up(struct arena *arena, const struct value *value, const char *path)
{
    while (*path) {
        const char *end = strchrnul(path, '.');
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(end - path), path);
        path = *end ? end + 1 : end;
        if (value->type == VALUE_LIST && strcmp(name, "*") == 0)
            return look_up_each(arena, value, path);
        if (value->type == VALUE_LIST) {
            size_t index = strtoul(name, NULL, 10);
            value = index < value->count ? value->items[index] : &value_null;
        } else {
            value = value_member(value, name);
        }
    }
    return value;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type || a->number != b->number || a->size != b->size || a->count != b->count)
        return false;
    if (a->size > 0 && memcmp(a->text, b->text, a->size) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct value *other =
            a->type == VALUE_OBJECT ? value_member(b, a->names[i]) : b->items[i];
        if (!value_equal(a->items[i], other))
            return false;
    }
    return true;
}

void value_write(struct buffer *out, const struct value *value)
{
    bool object = value->type == VALUE_OBJECT;
    switch (value->type) {
    case VALUE_NULL: buffer_append_text(out, "null"); return;
    case VALUE_BOOLEAN: buffer_append_text(out, value->number ? "true" : "false"); return;
    case VALUE_NUMBER: buffer_append_format(out, "%lld", (long long)value->number); return;
    case VALUE_TEXT: buffer_append_json_string(out, value->text, value->size); return;
    case VALUE_LIST:
    case VALUE_OBJECT: break;
    }
    buffer_append_text(out, object ? "{" : "[");
    for (size_t i = 0; i < value->count; i++) {
        buffer_append_text(out, i > 0 ? "," : "");
        if (object) {
            buffer_append_json_string(out, value->names[i], strlen(value->names[i]));
            buffer_append_text(out, ":");
        }
        value_write(out, value->items[i]);
    }
    buffer_append_text(out, object ? "}" : "]");
}
