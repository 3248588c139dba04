/* Whether every line of a chunked body ends with CRLF (RFC 9112 section 7.1). libmicrohttpd 0.9.75
 * accepts a bare LF, which a proxy in front may read differently; later versions do not. */
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

/* How much of a body has arrived. Zeroed: no body is checked, as after the end of one. */
struct chunks {
    enum chunks_state state;
    uint64_t left;    /* bytes of the chunk's data, or its size so far */
    uint64_t in_line; /* bytes of the line so far, without CR */
    bool after_cr;
    bool malformed; /* a line ended with a bare LF */
};

void chunks_begin(struct chunks *chunks);

/* Checks the next `size` bytes; returns how many belong to the body: all of them, or those until
 * its end or until a line that ends with a bare LF. libmicrohttpd finds all other errors. */
size_t chunks_scan(struct chunks *chunks, const char *bytes, size_t size);

#endif
