/* triggers seek: moves the position of a subscription. */
#include <inttypes.h>
#include <stdio.h>

#include "subscription_calls.h"

static bool dry_run;

static const struct option_spec options[] = {
    {"dry-run", OPTION_FLAG, &dry_run, NULL, "Only print what it would do"},
    {0},
};

static void print_sought(const Triggers__V1__SeekResponse *response)
{
    if (cli_output_is_json())
        printf("{\"position\":%" PRId64 ",\"events\":%" PRId64 "}\n", response->position,
               response->events);
    else
        printf("position %" PRId64 "; %" PRId64 " events between the old one and this\n",
               response->position, response->events);
}

static int run(int count, char **words)
{
    if (count != 2)
        return cli_usage("seek takes SUBSCRIPTION POSITION; positions are " POSITION_ACCEPTED);
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    Triggers__V1__SeekRequest request = TRIGGERS__V1__SEEK_REQUEST__INIT;
    char room[POSITION_ROOM];
    int code;
    request.name = words[0];
    request.to = (char *)subscription_position(words[1], room);
    request.dry_run = dry_run;
    triggers_reply *reply = subscription_call(client, "Seek", &request.base, &code);
    if (reply)
        print_sought((const Triggers__V1__SeekResponse *)reply->message);
    triggers_reply_free(reply);
    triggers_client_close(client);
    return code;
}

const struct command command_seek = {
    .name = "seek",
    .arguments = "SUBSCRIPTION POSITION",
    .summary = "Move a subscription to another place in the log",
    .details =
        "Events from there on are given out, again if they were before; those before it are not.\n"
        "POSITION is " POSITION_ACCEPTED ".\n"
        "What is out is lost to who has it; dead letters stay.\n\n"
        "Examples:\n"
        "  triggers seek mail latest\n"
        "  triggers seek mail 2h --dry-run\n",
    .options = options,
    .run = run,
};
