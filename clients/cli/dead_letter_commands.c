/* triggers dead-letters: lists those of a subscription, gives them out again or removes them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_options.h"
#include "ids.h"
#include "print.h"
#include "subscription_calls.h"

#define DEFAULT_LIMIT 50

static long limit;
static bool redrives;
static bool deletes;
static bool all;
static long rate;
static bool dry_run;

static const struct option_spec options[] = {
    {"limit", OPTION_NUMBER, &limit, "N", "List at most N; default 50", .min = 1,
     .max = 1000000000},
    FILTER_OPTIONS{"redrive", OPTION_FLAG, &redrives, NULL,
                   "Give these out again, as if for the first time"},
    {"delete", OPTION_FLAG, &deletes, NULL, "Remove these; their events stay in the log"},
    {"all", OPTION_FLAG, &all, NULL, "Redrive or delete all, in place of ids"},
    {"rate", OPTION_NUMBER, &rate, "N", "Redrive so many a second; default at once", .min = 1,
     .max = 1000000},
    {"dry-run", OPTION_FLAG, &dry_run, NULL, "Only print how many"},
    {0},
};

/* ---- list ---- */

static Google__Protobuf__Timestamp *time_of(int64_t time_us, Google__Protobuf__Timestamp *storage)
{
    storage->seconds = time_us / 1000000;
    storage->nanos = (int32_t)(time_us % 1000000) * 1000;
    return time_us ? storage : NULL;
}

static void print_letter(const Triggers__V1__DeadLetter *from)
{
    static const Triggers__V1__Event removed = TRIGGERS__V1__EVENT__INIT; /* by retention */
    struct dead_letter_print letter = {
        .attempts = from->delivery_attempts,
        .first_us = subscription_time_us(from->first_delivered_at),
        .dead_us = subscription_time_us(from->dead_at),
        .reason = from->reason,
    };
    triggers_event_read(from->event ? &from->event->base : &removed.base, &letter.event);
    if (cli_output_is_json())
        print_dead_letter_json(&letter);
    else
        print_dead_letter_row(&letter);
}

static int print_list(triggers_client *client, char *name)
{
    Google__Protobuf__Timestamp from_time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Timestamp until_time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Triggers__V1__EventFilter filter = TRIGGERS__V1__EVENT_FILTER__INIT;
    Triggers__V1__ListDeadLettersRequest request = TRIGGERS__V1__LIST_DEAD_LETTERS_REQUEST__INIT;
    const Triggers__V1__ListDeadLettersResponse *list;
    long left = limit > 0 ? limit : DEFAULT_LIMIT;
    triggers_reply *page = NULL;
    int code;
    filter.sources = (char **)filter_sources.words;
    filter.n_sources = filter_sources.count;
    filter.event_types = (char **)filter_event_types.words;
    filter.n_event_types = filter_event_types.count;
    filter.from_time = time_of(filter_since_us, &from_time);
    filter.until_time = time_of(filter_until_us, &until_time);
    request.name = name;
    request.filter = &filter;
    if (!cli_output_is_json())
        print_dead_letter_header();
    do {
        request.page_size = left < TRIGGERS_MAX_PAGE ? (int32_t)left : TRIGGERS_MAX_PAGE;
        triggers_reply *next = subscription_call(client, "ListDeadLetters", &request.base, &code);
        triggers_reply_free(page);
        page = next;
        if (!page)
            return code;
        list = (const Triggers__V1__ListDeadLettersResponse *)page->message;
        for (size_t i = 0; i < list->n_dead_letters && left > 0; i++, left--)
            print_letter(list->dead_letters[i]);
        request.page_token = list->next_page_token;
    } while (left > 0 && *request.page_token && !ferror(stdout));
    triggers_reply_free(page);
    return code;
}

/* ---- redrive and delete ---- */

struct letters {
    triggers_client *client;
    char *name;
    char ids[TRIGGERS_MAX_BATCH][ID_MAX_SIZE];
    size_t count;
    int64_t done;
    int64_t left; /* of the last call */
    int code;
};

/* Makes one call for the ids, or all. False when it failed. */
static bool call_once(struct letters *letters, int64_t *done)
{
    char *ids[TRIGGERS_MAX_BATCH];
    for (size_t i = 0; i < letters->count; i++)
        ids[i] = letters->ids[i];
    Triggers__V1__RedriveDeadLettersRequest redrive =
        TRIGGERS__V1__REDRIVE_DEAD_LETTERS_REQUEST__INIT;
    Triggers__V1__DeleteDeadLettersRequest deletion =
        TRIGGERS__V1__DELETE_DEAD_LETTERS_REQUEST__INIT;
    redrive.name = deletion.name = letters->name;
    redrive.event_ids = deletion.event_ids = ids;
    redrive.n_event_ids = deletion.n_event_ids = letters->count;
    redrive.all = deletion.all = all;
    redrive.dry_run = deletion.dry_run = dry_run;
    redrive.events_per_second = (uint32_t)rate;
    triggers_reply *reply = redrives ? subscription_call(letters->client, "RedriveDeadLetters",
                                                         &redrive.base, &letters->code)
                                     : subscription_call(letters->client, "DeleteDeadLetters",
                                                         &deletion.base, &letters->code);
    if (reply && redrives) {
        const Triggers__V1__RedriveDeadLettersResponse *response =
            (const Triggers__V1__RedriveDeadLettersResponse *)reply->message;
        *done = response->redriven;
        letters->left = response->left;
    } else if (reply) {
        const Triggers__V1__DeleteDeadLettersResponse *response =
            (const Triggers__V1__DeleteDeadLettersResponse *)reply->message;
        *done = response->deleted;
        letters->left = response->left;
    }
    triggers_reply_free(reply);
    return reply != NULL;
}

/* Goes on as long as some are left, and fewer with each call. */
static void send_letters(struct letters *letters)
{
    int64_t done = 0;
    do {
        if (!call_once(letters, &done))
            return;
        letters->done += done;
    } while (letters->left > 0 && done > 0 && !dry_run);
    if (letters->left > 0 && !dry_run) {
        cli_complain("%" PRId64 " are left, as no more may be outstanding; try again later",
                     letters->left);
        letters->code = EXIT_TRY_LATER;
    }
}

static bool add_letter(void *data, const char *id)
{
    struct letters *letters = data;
    memcpy(letters->ids[letters->count], id, strlen(id) + 1);
    if (++letters->count < TRIGGERS_MAX_BATCH)
        return true;
    send_letters(letters);
    letters->count = 0;
    return letters->code == EXIT_DONE;
}

static void print_done(const struct letters *letters)
{
    const char *what = redrives ? "redriven" : "deleted";
    if (cli_output_is_json())
        printf("{\"%s\":%" PRId64 ",\"left\":%" PRId64 "}\n", what, letters->done, letters->left);
    else
        printf("%" PRId64 " %s%s\n", letters->done, what, dry_run ? " (not yet: --dry-run)" : "");
}

static int deal_with_letters(triggers_client *client, int count, char **words)
{
    struct letters *letters = calloc(1, sizeof(*letters));
    int read_code = EXIT_DONE;
    if (!letters) {
        cli_complain("out of memory");
        return EXIT_CALL_FAILED;
    }
    letters->client = client;
    letters->name = words[0];
    if (!all)
        read_code = ids_read(count - 1, words + 1, add_letter, letters);
    if (all || (letters->count > 0 && letters->code == EXIT_DONE))
        send_letters(letters);
    int code = cli_worse(letters->code, read_code);
    if (letters->done > 0 || code == EXIT_DONE)
        print_done(letters);
    free(letters);
    return code;
}

static int check_words(int count)
{
    bool deals = redrives || deletes;
    if (count < 1)
        return cli_usage("dead-letters takes the name of a subscription");
    if (redrives && deletes)
        return cli_usage("--redrive and --delete exclude each other");
    if (!deals && (count > 1 || all || rate || dry_run))
        return cli_usage("ids, --all, --rate and --dry-run go with --redrive or --delete");
    if (deals && (limit || filter_sources.count || filter_event_types.count || filter_since_us ||
                  filter_until_us))
        return cli_usage("--redrive and --delete take ids or --all, not a filter or --limit");
    if (deals && all == (count > 1))
        return cli_usage("--redrive and --delete take either ids, - for those on stdin, or --all");
    return deletes && rate ? cli_usage("--rate goes with --redrive") : EXIT_DONE;
}

static int run(int count, char **words)
{
    if (check_words(count) != EXIT_DONE)
        return EXIT_USAGE;
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = redrives || deletes ? deal_with_letters(client, count, words)
                                   : print_list(client, words[0]);
    triggers_client_close(client);
    return code;
}

const struct command command_dead_letters = {
    .name = "dead-letters",
    .arguments = "SUBSCRIPTION [ID... | -]",
    .summary = "List the events that a subscription gave up; give them out again or remove them",
    .details =
        "The last to come first, with the attempts that were made and why the last one failed.\n"
        "With --redrive or --delete, those with the ids, or all; what is no dead letter is passed\n"
        "over.\n\n"
        "Examples:\n"
        "  triggers dead-letters mail --since 1d\n"
        "  triggers dead-letters mail --redrive --all --rate 10\n"
        "  triggers dead-letters mail --source crm --output json --limit 1000 |\n"
        "    jq -r .event_id | triggers dead-letters mail --delete -\n",
    .options = options,
    .run = run,
};
