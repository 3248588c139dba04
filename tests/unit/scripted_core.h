/* A core for tests of the client: it decodes envelopes and answers as the call's request id asks.
 *
 *   (none)     a good answer, see scripted_core.c
 *   "error"    INVALID_ARGUMENT with details
 *   "future"   a code that does not exist yet
 *   "garbage"  bytes that are no envelope
 *   "bad-body" an envelope whose body is no message
 *   "no-items" OK with an empty response
 *   "silent"   none, ever
 *   "hold"     a good one when scripted_core_release is called
 *   "drop"     its first request loses the connection; the second gets a good answer
 *   "busy"     UNAVAILABLE to its first request, a good answer to the second
 *   "stopping" UNAVAILABLE, as a core that is stopping says it
 *   "keyed"    UNAUTHENTICATED, unless the key is "second"
 *   "denied"   PERMISSION_DENIED
 *
 * All functions may be called from any thread but for start and stop. */
#ifndef TRIGGERS_TESTS_SCRIPTED_CORE_H
#define TRIGGERS_TESTS_SCRIPTED_CORE_H

#include <stddef.h>
#include <stdint.h>

struct scripted_core;

/* What a request said, of the newest one. */
struct scripted_request {
    char method[64];
    char request_id[64];
    char traceparent[64];
    char caller[64];
    char authorization[320];
    char address[64];
    char client[64];
    char event_id[64]; /* of a create */
    uint32_t timeout_ms;
    size_t size; /* of the envelope */
};

/* Listens on the URL; fails the test when it cannot. */
struct scripted_core *scripted_core_start(const char *url);
void scripted_core_stop(struct scripted_core *core);

/* Requests received so far. */
size_t scripted_core_count(struct scripted_core *core);
/* Waits until so many requests have been received; fails the test after some seconds. */
void scripted_core_wait(struct scripted_core *core, size_t count);
/* Gives the held requests their answers. */
void scripted_core_release(struct scripted_core *core);
struct scripted_request scripted_core_last(struct scripted_core *core);

#endif
