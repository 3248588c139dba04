/* The calls in flight: what each waits for and until when. This part knows nothing of their
 * content, and its owner decides how they go on. Code that has taken a call out of its phase, or
 * has just made it, owns it until it is placed again or ended. */
#ifndef TRIGGERS_CLIENT_FLIGHTS_H
#define TRIGGERS_CLIENT_FLIGHTS_H

#include "base/budget.h"
#include "peers.h"
#include "reply.h"

enum flight_phase {
    FLIGHT_OWNED,
    FLIGHT_WAITING, /* for a peer, in flights->waiting, with its message */
    FLIGHT_SENT,    /* waits for its answer, in flights->sent */
    FLIGHT_PAUSED,  /* until `due_ms`, to be tried again */
    FLIGHT_ENDED,   /* its reply is passed on next */
};

#define FLIGHT_MAGIC 0x464c4954u

/* One call. Zeroed when it is made, except what its maker sets. */
struct flight {
    unsigned magic;

    /* Set by the maker. */
    triggers_client *client;
    struct method method;
    size_t item_count;
    triggers_callback *callback;
    void *user_data;
    const void *tag; /* for flights_cancel */
    uint32_t timeout_ms;
    int64_t deadline_ms; /* on the monotonic clock */
    bool repeatable;     /* may be sent again when it is not known what happened to it */
    bool impatient;      /* waits at most a second for its first peer */

    /* What is sent; used by the owner. */
    struct charge charge; /* the flight, its request and `answer_room` */
    size_t answer_room;   /* kept so that an ordinary answer can be received */
    uint8_t *request;     /* its envelope, without the timeout */
    size_t request_size;
    unsigned refusals;
    uint32_t backoff_ms;     /* see backoff_next_ms */
    bool keyless;            /* the client's key does not go with it */
    unsigned key_version;    /* of the key that this or the previous try was sent with */
    triggers_reply *refusal; /* of that key: the reply if there is no other; NULL: it was not */
    bool renewed;            /* it was sent again with another key */

    /* The current try, which an answer ends. */
    uint32_t id;                  /* below FLIGHT_ID_END */
    struct link_message *message; /* not sent yet, belongs to the owner; NULL: none was made */
    bool left;                    /* it has been sent */
    struct peer *peer;            /* that this or the previous try was sent to; NULL: none */
    atomic_bool cancelled;        /* for good */

    /* Under the mutex of the flights. */
    enum flight_phase phase;
    int64_t due_ms;             /* when flights_take_due takes it */
    struct flight *next_in_row; /* of the table */
    struct flight *previous;    /* in the list of its phase */
    struct flight *next;        /* the same, or in the list of those that were taken together */
};

#define FLIGHT_ID_END 0x80000000u
#define FLIGHT_TABLE_SIZE 1024

struct flight_list {
    struct flight *first;
    struct flight *last;
};

struct flights {
    struct peers *peers; /* their keeper serves what flights_take_due takes; set by the owner */
    uint32_t max;
    atomic_uint next_id;
    atomic_uint count;   /* set under `mutex` */
    atomic_bool closing; /* the same */

    pthread_mutex_t mutex;                     /* the rest */
    pthread_cond_t ended;                      /* while stopping: none is left */
    struct flight *table[FLIGHT_TABLE_SIZE];   /* by the lowest bits of their ids */
    struct flight_list waiting;                /* in the order in which they are sent */
    struct flight_list sent[CORE_ADDRESS_MAX]; /* by the number of the peer */
};

/* `peers` is set, the rest is zero. */
void flights_init(struct flights *flights, uint32_t max);
void flights_fini(struct flights *flights);

/* Lets no more calls in, makes the present ones due, and returns when all have ended. */
void flights_stop(struct flights *flights);

/* Whether another call may begin: there are fewer than `max`, and they are not being stopped. */
bool flights_have_room(const struct flights *flights);

/* A number for a try that no call in flight has. */
uint32_t flights_next_id(struct flights *flights);

/* Adds a call with its message, and places it. False, with nothing changed, when there is no room.
 */
bool flights_begin(struct flights *flights, struct flight *flight) MUST_CHECK;

/* Sends an owned call's message to the next peer, or lets it wait for one. Call it without a lock
 * that the events of peers take. */
void flights_place(struct flights *flights, struct flight *flight);

/* Gives an owned call the id of another try, so that a late answer to the previous try is not taken
 * for its answer. */
void flights_renew(struct flights *flights, struct flight *flight);

/* The same, and lets it wait until then. */
void flights_pause(struct flights *flights, struct flight *flight, int64_t until_ms);

/* Ends an owned call: it no longer counts, and the caller frees it. */
void flights_end(struct flights *flights, struct flight *flight);

/* The call that waits for the answer to this try, owned by the caller now; NULL: the answer came
 * too late. */
struct flight *flights_take_answered(struct flights *flights, uint32_t id);

/* Those that wait for an answer from this peer, owned by the caller now, each linked to the next.
 */
struct flight *flights_take_lost(struct flights *flights, struct peer *peer);

/* Those that are due, in the same way: at their deadline, at the end of their pause, when another
 * peer must be tried, or at once when they are cancelled or being stopped. Makes the keeper serve
 * again when the next one is due. */
struct flight *flights_take_due(struct flights *flights);

/* Sends those that wait for a peer, as long as there is one. Call it without a lock that the events
 * of peers take. */
void flights_send_waiting(struct flights *flights);

/* Makes the calls with this tag due at once; an owned call becomes due when it is placed again. */
void flights_cancel(struct flights *flights, const void *tag);

#endif
