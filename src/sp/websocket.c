/* Heads of frames and the mask; how a link uses them is in reading.c and writing.c. */
#include "sp/websocket.h"

#include <string.h>

#include "base/check.h"

#define FINAL 0x80
#define RESERVED 0x70
#define OPCODE 0x0F
#define MASKED 0x80
#define LENGTH 0x7F

#define LENGTH_IN_2 126
#define LENGTH_IN_8 127

bool websocket_is_control(enum websocket_opcode opcode)
{
    return opcode >= WEBSOCKET_CLOSE;
}

static bool is_known(enum websocket_opcode opcode)
{
    return opcode == WEBSOCKET_CONTINUATION || opcode == WEBSOCKET_BINARY ||
           (opcode >= WEBSOCKET_CLOSE && opcode <= WEBSOCKET_PONG);
}

static uint64_t get_number(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static void put_number(uint8_t *out, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
}

/* Bytes of a length that the second byte announces. */
static size_t length_size(unsigned announced)
{
    return announced == LENGTH_IN_8 ? 8 : announced == LENGTH_IN_2 ? 2 : 0;
}

static unsigned announce(uint64_t length)
{
    if (length <= WEBSOCKET_CONTROL_MAX)
        return (unsigned)length;
    return length <= UINT16_MAX ? LENGTH_IN_2 : LENGTH_IN_8;
}

enum websocket_result websocket_read_head(const uint8_t *bytes, size_t size, bool masked,
                                          struct websocket_head *head)
{
    if (size < 2)
        return WEBSOCKET_INCOMPLETE;
    unsigned announced = bytes[1] & LENGTH;
    *head = (struct websocket_head){.opcode = bytes[0] & OPCODE,
                                    .final = bytes[0] & FINAL,
                                    .masked = bytes[1] & MASKED,
                                    .length = announced};
    if ((bytes[0] & RESERVED) || !is_known(head->opcode) || head->masked != masked)
        return WEBSOCKET_WRONG;
    if (websocket_is_control(head->opcode) && (!head->final || announced > WEBSOCKET_CONTROL_MAX))
        return WEBSOCKET_WRONG;
    size_t more = length_size(announced);
    head->size = 2 + more + (masked ? 4 : 0);
    if (size < head->size)
        return WEBSOCKET_INCOMPLETE;
    if (more > 0)
        head->length = get_number(bytes + 2, more);
    if (masked)
        memcpy(head->mask, bytes + 2 + more, 4);
    bool shortest = length_size(announce(head->length)) == more;
    return shortest && head->length <= INT64_MAX ? WEBSOCKET_OK : WEBSOCKET_WRONG;
}

size_t websocket_head_size(uint64_t length, bool masked)
{
    return 2 + length_size(announce(length)) + (masked ? 4 : 0);
}

size_t websocket_put_head(uint8_t out[WEBSOCKET_HEAD_MAX], const struct websocket_head *head)
{
    CHECK(head->length <= INT64_MAX);
    CHECK(!websocket_is_control(head->opcode) ||
          (head->final && head->length <= WEBSOCKET_CONTROL_MAX));
    unsigned announced = announce(head->length);
    size_t more = length_size(announced);
    out[0] = (uint8_t)((head->final ? FINAL : 0) | head->opcode);
    out[1] = (uint8_t)((head->masked ? MASKED : 0) | announced);
    put_number(out + 2, more, head->length);
    if (head->masked)
        memcpy(out + 2 + more, head->mask, 4);
    return websocket_head_size(head->length, head->masked);
}

void websocket_mask(uint8_t *payload, size_t size, const uint8_t mask[4])
{
    uint8_t twice[8];
    uint64_t word, key;
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&key, twice, sizeof(key));
    size_t i = 0;
    for (; i + sizeof(word) <= size; i += sizeof(word)) {
        memcpy(&word, payload + i, sizeof(word));
        word ^= key;
        memcpy(payload + i, &word, sizeof(word));
    }
    for (; i < size; i++)
        payload[i] ^= mask[i % 4];
}
