/* A message is followed by its size, as it may come in parts. */
#include "link_written.h"

#include <string.h>

#include "fuzz.h"
#include "sp/handshake.h"
#include "sp/websocket.h"

#define GREETING_SIZE 8

struct written {
    uint8_t *next;
    size_t left;
    const struct link_address *address;
    enum link_protocol protocol;
    struct buffer *messages;
    size_t count;
};

void put_message(struct buffer *messages, const void *part, size_t part_size, size_t size)
{
    buffer_append(messages, part, part_size);
    buffer_append(messages, &size, sizeof(size));
}

static void advance(struct written *written, size_t size)
{
    written->next += size;
    written->left -= size;
}

/* ---- over tcp and ipc ---- */

static void read_greeting(struct written *written)
{
    const uint8_t greeting[GREETING_SIZE] = {0, 'S', 'P', 0, 0, (uint8_t)written->protocol};
    size_t size = written->left < GREETING_SIZE ? written->left : GREETING_SIZE;
    MUST(memcmp(written->next, greeting, size) == 0);
    advance(written, size);
}

static bool read_sp_message(struct written *written)
{
    size_t kind = written->address->framing == LINK_IPC ? 1 : 0;
    size_t prefix = kind + 8, size = 0;
    MUST(kind == 0 || written->left == 0 || written->next[0] == 1);
    if (written->left < prefix)
        return false;
    for (size_t i = kind; i < prefix; i++)
        size = size << 8 | written->next[i];
    MUST(size <= LINK_MAX_MESSAGE);
    if (written->left - prefix < size)
        return false;
    put_message(written->messages, written->next + prefix, size, size);
    written->count++;
    advance(written, prefix + size);
    return true;
}

/* ---- over a WebSocket ---- */

/* Whether frames may follow. */
static bool read_handshake(struct written *written)
{
    static const char accepting[] = "HTTP/1.1 101 ";
    char answer[HANDSHAKE_ANSWER_SIZE];
    size_t answer_size;
    const struct handshake_server server = {.target = written->address->target};
    size_t size = handshake_find_end(written->next, written->left);
    if (size == 0)
        return false;
    if (written->protocol == LINK_REQUESTER)
        MUST(handshake_answer(written->next, size, &server, answer, &answer_size));
    else if (memcmp(written->next, accepting, strlen(accepting)) != 0)
        return false;
    advance(written, size);
    return true;
}

/* Adds the payload to the message that ends at `whole` or began there. */
static void read_payload(struct written *written, const struct websocket_head *head, size_t *whole)
{
    struct buffer *messages = written->messages;
    bool begun = messages->size > *whole;
    MUST(begun == (head->opcode == WEBSOCKET_CONTINUATION));
    if (!head->final) {
        buffer_append(messages, written->next, head->length);
        return;
    }
    put_message(messages, written->next, head->length, messages->size - *whole + head->length);
    *whole = messages->size;
    written->count++;
}

static void read_frames(struct written *written)
{
    struct websocket_head head = {0};
    bool masked = written->protocol == LINK_REQUESTER;
    size_t whole = 0; /* bytes of messages that are */
    for (;;) {
        enum websocket_result result =
            websocket_read_head(written->next, written->left, masked, &head);
        MUST(result != WEBSOCKET_WRONG);
        if (result == WEBSOCKET_INCOMPLETE || written->left - head.size < head.length)
            break;
        advance(written, head.size);
        if (masked)
            websocket_mask(written->next, head.length, head.mask);
        if (websocket_is_control(head.opcode))
            MUST(written->messages->size == whole);
        else
            read_payload(written, &head, &whole);
        advance(written, head.length);
        if (head.opcode == WEBSOCKET_CLOSE)
            MUST(written->left == 0);
    }
    written->messages->size = whole;
}

size_t read_written(struct buffer *bytes, const struct link_address *address,
                    enum link_protocol protocol, struct buffer *messages)
{
    struct written written = {.next = (uint8_t *)bytes->data,
                              .left = bytes->size,
                              .address = address,
                              .protocol = protocol,
                              .messages = messages};
    if (bytes->size == 0)
        return 0;
    if (address->framing != LINK_WEBSOCKET) {
        read_greeting(&written);
        while (read_sp_message(&written))
            continue;
    } else if (read_handshake(&written)) {
        read_frames(&written);
    }
    return written.count;
}
