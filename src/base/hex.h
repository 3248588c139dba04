/* Hexadecimal digits. */
#ifndef TRIGGERS_BASE_HEX_H
#define TRIGGERS_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEX_DIGITS "0123456789abcdef"

/* The value of a digit in lower case; -1 for other characters. */
static inline int hex_lower_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The same in either case. */
static inline int hex_digit(char c)
{
    return hex_lower_digit(c >= 'A' && c <= 'F' ? (char)(c | 0x20) : c);
}

/* Writes 2 * `size` digits in lower case and a NUL. */
static inline void hex_write(const uint8_t *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++) {
        *text++ = HEX_DIGITS[bytes[i] >> 4];
        *text++ = HEX_DIGITS[bytes[i] & 15];
    }
    *text = '\0';
}

/* Reads `size` bytes from 2 * `size` digits in lower case; false when a character is no such digit.
 * It reads no further than a NUL. */
static inline bool hex_read(const char *text, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++, text += 2) {
        int high = hex_lower_digit(text[0]);
        int low = high < 0 ? -1 : hex_lower_digit(text[1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

#endif
