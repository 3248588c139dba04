/* Unicode through libunistring; ASCII names, which are nearly all names, do not need it. */
#include "events/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#include "base/check.h"
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

/* Lower-cases a name whose length, as it is stored, is limited; false with a text, or without
 * memory. */
static bool lower_name(struct slice trimmed, struct arena *arena, struct slice *out,
                       const char **description)
{
    *description = NULL;
    if (is_too_long(trimmed) /* lower case never has fewer characters */
        || (lower(trimmed, arena, out) && is_too_long(*out)))
        *description = "must have at most 255 characters in lower case, as it is stored";
    return !*description && !arena->exhausted;
}

bool rule_name(const char *text, struct arena *arena, struct slice *out, const char **description)
{
    struct slice trimmed = trim(text);
    if (trimmed.size > 0)
        return lower_name(trimmed, arena, out, description);
    *description = "must have at least 1 character other than white space";
    return false;
}

/* Without memory NULL, as the arena remembers. */
static const char *append_star(struct slice name, struct arena *arena)
{
    char *pattern = arena_alloc(arena, name.size + 1);
    if (!pattern)
        return NULL;
    memcpy(pattern, name.data, name.size);
    pattern[name.size] = '*';
    return pattern;
}

bool rule_pattern(const char *text, struct arena *arena, struct slice *out,
                  const char **description)
{
    struct slice name = trim(text);
    bool is_start = name.size > 0 && name.data[name.size - 1] == '*';
    name.size -= is_start;
    if (memchr(name.data, '*', name.size)) {
        *description = "must have no '*' but one at its end";
        return false;
    }
    if (name.size == 0 && !is_start) {
        *description = "must have at least 1 character other than white space";
        return false;
    }
    if (!lower_name(name, arena, out, description))
        return false;
    if (is_start)
        *out = (struct slice){append_star(*out, arena), out->size + 1};
    return out->data != NULL;
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

static void put_number(uint8_t bytes[8], uint64_t number)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
}

/* FNV-1a: tells lists apart, and is no secret. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *next = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ next[i]) * HASH_PRIME;
    return hash;
}

static uint64_t hash_number(uint64_t hash, int64_t number)
{
    uint8_t bytes[8];
    put_number(bytes, (uint64_t)number);
    return hash_bytes(hash, bytes, sizeof(bytes));
}

static uint64_t hash_names(uint64_t hash, const struct slice *names, size_t count)
{
    hash = hash_number(hash, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        hash = hash_number(hash, (int64_t)names[i].size);
        hash = hash_bytes(hash, names[i].data, names[i].size);
    }
    return hash;
}

uint64_t page_list_of(const struct store_list *list)
{
    const struct store_filter *filter = &list->filter;
    uint64_t hash = HASH_START;
    hash = hash_number(hash, (int64_t)list->set);
    hash = hash_number(hash, list->oldest_first);
    hash = hash_names(hash, filter->sources, filter->source_count);
    hash = hash_names(hash, filter->types, filter->type_count);
    hash = hash_number(hash, filter->from_us);
    hash = hash_number(hash, filter->until_us);
    return hash;
}

#define TOKEN_BYTES 17 /* version, list, position */
#define TOKEN_VERSION 2

static uint64_t take_number(const uint8_t bytes[8])
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

void page_token_format(uint64_t list, int64_t after, char token[PAGE_TOKEN_SIZE])
{
    CHECK(after >= 1);
    uint8_t bytes[TOKEN_BYTES] = {TOKEN_VERSION};
    put_number(bytes + 1, list);
    put_number(bytes + 9, (uint64_t)after);
    hex_write(bytes, TOKEN_BYTES, token);
}

bool page_token_parse(const char *token, uint64_t list, int64_t *after)
{
    uint8_t bytes[TOKEN_BYTES];
    if (strlen(token) != 2 * TOKEN_BYTES || !hex_read(token, bytes, TOKEN_BYTES))
        return false;
    if (bytes[0] != TOKEN_VERSION || take_number(bytes + 1) != list)
        return false;
    *after = (int64_t)take_number(bytes + 9);
    return *after >= 1;
}
