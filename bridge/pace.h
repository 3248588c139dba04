/* How fast a peer sends its request and takes its answer. A peer has `patience` for a head, from
 * its first byte, and for a body or an answer as much and a second more for each 16 KiB, so its
 * size bounds the whole time of a request. What counts is what our kernel has received and what the
 * peer's kernel has acknowledged, so a slow bridge is not held against the peer. */
#ifndef TRIGGERS_BRIDGE_PACE_H
#define TRIGGERS_BRIDGE_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_LOWEST 16384 /* bytes a second */
#define PACE_UNKNOWN UINT64_MAX

/* What we wait for the peer to do. */
enum pace_phase {
    PACE_IDLE,   /* to begin a request, or to end its head */
    PACE_BODY,   /* to send it */
    PACE_OURS,   /* nothing: it waits for us */
    PACE_ANSWER, /* to take it */
};

struct pace {
    /* Set on the thread that serves the connection. */
    atomic_uint turn;   /* two bits are the phase; the others count phases */
    atomic_size_t held; /* bytes that its request holds */

    /* For the checks. */
    unsigned seen;    /* the turn that was checked last */
    int64_t since_ms; /* about when that began; when idle, the last time that nothing had arrived */
    uint64_t at_since; /* bytes that had been sent or taken by then */
    uint64_t rate;     /* see pace_rate */
};

void pace_init(struct pace *pace, int64_t now_ms);

/* Begins the next phase. On the thread that serves the connection. */
void pace_begin(struct pace *pace, enum pace_phase phase);

/* Checks the peer's progress; true when it is late. */
bool pace_is_late(struct pace *pace, int socket, int64_t now_ms, int64_t patience_ms);

/* Bytes per second so far, as of the last check; PACE_UNKNOWN: not known yet, or we did not wait
 * for the peer. */
uint64_t pace_rate(const struct pace *pace);

/* The rule: whether `bytes` in `elapsed_ms` are too few. */
bool pace_is_too_slow(uint64_t bytes, int64_t elapsed_ms, int64_t patience_ms);

/* The answer for a peer that has sent a request in part: 408 when it is late, or 503 when others
 * need its memory; NULL: it has sent none. */
const char *pace_last_words(const struct pace *pace, bool late);

/* At most how many bytes we have read from the socket; 0 when that is not known. */
uint64_t pace_bytes_read(int socket);

#endif
