/* A scanner of one byte after the other, and the recv that runs it. */
#include "heads.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "connections.h"
#include "respond.h"

/* Of what comes after a head that was refused: so that the peer can read the answer, which a reset
 * would take from it (RFC 9112 section 9.6). */
#define DISCARD_MAX (16u << 20)

/* ---- the scanner ---- */

static void end_line(struct head *head)
{
    /* RFC 9112 section 2.2 allows an empty line before a request. */
    head->ended = head->in_line == 0 && head->begun;
    head->fields += head->in_line > 0;
    head->begun = head->begun || head->in_line > 0;
    head->in_line = 0;
    head->cookie = 0;
}

static void scan_byte(struct head *head, char *byte)
{
    static const char cookie[] = "cookie";
    if (*byte == '\n') {
        end_line(head);
        return;
    }
    if (*byte == '\r')
        return;
    if (!head->begun)
        head->fields += *byte == '&';
    else if (head->cookie == head->in_line && tolower((unsigned char)*byte) == cookie[head->cookie])
        head->cookie++;
    head->in_line++;
    if (head->cookie == sizeof(cookie) - 1 && head->in_line == head->cookie)
        *byte = '_';
}

bool head_scan(struct head *head, char *bytes, size_t size)
{
    head->unread += (int64_t)size;
    head->at_blank = size >= 4 && memcmp(bytes + size - 4, "\r\n\r\n", 4) == 0;
    for (size_t i = 0; i < size && !head->ended; i++) {
        scan_byte(head, &bytes[i]);
        if (++head->bytes > HEAD_MAX || head->fields > HEAD_FIELDS_MAX + 1)
            return false;
    }
    return true;
}

void head_end(struct head *head)
{
    head->ended = true;
}

void head_next(struct head *head, size_t size)
{
    int64_t unread = head->unread - (int64_t)size;
    /* A chunked body ends with an empty line; so do heads, which are then taken at once. */
    if (size == 0 && head->at_blank)
        unread = 0;
    *head = (struct head){.unread = unread, .ended = unread != 0};
}

/* ---- sockets ---- */

/* By descriptor; each is used on one thread until it is closed. */
static struct connection **watched;
static size_t watched_count;

bool heads_init(size_t count)
{
    watched = calloc(count, sizeof(struct connection *));
    watched_count = watched ? count : 0;
    return watched;
}

void heads_fini(void)
{
    free(watched);
    watched = NULL;
    watched_count = 0;
}

static struct connection *find(int socket)
{
    return socket >= 0 && (size_t)socket < watched_count ? watched[socket] : NULL;
}

void heads_watch(struct connection *connection)
{
    if ((size_t)connection->socket < watched_count)
        watched[connection->socket] = connection;
}

void heads_forget(struct connection *connection)
{
    if (find(connection->socket) == connection)
        watched[connection->socket] = NULL;
}

static ssize_t nothing_came(void)
{
    errno = EAGAIN;
    return -1;
}

static const struct problem HEAD_TOO_LARGE = {
    .status = 431,
    .code = "REQUEST_HEAD_TOO_LARGE",
    .detail = "The head of a request may have at most 32768 bytes and 128 fields",
};

static ssize_t refuse(struct connection *connection, const struct problem *problem)
{
    connection->head.refused = true;
    respond_directly(connection, problem);
    return nothing_came();
}

/* As much as has come; the end of the stream to libmicrohttpd when that is too much. */
static ssize_t discard(struct connection *connection, void *buffer, size_t size, int flags)
{
    ssize_t received;
    do {
        received = recvfrom(connection->socket, buffer, size, flags, NULL, NULL);
        if (received > 0)
            connection->head.bytes += (size_t)received;
    } while (received > 0 && connection->head.bytes < DISCARD_MAX);
    return received > 0 ? 0 : received;
}

__attribute__((visibility("default"))) ssize_t recv(int socket, void *buffer, size_t size,
                                                    int flags)
{
    struct connection *connection = find(socket);
    if (connection && connection->head.refused)
        return discard(connection, buffer, size, flags);
    ssize_t received = recvfrom(socket, buffer, size, flags, NULL, NULL);
    if (!connection || received <= 0)
        return received;
    if (!head_scan(&connection->head, buffer, (size_t)received))
        return refuse(connection, &HEAD_TOO_LARGE);
    if (!chunks_scan(&connection->chunks, buffer, (size_t)received))
        return refuse(connection, &CHUNKS_MALFORMED);
    return received;
}
