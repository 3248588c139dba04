/* triggers subscriptions: lists, creates, changes, reads and removes them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "print.h"
#include "subscription_calls.h"

typedef Triggers__V1__Subscription Subscription;
typedef Triggers__V1__GetSubscriptionResponse Figures;
typedef Triggers__V1__PutSubscriptionRequest PutRequest;

#define NAME_WIDTH 24
#define NUMBER_WIDTH 11
#define AGE_WIDTH 6
#define NOT_GIVEN (-1)
#define NUMBER_SIZE 24

static const char *description;
static struct word_list sources;
static struct word_list event_types;
static const char *start;
static long lease_s = NOT_GIVEN;
static long max_attempts = NOT_GIVEN;
static long backoff_min = NOT_GIVEN;
static long backoff_max = NOT_GIVEN;
static long max_outstanding = NOT_GIVEN;
static int in_inbox = NOT_GIVEN;
static bool pauses;
static bool resumes;
static const char *const yes_or_no[] = {"no", "yes", NULL};
static int ordering = NOT_GIVEN;
static const char *const orderings[] = {"none", "key", NULL};
static int after_dead_letter = NOT_GIVEN;
static const char *const policies[] = {"skip", "block", NULL};

static const struct option_spec options[] = {
    {"description", OPTION_TEXT, &description, "TEXT", "For people"},
    {"source", OPTION_LIST, &sources, "SOURCE",
     "Only events of this source, or with * at its end of those that begin so; may be repeated"},
    {"event-type", OPTION_LIST, &event_types, "TYPE", "Only events of this type, in the same way"},
    {"start", OPTION_TEXT, &start, "POSITION",
     "Where a new one starts: " POSITION_ACCEPTED "; default latest"},
    {"lease", OPTION_NUMBER, &lease_s, "SECONDS",
     "How long a delivery may take before its event comes again; default 30", .min = 1,
     .max = 43200},
    {"max-attempts", OPTION_NUMBER, &max_attempts, "N",
     "Attempts before an event becomes a dead letter; 0: no end; default 10", .min = 0,
     .max = 1000},
    {"backoff-min", OPTION_NUMBER, &backoff_min, "SECONDS",
     "Pause after the first failed attempt, doubled with each; default 1", .min = 0, .max = 43200},
    {"backoff-max", OPTION_NUMBER, &backoff_max, "SECONDS", "Longest pause; default 600", .min = 0,
     .max = 43200},
    {"max-outstanding", OPTION_NUMBER, &max_outstanding, "N",
     "Events that may be out or wait to come again; default 10000", .min = 1, .max = 100000},
    {"acknowledge-in-inbox", OPTION_CHOICE, &in_inbox, "yes|no",
     "Whether what is acknowledged here is acknowledged in the inbox; default no",
     .choices = yes_or_no},
    {"ordering", OPTION_CHOICE, &ordering, "none|key",
     "Whether of events with the same ordering key one at a time is out; only of a new one; "
     "default "
     "none",
     .choices = orderings},
    {"after-dead-letter", OPTION_CHOICE, &after_dead_letter, "skip|block",
     "With --ordering key: whether a dead letter holds back the others of its key; default skip",
     .choices = policies},
    {"pause", OPTION_FLAG, &pauses, NULL, "Give out nothing"},
    {"resume", OPTION_FLAG, &resumes, NULL, "Give out events again"},
    {0},
};

/* ---- printing ---- */

static void print_names_json(const char *key, char *const *names, size_t count)
{
    printf("\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", stdout);
        print_json_string(names[i]);
    }
    putchar(']');
}

static void print_time_json(const char *key, const Google__Protobuf__Timestamp *time)
{
    char text[PRINT_TIME_SIZE];
    print_format_time(subscription_time_us(time), text);
    printf(time ? ",\"%s\":\"%s\"" : ",\"%s\":null", key, text);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static bool orders_by_key(const Subscription *from)
{
    return from->ordering == TRIGGERS__V1__ORDERING__ORDERING_BY_KEY;
}

static bool blocks_by_dead(const Subscription *from)
{
    return from->after_dead_letter == TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_BLOCK;
}

/* The members of the REST API, without the line's end. */
static void print_settings_json(const Subscription *from)
{
    static Triggers__V1__SubscriptionFilter all = TRIGGERS__V1__SUBSCRIPTION_FILTER__INIT;
    const Triggers__V1__SubscriptionFilter *filter = from->filter ? from->filter : &all;
    fputs("{\"name\":", stdout);
    print_json_string(from->name);
    fputs(",\"description\":", stdout);
    print_json_string(from->description);
    fputs(",\"filter\":{", stdout);
    print_names_json("sources", filter->sources, filter->n_sources);
    putchar(',');
    print_names_json("event_types", filter->event_types, filter->n_event_types);
    printf("},\"lease_seconds\":%u,\"max_delivery_attempts\":%u", from->lease_seconds,
           from->max_delivery_attempts);
    if (from->backoff)
        printf(",\"backoff\":{\"minimum_seconds\":%u,\"maximum_seconds\":%u}",
               from->backoff->minimum_seconds, from->backoff->maximum_seconds);
    printf(",\"max_outstanding\":%u,\"acknowledge_in_inbox\":%s,\"paused\":%s",
           from->max_outstanding, truth(from->acknowledge_in_inbox), truth(from->paused));
    print_time_json("created_at", from->created_at);
    printf(",\"ordering\":\"%s\",\"after_dead_letter\":\"%s\"",
           orders_by_key(from) ? "by_key" : "none", policies[blocks_by_dead(from)]);
}

static void print_figures_json(const Figures *from)
{
    print_settings_json(from->subscription);
    printf(",\"position\":%" PRId64 ",\"backlog\":%" PRId64 ",\"backlog_is_estimate\":%s"
           ",\"outstanding\":%" PRId64 ",\"delayed\":%" PRId64 ",\"dead_letters\":%" PRId64,
           from->position, from->backlog, truth(from->backlog_is_estimate), from->outstanding,
           from->delayed, from->dead_letters);
    print_time_json("oldest_unsettled_at", from->oldest_unsettled_at);
    puts("}");
}

/* Such as "3d", in the largest unit of which it is at least two; "" for none. */
static void format_age(const Google__Protobuf__Timestamp *since, char out[NUMBER_SIZE])
{
    static const struct {
        int64_t seconds;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    int64_t age = since ? (clock_now_us() - subscription_time_us(since)) / 1000000 : 0;
    size_t unit = 0;
    out[0] = '\0';
    if (!since)
        return;
    age = age > 0 ? age : 0; /* its clock may be ahead */
    while (units[unit].seconds > 1 && age < 2 * units[unit].seconds)
        unit++;
    snprintf(out, NUMBER_SIZE, "%" PRId64 "%c", age / units[unit].seconds, units[unit].name);
}

static void print_list_header(void)
{
    static const char *const names[] = {"BACKLOG", "OUTSTANDING", "DELAYED", "DEAD"};
    print_cell("NAME", NAME_WIDTH);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        print_cell(names[i], NUMBER_WIDTH);
    print_cell("OLDEST", AGE_WIDTH);
    puts("PAUSED");
}

static void print_list_row(const Figures *from)
{
    const int64_t numbers[] = {from->backlog, from->outstanding, from->delayed, from->dead_letters};
    char text[NUMBER_SIZE];
    print_cell(from->subscription->name, NAME_WIDTH);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        snprintf(text, sizeof(text), "%s%" PRId64, i == 0 && from->backlog_is_estimate ? "~" : "",
                 numbers[i]);
        print_cell(text, NUMBER_WIDTH);
    }
    format_age(from->oldest_unsettled_at, text);
    print_cell(text, AGE_WIDTH);
    puts(from->subscription->paused ? "yes" : "");
}

static void print_text_part(const char *name, const char *text)
{
    print_part(name, text, strlen(text));
}

static void print_number_part(const char *name, int64_t number)
{
    char text[NUMBER_SIZE];
    snprintf(text, sizeof(text), "%" PRId64, number);
    print_text_part(name, text);
}

static void print_settings(const Subscription *from)
{
    const Triggers__V1__SubscriptionFilter *filter = from->filter;
    char created[PRINT_TIME_SIZE];
    print_format_time(subscription_time_us(from->created_at), created);
    print_text_part("name", from->name);
    if (*from->description)
        print_text_part("description", from->description);
    for (size_t i = 0; filter && i < filter->n_sources; i++)
        print_text_part("source", filter->sources[i]);
    for (size_t i = 0; filter && i < filter->n_event_types; i++)
        print_text_part("type", filter->event_types[i]);
    print_number_part("lease, s", from->lease_seconds);
    print_number_part("attempts", from->max_delivery_attempts);
    if (from->backoff) {
        print_number_part("back-off, s", from->backoff->minimum_seconds);
        print_number_part("to, s", from->backoff->maximum_seconds);
    }
    print_number_part("most out", from->max_outstanding);
    print_text_part("in the inbox", yes_or_no[from->acknowledge_in_inbox]);
    print_text_part("ordering", orderings[orders_by_key(from)]);
    if (orders_by_key(from))
        print_text_part("dead letters", policies[blocks_by_dead(from)]);
    print_text_part("paused", yes_or_no[from->paused]);
    print_text_part("created", created);
}

static void print_figures(const Figures *from)
{
    char age[NUMBER_SIZE];
    format_age(from->oldest_unsettled_at, age);
    print_settings(from->subscription);
    print_number_part("position", from->position);
    print_number_part(from->backlog_is_estimate ? "backlog, ca." : "backlog", from->backlog);
    print_number_part("outstanding", from->outstanding);
    print_number_part("delayed", from->delayed);
    print_number_part("dead letters", from->dead_letters);
    print_text_part("oldest", *age ? age : "-");
}

/* ---- read ---- */

/* NULL after saying why, with the exit code. */
static triggers_reply *get_subscription(triggers_client *client, char *name, int *code)
{
    Triggers__V1__GetSubscriptionRequest request = TRIGGERS__V1__GET_SUBSCRIPTION_REQUEST__INIT;
    request.name = name;
    return subscription_call(client, "GetSubscription", &request.base, code);
}

static int print_one(triggers_client *client, char *name, void (*print)(const Figures *from))
{
    int code;
    triggers_reply *reply = get_subscription(client, name, &code);
    if (reply)
        (cli_output_is_json() ? print_figures_json : print)((const Figures *)reply->message);
    triggers_reply_free(reply);
    return code;
}

/* One may be removed while we walk. */
static int print_page(triggers_client *client, const triggers_reply *page)
{
    const Triggers__V1__ListSubscriptionsResponse *list =
        (const Triggers__V1__ListSubscriptionsResponse *)page->message;
    int code = EXIT_DONE;
    for (size_t i = 0; i < list->n_subscriptions && code != EXIT_TRY_LATER; i++)
        code = cli_worse(code, print_one(client, list->subscriptions[i]->name, print_list_row));
    return code;
}

static int print_list(triggers_client *client)
{
    Triggers__V1__ListSubscriptionsRequest request = TRIGGERS__V1__LIST_SUBSCRIPTIONS_REQUEST__INIT;
    triggers_reply *page = NULL;
    int code = EXIT_DONE;
    request.page_size = TRIGGERS_MAX_PAGE;
    if (!cli_output_is_json())
        print_list_header();
    do {
        triggers_reply *next = subscription_call(client, "ListSubscriptions", &request.base, &code);
        triggers_reply_free(page);
        page = next;
        if (page) {
            code = print_page(client, page);
            request.page_token =
                ((const Triggers__V1__ListSubscriptionsResponse *)page->message)->next_page_token;
        }
    } while (page && code == EXIT_DONE && *request.page_token);
    triggers_reply_free(page);
    return code;
}

/* ---- change ---- */

/* What a request points to. */
struct put_parts {
    Triggers__V1__SubscriptionFilter filter;
    Triggers__V1__Backoff backoff;
    char position[POSITION_ROOM];
};

static void fill_backoff(PutRequest *request, struct put_parts *parts)
{
    parts->backoff = (Triggers__V1__Backoff)TRIGGERS__V1__BACKOFF__INIT;
    if (backoff_min != NOT_GIVEN) {
        parts->backoff.minimum_case = TRIGGERS__V1__BACKOFF__MINIMUM_MINIMUM_SECONDS;
        parts->backoff.minimum_seconds = (uint32_t)backoff_min;
    }
    if (backoff_max != NOT_GIVEN) {
        parts->backoff.maximum_case = TRIGGERS__V1__BACKOFF__MAXIMUM_MAXIMUM_SECONDS;
        parts->backoff.maximum_seconds = (uint32_t)backoff_max;
    }
    if (backoff_min != NOT_GIVEN || backoff_max != NOT_GIVEN)
        request->backoff = &parts->backoff;
}

/* With `now`, that half of its filter stays which is not given. */
static void fill_filter(PutRequest *request, const Subscription *now, struct put_parts *parts)
{
    parts->filter = (Triggers__V1__SubscriptionFilter)TRIGGERS__V1__SUBSCRIPTION_FILTER__INIT;
    if (sources.count == 0 && event_types.count == 0)
        return;
    if (now && now->filter)
        parts->filter = *now->filter;
    if (sources.count > 0) {
        parts->filter.sources = (char **)sources.words;
        parts->filter.n_sources = sources.count;
    }
    if (event_types.count > 0) {
        parts->filter.event_types = (char **)event_types.words;
        parts->filter.n_event_types = event_types.count;
    }
    request->filter = &parts->filter;
}

static void fill_put(PutRequest *request, const Subscription *now, struct put_parts *parts)
{
    fill_filter(request, now, parts);
    fill_backoff(request, parts);
    if (start)
        request->start = (char *)subscription_position(start, parts->position);
#define FILL(given, STATED, field, value)                                                          \
    if (given) {                                                                                   \
        request->field##_stated_case =                                                             \
            TRIGGERS__V1__PUT_SUBSCRIPTION_REQUEST__##STATED##_STATED_##STATED;                    \
        request->field = (value);                                                                  \
    }
    FILL(description, DESCRIPTION, description, (char *)description)
    FILL(lease_s != NOT_GIVEN, LEASE_SECONDS, lease_seconds, (uint32_t)lease_s)
    FILL(max_attempts != NOT_GIVEN, MAX_DELIVERY_ATTEMPTS, max_delivery_attempts,
         (uint32_t)max_attempts)
    FILL(max_outstanding != NOT_GIVEN, MAX_OUTSTANDING, max_outstanding, (uint32_t)max_outstanding)
    FILL(in_inbox != NOT_GIVEN, ACKNOWLEDGE_IN_INBOX, acknowledge_in_inbox, in_inbox == 1)
    FILL(pauses || resumes, PAUSED, paused, pauses)
#undef FILL
    if (ordering != NOT_GIVEN)
        request->ordering = ordering == 1 ? TRIGGERS__V1__ORDERING__ORDERING_BY_KEY
                                          : TRIGGERS__V1__ORDERING__ORDERING_NONE;
    if (after_dead_letter != NOT_GIVEN)
        request->after_dead_letter = after_dead_letter == 1
                                         ? TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_BLOCK
                                         : TRIGGERS__V1__AFTER_DEAD_LETTER__AFTER_DEAD_LETTER_SKIP;
}

static int put(triggers_client *client, char *name, const Subscription *now)
{
    PutRequest request = TRIGGERS__V1__PUT_SUBSCRIPTION_REQUEST__INIT;
    struct put_parts parts;
    int code;
    request.name = name;
    fill_put(&request, now, &parts);
    triggers_reply *reply = subscription_call(client, "PutSubscription", &request.base, &code);
    if (!reply)
        return code;
    const Triggers__V1__PutSubscriptionResponse *response =
        (const Triggers__V1__PutSubscriptionResponse *)reply->message;
    if (cli_output_is_json()) {
        print_settings_json(response->subscription);
        printf(",\"created\":%s}\n", truth(response->created));
    } else {
        print_settings(response->subscription);
    }
    triggers_reply_free(reply);
    return code;
}

static int create(triggers_client *client, char *name)
{
    return put(client, name, NULL);
}

static int update(triggers_client *client, char *name)
{
    int code;
    triggers_reply *reply = get_subscription(client, name, &code);
    if (reply)
        code = put(client, name, ((const Figures *)reply->message)->subscription);
    triggers_reply_free(reply);
    return code;
}

static int get(triggers_client *client, char *name)
{
    return print_one(client, name, print_figures);
}

static int delete (triggers_client *client, char *name)
{
    Triggers__V1__DeleteSubscriptionRequest request =
        TRIGGERS__V1__DELETE_SUBSCRIPTION_REQUEST__INIT;
    int code;
    request.name = name;
    triggers_reply_free(subscription_call(client, "DeleteSubscription", &request.base, &code));
    return code;
}

/* ---- the command ---- */

static const struct action {
    const char *name;
    int (*run)(triggers_client *client, char *name);
    bool takes_options;
} actions[] = {
    {"create", create, true},
    {"update", update, true},
    {"get", get, false},
    {"delete", delete, false},
};

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    }
    cli_usage("subscriptions does not know '%s'; accepted: create, update, get and delete", name);
    return NULL;
}

static bool has_options(void)
{
    return description || sources.count || event_types.count || start || lease_s != NOT_GIVEN ||
           max_attempts != NOT_GIVEN || backoff_min != NOT_GIVEN || backoff_max != NOT_GIVEN ||
           max_outstanding != NOT_GIVEN || in_inbox != NOT_GIVEN || ordering != NOT_GIVEN ||
           after_dead_letter != NOT_GIVEN || pauses || resumes;
}

static int run(int count, char **words)
{
    const struct action *action = count > 0 ? find_action(words[0]) : NULL;
    if (count > 0 && !action)
        return EXIT_USAGE;
    if (action && count != 2)
        return cli_usage("subscriptions %s takes one name", action->name);
    if (pauses && resumes)
        return cli_usage("--pause and --resume exclude each other");
    if (has_options() && !(action && action->takes_options))
        return cli_usage("these options go with create and update");
    if (start && action->run == update)
        return cli_usage("--start goes with create; to move a subscription: triggers seek");
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = action ? action->run(client, words[1]) : print_list(client);
    triggers_client_close(client);
    return code;
}

const struct command command_subscriptions = {
    .name = "subscriptions",
    .arguments = "[create|update|get|delete NAME]",
    .summary = "List subscriptions and what they have to do; create, change or remove one",
    .details =
        "The list has of each the events that wait (with ~ an estimate), those that somebody has,\n"
        "those that will come again, the dead letters, and the age of the oldest event that is "
        "not\n"
        "settled. create also changes one that is there. update leaves what is not given as it\n"
        "is; '*' as source or type stands for all. The subscription inbox is always there.\n\n"
        "Examples:\n"
        "  triggers subscriptions\n"
        "  triggers subscriptions create mail --event-type 'order.*' --start earliest\n"
        "  triggers subscriptions update mail --pause\n"
        "  triggers subscriptions delete mail\n",
    .options = options,
    .words = "create update get delete",
    .run = run,
};
