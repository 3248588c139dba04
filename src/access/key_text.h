/* The text of a key: "trg_", 12 characters of id, "_", 43 of secret, and 6 of a checksum, which is
 * the CRC-32 of all before it. All are digits of base 62. Whoever finds such a text in a log or a
 * repository can tell it from others without asking anybody. Any thread. */
#ifndef TRIGGERS_ACCESS_KEY_TEXT_H
#define TRIGGERS_ACCESS_KEY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_TEXT_LENGTH 66
#define KEY_ID_LENGTH 12
#define KEY_HASH_SIZE 32

/* Makes a new key, of the kernel's randomness; the secret has 256 bits of it. */
void key_text_make(char text[KEY_TEXT_LENGTH + 1]);

/* Whether it has the form and the right checksum. Any bytes. */
bool key_text_is_valid(const char *text, size_t size);

/* The valid text in the value of an authorization, "Bearer" and the key (RFC 6750, 2.1): in any
 * case, and with any number of spaces after it (RFC 9110, 11.4). NULL: there is none. Any bytes. */
const char *key_text_of_authorization(const char *value, size_t size);

/* The id of a valid one: KEY_ID_LENGTH characters of `text`. */
const char *key_text_id(const char *text);

/* SHA-256 (FIPS 180-4) of the secret of a valid one. */
void key_text_hash(const char *text, uint8_t hash[KEY_HASH_SIZE]);

/* Compares in a time that does not depend on what they are. */
bool key_hashes_match(const uint8_t left[KEY_HASH_SIZE], const uint8_t right[KEY_HASH_SIZE]);

/* Whether it may be the id of a key. Any bytes. */
bool key_id_is_valid(const char *id, size_t size);

#endif
