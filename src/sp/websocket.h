/* Frames of a WebSocket (RFC 6455, section 5). */
#ifndef TRIGGERS_SP_WEBSOCKET_H
#define TRIGGERS_SP_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes before the payload of a frame. */
#define WEBSOCKET_HEAD_MAX 14

/* The most bytes in the payload of a control frame. */
#define WEBSOCKET_CONTROL_MAX 125

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0x0,
    WEBSOCKET_BINARY = 0x2,
    WEBSOCKET_CLOSE = 0x8,
    WEBSOCKET_PING = 0x9,
    WEBSOCKET_PONG = 0xA,
};

struct websocket_head {
    size_t size;     /* of the head itself */
    uint64_t length; /* of the payload */
    enum websocket_opcode opcode;
    bool final;  /* the last frame of its message */
    bool masked; /* with `mask`; a client's frames are masked, a server's are not */
    uint8_t mask[4];
};

enum websocket_result { WEBSOCKET_OK, WEBSOCKET_INCOMPLETE, WEBSOCKET_WRONG };

/* Reads the head at the start of `bytes`. These are wrong: reserved bits and opcodes, text (SP has
 * none), a mask that is missing or must not be there (`masked`: the peer is a client), a length
 * over 2^63 - 1, and a control frame that is in parts or over 125 bytes long. */
enum websocket_result websocket_read_head(const uint8_t *bytes, size_t size, bool masked,
                                          struct websocket_head *head);

/* Whether frames with this opcode are control frames, not parts of a message. */
bool websocket_is_control(enum websocket_opcode opcode);

/* Bytes of the head of a frame. */
size_t websocket_head_size(uint64_t length, bool masked);

/* Writes a head, ignoring its `size`; returns the size written. */
size_t websocket_put_head(uint8_t out[WEBSOCKET_HEAD_MAX], const struct websocket_head *head);

/* Masks or unmasks a payload from its beginning. */
void websocket_mask(uint8_t *payload, size_t size, const uint8_t mask[4]);

#endif
