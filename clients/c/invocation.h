/* The client, and its calls, from the request to the one reply. */
#ifndef TRIGGERS_CLIENT_INVOCATION_H
#define TRIGGERS_CLIENT_INVOCATION_H

#include <protobuf-c/protobuf-c.h>

#include "api_key.h"
#include "base/status.h"
#include "flights.h"
#include "keeper.h"
#include "peers.h"
#include "reply.h"
#include "triggers.h"

/* Each part has a lock of its own. That of the flights may be held when those of the peers and the
 * keeper are taken; none is held while a callback or an event of a peer runs. */
struct triggers_client {
    char *name;          /* for the core's log: "<program> libtriggers/<version>" */
    char *urls;          /* the addresses as they were given, for error texts */
    uint32_t timeout_ms; /* of calls that give none */
    int no_retry;        /* as in the options */
    struct api_key api_key;
    struct keeper keeper;
    struct peers peers;
    struct flights flights;
};

/* What a caller asks for, without the request's body. */
struct invocation {
    const struct method *method;          /* borrowed for the start only */
    const triggers_call_options *options; /* borrowed for the start only; may be NULL */
    size_t item_count;                    /* items that a good answer has; 0: any number */
    triggers_callback *callback;          /* NULL: the reply is freed */
    void *user_data;
};

/* Sends a request and makes sure that the call ends with one reply. `body` is read before this
 * returns. The callback may run before this returns. */
void invocation_start(triggers_client *client, const struct invocation *invocation,
                      const ProtobufCMessage *body);

/* Ends a call that was not started. */
void invocation_refuse(const struct invocation *invocation, const struct status *status);

/* Ends the calls that are due, or continues them; called by the keeper. */
void invocations_serve_due(triggers_client *client);

/* How calls react to the events of peers, whose owner is the client. */
extern const struct peer_events invocation_events;

#endif
