/* Text from elsewhere: its characters in UTF-8, and which of them may be shown. */
#ifndef TRIGGERS_BASE_TEXT_H
#define TRIGGERS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_NO_CHARACTER UINT32_MAX

/* Bytes of the well-formed UTF-8 character above U+007F at `at` (RFC 3629 section 4); 0 if it is
 * none. What the second byte may be depends on the first: that excludes overlong forms, surrogates
 * and everything above U+10FFFF. */
static inline size_t text_utf8_length(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at;
    size_t left = (size_t)(end - at);
    unsigned char first = byte[0];
    size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (first < 0xC2 || first > 0xF4 || left < length)
        return 0;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte[1] < low || byte[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((byte[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

/* Reads the character at `at`, which is before `end`, and returns its length in bytes. A byte that
 * begins no well-formed character counts as one, TEXT_NO_CHARACTER. */
static inline size_t text_next(const char *at, const char *end, uint32_t *character)
{
    const unsigned char *byte = (const unsigned char *)at;
    *character = byte[0];
    if (byte[0] < 0x80)
        return 1;
    size_t length = text_utf8_length(at, end);
    if (length == 0) {
        *character = TEXT_NO_CHARACTER;
        return 1;
    }
    *character = byte[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++)
        *character = *character << 6 | (byte[i] & 0x3F);
    return length;
}

/* Whether a terminal or a viewer shows the character and does nothing else for it. This is false
 * for controls (Unicode's Cc: C0, DEL and C1), line and paragraph separators, and characters that
 * change the order of the text around them (Bidi_Control, UAX #9). */
static inline bool text_is_shown(uint32_t character)
{
    if (character < 0x80)
        return character >= 0x20 && character != 0x7F;
    return !(character < 0xA0 || character == 0x61C || character == 0x200E || character == 0x200F ||
             (character >= 0x2028 && character <= 0x202E) ||
             (character >= 0x2066 && character <= 0x2069) || character == TEXT_NO_CHARACTER);
}

#endif
