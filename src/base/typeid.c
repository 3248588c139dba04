/* TypeID text and UUIDv7 with a sub-millisecond, ever-ascending time part (RFC 9562, 6.2 method 3
 * and the carry of method 2 when the clock does not advance). */
#include "base/typeid.h"

#include <stdatomic.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/clock.h"
#include "base/hex.h"

static const char ALPHABET[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char PREFIX[] = "evt_";
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
#define SUFFIX_LENGTH 26

/* What follows the 48 bits of an old id: version 8, variant 2, and otherwise a random constant. */
static const uint8_t OLD_TAIL[10] = {0x8c, 0xc5, 0xa3, 0x6e, 0x3a, 0x06, 0x04, 0xbf, 0xaf, 0xb7};
#define OLD_DIGITS 12
#define OLD_BYTES (OLD_DIGITS / 2)

/* 60 bits of time: milliseconds in the upper 48, 1/4096 of a millisecond in the lower 12. Strictly
 * ascending within the process, even when the clock stops or steps back. */
static uint64_t next_time(void)
{
    static atomic_uint_fast64_t last;
    int64_t now_us = clock_now_us();
    uint64_t ms = (uint64_t)(now_us / 1000);
    uint64_t now = ms << 12 | (uint64_t)(now_us % 1000) * 4096 / 1000;
    uint64_t seen = atomic_load(&last);
    uint64_t next;
    do {
        next = now > seen ? now : seen + 1;
    } while (!atomic_compare_exchange_weak(&last, &seen, next));
    return next;
}

void typeid_make(uint8_t id[TYPEID_BYTES])
{
    uint64_t time = next_time();
    random_fill(id + 8, TYPEID_BYTES - 8);
    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(time >> (52 - 8 * i));
    id[6] = (uint8_t)(0x70 | (time >> 8 & 0x0F));
    id[7] = (uint8_t)time;
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3F));
}

void typeid_derive(const char *name, size_t size, uint8_t id[TYPEID_BYTES])
{
    static const uuid_t namespace = {0xa0, 0x5e, 0x3d, 0x1e, 0x64, 0xc4, 0x4f, 0x4b,
                                     0x9a, 0x0c, 0x3d, 0x8e, 0x1b, 0x5f, 0x7a, 0x21};
    uuid_generate_sha1(id, namespace, name, size);
}

bool typeid_is_old(const uint8_t id[TYPEID_BYTES])
{
    return memcmp(id + OLD_BYTES, OLD_TAIL, sizeof(OLD_TAIL)) == 0;
}

static void format_old(const uint8_t id[TYPEID_BYTES], char *suffix)
{
    for (size_t i = 0; i < OLD_BYTES; i++) {
        *suffix++ = HEX_DIGITS[id[i] >> 4];
        *suffix++ = HEX_DIGITS[id[i] & 15];
    }
    *suffix = '\0';
}

void typeid_format(const uint8_t id[TYPEID_BYTES], char text[TYPEID_TEXT_SIZE])
{
    memcpy(text, PREFIX, PREFIX_LENGTH);
    if (typeid_is_old(id)) {
        format_old(id, text + PREFIX_LENGTH);
        return;
    }
    /* 130 bits of text for 128 of id: two zero bits lead. */
    unsigned __int128 value = 0;
    for (int i = 0; i < TYPEID_BYTES; i++)
        value = value << 8 | id[i];
    for (size_t i = SUFFIX_LENGTH; i-- > 0; value >>= 5)
        text[PREFIX_LENGTH + i] = ALPHABET[value & 31];
    text[TYPEID_TEXT_LENGTH] = '\0';
}

/* Reads `length` digits of an alphabet of 2^bits; false when a character is not one. */
static bool read_digits(const char *digits, size_t length, const char *alphabet, int bits,
                        unsigned __int128 *value)
{
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        const char *digit = digits[i] ? strchr(alphabet, digits[i]) : NULL;
        if (!digit)
            return false;
        *value = *value << bits | (unsigned)(digit - alphabet);
    }
    return true;
}

static bool parse_old(const char *suffix, uint8_t id[TYPEID_BYTES])
{
    unsigned __int128 value;
    if (!read_digits(suffix, OLD_DIGITS, HEX_DIGITS, 4, &value))
        return false;
    for (size_t i = OLD_BYTES; i-- > 0; value >>= 8)
        id[i] = (uint8_t)value;
    memcpy(id + OLD_BYTES, OLD_TAIL, sizeof(OLD_TAIL));
    return true;
}

bool typeid_parse(const char *text, size_t length, uint8_t id[TYPEID_BYTES])
{
    if (length < PREFIX_LENGTH || memcmp(text, PREFIX, PREFIX_LENGTH) != 0)
        return false;
    const char *suffix = text + PREFIX_LENGTH;
    if (length == PREFIX_LENGTH + OLD_DIGITS)
        return parse_old(suffix, id);
    unsigned __int128 value;
    if (length != TYPEID_TEXT_LENGTH || suffix[0] > '7' /* more than 128 bits */ ||
        !read_digits(suffix, SUFFIX_LENGTH, ALPHABET, 5, &value))
        return false;
    for (size_t i = TYPEID_BYTES; i-- > 0; value >>= 8)
        id[i] = (uint8_t)value;
    return !typeid_is_old(id);
}
