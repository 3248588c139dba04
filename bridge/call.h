/* Calls to the core on behalf of requests: the connection sleeps while one is in flight. */
#ifndef TRIGGERS_BRIDGE_CALL_H
#define TRIGGERS_BRIDGE_CALL_H

#include "request.h"

/* Suspends the request's connection, fills `options`, and lets one call be started:
 *
 *     if (!call_begin(request, &bridge, &options))
 *         return true;
 *     triggers_get_async(bridge->client, id, &options, call_done, request);
 *     call_started(bridge);
 *     return false;
 *
 * After the asynchronous function the request belongs to the call: do not touch it any more. False
 * after having answered 503. */
bool call_begin(struct request *request, struct bridge **bridge, triggers_call_options *options);
void call_started(struct bridge *bridge);

/* The triggers_callback of every call; `request` is user_data. The route's `finish` runs next, on
 * the connection's thread. */
void call_done(triggers_reply *reply, void *request);

#endif
