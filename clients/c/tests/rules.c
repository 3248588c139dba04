/* Expansion and patterns. */
#include "rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value *rules_decode_base64(struct arena *arena, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text);
    struct value *value = value_bytes(arena, text, length); /* room enough; rewritten in place */
    uint32_t bits = 0;
    unsigned pending = 0;
    value->size = 0;
    for (size_t i = 0; i < length && text[i] != '='; i++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, text[i]) - digits);
        pending += 6;
        if (pending >= 8) {
            pending -= 8;
            value->text[value->size++] = (char)(bits >> pending);
        }
    }
    value->text[value->size] = '\0';
    return value;
}

static struct value *payload_of_size(struct arena *arena, size_t size)
{
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + size - 2, "\"}", 2);
    struct value *value = value_bytes(arena, text, size);
    free(text);
    return value;
}

static const struct value *reversed(struct arena *arena, const struct value *list)
{
    struct value *turned = value_new(arena, VALUE_LIST);
    for (size_t i = list->count; i > 0; i--)
        value_push(arena, turned, list->items[i - 1]);
    return turned;
}

static const struct value *sum(struct arena *arena, const struct value *list)
{
    int64_t total = 0;
    for (size_t i = 0; i < list->count; i++)
        total += list->items[i]->number;
    return value_number(arena, total);
}

static const struct value *expand_list(struct arena *arena, const struct value *list,
                                       const struct value *variables)
{
    struct value *expanded = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < list->count; i++) {
        const struct value *item = list->items[i];
        int64_t times = value_member_number(item, "$repeat", 0);
        item = rules_expand(arena, times ? value_member(item, "value") : item, variables);
        value_push(arena, expanded, item);
        for (; times > 1; times--)
            value_push(arena, expanded, item);
    }
    return expanded;
}

static const struct value *expand_object(struct arena *arena, const struct value *object,
                                         const struct value *variables)
{
    int64_t size = value_member_number(object, "$payload_size", 0);
    if (size)
        return payload_of_size(arena, (size_t)size);
    const char *base64 = value_member_text(object, "$base64");
    if (base64)
        return rules_decode_base64(arena, base64);
    const struct value *list = value_member(object, "$reversed");
    if (list->type != VALUE_NULL)
        return reversed(arena, rules_expand(arena, list, variables));
    list = value_member(object, "$plus");
    if (list->type != VALUE_NULL)
        return sum(arena, rules_expand(arena, list, variables));
    struct value *expanded = value_new(arena, VALUE_OBJECT);
    for (size_t i = 0; i < object->count; i++)
        value_set(arena, expanded, object->names[i],
                  rules_expand(arena, object->items[i], variables));
    return expanded;
}

const struct value *rules_expand(struct arena *arena, const struct value *value,
                                 const struct value *variables)
{
    if (value->type == VALUE_TEXT && value->text[0] == '$')
        return value_look_up(arena, variables, value->text + 1);
    if (value->type == VALUE_LIST)
        return expand_list(arena, value, variables);
    if (value->type == VALUE_OBJECT)
        return expand_object(arena, value, variables);
    return value;
}

static bool is_something(const struct value *value)
{
    return (value->type == VALUE_TEXT && value->size > 0) ||
           (value->type == VALUE_LIST && value->count > 0) ||
           (value->type != VALUE_NULL && value->type != VALUE_TEXT && value->type != VALUE_LIST);
}

static bool has_element(const struct value *list, const struct value *wanted)
{
    for (size_t i = 0; i < list->count; i++) {
        if (value_equal(list->items[i], wanted))
            return true;
    }
    return false;
}

/* The elements of the scenarios' lists differ from each other. */
static bool has_same_elements(const struct value *list, const struct value *wanted)
{
    bool same = list->type == VALUE_LIST && list->count == wanted->count;
    for (size_t i = 0; same && i < wanted->count; i++)
        same = has_element(list, wanted->items[i]);
    return same;
}

bool rules_fit(const struct value *pattern, const struct value *value)
{
    if (pattern->type != VALUE_OBJECT)
        return value_equal(pattern, value);
    const char *name = pattern->names[0];
    const struct value *wanted = pattern->items[0];
    if (strcmp(name, "$any") == 0)
        return is_something(value);
    if (strcmp(name, "$not") == 0)
        return !value_equal(wanted, value);
    if (strcmp(name, "$count") == 0)
        return value->type == VALUE_LIST && (int64_t)value->count == wanted->number;
    if (strcmp(name, "$between") == 0)
        return value->type == VALUE_NUMBER && value->number >= wanted->items[0]->number &&
               value->number <= wanted->items[1]->number;
    if (strcmp(name, "$same_elements") == 0)
        return has_same_elements(value, wanted);
    fprintf(stderr, "no pattern is called %s\n", name);
    exit(1);
}
