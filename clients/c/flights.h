/* The calls in flight: which there are, what each waits for and until when. It knows nothing of
 * what they say, and leaves to its owner what becomes of them. Whoever has taken a call out of its
 * phase, or has just made it, is the only one to use it until it is placed again or ended. */
#ifndef TRIGGERS_CLIENT_FLIGHTS_H
#define TRIGGERS_CLIENT_FLIGHTS_H

#include "base/budget.h"
#include "peers.h"
#include "reply.h"

enum flight_phase {
    FLIGHT_OWNED,
    FLIGHT_WAITING, /* for a peer, in flights->waiting, its message at hand */
    FLIGHT_SENT,    /* waits for its answer, in flights->sent */
    FLIGHT_PAUSED,  /* until `due_ms`, to be tried again */
    FLIGHT_ENDED,   /* its reply is handed over next */
};

#define FLIGHT_MAGIC 0x464c4954u

/* One call. Zeroed when it is made, but for what its maker sets. */
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
    bool repeatable;     /* may be sent again when it is not known what became of it */
    bool impatient;      /* waits a second at most for its first peer */

    /* What is sent, and what has come of it; the owner's. */
    struct charge charge; /* the flight, its request and `answer_room` */
    size_t answer_room;   /* kept for an ordinary answer, so that this can be received */
    uint8_t *request;     /* its envelope, but for the timeout */
    size_t request_size;
    unsigned refusals;
    uint32_t backoff_ms; /* see backoff_next_ms */

    /* The try: with an answer it is over. */
    uint32_t id;                  /* below FLIGHT_ID_END */
    struct link_message *message; /* not sent yet, the owner's; NULL: none is made */
    bool left;                    /* it has been sent */
    struct peer *peer;            /* which was sent this or the last try; NULL: none */
    atomic_bool cancelled;        /* for good */

    /* Under the mutex of the flights. */
    enum flight_phase phase;
    int64_t due_ms;             /* when it is taken by flights_take_due */
    struct flight *next_in_row; /* of the table */
    struct flight *previous;    /* in the list of its phase */
    struct flight *next;        /* the same, or among those that were taken together */
};

#define FLIGHT_ID_END 0x80000000u
#define FLIGHT_TABLE_SIZE 1024

struct flight_list {
    struct flight *first;
    struct flight *last;
};

struct flights {
    struct peers *peers; /* whose keeper serves what flights_take_due takes; set by the owner */
    uint32_t max;
    atomic_uint next_id;
    atomic_uint count;   /* set under `mutex` */
    atomic_bool closing; /* the same */

    pthread_mutex_t mutex;                     /* the rest */
    pthread_cond_t ended;                      /* while they are being stopped: none is left */
    struct flight *table[FLIGHT_TABLE_SIZE];   /* by the lowest bits of their ids */
    struct flight_list waiting;                /* in the order in which they are sent */
    struct flight_list sent[CORE_ADDRESS_MAX]; /* by the number of the peer */
};

/* `peers` is set, the rest is zero. */
void flights_init(struct flights *flights, uint32_t max);
void flights_fini(struct flights *flights);

/* Ends all that begin: none is let in any more, those there are become due, and all of them have
 * ended when this returns. */
void flights_stop(struct flights *flights);

/* Whether another call is let in: there are less than `max`, and they are not being stopped. */
bool flights_have_room(const struct flights *flights);

/* A number for a try that none of the calls in flight has. */
uint32_t flights_next_id(struct flights *flights);

/* Lets in a call with its message, and places it. False when there is no room: nothing has changed
 * then. */
bool flights_begin(struct flights *flights, struct flight *flight) MUST_CHECK;

/* Sends an owned call's message on the next peer, or has it wait for one. With no lock held that
 * the events of peers take. */
void flights_place(struct flights *flights, struct flight *flight);

/* Gives an owned call the id of another try, so that a late answer to the last one is not taken for
 * this one's. */
void flights_renew(struct flights *flights, struct flight *flight);

/* The same, and has it wait until then. */
void flights_pause(struct flights *flights, struct flight *flight, int64_t until_ms);

/* Ends an owned call: it does not count any more and is the caller's to free. */
void flights_end(struct flights *flights, struct flight *flight);

/* The call that waits for the answer to this try, owned by the caller now; NULL: the answer came
 * too late. */
struct flight *flights_take_answered(struct flights *flights, uint32_t id);

/* Those that wait for an answer of this peer, owned by the caller now, each linked to the next. */
struct flight *flights_take_lost(struct flights *flights, struct peer *peer);

/* Those whose time has come, in the same way: their deadline, the end of their pause, the moment to
 * try another peer, or at once when they are cancelled or being stopped. Has the keeper serve again
 * when the next one's comes. */
struct flight *flights_take_due(struct flights *flights);

/* Sends those that wait for a peer, as long as there is one. With no lock held that the events of
 * peers take. */
void flights_send_waiting(struct flights *flights);

/* Makes the calls with this tag due at once; one that is owned when it is placed again. */
void flights_cancel(struct flights *flights, const void *tag);

#endif
