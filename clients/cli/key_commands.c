/* triggers keys: makes, lists, shows, rotates and revokes them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/operator_key.h"
#include "access_calls.h"
#include "base/clock.h"
#include "base/log.h"
#include "limit_options.h"
#include "print.h"
#include "scope_names.h"

typedef Triggers__V1__Key Key;

#define NAME_WIDTH 24
#define STATE_WIDTH 8
#define SCOPES_SIZE 256
#define OPERATOR_NAME "operator"

static const char *tenant = TENANT_DEFAULT;
static const char *name;
static struct word_list scopes;
static struct word_list sources;
static struct word_list event_types;
static struct word_list subscriptions;
static struct word_list addresses;
static int64_t expires_us;
static int64_t overlap_s = -1;
static bool for_operator;
static char *database_url; /* of the arguments, which other users can read until it is wiped */

/* Options that go with some actions only. */
enum { WITH_KEY = 1, WITH_EXPIRY = 2, WITH_OVERLAP = 4, WITHOUT_CORE = 8 };

static const struct option_spec options[] = {
    {"tenant", OPTION_TEXT, &tenant, "NAME", "Whose keys; default default"},
    {"name", OPTION_TEXT, &name, "TEXT",
     "With create: what the key is for; at most 100 characters"},
    {"scope", OPTION_LIST, &scopes, "SCOPE",
     "With create: what it may do: events:write, events:read, events:ack, subscriptions:consume, "
     "subscriptions:manage, keys:manage, operator, audit:read or metrics:read; may be repeated"},
    {"source", OPTION_LIST, &sources, "SOURCE",
     "With create: only events of this source, or with * at its end of those that begin so; may "
     "be repeated"},
    {"event-type", OPTION_LIST, &event_types, "TYPE",
     "With create: only events of this type, in the same way"},
    {"subscription", OPTION_LIST, &subscriptions, "NAME",
     "With create: only this subscription, in the same way"},
    {"address", OPTION_LIST, &addresses, "RANGE",
     "With create: only from these addresses, such as 192.0.2.0/24; may be repeated"},
    LIMIT_OPTIONS("create"){
        "expires", OPTION_AHEAD, &expires_us, "TIME",
        "With create and rotate: when it expires, such as 90d (from now) or 2026-01-31"},
    {"overlap", OPTION_DELAY, &overlap_s, "TIME",
     "With rotate: how long the old key works beside the new one, such as 2h; default 1d",
     .max = 2592000},
    {"operator", OPTION_FLAG, &for_operator, NULL,
     "With create: a key with every scope, of the tenant default, made in the store itself"},
    {"database-url", OPTION_TEXT, &database_url, "URL",
     "With --operator: the store, as triggersd has it (DATABASE_URL)"},
    {0},
};

/* ---- printing ---- */

static int64_t time_of_key(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * 1000000 + time->nanos / 1000 : 0;
}

static const char *state_of(const Key *key)
{
    if (key->revoked_at)
        return "revoked";
    if (key->expires_at && time_of_key(key->expires_at) <= clock_now_us())
        return "expired";
    return *key->rotated_to ? "rotated" : "active";
}

static void format_scopes(const Key *key, char out[SCOPES_SIZE])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < key->n_scopes && used < SCOPES_SIZE; i++) {
        char scope[SCOPE_NAME_SIZE];
        scope_name_write(key->scopes[i], scope);
        used += (size_t)snprintf(out + used, SCOPES_SIZE - used, "%s%s", i > 0 ? "," : "", scope);
    }
}

static void print_key_header(void)
{
    print_cell("KEY ID", KEY_ID_LENGTH);
    print_cell("NAME", NAME_WIDTH);
    print_cell("STATE", STATE_WIDTH);
    print_cell("CREATED", ACCESS_TIME_WIDTH);
    print_cell("EXPIRES", ACCESS_TIME_WIDTH);
    print_cell("LAST USED", ACCESS_TIME_WIDTH);
    puts("SCOPES");
}

static void print_key_row(const Key *key)
{
    char may[SCOPES_SIZE];
    format_scopes(key, may);
    print_cell(key->key_id, KEY_ID_LENGTH);
    print_cell(key->name, NAME_WIDTH);
    print_cell(state_of(key), STATE_WIDTH);
    access_print_time_cell(key->created_at);
    access_print_time_cell(key->expires_at);
    access_print_time_cell(key->last_used_at);
    puts(may);
}

static void print_words(const char *part, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        access_print_part(part, words[i]);
}

static void print_key(const Key *key)
{
    if (cli_output_is_json()) {
        access_print_json(&key->base);
        return;
    }
    access_print_part("key id", key->key_id);
    access_print_part("name", key->name);
    access_print_part("state", state_of(key));
    for (size_t i = 0; i < key->n_scopes; i++) {
        char scope[SCOPE_NAME_SIZE];
        scope_name_write(key->scopes[i], scope);
        access_print_part("scope", scope);
    }
    print_words("source", key->sources, key->n_sources);
    print_words("type", key->event_types, key->n_event_types);
    print_words("subscription", key->subscriptions, key->n_subscriptions);
    print_words("address", key->addresses, key->n_addresses);
    limits_print(key->limits);
    access_print_time("created", key->created_at);
    access_print_time("expires", key->expires_at);
    access_print_time("revoked", key->revoked_at);
    access_print_time("last used", key->last_used_at);
    if (*key->rotated_from)
        access_print_part("replaces", key->rotated_from);
    if (*key->rotated_to)
        access_print_part("replaced by", key->rotated_to);
}

/* The text is all that is on stdout, so that it can go into a file or a variable. */
static void print_text(const char *text, const Key *details)
{
    puts(text);
    cli_complain("this is the key %s, \"%s\", of the tenant %s; nobody can show it again",
                 details->key_id, details->name, tenant);
}

static void print_new_key(const ProtobufCMessage *response, const char *text, const Key *details)
{
    if (cli_output_is_json())
        access_print_json(response);
    else
        print_text(text, details);
}

/* Of the members of the one above those that are known beside a store. */
static void print_operator_json(const char *text, const Key *details)
{
    printf("{\"key\":\"%s\",\"details\":{\"key_id\":\"%s\",\"name\":", text, details->key_id);
    print_json_string(details->name);
    puts("}}");
}

/* ---- calls ---- */

static int list_keys(triggers_client *client, char **words)
{
    Triggers__V1__ListKeysRequest request = TRIGGERS__V1__LIST_KEYS_REQUEST__INIT;
    const Triggers__V1__ListKeysResponse *list;
    triggers_reply *page = NULL;
    int code;
    (void)words;
    request.tenant = (char *)tenant;
    request.page_size = TRIGGERS_MAX_PAGE;
    if (!cli_output_is_json())
        print_key_header();
    do {
        triggers_reply *next = access_call(client, "ListKeys", &request.base, &code);
        triggers_reply_free(page);
        page = next;
        if (!page)
            return code;
        list = (const Triggers__V1__ListKeysResponse *)page->message;
        for (size_t i = 0; i < list->n_keys; i++) {
            if (cli_output_is_json())
                access_print_json(&list->keys[i]->base);
            else
                print_key_row(list->keys[i]);
        }
        request.page_token = list->next_page_token;
    } while (*request.page_token && !ferror(stdout));
    triggers_reply_free(page);
    return code;
}

static int show_key(triggers_client *client, char **words)
{
    Triggers__V1__GetKeyRequest request = TRIGGERS__V1__GET_KEY_REQUEST__INIT;
    int code;
    request.tenant = (char *)tenant;
    request.key_id = words[0];
    triggers_reply *reply = access_call(client, "GetKey", &request.base, &code);
    if (reply)
        print_key(((const Triggers__V1__GetKeyResponse *)reply->message)->key);
    triggers_reply_free(reply);
    return code;
}

/* NULL when none is given. */
static Google__Protobuf__Timestamp *expiry(Google__Protobuf__Timestamp *storage)
{
    *storage = (Google__Protobuf__Timestamp)GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    storage->seconds = expires_us / 1000000;
    storage->nanos = (int32_t)(expires_us % 1000000) * 1000;
    return expires_us ? storage : NULL;
}

static int create_key(triggers_client *client, char **words)
{
    Triggers__V1__CreateKeyRequest request = TRIGGERS__V1__CREATE_KEY_REQUEST__INIT;
    Triggers__Api__V1__Scope may[SCOPES_MAX];
    Google__Protobuf__Timestamp time;
    Triggers__V1__Limits limits;
    int code;
    (void)words;
    request.tenant = (char *)tenant;
    request.name = (char *)name;
    request.scopes = may;
    if (!scope_names_parse(&scopes, may, &request.n_scopes))
        return EXIT_USAGE;
    request.sources = (char **)sources.words;
    request.n_sources = sources.count;
    request.event_types = (char **)event_types.words;
    request.n_event_types = event_types.count;
    request.subscriptions = (char **)subscriptions.words;
    request.n_subscriptions = subscriptions.count;
    request.addresses = (char **)addresses.words;
    request.n_addresses = addresses.count;
    request.expires_at = expiry(&time);
    request.limits = limits_asked(&limits);
    triggers_reply *reply = access_call(client, "CreateKey", &request.base, &code);
    const Triggers__V1__CreateKeyResponse *made =
        reply ? (const Triggers__V1__CreateKeyResponse *)reply->message : NULL;
    if (made)
        print_new_key(&made->base, made->key, made->details);
    triggers_reply_free(reply);
    return code;
}

static int rotate_key(triggers_client *client, char **words)
{
    Triggers__V1__RotateKeyRequest request = TRIGGERS__V1__ROTATE_KEY_REQUEST__INIT;
    Google__Protobuf__Timestamp time;
    int code;
    request.tenant = (char *)tenant;
    request.key_id = words[0];
    request.expires_at = expiry(&time);
    if (overlap_s >= 0) {
        request.overlap_case = TRIGGERS__V1__ROTATE_KEY_REQUEST__OVERLAP_OVERLAP_SECONDS;
        request.overlap_seconds = (uint32_t)overlap_s;
    }
    triggers_reply *reply = access_call(client, "RotateKey", &request.base, &code);
    const Triggers__V1__RotateKeyResponse *made =
        reply ? (const Triggers__V1__RotateKeyResponse *)reply->message : NULL;
    if (made)
        print_new_key(&made->base, made->key, made->details);
    triggers_reply_free(reply);
    return code;
}

static int revoke_key(triggers_client *client, char **words)
{
    Triggers__V1__RevokeKeyRequest request = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    int code;
    request.tenant = (char *)tenant;
    request.key_id = words[0];
    triggers_reply *reply = access_call(client, "RevokeKey", &request.base, &code);
    if (reply)
        print_key(((const Triggers__V1__RevokeKeyResponse *)reply->message)->key);
    triggers_reply_free(reply);
    return code;
}

/* What the store logs goes to stderr meanwhile, as stdout is for the key. */
static bool make_in_store(const char *url, char text[KEY_TEXT_LENGTH + 1], struct status *status)
{
    int out = dup(STDOUT_FILENO);
    log_init("triggers", LOG_WARNING, LOG_TEXT);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    bool made = operator_key_make(url, name ? name : OPERATOR_NAME, text, status);
    dup2(out, STDOUT_FILENO);
    close(out);
    return made;
}

/* Beside the store: whoever can write to it needs no key. */
static int create_operator_key(void)
{
    const char *given = database_url && *database_url ? database_url : getenv("DATABASE_URL");
    char *url = given ? strdup(given) : NULL;
    char text[KEY_TEXT_LENGTH + 1];
    struct status status = STATUS_INIT;
    if (database_url)
        explicit_bzero(database_url, strlen(database_url));
    if (!url || !*url) {
        free(url);
        return cli_usage("--operator needs the store: --database-url, or DATABASE_URL in the "
                         "environment");
    }
    bool made = make_in_store(url, text, &status);
    explicit_bzero(url, strlen(url));
    free(url);
    if (!made) {
        cli_complain("%s (%s)", status.message, status.reason);
        return status.code == STATUS_INVALID_ARGUMENT
                   ? EXIT_USAGE /* the URL, or the name */
                   : (int)cli_exit_code((triggers_code)status.code);
    }
    Key details = TRIGGERS__V1__KEY__INIT;
    char id[KEY_ID_LENGTH + 1];
    snprintf(id, sizeof(id), "%.*s", KEY_ID_LENGTH, key_text_id(text));
    details.key_id = id;
    details.name = (char *)(name ? name : OPERATOR_NAME);
    if (cli_output_is_json())
        print_operator_json(text, &details);
    else
        print_text(text, &details);
    explicit_bzero(text, sizeof(text));
    return EXIT_DONE;
}

/* Nobody knows it until it is given to triggersd, so no core is asked. It goes into a file as it
 * is. */
static int generate_key(triggers_client *client, char **words)
{
    char text[KEY_TEXT_LENGTH + 1];
    (void)client;
    (void)words;
    key_text_make(text);
    printf(cli_json_is_asked_for() ? "{\"key\":\"%s\"}\n" : "%s\n", text);
    explicit_bzero(text, sizeof(text));
    return EXIT_DONE;
}

/* ---- the command ---- */

static const struct access_action actions[] = {
    {"list", list_keys, 0, 0},
    {"create", create_key, 0, WITH_KEY | WITH_EXPIRY},
    {"show", show_key, 1, 0},
    {"rotate", rotate_key, 1, WITH_EXPIRY | WITH_OVERLAP},
    {"revoke", revoke_key, 1, 0},
    {"generate", generate_key, 0, WITHOUT_CORE},
    {0},
};

static int check_options(const struct access_action *action)
{
    Triggers__V1__Limits limits;
    bool described = scopes.count || sources.count || event_types.count || subscriptions.count ||
                     addresses.count || limits_asked(&limits);
    bool creates = (action->with & WITH_KEY) != 0;
    if ((described || name || for_operator || database_url) && !creates)
        return cli_usage("what a key is for and may do goes with create");
    if (for_operator && (described || expires_us || strcmp(tenant, TENANT_DEFAULT) != 0))
        return cli_usage("an operator's key has every scope, of the tenant default; --operator "
                         "goes with --name and --database-url alone");
    if (database_url && !for_operator)
        return cli_usage("--database-url goes with --operator");
    if (expires_us && !(action->with & WITH_EXPIRY))
        return cli_usage("--expires goes with create and rotate");
    if (overlap_s >= 0 && !(action->with & WITH_OVERLAP))
        return cli_usage("--overlap goes with rotate");
    if (creates && !for_operator && (!name || scopes.count == 0))
        return cli_usage("keys create needs --name and at least one --scope");
    return EXIT_DONE;
}

static int run(int count, char **words)
{
    const struct access_action *action = access_find_action("keys", actions, count, words);
    if (!action || check_options(action) != EXIT_DONE)
        return EXIT_USAGE;
    if (for_operator)
        return create_operator_key();
    if (action->with & WITHOUT_CORE)
        return action->run(NULL, words + 1);
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = action->run(client, words + 1);
    triggers_client_close(client);
    return code;
}

const struct command command_keys = {
    .name = "keys",
    .arguments = "[list | create | generate | show|rotate|revoke KEY_ID]",
    .summary = "List the keys of a tenant; create, rotate or revoke one",
    .details =
        "A key says who calls and what he may do. create prints it: once, as the service keeps\n"
        "only a hash. rotate makes another one that may do the same, and lets the old one expire\n"
        "after the overlap. revoke ends one within five seconds. These need a key with the scope\n"
        "keys:manage.\n\n"
        "create --operator needs none: it makes the first key in the store itself, and triggersd\n"
        "knows it within five seconds. With an SQLite file, run it as the user of triggersd.\n"
        "generate prints the text of a new key without asking anybody; triggersd takes it as an\n"
        "operator's with TRIGGERS_OPERATOR_KEY_FILE. It is JSON with --output json only.\n\n"
        "Examples:\n"
        "  triggers keys\n"
        "  triggers keys create --operator --database-url sqlite:///triggers.db --output text\n"
        "  triggers keys create --name shop --scope events:write --source 'shop*' --expires 90d\n"
        "  triggers keys create --name mailer --scope subscriptions:consume --subscription mail\n"
        "  triggers keys rotate 4yX0cGd1kQz9 --overlap 2h --output json\n"
        "  triggers keys revoke 4yX0cGd1kQz9\n",
    .options = options,
    .words = "list create show rotate revoke generate",
    .run = run,
};
