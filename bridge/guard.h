/* Who may see what the bridge shows besides the API: its metrics, the description of the API, and
 * what /ready says in detail; enum guard has the choices. It has no keys of its own: it asks the
 * core about those of clients. */
#ifndef TRIGGERS_BRIDGE_GUARD_H
#define TRIGGERS_BRIDGE_GUARD_H

#include "request.h"

/* Whether the request goes on: with GUARD_OFF, and with GUARD_PORT on the API's port, it is
 * answered 404. */
bool guard_admit(struct request *request, int guard);

/* Whether everybody whom guard_admit lets on may see it, whatever the core says. */
bool guard_is_open(const struct request *request, int guard);

/* Asks the core for its health with the client's key. False when the call was started; true after
 * having answered. guard_judge reads the reply. */
bool guard_ask(struct request *request, int64_t timeout_ms);

enum guard_verdict {
    GUARD_PASSES,
    GUARD_LACKS_KEY, /* none was sent, and one is needed */
    GUARD_REFUSES,   /* the reply's error is about the key */
    GUARD_UNKNOWN,   /* the core does not answer; a key may be needed */
};

/* What the reply to guard_ask says of the request. Without an answer what the core said last counts
 * unless the setting is `key` itself. */
enum guard_verdict guard_judge(const struct request *request, int guard);

/* Answers 401 to a client without a key. */
void guard_refuse(struct request *request);

#endif
