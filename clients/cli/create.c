/* triggers create: one event from arguments; ndjson.c sends many. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "cli.h"
#include "ndjson.h"
#include "print.h"

static bool ndjson;
static const char *event_id;
static const char *ordering_key;
static int64_t deliver_at_us;
static int64_t delay_s;

static const struct option_spec options[] = {
    {"ndjson", OPTION_FLAG, &ndjson, NULL,
     "Read events from a file or stdin, one JSON object per line"},
    {"id", OPTION_TEXT, &event_id, "ID",
     "Event id (evt_...); an event sent twice with the same id and content is stored once"},
    {"ordering-key", OPTION_TEXT, &ordering_key, "KEY",
     "Subscriptions by key give out one event of a key at a time"},
    {"deliver-at", OPTION_DATE, &deliver_at_us, "TIME",
     "When subscriptions give it out: a time or a day, at most 31 days ahead"},
    {"delay", OPTION_DELAY, &delay_s, "TIME", "The same, so long from now on: 90s, 30m, 2h, 7d",
     .max = 31 * 86400},
    {0},
};

/* Reads all of `file`, which is called `name`; false after saying why not. */
static bool read_stream(FILE *file, const char *name, struct buffer *out)
{
    char block[65536];
    size_t got;
    while (!out->failed && (got = fread(block, 1, sizeof(block), file)) > 0)
        buffer_append(out, block, got);
    if (ferror(file))
        cli_complain("cannot read %s: %s", name, strerror(errno));
    else if (out->failed)
        cli_complain("%s has more than %d bytes, too many for a payload", name,
                     TRIGGERS_MAX_MESSAGE);
    return !ferror(file) && !out->failed;
}

static bool read_file(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        cli_complain("cannot open %s: %s", path, strerror(errno));
        return false;
    }
    bool read = read_stream(file, path, out);
    fclose(file);
    return read;
}

static bool read_payload(const char *word, struct buffer *out)
{
    if (strcmp(word, "-") == 0)
        return read_stream(stdin, "stdin", out);
    if (word[0] == '@')
        return read_file(word + 1, out);
    buffer_append_text(out, word);
    return true;
}

/* Drops a byte order mark before a payload and white space around it, such as a file's last line
 * break. */
static void trim_payload(triggers_new_event *event)
{
    static const char space[] = " \t\r\n";
    const char *text = event->payload;
    size_t size = event->payload_size;
    json_skip_mark(&text, &size);
    while (size > 0 && memchr(space, *text, sizeof(space) - 1)) {
        text++;
        size--;
    }
    while (size > 0 && memchr(space, text[size - 1], sizeof(space) - 1))
        size--;
    event->payload = text;
    event->payload_size = size;
}

static void print_created(const triggers_event *event)
{
    if (cli_output_is_json()) {
        print_created_json(event);
        return;
    }
    print_time_header("CREATED");
    print_time_row(event->event_id, event->created_at_us);
}

static int create(const char *source, const char *event_type, const struct buffer *payload)
{
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    triggers_new_event event = {
        .event_id = event_id,
        .source = source,
        .event_type = event_type,
        .payload = payload->data ? payload->data : "",
        .payload_size = payload->size,
        .ordering_key = ordering_key,
        .deliver_at_us = deliver_at_us,
        .delay_seconds = (uint32_t)delay_s,
    };
    trim_payload(&event);
    int code = EXIT_DONE;
    triggers_reply *reply = triggers_create(client, &event, NULL);
    if (reply->code == TRIGGERS_OK)
        print_created(&reply->items[0].event);
    else
        code = cli_fail(&reply->error, NULL);
    triggers_reply_free(reply);
    triggers_client_close(client);
    return code;
}

static int run(int count, char **words)
{
    if (ndjson && event_id)
        return cli_usage("--id is for one event; in NDJSON each line may have an \"event_id\"");
    if (ndjson && (ordering_key || deliver_at_us || delay_s))
        return cli_usage("--ordering-key, --deliver-at and --delay are for one event; in NDJSON "
                         "each line may have its own");
    if (deliver_at_us && delay_s)
        return cli_usage("create takes --deliver-at or --delay, not both");
    if (ndjson && count > 1)
        return cli_usage("create --ndjson takes one file");
    if (ndjson)
        return ndjson_send(count == 1 ? words[0] : "-");
    if (count < 2 || count > 3)
        return cli_usage("create takes SOURCE TYPE [PAYLOAD]");
    struct buffer payload;
    buffer_init(&payload, TRIGGERS_MAX_MESSAGE);
    int code = EXIT_CALL_FAILED;
    if (read_payload(count == 3 ? words[2] : "{}", &payload))
        code = create(words[0], words[1], &payload);
    buffer_fini(&payload);
    return code;
}

const struct command command_create = {
    .name = "create",
    .arguments = "SOURCE TYPE [PAYLOAD]  |  --ndjson [FILE]",
    .summary = "Send one event, or many from NDJSON",
    .details =
        "PAYLOAD is a JSON object: the text itself, @FILE, or - for stdin; {} when left out.\n"
        "With --ndjson each line of FILE (- or nothing: stdin) is an object with \"source\",\n"
        "\"event_type\", \"payload\" and optionally \"event_id\", \"ordering_key\", "
        "\"deliver_at\"\n"
        "(a time) or \"delay_seconds\". Lines are sent in batches; a wrong line is reported on\n"
        "stderr with its number, and the others are stored all the same.\n\n"
        "Examples:\n"
        "  triggers create crm lead.created '{\"name\":\"Ada\"}'\n"
        "  triggers create crm lead.created @lead.json\n"
        "  triggers create shop order.paid '{\"order\":7}' --ordering-key order-7\n"
        "  triggers create shop cart.left '{\"cart\":3}' --delay 2h\n"
        "  zcat events.ndjson.gz | triggers create --ndjson\n",
    .options = options,
    .run = run,
};
