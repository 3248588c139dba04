/* Serving means that every lane has a session, so that events can be stored, read and given out
 * now, and that the keys are known. */
#include "service/health_service.h"

#include <string.h>

#include "rpc/call.h"

static bool is_serving(const struct health_service *service)
{
    bool serving = !service->access || access_is_known(service->access);
    for (size_t i = 0; i < HEALTH_LANES && serving; i++)
        serving = lane_is_connected(service->lanes[i]);
    return serving;
}

static void health_service_check(Triggers__Health__V1__Health_Service *base,
                                 const Triggers__Health__V1__HealthCheckRequest *request,
                                 Triggers__Health__V1__HealthCheckResponse_Closure closure,
                                 void *call)
{
    (void)closure;
    const struct health_service *service = (const struct health_service *)base;
    if (request->service[0] && strcmp(request->service, "triggers.v1.EventService") != 0) {
        struct status status;
        status_fail(&status, STATUS_NOT_FOUND, "SERVICE_UNKNOWN",
                    "no such service; ask for \"\" or \"triggers.v1.EventService\"");
        call_fail(call, &status, NULL, 0);
        return;
    }
    Triggers__Health__V1__HealthCheckResponse response =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status =
        is_serving(service)
            ? TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
            : TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    response.version = (char *)TRIGGERS_VERSION;
    response.store = (char *)service->store_name;
    response.auth = (char *)service->auth;
    call_reply(call, &response.base);
}

void health_service_init(struct health_service *service, struct lane *const lanes[HEALTH_LANES],
                         struct access *access, const char *store_name, const char *auth)
{
    *service = (struct health_service){
        .base = TRIGGERS__HEALTH__V1__HEALTH__INIT(health_service_),
        .access = access,
        .store_name = store_name,
        .auth = auth,
    };
    memcpy(service->lanes, lanes, sizeof(service->lanes));
}
