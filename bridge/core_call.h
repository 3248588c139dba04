/* Calls to the core on behalf of requests: the connection sleeps while one is in flight. */
#ifndef TRIGGERS_BRIDGE_CORE_CALL_H
#define TRIGGERS_BRIDGE_CORE_CALL_H

#include "request.h"

/* Suspends the request's connection, fills `options`, and lets one call be started:
 *
 *     if (!core_call_begin(request, &options))
 *         return true;
 *     triggers_get_async(request->bridge->client, id, &options, core_call_done, request);
 *     core_call_started(request);
 *     return false;
 *
 * core_call_begin is false after having answered 409 or 503. core_call_started frees the body,
 * which the asynchronous function has read. On the connection's thread. */
bool core_call_begin(struct request *request, triggers_call_options *options);
void core_call_started(struct request *request);

/* Sets in `options` for whom a call is made: the client's key and address, as it sent them. The
 * core knows nobody else in it: the bridge has no key of its own. */
void core_call_identify(const struct request *request, triggers_call_options *options);

/* The triggers_callback of every call; `request` is user_data. The route's `finish` runs next, on
 * the connection's thread. */
void core_call_done(triggers_reply *reply, void *request);

/* Whether the call failed, which is the answer, unless it was ended because its client hung up:
 * then nobody waits for one. For `finish`. */
bool core_call_failed(struct request *request);

#endif
