/* Who waits for events: after which position of the log, and which ones. A commit of this process
 * wakes those whose filters its events pass, at once; events of other processes are looked for when
 * one tells of them (notices.h) and once a second, by one look for all who wait for a tenant's. The
 * tenants take turns, in looks and when many are woken at once. */
#ifndef TRIGGERS_EVENTS_WAITERS_H
#define TRIGGERS_EVENTS_WAITERS_H

#include "events/readers.h"

struct waiters;
struct log_waiter;
struct waited_log;

/* What becomes of a waiter; its owner's. */
struct log_waiter_calls {
    /* It begins to wait; false: it cannot. Called with a lock held. */
    bool (*park)(struct log_waiter *waiter);
    /* It is woken: false when somebody else has done that, who calls waiters_leave. Called with a
     * lock held. */
    bool (*unpark)(struct log_waiter *waiter);
    /* After unpark: read the log on from `after`. Any thread, no lock held. */
    void (*look)(struct log_waiter *waiter);
};

enum log_waiter_state {
    LOG_WAITER_OUTSIDE,
    LOG_WAITER_READS,  /* its owner does, for it */
    LOG_WAITER_PARKED, /* there is nothing for it */
    LOG_WAITER_DUE,    /* parked as well, but there may be something; it reads in its turn */
};

#define NAME_BITS 512 /* a power of 2 */
struct name_bits {
    uint64_t words[NAME_BITS / 64];
};

/* One who waits. In: the first four, the rest zero. The owner may read `after` until it parks and
 * when it has left. */
struct log_waiter {
    const struct log_waiter_calls *calls;
    struct scope scope;
    const struct store_filter *filter;
    int64_t after; /* no event that passes the filter is unread up to here */
    /* The waiters'. */
    enum log_waiter_state state;
    struct waited_log *log;
    struct log_waiter *next;
    struct log_waiter **previous; /* what points here */
    int64_t again_to; /* events for it were committed up to here while its owner reads; 0: none */
    bool in_turn;     /* its owner reads because it was due */
    struct name_bits sources, types;
};

/* NULL without memory. Looks for events of other processes through `readers`. */
struct waiters *waiters_open(struct readers *readers);

/* From now on nobody is woken by events. Call it while the readers still take operations. */
void waiters_stop(struct waiters *waiters);

/* Nobody waits any more, and the readers are closed. NULL is allowed. */
void waiters_close(struct waiters *waiters);

/* Before its owner reads the log from `after` on, for the first time. False without memory. */
bool waiters_join(struct waiters *waiters, struct log_waiter *waiter) MUST_CHECK;

enum log_waiter_parking {
    LOG_WAITER_WAITS,       /* it is not its owner's any more, until woken */
    LOG_WAITER_LOOKS_AGAIN, /* there is something after what was read: read on from `after` */
    LOG_WAITER_CANNOT,      /* `park` says so */
};

/* Its owner has read up to `read_to`, and found nothing. */
enum log_waiter_parking waiters_park(struct waiters *waiters, struct log_waiter *waiter,
                                     int64_t read_to) MUST_CHECK;

/* Its owner, which reads for it or was woken by somebody else, answers it now. Only if it joined.
 */
void waiters_leave(struct waiters *waiters, struct log_waiter *waiter);

/* A commit appended these events of one tenant; `count` may be 0. Others that are stored already do
 * no harm. Any thread, no lock held. */
void waiters_note(struct waiters *waiters, struct scope scope,
                  const struct store_event *const *events, size_t count);

/* Another process has committed events of the tenant, up to `last` at least. The same threads. */
void waiters_hear(struct waiters *waiters, int64_t tenant, int64_t last);

/* Looks for events of other processes, where somebody waits: at no more than 32 tenants' at once,
 * so that others come later when there are more. The same threads; once a second. */
void waiters_look(struct waiters *waiters);

#endif
