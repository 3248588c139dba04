/* Unicode through libunistring; ASCII names, which are nearly all names, do not need it. */
#include "events/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#include "base/hex.h"
#include "base/json.h"

/* What Python's str.strip removed in the service that this one replaces: Unicode White_Space and
 * the four ASCII separators. */
static bool is_space(ucs4_t c)
{
    return (c >= 0x1C && c <= 0x1F) || uc_is_property_white_space(c);
}

static struct slice trim(const char *text)
{
    const uint8_t *start = (const uint8_t *)text;
    const uint8_t *end = start + strlen(text);
    ucs4_t c;
    for (const uint8_t *next; (next = u8_next(&c, start)) && is_space(c); start = next) {
    }
    for (const uint8_t *last; end > start && (last = u8_prev(&c, end, start)) && is_space(c);
         end = last) {
    }
    return (struct slice){(const char *)start, (size_t)(end - start)};
}

/* False without memory. */
static bool lower_unicode(struct slice text, struct arena *arena, struct slice *out)
{
    size_t size = 0;
    uint8_t *lower = u8_tolower((const uint8_t *)text.data, text.size, NULL, NULL, NULL, &size);
    if (!lower) {
        arena->exhausted = true;
        return false;
    }
    *out = (struct slice){arena_copy(arena, lower, size), size};
    free(lower);
    return out->data != NULL;
}

static bool lower(struct slice text, struct arena *arena, struct slice *out)
{
    char *copy = arena_copy(arena, text.data, text.size);
    if (!copy)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char)copy[i] >= 0x80)
            return lower_unicode(text, arena, out);
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + ('a' - 'A'));
    }
    *out = (struct slice){copy, text.size};
    return true;
}

static bool is_too_long(struct slice text)
{
    return text.size > EVENT_NAME_MAX &&
           u8_mbsnlen((const uint8_t *)text.data, text.size) > EVENT_NAME_MAX;
}

bool rule_key(const char *key)
{
    return !is_too_long((struct slice){key, strlen(key)});
}

bool rule_name(const char *text, struct arena *arena, struct slice *out, const char **description)
{
    struct slice trimmed = trim(text);
    *description = NULL;
    if (trimmed.size == 0)
        *description = "must have at least 1 character other than white space";
    else if (is_too_long(trimmed) /* lower case never has fewer characters */
             || (lower(trimmed, arena, out) && is_too_long(*out)))
        *description = "must have at most 255 characters in lower case, as it is stored";
    return !*description && !arena->exhausted;
}

#define DESCRIPTION_SIZE 160

bool rule_payload(struct slice payload, const struct payload_rules *rules, struct arena *arena,
                  const char **description)
{
    char text[DESCRIPTION_SIZE];
    struct json_value value;
    struct json_error error;
    bool (*check)(const char *, size_t, struct json_value *, struct json_error *) =
        rules->any ? json_check : json_check_portable;
    if (payload.size > rules->max_size)
        snprintf(text, sizeof(text), "must be at most %zu bytes, is %zu", rules->max_size,
                 payload.size);
    else if (!check(payload.data, payload.size, &value, &error))
        snprintf(text, sizeof(text), "must be a JSON object: %s at byte %zu", error.reason,
                 error.offset);
    else if (value.type != JSON_OBJECT)
        snprintf(text, sizeof(text), "must be a JSON object, not another JSON value");
    else
        return true;
    *description = arena_copy(arena, text, strlen(text));
    return false;
}

#define TOKEN_BYTES 26 /* version, flags, time, id */
#define TOKEN_VERSION 1

static uint8_t token_flags(const struct store_list *list)
{
    return (uint8_t)((list->acknowledged ? 1 : 0) | (list->oldest_first ? 2 : 0));
}

void page_token_format(const struct store_list *list, const struct store_position *last,
                       char token[PAGE_TOKEN_SIZE])
{
    uint8_t bytes[TOKEN_BYTES] = {TOKEN_VERSION, token_flags(list)};
    for (int i = 0; i < 8; i++)
        bytes[2 + i] = (uint8_t)((uint64_t)last->created_at_us >> (56 - 8 * i));
    memcpy(bytes + 10, last->id, TYPEID_BYTES);
    hex_write(bytes, TOKEN_BYTES, token);
}

bool page_token_parse(const char *token, struct store_list *list)
{
    uint8_t bytes[TOKEN_BYTES];
    if (strlen(token) != 2 * TOKEN_BYTES || !hex_read(token, bytes, TOKEN_BYTES))
        return false;
    if (bytes[0] != TOKEN_VERSION || bytes[1] != token_flags(list))
        return false;
    uint64_t time = 0;
    for (int i = 0; i < 8; i++)
        time = time << 8 | bytes[2 + i];
    list->has_after = true;
    list->after.created_at_us = (int64_t)time;
    memcpy(list->after.id, bytes + 10, TYPEID_BYTES);
    return true;
}
