/* Takes every pending event, oldest first, and acknowledges it. */
#include <stdio.h>
#include <stdlib.h>
#include <triggers.h>

int main(void)
{
    triggers_client_options options = {
        .url = getenv("TRIGGERS_CORE"), .api_key = getenv("TRIGGERS_API_KEY"), .name = "example/1"};
    triggers_list_request oldest_first = {.oldest_first = 1};
    triggers_client *client;
    char error[256];
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_OK)
        return fprintf(stderr, "%s\n", error), 1;
    triggers_inbox *inbox = triggers_inbox_open(client, &oldest_first, NULL);
    const triggers_event *event;
    while ((event = triggers_inbox_next(inbox))) {
        printf("%s %s %s\n", event->event_id, event->event_type, event->payload);
        /* When the work is done: it leaves the inbox. */
        triggers_reply_free(triggers_ack(client, event->event_id, NULL));
    }
    int failed = triggers_inbox_error(inbox)->code != TRIGGERS_OK;
    triggers_inbox_close(inbox);
    triggers_client_close(client);
    return failed;
}
