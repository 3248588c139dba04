/* Whether every line of a chunked body ends with CRLF (RFC 9112 section 7.1). libmicrohttpd 0.9.75
 * takes a bare LF, which a proxy in front may read otherwise; later ones do not. */
#ifndef TRIGGERS_BRIDGE_CHUNKS_H
#define TRIGGERS_BRIDGE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chunks_state {
    CHUNKS_NONE,
    CHUNKS_SIZE,
    CHUNKS_EXTENSION,
    CHUNKS_DATA,
    CHUNKS_END,
    CHUNKS_TRAILER
};

/* How far a body has come. Zeroed, none is looked at, as after its end. */
struct chunks {
    enum chunks_state state;
    uint64_t left;    /* bytes of the chunk's data, or its size so far */
    uint64_t in_line; /* bytes of the line so far, without CR */
    bool after_cr;
    bool malformed; /* a line ended with a bare LF */
};

void chunks_begin(struct chunks *chunks);

/* Looks at `size` bytes that follow; returns how many are the body's, all until its end or a line
 * that ends with a bare LF. What else is wrong with them libmicrohttpd finds. */
size_t chunks_scan(struct chunks *chunks, const char *bytes, size_t size);

#endif
