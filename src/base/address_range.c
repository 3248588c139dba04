#include "base/address_range.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0:0/96, RFC 4291 section 2.5.5.2 */

static const uint8_t MAPPED[12] = {[10] = 0xFF, [11] = 0xFF};

/* Reads an address without a zone. *bits: how many bits of `bytes` are before it. */
static bool read_address(const char *text, uint8_t bytes[16], unsigned *bits)
{
    *bits = 0;
    if (inet_pton(AF_INET6, text, bytes) == 1)
        return true;
    memcpy(bytes, MAPPED, sizeof(MAPPED));
    *bits = MAPPED_BITS;
    return inet_pton(AF_INET, text, bytes + sizeof(MAPPED)) == 1;
}

/* A number to `most`, without a sign or needless zeros. */
static bool read_prefix(const char *text, unsigned most, unsigned *prefix)
{
    size_t digits = strlen(text);
    *prefix = 0;
    if (digits == 0 || digits > 3 || (text[0] == '0' && digits > 1))
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        *prefix = *prefix * 10 + (unsigned)(*text - '0');
    }
    return *prefix <= most;
}

static bool same_bits(const uint8_t *left, const uint8_t *right, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned mask = 0xFF00u >> bits % 8 & 0xFF;
    return memcmp(left, right, whole) == 0 &&
           (bits % 8 == 0 || ((left[whole] ^ right[whole]) & mask) == 0);
}

bool address_range_parse(const char *text, size_t size, struct address_range *range)
{
    char copy[INET6_ADDRSTRLEN + sizeof("/128")];
    unsigned before;
    if (size >= sizeof(copy) || memchr(text, '\0', size))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if (!read_address(copy, range->bytes, &before))
        return false;
    range->prefix = 128;
    if (slash && !read_prefix(slash + 1, 128 - before, &range->prefix))
        return false;
    if (slash)
        range->prefix += before;
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = range->prefix > 8 * i ? range->prefix - 8 * i : 0;
        if (kept < 8 && range->bytes[i] & 0xFF >> kept)
            return false;
    }
    return true;
}

bool address_parse(const char *text, uint8_t bytes[16])
{
    char copy[INET6_ADDRSTRLEN];
    unsigned before;
    size_t size = strcspn(text, "%");
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return read_address(copy, bytes, &before);
}

bool address_range_has(const struct address_range *range, const uint8_t bytes[16])
{
    return same_bits(range->bytes, bytes, range->prefix);
}

bool address_range_covers(const struct address_range *outer, const struct address_range *inner)
{
    return outer->prefix <= inner->prefix && same_bits(outer->bytes, inner->bytes, outer->prefix);
}

bool address_ranges_parse(struct address_ranges *ranges, const char *text, char *why, size_t size)
{
    ranges->count = 0;
    while (*(text += strspn(text, ", \t"))) {
        size_t length = strcspn(text, ", \t");
        if (ranges->count == ADDRESS_RANGES_MAX) {
            snprintf(why, size, "at most %d ranges are accepted", ADDRESS_RANGES_MAX);
            return false;
        }
        if (!address_range_parse(text, length, &ranges->list[ranges->count])) {
            snprintf(why, size,
                     "\"%.*s\" is neither an address nor a range such as 10.0.0.0/8 or "
                     "2001:db8::/32, whose bits after the prefix are 0",
                     length < 60 ? (int)length : 60, text);
            return false;
        }
        ranges->count++;
        text += length;
    }
    return true;
}

bool address_ranges_have(const struct address_ranges *ranges, const uint8_t bytes[16])
{
    for (size_t i = 0; i < ranges->count; i++)
        if (address_range_has(&ranges->list[i], bytes))
            return true;
    return false;
}
