/* TypeID text and UUIDv7 with a sub-millisecond, ever-ascending time part (RFC 9562, 6.2 method 3
 * and the carry of method 2 when the clock does not advance). */
#include "base/typeid.h"

#include <stdatomic.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/clock.h"

static const char ALPHABET[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char PREFIX[] = "evt_";
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
#define SUFFIX_LENGTH 26

/* 60 bits of time: milliseconds in the upper 48, 1/4096 of a millisecond in the lower 12. Strictly
 * ascending within the process, also when the clock stands or steps back. */
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

void typeid_format(const uint8_t id[TYPEID_BYTES], char text[TYPEID_TEXT_SIZE])
{
    memcpy(text, PREFIX, PREFIX_LENGTH);
    /* 130 bits of text for 128 of id: two zero bits lead. */
    unsigned __int128 value = 0;
    for (int i = 0; i < TYPEID_BYTES; i++)
        value = value << 8 | id[i];
    for (size_t i = SUFFIX_LENGTH; i-- > 0; value >>= 5)
        text[PREFIX_LENGTH + i] = ALPHABET[value & 31];
    text[TYPEID_TEXT_LENGTH] = '\0';
}

bool typeid_parse(const char *text, size_t length, uint8_t id[TYPEID_BYTES])
{
    if (length != TYPEID_TEXT_LENGTH || memcmp(text, PREFIX, PREFIX_LENGTH) != 0)
        return false;
    const char *suffix = text + PREFIX_LENGTH;
    if (suffix[0] > '7')
        return false; /* more than 128 bits */
    unsigned __int128 value = 0;
    for (size_t i = 0; i < SUFFIX_LENGTH; i++) {
        const char *digit = suffix[i] ? strchr(ALPHABET, suffix[i]) : NULL;
        if (!digit)
            return false;
        value = value << 5 | (unsigned)(digit - ALPHABET);
    }
    for (size_t i = TYPEID_BYTES; i-- > 0; value >>= 8)
        id[i] = (uint8_t)value;
    return true;
}
