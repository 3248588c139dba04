/* triggers get: one event. */
#include <stdio.h>

#include "cli.h"
#include "print.h"

static bool payload_only;

static const struct option_spec options[] = {
    {"payload", OPTION_FLAG, &payload_only, NULL,
     "Print only the payload, byte for byte as it was sent (on a terminal: escaped)"},
    {0},
};

static void print_event(const triggers_event *event)
{
    if (payload_only)
        print_payload(event);
    else if (cli_output_is_json())
        print_event_json(event);
    else
        print_event_details(event);
}

static int run(int count, char **words)
{
    if (count != 1)
        return cli_usage("get takes one event id");
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = EXIT_DONE;
    triggers_reply *reply = triggers_get(client, words[0], NULL);
    if (reply->code == TRIGGERS_OK)
        print_event(&reply->items[0].event);
    else
        code = cli_fail(&reply->error, words[0]);
    triggers_reply_free(reply);
    triggers_client_close(client);
    return code;
}

const struct command command_get = {
    .name = "get",
    .arguments = "ID",
    .summary = "Print one event",
    .details = "Examples:\n"
               "  triggers get evt_01h455vb4pex5vsknk084sn02q\n"
               "  triggers get evt_01h455vb4pex5vsknk084sn02q --payload > payload.json\n",
    .options = options,
    .run = run,
};
