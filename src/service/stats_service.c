/* The metrics as text. */
#include "service/stats_service.h"

#include "rpc/call.h"

#define TEXT_CAP (1u << 20)

static void stats_service_get_stats(Triggers__Stats__V1__StatsService_Service *base,
                                    const Triggers__Stats__V1__GetStatsRequest *request,
                                    Triggers__Stats__V1__GetStatsResponse_Closure closure,
                                    void *call)
{
    (void)request;
    (void)closure;
    const struct stats_service *service = (const struct stats_service *)base;
    struct buffer text;
    buffer_init(&text, TEXT_CAP);
    metrics_write(service->metrics, &text);
    Triggers__Stats__V1__GetStatsResponse response = TRIGGERS__STATS__V1__GET_STATS_RESPONSE__INIT;
    response.text = text.data;
    if (text.failed)
        call_fail_no_memory(call);
    else
        call_reply(call, &response.base);
    buffer_fini(&text);
}

void stats_service_init(struct stats_service *service, const struct metrics *metrics)
{
    *service = (struct stats_service){
        .base = TRIGGERS__STATS__V1__STATS_SERVICE__INIT(stats_service_),
        .metrics = metrics,
    };
}
