#include "subscription_calls.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "print.h"
#include "when.h"

triggers_reply *subscription_call(triggers_client *client, const char *name,
                                  const ProtobufCMessage *request, int *code)
{
    char method[80];
    snprintf(method, sizeof(method), "triggers.v1.SubscriptionService/%s", name);
    triggers_reply *reply = triggers_call(client, method, request, NULL);
    *code = EXIT_DONE;
    if (reply->code == TRIGGERS_OK)
        return reply;
    *code = cli_fail(&reply->error, NULL);
    triggers_reply_free(reply);
    return NULL;
}

const char *subscription_position(const char *text, char room[POSITION_ROOM])
{
    int64_t time_us;
    if (!when_parse(text, clock_now_us(), &time_us))
        return text;
    print_format_time(time_us, room);
    return room;
}

int64_t subscription_time_us(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * 1000000 + time->nanos / 1000 : 0;
}
