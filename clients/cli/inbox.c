/* triggers inbox: pages of events up to the limit; follow.c follows the inbox. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "filter_options.h"
#include "follow.h"
#include "interrupt.h"
#include "print.h"

#define DEFAULT_LIMIT 50
#define NO_LIMIT 0
#define NOT_GIVEN (-1)

enum asked { ASKED_PENDING, ASKED_ACKNOWLEDGED };
enum order { ORDER_NEWEST, ORDER_OLDEST };

static const char *const statuses[] = {"pending", "acknowledged", NULL};
static const char *const orders[] = {"newest", "oldest", NULL};

static int status = ASKED_PENDING;
static int order = -1;
static long limit = NO_LIMIT;
static bool all;
static bool follow;
static long after = NOT_GIVEN;

static const struct option_spec options[] = {
    {"status", OPTION_CHOICE, &status, "STATUS", "pending (default) or acknowledged",
     .choices = statuses},
    {"limit", OPTION_NUMBER, &limit, "N", "At most N events; default 50, with --follow no limit",
     .min = 1, .max = 1000000000},
    {"all", OPTION_FLAG, &all, NULL, "All events"},
    {"order", OPTION_CHOICE, &order, "ORDER", "newest (default) or oldest first",
     .choices = orders},
    {"follow", OPTION_FLAG, &follow, NULL,
     "Print what is pending, oldest first, then each event as it comes, until interrupted"},
    {"after", OPTION_NUMBER, &after, "N",
     "With --follow: print only what came after the event with sequence N", .min = 0,
     .max = LONG_MAX},
    FILTER_OPTIONS{0},
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
    triggers_list_request request = {
        .status = asked_status(), .oldest_first = order == ORDER_OLDEST, .filter = filter_asked()};
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

/* What is pending at the start, and then the log from there on. */
static int follow_inbox(triggers_client *client)
{
    struct follower follower = {.client = client,
                                .filter = filter_asked(),
                                .print = print_event,
                                .limit = limit,
                                .after = after,
                                .has_position = true};
    int code = -1;
    if (after == NOT_GIVEN) {
        code = follow_find_newest(&follower, 0);
        if (code < 0)
            code = follow_print_pending(&follower);
    }
    return code < 0 ? follow_log(&follower) : code;
}

static int check_options(void)
{
    if (all && limit != NO_LIMIT)
        return cli_usage("--all and --limit exclude each other");
    if (follow && order == ORDER_NEWEST)
        return cli_usage("--follow takes no --order newest: it prints the oldest first");
    if (follow && status == ASKED_ACKNOWLEDGED)
        return cli_usage("--follow takes no --status acknowledged: it prints events as they come");
    if (follow && filter_until_us != 0)
        return cli_usage("--follow and --until exclude each other");
    if (!follow && after != NOT_GIVEN)
        return cli_usage("--after goes with --follow");
    return EXIT_DONE;
}

static int run(int count, char **words)
{
    (void)words;
    if (count != 0)
        return cli_usage("inbox takes no arguments; for one event: triggers get ID");
    if (check_options() != EXIT_DONE)
        return EXIT_USAGE;
    if (follow)
        interrupt_catch();
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    if (!cli_output_is_json())
        print_event_header(status == ASKED_ACKNOWLEDGED);
    int code = follow ? follow_inbox(client)
                      : print_pages(client, limit == NO_LIMIT ? DEFAULT_LIMIT : limit);
    triggers_client_close(client);
    return code;
}

const struct command command_inbox = {
    .name = "inbox",
    .arguments = "",
    .summary = "List events, or follow them as they come",
    .details = "--follow waits while triggersd is unavailable, misses no event and prints none\n"
               "twice. When it is interrupted it says from where to continue with --after;\n"
               "otherwise that is the sequence of the last event printed. With --limit it ends\n"
               "after that many events. For acknowledged ones too: triggers tail.\n\n"
               "Examples:\n"
               "  triggers inbox\n"
               "  triggers inbox --status acknowledged --limit 5 --output table\n"
               "  triggers inbox --all --order oldest --output json > inbox.ndjson\n"
               "  triggers inbox --source crm --event-type 'lead.*' --since 2h\n"
               "  triggers inbox --follow --output json | while read -r event; do ...; done\n",
    .options = options,
    .run = run,
};
