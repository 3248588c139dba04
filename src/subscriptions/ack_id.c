/* Bytes of an ack id, and their text. It is read by making the text that its fields have, and
 * comparing: so each id has one text, and no other is accepted. */
#include "subscriptions/ack_id.h"

#include <string.h>

#include "base/base64.h"
#include "base/siphash.h"
#include "base/varint.h"

#define VERSION 1
#define TAG_SIZE 8
#define BYTES_MAX (1 + 5 * VARINT_MAX_SIZE + TAG_SIZE)
#define TEXT_LENGTH(bytes) (((bytes)*4 + 2) / 3)

_Static_assert(TEXT_LENGTH(BYTES_MAX) < ACK_ID_SIZE, "any id fits");

static void format_url_base64(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | bytes[i];
        for (count += 8; count >= 6; count -= 6)
            *text++ = digits[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *text++ = digits[bits << (6 - count) & 63];
    *text = '\0';
}

void ack_id_format(const struct ack_id *id, const uint8_t key[16], char text[ACK_ID_SIZE])
{
    uint8_t bytes[BYTES_MAX] = {VERSION};
    size_t size = 1;
    const uint64_t fields[] = {(uint64_t)id->subscription, (uint64_t)id->epoch,
                               (uint64_t)id->lease.number << 1 | id->lease.again, id->lease.token,
                               (uint64_t)id->sequence};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        size += varint_write(bytes + size, fields[i]);
    uint64_t tag = siphash(key, bytes, size);
    for (size_t i = 0; i < TAG_SIZE; i++)
        bytes[size++] = (uint8_t)(tag >> (8 * i));
    format_url_base64(bytes, size, text);
}

/* The fields of any text of this form, whoever made it. */
static bool read_fields(const char *text, struct ack_id *id)
{
    uint8_t bytes[ACK_ID_SIZE];
    size_t size;
    if (strnlen(text, ACK_ID_SIZE) == ACK_ID_SIZE || !base64_read(text, bytes, &size) ||
        size < 1 + TAG_SIZE || bytes[0] != VERSION)
        return false;
    const uint8_t *at = bytes + 1;
    const uint8_t *end = bytes + size - TAG_SIZE;
    uint64_t subscription, epoch, number, token, sequence;
    if (!varint_read(&at, end, &subscription) || !varint_read(&at, end, &epoch) ||
        !varint_read(&at, end, &number) || !varint_read(&at, end, &token) ||
        !varint_read(&at, end, &sequence) || at != end)
        return false;
    if (subscription > INT64_MAX || epoch > INT64_MAX || token > UINT32_MAX || sequence == 0 ||
        sequence > INT64_MAX)
        return false;
    *id = (struct ack_id){
        .subscription = (int64_t)subscription,
        .epoch = (int64_t)epoch,
        .lease = {(int64_t)(number >> 1), (uint32_t)token, number & 1},
        .sequence = (int64_t)sequence,
    };
    return true;
}

/* In a time that does not tell where they differ. */
static bool is_same_text(const char *a, const char *b)
{
    size_t length = strlen(a);
    unsigned char differ = 0;
    if (strlen(b) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

enum ack_id_fault ack_id_parse(const char *text, int64_t subscription, const uint8_t key[16],
                               struct ack_id *id)
{
    char right[ACK_ID_SIZE];
    if (!read_fields(text, id))
        return ACK_ID_MALFORMED;
    if (id->subscription != subscription)
        return ACK_ID_FOREIGN;
    ack_id_format(id, key, right);
    return is_same_text(text, right) ? ACK_ID_RIGHT : ACK_ID_MALFORMED;
}
