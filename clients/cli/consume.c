/* triggers consume: works on a subscription's events, by printing them or with a command. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cli.h"
#include "event_command.h"
#include "interrupt.h"
#include "print.h"
#include "subscription_calls.h"

#define PRINT_PREFETCH 100
#define KEPT_MAX 1000
#define CALLS_MAX 8

static bool acks;
static const char *exec_command;
static long concurrency;
static long lease_s;
static long max_events;
static bool no_wait;

static const struct option_spec options[] = {
    {"ack", OPTION_FLAG, &acks, NULL, "Acknowledge each event when it is printed"},
    {"exec", OPTION_TEXT, &exec_command, "COMMAND",
     "Run it by /bin/sh for each event, and acknowledge the event when its exit status is 0"},
    {"concurrency", OPTION_NUMBER, &concurrency, "N", "Commands to run at once; default 1",
     .min = 1, .max = TRIGGERS_MAX_CONCURRENCY},
    {"lease", OPTION_NUMBER, &lease_s, "SECONDS",
     "Lease of each event, extended meanwhile; default as the subscription says", .min = 1,
     .max = 43200},
    {"max", OPTION_NUMBER, &max_events, "N", "End after N events", .min = 1, .max = 1000000000},
    {"no-wait", OPTION_FLAG, &no_wait, NULL, "End when there is nothing to give out"},
    {0},
};

/* Since a consumer's callbacks may run before it is known to us. */
struct consumption {
    const char *subscription;
    atomic_bool output_failed;
    atomic_bool finished; /* it has ended, or is to: the output failed */
};

static void print_delivery(struct consumption *consumption, const triggers_delivery *delivery,
                           triggers_outcome *outcome)
{
    outcome->kind = TRIGGERS_OUTCOME_RELEASE;
    if (consumption->output_failed)
        return;
    if (cli_output_is_json())
        print_delivery_json(delivery);
    else
        print_event_row(&delivery->event, false);
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        outcome->kind = acks ? TRIGGERS_OUTCOME_ACK : TRIGGERS_OUTCOME_KEEP;
        return;
    }
    consumption->output_failed = true;
    consumption->finished = true;
    interrupt_wake();
}

static void handle(const triggers_delivery *delivery, triggers_outcome *outcome, void *user_data)
{
    struct consumption *consumption = user_data;
    if (exec_command)
        event_command_run(exec_command, consumption->subscription, delivery, outcome);
    else
        print_delivery(consumption, delivery, outcome);
}

static void on_lost(const triggers_delivery *delivery, void *user_data)
{
    (void)user_data;
    event_command_end(delivery);
    cli_complain("%s: the lease was lost, and the event may be given out again (LEASE_LOST)",
                 delivery->event.event_id);
}

static void on_failed(const triggers_error *error, const triggers_delivery *delivery,
                      void *user_data)
{
    (void)user_data;
    cli_fail(error, delivery ? delivery->event.event_id : NULL);
}

static void on_ended(void *user_data)
{
    struct consumption *consumption = user_data;
    consumption->finished = true;
    interrupt_wake();
}

/* Reports how it ended; returns the exit code. */
static int tell_end(const triggers_error *error, const triggers_consumer_counts *counts)
{
    cli_complain("%" PRIu64 " acknowledged, %" PRIu64 " failed, %" PRIu64 " given back, %" PRIu64
                 " lost",
                 counts->acked, counts->nacked, counts->released, counts->lost);
    if (error->code != TRIGGERS_OK)
        return cli_fail(error, NULL);
    bool failed = counts->nacked + counts->lost > 0;
    return failed && !interrupt_came() ? EXIT_CALL_FAILED : EXIT_DONE;
}

static int consume(triggers_client *client, triggers_client *puller,
                   struct consumption *consumption)
{
    triggers_consumer_options how = {
        .subscription = consumption->subscription,
        .concurrency = (uint32_t)concurrency,
        .prefetch = exec_command ? 0
                    : acks       ? PRINT_PREFETCH
                                 : KEPT_MAX,
        .lease_seconds = (uint32_t)lease_s,
        .max_events = (uint64_t)max_events,
        .no_wait = no_wait,
        .handle = handle,
        .lost = on_lost,
        .failed = on_failed,
        .ended = on_ended,
        .user_data = consumption,
    };
    triggers_consumer *consumer;
    triggers_consumer_counts counts;
    char error[STATUS_MESSAGE_SIZE];
    if (!exec_command && !cli_output_is_json())
        print_event_header(false);
    if (triggers_consumer_open(&consumer, client, puller, &how, error, sizeof(error)) !=
        TRIGGERS_OK) {
        cli_complain("%s", error);
        return EXIT_CALL_FAILED;
    }
    interrupt_wait(&consumption->finished);
    triggers_consumer_stop(consumer);
    const triggers_error *failure = triggers_consumer_wait(consumer, &counts);
    int code = tell_end(failure, &counts);
    triggers_consumer_close(consumer);
    return code;
}

/* Whether there is such a subscription, and a core at all: who begins is told at once. */
static int look_for(triggers_client *client, char *name)
{
    Triggers__V1__GetSubscriptionRequest request = TRIGGERS__V1__GET_SUBSCRIPTION_REQUEST__INIT;
    int code;
    request.name = name;
    triggers_reply_free(subscription_call(client, "GetSubscription", &request.base, &code));
    return code;
}

static int run(int count, char **words)
{
    if (count != 1)
        return cli_usage("consume takes the name of a subscription");
    if (acks && exec_command)
        return cli_usage("--ack and --exec exclude each other");
    if (concurrency > 0 && !exec_command)
        return cli_usage("--concurrency goes with --exec");
    interrupt_catch();
    triggers_client *client = cli_open(CALLS_MAX);
    if (!client)
        return EXIT_USAGE;
    struct consumption consumption = {.subscription = words[0]};
    int code = look_for(client, words[0]);
    triggers_client *puller = code == EXIT_DONE ? cli_open(1) : NULL;
    if (puller)
        code = consume(client, puller, &consumption);
    triggers_client_close(client);
    return code;
}

const struct command command_consume = {
    .name = "consume",
    .arguments = "SUBSCRIPTION",
    .summary = "Work on a subscription's events: print each, or run a command for each",
    .details =
        "Takes events, nobody else gets them meanwhile, and goes on with what comes, until\n"
        "interrupted. Any number of consumers may share a subscription.\n\n"
        "With --exec, a command is run for each event. Its standard input is the payload, and its\n"
        "environment has TRIGGERS_EVENT_ID, TRIGGERS_EVENT_SEQUENCE, TRIGGERS_EVENT_SOURCE,\n"
        "TRIGGERS_EVENT_TYPE, TRIGGERS_EVENT_CREATED_AT, TRIGGERS_SUBSCRIPTION, TRIGGERS_ACK_ID,\n"
        "TRIGGERS_DELIVERY_ATTEMPT and TRIGGERS_LEASE_EXPIRES_AT. Exit status 0 acknowledges the\n"
        "event; with any other, or a signal, it comes again after a pause, or becomes a dead\n"
        "letter after its last attempt. A command whose event was lost to somebody else gets\n"
        "SIGTERM.\n\n"
        "With --ack, events are printed and acknowledged. Without --ack or --exec they are only\n"
        "printed: they are kept until the end, at most 1000, and then given back as if nothing\n"
        "had been; whoever acknowledges or extends one in between uses its ack_id.\n\n"
        "An interrupt lets the commands that run finish, gives back the rest, and prints how many\n"
        "had which end; a second one ends at once. It waits while triggersd or its store is\n"
        "unavailable. An event may be handled twice, when its consumer could not say in time\n"
        "what became of it. Exit status 1: some failed or were lost, and no interrupt ended it.\n\n"
        "Examples:\n"
        "  triggers consume mail --exec './send-mail \"$TRIGGERS_EVENT_ID\"' --concurrency 8\n"
        "  triggers consume mail --ack --max 100 --no-wait > mail.ndjson\n"
        "  triggers consume mail --max 1\n",
    .options = options,
    .run = run,
};
