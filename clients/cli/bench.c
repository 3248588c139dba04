/* triggers bench: a load and its measurements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "load.h"
#include "print.h"

#define PREPARE_GET 1000
#define PREPARE_ACK 20000
#define PREPARE_BATCH 500
#define EMPTY_PAYLOAD "{\"data\":\"\"}"

static const char *const ops[] = {"create", "get", "inbox", "ack", "health", NULL};

static int op = LOAD_CREATE;
static long concurrency = 64;
static long duration_ms = 5000;
static long payload_bytes = 100;
static long batch = 1;
static long prepare;

static const struct option_spec options[] = {
    {"op", OPTION_CHOICE, &op, "OP", "create (default), get, inbox, ack or health", .choices = ops},
    {"concurrency", OPTION_NUMBER, &concurrency, "N", "Calls in flight; default 64", .min = 1,
     .max = 65536},
    {"duration", OPTION_SECONDS, &duration_ms, "SECONDS", "How long to run; default 5", .min = 0,
     .max = 86400},
    {"payload-bytes", OPTION_NUMBER, &payload_bytes, "N", "Size of each payload; default 100",
     .min = sizeof(EMPTY_PAYLOAD) - 1, .max = 1048576},
    {"batch", OPTION_NUMBER, &batch, "N", "Events in each call of create and ack; default 1",
     .min = 1, .max = TRIGGERS_MAX_BATCH},
    {"prepare", OPTION_NUMBER, &prepare, "N",
     "Events to create first; default 1000 for get, 20000 for ack", .min = 1, .max = 10000000},
    {0},
};

/* {"data":"xx…"} of the requested size; NULL without memory. */
static char *make_payload(void)
{
    size_t size = (size_t)payload_bytes;
    char *payload = malloc(size + 1);
    if (!payload)
        return NULL;
    memset(payload, 'x', size);
    memcpy(payload, EMPTY_PAYLOAD, 9);
    memcpy(payload + size - 2, "\"}", 3);
    return payload;
}

/* ---- preparing ---- */

static triggers_new_event make_event(const char *payload)
{
    return (triggers_new_event){.source = "bench",
                                .event_type = "bench.event",
                                .payload = payload,
                                .payload_size = (size_t)payload_bytes};
}

/* Creates `count` events; returns an exit code, after saying why when it is not 0. */
static int prepare_batch(const struct load *load, char (*ids)[TRIGGERS_ID_SIZE], size_t count)
{
    triggers_new_event events[PREPARE_BATCH];
    for (size_t i = 0; i < count; i++) {
        triggers_make_event_id(ids[i]);
        events[i] = load->new_events[0];
        events[i].event_id = ids[i];
    }
    triggers_reply *reply = triggers_create_batch(load->client, events, count, NULL);
    const triggers_error *error = &reply->error;
    for (size_t i = 0; error->code == TRIGGERS_OK && i < reply->item_count; i++)
        error = &reply->items[i].error;
    int code = error->code == TRIGGERS_OK ? EXIT_DONE : cli_fail(error, "cannot prepare events");
    triggers_reply_free(reply);
    return code;
}

/* Creates the events for get and ack loads. Returns an exit code. */
static int prepare_events(const struct load *load, char (*ids)[TRIGGERS_ID_SIZE])
{
    size_t step = 4000000 / ((size_t)payload_bytes + 100); /* a request has at most 8 MiB */
    step = step > PREPARE_BATCH ? PREPARE_BATCH : step;
    int code = EXIT_DONE;
    for (size_t i = 0; code == EXIT_DONE && i < load->id_count; i += step) {
        size_t left = load->id_count - i;
        code = prepare_batch(load, ids + i, left < step ? left : step);
    }
    return code;
}

static size_t count_to_prepare(void)
{
    if (op != LOAD_GET && op != LOAD_ACK)
        return 0;
    return prepare ? (size_t)prepare : op == LOAD_GET ? PREPARE_GET : PREPARE_ACK;
}

/* ---- reporting ---- */

struct percentile {
    const char *name;
    double share;
};

static const struct percentile percentiles[] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static double per_second(uint64_t count, const struct load *load)
{
    return load->elapsed_us > 0 ? (double)count * 1e6 / (double)load->elapsed_us : 0;
}

static void print_json(const struct load *load)
{
    printf("{\"op\":\"%s\",\"concurrency\":%ld,\"batch\":%ld,\"payload_bytes\":%ld,"
           "\"seconds\":%.3f,\"calls\":%llu,\"events\":%llu,\"calls_per_second\":%.1f,"
           "\"events_per_second\":%.1f,\"latency_us\":{",
           ops[load->op], load->concurrency, load->batch, payload_bytes,
           (double)load->elapsed_us / 1e6, (unsigned long long)load->calls,
           (unsigned long long)load->events, per_second(load->calls, load),
           per_second(load->events, load));
    for (size_t i = 0; i < PERCENTILES; i++)
        printf("%s\"%s\":%llu", i ? "," : "", percentiles[i].name,
               (unsigned long long)histogram_percentile(&load->latency, percentiles[i].share));
    printf("},\"errors\":{");
    for (size_t i = 0; i < load->failure_count; i++) {
        fputs(i ? "," : "", stdout);
        print_json_string(load->failures[i].reason);
        printf(":%llu", (unsigned long long)load->failures[i].count);
    }
    printf("}}\n");
}

static void print_table(const struct load *load)
{
    printf("%-14s %s, %ld in flight, %ld a call, %.2f s\n", "load", ops[load->op],
           load->concurrency, load->batch, (double)load->elapsed_us / 1e6);
    printf("%-14s %llu (%.0f/s)\n", "calls", (unsigned long long)load->calls,
           per_second(load->calls, load));
    printf("%-14s %llu (%.0f/s)\n", "events", (unsigned long long)load->events,
           per_second(load->events, load));
    for (size_t i = 0; i < PERCENTILES; i++)
        printf("latency %-6s %.3f ms\n", percentiles[i].name,
               (double)histogram_percentile(&load->latency, percentiles[i].share) / 1000);
    for (size_t i = 0; i < load->failure_count; i++) {
        printf("failed         %llu ", (unsigned long long)load->failures[i].count);
        print_clean(stdout, load->failures[i].reason, strlen(load->failures[i].reason));
        putchar('\n');
    }
}

/* ---- */

static int measure(struct load *load)
{
    load->id_count = count_to_prepare();
    char(*ids)[TRIGGERS_ID_SIZE] = calloc(load->id_count + 1, sizeof(*ids));
    load->ids = (const char(*)[TRIGGERS_ID_SIZE])ids;
    int code = ids ? prepare_events(load, ids) : EXIT_CALL_FAILED;
    if (!ids || (code == EXIT_DONE && !load_run(load))) {
        cli_complain("out of memory");
        code = EXIT_CALL_FAILED;
    } else if (code == EXIT_DONE) {
        if (cli_output_is_json())
            print_json(load);
        else
            print_table(load);
        if (load->failure_count > 0)
            code = (int)cli_exit_code(load->failures[0].code);
    }
    free(ids);
    return code;
}

static int bench(struct load *load, const char *payload)
{
    triggers_new_event events[TRIGGERS_MAX_BATCH];
    for (long i = 0; i < batch; i++)
        events[i] = make_event(payload);
    load->op = (enum load_op)op;
    load->concurrency = concurrency;
    load->batch = op == LOAD_CREATE || op == LOAD_ACK ? batch : 1;
    load->duration_us = duration_ms * 1000;
    load->new_events = events;
    load->client = cli_open(concurrency);
    if (!load->client)
        return EXIT_USAGE;
    int code = measure(load);
    triggers_client_close(load->client);
    return code;
}

static int run(int count, char **words)
{
    (void)words;
    if (count != 0)
        return cli_usage("bench takes no arguments; the kind of call is --op");
    struct load *load = calloc(1, sizeof(*load));
    char *payload = make_payload();
    int code = EXIT_CALL_FAILED;
    if (load && payload)
        code = bench(load, payload);
    else
        cli_complain("out of memory");
    free(payload);
    free(load);
    return code;
}

const struct command command_bench = {
    .name = "bench",
    .arguments = "",
    .summary = "Put load on triggersd and measure throughput and latency",
    .details =
        "Keeps --concurrency calls in flight on one connection. It stores real events (source\n"
        "\"bench\"): give it a store of its own. A get load reads the prepared events in turn; an\n"
        "ack load acknowledges each prepared event once and ends early when none is left. The "
        "exit\n"
        "status is 0 only when no call failed.\n\n"
        "Examples:\n"
        "  triggers bench\n"
        "  triggers bench --op create --concurrency 256 --duration 30 --batch 100\n"
        "  triggers bench --op get --output json\n",
    .options = options,
    .run = run,
};
