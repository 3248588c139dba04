/* triggers ack: acknowledges events by id, in batches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "ids.h"
#include "print.h"

struct acks {
    triggers_client *client;
    char ids[TRIGGERS_MAX_BATCH][ID_MAX_SIZE];
    size_t count;
    int code;
    bool header_printed;
    bool unreachable; /* the core is unreachable: do not send the rest */
};

static void print_acknowledged(struct acks *acks, const triggers_event *event)
{
    if (cli_output_is_json()) {
        print_acknowledged_json(event);
        return;
    }
    if (!acks->header_printed)
        print_time_header("ACKNOWLEDGED");
    acks->header_printed = true;
    print_time_row(event->event_id, event->acknowledged_at_us);
}

static void print_results(struct acks *acks, const triggers_reply *reply)
{
    if (reply->code != TRIGGERS_OK) {
        acks->code = cli_worse(acks->code, cli_fail(&reply->error, NULL));
        acks->unreachable = reply->code == TRIGGERS_UNAVAILABLE;
        return;
    }
    for (size_t i = 0; i < reply->item_count; i++) {
        const triggers_item *item = &reply->items[i];
        if (item->error.code == TRIGGERS_OK)
            print_acknowledged(acks, &item->event);
        else
            acks->code = cli_worse(acks->code, cli_fail_item(&item->error, acks->ids[i]));
    }
}

static void send_batch(struct acks *acks)
{
    if (acks->count == 0)
        return;
    const char *ids[TRIGGERS_MAX_BATCH];
    for (size_t i = 0; i < acks->count; i++)
        ids[i] = acks->ids[i];
    triggers_reply *reply = triggers_ack_batch(acks->client, ids, acks->count, NULL);
    print_results(acks, reply);
    triggers_reply_free(reply);
    acks->count = 0;
}

static bool add_id(void *data, const char *id)
{
    struct acks *acks = data;
    memcpy(acks->ids[acks->count], id, strlen(id) + 1);
    if (++acks->count == TRIGGERS_MAX_BATCH)
        send_batch(acks);
    return !acks->unreachable;
}

static int run(int count, char **words)
{
    if (count == 0 && isatty(STDIN_FILENO))
        return cli_usage("ack takes event ids, as arguments or one per line on stdin");
    struct acks *acks = calloc(1, sizeof(*acks));
    if (!acks || !(acks->client = cli_open(1))) {
        free(acks);
        return EXIT_USAGE;
    }
    int read_code = ids_read(count, words, add_id, acks);
    if (!acks->unreachable)
        send_batch(acks);
    int code = cli_worse(acks->code, read_code);
    triggers_client_close(acks->client);
    free(acks);
    return code;
}

const struct command command_ack = {
    .name = "ack",
    .arguments = "[ID... | -]",
    .summary = "Acknowledge events",
    .details =
        "Without ids, or with -, ids are read from stdin, one per line, and sent in batches of\n"
        "1000. Acknowledging again changes nothing and prints the first time. The exit status is\n"
        "3 when the only failures were events that do not exist.\n\n"
        "Examples:\n"
        "  triggers ack evt_01h455vb4pex5vsknk084sn02q\n"
        "  triggers inbox --all --output json | jq -r .event_id | triggers ack\n",
    .run = run,
};
