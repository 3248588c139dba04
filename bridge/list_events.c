/* Parts of the log, and waiting for more of it. */
#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"
#include "query.h"
#include "waiting.h"

#define LOG_CAP (32u << 20) /* as for a page of the inbox */

bool list_events_start(struct request *request)
{
    struct query query;
    if (!query_read(request, QUERY_LOG, &query))
        return true;
    triggers_log_request log = {.after_sequence = query.after,
                                .page_size = query.limit,
                                .wait_ms = (uint32_t)query.wait_s * 1000,
                                .filter = query.filter};
    triggers_call_options options;
    if (!waiting_begin_call(request, &log.wait_ms) || !core_call_begin(request, &options))
        return true;
    options.tag = request;
    triggers_list_events_async(request->bridge->client, &log, &options, core_call_done, request);
    waiting_call_started(request, log.wait_ms);
    return false;
}

void list_events_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (core_call_failed(request))
        return;
    struct buffer body;
    request_init_text(request, &body, LOG_CAP);
    hand_made_write_log(&body, reply, &request->bridge->settings);
    request_answer(request, 200, &body);
}
