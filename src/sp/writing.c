/* Sending: a line of messages, from which the writer takes as many at once as nng lets it. */
#include <string.h>

#include "sp/link_internal.h"

/* Pieces that nng 1.5 sends in one call. */
#define MAX_PIECES 8

uint8_t *link_reserve(struct link_message *message, const uint8_t *route, size_t route_size,
                      size_t size)
{
    message->message = NULL;
    if (nng_msg_alloc(&message->message, PREFIX_MAX + route_size + size) != 0)
        return NULL;
    uint8_t *out = (uint8_t *)nng_msg_body(message->message) + PREFIX_MAX;
    memcpy(out, route, route_size);
    return out + route_size;
}

void link_discard(struct link_message *message)
{
    if (message->message)
        nng_msg_free(message->message);
    message->message = NULL;
}

/* ---- the line; under the mutex ---- */

static void line_append(struct outgoing *out, struct link_message *message)
{
    message->next = NULL;
    *out->last = message;
    out->last = &message->next;
}

/* Takes the first one out and puts it at the end of another line. */
static struct link_message **line_move(struct outgoing *out, struct link_message **end)
{
    struct link_message *message = out->first;
    out->first = message->next;
    if (!out->first)
        out->last = &out->first;
    out->left = 0;
    message->next = NULL;
    *end = message;
    return &message->next;
}

/* ---- what goes over the stream ---- */

static void put_length(uint8_t out[8], size_t length)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
}

/* The bytes of a message with what is before it on this stream. */
static nng_iov frame_of(const struct link *link, const struct link_message *message)
{
    uint8_t *bytes = nng_msg_body(message->message);
    size_t size = nng_msg_len(message->message);
    if (message == &link->greeting)
        return (nng_iov){.iov_buf = bytes, .iov_len = size};
    bytes[0] = IPC_MESSAGE;
    put_length(bytes + 1, size - PREFIX_MAX);
    size_t unused = link->kind.framing == LINK_IPC ? 0 : 1;
    return (nng_iov){.iov_buf = bytes + unused, .iov_len = size - unused};
}

static void prepare_frames(struct link *link)
{
    nng_iov pieces[MAX_PIECES];
    unsigned count = 0;
    pthread_mutex_lock(&link->mutex);
    size_t left = link->out.left;
    struct link_message *message = link->out.first;
    for (; message && count < MAX_PIECES; message = message->next) {
        nng_iov frame = frame_of(link, message);
        pieces[count++] = (nng_iov){(uint8_t *)frame.iov_buf + left, frame.iov_len - left};
        left = 0;
    }
    pthread_mutex_unlock(&link->mutex);
    nng_aio_set_iov(link->writer, count, pieces);
}

/* nng frees a message that it has sent over a WebSocket. */
static void prepare_message(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    nng_msg *message = link->out.first->message;
    pthread_mutex_unlock(&link->mutex);
    nng_msg_trim(message, PREFIX_MAX);
    nng_aio_set_msg(link->writer, message);
}

/* The line has a first message and the writer is ours, until its callback, which may run before
 * this ends. */
static void write_some(struct link *link)
{
    link_hold(link);
    if (link->kind.framing == LINK_WEBSOCKET)
        prepare_message(link);
    else
        prepare_frames(link);
    nng_aio_set_timeout(link->writer, link->events->patience ? link->events->patience(link->owner)
                                                             : NNG_DURATION_INFINITE);
    nng_stream_send(link->stream, link->writer);
    link_end_begun(link, link->writer);
    link_let_go(link);
}

/* Takes out what has left entirely. */
static void take_written(struct link *link, struct link_message **end)
{
    struct outgoing *out = &link->out;
    if (link->kind.framing == LINK_WEBSOCKET) {
        out->first->message = NULL;
        line_move(out, end);
        return;
    }
    size_t written = out->left + nng_aio_count(link->writer);
    while (out->first && written >= frame_of(link, out->first).iov_len) {
        written -= frame_of(link, out->first).iov_len;
        end = line_move(out, end);
    }
    out->left = written;
}

static void tell_sent(struct link *link, struct link_message *messages, bool left)
{
    while (messages) {
        struct link_message *message = messages;
        messages = message->next;
        link_discard(message);
        if (message != &link->greeting)
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
    struct link *link = argument;
    int error = nng_aio_result(link->writer);
    struct link_message *written = NULL;
    nng_aio_set_msg(link->writer, NULL);
    if (error != 0)
        link_close_because(link, error == NNG_ETIMEDOUT ? "it does not read its messages" : NULL);
    pthread_mutex_lock(&link->mutex);
    if (error == 0)
        take_written(link, &written);
    struct link_message *lost = take_lost(link);
    bool more = link->out.first != NULL;
    link->out.writing = more;
    pthread_mutex_unlock(&link->mutex);
    tell_sent(link, written, true);
    tell_sent(link, lost, false);
    if (more)
        write_some(link);
    else
        link_let_go(link);
}

/* ---- giving it messages ---- */

/* Whether the writer is to begin, which then is ours; under the mutex. */
static bool begin_writing(struct link *link)
{
    if (link->out.writing || link->out.corks > 0 || !link->out.first)
        return false;
    link->out.writing = true;
    link_hold(link);
    return true;
}

void link_send(struct link *link, struct link_message *message)
{
    pthread_mutex_lock(&link->mutex);
    bool closed = link->closed;
    if (!closed)
        line_append(&link->out, message);
    bool begin = begin_writing(link);
    pthread_mutex_unlock(&link->mutex);
    if (closed) {
        message->next = NULL;
        tell_sent(link, message, false);
    }
    if (begin)
        write_some(link);
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
    link->out.corks--;
    struct link_message *lost = link->out.writing ? NULL : take_lost(link);
    bool begin = begin_writing(link);
    pthread_mutex_unlock(&link->mutex);
    tell_sent(link, lost, false);
    if (begin)
        write_some(link);
}
