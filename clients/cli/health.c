/* triggers health: whether the core and its store work. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "print.h"

static bool alive_is_enough;

static const struct option_spec options[] = {
    {"alive", OPTION_FLAG, &alive_is_enough, NULL,
     "Exit status 0 whenever triggersd answers, even while its store is unavailable"},
    {0},
};

static const char *serving_name(triggers_serving serving)
{
    switch (serving) {
    case TRIGGERS_SERVING: return "SERVING";
    case TRIGGERS_NOT_SERVING: return "NOT_SERVING";
    case TRIGGERS_SERVING_UNKNOWN: break;
    }
    return "UNKNOWN";
}

static void print_health_json(const triggers_reply *reply)
{
    printf("{\"status\":\"%s\",\"version\":", serving_name(reply->serving));
    print_json_string(reply->server_version);
    printf(",\"store\":");
    print_json_string(reply->server_store);
    puts("}");
}

static void print_health(const triggers_reply *reply)
{
    printf("%s, triggersd ", serving_name(reply->serving));
    print_clean(stdout, reply->server_version, strlen(reply->server_version));
    printf(" on ");
    print_clean(stdout, reply->server_store, strlen(reply->server_store));
    printf("\n");
}

static int run(int count, char **words)
{
    (void)words;
    if (count != 0)
        return cli_usage("health takes no arguments");
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = EXIT_TRY_LATER;
    triggers_reply *reply = triggers_health(client, NULL);
    if (reply->code != TRIGGERS_OK) {
        code = cli_fail(&reply->error, NULL);
    } else {
        if (cli_output_is_json())
            print_health_json(reply);
        else
            print_health(reply);
        if (reply->serving == TRIGGERS_SERVING || alive_is_enough)
            code = EXIT_DONE;
    }
    triggers_reply_free(reply);
    triggers_client_close(client);
    return code;
}

const struct command command_health = {
    .name = "health",
    .arguments = "",
    .summary = "Ask triggersd whether events can be stored and read now",
    .details = "Exit status 0 only when it is SERVING; 4 when it is not or cannot be reached.\n"
               "To decide on a restart, use --alive: triggersd waits for its store by itself, and\n"
               "a restart would not help.\n\n"
               "Examples:\n"
               "  triggers health\n"
               "  until triggers health --timeout 1; do sleep 1; done\n",
    .options = options,
    .run = run,
};
