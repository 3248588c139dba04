/* triggers erase: removes the payloads of events by id, one call for each. */
#include <stdio.h>
#include <unistd.h>

#include "cli.h"
#include "ids.h"
#include "print.h"

struct erasure {
    triggers_client *client;
    int code;
    bool header_printed;
};

static void print_erased(struct erasure *erasure, const triggers_event *event)
{
    if (cli_output_is_json()) {
        print_erased_json(event);
        return;
    }
    if (!erasure->header_printed)
        print_sequence_header();
    erasure->header_printed = true;
    print_sequence_row(event);
}

static bool erase(void *data, const char *id)
{
    struct erasure *erasure = data;
    triggers_reply *reply = triggers_erase(erasure->client, id, NULL);
    bool reached = reply->code != TRIGGERS_UNAVAILABLE; /* otherwise the rest would wait too */
    if (reply->code == TRIGGERS_OK)
        print_erased(erasure, &reply->items[0].event);
    else
        erasure->code = cli_worse(erasure->code, cli_fail(&reply->error, id));
    triggers_reply_free(reply);
    return reached;
}

static int run(int count, char **words)
{
    if (count == 0 && isatty(STDIN_FILENO))
        return cli_usage("erase takes event ids, as arguments or one per line on stdin");
    struct erasure erasure = {.client = cli_open(1)};
    if (!erasure.client)
        return EXIT_USAGE;
    int read_code = ids_read(count, words, erase, &erasure);
    triggers_client_close(erasure.client);
    return cli_worse(erasure.code, read_code);
}

const struct command command_erase = {
    .name = "erase",
    .arguments = "[ID... | -]",
    .summary = "Remove the payloads of events for good",
    .details =
        "This cannot be undone. The events stay in the log, with id, source, type, times and\n"
        "status; pending ones stay in the inbox until they are acknowledged. Without ids, or with\n"
        "-, ids are read from stdin, one per line. Erasing again changes nothing. The exit status\n"
        "is 3 when the only failures were events that do not exist.\n\n"
        "Examples:\n"
        "  triggers erase evt_01h455vb4pex5vsknk084sn02q\n"
        "  triggers tail --after 0 --source crm --no-follow --output json |\n"
        "    jq -r .event_id | triggers erase\n",
    .run = run,
};
