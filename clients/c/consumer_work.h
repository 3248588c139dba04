/* What a consumer holds: deliveries, each in the list of its state. They know no thread and no
 * call; who uses them holds the consumer's lock. */
#ifndef TRIGGERS_CLIENT_CONSUMER_WORK_H
#define TRIGGERS_CLIENT_CONSUMER_WORK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "triggers.h"

enum work_state {
    WORK_WAITING,
    WORK_RUNNING, /* a handler has it */
    WORK_KEPT,
    WORK_DONE,     /* its outcome is to be sent */
    WORK_SETTLING, /* it is under way */
    WORK_STATES
};

/* A pull's reply and how many of its deliveries are held. */
struct pulled_page {
    triggers_reply *reply;
    size_t held;
};

struct work {
    triggers_delivery delivery; /* first */
    struct pulled_page *page;   /* has its texts */
    enum work_state state;
    triggers_outcome outcome;
    int64_t lease_end_ms;
    int64_t extend_at_ms;
    bool extending;        /* in the call that is under way */
    atomic_bool lost;      /* set with the lock held */
    bool told;             /* the handler was, that it is lost */
    struct work *previous; /* in the list of its state */
    struct work *next;
};

struct work_list {
    struct work *first;
    struct work *last;
    size_t count;
};

struct workload {
    struct work_list lists[WORK_STATES];
    uint32_t lease_s;      /* 0: not known yet */
    int64_t extend_due_ms; /* no lease is to be extended before */
    triggers_consumer_counts counts;
};

/* Holds what a pull that was first sent at `since_ms` has brought, as WORK_WAITING. Takes the
 * reply. What there is no memory for comes again when its lease is over. */
void workload_hold(struct workload *load, triggers_reply *reply, int64_t since_ms);

size_t workload_count(const struct workload *load, enum work_state state);

/* The same as work_lose for all that is held. */
void workload_lose_all(struct workload *load);

void work_move(struct workload *load, struct work *work, enum work_state state);

/* A lease that was asked for at `from_ms` is extended at a third. */
void work_set_lease(struct workload *load, struct work *work, int64_t from_ms);

/* It is somebody else's, or nobody's. Whoever uses it sees that, and it is freed when nobody does.
 */
void work_lose(struct workload *load, struct work *work);

/* Of one that nobody uses. */
void work_free(struct workload *load, struct work *work);

#endif
