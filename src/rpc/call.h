/* One call from the arrival of its envelope to its single answer.
 *
 *   ENDED --begin--> RUNNING --answer--> ANSWERED --both have released it--> ENDED
 *                    |     ^
 *                   park  wake
 *                    v     |
 *                    PARKED
 *
 * RUNNING: one handler holds the call. It answers exactly once with call_reply or call_fail, from
 * any thread, and does not touch the call afterwards; or it parks the call, to answer when there is
 * something to answer with. When the deadline passes first, call_expire answers instead: the
 * handler need not know, its own answer then goes nowhere.
 * PARKED: nobody holds the call. Who wakes it first (its source, its time, the end of its
 * connection, or the shutdown) makes it RUNNING, once.
 * ANSWERED: the answer is on its way, and after call_expire a handler may still hold the call. It
 * ends when the answer has left and the handler has released it.
 *
 * The pool owns the memory of calls. The transport only sends answers. */
#ifndef TRIGGERS_RPC_CALL_H
#define TRIGGERS_RPC_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api.h"
#include "base/arena.h"
#include "base/caller.h"
#include "base/metrics.h"
#include "base/pass.h"
#include "base/scope.h"
#include "base/status.h"

/* Memory of one call: its request decoded and its response being built. A page of events may take
 * 8 MiB of payloads and is held once here and once encoded. */
#define CALL_ARENA_CAP (16u << 20)
#define CALL_BYTES 2048          /* that a call takes with the first block of its arena */
#define CALL_REQUEST_ID_SIZE 129 /* bytes with the NUL */
#define CALL_CLIENT_SIZE 64      /* the same; longer ones are cut */
#define CALL_TRACEPARENT_SIZE 64
#define CALL_ADDRESS_SIZE 64

enum call_state { CALL_ENDED, CALL_RUNNING, CALL_PARKED, CALL_ANSWERED };

struct call;

/* How answers leave. */
struct call_transport {
    /* Room for an encoded response of `size` bytes, or NULL when the transport holds too much
     * already or there is no memory. */
    uint8_t *(*reserve)(struct call *call, size_t size);
    /* Sends what was written there, or nothing when nothing was reserved. The transport calls
     * call_release once when it is done, perhaps before this returns. */
    void (*send)(struct call *call);
    /* The call has ended and is the transport's to use again, before this returns. */
    void (*end)(struct call *call);
};

/* Why a parked call is woken by others than its source. */
enum call_wake {
    CALL_WAITS,    /* it is not */
    CALL_DUE,      /* it has waited for as long as it was to */
    CALL_GONE,     /* its connection has closed: an answer reaches nobody */
    CALL_STOPPING, /* the server stops */
    CALL_REVOKED,  /* its key is good no more: call_fail_revoked answers it */
};

/* Whether a call waits now, or why it cannot. */
enum call_parking {
    CALL_PARKS,
    CALL_TOO_MANY_PARKED, /* by their number or their memory */
    CALL_PARKS_NO_MORE,   /* its connection has closed, it has expired, or the server stops */
};

/* What a parked call waits with, in a handler's own structure, as in the call's arena. `woken` gets
 * the call back for the handler, which answers it soon. Any thread, no lock held. */
struct call_waiter {
    void (*woken)(struct call_waiter *waiter, enum call_wake why);
    struct call *call;
};

/* One wrong field of the request; texts live in the arena or are static. */
struct field_violation {
    const char *field;
    const char *description;
};

struct call {
    const struct call_transport *transport;
    struct arena arena;              /* handlers may allocate until they answer */
    ProtobufCAllocator allocator;    /* the arena as protobuf-c wants it */
    struct caller caller;            /* of the connection the transport's, for each request */
    struct scope scope;              /* what it may see and do */
    struct pass *pass;               /* its key's, until it has ended; NULL: it has none */
    const struct api_method *method; /* NULL while unknown */
    int64_t started_us;              /* monotonic */
    atomic_int_fast64_t deadline_ms; /* monotonic; INT64_MAX while not known */
    atomic_uint_fast64_t life;       /* enum call_state, and above it the number of the request */
    atomic_int holders;              /* the handler and the answer, until each is done */
    bool expired;                    /* answered by call_expire */
    /* From the metadata, "" when not given. Not in the arena, which the handler of an expired call
     * may release while the answer is logged. */
    char request_id[CALL_REQUEST_ID_SIZE];
    char client[CALL_CLIENT_SIZE];
    char traceparent[CALL_TRACEPARENT_SIZE];
    char address[CALL_ADDRESS_SIZE]; /* where it comes from; "": not known */
    /* Of the connection, the transport's, for each request. */
    const char *peer_address; /* lives until the call has ended; NULL: not known */
    bool peer_is_bridge;      /* it says where its calls come from */
    /* The pool's. */
    struct call_pool *pool;
    struct call_source *source;
    struct call *next;                   /* in a list of unused or woken ones */
    struct call_waiter *waiter;          /* of a parked one, as the next two */
    atomic_int_fast64_t parked_until_ms; /* monotonic */
    enum call_wake why;                  /* it is woken */
};

/* What calls are counted in, by method; those that are parked; requests and answers refused because
 * they would have taken too much memory. */
extern struct metric call_requests, call_duration, call_in_flight, call_waiting, call_refusals;

/* Its state at this moment; another thread may change it at once. */
enum call_state call_state_of(const struct call *call);

/* Once for the life of the call object. */
void call_init(struct call *call, const struct call_transport *transport);
void call_fini(struct call *call);

/* Readies the call, which has ended, for its next request: RUNNING. */
void call_begin(struct call *call);

/* For the handler that holds the call: whether nobody will have its answer, as it has expired or
 * its connection has closed. */
bool call_is_abandoned(const struct call *call);

/* Answers with OK and `response`, which is borrowed until the function returns. */
void call_reply(struct call *call, const ProtobufCMessage *response);

/* Answers with an error. `violations` may be NULL when `count` is 0; they and `status` may lie in
 * the arena. */
void call_fail(struct call *call, const struct status *status,
               const struct field_violation *violations, size_t count);

/* The same when the arena is full, RESOURCE_EXHAUSTED: CALL_TOO_LARGE, or as call_fail_busy when
 * the budget was why. */
void call_fail_no_memory(struct call *call);

/* The same when all calls together hold too much: SERVER_BUSY with a retry delay. */
void call_fail_busy(struct call *call);

/* The same with UNAUTHENTICATED, when its key is good no more. */
void call_fail_revoked(struct call *call);

/* For the transport: the answer has left or never will. */
void call_release(struct call *call);

/* Until when (monotonic milliseconds) a handler works or waits, so that it can still say in time
 * what became of the call: half a second before the deadline, or after three quarters of what is
 * left of a short one. */
int64_t call_answer_by_ms(const struct call *call);

/* Answers with DEADLINE_EXCEEDED when the call runs and its deadline has passed. Any thread, no
 * lock held, at any moment in the life of the call object. */
void call_expire(struct call *call, int64_t now_ms);

/* Lets the call wait, without a place among those that run, until call_unpark or `waiter->woken`,
 * which is at `until_ms` (monotonic) or at its deadline at the latest; the handler holds it no
 * longer, unless the result says why it cannot wait: then the handler still holds it, and answers.
 *
 * A lock of the handler's that its source and `woken` take may be held: so a call is parked and
 * listed at once. */
enum call_parking call_park(struct call *call, struct call_waiter *waiter,
                            int64_t until_ms) MUST_CHECK;

/* For the source that a parked call waits for, under the lock that it was parked with: the call is
 * the handler's again. False when another has woken it, or will as its connection is closed: that
 * one calls `woken`. */
bool call_unpark(struct call *call) MUST_CHECK;

/* ---- the calls of a server: their memory, the places of those that run at once, the connections
 * that wait for a place, and the calls that are parked, which need none; any thread ---- */

/* What brings calls: a connection. Zeroed at first, and outlives its calls. */
struct call_source {
    struct call_source *next;          /* that waits for a place */
    bool granted;                      /* a place, which it has waited for */
    bool closed;                       /* its calls are not parked any more */
    atomic_int_fast64_t slow_until_ms; /* monotonic: it is to bring none before */
};

struct call_pool_config {
    const struct call_transport *transport;
    /* A place is free for a source that has waited: it takes one with call_pool_take, or goes.
     * Called once for each time that it had to wait, no lock held. */
    void (*resume)(struct call_source *source);
    size_t object_size; /* of the transport's structure, which begins with its struct call */
    size_t max_running; /* calls that have a place */
    size_t max_parked;  /* further ones that wait without one */
};

struct call_pool {
    struct call_pool_config config;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* nothing runs or is parked */
    char *objects;       /* `used` of them were taken at some time */
    atomic_size_t used;
    struct call *unused;
    size_t unused_count;
    atomic_size_t running, parked; /* set with the lock held */
    struct call_source *first_waiting;
    struct call_source **last_waiting;
    bool stopping; /* nothing is parked any more */
};

/* False without memory. Objects that are never taken take none. */
bool call_pool_open(struct call_pool *pool, const struct call_pool_config *config) MUST_CHECK;

/* No call may be running or parked. */
void call_pool_close(struct call_pool *pool);

/* A call that has ended, with a place; NULL: the source waits until it is resumed, and must not
 * take another before. */
struct call *call_pool_take(struct call_pool *pool, struct call_source *source);

/* Gives back a call that has ended, and its place to the source that has waited longest. */
void call_pool_put(struct call_pool *pool, struct call *call);

/* The source has closed: its parked calls will be woken with CALL_GONE, and a place that it was
 * granted is given back. May be repeated. */
void call_pool_leave(struct call_pool *pool, struct call_source *source);

/* Whether there is something for call_pool_watch to look at. */
bool call_pool_is_busy(const struct call_pool *pool);

/* Does what is due at `now_ms`: gives away the places of calls that were parked, wakes parked ones,
 * answers running ones whose deadline has passed. One thread, every few milliseconds while the pool
 * is busy. */
void call_pool_watch(struct call_pool *pool, int64_t now_ms);

/* Wakes what is parked with CALL_STOPPING, and waits until every call has ended or `timeout_ms`
 * have passed. New ones may still run. True when all have ended. */
bool call_pool_drain(struct call_pool *pool, int64_t timeout_ms);

#endif
