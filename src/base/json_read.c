/* Steps through text that json_check accepted, and strings in it: every string is closed, every
 * bracket has its partner. */
#include <string.h>

#include "base/json_text.h"

#include "base/check.h"

static bool word_has_quote_or_backslash(uint64_t word)
{
    uint64_t quote = word ^ (ONES * '"');
    uint64_t backslash = word ^ (ONES * '\\');
    return (((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash)) & HIGHS;
}

static const char *skip_string(const char *at, const char *end)
{
    uint64_t word;
    at++;
    for (;;) {
        while ((size_t)(end - at) >= sizeof(word)) {
            memcpy(&word, at, sizeof(word));
            if (word_has_quote_or_backslash(word))
                break;
            at += sizeof(word);
        }
        while (*at != '"' && *at != '\\')
            at++;
        if (*at == '"')
            return at + 1;
        at += 2;
    }
}

static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        switch (*at) {
        case '[':
        case '{': depth++; break;
        case ']':
        case '}': depth--; break;
        case '"': at = skip_string(at, end); continue;
        default: break;
        }
        at++;
    } while (depth > 0);
    return at;
}

static const char *skip_scalar(const char *at, const char *end)
{
    while (at < end && !strchr(" \t\r\n,]}", *at))
        at++;
    return at;
}

static const char *take_value(const char *at, const char *end, struct json_value *value)
{
    CHECK(at < end);
    enum json_type type = json_type_of(*at);
    const char *behind = type == JSON_STRING                         ? skip_string(at, end)
                         : type == JSON_ARRAY || type == JSON_OBJECT ? skip_nested(at, end)
                                                                     : skip_scalar(at, end);
    CHECK(behind > at && behind <= end);
    *value = (struct json_value){type, at, (size_t)(behind - at)};
    return behind;
}

/* Where the next element or name starts; NULL at the closing bracket. */
static const char *seek_next(const struct json_value *container, const struct json_cursor *cursor)
{
    const char *end = container->text + container->size;
    CHECK(container->size >= 2 && cursor->offset < container->size);
    const char *at = container->text + (cursor->offset ? cursor->offset : 1);
    at = skip_space(at, end);
    if (*at == ',')
        at = skip_space(at + 1, end);
    return at < end - 1 ? at : NULL;
}

bool json_array_next(const struct json_value *array, struct json_cursor *cursor,
                     struct json_value *element)
{
    CHECK(array->type == JSON_ARRAY);
    const char *at = seek_next(array, cursor);
    if (!at)
        return false;
    at = take_value(at, array->text + array->size, element);
    cursor->offset = (size_t)(at - array->text);
    return true;
}

bool json_object_next(const struct json_value *object, struct json_cursor *cursor,
                      struct json_value *key, struct json_value *value)
{
    CHECK(object->type == JSON_OBJECT);
    const char *end = object->text + object->size;
    const char *at = seek_next(object, cursor);
    if (!at)
        return false;
    at = take_value(at, end, key);
    at = skip_space(at, end) + 1; /* the colon */
    at = take_value(skip_space(at, end), end, value);
    cursor->offset = (size_t)(at - object->text);
    return true;
}

static size_t utf8_encode(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[length] | code);
    return length;
}

/* Decodes the \uXXXX at *at, with its partner if it is a surrogate, and steps past it. 0 when the
 * partner is missing. */
static size_t decode_unicode(const char **at, char out[4])
{
    unsigned code = hex_unit(*at + 2);
    *at += 6;
    if (code >= 0xD800 && code <= 0xDFFF) {
        if (code >= 0xDC00 || (*at)[0] != '\\' || (*at)[1] != 'u')
            return 0;
        unsigned low = hex_unit(*at + 2);
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        *at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    return utf8_encode(code, out);
}

static size_t decode_escape(const char **at, char out[4])
{
    char c = (*at)[1];
    if (c == 'u')
        return decode_unicode(at, out);
    *at += 2;
    switch (c) {
    case 'b': out[0] = '\b'; break;
    case 'f': out[0] = '\f'; break;
    case 'n': out[0] = '\n'; break;
    case 'r': out[0] = '\r'; break;
    case 't': out[0] = '\t'; break;
    default: out[0] = c; break;
    }
    return 1;
}

/* The run of text before the next escape. */
static size_t run_length(const char *at, const char *close)
{
    const char *escape = memchr(at, '\\', (size_t)(close - at));
    return (size_t)((escape ? escape : close) - at);
}

bool json_string_decode(const struct json_value *string, char *out, size_t *length)
{
    CHECK(string->type == JSON_STRING && string->size >= 2);
    const char *at = string->text + 1;
    const char *close = string->text + string->size - 1;
    char *to = out;
    while (at < close) {
        size_t run = run_length(at, close);
        memcpy(to, at, run);
        to += run;
        at += run;
        if (at == close)
            break;
        char character[4];
        size_t bytes = decode_escape(&at, character);
        if (bytes == 0)
            return false;
        memcpy(to, character, bytes);
        to += bytes;
    }
    *to = '\0';
    *length = (size_t)(to - out);
    CHECK(*length <= string->size - 2);
    return true;
}

/* Whether the next bytes of a text, of which `left` remain, are these `size`; steps over them. */
static bool match(const char **text, size_t *left, const char *bytes, size_t size)
{
    if (size > *left || memcmp(*text, bytes, size) != 0)
        return false;
    *text += size;
    *left -= size;
    return true;
}

bool json_string_equals(const struct json_value *string, const char *text)
{
    CHECK(string->type == JSON_STRING && string->size >= 2);
    const char *at = string->text + 1;
    const char *close = string->text + string->size - 1;
    size_t left = strlen(text);
    while (at < close) {
        size_t run = run_length(at, close);
        if (!match(&text, &left, at, run))
            return false;
        at += run;
        if (at == close)
            break;
        char character[4];
        size_t bytes = decode_escape(&at, character);
        if (bytes == 0 || !match(&text, &left, character, bytes))
            return false;
    }
    return left == 0;
}
