/* Whether the lines between the pieces of a chunked body end with CRLF (RFC 9112 section 7.1).
 *
 * libmicrohttpd 0.9.75 takes a bare LF, which a proxy in front may read otherwise; later ones do
 * not. It hands out pieces where it has received them, so that what is in front of them can be
 * seen, if it came with them: not a line that came by itself, which is overwritten by what
 * follows. */
#ifndef TRIGGERS_BRIDGE_CHUNKS_H
#define TRIGGERS_BRIDGE_CHUNKS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised: of a body that is not looked at. */
struct chunks {
    const char *buffer; /* where libmicrohttpd receives this body, or what is left of it */
    const char *end;    /* of the last piece; NULL: none came yet */
    uint64_t turn;      /* in which it came, or the head */
    bool ends_well;     /* what is behind it, if the whole body came with it */
};

/* Turns are the loop's: in one of them a connection is read from once. `buffer` may be NULL. */
void chunks_begin(struct chunks *chunks, const char *buffer, uint64_t turn);

/* Of each piece; false when a line in front of it ends with a bare LF. */
bool chunks_check(struct chunks *chunks, const char *piece, size_t size, uint64_t turn);

/* Likewise of the last chunk and the trailers, when the whole request has come. */
bool chunks_check_end(const struct chunks *chunks, struct MHD_Connection *connection,
                      uint64_t turn);

#endif
