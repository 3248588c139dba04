/* triggers audit: what changed access or deleted something, and who did it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "access_calls.h"
#include "print.h"

typedef Triggers__V1__AuditRecord Record;

#define DEFAULT_LIMIT 50
#define KEY_WIDTH 12
#define ACTION_WIDTH 20
#define TARGET_WIDTH 24
#define RESULT_WIDTH 18
#define ADDRESS_WIDTH 15
#define TELL_EVERY 100000 /* records, while they are exported */

static const char *tenant = TENANT_DEFAULT;
static long limit;
static int64_t since_us;
static int64_t until_us;

enum { WITH_LIMIT = 1 };

static const struct option_spec options[] = {
    {"tenant", OPTION_TEXT, &tenant, "NAME", "Whose records; default default"},
    {"limit", OPTION_NUMBER, &limit, "N", "With list: at most N; default 50", .min = 1,
     .max = 1000000000},
    {"since", OPTION_TIME, &since_us, "TIME",
     "Only those recorded at or after a time, such as 2h (ago) or 2026-01-31T12:00:00Z"},
    {"until", OPTION_TIME, &until_us, "TIME", "Only those recorded before a time"},
    {0},
};

static int64_t time_of_record(const Record *record)
{
    const Google__Protobuf__Timestamp *time = record->recorded_at;
    return time ? time->seconds * 1000000 + time->nanos / 1000 : 0;
}

static void print_record_header(void)
{
    print_cell("RECORDED", ACCESS_TIME_WIDTH);
    print_cell("KEY", KEY_WIDTH);
    print_cell("ACTION", ACTION_WIDTH);
    print_cell("TARGET", TARGET_WIDTH);
    print_cell("RESULT", RESULT_WIDTH);
    print_cell("ADDRESS", ADDRESS_WIDTH);
    puts("REQUEST");
}

static void print_record_row(const Record *record)
{
    access_print_time_cell(record->recorded_at);
    print_cell(*record->key_id ? record->key_id : "-", KEY_WIDTH);
    print_cell(record->action, ACTION_WIDTH);
    print_cell(record->target, TARGET_WIDTH);
    print_cell(record->result, RESULT_WIDTH);
    print_cell(*record->address ? record->address : "-", ADDRESS_WIDTH);
    print_clean(stdout, record->request_id, strlen(record->request_id));
    putchar('\n');
}

/* How far a walk from the latest record back has come. */
struct audit_walk {
    int64_t left;
    int64_t printed;
    bool as_json;
    bool over; /* the rest is older than what is asked for, or more */
};

static void print_record_page(const Triggers__V1__ListAuditRecordsResponse *page,
                              struct audit_walk *walk)
{
    for (size_t i = 0; i < page->n_records && !walk->over; i++) {
        int64_t time_us = time_of_record(page->records[i]);
        if (until_us > 0 && time_us >= until_us)
            continue;
        walk->over = time_us < since_us || walk->left-- <= 0;
        if (walk->over)
            return;
        if (walk->as_json)
            access_print_json(&page->records[i]->base);
        else
            print_record_row(page->records[i]);
        walk->printed++;
    }
}

static int print_records(triggers_client *client, struct audit_walk *walk, int64_t tell_every)
{
    Triggers__V1__ListAuditRecordsRequest request = TRIGGERS__V1__LIST_AUDIT_RECORDS_REQUEST__INIT;
    const Triggers__V1__ListAuditRecordsResponse *list;
    triggers_reply *page = NULL;
    int64_t told = 0;
    int code;
    request.tenant = (char *)tenant;
    do {
        request.page_size = walk->left < TRIGGERS_MAX_PAGE && until_us == 0 ? (uint32_t)walk->left
                                                                            : TRIGGERS_MAX_PAGE;
        triggers_reply *next = access_call(client, "ListAuditRecords", &request.base, &code);
        triggers_reply_free(page);
        page = next;
        if (!page)
            return code;
        list = (const Triggers__V1__ListAuditRecordsResponse *)page->message;
        print_record_page(list, walk);
        request.page_token = list->next_page_token;
        if (walk->printed - told >= tell_every) {
            told = walk->printed;
            cli_complain("%" PRId64 " records so far", told);
        }
    } while (*request.page_token && !walk->over && walk->left > 0 && !ferror(stdout));
    triggers_reply_free(page);
    return code;
}

static int list_records(triggers_client *client, char **words)
{
    struct audit_walk walk = {.left = limit > 0 ? limit : DEFAULT_LIMIT,
                              .as_json = cli_output_is_json()};
    (void)words;
    if (!walk.as_json)
        print_record_header();
    return print_records(client, &walk, INT64_MAX);
}

/* Of an export that fails people know how far it came, as its beginning is of use. */
static int export_records(triggers_client *client, char **words)
{
    struct audit_walk walk = {.left = INT64_MAX, .as_json = true};
    (void)words;
    int code = print_records(client, &walk, TELL_EVERY);
    cli_complain("%" PRId64 " records%s", walk.printed,
                 code == EXIT_DONE ? "" : ", then it failed");
    return code;
}

static const struct access_action actions[] = {
    {"list", list_records, 0, WITH_LIMIT},
    {"export", export_records, 0, 0},
    {0},
};

static int run(int count, char **words)
{
    const struct access_action *action = access_find_action("audit", actions, count, words);
    if (!action)
        return EXIT_USAGE;
    if (limit && !(action->with & WITH_LIMIT))
        return cli_usage("--limit goes with list");
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = action->run(client, words + 1);
    triggers_client_close(client);
    return code;
}

const struct command command_audit = {
    .name = "audit",
    .arguments = "[list | export]",
    .summary = "List what changed access or deleted something, and who did it; export all of it",
    .details =
        "The latest first; records are kept for a year. list has the last 50. export prints all\n"
        "as JSON, one object per line, and says on stderr how many there were. Both need a key\n"
        "with the scope audit:read.\n\n"
        "Examples:\n"
        "  triggers audit --since 1d\n"
        "  triggers audit export --tenant acme > acme-audit.ndjson\n",
    .options = options,
    .words = "list export",
    .run = run,
};
