/* What a connection sends, before libmicrohttpd sees it: where each head and body ends, whether
 * every line is as RFC 9112 has it, and of a head only what is read here. libmicrohttpd 0.9.75
 * takes lines that a proxy in front reads otherwise, answers a head that is too long in HTML or not
 * at all, has no limit but its memory for a connection, and zeroes all of that for each request. It
 * reads its sockets with recv(2), for which the program has its own in its place. */
#ifndef TRIGGERS_BRIDGE_HEADS_H
#define TRIGGERS_BRIDGE_HEADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunks.h"

#define HEAD_MAX 32768      /* bytes, with the empty line */
#define HEAD_FIELDS_MAX 128 /* headers, and "&" in the target */

/* What libmicrohttpd is given of a target at most. Of a longer one the first bytes, and the last of
 * them is HEAD_CUT, which nobody can send. */
#define HEAD_TARGET_MAX 8000
#define HEAD_CUT '\x01'

/* The longest name of a field that is read. */
#define HEAD_NAME_MAX 32

struct connection;
struct problem;

enum head_part {
    HEAD_BEFORE, /* empty lines may come (RFC 9112 section 2.2) */
    HEAD_REQUEST_LINE,
    HEAD_NAME,
    HEAD_VALUE,
    BODY_COUNTED,
    BODY_CHUNKED,
    BODY_UNKNOWN, /* its request is refused, and the connection closed: see headers.h */
};

/* How far a connection has come. Zeroed, it is at its beginning. */
struct head {
    const struct problem *refused; /* what comes now is thrown away */
    bool told;                     /* of that */
    enum head_part part;
    bool after_cr;
    bool passed;      /* of the field, the value */
    bool name_passed; /* of a field that is not passed: it was too late to keep the name back */
    size_t bytes;     /* of the head so far */
    size_t kept;      /* those that libmicrohttpd has, and 64 that it takes for a field */
    size_t fields;
    size_t in_line; /* bytes of the line so far, or of the field's value */
    char name[HEAD_NAME_MAX];
    char value[24];  /* of the field, the first bytes */
    unsigned frames; /* fields that say where the body ends */
    bool chunked;    /* what they say; if not so, `left` */
    bool unknown;    /* what they say makes no sense */
    uint64_t left;   /* of a body that is counted */
    struct chunks chunks;
};

/* What is received at once, of which the first `kept` bytes are for libmicrohttpd. */
struct received {
    char *bytes;
    size_t room;
    size_t kept;
    size_t head; /* where the head begins in that, or RECEIVED_EARLIER */
    size_t line; /* likewise the line of the field */
};

#define RECEIVED_EARLIER SIZE_MAX

struct received received_begin(const struct head *head, char *bytes, size_t room);

/* Looks at `size` bytes that were received after those that are kept. At a fault sets `refused`;
 * when a request comes before it, one with the method HEAD_CUT is to be answered with that, else
 * nothing is kept. */
void head_filter(struct head *head, struct received *received, size_t size);

/* For descriptors under `count`. False without memory. */
bool heads_init(size_t count);
void heads_fini(void);

/* From now on the connection's socket is looked at, or not any more. On the thread that reads it.
 */
void heads_watch(struct connection *connection);
void heads_forget(struct connection *connection);

#endif
