/* From the bytes of an envelope to the handler that its method names. Knows no transport and no
 * service: the generated protobuf-c tables are the seam. */
#ifndef TRIGGERS_RPC_DISPATCH_H
#define TRIGGERS_RPC_DISPATCH_H

#include <stdatomic.h>

#include "rpc/call.h"

/* The most bytes of an envelope, unless payloads may be larger. A longer one is answered with an
 * error without being read. */
#define RPC_MAX_MESSAGE (8u << 20)

/* Decides who a call is from, by the value of its metadata `authorization`, which is NULL when
 * there is none, and its address: sets its scope, and its pass with a reference. False with the
 * status that it is refused with. Any thread; never blocks. */
typedef bool dispatch_admit(void *context, struct call *call, const char *authorization,
                            size_t size, struct status *status);

/* A call is refused because its caller lacks the method's scope; it is answered after that. Its
 * body is not read. Any thread; never blocks. */
typedef void dispatch_refused(void *context, const struct call *call);

struct dispatcher {
    ProtobufCService *services[API_METHOD_COUNT]; /* by method; NULL: not served */
    size_t max_message;                           /* bytes; RPC_MAX_MESSAGE after dispatcher_init */
    atomic_bool stopping;                         /* set: every call is answered UNAVAILABLE */
    dispatch_admit *admit; /* NULL: every call has every right; not asked for SCOPE_NONE, unless a
                              key is given */
    dispatch_refused *refused; /* NULL: nobody is told */
    void *admit_context;       /* of both */
};

/* `services` ends with NULL; each must outlive the dispatcher. Checks that every method of every
 * service has a handler: protobuf-c would abort at the call. */
void dispatcher_init(struct dispatcher *dispatcher, ProtobufCService *const *services);

/* Decodes `size` bytes, changing them, and hands the call to its handler, or answers it with an
 * error. The bytes are not used after the return; the call may already be answered by then. Never
 * blocks. Any thread. */
void dispatch(struct dispatcher *dispatcher, struct call *call, uint8_t *bytes, size_t size);

/* Answers a call with RESOURCE_EXHAUSTED, without reading it: the server holds too much already. */
void dispatch_refuse_busy(struct call *call);

#endif
