/* triggers tail: the log, from a position on. */
#include <limits.h>

#include "cli.h"
#include "filter_options.h"
#include "follow.h"
#include "interrupt.h"
#include "print.h"

#define DEFAULT_LAST 10
#define NOT_GIVEN (-1)

static long after = NOT_GIVEN;
static long last = NOT_GIVEN;
static long limit;
static bool no_follow;

static const struct option_spec options[] = {
    {"after", OPTION_NUMBER, &after, "N", "Start after sequence N; 0: at the beginning of the log",
     .min = 0, .max = LONG_MAX},
    {"last", OPTION_NUMBER, &last, "N",
     "Start with the last N events; default 10, unless --after or --since is given", .min = 0,
     .max = 10000},
    {"limit", OPTION_NUMBER, &limit, "N", "End after N events", .min = 1, .max = 1000000000},
    {"no-follow", OPTION_FLAG, &no_follow, NULL, "End at the end of the log"},
    FILTER_OPTIONS{0},
};

static void print_event(const triggers_event *event)
{
    if (cli_output_is_json())
        print_event_json(event);
    else
        print_event_row(event, false);
}

/* Where it starts, as the options say. Returns an exit code, or -1. */
static int find_start(struct follower *follower)
{
    if (last == NOT_GIVEN && after == NOT_GIVEN && filter_since_us == 0)
        last = DEFAULT_LAST;
    if (last != NOT_GIVEN)
        return follow_find_newest(follower, last);
    follower->after = after == NOT_GIVEN ? 0 : after;
    follower->has_position = true;
    return -1;
}

static int run(int count, char **words)
{
    (void)words;
    if (count != 0)
        return cli_usage("tail takes no arguments; for one event: triggers get ID");
    if (after != NOT_GIVEN && last != NOT_GIVEN)
        return cli_usage("--after and --last exclude each other");
    interrupt_catch();
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    struct follower follower = {.client = client,
                                .filter = filter_asked(),
                                .print = print_event,
                                .limit = limit,
                                .stops = no_follow || filter_until_us != 0};
    if (!cli_output_is_json())
        print_event_header(false);
    int code = find_start(&follower);
    if (code < 0)
        code = follow_log(&follower);
    triggers_client_close(client);
    return code;
}

const struct command command_tail = {
    .name = "tail",
    .arguments = "",
    .summary = "Print the log: every event, in the order in which they were stored",
    .details =
        "Prints the last events, then each new one as it comes, pending or acknowledged, until\n"
        "interrupted. With --no-follow or --until it ends at the end of the log. It waits while\n"
        "triggersd is unavailable, and misses no event and prints none twice. When it is\n"
        "interrupted it says from where to continue; otherwise continue after the sequence of\n"
        "the last event printed. When events after that position were removed meanwhile it\n"
        "says which is the first that is there, with exit status 1.\n\n"
        "Examples:\n"
        "  triggers tail\n"
        "  triggers tail --after 0 --no-follow --output json > log.ndjson\n"
        "  triggers tail --since 2h --source crm --event-type 'lead.*'\n"
        "  triggers tail --after 1234 --output json | while read -r event; do ...; done\n",
    .options = options,
    .run = run,
};
