/* Creates three events and prints their ids. */
#include <stdio.h>
#include <stdlib.h>
#include <triggers.h>

int main(void)
{
    triggers_client_options options = {
        .url = getenv("TRIGGERS_CORE"), .api_key = getenv("TRIGGERS_API_KEY"), .name = "example/1"};
    triggers_client *client;
    char error[256];
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_OK)
        return fprintf(stderr, "%s\n", error), 1;
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        char payload[32];
        int size = snprintf(payload, sizeof(payload), "{\"order\":%d}", i);
        /* The library makes the event's id, so its retries are stored once. */
        triggers_new_event event = {.source = "shop",
                                    .event_type = "order.placed",
                                    .payload = payload,
                                    .payload_size = (size_t)size};
        triggers_reply *reply = triggers_create(client, &event, NULL);
        failed = reply->code != TRIGGERS_OK;
        puts(failed ? reply->error.message : reply->items[0].event.event_id);
        triggers_reply_free(reply);
    }
    triggers_client_close(client);
    return failed;
}
