/* Walking a list page by page. */
#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"
#include "triggers.h"

struct triggers_inbox {
    triggers_client *client;
    triggers_list_request request; /* its page_token lies in `reply` */
    uint32_t timeout_ms;
    triggers_reply *reply; /* the current page; NULL before the first */
    size_t next;           /* item of the page */
};

triggers_inbox *triggers_inbox_open(triggers_client *client, const triggers_list_request *request,
                                    const triggers_call_options *options)
{
    triggers_inbox *inbox = calloc(1, sizeof(*inbox));
    if (!inbox)
        return NULL;
    inbox->client = client;
    if (request)
        inbox->request = *request;
    inbox->request.page_token = NULL;
    inbox->timeout_ms = options ? options->timeout_ms : 0;
    return inbox;
}

static bool is_walked(const triggers_inbox *inbox)
{
    const triggers_reply *reply = inbox->reply;
    return reply && inbox->next == reply->item_count;
}

static void fetch(triggers_inbox *inbox)
{
    triggers_call_options options = {.timeout_ms = inbox->timeout_ms};
    triggers_reply *last = inbox->reply;
    if (last)
        inbox->request.page_token = last->next_page_token;
    inbox->reply = triggers_list(inbox->client, &inbox->request, &options);
    inbox->next = 0;
    triggers_reply_free(last);
}

const triggers_event *triggers_inbox_next(triggers_inbox *inbox)
{
    while (!inbox->reply || (is_walked(inbox) && inbox->reply->next_page_token[0]))
        fetch(inbox);
    CHECK(inbox->next <= inbox->reply->item_count);
    return is_walked(inbox) ? NULL : &inbox->reply->items[inbox->next++].event;
}

const triggers_error *triggers_inbox_error(const triggers_inbox *inbox)
{
    static const triggers_error none = {.reason = "", .message = ""};
    return inbox->reply ? &inbox->reply->error : &none;
}

void triggers_inbox_close(triggers_inbox *inbox)
{
    if (inbox)
        triggers_reply_free(inbox->reply);
    free(inbox);
}
