/* What checking and reading JSON share. Private to the two. */
#ifndef TRIGGERS_BASE_JSON_TEXT_H
#define TRIGGERS_BASE_JSON_TEXT_H

#include <stdint.h>

#include "base/hex.h"
#include "base/json.h"

#define ONES 0x0101010101010101u /* a one in every byte */
#define HIGHS (ONES << 7)

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

#endif
