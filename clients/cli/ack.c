/* triggers ack: acknowledges events by id, in batches. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "lines.h"
#include "print.h"

#define ID_MAX_SIZE 64 /* longer words are not ids; the core would say so too */

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

/* The graver of two exit codes: anything except "no such event" comes first. */
static int worse(int a, int b)
{
    if (a == EXIT_DONE || (a == EXIT_NOT_FOUND && b != EXIT_DONE))
        return b;
    return a;
}

static void print_results(struct acks *acks, const triggers_reply *reply)
{
    if (reply->code != TRIGGERS_OK) {
        acks->code = worse(acks->code, cli_fail(&reply->error, NULL));
        acks->unreachable = reply->code == TRIGGERS_UNAVAILABLE;
        return;
    }
    for (size_t i = 0; i < reply->item_count; i++) {
        const triggers_item *item = &reply->items[i];
        if (item->error.code == TRIGGERS_OK)
            print_acknowledged(acks, &item->event);
        else
            acks->code = worse(acks->code, cli_fail_item(&item->error, acks->ids[i]));
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

static void refuse_id(struct acks *acks, const char *text)
{
    cli_complain("'%.*s...' is not an event id (EVENT_ID_INVALID)", ID_MAX_SIZE, text);
    acks->code = worse(acks->code, EXIT_CALL_FAILED);
}

static void add_id(struct acks *acks, const char *text, size_t size)
{
    if (size >= ID_MAX_SIZE || memchr(text, 0, size)) {
        refuse_id(acks, text);
        return;
    }
    memcpy(acks->ids[acks->count], text, size);
    acks->ids[acks->count][size] = '\0';
    if (++acks->count == TRIGGERS_MAX_BATCH)
        send_batch(acks);
}

static void add_line(struct acks *acks, const char *line, size_t size)
{
    while (size > 0 && isspace((unsigned char)*line)) {
        line++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)line[size - 1]))
        size--;
    if (size > 0)
        add_id(acks, line, size);
}

static void read_ids(struct acks *acks)
{
    struct lines lines;
    const char *line;
    size_t size;
    if (!lines_open(&lines, "-")) {
        acks->code = EXIT_CALL_FAILED;
        return;
    }
    enum line_result result = LINE_READ;
    while (!acks->unreachable && (result = lines_next(&lines, &line, &size)) <= LINE_TOO_LONG) {
        if (result == LINE_READ)
            add_line(acks, line, size);
        else
            refuse_id(acks, "");
    }
    if (result == LINES_FAILED)
        acks->code = EXIT_CALL_FAILED;
    lines_close(&lines);
}

static int run(int count, char **words)
{
    bool from_stdin = count == 0 || (count == 1 && strcmp(words[0], "-") == 0);
    if (count == 0 && isatty(STDIN_FILENO))
        return cli_usage("ack takes event ids, as arguments or one per line on stdin");
    struct acks *acks = calloc(1, sizeof(*acks));
    if (!acks || !(acks->client = cli_open(1))) {
        free(acks);
        return EXIT_USAGE;
    }
    for (int i = 0; i < count && !from_stdin && !acks->unreachable; i++)
        add_id(acks, words[i], strlen(words[i]));
    if (from_stdin)
        read_ids(acks);
    if (!acks->unreachable)
        send_batch(acks);
    int code = acks->code;
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
