/* What the operations of every lane begin with. */
#ifndef TRIGGERS_EVENTS_OP_H
#define TRIGGERS_EVENTS_OP_H

#include "base/caller.h"
#include "base/scope.h"
#include "base/status.h"

struct turn;

/* The lane uses it until it calls `done`: exactly once, without a lock held, on a worker's thread
 * or the one that closes the lane. */
struct op {
    struct op *next;      /* the lane's */
    struct turn *turn;    /* the lane's: that of its client */
    struct caller caller; /* in: in whose turn it is carried out */
    struct scope scope;   /* in: whose events it is about, and by what right */
    int64_t deadline_ms;  /* in: monotonic; it is not begun after it */
    size_t bytes; /* in: memory that the operation holds, counted against the lane's limit */
    size_t items; /* in: store items in it, at least 1 */
    size_t first; /* what is carried out now: items from this one … */
    size_t end;   /* … to before this one */
    struct status status; /* OK, or why the operation as a whole failed; set before `done` */
    void (*done)(struct op *op);
};

#endif
