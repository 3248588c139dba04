/* How fast a peer sends its request and takes its answer. Each has `patience` for a head, from its
 * first byte, and for a body or an answer as much and a second more for each 16 KiB: so the whole
 * time of a request is bounded by its size. What the kernel has received, and what the peer's has
 * acknowledged, counts: a bridge that is slow itself is no fault of the peer. */
#ifndef TRIGGERS_BRIDGE_PACE_H
#define TRIGGERS_BRIDGE_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_LOWEST 16384 /* bytes a second */
#define PACE_UNKNOWN UINT64_MAX

/* What the peer is waited for to do. */
enum pace_phase {
    PACE_IDLE,   /* to begin a request, or to end its head */
    PACE_BODY,   /* to send it */
    PACE_OURS,   /* nothing: it waits for us */
    PACE_ANSWER, /* to take it */
};

struct pace {
    /* Set on the thread that serves the connection. */
    atomic_uint turn;   /* two bits of the phase; the others count phases */
    atomic_size_t held; /* bytes that its request holds */

    /* Of who checks. */
    unsigned seen;     /* the turn that was checked last */
    int64_t since_ms;  /* when that began, about; of an idle one, when nothing had come */
    uint64_t at_since; /* bytes that had been sent or taken by then */
    uint64_t rate;     /* see pace_rate */
};

void pace_init(struct pace *pace, int64_t now_ms);

/* The next phase begins. On the thread that serves the connection. */
void pace_begin(struct pace *pace, enum pace_phase phase);

/* Looks how far the peer has come; true when it is too late. */
bool pace_is_late(struct pace *pace, int socket, int64_t now_ms, int64_t patience_ms);

/* Bytes a second so far, as it was looked at last; PACE_UNKNOWN: that is not known yet, or the peer
 * was not waited for. */
uint64_t pace_rate(const struct pace *pace);

/* The rule: whether `bytes` in `elapsed_ms` are too few. */
bool pace_is_too_slow(uint64_t bytes, int64_t elapsed_ms, int64_t patience_ms);

/* Answers a peer that waits for an answer: 408 when it is late, or 503 when others need its room.
 */
void pace_tell(const struct pace *pace, int socket, bool late);

#endif
