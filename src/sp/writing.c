/* Sending: a queue of messages, from which the writer takes as many at once as nng allows. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "sp/link_internal.h"

/* Pieces that nng 1.5 sends in one call. */
#define MAX_PIECES 8

/* Over a WebSocket a longer message goes in frames of this size, because nng accepts none over 1
 * MiB by default. */
#define FRAGMENT ((size_t)1 << 19)

/* Random bytes for so many masks are taken at once. */
#define MASKS 64

/* Room for the heads of all its frames. */
static size_t head_room(size_t size)
{
    return WEBSOCKET_HEAD_MAX * (1 + size / FRAGMENT);
}

uint8_t *link_reserve(struct link_message *message, const uint8_t *route, size_t route_size,
                      size_t size)
{
    CHECK(!message->memory && route_size <= LINK_MAX_ROUTE);
    size_t room = head_room(route_size + size);
    message->memory = malloc(room + route_size + size);
    if (!message->memory)
        return NULL;
    message->bytes = message->memory + room;
    message->size = route_size + size;
    memcpy(message->bytes, route, route_size);
    return message->bytes + route_size;
}

void link_discard(struct link_message *message)
{
    free(message->memory);
    message->memory = NULL;
}

/* ---- frames ---- */

/* RFC 6455, 10.3: it must be unpredictable. */
static void make_mask(uint8_t mask[4])
{
    static _Thread_local uint8_t random[MASKS][4];
    static _Thread_local size_t left;
    if (left == 0) {
        random_fill(random, sizeof(random));
        left = MASKS;
    }
    memcpy(mask, random[--left], 4);
}

/* Puts a frame at `out`, with a payload that may lie a little after it; returns its end. */
static uint8_t *put_frame(const struct link *link, uint8_t *out, struct websocket_head head,
                          const uint8_t *payload)
{
    head.masked = link->protocol == LINK_REQUESTER;
    if (head.masked)
        make_mask(head.mask);
    out += websocket_put_head(out, &head);
    memmove(out, payload, head.length);
    if (head.masked)
        websocket_mask(out, head.length, head.mask);
    return out + head.length;
}

static size_t size_of_heads(const struct link *link, size_t size)
{
    bool masked = link->protocol == LINK_REQUESTER;
    size_t last = size % FRAGMENT;
    return size / FRAGMENT * websocket_head_size(FRAGMENT, masked) +
           websocket_head_size(last, masked);
}

/* Moves what is before the last fragment to the front as far as the heads need. */
static void frame_for_websocket(const struct link *link, struct link_message *message)
{
    const uint8_t *payload = message->bytes;
    size_t left = message->size;
    uint8_t *out = message->bytes - size_of_heads(link, left);
    struct websocket_head head = {.opcode = WEBSOCKET_BINARY};
    message->bytes = out;
    while (!head.final) {
        head.final = left < FRAGMENT;
        head.length = head.final ? left : FRAGMENT;
        out = put_frame(link, out, head, payload);
        head.opcode = WEBSOCKET_CONTINUATION;
        payload += head.length;
        left -= head.length;
    }
    CHECK(message->bytes >= message->memory && left == 0);
    message->size = (size_t)(out - message->bytes);
}

/* Before a message: its length in 8 bytes, big-endian, and over ipc its kind before that. */
static void frame_for_sp(const struct link *link, struct link_message *message)
{
    size_t size = message->size;
    const uint8_t *end = message->bytes + size;
    message->bytes -= 8;
    for (int i = 0; i < 8; i++)
        message->bytes[i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    if (link->address->framing == LINK_IPC)
        *--message->bytes = IPC_MESSAGE;
    CHECK(message->bytes >= message->memory);
    message->size = (size_t)(end - message->bytes);
}

/* ---- the queue; under the mutex ---- */

static void line_append(struct outgoing *out, struct link_message *message)
{
    CHECK(message->memory && message->size > 0 && !*out->last);
    message->next = NULL;
    *out->last = message;
    out->last = &message->next;
}

/* Takes the first one out and puts it at the end of another list. */
static struct link_message **line_move(struct outgoing *out, struct link_message **end)
{
    struct link_message *message = out->first;
    CHECK(message);
    out->first = message->next;
    if (!out->first)
        out->last = &out->first;
    out->left = 0;
    message->next = NULL;
    *end = message;
    return &message->next;
}

/* ---- what goes over the stream ---- */

/* By when the peer must have read more; under the mutex. */
static nng_duration get_timeout(struct link *link)
{
    struct outgoing *out = &link->out;
    int64_t written = (int64_t)out->written * 1000;
    int64_t line_ms = out->begun_ms + written / LINK_RATE_PRESSED;
    out->slow_since_ms = line_ms < out->first_ms ? line_ms : out->first_ms;
    int64_t left = out->begun_ms + LINK_REST_MS + written / LINK_RATE - clock_monotonic_ms();
    return left > 0 ? (nng_duration)left : 1;
}

static void prepare_pieces(struct link *link)
{
    nng_iov pieces[MAX_PIECES];
    unsigned count = 0;
    pthread_mutex_lock(&link->mutex);
    nng_aio_set_timeout(link->writer, link->limited ? get_timeout(link) : NNG_DURATION_INFINITE);
    size_t left = link->out.left;
    CHECK(link->out.writing && link->out.first && left < link->out.first->size);
    struct link_message *message = link->out.first;
    for (; message && count < MAX_PIECES; message = message->next) {
        pieces[count++] = (nng_iov){message->bytes + left, message->size - left};
        left = 0;
    }
    pthread_mutex_unlock(&link->mutex);
    nng_aio_set_iov(link->writer, count, pieces);
}

/* The queue is not empty and the writer is ours, until its callback, which may run before this
 * returns. */
static void write_some(struct link *link)
{
    link_hold(link);
    prepare_pieces(link);
    nng_stream_send(link->stream, link->writer);
    link_end_begun(link, link->writer);
    link_release(link);
}

/* Takes out what has left entirely. */
static void take_written(struct link *link, struct link_message **end)
{
    struct outgoing *out = &link->out;
    size_t written = out->left + nng_aio_count(link->writer);
    CHECK(out->writing);
    out->written += nng_aio_count(link->writer);
    if (out->first && written >= out->first->size)
        out->first_ms = clock_monotonic_ms();
    while (out->first && written >= out->first->size) {
        written -= out->first->size;
        end = line_move(out, end);
    }
    CHECK(out->first || written == 0);
    out->left = written;
}

static void say(struct link *link, const void *bytes, size_t size);

static void on_said(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    CHECK(link->speaking);
    bool last = link->last_words;
    struct later_words later = link->later;
    link->later.size = 0;
    link->speaking = later.size > 0;
    link->last_words = later.last;
    pthread_mutex_unlock(&link->mutex);
    if (last)
        link_close_because(link, NULL);
    if (later.size > 0)
        say(link, later.bytes, later.size);
}

static void tell_sent(struct link *link, struct link_message *messages, bool left)
{
    while (messages) {
        struct link_message *message = messages;
        messages = message->next;
        link_discard(message);
        if (message == &link->words)
            on_said(link);
        else
            link->events->sent(link->owner, link, message, left);
    }
}

/* Takes all out when the link is closed. */
static struct link_message *take_lost(struct link *link)
{
    struct link_message *lost = NULL;
    struct link_message **end = &lost;
    while (link->closed && link->out.first)
        end = line_move(&link->out, end);
    return lost;
}

void link_on_written(void *argument)
{
    struct link *link = link_cast(argument);
    int error = nng_aio_result(link->writer);
    struct link_message *written = NULL;
    if (error != 0)
        link_close_because(link, error == NNG_ETIMEDOUT ? "it does not read its messages" : NULL);
    pthread_mutex_lock(&link->mutex);
    if (error == 0)
        take_written(link, &written);
    struct link_message *lost = take_lost(link);
    bool more = link->out.first != NULL;
    link->out.writing = more;
    if (!more)
        link->out.slow_since_ms = 0;
    pthread_mutex_unlock(&link->mutex);
    tell_sent(link, written, true);
    tell_sent(link, lost, false);
    if (more)
        write_some(link);
    else
        link_release(link);
}

/* ---- giving it messages ---- */

/* Whether to begin writing; then the writer is ours. Under the mutex. */
static bool begin_writing(struct link *link)
{
    if (link->out.writing || link->out.corks > 0 || !link->out.first)
        return false;
    link->out.writing = true;
    link->out.begun_ms = link->out.first_ms = clock_monotonic_ms();
    link->out.written = 0;
    link_hold(link);
    return true;
}

/* Puts a framed message into the queue. Nothing follows a close frame (RFC 6455, 5.5.1). */
static void put(struct link *link, struct link_message *message)
{
    pthread_mutex_lock(&link->mutex);
    bool ended = link->closed || (link->last_words && message != &link->words);
    if (!ended)
        line_append(&link->out, message);
    bool begin = begin_writing(link);
    pthread_mutex_unlock(&link->mutex);
    if (ended) {
        message->next = NULL;
        tell_sent(link, message, false);
    }
    if (begin)
        write_some(link);
}

void link_send(struct link *link, struct link_message *message)
{
    if (link->address->framing == LINK_WEBSOCKET)
        frame_for_websocket(link, message);
    else
        frame_for_sp(link, message);
    put(link, message);
}

/* Whether `words` is free; then it is ours. Otherwise these bytes are kept for later. */
static bool begin_saying(struct link *link, const void *bytes, size_t size, bool last)
{
    struct later_words *later = &link->later;
    pthread_mutex_lock(&link->mutex);
    bool begins = !link->speaking;
    if (begins) {
        link->speaking = true;
        link->last_words = last;
    } else {
        CHECK(size <= sizeof(later->bytes));
        memcpy(later->bytes, bytes, size);
        later->size = size;
        later->last = last;
    }
    pthread_mutex_unlock(&link->mutex);
    return begins;
}

/* `words` is ours. */
static void say(struct link *link, const void *bytes, size_t size)
{
    struct link_message *words = &link->words;
    CHECK(!words->memory);
    words->memory = words->bytes = malloc(size);
    words->size = size;
    if (!words->memory) {
        link_close_because(link, NULL);
        return;
    }
    memcpy(words->bytes, bytes, size);
    put(link, words);
}

void link_say(struct link *link, const void *bytes, size_t size, bool last)
{
    if (begin_saying(link, bytes, size, last))
        say(link, bytes, size);
}

void link_say_frame(struct link *link, enum websocket_opcode opcode, const uint8_t *payload,
                    size_t size)
{
    uint8_t frame[WEBSOCKET_HEAD_MAX + WEBSOCKET_CONTROL_MAX];
    CHECK(size <= WEBSOCKET_CONTROL_MAX);
    struct websocket_head head = {.opcode = opcode, .final = true, .length = size};
    const uint8_t *end = put_frame(link, frame, head, payload);
    link_say(link, frame, (size_t)(end - frame), opcode == WEBSOCKET_CLOSE);
}

void link_cork(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    link->out.corks++;
    pthread_mutex_unlock(&link->mutex);
}

void link_uncork(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    CHECK(link->out.corks > 0);
    link->out.corks--;
    struct link_message *lost = link->out.writing ? NULL : take_lost(link);
    bool begin = begin_writing(link);
    pthread_mutex_unlock(&link->mutex);
    tell_sent(link, lost, false);
    if (begin)
        write_some(link);
}
