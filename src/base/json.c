/* The pass that checks a text, and the steps through one that is checked. */
#include "base/json.h"

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/hex.h"
#include "base/text.h"

#define ONES 0x0101010101010101u /* a one in every byte */
#define HIGHS (ONES << 7)

#define STACK_WORDS (JSON_MAX_DEPTH / 64)
_Static_assert(JSON_MAX_DEPTH % 64 == 0, "the bit stack is made of whole words");

/* Open arrays and objects are bits of a fixed stack, so depth costs neither recursion nor memory.
 */
struct scanner {
    const char *at;
    const char *end;
    const char *reason; /* set by the step that failed, at `at` */
    bool portable;      /* see json_check_portable */
    size_t max_depth;
    size_t depth;                /* open arrays and objects */
    uint64_t stack[STACK_WORDS]; /* bit d: what is open at depth d is an object */
};

void json_skip_mark(const char **text, size_t *size)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t length = strlen(mark);
    if (*size < length || memcmp(*text, mark, length) != 0)
        return;
    *text += length;
    *size -= length;
}

/* ---- what both need ---- */

static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The UTF-16 code unit of four hexadecimal digits; over 0xFFFF when they are not. */
static inline unsigned hex_unit(const char *digits)
{
    unsigned unit = 0;
    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (unsigned)hex_digit(digits[i]);
    return unit;
}

/* By its first byte. */
static inline enum json_type json_type_of(char first)
{
    switch (first) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't':
    case 'f': return JSON_BOOLEAN;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

/* ---- checking ---- */

static bool fail(struct scanner *scanner, const char *reason)
{
    scanner->reason = reason;
    return false;
}

/* Whether a word holds a byte that is not plain string text: a quote, a backslash, a control
 * character or a part of a character above U+007F. A borrow between bytes can only follow such a
 * byte, so the answer is exact. */
static bool word_has_special(uint64_t word)
{
    uint64_t quote = word ^ (ONES * '"');
    uint64_t backslash = word ^ (ONES * '\\');
    return ((word | (word - ONES * 0x20) | (quote - ONES) | (backslash - ONES)) & HIGHS) != 0;
}

static bool byte_is_special(unsigned char byte)
{
    return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
}

/* The first byte at or after `at` that is not plain string text, or `end`. */
static const char *skip_plain(const char *at, const char *end)
{
    uint64_t word;
    while ((size_t)(end - at) >= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        if (word_has_special(word))
            break;
        at += sizeof(word);
    }
    while (at < end && !byte_is_special((unsigned char)*at))
        at++;
    return at;
}

/* Whether a checked escape \uXXXX is not half of a surrogate pair; moves `*after` past the other
 * half. */
static bool is_whole(const char *escape, const char *end, const char **after)
{
    const char *next = *after;
    unsigned unit = hex_unit(escape + 2);
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    if (unit > 0xDBFF || end - next < 6 || next[0] != '\\' || next[1] != 'u')
        return false;
    unsigned low = hex_unit(next + 2);
    *after += 6;
    return low >= 0xDC00 && low <= 0xDFFF;
}

static bool scan_escape(struct scanner *scanner)
{
    const char *at = scanner->at + 1;
    if (at == scanner->end)
        return fail(scanner, "a string is not closed");
    if (*at == '\0' || !strchr("\"\\/bfnrtu", *at))
        return fail(scanner,
                    "an escape in a string is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    if (*at++ == 'u') {
        for (int i = 0; i < 4; i++, at++)
            if (at == scanner->end || hex_digit(*at) < 0)
                return fail(scanner, "\\u in a string is not followed by four hexadecimal digits");
        if (scanner->portable && !is_whole(scanner->at, scanner->end, &at))
            return fail(scanner, "a string has half of a surrogate pair");
    }
    scanner->at = at;
    return true;
}

/* A run of characters above U+007F. */
static bool scan_characters(struct scanner *scanner)
{
    do {
        size_t length = text_utf8_length(scanner->at, scanner->end);
        if (length == 0)
            return fail(scanner, "a string is not valid UTF-8");
        scanner->at += length;
    } while (scanner->at < scanner->end && (unsigned char)*scanner->at >= 0x80);
    return true;
}

static bool scan_string(struct scanner *scanner)
{
    scanner->at++;
    for (;;) {
        scanner->at = skip_plain(scanner->at, scanner->end);
        if (scanner->at == scanner->end)
            return fail(scanner, "a string is not closed");
        unsigned char byte = (unsigned char)*scanner->at;
        if (byte == '"') {
            scanner->at++;
            return true;
        }
        if (byte == '\\') {
            if (!scan_escape(scanner))
                return false;
        } else if (byte < 0x20) {
            return fail(scanner, "a control character in a string is not escaped");
        } else if (!scan_characters(scanner)) {
            return false;
        }
    }
}

/* One or more digits. */
static bool scan_digits(struct scanner *scanner)
{
    const char *start = scanner->at;
    while (scanner->at < scanner->end && is_digit(*scanner->at))
        scanner->at++;
    return scanner->at > start || fail(scanner, "a digit is missing in a number");
}

static bool scan_number(struct scanner *scanner)
{
    const char *end = scanner->end;
    if (*scanner->at == '-')
        scanner->at++;
    const char *start = scanner->at;
    if (!scan_digits(scanner))
        return false;
    if (*start == '0' && scanner->at > start + 1) {
        scanner->at = start + 1;
        return fail(scanner, "a number has a leading zero");
    }
    if (scanner->at < end && *scanner->at == '.') {
        scanner->at++;
        if (!scan_digits(scanner))
            return false;
    }
    if (scanner->at < end && (*scanner->at == 'e' || *scanner->at == 'E')) {
        scanner->at++;
        if (scanner->at < end && (*scanner->at == '+' || *scanner->at == '-'))
            scanner->at++;
        return scan_digits(scanner);
    }
    return true;
}

static bool scan_word(struct scanner *scanner, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, word, length) != 0)
        return fail(scanner, "a word is none of true, false and null");
    scanner->at += length;
    return true;
}

static bool in_object(const struct scanner *scanner)
{
    CHECK(scanner->depth > 0);
    size_t top = scanner->depth - 1;
    return scanner->stack[top / 64] >> (top % 64) & 1;
}

/* A member's name and its colon. */
static bool scan_name(struct scanner *scanner)
{
    scanner->at = skip_space(scanner->at, scanner->end);
    if (scanner->at == scanner->end || *scanner->at != '"')
        return fail(scanner, "the name of a member, a string, is missing");
    if (!scan_string(scanner))
        return false;
    scanner->at = skip_space(scanner->at, scanner->end);
    if (scanner->at == scanner->end || *scanner->at != ':')
        return fail(scanner, "a colon is missing after the name of a member");
    scanner->at++;
    return true;
}

/* The opening of an array or object, and the name of its first member; `opened` says whether a
 * value follows. An empty array or object is scanned to its end. */
static bool scan_open(struct scanner *scanner, bool *opened)
{
    bool object = *scanner->at == '{';
    if (scanner->depth == scanner->max_depth)
        return fail(scanner, scanner->portable ? "arrays and objects are nested over 64 deep"
                                               : "arrays and objects are nested over 512 deep");
    scanner->at = skip_space(scanner->at + 1, scanner->end);
    if (scanner->at < scanner->end && *scanner->at == (object ? '}' : ']')) {
        scanner->at++;
        return true;
    }
    uint64_t bit = (uint64_t)1 << (scanner->depth % 64);
    uint64_t *word = &scanner->stack[scanner->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    scanner->depth++;
    *opened = true;
    return !object || scan_name(scanner);
}

static bool scan_start(struct scanner *scanner, bool *opened)
{
    scanner->at = skip_space(scanner->at, scanner->end);
    if (scanner->at == scanner->end)
        return fail(scanner, "a value is missing");
    switch (*scanner->at) {
    case '{':
    case '[': return scan_open(scanner, opened);
    case '"': return scan_string(scanner);
    case 't': return scan_word(scanner, "true");
    case 'f': return scan_word(scanner, "false");
    case 'n': return scan_word(scanner, "null");
    default: break;
    }
    if (*scanner->at == '-' || is_digit(*scanner->at))
        return scan_number(scanner);
    return fail(scanner, "a value is missing");
}

/* What follows a value: closing brackets, then a comma (and in an object the next name) if
 * anything is still open. */
static bool scan_behind(struct scanner *scanner)
{
    while (scanner->depth > 0) {
        scanner->at = skip_space(scanner->at, scanner->end);
        if (scanner->at == scanner->end)
            return fail(scanner,
                        in_object(scanner) ? "an object is not closed" : "an array is not closed");
        if (*scanner->at == ',') {
            scanner->at++;
            return !in_object(scanner) || scan_name(scanner);
        }
        if (*scanner->at != (in_object(scanner) ? '}' : ']'))
            return fail(scanner, in_object(scanner) ? "neither , nor } follows a member"
                                                    : "neither , nor ] follows an element");
        scanner->at++;
        scanner->depth--;
    }
    return true;
}

static bool scan_value(struct scanner *scanner)
{
    do {
        bool opened = false;
        if (!scan_start(scanner, &opened))
            return false;
        if (!opened && !scan_behind(scanner))
            return false;
    } while (scanner->depth > 0);
    return true;
}

static bool check(const char *text, size_t size, bool portable, struct json_value *value,
                  struct json_error *error)
{
    if (size == 0) {
        *error = (struct json_error){0, "a value is missing"};
        return false;
    }
    struct scanner scanner = {.at = text,
                              .end = text + size,
                              .portable = portable,
                              .max_depth = portable ? JSON_PORTABLE_DEPTH : JSON_MAX_DEPTH};
    const char *start = skip_space(text, scanner.end);
    bool valid = scan_value(&scanner);
    const char *behind = scanner.at;
    if (valid) {
        scanner.at = skip_space(behind, scanner.end);
        valid = scanner.at == scanner.end || fail(&scanner, "text follows the value");
    }
    CHECK(scanner.at >= text && scanner.at <= scanner.end && !valid == !!scanner.reason);
    if (!valid) {
        *error = (struct json_error){(size_t)(scanner.at - text), scanner.reason};
        return false;
    }
    *value = (struct json_value){json_type_of(*start), start, (size_t)(behind - start)};
    return true;
}

bool json_check(const char *text, size_t size, struct json_value *value, struct json_error *error)
{
    return check(text, size, false, value, error);
}

bool json_check_portable(const char *text, size_t size, struct json_value *value,
                         struct json_error *error)
{
    return check(text, size, true, value, error);
}

/* Few texts have numeric escapes or that many brackets, and finding out is faster than scanning. */
bool json_is_portable(const char *text, size_t size)
{
    struct json_value value;
    struct json_error error;
    size_t brackets = 0;
    for (size_t i = 0; i < size; i++)
        brackets += text[i] == '[' || text[i] == '{';
    return (brackets <= JSON_PORTABLE_DEPTH && !memmem(text, size, "\\u", 2)) ||
           json_check_portable(text, size, &value, &error);
}

/* ---- reading what was accepted: every string is closed, every bracket has its partner ---- */

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
