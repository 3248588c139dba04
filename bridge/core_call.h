/* Calls to the core on behalf of requests: the connection sleeps while one is in flight. */
#ifndef TRIGGERS_BRIDGE_CORE_CALL_H
#define TRIGGERS_BRIDGE_CORE_CALL_H

#include "request.h"

/* Suspends the request's connection, fills `options`, and lets one call be started:
 *
 *     if (!core_call_begin(request, &bridge, &options))
 *         return true;
 *     triggers_get_async(bridge->client, id, &options, core_call_done, request);
 *     core_call_started(bridge);
 *     return false;
 *
 * After the asynchronous function the request belongs to the call: do not touch it any more. False
 * after having answered 503. */
bool core_call_begin(struct request *request, struct bridge **bridge,
                     triggers_call_options *options);
void core_call_started(struct bridge *bridge);

/* The triggers_callback of every call; `request` is user_data. The route's `finish` runs next, on
 * the connection's thread. */
void core_call_done(triggers_reply *reply, void *request);

#endif
