/* Four characters for three bytes, both ways. */
#include "base64.h"

#include <string.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buffer *buffer, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += 3) {
        size_t count = size - at < 3 ? size - at : 3;
        uint32_t bits = (uint32_t)bytes[at] << 16;
        bits |= count > 1 ? (uint32_t)bytes[at + 1] << 8 : 0;
        bits |= count > 2 ? bytes[at + 2] : 0;
        char group[4] = {DIGITS[bits >> 18], DIGITS[bits >> 12 & 63],
                         count > 1 ? DIGITS[bits >> 6 & 63] : '=',
                         count > 2 ? DIGITS[bits & 63] : '='};
        buffer_append(buffer, group, sizeof(group));
    }
}

/* -1: it is none. Comparing is quicker than a search, and acknowledgements have many of them. */
static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool base64_read(const char *text, uint8_t *bytes, size_t *size)
{
    uint32_t bits = 0;
    size_t digits = 0;
    *size = 0;
    for (int value; (value = digit_value(*text)) >= 0; text++) {
        bits = bits << 6 | (uint32_t)value;
        if (digits++ % 4 > 0)
            bytes[(*size)++] = (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    size_t padding = strspn(text, "=");
    bool padded = (digits + padding) % 4 == 0 && padding < 3;
    return text[padding] == '\0' && digits % 4 != 1 && (padding == 0 || padded);
}
