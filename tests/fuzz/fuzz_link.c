/* A link and its peer. The input begins with a plan: what kind of link it is and how its peer and
 * its owner behave; then come the peer's bytes. They are given as the plan says, and besides in as
 * large pieces as there is room for and byte by byte, which must come to the same. */
#include <string.h>

#include "base/clock.h"
#include "fake_nng.h"
#include "fuzz.h"
#include "link_written.h"
#include "sp/handshake.h"
#include "sp/link.h"

#define MAX_BODY 32768
#define MAX_BYTES (64 << 20) /* that a run keeps of one kind */
#define PLENTY ((size_t)1 << 30)
#define UNIT 256 /* in which the plan counts bytes of memory */

/* What is done again and again, each time as the next byte says. */
struct pattern {
    uint8_t bytes[4];
    uint8_t next;
};

struct plan {
    int framing;
    bool handshake; /* the peer makes a right one before its bytes */
    enum link_protocol protocol;
    bool tls;
    bool counted;      /* memory is */
    bool refuses;      /* the owner, what it receives */
    bool late;         /* the owner's answers are */
    bool latest_first; /* of the callbacks that are due */
    enum { END_CLOSED, END_SILENT, END_GONE, END_OWNER } end;
    unsigned received_at_end; /* when the owner ends it */
    struct pattern budget;
    struct pattern refusals;
    struct pattern pieces; /* in which the peer's bytes arrive */
    struct pattern takes;  /* what the peer takes of what is sent; 0: nothing for now */
    uint8_t answer;        /* the first one's size */
    uint8_t stretch;       /* so many bytes more, in UNITs, after so many of the peer's bytes */
    uint16_t stretch_at;
};

struct run {
    struct plan plan;
    struct input input;
    struct link_address address;
    struct link_events events;
    nng_stream *stream;
    struct link *link;
    struct buffer peer; /* its bytes, once they are known */
    size_t stretch_start;
    size_t delivered;
    struct buffer written;  /* what the peer has taken */
    struct buffer received; /* messages, one after the other */
    struct buffer refused;  /* the message that was */
    bool resumes;
    struct buffer given; /* messages, as put_message has them */
    struct link_message *late;
    unsigned received_count;
    unsigned given_count;
    unsigned sent_count;
    size_t left_count; /* of those sent */
    struct budget budget;
    struct budget_share share;
    unsigned greeted, closed, unused;
    const char *why;
};

/* ---- the plan ---- */

static uint8_t pattern_next(struct pattern *pattern)
{
    return pattern->bytes[pattern->next++ % sizeof(pattern->bytes)];
}

static struct pattern pattern_read(struct input *input)
{
    struct pattern pattern = {0};
    for (size_t i = 0; i < sizeof(pattern.bytes); i++)
        pattern.bytes[i] = input_byte(input);
    return pattern;
}

static struct pattern pattern_of(uint8_t byte)
{
    return (struct pattern){.bytes = {byte, byte, byte, byte}};
}

static struct plan plan_read(struct input *input)
{
    struct plan plan = {0};
    uint8_t kind = input_byte(input);
    uint8_t end = input_byte(input);
    plan.handshake = (kind & 3) == 3;
    plan.framing = plan.handshake ? LINK_WEBSOCKET : kind & 3;
    plan.protocol = kind & 4 ? LINK_REQUESTER : LINK_REPLIER;
    plan.tls = kind & 8 && plan.framing != LINK_IPC;
    plan.counted = kind & 16;
    plan.refuses = kind & 32;
    plan.late = kind & 64;
    plan.latest_first = kind & 128;
    plan.end = end & 3;
    plan.received_at_end = end >> 2;
    plan.budget = pattern_read(input);
    plan.refusals = pattern_read(input);
    plan.pieces = pattern_read(input);
    plan.takes = pattern_read(input);
    plan.answer = input_byte(input);
    plan.stretch = input_byte(input);
    plan.stretch_at = input_byte(input);
    plan.stretch_at = (uint16_t)(plan.stretch_at << 8 | input_byte(input));
    return plan;
}

/* The same peer, but nothing else in the way. */
static struct plan plan_simplify(struct plan plan, uint8_t piece)
{
    plan.counted = plan.refuses = plan.late = plan.latest_first = false;
    plan.answer = 0;
    plan.pieces = pattern_of(piece);
    plan.takes = pattern_of(UINT8_MAX);
    return plan;
}

/* ---- what the owner sends ---- */

static bool is_long(const struct plan *plan)
{
    return plan->answer >= 128;
}

/* Around one or two fragments of a WebSocket, or short. */
static size_t answer_size(const struct run *run)
{
    size_t answer = run->plan.answer;
    if (run->given_count > 0)
        return run->given_count % 8;
    if (!is_long(&run->plan))
        return answer;
    return ((size_t)1 << (answer & 64 ? 20 : 19)) - 32 + (answer & 63);
}

static void give(struct run *run, struct link_message *message)
{
    put_message(&run->given, message->bytes, message->size, message->size);
    link_send(run->link, message);
}

static bool give_late(struct run *run)
{
    struct link_message *message = run->late;
    run->late = NULL;
    if (message)
        give(run, message);
    return message != NULL;
}

static void answer(struct run *run, const uint8_t *route, size_t route_size)
{
    struct link_message *message = calloc(1, sizeof(*message));
    size_t size = answer_size(run);
    MUST(message);
    uint8_t *body = link_reserve(message, route, route_size, size);
    MUST(body);
    memset(body, (int)run->given_count++, size);
    link_hold(run->link);
    give_late(run);
    if (run->plan.late)
        run->late = message;
    else
        give(run, message);
}

/* ---- events ---- */

static void check_received(const struct link_received *received)
{
    size_t size = received->route_size;
    MUST(size >= 4 && size <= LINK_MAX_ROUTE && size % 4 == 0);
    for (size_t at = 0; at < size; at += 4)
        MUST((received->route[at] & 0x80) == (at + 4 == size ? 0x80 : 0));
    MUST(received->size <= (received->body ? MAX_BODY : LINK_MAX_MESSAGE));
}

static void record(struct buffer *out, const struct link_received *received)
{
    bool whole = received->body != NULL;
    buffer_append(out, &received->route_size, sizeof(received->route_size));
    buffer_append(out, received->route, received->route_size);
    buffer_append(out, &received->size, sizeof(received->size));
    buffer_append(out, &whole, sizeof(whole));
    if (whole)
        buffer_append(out, received->body, received->size);
}

static bool begins_with(const struct buffer *all, const struct buffer *first)
{
    MUST(!all->failed && !first->failed);
    return first->size == 0 ||
           (all->size >= first->size && memcmp(all->data, first->data, first->size) == 0);
}

static bool equals(const struct buffer *one, const struct buffer *other)
{
    return one->size == other->size && begins_with(one, other);
}

/* What has been refused comes again, unchanged, and is taken then. */
static void check_again(struct run *run, const struct link_received *received)
{
    struct buffer again;
    buffer_init(&again, MAX_BYTES);
    record(&again, received);
    MUST(equals(&run->refused, &again));
    buffer_fini(&again);
    buffer_fini(&run->refused);
    buffer_init(&run->refused, MAX_BYTES);
}

static bool on_received(void *owner, struct link *link, const struct link_received *received)
{
    struct run *run = owner;
    MUST(run->greeted && !run->closed && !run->resumes);
    check_received(received);
    MUST(received->body || run->plan.counted || received->size > MAX_BODY);
    if (run->refused.size > 0) {
        check_again(run, received);
    } else if (run->plan.refuses && pattern_next(&run->plan.refusals) % 2 == 1) {
        record(&run->refused, received);
        run->resumes = true;
        link_hold(link);
        return false;
    }
    record(&run->received, received);
    answer(run, received->route, received->route_size);
    if (run->plan.end == END_OWNER && run->received_count++ == run->plan.received_at_end)
        link_close(link);
    return true;
}

static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    struct run *run = owner;
    MUST(!message->memory);
    free(message);
    run->sent_count++;
    run->left_count += left;
    link_release(link);
}

static void on_greeted(void *owner, struct link *link)
{
    (void)link;
    static const uint8_t route[4] = {0x80, 0, 0, 1};
    struct run *run = owner;
    MUST(run->greeted++ == 0 && !run->closed);
    if (run->plan.protocol == LINK_REQUESTER)
        answer(run, route, sizeof(route));
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    (void)link;
    struct run *run = owner;
    MUST(run->closed++ == 0);
    run->why = why;
}

static void on_unused(void *owner, struct link *link)
{
    (void)link;
    struct run *run = owner;
    MUST(run->unused++ == 0);
}

/* ---- the peer ---- */

static void append_rest(struct run *run)
{
    struct input input = run->input;
    char unit[UNIT];
    size_t at = run->plan.stretch_at < input.left ? run->plan.stretch_at : input.left;
    buffer_append(&run->peer, input.next, at);
    run->stretch_start = run->peer.size;
    memset(unit, 'x', sizeof(unit));
    for (uint8_t i = 0; i < run->plan.stretch; i++)
        buffer_append(&run->peer, unit, sizeof(unit));
    buffer_append(&run->peer, input.next + at, input.left - at);
}

static void append_request(struct run *run)
{
    static const uint8_t key[HANDSHAKE_KEY_SIZE] = "a client's key.";
    char accept[HANDSHAKE_ACCEPT_SIZE];
    char *request = handshake_request(run->address.target, run->address.authority, key, accept);
    MUST(request);
    buffer_append_text(&run->peer, request);
    free(request);
}

/* False: the request is not all here. */
static bool append_answer(struct run *run)
{
    const uint8_t *request = (const uint8_t *)run->written.data;
    size_t size = run->written.size;
    char text[HANDSHAKE_ANSWER_SIZE];
    if (size == 0 || (size = handshake_find_end(request, size)) == 0)
        return false;
    const struct handshake_server server = {.target = run->address.target};
    MUST(handshake_answer(request, size, &server, text, &size));
    buffer_append(&run->peer, text, size);
    return true;
}

/* Whether the peer's bytes are known: an answer to a handshake depends on it. */
static bool prepare_peer(struct run *run)
{
    if (run->peer.size > 0)
        return true;
    if (run->plan.handshake && run->plan.protocol == LINK_REPLIER)
        append_request(run);
    else if (run->plan.handshake && !append_answer(run))
        return false;
    append_rest(run);
    return run->peer.size > 0;
}

/* What is all the same need not come byte by byte. */
static bool is_in_stretch(const struct run *run)
{
    return run->delivered > run->stretch_start &&
           run->delivered < run->stretch_start + UNIT * (size_t)run->plan.stretch;
}

static bool deliver(struct run *run)
{
    size_t room = stream_room(run->stream);
    if (room == 0 || !prepare_peer(run) || run->delivered == run->peer.size)
        return false;
    if (run->plan.counted)
        run->budget.ceiling = UNIT * (size_t)pattern_next(&run->plan.budget);
    size_t byte = pattern_next(&run->plan.pieces);
    size_t left = run->peer.size - run->delivered;
    size_t size = (1 + byte * byte) * (is_in_stretch(run) ? 61 : 1);
    size = size < left ? size : left;
    size = size < room ? size : room;
    stream_deliver(run->stream, (const uint8_t *)run->peer.data + run->delivered, size);
    run->delivered += size;
    return true;
}

static bool take(struct run *run)
{
    if (!run->stream->sender)
        return false;
    size_t size = pattern_next(&run->plan.takes);
    if (size > 0)
        stream_take(run->stream, size * (is_long(&run->plan) ? 4099 : 1), &run->written);
    return size > 0;
}

/* ---- a run ---- */

static bool resume(struct run *run)
{
    if (!run->resumes)
        return false;
    run->resumes = false;
    link_resume(run->link);
    link_release(run->link);
    return true;
}

/* Nothing moves until a time is over or the peer ends. */
static void let_time_pass(struct run *run)
{
    nng_stream *stream = run->stream;
    stream->gone = run->plan.tls && run->plan.end == END_GONE;
    if (aio_wake() && stream->gone)
        return;
    if (stream->sender && aio_time_out(stream->sender))
        return;
    MUST(stream->receiver);
    if (run->plan.end == END_CLOSED || run->plan.end == END_GONE)
        nng_aio_finish(stream->receiver, NNG_ECONNSHUT);
    else if (!aio_time_out(stream->receiver))
        link_close(run->link);
}

static void go_on(struct run *run)
{
    size_t idle = 0;
    while (!run->unused) {
        bool moved = aio_run_due(run->plan.latest_first);
        moved |= deliver(run);
        moved |= take(run);
        moved |= give_late(run);
        moved |= resume(run);
        idle = moved ? 0 : idle + 1;
        if (idle > sizeof(run->plan.takes.bytes))
            let_time_pass(run);
    }
}

static void check_end(struct run *run)
{
    struct buffer messages;
    buffer_init(&messages, MAX_BYTES);
    MUST(!run->written.failed && !run->peer.failed);
    MUST(run->closed && run->unused && run->share.held == 0);
    MUST(run->sent_count == run->given_count);
    size_t count = read_written(&run->written, &run->address, run->plan.protocol, &messages);
    MUST(count == run->left_count);
    MUST(begins_with(&run->given, &messages));
    buffer_fini(&messages);
}

static void run_init(struct run *run, struct plan plan, struct input input)
{
    static const char *const urls[][2] = {[LINK_TCP] = {"tcp://h:1", "tls+tcp://h:1"},
                                          [LINK_IPC] = {"ipc:///h"},
                                          [LINK_WEBSOCKET] = {"ws://h/path", "wss://h/path"}};
    *run = (struct run){.plan = plan, .input = input};
    run->events = (struct link_events){.received = on_received,
                                       .sent = on_sent,
                                       .greeted = on_greeted,
                                       .closed = on_closed,
                                       .unused = on_unused,
                                       .max_body = MAX_BODY};
    struct buffer *const buffers[] = {&run->peer, &run->written, &run->received, &run->refused,
                                      &run->given};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        buffer_init(buffers[i], MAX_BYTES);
    MUST(link_address_init(&run->address, urls[plan.framing][plan.tls]) == 0);
}

static void run_fini(struct run *run)
{
    buffer_fini(&run->peer);
    buffer_fini(&run->written);
    buffer_fini(&run->received);
    buffer_fini(&run->refused);
    buffer_fini(&run->given);
    link_address_fini(&run->address);
}

static void run_plan(struct run *run, struct plan plan, struct input input)
{
    run_init(run, plan, input);
    run->stream = stream_new();
    run->link = link_new(run->stream, &run->address, plan.protocol, &run->events, run);
    MUST(run->link);
    run->budget.ceiling = PLENTY;
    run->share.budget = &run->budget;
    if (plan.counted || plan.protocol == LINK_REPLIER)
        link_limit(run->link, &run->share);
    link_start(run->link);
    go_on(run);
    link_free(run->link);
    check_end(run);
}

/* ---- */

/* The same each time. */
static void fill(void *bytes, size_t size)
{
    memset(bytes, 0x5A, size);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    random_set_for_test(fill);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct plan plan = plan_read(&input);
    struct run planned, large, small;
    run_plan(&planned, plan, input);
    run_plan(&large, plan_simplify(plan, UINT8_MAX), input);
    run_plan(&small, plan_simplify(plan, 0), input);
    MUST(equals(&large.received, &small.received));
    MUST(large.why == small.why);
    /* Where the peer does not read, the end comes earlier. */
    MUST(plan.counted || begins_with(&large.received, &planned.received));
    run_fini(&planned);
    run_fini(&large);
    run_fini(&small);
    return 0;
}
