/* The heads of requests are bounded here, before libmicrohttpd sees them: it would answer longer
 * ones by itself, in HTML or not at all, and has no limit but its memory for a connection. It reads
 * its sockets with recv(2), for which the program has its own in its place. */
#ifndef TRIGGERS_BRIDGE_HEADS_H
#define TRIGGERS_BRIDGE_HEADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_MAX 32768 /* bytes, with the empty line */
#define HEAD_FIELDS_MAX                                                                            \
    128 /* headers, and "&" in the target: libmicrohttpd keeps 64 bytes of each */

struct connection;

/* How far the head has come that a connection is to send next. Zeroed, it is at its beginning. */
struct head {
    int64_t unread; /* bytes that were received and are of no request that has ended */
    size_t bytes;
    size_t fields;
    size_t in_line; /* bytes of the line so far, without its end */
    size_t cookie;  /* how many of these match "cookie" */
    bool at_blank;  /* what was received last ended with an empty line */
    bool begun;     /* a line has come */
    bool ended;     /* what comes now is not looked at */
    bool refused;   /* answered with 431: what comes now is thrown away */
};

/* Looks at `size` bytes that follow; false when the head is too long. Cookies, which no handler
 * reads, are given another name, as libmicrohttpd would keep a copy of them. */
bool head_scan(struct head *head, char *bytes, size_t size);

/* The head was taken whole. */
void head_end(struct head *head);

/* A request of `size` bytes has ended, 0 when that is not known. The next head is looked at from
 * its beginning; when some of it was received with this one, libmicrohttpd's limits alone hold for
 * it. */
void head_next(struct head *head, size_t size);

/* For descriptors under `count`. False without memory. */
bool heads_init(size_t count);
void heads_fini(void);

/* From now on the connection's socket is looked at, or not any more. On the thread that reads it.
 */
void heads_watch(struct connection *connection);
void heads_forget(struct connection *connection);

#endif
