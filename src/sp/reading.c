/* Receiving: the bytes that were read are cut into messages, which the owner takes one by one. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "sp/link_internal.h"
#include "sp/websocket.h"

/* Room for what is read at once: little while a link is idle, more once that is full (an owner
 * without limits has few links, and receives pages), and as much as a longer message needs. */
#define ROOM_BUSY BUDGET_SMALL
#define ROOM_UNCOUNTED 65536

#define GREETING_TIMEOUT_MS 10000

/* A link that has been idle for so long frees its room, but not one with TLS: nng ends a TLS stream
 * when a read of it is over time. */
#define ROOM_PAUSE_MS 1000

/* NEXT_PART: a part of it was consumed, and more may have arrived. From NEXT_WRONG on: the link
 * ends. */
enum next {
    NEXT_NONE,
    NEXT_PART,
    NEXT_READY,
    NEXT_DROPPED,
    NEXT_WRONG,
    NEXT_TOO_LONG,
    NEXT_NO_ROOM,
};

bool link_init_reading(struct link *link)
{
    link->in.begun_ms = clock_monotonic_ms();
    link->in.room = LINK_ROOM_IDLE;
    link->in.bytes = malloc(LINK_ROOM_IDLE);
    return link->in.bytes != NULL;
}

void link_fini_reading(struct link *link)
{
    charge_release(&link->in.charge, link->in.charge.held);
    free(link->in.bytes);
}

/* ---- room ---- */

/* While it changes, both the old and the new room are charged. */
static bool set_room(struct link *link, size_t room)
{
    struct incoming *in = &link->in;
    CHECK(in->start <= in->end && room >= in->end - in->start);
    size_t before = in->charge.held;
    size_t held = in->charge.share && room > LINK_ROOM_IDLE ? room : 0;
    if (held > 0 && !charge_add(&in->charge, held))
        return false;
    uint8_t *bytes = realloc(in->bytes, room);
    charge_release(&in->charge, bytes ? before : held);
    if (!bytes)
        return false;
    in->bytes = bytes;
    in->room = room;
    return true;
}

/* How much is read at once. */
static size_t busy_room(const struct link *link)
{
    if (!link->limited)
        return ROOM_UNCOUNTED;
    return budget_is_short(link->in.charge.share->budget) ? LINK_ROOM_IDLE : ROOM_BUSY;
}

/* Drops bytes after what has been gathered of a message. What follows is not moved for each frame,
 * which would take too long with many small ones. */
static void drop_behind(struct incoming *in, size_t size)
{
    if (in->gathered > 0)
        in->gap += size;
    else
        in->start += size;
}

static void close_gap(struct incoming *in)
{
    CHECK(in->start + in->gathered + in->gap <= in->end);
    uint8_t *gap = in->bytes + in->start + in->gathered;
    if (in->gap > 0)
        memmove(gap, gap + in->gap, in->end - in->start - in->gathered - in->gap);
    in->end -= in->gap;
    in->gap = 0;
}

static void move_to_front(struct incoming *in)
{
    close_gap(in);
    if (in->start > 0)
        memmove(in->bytes, in->bytes + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
}

/* Makes some room for the rest of a frame: memory grows with what arrives, not with what is
 * announced, except for a little. */
static bool make_room(struct link *link, size_t frame)
{
    struct incoming *in = &link->in;
    move_to_front(in);
    if (in->end < in->room)
        return true;
    size_t room = 2 * in->room > ROOM_BUSY ? 2 * in->room : ROOM_BUSY;
    return set_room(link, room < frame ? room : frame);
}

/* ---- cutting ---- */

/* Reads the route at the front; NEXT_NONE when it is not complete. */
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
    return NEXT_DROPPED; /* it has gone round in circles */
}

/* Reads the first message; `size` is its whole size, and `have` bytes have arrived. */
static enum next read_message(struct link *link, uint8_t *bytes, size_t have, size_t size)
{
    CHECK(have <= size);
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
    size_t prefix = link->address->framing == LINK_IPC ? 9 : 8;
    size_t have = in->end - in->start;
    if (have < prefix)
        return NEXT_NONE;
    uint8_t *bytes = in->bytes + in->start;
    uint64_t length = get_length(bytes + prefix - 8);
    if (link->address->framing == LINK_IPC && bytes[0] != IPC_MESSAGE)
        return NEXT_WRONG;
    if (length > LINK_MAX_MESSAGE)
        return NEXT_TOO_LONG;
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

static enum next read_sp_greeting(struct link *link)
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
    CHECK(in->start <= in->end && in->end <= in->room);
    size_t skipped = in->skipping < have ? in->skipping : have;
    in->start += skipped;
    in->skipping -= skipped;
    in->skipped += skipped;
}

/* Answers a client's handshake; returns whether it was accepted. After another one, nothing more is
 * read. */
static bool answer_handshake(struct link *link, const uint8_t *head, size_t size)
{
    char answer[HANDSHAKE_ANSWER_SIZE];
    size_t answer_size;
    const struct link_address *address = link->address;
    struct handshake_server server = {address->target, address->access,
                                      address->loopback ? address->authority : NULL};
    bool accepted = size > 0 && handshake_answer(head, size, &server, answer, &answer_size);
    if (size == 0)
        answer_size = handshake_answer_too_long(answer);
    link_say(link, answer, answer_size, !accepted);
    return accepted;
}

static enum next read_handshake(struct link *link)
{
    struct incoming *in = &link->in;
    const uint8_t *head = in->bytes + in->start;
    size_t have = in->end - in->start;
    size_t size = handshake_find_end(head, have < HANDSHAKE_MAX_HEAD ? have : HANDSHAKE_MAX_HEAD);
    if (size == 0 && have < HANDSHAKE_MAX_HEAD)
        return make_room(link, HANDSHAKE_MAX_HEAD) ? NEXT_NONE : NEXT_NO_ROOM;
    if (link->protocol == LINK_REQUESTER) {
        if (size == 0 || !handshake_is_accepted(head, size, link->accept))
            return NEXT_WRONG;
    } else if (!answer_handshake(link, head, size)) {
        in->skipping = SIZE_MAX;
        skip(in);
        return NEXT_NONE;
    }
    tell_greeted(link);
    in->frame = size;
    return NEXT_DROPPED;
}

/* ---- frames of a WebSocket ---- */

/* A whole control frame between those of messages: answers close frames and pings. */
static enum next take_control(struct link *link, size_t at, const struct websocket_head *head)
{
    struct incoming *in = &link->in;
    uint8_t *payload = in->bytes + at + head->size;
    CHECK(at + head->size + head->length <= in->end && head->length <= WEBSOCKET_CONTROL_MAX);
    if (head->masked)
        websocket_mask(payload, head->length, head->mask);
    enum next next = NEXT_PART;
    if (head->opcode == WEBSOCKET_PING) {
        link_say_frame(link, WEBSOCKET_PONG, payload, head->length);
    } else if (head->opcode == WEBSOCKET_CLOSE) {
        /* With its reason of two bytes, if it has one. */
        link_say_frame(link, WEBSOCKET_CLOSE, payload, head->length < 2 ? 0 : 2);
        in->gathered = in->gap = 0;
        in->skipping = SIZE_MAX;
        next = NEXT_NONE;
    }
    drop_behind(in, head->size + head->length);
    return next;
}

/* The message is too long, or there is no room for it: only its beginning and its size are passed
 * on, and the rest is dropped. */
static enum next give_up(struct link *link, size_t at, const struct websocket_head *head)
{
    struct incoming *in = &link->in;
    uint8_t route[LINK_MAX_ROUTE];
    CHECK(at + head->size <= in->end);
    size_t size = in->gathered < sizeof(route) ? in->gathered : sizeof(route);
    size_t more = in->end - at - head->size;
    if (more > sizeof(route) - size)
        more = sizeof(route) - size;
    memcpy(route, in->bytes + in->start, size);
    memcpy(route + size, in->bytes + at + head->size, more);
    if (head->masked)
        websocket_mask(route + size, more, head->mask);
    enum next next = read_message(link, route, size + more, in->gathered + head->length);
    if (next == NEXT_NONE || next == NEXT_WRONG)
        return next;
    in->first.body = NULL;
    in->frame = at - in->start + head->size + head->length;
    in->gathered = in->gap = 0;
    in->continued = in->dropping = !head->final;
    return next;
}

/* A frame of a message. */
static enum next take_part(struct link *link, size_t at, const struct websocket_head *head)
{
    struct incoming *in = &link->in;
    CHECK(at == in->start + in->gathered + in->gap && at + head->size <= in->end);
    uint64_t size = in->gathered + head->length;
    size_t frame = head->size + (size_t)head->length;
    if (in->continued != (head->opcode == WEBSOCKET_CONTINUATION))
        return NEXT_WRONG;
    if (size > LINK_MAX_MESSAGE)
        return NEXT_TOO_LONG;
    if (in->dropping) {
        in->continued = in->dropping = !head->final;
        in->frame = frame;
        return NEXT_DROPPED;
    }
    if (size > link->events->max_body + LINK_MAX_ROUTE)
        return give_up(link, at, head);
    if (in->end - at < frame)
        return make_room(link, in->gathered + frame)
                   ? NEXT_NONE
                   : give_up(link, in->start + in->gathered, head);
    if (head->masked)
        websocket_mask(in->bytes + at + head->size, head->length, head->mask);
    drop_behind(in, head->size);
    if (in->gap > 0)
        memmove(in->bytes + in->start + in->gathered, in->bytes + at + head->size, head->length);
    in->gathered += head->length;
    in->continued = !head->final;
    if (!head->final)
        return NEXT_PART;
    size = in->gathered;
    in->frame = size + in->gap;
    in->gathered = in->gap = 0;
    return read_message(link, in->bytes + in->start, size, size);
}

static enum next read_websocket(struct link *link)
{
    struct incoming *in = &link->in;
    enum next next = NEXT_PART;
    while (next == NEXT_PART) {
        struct websocket_head head;
        size_t at = in->start + in->gathered + in->gap;
        enum websocket_result result = websocket_read_head(in->bytes + at, in->end - at,
                                                           link->protocol == LINK_REPLIER, &head);
        if (result == WEBSOCKET_WRONG)
            return NEXT_WRONG;
        if (result == WEBSOCKET_INCOMPLETE)
            return make_room(link, in->gathered + WEBSOCKET_HEAD_MAX) ? NEXT_NONE : NEXT_NO_ROOM;
        if (!websocket_is_control(head.opcode))
            next = take_part(link, at, &head);
        else if (in->end - at < head.size + head.length)
            return make_room(link, in->gathered + head.size + head.length) ? NEXT_NONE
                                                                           : NEXT_NO_ROOM;
        else
            next = take_control(link, at, &head);
    }
    return next;
}

/* ---- the first one ---- */

static enum next read_first(struct link *link)
{
    struct incoming *in = &link->in;
    bool websocket = link->address->framing == LINK_WEBSOCKET;
    if (in->waiting)
        return NEXT_READY;
    skip(in);
    if (in->skipping > 0)
        return NEXT_NONE;
    if (in->greeted)
        return websocket ? read_websocket(link) : read_frame(link);
    return websocket ? read_handshake(link) : read_sp_greeting(link);
}

/* Done with the first one. */
static void drop_first(struct link *link)
{
    struct incoming *in = &link->in;
    CHECK(in->frame > 0 && in->skipping == 0);
    in->skipping = in->frame;
    in->skipped = 0;
    in->frame = 0;
    in->begun_ms = 0;
}

/* ---- reading on ---- */

/* Whether a message has begun to arrive and is not complete. */
static bool has_begun(struct incoming *in)
{
    bool begun = in->end > in->start || in->skipping > 0 || !in->greeted;
    if (!begun)
        in->begun_ms = 0;
    else if (in->begun_ms == 0)
        in->begun_ms = clock_monotonic_ms();
    return begun;
}

/* Pings and the like between the parts of a message give it no more time. */
static int64_t get_due_ms(const struct incoming *in)
{
    size_t come = in->skipping > 0 ? in->skipped : in->end - in->start - in->gap;
    if (!in->greeted)
        return in->begun_ms + GREETING_TIMEOUT_MS;
    return in->begun_ms + LINK_REST_MS + (int64_t)come * 1000 / LINK_RATE;
}

static void set_timeout(struct link *link)
{
    struct incoming *in = &link->in;
    nng_duration timeout = NNG_DURATION_INFINITE;
    if (has_begun(in)) {
        int64_t left = get_due_ms(in) - clock_monotonic_ms();
        timeout = left > 0 ? (nng_duration)left : 1;
    } else if (in->charge.held > 0 && !link->address->tls) {
        timeout = ROOM_PAUSE_MS;
    }
    in->slow_since_ms = in->begun_ms;
    nng_aio_set_timeout(link->reader, timeout);
}

/* Without memory the room stays as it is. */
static void prepare_room(struct link *link)
{
    struct incoming *in = &link->in;
    size_t busy = busy_room(link);
    bool filled = in->end == in->room;
    move_to_front(in);
    if (filled && in->room < busy)
        (void)!set_room(link, in->room < ROOM_BUSY ? ROOM_BUSY : busy);
    else if (in->room > busy && in->end < busy)
        (void)!set_room(link, busy);
    nng_iov piece = {.iov_buf = in->bytes + in->end, .iov_len = in->room - in->end};
    nng_aio_set_iov(link->reader, 1, &piece);
}

void link_read_on(struct link *link)
{
    prepare_room(link);
    set_timeout(link);
    nng_stream_recv(link->stream, link->reader);
    link_end_begun(link, link->reader);
    if (link->address->tls)
        link_look_for_end(link);
}

/* ---- giving ---- */

static const char *reason_to_close(enum next next)
{
    switch (next) {
    case NEXT_TOO_LONG: return "its message is over 16 MiB";
    case NEXT_NO_ROOM: return "what it sends has no room in memory";
    default: return "it does not speak SP's REQ/REP as this program does";
    }
}

/* Gives what has arrived to the owner. NEXT_READY: not all of it was taken, and from then on
 * another thread may continue. */
static enum next give_all(struct link *link)
{
    enum next next = NEXT_NONE;
    while (!link->closed && (next = read_first(link)) != NEXT_NONE) {
        if (next >= NEXT_WRONG) {
            link_close_because(link, reason_to_close(next));
            break;
        }
        link->in.waiting = next == NEXT_READY;
        link->in.slow_since_ms = 0;
        if (link->in.waiting && !link->events->received(link->owner, link, &link->in.first))
            return NEXT_READY;
        link->in.waiting = false;
        drop_first(link);
    }
    return NEXT_NONE;
}

static void go_on(struct link *link)
{
    link_cork(link);
    if (give_all(link) == NEXT_NONE)
        link_read_on(link);
    link_uncork(link);
}

void link_on_read(void *argument)
{
    struct link *link = link_cast(argument);
    int error = nng_aio_result(link->reader);
    bool paused = error == NNG_ETIMEDOUT && !has_begun(&link->in);
    if (error != 0 && !paused) {
        link_close_because(link, error == NNG_ETIMEDOUT ? "its message does not end" : NULL);
        link_release(link);
        return;
    }
    link_hold(link); /* what is given away may end the link before this thread is done */
    if (paused)
        (void)!set_room(link, LINK_ROOM_IDLE);
    else
        link->in.end += nng_aio_count(link->reader);
    CHECK(link->in.end <= link->in.room);
    go_on(link);
    link_release(link);
}

void link_on_resumed(void *argument)
{
    struct link *link = link_cast(argument);
    CHECK(link->closed || link->in.waiting);
    go_on(link);
    link_release(link);
}

void link_resume(struct link *link)
{
    link_hold(link);
    if (nng_aio_begin(link->resumer))
        nng_aio_finish(link->resumer, 0);
}
