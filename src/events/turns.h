/* The queue of a lane: whose turn it is, and how much each may have waiting. Tenants have a batch
 * each in turn, however many connections they have. Of a tenant, connections are served in turn,
 * within each the clients that it names, and a client's operations in the order in which they came.
 * These turns are deficit round robin (Shreedhar and Varghese, 1995) over the cost of operations; a
 * client that had nothing waiting and asks for little comes first, as in FQ-CoDel (RFC 8290). Plain
 * data: every call is made with the lane's lock held. */
#ifndef TRIGGERS_EVENTS_TURNS_H
#define TRIGGERS_EVENTS_TURNS_H

#include <sys/queue.h>

#include "events/op.h"

/* The cost of an operation is one for each item, and one for each TURN_BYTES bytes, which take a
 * store about as long. */
#define TURN_BYTES 2048
/* An operation that costs at most this much is little. */
#define TURN_LITTLE 16

struct held {
    size_t count; /* operations */
    size_t bytes;
};

TAILQ_HEAD(turn_list, turn);

/* A tenant, a connection with operations of it, or a client of such a one, while it has operations
 * waiting or at the store; or what all tenants are below. */
struct turn {
    struct turn *parent;     /* the client's connection, its tenant, that of all, which has none */
    struct turn **bucket;    /* it is in */
    struct turn *chain;      /* in its bucket, or among the unused ones */
    TAILQ_ENTRY(turn) place; /* in the list it is in */
    struct turn_list ring;   /* those below it that take turns; who had his goes to the end */
    struct turn_list fresh;  /* of a tenant: the clients that come before the turns */
    uint64_t fresh_at;       /* of a tenant: when a batch was for these alone */
    struct op *first;        /* of the client's operations that wait */
    struct op **last;
    uint64_t key;
    struct held held; /* waiting or at the store */
    size_t credit;
    bool listed; /* the client, or the tenant, waits, in a list */
};

#define TURN_BUCKETS 512 /* a power of 2 */

struct turns {
    struct held max;
    struct turn all;      /* that the tenants are below */
    struct turn *current; /* the tenant whose batch it is; NULL: that is yet to be decided */
    bool in_turn;         /* its batch is its turn, which is over after that */
    uint64_t fresh_count; /* batches that were for clients alone that come before the turns */
    size_t fresh, queued; /* clients that do, and those that take turns */
    bool several;         /* not only tenant 0 has had operations */
    size_t waiting;       /* operations */
    struct turn *unused;
    struct turn *memory; /* of all turns; those from `used` on were never in use */
    size_t used;
    size_t count;
    struct turn *buckets[TURN_BUCKETS];
};

/* False without memory. Allocates nothing later. It must not be moved. */
bool turns_init(struct turns *turns, struct held max) MUST_CHECK;
void turns_fini(struct turns *turns);

/* Takes an operation; it counts as held until turns_release. False when all callers together hold
 * the most they may, or this one more than a fair share: a connection may hold four times what it
 * leaves free, and a client four times what it leaves to the others of its connection. So there is
 * always room for another. A tenant may hold four times what it leaves free, too, unless there is
 * tenant 0 alone. */
bool turns_add(struct turns *turns, struct op *op) MUST_CHECK;

/* The batch is complete: the next operation is that of the tenant whose turn comes. */
void turns_begin(struct turns *turns);

/* The next operations are those of the tenant of this one, which was taken, until turns_begin. */
void turns_go_on(struct turns *turns, const struct op *op);

/* The next operation of the batch's tenant, which stays in the queue; NULL when there is none. With
 * `fresh_only`, only those of clients that come before the turns. */
struct op *turns_next(struct turns *turns, bool fresh_only);

/* Takes out what turns_next returned last, to carry out `items` of its remaining items. */
void turns_take(struct turns *turns, struct op *op, size_t items);

/* Puts back an operation that has items left; it will be the next, of its client and in the turns
 * of its tenant. */
void turns_put_back(struct turns *turns, struct op *op);

/* The operation is no longer at the store. */
void turns_release(struct turns *turns, struct op *op);

/* Takes out and releases all that wait. */
struct op *turns_clear(struct turns *turns);

/* The cost of so many of its items; at least 1. */
size_t turn_cost(const struct op *op, size_t items);

#endif
