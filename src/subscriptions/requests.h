/* What is asked of subscriptions. Every request is a structure of its caller's that lives until
 * `done`, which is called exactly once, from any thread, perhaps before the submitting function
 * returns, without a lock held. In: what is not called out. `status` says whether the request as a
 * whole failed. */
#ifndef TRIGGERS_SUBSCRIPTIONS_REQUESTS_H
#define TRIGGERS_SUBSCRIPTIONS_REQUESTS_H

#include "base/caller.h"
#include "events/readers.h"
#include "events/waiters.h"
#include "events/writer.h"
#include "subscriptions/ack_id.h"
#include "subscriptions/settings.h"

struct subscriptions;
struct subscription;

/* What all requests begin with. */
struct subscription_request {
    struct scope scope;
    struct caller caller;
    int64_t deadline_ms;  /* monotonic */
    struct slice name;    /* of the subscription; any bytes: an invalid name is NOT_FOUND */
    struct arena *arena;  /* for what is out, and for texts of the status */
    struct status status; /* out */
    void (*done)(struct subscription_request *request);
    /* Ours. */
    struct subscription_request *next;
    /* What is done about one of management, by a worker of the lane of ledgers. STORE_OK: it is
     * answered, or under way. Any other result: the store failed. */
    enum store_result (*carry_out)(struct subscription *subscription, struct store_session *session,
                                   struct subscription_request *request);
    bool caught_up; /* the ledger was read since it came */
};

/* ---- pull ---- */

enum pull_empty { PULL_NOT_EMPTY, PULL_NOTHING_NEW, PULL_PAUSED, PULL_MAX_OUTSTANDING };

struct pull;
struct pull_calls {
    /* The pull begins to wait; false: it cannot, and is answered at once. A lock is held. */
    bool (*park)(struct pull *pull);
    /* It is not to wait any more; false: its caller has gone or its time is over, and he will call
     * subscriptions_unpark_pull himself. A lock is held. */
    bool (*unpark)(struct pull *pull);
};

#define PULL_MAX_EVENTS 1000
#define PULL_MAX_BYTES (8u << 20)
struct pull {
    struct subscription_request request; /* first */
    const struct pull_calls *calls;      /* NULL: it does not wait */
    uint32_t max_events;                 /* 1 to PULL_MAX_EVENTS */
    size_t max_bytes;                    /* of payloads; one event is given in any case */
    uint32_t lease_seconds;              /* 0: the subscription's */
    uint64_t id;                         /* hash of the caller's id of the pull; 0: none */
    /* Out. The events' texts are not the arena's: they are there while `done` runs. */
    struct delivery {
        struct store_event event;
        char ack_id[ACK_ID_SIZE];
        uint32_t attempt;
        int64_t expires_us;
    } * deliveries;
    size_t count;
    enum pull_empty empty;
    /* Ours. */
    struct subscription *subscription;
    struct pull *next;
    struct pull **previous;
    bool parked;
    bool admitted; /* it is no repetition of an earlier one */
    bool ended;    /* by a release: it gets nothing any more */
};

/* ---- ack, nack, extend, release ---- */

enum settle_kind { SETTLE_ACK, SETTLE_NACK, SETTLE_EXTEND, SETTLE_RELEASE };

enum settle_outcome {
    SETTLE_DONE,
    SETTLE_DONE_LATE, /* its lease was over, but nobody else had got the event */
    SETTLE_LOST,      /* somebody else has the event, or the subscription was sought back */
    SETTLE_MALFORMED, /* not an ack id */
    SETTLE_FOREIGN,   /* of another subscription */
    SETTLE_ENDED,     /* nack, extend, release: it is settled already */
    SETTLE_TOO_LONG,  /* extend: the lease would last over LEASE_MAX_US in all */
};

#define SETTLE_MAX 1000
struct settle {
    struct subscription_request request; /* first */
    enum settle_kind kind;
    const char *const *ack_ids; /* may repeat: each is answered, the first one decides */
    size_t count;               /* to SETTLE_MAX; 0 only with `pull` */
    /* Release: the hash of a pull's id. The pull ends, if it waits in this core, and what one with
     * this id got within the last minute and still has is given back; 0: none. */
    uint64_t pull;
    int64_t delay_ms;       /* nack: until it is given out again; -1: the back-off */
    struct slice reason;    /* nack: at most 1000 characters */
    bool dead;              /* nack: to the dead letters at once */
    uint32_t lease_seconds; /* extend: from now on; 0: the subscription's */
    struct settle_result {
        enum settle_outcome outcome;
        int64_t expires_us; /* extend */
    } * results;            /* out, `count` of them */
};

/* ---- management ---- */

enum start_kind { START_NONE, START_LATEST, START_EARLIEST, START_TIME, START_SEQUENCE };
struct start {
    enum start_kind kind;
    int64_t value; /* microseconds; or the sequence of the first event */
};

struct subscription_figures {
    int64_t position;
    int64_t backlog; /* events after the position that pass the filter */
    bool backlog_is_estimate;
    size_t outstanding; /* somebody has them */
    size_t waiting;     /* will be given out again */
    int64_t delayed;    /* the position has passed them, and their deliver_at is to come */
    int64_t dead_letters;
    int64_t oldest_us; /* created_at of the oldest event that is not settled; 0: none */
    int64_t
        oldest_due_us; /* since when it could have been given out: the same, or its deliver_at */
};

struct subscription_view {
    struct slice name;
    struct subscription_settings settings;
    int64_t created_at_us;
};

/* Creates a subscription, or changes what is given of one. */
struct put_subscription {
    struct subscription_request request;   /* first */
    struct subscription_settings settings; /* of these the ones with a bit in `given` */
    unsigned given;
    struct start start;            /* only when it is created; START_NONE: latest */
    struct subscription_view view; /* out */
    bool created;                  /* out */
};
enum {
    GIVEN_DESCRIPTION = 1 << 0,
    GIVEN_FILTER = 1 << 1,
    GIVEN_LEASE = 1 << 2,
    GIVEN_ATTEMPTS = 1 << 3,
    GIVEN_BACKOFF_MINIMUM = 1 << 4,
    GIVEN_BACKOFF_MAXIMUM = 1 << 5,
    GIVEN_OUTSTANDING = 1 << 6,
    GIVEN_INBOX = 1 << 7,
    GIVEN_PAUSED = 1 << 8,
    GIVEN_ORDERING = 1 << 9,
    GIVEN_AFTER_DEAD = 1 << 10,
};

struct get_subscription {
    struct subscription_request request; /* first */
    struct subscription_view view;       /* out */
    struct subscription_figures figures; /* out */
};

struct list_subscriptions {
    struct subscription_request request; /* first; no name */
    int64_t after;                       /* id; out: that of the last one */
    uint32_t limit;
    struct subscription_view *views; /* out */
    size_t count;
    bool more;
};

struct remove_subscription {
    struct subscription_request request; /* first */
};

struct seek_subscription {
    struct subscription_request request; /* first */
    struct start to;
    bool dry_run;
    int64_t position; /* out: the new one */
    int64_t events;   /* out: given out again (sought back), or passed over: sequences in between */
};

struct list_dead_letters {
    struct subscription_request request; /* first */
    struct store_dead_letters list;      /* in: after_…, filter, limit */
};

/* Gives dead letters out again, or removes them. */
struct dead_letter_request {
    struct subscription_request request; /* first */
    bool redrive;                        /* else they are removed */
    const uint8_t (*event_ids)[TYPEID_BYTES];
    size_t count;  /* 0 to 1000; those that are no dead letters are passed over */
    bool all;      /* in place of ids */
    uint32_t rate; /* redrive: events a second; 0: at once */
    bool dry_run;
    int64_t concerned; /* out: how many; with `all`, perhaps not all of them: */
    int64_t left;      /* out: so many are left, as no more may be outstanding */
};

#endif
