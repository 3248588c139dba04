/* Walking lists page by page: the inbox, and the log, which has no end. */
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

/* ---- the log ---- */

struct triggers_follower {
    triggers_client *client;
    triggers_log_request
        request; /* after_sequence: where the current page, or the next one, starts */
    triggers_call_options options;
    triggers_reply *reply; /* the current page; NULL before the first */
    size_t next;           /* item of the page */
};

triggers_follower *triggers_follower_open(triggers_client *client,
                                          const triggers_log_request *request,
                                          const triggers_call_options *options)
{
    triggers_follower *follower = calloc(1, sizeof(*follower));
    if (!follower)
        return NULL;
    follower->client = client;
    if (request)
        follower->request = *request;
    if (follower->request.wait_ms == 0)
        follower->request.wait_ms = TRIGGERS_MAX_WAIT_MS;
    if (options)
        follower->options =
            (triggers_call_options){.timeout_ms = options->timeout_ms, .tag = options->tag};
    return follower;
}

static bool is_given(const triggers_follower *follower)
{
    return !follower->reply || follower->next == follower->reply->item_count;
}

int64_t triggers_follower_position(const triggers_follower *follower)
{
    const triggers_reply *reply = follower->reply;
    if (!reply || reply->code != TRIGGERS_OK)
        return follower->request.after_sequence;
    if (is_given(follower))
        return reply->next_after;
    return follower->next > 0 ? reply->items[follower->next - 1].event.sequence
                              : follower->request.after_sequence;
}

const triggers_event *triggers_follower_next(triggers_follower *follower)
{
    while (is_given(follower)) {
        follower->request.after_sequence = triggers_follower_position(follower);
        triggers_reply_free(follower->reply);
        follower->next = 0;
        follower->reply =
            triggers_list_events(follower->client, &follower->request, &follower->options);
        if (follower->reply->code != TRIGGERS_OK)
            return NULL;
    }
    CHECK(follower->next < follower->reply->item_count);
    return &follower->reply->items[follower->next++].event;
}

const triggers_error *triggers_follower_error(const triggers_follower *follower)
{
    static const triggers_error none = {.reason = "", .message = ""};
    return follower->reply ? &follower->reply->error : &none;
}

void triggers_follower_close(triggers_follower *follower)
{
    if (follower)
        triggers_reply_free(follower->reply);
    free(follower);
}
