/* Event ids: TypeID 0.3 with the prefix "evt", over a UUIDv7 (RFC 9562); and the ids of the service
 * that this one replaces, "evt_" and 12 hexadecimal digits, which are kept as a UUIDv8: the digits
 * are its first 48 bits, and the others mark it as ours. Each id has one text. */
#ifndef TRIGGERS_BASE_TYPEID_H
#define TRIGGERS_BASE_TYPEID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TYPEID_BYTES 16       /* the UUID, big-endian, as stored */
#define TYPEID_TEXT_LENGTH 30 /* "evt_" and 26 characters, without the NUL; old ids are shorter */
#define TYPEID_TEXT_SIZE (TYPEID_TEXT_LENGTH + 1)

/* Makes a new UUIDv7. Ids made by one process ascend. Any thread. */
void typeid_make(uint8_t id[TYPEID_BYTES]);

/* Derives an id from a name: the UUIDv5 (RFC 9562, 5.5) of `size` bytes in the namespace of
 * idempotency keys, which events.proto publishes. Any thread. */
void typeid_derive(const char *name, size_t size, uint8_t id[TYPEID_BYTES]);

/* Writes the text form with its NUL. */
void typeid_format(const uint8_t id[TYPEID_BYTES], char text[TYPEID_TEXT_SIZE]);

/* Reads a text of `length` bytes; false unless it is a valid "evt_" TypeID: lower-case Crockford
 * base32, the first of the 26 characters at most '7'; or an old id, its hexadecimal digits in lower
 * case. Any 128 bits are accepted, as the TypeID specification asks, except those of an old id,
 * whose text is the shorter one. */
bool typeid_parse(const char *text, size_t length, uint8_t id[TYPEID_BYTES]);

/* Whether it is an id of the service that this one replaces. */
bool typeid_is_old(const uint8_t id[TYPEID_BYTES]);

#endif
