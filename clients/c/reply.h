/* Replies: made from a received envelope or from a failure on this side. A reply, the messages it
 * was decoded from and everything it points to are in one arena, which triggers_reply_free frees.
 */
#ifndef TRIGGERS_CLIENT_REPLY_H
#define TRIGGERS_CLIENT_REPLY_H

#include <protobuf-c/protobuf-c.h>

#include "api.h"
#include "base/arena.h"
#include "base/status.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "triggers.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

/* A reply that is being built. */
struct reply_builder {
    struct arena *arena;
    triggers_reply *reply;
    size_t item_count;   /* items that the request asked for; the answer must have as many */
    const char *problem; /* set when the answer makes no sense; static text */
};

/* One method of the protocol, and how its answer becomes a reply. */
struct method {
    const struct api_method *api;
    /* Fills the reply from a decoded response. False when there is no memory or `problem` is set.
     */
    bool (*read)(struct reply_builder *builder, const ProtobufCMessage *response);
};

/* The `read` of any method: the response is the reply's message. */
bool reply_read_message(struct reply_builder *builder, const ProtobufCMessage *response);

/* Microseconds since 1970; 0 when absent or out of range. */
int64_t reply_time_us(const Google__Protobuf__Timestamp *time);

/* How the functions of triggers.h read their answers; those of methods that have none are zero.
 * They live in results.c. */
extern const struct method reply_methods[API_METHOD_COUNT];

/* The reply for a failure on this side. Never NULL. */
triggers_reply *reply_from_status(const struct status *status);

/* What the reply to a call for one event holds; lists and batches hold more. */
#define REPLY_ORDINARY 4352

/* The reply for a received envelope, charged to `share`: INTERNAL when it cannot be decoded or does
 * not have `item_count` items (0: any number). Never NULL. */
triggers_reply *reply_from_message(const struct method *method, size_t item_count,
                                   const void *bytes, size_t size, struct budget_share *share);

/* The reply for an answer that arrived and could not be held. */
triggers_reply *reply_too_large(void);

/* ---- errors of the protocol as those of the public header ---- */

/* No error: OK and empty texts. */
#define REPLY_NO_ERROR                                                                             \
    (triggers_error)                                                                               \
    {                                                                                              \
        .code = TRIGGERS_OK, .reason = "", .message = ""                                           \
    }

/* Fills `error` from the parts that envelopes and batch items have in common; `details` may be
 * NULL. The texts are borrowed, the list of violations is put into the arena. False without
 * memory. */
bool reply_error_read(struct arena *arena, Triggers__Rpc__V1__Code code, const char *message,
                      const Triggers__Rpc__V1__ErrorDetails *details, triggers_error *error);

#endif
