/* A filter for what a connection sends, before libmicrohttpd sees it: it finds where each head and
 * body ends, checks every line by RFC 9112, and leaves of a head only the fields that are used
 * here. libmicrohttpd 0.9.75 accepts lines that a proxy in front reads differently, answers a head
 * that is too long in HTML or not at all, answers a length that is no number twice, has no limit
 * except its memory for a connection, and zeroes all of that for each request. It reads its sockets
 * with recv(2), which the program replaces by its own; for TLS see tls.h. */
#ifndef TRIGGERS_BRIDGE_HEADS_H
#define TRIGGERS_BRIDGE_HEADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chunks.h"

#define HEAD_MAX 32768      /* bytes, with the empty line */
#define HEAD_FIELDS_MAX 128 /* headers, and "&" in the target */

/* The most bytes of a target that libmicrohttpd gets. A longer one is cut, and ends with HEAD_CUT,
 * which nobody can send. */
#define HEAD_TARGET_MAX 8000
#define HEAD_CUT '\x01'

/* The longest name of a field that is used. */
#define HEAD_NAME_MAX 32

struct problem;

enum head_part {
    HEAD_BEFORE, /* empty lines may come (RFC 9112 section 2.2) */
    HEAD_REQUEST_LINE,
    HEAD_NAME,
    HEAD_VALUE,
    BODY_COUNTED,
    BODY_CHUNKED,
    BODY_UNKNOWN, /* the request is refused and the connection closed: see headers.h */
};

/* What has been read of a connection's current head or body. Zeroed: it is at its beginning. */
struct head {
    const struct problem *refused; /* what follows is thrown away */
    bool told;                     /* of that */
    size_t stand_in;               /* bytes given of the request in its place */
    enum head_part part;
    bool after_cr;
    bool after_blank; /* in a field's value */
    bool passed;      /* the value of the current field is passed on */
    size_t most;      /* bytes of it, without what is left of a longer one */
    bool name_passed; /* the field is not passed on, but it was too late to hold its name back */
    size_t bytes;     /* of the head so far */
    size_t kept;      /* those that libmicrohttpd got, and 64 for each field, which it needs */
    size_t fields;
    size_t in_line; /* bytes so far of the line, or of the field's value */
    char name[HEAD_NAME_MAX];
    char value[24];                     /* the first bytes of the field's value */
    unsigned frames;                    /* how many fields state where the body ends */
    bool chunked;                       /* what they state; otherwise `left` */
    bool unknown;                       /* what they state makes no sense */
    const struct problem *wrong_length; /* why a length among them cannot be read */
    uint64_t left;                      /* of a body with a length */
    struct chunks chunks;
};

/* What one call of recv returns; the first `kept` bytes of it are for libmicrohttpd. */
struct received {
    char *bytes;
    size_t room;
    size_t kept;
    size_t head; /* where the head begins in it, or RECEIVED_EARLIER */
    size_t line; /* the same for the line of the field */
};

#define RECEIVED_EARLIER SIZE_MAX

struct received received_begin(const struct head *head, char *bytes, size_t room);

/* Filters `size` bytes that were received after those that are kept. At a fault it sets `refused`:
 * when a complete request comes before the fault, libmicrohttpd then gets one with the method
 * HEAD_CUT, the rest of it at the next time when there is too little room, to be answered with it;
 * else nothing is kept. */
void head_filter(struct head *head, struct received *received, size_t size);

/* Where the bytes of a connection come from, and its last answer goes. */
struct head_stream {
    /* As recv(2) on a socket that does not block. */
    ssize_t (*receive)(void *stream, void *buffer, size_t size);
    /* Answers a request that was refused, and ends the sending side. */
    void (*answer)(void *stream, const struct problem *refused);
    void *stream;
    bool in_records; /* it may return less than was asked for although there is more */
};

/* Receives what the filter leaves, as recv(2). Less than `size` only when there is no more now. */
ssize_t head_receive(struct head *head, const struct head_stream *from, void *buffer, size_t size);

/* Prepares for descriptors below `count`. False without memory. */
bool heads_init(size_t count);
void heads_fini(void);

/* Begins, or ends, to filter what `socket` receives. On the thread that reads it. heads_forget does
 * nothing when the socket was closed and its number belongs to another head by now. */
void heads_watch(int socket, struct head *head);
void heads_forget(int socket, const struct head *head);

#endif
