/* triggers inbox: pages of events up to the limit; follow.c follows the inbox. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "follow.h"
#include "print.h"

#define DEFAULT_LIMIT 50
#define NO_LIMIT 0

enum asked { ASKED_PENDING, ASKED_ACKNOWLEDGED };
enum order { ORDER_NEWEST, ORDER_OLDEST };

static const char *const statuses[] = {"pending", "acknowledged", NULL};
static const char *const orders[] = {"newest", "oldest", NULL};

static int status = ASKED_PENDING;
static int order = -1;
static long limit = NO_LIMIT;
static bool all;
static bool follow;

static const struct option_spec options[] = {
    {"status", OPTION_CHOICE, &status, "STATUS", "pending (default) or acknowledged",
     .choices = statuses},
    {"limit", OPTION_NUMBER, &limit, "N", "At most N events; default 50, with --follow no limit",
     .min = 1, .max = 1000000000},
    {"all", OPTION_FLAG, &all, NULL, "All events"},
    {"order", OPTION_CHOICE, &order, "ORDER", "newest (default) or oldest first",
     .choices = orders},
    {"follow", OPTION_FLAG, &follow, NULL,
     "Print the oldest first, then each new event as it comes, until interrupted"},
    {0},
};

static triggers_status asked_status(void)
{
    return status == ASKED_PENDING ? TRIGGERS_STATUS_PENDING : TRIGGERS_STATUS_ACKNOWLEDGED;
}

static void print_event(const triggers_event *event)
{
    if (cli_output_is_json())
        print_event_json(event);
    else
        print_event_row(event, status == ASKED_ACKNOWLEDGED);
}

static int32_t page_size(long left)
{
    return all || left > TRIGGERS_MAX_PAGE ? TRIGGERS_MAX_PAGE : (int32_t)left;
}

/* Prints a page; returns how many events are still wanted. */
static long print_page(const triggers_reply *reply, long left)
{
    for (size_t i = 0; i < reply->item_count; i++)
        print_event(&reply->items[i].event);
    return all ? left : left - (long)reply->item_count;
}

/* A copy of the page token, which must outlive the reply. */
static char *next_token(const triggers_reply *reply)
{
    return *reply->next_page_token ? strdup(reply->next_page_token) : NULL;
}

static int print_pages(triggers_client *client, long left)
{
    triggers_list_request request = {.status = asked_status(),
                                     .oldest_first = order == ORDER_OLDEST};
    char *token = NULL;
    int code = EXIT_DONE;
    do {
        request.page_size = page_size(left);
        request.page_token = token;
        triggers_reply *reply = triggers_list(client, &request, NULL);
        free(token);
        token = NULL;
        if (reply->code == TRIGGERS_OK) {
            left = print_page(reply, left);
            token = next_token(reply);
        } else {
            code = cli_fail(&reply->error, NULL);
        }
        triggers_reply_free(reply);
    } while (token && left > 0 && !ferror(stdout));
    free(token);
    return code;
}

static int run(int count, char **words)
{
    (void)words;
    if (count != 0)
        return cli_usage("inbox takes no arguments; for one event: triggers get ID");
    if (all && limit != NO_LIMIT)
        return cli_usage("--all and --limit exclude each other");
    if (follow && order == ORDER_NEWEST)
        return cli_usage("--follow takes no --order newest: it prints the oldest first");
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    if (!cli_output_is_json())
        print_event_header(status == ASKED_ACKNOWLEDGED);
    int code = follow ? follow_inbox(client, asked_status(), limit, print_event)
                      : print_pages(client, limit == NO_LIMIT ? DEFAULT_LIMIT : limit);
    triggers_client_close(client);
    return code;
}

const struct command command_inbox = {
    .name = "inbox",
    .arguments = "",
    .summary = "List events, or follow them as they come",
    .details = "--follow asks once a second, waits while triggersd is unavailable, and never\n"
               "prints an event twice. With --limit it ends after that many events.\n\n"
               "Examples:\n"
               "  triggers inbox\n"
               "  triggers inbox --status acknowledged --limit 5 --output table\n"
               "  triggers inbox --all --order oldest --output json > inbox.ndjson\n"
               "  triggers inbox --follow --output json | while read -r event; do ...; done\n",
    .options = options,
    .run = run,
};
