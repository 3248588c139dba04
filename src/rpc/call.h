/* One call from the arrival of its envelope to its single answer. The transport owns the call and
 * lends it to the dispatcher, which lends it to one handler; whoever holds it answers exactly once
 * with call_reply or call_fail, from any thread, and does not touch it afterwards. When the handler
 * takes longer than the caller will wait, the transport answers in its stead with call_expire; the
 * handler need not know, its answer then goes nowhere. */
#ifndef TRIGGERS_RPC_CALL_H
#define TRIGGERS_RPC_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>

#include "api.h"
#include "base/arena.h"
#include "base/caller.h"
#include "base/metrics.h"
#include "base/scope.h"
#include "base/status.h"

/* Memory of one call: its request decoded and its response being built. A page of events may take
 * 8 MiB of payloads and is held once here and once encoded. */
#define CALL_ARENA_CAP (16u << 20)
#define CALL_REQUEST_ID_SIZE 129 /* bytes with the NUL */
#define CALL_CLIENT_SIZE 64      /* the same; longer ones are cut */
#define CALL_TRACEPARENT_SIZE 64

struct call;

/* How answers leave. `reserve` gives room for an encoded response of `size` bytes, or NULL when the
 * transport holds too much already or there is no memory; `send` sends what was written there, or
 * gives the call up when nothing was reserved. `send` ends the call: the transport may reuse it
 * before `send` returns. But when `expired` is set the handler still holds the call, which ends
 * when `leave` was called too. */
struct call_transport {
    uint8_t *(*reserve)(struct call *call, size_t size);
    void (*send)(struct call *call);
    void (*leave)(struct call *call); /* may be NULL when call_expire is not used */
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
    const struct api_method *method; /* NULL while unknown */
    int64_t started_us;              /* monotonic */
    atomic_int_fast64_t deadline_ms; /* monotonic; INT64_MAX while not known */
    atomic_uint_fast64_t ticket; /* odd until someone answers; another number for each request */
    bool expired;                /* answered by call_expire */
    /* From the metadata, "" when not given. Not in the arena, which the handler of an expired call
     * may give back while the answer is logged. */
    char request_id[CALL_REQUEST_ID_SIZE];
    char client[CALL_CLIENT_SIZE];
    char traceparent[CALL_TRACEPARENT_SIZE];
};

/* What calls are counted in, by method. */
extern struct metric call_requests, call_duration, call_in_flight;

/* Once for the life of the call object. */
void call_init(struct call *call, const struct call_transport *transport);
void call_fini(struct call *call);

/* Readies the call for its next request. */
void call_begin(struct call *call);

/* Answers with DEADLINE_EXCEEDED when the deadline has passed and nobody has answered yet. Any
 * thread, at any moment in the life of the call object. */
void call_expire(struct call *call, int64_t now_ms);

/* Answers with OK and `response`, which is borrowed until the function returns. */
void call_reply(struct call *call, const ProtobufCMessage *response);

/* Answers with an error. `violations` may be NULL when `count` is 0. */
void call_fail(struct call *call, const struct status *status,
               const struct field_violation *violations, size_t count);

/* The same when the arena is full, RESOURCE_EXHAUSTED: CALL_TOO_LARGE, or as call_fail_busy when
 * the budget was why. */
void call_fail_no_memory(struct call *call);

/* The same when all calls together hold too much: SERVER_BUSY with a retry delay. */
void call_fail_busy(struct call *call);

#endif
