/* One subscription, and what is under way for it. Its lock guards everything that is not said to be
 * the worker's, who carries out `work`. No store, no waiters and no `done` is called with it. */
#ifndef TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTION_H
#define TRIGGERS_SUBSCRIPTIONS_SUBSCRIPTION_H

#include <stdatomic.h>

#include "base/siphash.h"
#include "events/asks.h"
#include "events/tenants.h"
#include "subscriptions/requests.h"
#include "subscriptions/store_clock.h"
#include "subscriptions/subscription_metrics.h"

/* Those that were asked for since the start, see subscription_table.h. */
struct subscription_table {
    struct subscription *list; /* all of them, those that are gone as well */
    struct subscription **buckets;
    size_t bucket_count; /* a power of 2; 0 before the first is added */
    size_t count;
    uint8_t key[SIPHASH_KEY_SIZE]; /* of the hash, as callers choose the names */
};

struct subscriptions {
    struct store *store;
    struct writer *writer;
    struct waiters *waiters;
    struct asks *asks;
    struct tenants *tenants;
    pthread_t thread; /* the clock, see subscriptions.c */
    pthread_mutex_t lock;
    pthread_cond_t changed;          /* the clock is to look earlier, or the end has come */
    struct subscription_table table; /* the clock alone takes some out */
    int64_t wake_ms;                 /* monotonic; when the clock looks next */
    atomic_bool stopping;            /* set with the lock held: nothing is begun any more */
    void (*go_on)(struct subscription *subscription); /* subscription_go_on */
    struct store_clock clock;
    /* What other cores have written, see subscriptions.c. */
    struct ask_op look;
    struct store_ledger_heads heads;
    struct subscription **looked_at; /* whose heads they are; in use */
    int64_t look_after;              /* a tenant's number; so far this round has come */
    size_t looks_left;               /* in this second */
    bool looking;
    /* Of what metrics show, see watching.h; the worker's, but for `watch_ms`. */
    struct ask_op watch;
    struct watching {
        int64_t after; /* id; so far this look has come */
        size_t count;  /* subscriptions that it has seen */
        bool more;
        struct watched {
            int64_t id;
            struct store_ledger_head head;
            int64_t log_end;
            struct subscription_figures figures;
        } rows[SUBSCRIPTION_SERIES]; /* the last look at those that have a series */
    } watching;
    int64_t watch_ms; /* monotonic; guarded by the lock; when a step is due, INT64_MAX: under way */
    int64_t watched_ms; /* the same; when the look began */
    /* Of what was removed, see subscriptions.c. */
    struct ask_op sweep;
    int64_t sweep_tenant;   /* whose */
    int64_t sweep_began_ms; /* monotonic; this round through the tenants */
    bool sweep_more;        /* it has not come to the end of that one's */
    int64_t sweep_ms; /* monotonic; guarded by the lock; when it is due, INT64_MAX: under way */
};

struct request_queue {
    struct subscription_request *first;
    struct subscription_request **last;
};

struct pull_list {
    struct pull *first;
    struct pull **last;
};

/* Sequences that we settle or give back ourselves. */
struct sequence_list {
    int64_t *list;
    size_t count;
    size_t room;
};

enum subscription_state {
    SUBSCRIPTION_UNKNOWN, /* the store was not asked yet */
    SUBSCRIPTION_READY,
    SUBSCRIPTION_GONE, /* there is none of this name, or not any more */
};

/* Where events are from that are given out for the first time. */
enum event_walk {
    WALK_NONE,
    WALK_TIMES, /* the position has passed them, and their time has come */
    WALK_KEYS,  /* the position has passed them, and their ordering key is ready */
    WALK_LOG,   /* they come after the position */
};

/* The settlement that is under way. */
struct settling {
    struct write_op op; /* first */
    struct write_item item;
    struct store_settlement settlement;
    struct arena arena; /* for all of it */
    struct buffer body;
    struct request_queue answers;           /* requests that it answers */
    struct pull_list pulls;                 /* that get events again by it */
    struct sequence_list dropped, returned; /* of the subscription's, that it has taken */
    int64_t asked_us;                       /* monotonic; the store was asked to write it */
    size_t outcomes[SUBSCRIPTION_OUTCOMES]; /* that it writes */
    bool under_way;
};

struct subscription {
    struct subscriptions *all;
    struct subscription *next, *next_in_bucket; /* the table's, as `hash` is */
    uint64_t hash;
    atomic_size_t users; /* who still touch it; while there are none it may be freed */
    struct scope scope;
    char name[SUBSCRIPTION_NAME_MAX + 1];

    pthread_mutex_t lock;
    enum subscription_state state;
    bool stale;   /* the store has more than the ledger, or may have */
    bool spoiled; /* an entry could not be applied: the worker forgets the ledger */
    bool ended;   /* its tenant is deleted: the worker makes it GONE */
    int64_t id, revision, created_at_us;
    struct subscription_settings settings; /* changed by the worker alone */
    struct arena settings_arena;
    size_t series;           /* of metrics */
    struct caps_share share; /* what caps know of it */
    struct ledger *ledger;   /* not NULL when it is ready */
    uint64_t turns;          /* of the store's clock that it has heard of */
    /* No event is new from the position up to here, but of keys that have a mark. */
    int64_t scanned;
    size_t passing; /* by key: so far the log is read when nothing of it could be given out */
    bool look;      /* there may be new events after that */
    bool woken;     /* the waiters have said so, and the waiter is the worker's again */

    struct pull_list pulls;        /* that wait for events */
    struct pull_list granted;      /* that have got some, which are to be read */
    struct request_queue settles;  /* that wait for the next settlement */
    struct request_queue requests; /* of management, for the worker */
    bool blocked;                  /* the first of those waits for the settlement under way */
    struct sequence_list dropped;  /* their events are not to be given out any more */
    struct sequence_list returned; /* given out, but not sent */
    struct settling settling;
    struct store_ledger_head trimmed, trim_to; /* of the ledger */
    int64_t trim_ms; /* monotonic; when it is trimmed next, if it is not up to there */
    int64_t wake_ms; /* monotonic; when the clock is to look at it; INT64_MAX: never */

    /* The worker's. */
    struct ask_op work;
    bool working;            /* guarded by the lock: there is a worker, or will be */
    struct pull_list taking; /* pulls that its take is for */
    uint64_t taking_token;   /* of the take */
    struct log_waiter waiter;
    enum { WAITER_OUTSIDE, WAITER_READS, WAITER_PARKED } waiter_state;
};

/* ---- subscription.c: lists ---- */

void queue_init(struct request_queue *queue);
void queue_add(struct request_queue *queue, struct subscription_request *request);
void queue_add_first(struct request_queue *queue, struct subscription_request *request);
struct subscription_request *queue_take(struct request_queue *queue); /* NULL: it is empty */
void pulls_init(struct pull_list *list);
void pulls_add(struct pull_list *list, struct pull *pull);
void pulls_remove(struct pull_list *list, struct pull *pull);
/* Moves all of `from` before those of `list`, in their order. */
void pulls_put_back(struct pull_list *list, struct pull_list *from);
/* Calls `done` of each; no lock held. The requests of a queue have their status already. */
void queue_answer(struct request_queue *queue);
void pulls_answer(struct pull_list *list, const struct status *status);
bool sequences_add(struct sequence_list *sequences, int64_t sequence) MUST_CHECK;

/* ---- subscription.c: when the store's clock was set back ---- */

/* Whether it was, and the subscription has not heard of it. Lock held. */
bool subscription_misses_turns(const struct subscription *subscription);
/* Adjusts its leases, if there are any. Lock held. */
void subscription_hear_of_turns(struct subscription *subscription);
/* The same for a ledger that was read: entries may be older than a turn, all when it is read anew.
 * Lock held. */
void subscription_turn_back_read(struct subscription *subscription, const struct store_ledger *read,
                                 bool anew);

/* ---- subscription.c: one subscription ---- */

struct subscription *subscription_new(struct subscriptions *all, struct scope scope,
                                      struct slice name);
/* Nothing is under way. */
void subscription_free(struct subscription *subscription);
/* Whether nothing is under way or waits. Lock held. */
bool subscription_is_idle(const struct subscription *subscription);
/* Forgets what it knows of the ledger, which is read again. Lock held. */
void subscription_forget(struct subscription *subscription);
/* So many more may be out, of it and of its tenant. Lock held; it is ready. */
size_t subscription_room(struct subscription *subscription);
/* Whether its tenant may have no more out, though it may. The same. */
bool subscription_is_capped(struct subscription *subscription);
/* Where the next events for those who wait are from. Lock held; it is ready. */
enum event_walk subscription_next_walk(struct subscription *subscription);
/* Whether a checkpoint has replaced entries that are still there. Lock held. */
bool subscription_is_untrimmed(const struct subscription *subscription);
bool subscription_is_inbox(const struct subscription *subscription);
/* Answers everything that waits with the failure. Lock not held. */
void subscription_fail(struct subscription *subscription, const struct status *why);
/* Why there is none of this name. */
void subscription_not_found(const struct subscription *subscription, struct status *status);
void subscription_no_memory(struct status *status);
/* Fills the delivery from the lease. Lock held. */
void delivery_fill(const struct subscription *subscription, struct delivery *delivery,
                   const struct lease *lease);

/* ---- advancing.c ---- */

/* Starts whatever there is to do. Lock not held. Called by what has ended through `go_on` of all,
 * so that the files do not use each other in a circle. */
void subscription_go_on(struct subscription *subscription);

/* ---- settling.c ---- */

/* Makes the next settlement of what waits for one; false: there is nothing to write. Requests that
 * need none are moved to `answers`. Lock held. */
bool settling_make(struct subscription *subscription, struct request_queue *answers);
/* Begins one that has nothing in it. Lock held; no other is under way. */
void settling_begin(struct subscription *subscription);
/* Has it written, and goes on. Lock not held. */
void settling_start(struct subscription *subscription);

/* ---- log_wait.c: the worker waits for new events ---- */

/* It has the waiter again, if that was woken. */
void subscription_take_waiter(struct subscription *subscription);
/* Before it reads the log after `after`. False without memory. */
bool subscription_join(struct subscription *subscription, int64_t after) MUST_CHECK;
/* Nothing is new up to `read_to`: the waiters tell when that changes. */
void subscription_wait(struct subscription *subscription, int64_t read_to);
/* No longer waits for events: looks for them itself. */
void subscription_leave(struct subscription *subscription);

/* ---- taking.c, walking.c, catching_up.c, managing.c: the worker ---- */

enum store_result subscription_work(struct ask_op *op, struct store_session *session,
                                    struct status *status);
void subscription_worked(struct op *op);
/* There is no worker any more; if it has failed, so has all that waited for it. Lock not held. */
void subscription_end_work(struct subscription *subscription);

/* Gives the next events to those who wait; those whose events are to be read yet are in `granted`.
 * *more is false when there is nothing more to do. */
enum store_result subscription_take(struct subscription *subscription,
                                    struct store_session *session, struct arena *arena, bool *more,
                                    struct status *status);

/* Finds the id by the name. The built-in subscription is made when it is not there. */
enum store_result subscription_find(struct subscription *subscription,
                                    struct store_session *session, bool *found,
                                    struct status *status);

/* Reads what the store has and the ledger does not. *found is false when there is no such
 * subscription. */
enum store_result subscription_catch_up(struct subscription *subscription,
                                        struct store_session *session, bool *found,
                                        struct status *status);

/* Appends a take that was decided, and applies it. *taken is false when it was stale: catch up. */
enum store_result subscription_append(struct subscription *subscription,
                                      struct store_session *session, struct store_take *take,
                                      bool *taken, struct status *status);

/* Writes the row of a new subscription: STORE_DONE, STORE_STALE (there is one of the name) or
 * STORE_CONFLICT (there are too many). */
enum store_result subscription_create(struct subscription *subscription,
                                      struct store_session *session,
                                      const struct subscription_settings *settings,
                                      int64_t position, enum store_outcome *outcome,
                                      struct status *status);

enum managing {
    MANAGE_PUT,
    MANAGE_GET,
    MANAGE_REMOVE,
    MANAGE_SEEK,
    MANAGE_DEAD_LETTERS,
    MANAGE_DEAD_LETTER,
};
/* What is to be done about the request. */
void managing_set(struct subscription_request *request, enum managing managing);
/* What a caller may see of a row; false: no memory, or it cannot be read. */
bool subscription_view_row(const struct store_subscription *row, struct subscription_view *out,
                           struct arena *arena) MUST_CHECK;

#endif
