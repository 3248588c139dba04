/* triggers tenants: lists, shows, creates, changes, suspends and deletes them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "access_calls.h"
#include "cap_options.h"
#include "limit_options.h"
#include "print.h"
#include "when.h"

typedef Triggers__V1__Tenant Tenant;

#define NAME_WIDTH 24
#define STATE_WIDTH 9
#define KEEP_WIDTH 12
#define KEEP_SIZE 24
#define TELL_EVERY 10 /* seconds, while a deletion is waited for */

static const char *description;
static const char *keep_acknowledged;
static const char *keep_pending;
static uint64_t keep_acknowledged_s;
static uint64_t keep_pending_s;
static bool waits;

enum { WITH_SETTINGS = 1, WITH_WAIT = 2 };

#define KEEP_ACCEPTED "a number and s, m, h or d, such as 30d, or forever"

static const struct option_spec options[] = {
    {"description", OPTION_TEXT, &description, "TEXT", "With put: for people"},
    {"keep-acknowledged", OPTION_TEXT, &keep_acknowledged, "TIME",
     "With put: how long acknowledged events are kept: " KEEP_ACCEPTED
     "; default as triggersd is set"},
    {"keep-pending", OPTION_TEXT, &keep_pending, "TIME", "With put: the same for pending events"},
    LIMIT_OPTIONS("put") CAP_OPTIONS{"wait", OPTION_FLAG, &waits, NULL,
                                     "With delete: wait until all it has is removed"},
    {0},
};

/* ---- printing ---- */

static const char *state_of(const Tenant *tenant)
{
    switch (tenant->state) {
    case TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE: return "active";
    case TRIGGERS__V1__TENANT_STATE__TENANT_STATE_SUSPENDED: return "suspended";
    case TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING: return "deleting";
    default: return "?";
    }
}

/* In the largest unit that divides it, as it may be given. */
static void format_keep(bool stated, uint64_t seconds, char out[KEEP_SIZE])
{
    static const struct {
        uint64_t seconds;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t unit = 0;
    while (seconds % units[unit].seconds != 0)
        unit++;
    if (!stated)
        snprintf(out, KEEP_SIZE, "-");
    else if (seconds == 0)
        snprintf(out, KEEP_SIZE, "forever");
    else
        snprintf(out, KEEP_SIZE, "%" PRIu64 "%c", seconds / units[unit].seconds, units[unit].name);
}

static void format_keeps(const Tenant *tenant, char acknowledged[KEEP_SIZE],
                         char pending[KEEP_SIZE])
{
    format_keep(tenant->keep_acknowledged_case != TRIGGERS__V1__TENANT__KEEP_ACKNOWLEDGED__NOT_SET,
                tenant->keep_acknowledged_seconds, acknowledged);
    format_keep(tenant->keep_pending_case != TRIGGERS__V1__TENANT__KEEP_PENDING__NOT_SET,
                tenant->keep_pending_seconds, pending);
}

static void print_tenant_header(void)
{
    print_cell("NAME", NAME_WIDTH);
    print_cell("STATE", STATE_WIDTH);
    print_cell("ACKNOWLEDGED", KEEP_WIDTH);
    print_cell("PENDING", KEEP_WIDTH);
    print_cell("CREATED", ACCESS_TIME_WIDTH);
    puts("DESCRIPTION");
}

static void print_tenant_row(const Tenant *tenant)
{
    char acknowledged[KEEP_SIZE];
    char pending[KEEP_SIZE];
    format_keeps(tenant, acknowledged, pending);
    print_cell(tenant->name, NAME_WIDTH);
    print_cell(state_of(tenant), STATE_WIDTH);
    print_cell(acknowledged, KEEP_WIDTH);
    print_cell(pending, KEEP_WIDTH);
    access_print_time_cell(tenant->created_at);
    print_clean(stdout, tenant->description, strlen(tenant->description));
    putchar('\n');
}

static void print_text(const Tenant *tenant, const Triggers__V1__Usage *usage)
{
    char acknowledged[KEEP_SIZE];
    char pending[KEEP_SIZE];
    char removed[24];
    format_keeps(tenant, acknowledged, pending);
    snprintf(removed, sizeof(removed), "%" PRIu64, tenant->removed_events);
    access_print_part("name", tenant->name);
    if (*tenant->description)
        access_print_part("description", tenant->description);
    access_print_part("state", state_of(tenant));
    access_print_part("acknowledged", acknowledged);
    access_print_part("pending", pending);
    limits_print(tenant->limits);
    caps_print(tenant->caps, usage);
    access_print_time("created", tenant->created_at);
    if (tenant->state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING)
        access_print_part("removed", removed);
}

static void print_tenant(const Tenant *tenant)
{
    if (cli_output_is_json())
        access_print_json(&tenant->base);
    else
        print_text(tenant, NULL);
}

/* With what it has. */
static void print_shown(const Triggers__V1__GetTenantResponse *shown)
{
    if (cli_output_is_json())
        access_print_json(&shown->base);
    else
        print_text(shown->tenant, shown->usage);
}

/* ---- calls ---- */

static int list_tenants(triggers_client *client, char **words)
{
    Triggers__V1__ListTenantsRequest request = TRIGGERS__V1__LIST_TENANTS_REQUEST__INIT;
    const Triggers__V1__ListTenantsResponse *list;
    triggers_reply *page = NULL;
    int code;
    (void)words;
    request.page_size = TRIGGERS_MAX_PAGE;
    if (!cli_output_is_json())
        print_tenant_header();
    do {
        triggers_reply *next = access_call(client, "ListTenants", &request.base, &code);
        triggers_reply_free(page);
        page = next;
        if (!page)
            return code;
        list = (const Triggers__V1__ListTenantsResponse *)page->message;
        for (size_t i = 0; i < list->n_tenants; i++) {
            if (cli_output_is_json())
                access_print_json(&list->tenants[i]->base);
            else
                print_tenant_row(list->tenants[i]);
        }
        request.page_token = list->next_page_token;
    } while (*request.page_token && !ferror(stdout));
    triggers_reply_free(page);
    return code;
}

static int show_tenant(triggers_client *client, char **words)
{
    Triggers__V1__GetTenantRequest request = TRIGGERS__V1__GET_TENANT_REQUEST__INIT;
    int code;
    request.name = words[0];
    triggers_reply *reply = access_call(client, "GetTenant", &request.base, &code);
    if (reply)
        print_shown((const Triggers__V1__GetTenantResponse *)reply->message);
    triggers_reply_free(reply);
    return code;
}

static int put_tenant(triggers_client *client, char **words)
{
    Triggers__V1__PutTenantRequest request = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    Triggers__V1__Limits limits;
    Triggers__V1__Caps caps;
    int code;
    request.name = words[0];
    if (description) {
        request.description_stated_case =
            TRIGGERS__V1__PUT_TENANT_REQUEST__DESCRIPTION_STATED_DESCRIPTION;
        request.description = (char *)description;
    }
    if (keep_acknowledged) {
        request.keep_acknowledged_case =
            TRIGGERS__V1__PUT_TENANT_REQUEST__KEEP_ACKNOWLEDGED_KEEP_ACKNOWLEDGED_SECONDS;
        request.keep_acknowledged_seconds = keep_acknowledged_s;
    }
    if (keep_pending) {
        request.keep_pending_case =
            TRIGGERS__V1__PUT_TENANT_REQUEST__KEEP_PENDING_KEEP_PENDING_SECONDS;
        request.keep_pending_seconds = keep_pending_s;
    }
    request.limits = limits_asked(&limits);
    request.caps = caps_asked(&caps);
    triggers_reply *reply = access_call(client, "PutTenant", &request.base, &code);
    if (reply)
        print_tenant(((const Triggers__V1__PutTenantResponse *)reply->message)->tenant);
    triggers_reply_free(reply);
    return code;
}

static int suspend_tenant(triggers_client *client, char **words)
{
    Triggers__V1__SuspendTenantRequest request = TRIGGERS__V1__SUSPEND_TENANT_REQUEST__INIT;
    int code;
    request.name = words[0];
    triggers_reply *reply = access_call(client, "SuspendTenant", &request.base, &code);
    if (reply)
        print_tenant(((const Triggers__V1__SuspendTenantResponse *)reply->message)->tenant);
    triggers_reply_free(reply);
    return code;
}

static int resume_tenant(triggers_client *client, char **words)
{
    Triggers__V1__ResumeTenantRequest request = TRIGGERS__V1__RESUME_TENANT_REQUEST__INIT;
    int code;
    request.name = words[0];
    triggers_reply *reply = access_call(client, "ResumeTenant", &request.base, &code);
    if (reply)
        print_tenant(((const Triggers__V1__ResumeTenantResponse *)reply->message)->tenant);
    triggers_reply_free(reply);
    return code;
}

/* Tells how far it is, until the name is free again. */
static int await_deletion(triggers_client *client, char *name)
{
    const struct timespec second = {.tv_sec = 1};
    Triggers__V1__GetTenantRequest request = TRIGGERS__V1__GET_TENANT_REQUEST__INIT;
    request.name = name;
    for (unsigned seconds = 1;; seconds++) {
        nanosleep(&second, NULL);
        triggers_reply *reply =
            triggers_call(client, "triggers.v1.AccessService/GetTenant", &request.base, NULL);
        bool there = reply->code == TRIGGERS_OK;
        if (there && seconds % TELL_EVERY == 0)
            cli_complain(
                "%s: being deleted; %" PRIu64 " events were removed so far", name,
                ((const Triggers__V1__GetTenantResponse *)reply->message)->tenant->removed_events);
        /* What passes is waited for, as the deletion goes on by itself. */
        int code = there || triggers_code_is_retryable(reply->code) ? EXIT_TRY_LATER
                   : reply->code == TRIGGERS_NOT_FOUND              ? EXIT_DONE
                                                                    : cli_fail(&reply->error, name);
        triggers_reply_free(reply);
        if (code != EXIT_TRY_LATER)
            return code;
    }
}

static int delete_tenant(triggers_client *client, char **words)
{
    Triggers__V1__DeleteTenantRequest request = TRIGGERS__V1__DELETE_TENANT_REQUEST__INIT;
    int code;
    request.name = words[0];
    triggers_reply *reply = access_call(client, "DeleteTenant", &request.base, &code);
    if (reply)
        print_tenant(((const Triggers__V1__DeleteTenantResponse *)reply->message)->tenant);
    triggers_reply_free(reply);
    return reply && waits ? await_deletion(client, words[0]) : code;
}

/* ---- the command ---- */

static const struct access_action actions[] = {
    {"list", list_tenants, 0, 0},
    {"show", show_tenant, 1, 0},
    {"put", put_tenant, 1, WITH_SETTINGS},
    {"suspend", suspend_tenant, 1, 0},
    {"resume", resume_tenant, 1, 0},
    {"delete", delete_tenant, 1, WITH_WAIT},
    {0},
};

/* False after saying what is accepted. NULL is not given. */
static bool parse_keep(const char *option, const char *text, uint64_t *seconds)
{
    int64_t parsed = 0;
    if (!text || strcmp(text, "forever") == 0 ||
        (when_parse_duration(text, &parsed) && parsed > 0)) {
        *seconds = (uint64_t)parsed;
        return true;
    }
    cli_usage("--%s does not accept '%s'; accepted: " KEEP_ACCEPTED, option, text);
    return false;
}

static int run(int count, char **words)
{
    const struct access_action *action = access_find_action("tenants", actions, count, words);
    if (!action)
        return EXIT_USAGE;
    Triggers__V1__Limits limits;
    Triggers__V1__Caps caps;
    if ((description || keep_acknowledged || keep_pending || limits_asked(&limits) ||
         caps_asked(&caps)) &&
        !(action->with & WITH_SETTINGS))
        return cli_usage("settings of a tenant go with put");
    if (waits && !(action->with & WITH_WAIT))
        return cli_usage("--wait goes with delete");
    if (!parse_keep("keep-acknowledged", keep_acknowledged, &keep_acknowledged_s) ||
        !parse_keep("keep-pending", keep_pending, &keep_pending_s))
        return EXIT_USAGE;
    triggers_client *client = cli_open(1);
    if (!client)
        return EXIT_USAGE;
    int code = action->run(client, words + 1);
    triggers_client_close(client);
    return code;
}

const struct command command_tenants = {
    .name = "tenants",
    .arguments = "[list | show|put|suspend|resume|delete NAME]",
    .summary = "List tenants; create, change, suspend or delete one",
    .details =
        "A tenant has a log, subscriptions and keys of its own. put creates one, or changes what\n"
        "is given of one. While it is suspended, its keys are refused, and nothing is lost.\n"
        "delete removes it with all it has, which cannot be undone: its keys are refused at once,\n"
        "the rest goes in the background. The tenant default is always there. These need a key\n"
        "with the scope operator.\n\n"
        "Examples:\n"
        "  triggers tenants\n"
        "  triggers tenants put acme --description 'Acme Ltd.' --keep-acknowledged 30d\n"
        "  triggers tenants put acme --max-pending 100000 --max-bytes 1000000000\n"
        "  triggers tenants suspend acme\n"
        "  triggers tenants delete acme --wait\n",
    .options = options,
    .words = "list show put suspend resume delete",
    .run = run,
};
