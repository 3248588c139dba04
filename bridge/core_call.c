/* The limits on calls, and the hand-over between the threads of libmicrohttpd and of the client
 * library. */
#include "core_call.h"

#include <string.h>

#include "base/check.h"
#include "body.h"
#include "loop.h"

/* Calls above the limit, for health probes. */
#define CALLS_FOR_PROBES 32

/* Gives back what core_call_begin took and answers. */
static bool refuse_call(struct request *request, unsigned status, const char *code,
                        const char *detail)
{
    if (!request->waits)
        atomic_fetch_sub(&request->bridge->calls, 1);
    request_fail(request, status, code, detail);
    return false;
}

void core_call_identify(const struct request *request, triggers_call_options *options)
{
    const struct credentials *credentials = &request->credentials;
    options->caller = request->peer->name;
    options->authorization = credentials->authorization[0] ? credentials->authorization : NULL;
    options->address = credentials->address[0] ? credentials->address : NULL;
}

bool core_call_begin(struct request *request, triggers_call_options *options)
{
    struct bridge *bridge = request->bridge;
    CHECK(!request->reply && (!request->answer.status || request->answer.more));
    long most = bridge->settings.max_calls + (request->charge.urgent ? CALLS_FOR_PROBES : 0);
    if (!request->waits && atomic_fetch_add(&bridge->calls, 1) >= most)
        return refuse_call(request, 503, "OVERLOADED", "Too many requests at once, try again");
    if (!idempotency_enter(&bridge->keys, &request->key))
        return refuse_call(request, 409, "IDEMPOTENCY_KEY_IN_USE",
                           "A request with this Idempotency-Key is being handled, try again later");
    bridge_enter(&bridge->starting);
    if (atomic_load(&bridge->client_closed)) {
        bridge_leave(bridge, &bridge->starting);
        idempotency_leave(&bridge->keys, &request->key);
        return refuse_call(request, 503, "STOPPING", "The service is stopping");
    }
    *options = (triggers_call_options){
        .request_id = request->id,
        .traceparent = request->traceparent[0] ? request->traceparent : NULL,
    };
    core_call_identify(request, options);
    if (request->again)
        memory_favour(&bridge->memory, &request->room);
    request_use_reserved(request, request_reply_room(request));
    request->calling = true;
    /* First, because the callback may come before the call's function returns. */
    loop_suspend(request->peer);
    return true;
}

/* The call may have been answered already, and its request resumed; but that waits for this thread.
 */
void core_call_started(struct request *request)
{
    struct bridge *bridge = request->bridge;
    /* One that waits is started again when the bridge stops. */
    if (!request->unsent && !request->waits)
        body_drop(request);
    bridge_leave(bridge, &bridge->starting);
}

/* Logs one line when the core is lost, at most one in ten seconds, and one when it is back, however
 * many requests notice it. */
static void note_core(struct bridge *bridge, const triggers_reply *reply)
{
    bool lost = strcmp(reply->error.reason, "CORE_UNREACHABLE") == 0;
    bool answered = reply->request_id[0] != '\0';
    if (!lost && !answered)
        return;
    if (atomic_load(&bridge->core_lost) == lost)
        return;
    if (lost) {
        if (log_warning_limited("", "core unreachable", {"core", bridge->settings.core}))
            atomic_store(&bridge->core_lost, true);
    } else if (atomic_exchange(&bridge->core_lost, false)) {
        log_info("core reachable again", {"core", bridge->settings.core});
    }
}

void core_call_done(triggers_reply *reply, void *user_data)
{
    struct request *request = request_cast(user_data);
    CHECK(!request->reply && reply);
    struct bridge *bridge = request->bridge;
    note_core(bridge, reply);
    if (strcmp(reply->error.reason, "KEY_MISSING") == 0)
        atomic_store(&bridge->keys_needed, true);
    request->reply = reply;
    /* This comes from the function that should have started the call, on the thread of the request.
     */
    if (strcmp(reply->error.reason, "CLIENT_BUSY") == 0)
        request->unsent = true;
    idempotency_leave(&bridge->keys, &request->key);
    CHECK(request->waits || atomic_fetch_sub(&bridge->calls, 1) > 0);
    loop_resume(request->peer);
}

bool core_call_failed(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (reply->code == TRIGGERS_OK)
        return false;
    if (request->ended != LOOP_HUNG_UP || !request_was_ended(request))
        request_answer_error(request, &reply->error);
    return true;
}
