/* triggers kinds: all pairs of source and event type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "print.h"

static void print_kinds(const triggers_reply *reply)
{
    for (size_t i = 0; i < reply->kind_count; i++) {
        if (cli_output_is_json())
            print_kind_json(&reply->kinds[i]);
        else
            print_kind_row(&reply->kinds[i]);
    }
}

static int print_all(triggers_client *client)
{
    char *token = NULL;
    int code = EXIT_DONE;
    do {
        triggers_kinds_request request = {.page_size = TRIGGERS_MAX_PAGE, .page_token = token};
        triggers_reply *reply = triggers_list_kinds(client, &request, NULL);
        free(token);
        token = NULL;
        if (reply->code == TRIGGERS_OK) {
            print_kinds(reply);
            token = *reply->next_page_token ? strdup(reply->next_page_token) : NULL;
        } else {
            code = cli_fail(&reply->error, NULL);
        }
        triggers_reply_free(reply);
    } while (token && !ferror(stdout));
    free(token);
    return code;
}

static int run(int count, char **words)
{
    (void)words;
    if (count != 0)
        return cli_usage("kinds takes no arguments");
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    if (!cli_output_is_json())
        print_kind_header();
    int code = print_all(client);
    triggers_client_close(client);
    return code;
}

const struct command command_kinds = {
    .name = "kinds",
    .arguments = "",
    .summary = "List the kinds of events: sources and types that there are, or were",
    .details =
        "In the order in which they first came. For the events of one kind, see the options\n"
        "--source and --event-type of inbox and tail.\n\n"
        "Examples:\n"
        "  triggers kinds\n"
        "  triggers kinds --output json | jq -r .event_type | sort -u\n",
    .run = run,
};
