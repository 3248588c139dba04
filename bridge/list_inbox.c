/* Pages of the inbox. */
#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"
#include "query.h"

/* A page has at most 8 MiB of payloads; escapes in names may make its text a little longer. */
#define PAGE_CAP (32u << 20)

bool list_inbox_start(struct request *request)
{
    struct query query;
    if (!query_read(request, QUERY_INBOX, &query))
        return true;
    if (query.no_events) {
        request_answer_text(request, 200, "{\"events\":[],\"total\":0,\"next_cursor\":null}");
        return true;
    }
    triggers_list_request list = {.status = query.status,
                                  .page_size = query.limit,
                                  .page_token = query.cursor,
                                  .oldest_first = query.oldest_first,
                                  .filter = query.filter};
    triggers_call_options options;
    if (!core_call_begin(request, &options))
        return true;
    triggers_list_async(request->bridge->client, &list, &options, core_call_done, request);
    core_call_started(request);
    return false;
}

void list_inbox_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (core_call_failed(request))
        return;
    struct buffer body;
    request_init_text(request, &body, PAGE_CAP);
    hand_made_write_page(&body, reply, &request->bridge->settings);
    request_answer(request, 200, &body);
}
