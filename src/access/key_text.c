#include "access/key_text.h"

#include <mbedtls/md.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "base/clock.h"

#define SCHEME "Bearer "
#define PREFIX "trg_"
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
#define SECRET_LENGTH 43
#define SECRET_AT (PREFIX_LENGTH + KEY_ID_LENGTH + 1)
#define CHECKSUM_AT (SECRET_AT + SECRET_LENGTH)
#define CHECKSUM_LENGTH (KEY_TEXT_LENGTH - CHECKSUM_AT)

#define BASE 62
static const char DIGITS[BASE + 1] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

_Static_assert(CHECKSUM_LENGTH == 6, "62^6 is over 2^32, 62^5 is not");

static bool is_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool are_digits(const char *text, size_t size)
{
    bool are = true;
    for (size_t i = 0; i < size; i++)
        are = are && is_digit(text[i]);
    return are;
}

static void write_checksum(const char *text, char checksum[CHECKSUM_LENGTH])
{
    uLong sum = crc32(0, (const Bytef *)text, CHECKSUM_AT);
    for (size_t i = CHECKSUM_LENGTH; i-- > 0; sum /= BASE)
        checksum[i] = DIGITS[sum % BASE];
}

/* Each digit is as likely as any other: of 64 numbers two are passed over. */
static void fill_digits(char *text, size_t size)
{
    uint8_t random[64];
    size_t count = 0;
    while (count < size) {
        random_fill(random, sizeof(random));
        for (size_t i = 0; i < sizeof(random) && count < size; i++)
            if ((random[i] & 63) < BASE)
                text[count++] = DIGITS[random[i] & 63];
    }
    explicit_bzero(random, sizeof(random));
}

void key_text_make(char text[KEY_TEXT_LENGTH + 1])
{
    memcpy(text, PREFIX, PREFIX_LENGTH);
    fill_digits(text + PREFIX_LENGTH, KEY_ID_LENGTH);
    text[SECRET_AT - 1] = '_';
    fill_digits(text + SECRET_AT, SECRET_LENGTH);
    write_checksum(text, text + CHECKSUM_AT);
    text[KEY_TEXT_LENGTH] = '\0';
}

bool key_text_is_valid(const char *text, size_t size)
{
    char checksum[CHECKSUM_LENGTH];
    if (size != KEY_TEXT_LENGTH || memcmp(text, PREFIX, PREFIX_LENGTH) != 0 ||
        text[SECRET_AT - 1] != '_' || !are_digits(text + PREFIX_LENGTH, KEY_ID_LENGTH) ||
        !are_digits(text + SECRET_AT, SECRET_LENGTH))
        return false;
    write_checksum(text, checksum);
    return memcmp(checksum, text + CHECKSUM_AT, CHECKSUM_LENGTH) == 0;
}

const char *key_text_of_authorization(const char *value, size_t size)
{
    size_t at = sizeof(SCHEME) - 1;
    if (size < at || strncasecmp(value, SCHEME, at) != 0)
        return NULL;
    while (at < size && value[at] == ' ')
        at++;
    return key_text_is_valid(value + at, size - at) ? value + at : NULL;
}

const char *key_text_id(const char *text)
{
    return text + PREFIX_LENGTH;
}

void key_text_hash(const char *text, uint8_t hash[KEY_HASH_SIZE])
{
    CHECK(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256),
                     (const uint8_t *)text + SECRET_AT, SECRET_LENGTH, hash) == 0);
}

bool key_hashes_match(const uint8_t left[KEY_HASH_SIZE], const uint8_t right[KEY_HASH_SIZE])
{
    volatile uint8_t differences = 0; /* so that no compiler ends the loop early */
    for (size_t i = 0; i < KEY_HASH_SIZE; i++)
        differences = differences | (left[i] ^ right[i]);
    return differences == 0;
}

bool key_id_is_valid(const char *id, size_t size)
{
    return size == KEY_ID_LENGTH && are_digits(id, size);
}
