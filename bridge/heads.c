/* A filter that reads byte by byte, and the recv that runs it. */
#include "heads.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/check.h"
#include "headers.h"
#include "problem.h"

/* How much is still read after a head that was refused, so that the peer can read the answer, which
 * a reset would destroy (RFC 9112 section 9.6). */
#define DISCARD_MAX (16u << 20)

/* The limit of `kept`: it must fit into libmicrohttpd's memory for a connection, with its answer.
 */
#define KEPT_MAX 10240
#define KEPT_FIELD 64

static const struct problem HEAD_TOO_LARGE = {
    .status = 431,
    .code = "REQUEST_HEAD_TOO_LARGE",
    .detail =
        "The head of a request may have at most 32768 bytes and 128 fields, and the fields that "
        "are used here at most 10240 bytes",
};

static const struct problem HEAD_MALFORMED = {
    .status = 400,
    .code = "MALFORMED_REQUEST",
    .detail = "A header has a character that is not allowed there, is folded, or its line does not "
              "end with CRLF",
};

static const struct problem LENGTH_MALFORMED = {
    .status = 400,
    .code = "MALFORMED_REQUEST",
    .detail = "Content-Length is not a number",
};

static const struct problem LENGTH_TOO_LARGE = {
    .status = 413,
    .code = "BODY_TOO_LARGE",
    .detail = "The body is too large",
};

static const struct problem CHUNKS_MALFORMED = {
    .status = 400,
    .code = "MALFORMED_REQUEST",
    .detail = "A line of the chunked body does not end with CRLF",
};

/* ---- the filter ---- */

static void keep(struct head *head, struct received *received, char byte)
{
    received->bytes[received->kept++] = byte;
    if (++head->kept > KEPT_MAX)
        head->refused = &HEAD_TOO_LARGE;
}

static bool is_token(char byte)
{
    return isalnum((unsigned char)byte) || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

static void begin_field(struct head *head, struct received *received)
{
    head->part = HEAD_NAME;
    head->in_line = 0;
    received->line = received->kept;
}

/* Notes what `value` states about the body. */
static void note_frame(struct head *head, bool length)
{
    size_t size = head->in_line < sizeof(head->value) ? head->in_line : sizeof(head->value) - 1;
    head->value[size] = '\0';
    bool digits = size > 0 && head->value[strspn(head->value, "0123456789")] == '\0';
    head->chunked = !length && strcasecmp(head->value, "chunked") == 0;
    head->left = length && digits ? strtoull(head->value, NULL, 10) : 0;
    head->unknown =
        head->frames++ > 0 || (!length && !head->chunked) || head->in_line >= sizeof(head->value);
    if (length && !digits)
        head->wrong_length = &LENGTH_MALFORMED;
    else if (head->left == UINT64_MAX) /* as strtoull tells that it is even more */
        head->wrong_length = &LENGTH_TOO_LARGE;
}

static void end_field(struct head *head, struct received *received)
{
    if (strcasecmp(head->name, "Content-Length") == 0)
        note_frame(head, true);
    else if (strcasecmp(head->name, "Transfer-Encoding") == 0)
        note_frame(head, false);
    head->kept += head->passed || head->name_passed ? KEPT_FIELD : 0;
    head->fields++;
    begin_field(head, received);
}

static void end_head(struct head *head)
{
    struct head next = {.left = head->left, .refused = head->wrong_length};
    if (head->unknown || head->wrong_length)
        next.part = BODY_UNKNOWN;
    else if (head->chunked)
        next.part = BODY_CHUNKED;
    else if (head->left > 0)
        next.part = BODY_COUNTED;
    chunks_begin(&next.chunks);
    *head = next;
}

static void end_line(struct head *head, struct received *received)
{
    if (head->part == HEAD_REQUEST_LINE) {
        begin_field(head, received);
    } else if (head->part == HEAD_VALUE) {
        end_field(head, received);
    } else if (head->part == HEAD_NAME && head->in_line == 0) {
        end_head(head);
    } else if (head->part == HEAD_NAME) {
        head->refused = &HEAD_MALFORMED;
    }
}

/* The method, the target, which may be cut, and the version. */
static void scan_request_line(struct head *head, struct received *received, char byte)
{
    head->part = HEAD_REQUEST_LINE;
    head->fields += byte == '&';
    head->in_line = byte == ' ' ? 0 : head->in_line + 1;
    if (head->in_line < HEAD_TARGET_MAX)
        keep(head, received, byte);
    else if (head->in_line == HEAD_TARGET_MAX)
        keep(head, received, HEAD_CUT);
}

/* Holds back a name that is not used, or what comes after it. */
static void end_name(struct head *head, struct received *received)
{
    size_t size = head->in_line < HEAD_NAME_MAX ? head->in_line : HEAD_NAME_MAX - 1;
    head->name[size] = '\0';
    head->passed = head->in_line == size && headers_are_read(head->name);
    head->most = headers_most(head->name);
    head->name_passed = !head->passed && received->line == RECEIVED_EARLIER;
    if (head->passed || head->name_passed) {
        keep(head, received, ':');
    } else {
        CHECK(received->line <= received->kept);
        head->kept -= received->kept - received->line;
        received->kept = received->line;
    }
    head->part = HEAD_VALUE;
    head->after_blank = false;
    head->in_line = 0;
}

static void scan_name(struct head *head, struct received *received, char byte)
{
    if (byte == ':' && head->in_line > 0) {
        end_name(head, received);
        return;
    }
    if (!is_token(byte)) {
        head->refused = &HEAD_MALFORMED;
        return;
    }
    if (head->in_line < HEAD_NAME_MAX) {
        head->name[head->in_line] = byte;
        keep(head, received, byte);
    }
    head->in_line++;
}

static void add_to_value(struct head *head, char byte)
{
    if (head->in_line < sizeof(head->value))
        head->value[head->in_line] = byte;
    head->in_line++;
}

/* Of the value is noted neither how many blanks surround it nor how many zeros a number begins
 * with. */
static void scan_value(struct head *head, struct received *received, char byte)
{
    bool blank = byte == ' ' || byte == '\t';
    if (!blank && head->after_blank && head->in_line > 0)
        add_to_value(head, ' ');
    if (head->in_line == 1 && head->value[0] == '0' && isdigit((unsigned char)byte))
        head->in_line = 0;
    if (!blank)
        add_to_value(head, byte);
    head->after_blank = blank;
    if (head->passed && head->in_line <= head->most)
        keep(head, received, byte);
}

/* Whether the line that is ending is kept. */
static bool is_kept(const struct head *head)
{
    switch (head->part) {
    case HEAD_BEFORE: return false;
    case HEAD_VALUE: return head->passed || head->name_passed;
    default: return true;
    }
}

static void scan_byte(struct head *head, struct received *received, char byte)
{
    bool after_cr = head->after_cr;
    if (head->part == HEAD_BEFORE)
        received->head = received->kept;
    head->after_cr = byte == '\r';
    bool line_end = byte == '\r' || byte == '\n';
    if (++head->bytes > HEAD_MAX || head->fields > HEAD_FIELDS_MAX)
        head->refused = &HEAD_TOO_LARGE;
    else if (after_cr != (byte == '\n') ||
             (iscntrl((unsigned char)byte) && !line_end && byte != '\t'))
        head->refused = &HEAD_MALFORMED;
    if (head->refused)
        return;
    if (line_end && is_kept(head))
        keep(head, received, byte);
    if (byte == '\n')
        end_line(head, received);
    else if (byte == '\r')
        return;
    else if (head->part == HEAD_NAME)
        scan_name(head, received, byte);
    else if (head->part == HEAD_VALUE)
        scan_value(head, received, byte);
    else
        scan_request_line(head, received, byte);
}

/* Returns how many of the bytes belong to the body. */
static size_t scan_body(struct head *head, const char *bytes, size_t size)
{
    CHECK(head->part >= BODY_COUNTED && size > 0);
    if (head->part == BODY_UNKNOWN)
        return size;
    if (head->part == BODY_COUNTED) {
        size = head->left < size ? (size_t)head->left : size;
        head->left -= size;
        head->part = head->left > 0 ? BODY_COUNTED : HEAD_BEFORE;
        return size;
    }
    size = chunks_scan(&head->chunks, bytes, size);
    if (head->chunks.state == CHUNKS_NONE)
        head->part = HEAD_BEFORE;
    if (head->chunks.malformed)
        head->refused = &CHUNKS_MALFORMED;
    return size;
}

/* A request in the place of the one that is refused, which is answered after those before it: as
 * much of it as there is room for, the rest at the next time. */
static void stand_in(struct head *head, struct received *received)
{
    static const char text[] = {HEAD_CUT, ' ', '/', ' ', 'H',  'T',  'T',  'P',
                                '/',      '1', '.', '0', '\r', '\n', '\r', '\n'};
    size_t left = sizeof(text) - head->stand_in;
    size_t room = received->room - received->kept;
    size_t size = left < room ? left : room;
    memcpy(received->bytes + received->kept, text + head->stand_in, size);
    received->kept += size;
    head->stand_in += size;
    head->told = head->stand_in == sizeof(text);
}

static void take_back(struct head *head, struct received *received)
{
    received->kept = received->head == RECEIVED_EARLIER ? 0 : received->head;
    if (received->kept > 0)
        stand_in(head, received);
}

void head_filter(struct head *head, struct received *received, size_t size)
{
    CHECK(size <= received->room - received->kept);
    size_t at = received->kept;
    size_t end = at + size;
    while (at < end && !head->refused) {
        if (head->part < BODY_COUNTED) {
            scan_byte(head, received, received->bytes[at++]);
            continue;
        }
        size_t body = scan_body(head, received->bytes + at, end - at);
        CHECK(received->kept <= at && body > 0 && body <= end - at);
        memmove(received->bytes + received->kept, received->bytes + at, body);
        received->kept += body;
        at += body;
    }
    if (head->refused)
        take_back(head, received);
    CHECK(received->kept <= received->room);
}

struct received received_begin(const struct head *head, char *bytes, size_t room)
{
    bool at_name = head->part == HEAD_NAME && head->in_line == 0;
    return (struct received){.bytes = bytes,
                             .room = room,
                             .head = RECEIVED_EARLIER,
                             .line = at_name ? 0 : RECEIVED_EARLIER};
}

/* ---- streams ---- */

/* Reads and throws away what has arrived; reports the end of the stream when that is too much. */
static ssize_t discard(struct head *head, const struct head_stream *from, void *buffer, size_t size)
{
    ssize_t received;
    CHECK(head->refused);
    if (!head->told)
        from->answer(from->stream, head->refused);
    head->told = true;
    do {
        received = from->receive(from->stream, buffer, size);
        if (received > 0)
            head->bytes += (size_t)received;
    } while (received > 0 && head->bytes < DISCARD_MAX);
    return received > 0 ? 0 : received;
}

/* Returns less than there is room for only when there is no more, which libmicrohttpd relies on. */
static ssize_t pass(struct head *head, const struct head_stream *from, void *buffer, size_t size)
{
    struct received received = received_begin(head, buffer, size);
    ssize_t count;
    bool more;
    do {
        size_t asked = size - received.kept;
        count = from->receive(from->stream, received.bytes + received.kept, asked);
        if (count > 0)
            head_filter(head, &received, (size_t)count);
        more = count == (ssize_t)asked || (count > 0 && from->in_records);
    } while (more && received.kept < size && !head->refused);
    if (head->refused && received.kept == 0)
        return discard(head, from, buffer, size);
    if (received.kept > 0)
        return (ssize_t)received.kept;
    if (count > 0)
        errno = EAGAIN;
    return count > 0 ? -1 : count;
}

static ssize_t finish_stand_in(struct head *head, char *buffer, size_t size)
{
    struct received received = received_begin(head, buffer, size);
    stand_in(head, &received);
    return (ssize_t)received.kept;
}

ssize_t head_receive(struct head *head, const struct head_stream *from, void *buffer, size_t size)
{
    if (head->refused && head->stand_in > 0 && !head->told)
        return finish_stand_in(head, buffer, size);
    if (head->refused)
        return discard(head, from, buffer, size);
    return pass(head, from, buffer, size);
}

/* ---- sockets ---- */

/* By descriptor; each is used on one thread until the descriptor is closed. */
static struct head **watched;
static size_t watched_count;

bool heads_init(size_t count)
{
    CHECK(!watched);
    watched = calloc(count, sizeof(struct head *));
    watched_count = watched ? count : 0;
    return watched;
}

void heads_fini(void)
{
    free(watched);
    watched = NULL;
    watched_count = 0;
}

static struct head *find(int socket)
{
    return socket >= 0 && (size_t)socket < watched_count ? watched[socket] : NULL;
}

void heads_watch(int socket, struct head *head)
{
    CHECK(socket >= 0);
    if ((size_t)socket < watched_count)
        watched[socket] = head;
}

void heads_forget(int socket, const struct head *head)
{
    if (find(socket) == head)
        watched[socket] = NULL;
}

struct plain_stream {
    int socket;
    int flags;
};

static ssize_t receive_plain(void *stream, void *buffer, size_t size)
{
    const struct plain_stream *plain = stream;
    return recvfrom(plain->socket, buffer, size, plain->flags, NULL, NULL);
}

/* What does not fit into the socket is lost. */
static void answer_plain(void *stream, const struct problem *refused)
{
    const struct plain_stream *plain = stream;
    struct buffer answer;
    problem_write_answer(refused, &answer);
    if (!answer.failed)
        (void)!send(plain->socket, answer.data, answer.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(plain->socket, SHUT_WR);
    buffer_fini(&answer);
}

__attribute__((visibility("default"))) ssize_t recv(int socket, void *buffer, size_t size,
                                                    int flags)
{
    struct head *head = find(socket);
    struct plain_stream plain = {socket, flags};
    const struct head_stream stream = {receive_plain, answer_plain, &plain, false};
    return head ? head_receive(head, &stream, buffer, size) : receive_plain(&plain, buffer, size);
}
