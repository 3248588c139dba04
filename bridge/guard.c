/* The core checks a key with every call that has one; of those, health needs no key itself. */
#include "guard.h"

#include <string.h>

#include "base/check.h"
#include "core_call.h"
#include "triggers/health/v1/health.pb-c.h"

#define CHECK_HEALTH "triggers.health.v1.Health/Check"

bool guard_admit(struct request *request, int guard)
{
    bool elsewhere = guard == GUARD_PORT && !request_is_monitoring(request);
    if (guard != GUARD_OFF && !elsewhere)
        return true;
    request_fail(request, 404, "ROUTE_NOT_FOUND", "Not found");
    return false;
}

bool guard_is_open(const struct request *request, int guard)
{
    return guard == GUARD_OPEN || guard == GUARD_PORT ||
           (guard == GUARD_AUTO && request_address(request)->bound);
}

bool guard_ask(struct request *request, int64_t timeout_ms)
{
    Triggers__Health__V1__HealthCheckRequest message =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    triggers_call_options options;
    request->charge.urgent = true;
    if (!core_call_begin(request, &options))
        return true;
    options.timeout_ms = (uint32_t)timeout_ms;
    triggers_call_async(request->bridge->client, CHECK_HEALTH, &message.base, &options,
                        core_call_done, request);
    core_call_started(request);
    return false;
}

static bool is_about_key(const triggers_error *error)
{
    return error->code == TRIGGERS_UNAUTHENTICATED || error->code == TRIGGERS_PERMISSION_DENIED ||
           strcmp(error->reason, "TOO_MANY_WRONG_KEYS") == 0;
}

enum guard_verdict guard_judge(const struct request *request, int guard)
{
    struct bridge *bridge = request->bridge;
    const triggers_reply *reply = request->reply;
    CHECK(reply);
    if (is_about_key(&reply->error))
        return GUARD_REFUSES;
    if (reply->code != TRIGGERS_OK)
        return guard == GUARD_KEY || atomic_load(&bridge->keys_needed) ? GUARD_UNKNOWN
                                                                       : GUARD_PASSES;
    if (reply->message &&
        reply->message->descriptor == &triggers__health__v1__health_check_response__descriptor) {
        const Triggers__Health__V1__HealthCheckResponse *health =
            (const Triggers__Health__V1__HealthCheckResponse *)reply->message;
        bool needed = strcmp(health->auth, "required") == 0;
        atomic_store(&bridge->keys_needed, needed);
        if (needed && !request->credentials.authorization[0])
            return GUARD_LACKS_KEY;
    }
    return GUARD_PASSES;
}

void guard_refuse(struct request *request)
{
    request_fail(request, 401, "KEY_MISSING",
                 "A key is needed here: Authorization: Bearer, and the key");
}
