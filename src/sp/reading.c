/* Receiving: what the reader brings is cut into messages, which the owner takes one by one. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sp/link_internal.h"

/* Room for what is read at once: little while a link is idle, more once it fills that, and as much
 * as a longer message needs. */
#define ROOM_IDLE 1024
#define ROOM_BUSY 16384

#define GREETING_TIMEOUT_MS 10000

/* A message that has begun and does not end keeps memory from others. */
#define MESSAGE_TIMEOUT_MS 60000

/* See probe. */
#define QUIET_MS 100

enum next { NEXT_NONE, NEXT_READY, NEXT_DROPPED, NEXT_WRONG };

bool link_init_reading(struct link *link)
{
    if (link->kind.framing == LINK_WEBSOCKET)
        return nng_msg_alloc(&link->in.probe, 0) == 0;
    link->in.due_ms = clock_monotonic_ms() + GREETING_TIMEOUT_MS;
    link->in.room = ROOM_IDLE;
    link->in.bytes = malloc(ROOM_IDLE);
    return link->in.bytes != NULL;
}

/* Over tcp and ipc; the owner agrees to more than is read at once. */
static bool charge(struct link *link, size_t room)
{
    size_t size = room > ROOM_BUSY ? room : 0;
    if (!link->events->charge || (size == 0 && link->in.charged == 0))
        return true;
    return link->events->charge(link->owner, &link->in.charged, size);
}

void link_fini_reading(struct link *link)
{
    if (link->in.message)
        nng_msg_free(link->in.message);
    if (link->in.later)
        nng_msg_free(link->in.later);
    if (link->in.probe)
        nng_msg_free(link->in.probe);
    charge(link, 0);
    free(link->in.bytes);
}

/* ---- room ---- */

static bool set_room(struct link *link, size_t room)
{
    struct incoming *in = &link->in;
    if (!charge(link, room))
        return false;
    uint8_t *bytes = realloc(in->bytes, room);
    if (!bytes)
        return false;
    in->bytes = bytes;
    in->room = room;
    return true;
}

static void move_to_front(struct incoming *in)
{
    memmove(in->bytes, in->bytes + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
}

/* Makes some room for the rest of a frame: memory is taken as it comes, not as it is announced. */
static bool make_room(struct link *link, size_t frame)
{
    struct incoming *in = &link->in;
    move_to_front(in);
    if (in->end < in->room)
        return true;
    size_t room = 2 * in->room;
    return set_room(link, room < frame ? room : frame);
}

/* ---- cutting ---- */

/* Reads the route off the front; NEXT_NONE when it is not all there. */
static enum next read_route(struct link_received *first, const uint8_t *bytes, size_t size)
{
    for (size_t end = 4; end <= LINK_MAX_ROUTE; end += 4) {
        if (size < end)
            return NEXT_NONE;
        if (!(bytes[end - 4] & 0x80))
            continue;
        memcpy(first->route, bytes, end);
        first->route_size = end;
        return NEXT_READY;
    }
    return NEXT_DROPPED; /* it has gone in circles */
}

/* The first message; `size` is all of it, of which `have` bytes are here. */
static enum next read_message(struct link *link, const uint8_t *bytes, size_t have, size_t size)
{
    struct link_received *first = &link->in.first;
    enum next next = read_route(first, bytes, have);
    if (next == NEXT_NONE)
        return have == size ? NEXT_WRONG : NEXT_NONE;
    first->size = size - first->route_size;
    bool whole = have == size && first->size <= link->events->max_body;
    first->body = whole ? bytes + first->route_size : NULL;
    return next;
}

static uint64_t get_length(const uint8_t bytes[8])
{
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length = length << 8 | bytes[i];
    return length;
}

static enum next read_frame(struct link *link)
{
    struct incoming *in = &link->in;
    size_t prefix = link->kind.framing == LINK_IPC ? 9 : 8;
    size_t have = in->end - in->start;
    if (have < prefix)
        return NEXT_NONE;
    const uint8_t *bytes = in->bytes + in->start;
    uint64_t length = get_length(bytes + prefix - 8);
    if (length > LINK_MAX_MESSAGE || (link->kind.framing == LINK_IPC && bytes[0] != IPC_MESSAGE))
        return NEXT_WRONG;
    in->frame = prefix + (size_t)length;
    bool whole = have >= in->frame;
    if (!whole && length <= link->events->max_body + LINK_MAX_ROUTE && make_room(link, in->frame))
        return NEXT_NONE;
    bytes = in->bytes + in->start;
    return read_message(link, bytes + prefix, (whole ? in->frame : have) - prefix, (size_t)length);
}

static void tell_greeted(struct link *link)
{
    link->in.greeted = true;
    if (link->events->greeted)
        link->events->greeted(link->owner, link);
}

static enum next read_greeting(struct link *link)
{
    struct incoming *in = &link->in;
    const uint8_t peer = link->protocol == LINK_REPLIER ? LINK_REQUESTER : LINK_REPLIER;
    const uint8_t greeting[GREETING_SIZE] = {0, 'S', 'P', 0, 0, peer};
    if (in->end - in->start < GREETING_SIZE)
        return NEXT_NONE;
    if (memcmp(in->bytes + in->start, greeting, GREETING_SIZE) != 0)
        return NEXT_WRONG;
    tell_greeted(link);
    in->frame = GREETING_SIZE;
    return NEXT_DROPPED;
}

static void skip(struct incoming *in)
{
    size_t have = in->end - in->start;
    size_t skipped = in->skipping < have ? in->skipping : have;
    in->start += skipped;
    in->skipping -= skipped;
}

static enum next read_first(struct link *link)
{
    struct incoming *in = &link->in;
    if (in->waiting)
        return NEXT_READY;
    if (link->kind.framing == LINK_WEBSOCKET) {
        if (!in->message)
            return NEXT_NONE;
        size_t size = nng_msg_len(in->message);
        return read_message(link, nng_msg_body(in->message), size, size);
    }
    skip(in);
    if (in->skipping > 0)
        return NEXT_NONE;
    return in->greeted ? read_frame(link) : read_greeting(link);
}

/* Done with the first one. */
static void drop_first(struct link *link)
{
    struct incoming *in = &link->in;
    if (in->message)
        nng_msg_free(in->message);
    in->message = NULL;
    in->skipping = in->frame;
    in->frame = 0;
    in->due_ms = 0;
}

/* ---- reading on ---- */

/* When the message that has begun must be whole; 0: none has. nng knows of a WebSocket's. */
static int64_t get_due_ms(struct link *link)
{
    struct incoming *in = &link->in;
    if (link->kind.framing == LINK_WEBSOCKET)
        return 0;
    bool begun = in->end > in->start || in->skipping > 0;
    if (begun && in->due_ms == 0)
        in->due_ms = clock_monotonic_ms() + MESSAGE_TIMEOUT_MS;
    return in->due_ms;
}

static void set_timeout(struct link *link)
{
    bool probes = link->kind.framing == LINK_WEBSOCKET && !link->in.quiet;
    nng_duration timeout = probes ? QUIET_MS : NNG_DURATION_INFINITE;
    int64_t due_ms = get_due_ms(link);
    if (due_ms != 0) {
        int64_t left = due_ms - clock_monotonic_ms();
        timeout = left > 0 ? (nng_duration)left : 1;
    }
    nng_aio_set_timeout(link->reader, timeout);
}

static void prepare_room(struct link *link)
{
    struct incoming *in = &link->in;
    bool filled = in->end == in->room;
    move_to_front(in);
    /* Without memory it stays as it is. */
    if ((filled && in->room < ROOM_BUSY) || (in->room > ROOM_BUSY && in->end == 0))
        (void)!set_room(link, ROOM_BUSY);
    nng_iov piece = {.iov_buf = in->bytes + in->end, .iov_len = in->room - in->end};
    nng_aio_set_iov(link->reader, 1, &piece);
}

static void read_on(struct link *link)
{
    if (link->kind.framing != LINK_WEBSOCKET)
        prepare_room(link);
    set_timeout(link);
    nng_stream_recv(link->stream, link->reader);
    link_end_begun(link, link->reader);
}

/* A WebSocket of nng whose peer ends it while nobody reads, if for a moment only, does not end the
 * reads that follow. So when nothing has come for a while it is asked, once, by sending with no
 * time for it: the answer is that it is closed, or that it was too late. */
static void probe(struct link *link)
{
    nng_aio_set_timeout(link->prober, NNG_DURATION_ZERO);
    nng_aio_set_msg(link->prober, link->in.probe);
    nng_stream_send(link->stream, link->prober);
}

void link_on_probed(void *argument)
{
    struct link *link = argument;
    if (nng_aio_result(link->prober) == NNG_ECLOSED)
        nng_aio_cancel(link->reader);
    link->in.probing = false;
}

/* No message has come for a while; the reader is this thread's. */
static void on_quiet(struct link *link)
{
    bool probes = !atomic_exchange(&link->in.probing, true);
    link_hold(link);
    link->in.quiet = probes;
    read_on(link);
    if (probes)
        probe(link);
    link_let_go(link);
}

/* ---- giving ---- */

/* Gives what has come to the owner. NEXT_READY: not all of it, and since then it is another
 * thread's. */
static enum next give_all(struct link *link)
{
    enum next next = NEXT_NONE;
    while (!link->closed && (next = read_first(link)) != NEXT_NONE) {
        if (next == NEXT_WRONG) {
            link_close_because(link, "it does not speak SP's REQ/REP as this program does");
            break;
        }
        link->in.waiting = next == NEXT_READY;
        if (link->in.waiting && !link->events->received(link->owner, link, &link->in.first))
            return NEXT_READY;
        link->in.waiting = false;
        drop_first(link);
    }
    return NEXT_NONE;
}

/* Takes the message that has come meanwhile to the front; false when there is none. */
static bool take_later(struct link *link)
{
    struct incoming *in = &link->in;
    if (in->message) /* of a link that has closed */
        drop_first(link);
    in->waiting = false;
    pthread_mutex_lock(&link->mutex);
    in->message = in->later;
    in->later = NULL;
    in->busy = in->message != NULL;
    bool taken = in->busy;
    pthread_mutex_unlock(&link->mutex);
    return taken;
}

/* The stream's end is told by the reader alone, which therefore reads on whatever comes. */
static void go_on(struct link *link)
{
    link_cork(link);
    enum next next = give_all(link);
    if (next == NEXT_NONE && link->kind.framing != LINK_WEBSOCKET)
        read_on(link);
    while (next == NEXT_NONE && link->kind.framing == LINK_WEBSOCKET && take_later(link)) {
        read_on(link);
        next = give_all(link);
    }
    link_uncork(link);
}

/* Whether the message is the first one, and this thread's. */
static bool take_message(struct link *link)
{
    struct incoming *in = &link->in;
    nng_msg *message = nng_aio_get_msg(link->reader);
    nng_aio_set_msg(link->reader, NULL);
    in->quiet = false;
    pthread_mutex_lock(&link->mutex);
    bool first = !in->busy;
    *(first ? &in->message : &in->later) = message;
    in->busy = true;
    pthread_mutex_unlock(&link->mutex);
    return first;
}

static void take_in(struct link *link)
{
    if (link->kind.framing != LINK_WEBSOCKET) {
        link->in.end += nng_aio_count(link->reader);
        go_on(link);
    } else if (take_message(link)) {
        /* Before it is given: a WebSocket of nng that ends while nobody reads never tells. */
        read_on(link);
        go_on(link);
    }
}

void link_on_read(void *argument)
{
    struct link *link = argument;
    int error = nng_aio_result(link->reader);
    if (error == NNG_ETIMEDOUT && link->kind.framing == LINK_WEBSOCKET) {
        on_quiet(link);
        return;
    }
    if (error != 0) {
        link_close_because(link, error == NNG_ETIMEDOUT ? "its message does not end" : NULL);
        link_let_go(link);
        return;
    }
    link_hold(link); /* what is given away may end it before this thread is done */
    take_in(link);
    link_let_go(link);
}

void link_start(struct link *link)
{
    link_hold(link);
    if (link->kind.framing == LINK_WEBSOCKET)
        tell_greeted(link); /* by its handshake */
    else
        link_send(link, &link->greeting);
    read_on(link);
    link_check(link);
    link_let_go(link);
}

void link_on_resumed(void *argument)
{
    struct link *link = argument;
    go_on(link);
    link_let_go(link);
}

void link_resume(struct link *link)
{
    link_hold(link);
    if (nng_aio_begin(link->resumer))
        nng_aio_finish(link->resumer, 0);
}
