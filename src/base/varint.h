/* The variable-length integers of the protobuf encoding: seven bits per byte, the lowest first. */
#ifndef TRIGGERS_BASE_VARINT_H
#define TRIGGERS_BASE_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARINT_MAX_SIZE 10 /* bytes of one */

/* Reads one at `*at` and moves past it; false when it does not end before `end` or within ten
 * bytes. */
static inline bool varint_read(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Returns its size, at most VARINT_MAX_SIZE. */
static inline size_t varint_write(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        out[size++] = (uint8_t)(value | 0x80);
    out[size++] = (uint8_t)value;
    return size;
}

#endif
