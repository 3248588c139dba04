/* SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed hash, which nobody can predict who does
 * not have the key. */
#ifndef TRIGGERS_BASE_SIPHASH_H
#define TRIGGERS_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16

uint64_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], const void *bytes, size_t size);

#endif
