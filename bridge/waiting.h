/* Requests that wait for events. Unlike others they may take long, so their calls have no part in
 * the limit on calls, their client is watched, since one that has gone needs no answer, and they
 * are ended when the bridge stops. */
#ifndef TRIGGERS_BRIDGE_WAITING_H
#define TRIGGERS_BRIDGE_WAITING_H

#include "request.h"

/* Makes a request one that waits, until it is freed. False after having answered 503, when three
 * quarters of all connections are those of others that wait. */
bool waiting_begin(struct request *request);

/* The same for a request whose call may wait for *wait_ms. That becomes 0, and the request is none
 * that waits, while the bridge stops, and when it is started again: there was no memory for its
 * answer, so there is something to answer. */
bool waiting_begin_call(struct request *request, uint32_t *wait_ms);

/* Ends the call that has just been started for the request when its client hangs up or the bridge
 * stops: it is cancelled, and `request->ended` says why. On the connection's thread. The call's tag
 * is the request. */
void waiting_watch(struct request *request);

/* In place of core_call_started, for a call that may wait for `wait_ms`: does so if it does, and
 * frees the arena, as many such calls wait at once and all of them for long. */
void waiting_call_started(struct request *request, uint32_t wait_ms);

/* Suspends the request for a while, which ends early when its client hangs up or the bridge stops.
 * The same. */
void waiting_pause(struct request *request, int64_t pause_ms);

#endif
