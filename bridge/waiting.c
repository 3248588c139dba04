/* The count of those that wait, and the end of their calls. */
#include "waiting.h"

#include "base/check.h"
#include "core_call.h"
#include "loop.h"

bool waiting_begin(struct request *request)
{
    struct bridge *bridge = request->bridge;
    if (request->waits)
        return true;
    if (atomic_fetch_add(&bridge->waiting, 1) >= (bridge->connections.max + 3) / 4 * 3) {
        atomic_fetch_sub(&bridge->waiting, 1);
        request_fail(request, 503, "TOO_MANY_WAITERS",
                     "Too many requests wait for events, try again later");
        return false;
    }
    request->waits = true;
    return true;
}

bool waiting_begin_call(struct request *request, uint32_t *wait_ms)
{
    if (request->again || loop_is_ending(request->peer->loop))
        *wait_ms = 0;
    return *wait_ms == 0 || waiting_begin(request);
}

static void end(void *user_data, enum loop_end why)
{
    struct request *request = request_cast(user_data);
    struct bridge *bridge = request->bridge;
    CHECK(request->waits);
    request->ended = why;
    /* The client cannot be closed as long as this is a start. */
    bridge_enter(&bridge->starting);
    if (!atomic_load(&bridge->client_closed))
        triggers_cancel(bridge->client, request);
    bridge_leave(bridge, &bridge->starting);
}

void waiting_watch(struct request *request)
{
    CHECK(request->waits);
    loop_watch(request->peer, end, request);
}

void waiting_call_started(struct request *request, uint32_t wait_ms)
{
    core_call_started(request);
    if (wait_ms == 0)
        return;
    waiting_watch(request);
    arena_fini(&request->arena);
    request->arena.charge = &request->charge;
}

void waiting_pause(struct request *request, int64_t pause_ms)
{
    CHECK(request->waits);
    request->calling = true;
    loop_suspend(request->peer);
    loop_watch(request->peer, end, request);
    loop_sleep(request->peer, pause_ms);
}
