/* The pass that checks a text. Open arrays and objects are bits of a fixed stack, so depth costs
 * neither recursion nor memory. */
#include <string.h>

#include "base/check.h"
#include "base/json_text.h"
#include "base/text.h"

#define STACK_WORDS (JSON_MAX_DEPTH / 64)
_Static_assert(JSON_MAX_DEPTH % 64 == 0, "the bit stack is made of whole words");

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
