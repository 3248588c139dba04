/* Tenants: create, change, read, list, suspend, resume, delete; and what was done in them. */
#include <string.h>

#include "access/key_rules.h"
#include "access/manage.h"

#define DESCRIPTION_MAX 1000                  /* characters */
#define KEEP_MAX_SECONDS UINT64_C(3153600000) /* a hundred years */
#define USAGE_BLOCKS 200                      /* counted in a step */
#define USAGE_STEPS 20                        /* about a million pending events */
#define DESCRIPTION_RULE "must have at most 1000 characters"
#define NAME_RULE                                                                                  \
    "must have 1 to 63 characters, a-z, 0-9, \".\", \"_\" and \"-\", and begin with a letter or "  \
    "digit"
#define KEEP_RULE "must be at most 3153600000, a hundred years"

/* ---- what they share ---- */

static enum store_result answer_tenant(struct management *call,
                                       const ProtobufCMessageDescriptor *descriptor,
                                       Triggers__V1__Tenant *tenant)
{
    /* All answers with a tenant alone are the same but for their descriptors. */
    Triggers__V1__GetTenantResponse *answer = arena_alloc(call->request->arena, sizeof(*answer));
    if (!answer)
        return manage_no_memory(call);
    protobuf_c_message_init(descriptor, answer);
    answer->tenant = tenant;
    return manage_answer(call, &answer->base);
}

static bool is_deleting(const struct tenant_copy *tenant)
{
    return tenant->message->state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING;
}

static enum store_result refuse_deleting(struct management *call)
{
    return manage_fail(call, STATUS_FAILED_PRECONDITION, "TENANT_DELETING",
                       "the tenant is being deleted; its name is free when it is gone");
}

static enum store_result write_tenant(struct management *call, struct store_session *session,
                                      const struct tenant_copy *tenant, bool *again,
                                      struct status *status)
{
    struct store_access_row row = manage_tenant_row(call, tenant);
    return manage_write(call, session, &row, 1, SCOPE_DEFAULT.tenant, again, status);
}

/* ---- create and change ---- */

static bool check_put(struct management *call, const Triggers__V1__PutTenantRequest *asked)
{
    if (!tenant_name_is_valid(asked->name))
        return manage_refuse(call, "TENANT_NAME_INVALID", "name", NAME_RULE), false;
    if (asked->description_stated_case && !text_has_at_most(asked->description, DESCRIPTION_MAX))
        return manage_refuse(call, "DESCRIPTION_INVALID", "description", DESCRIPTION_RULE), false;
    if (asked->keep_acknowledged_case && asked->keep_acknowledged_seconds > KEEP_MAX_SECONDS)
        return manage_refuse(call, "KEEP_INVALID", "keep_acknowledged_seconds", KEEP_RULE), false;
    if (asked->keep_pending_case && asked->keep_pending_seconds > KEEP_MAX_SECONDS)
        return manage_refuse(call, "KEEP_INVALID", "keep_pending_seconds", KEEP_RULE), false;
    return true;
}

static void merge_tenant(Triggers__V1__Tenant *tenant, const Triggers__V1__PutTenantRequest *asked)
{
    if (asked->description_stated_case)
        tenant->description = asked->description;
    if (asked->keep_acknowledged_case) {
        tenant->keep_acknowledged_case =
            TRIGGERS__V1__TENANT__KEEP_ACKNOWLEDGED_KEEP_ACKNOWLEDGED_SECONDS;
        tenant->keep_acknowledged_seconds = asked->keep_acknowledged_seconds;
    }
    if (asked->keep_pending_case) {
        tenant->keep_pending_case = TRIGGERS__V1__TENANT__KEEP_PENDING_KEEP_PENDING_SECONDS;
        tenant->keep_pending_seconds = asked->keep_pending_seconds;
    }
    if (asked->limits)
        tenant->limits = asked->limits;
    if (asked->caps)
        tenant->caps = asked->caps;
}

/* A new one; NULL without memory. */
static struct tenant_copy *make_tenant(struct management *call, const char *name)
{
    struct arena *arena = call->request->arena;
    struct tenant_copy *tenant = arena_calloc(arena, 1, sizeof(*tenant));
    Triggers__V1__Tenant *message = arena_alloc(arena, sizeof(*message));
    if (!tenant || !message)
        return NULL;
    triggers__v1__tenant__init(message);
    *tenant = (struct tenant_copy){.number = -1, .message = message};
    message->name = (char *)name;
    message->state = TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE;
    message->created_at = row_time(arena, following_now_us(&call->access->following));
    return message->created_at ? tenant : NULL;
}

static enum store_result answer_put(struct management *call, Triggers__V1__Tenant *tenant,
                                    bool created)
{
    Triggers__V1__PutTenantResponse *answer = arena_alloc(call->request->arena, sizeof(*answer));
    if (!answer)
        return manage_no_memory(call);
    triggers__v1__put_tenant_response__init(answer);
    answer->tenant = tenant;
    answer->created = created;
    return manage_answer(call, &answer->base);
}

static enum store_result create_tenant(struct management *call, struct store_session *session,
                                       const Triggers__V1__PutTenantRequest *asked, bool *again,
                                       struct status *status)
{
    if (keyring_tenants(call->access->keyring) >= KEYRING_TENANTS_MAX)
        return manage_fail(call, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_TENANTS",
                           "there are %d tenants, the most that there may be", KEYRING_TENANTS_MAX);
    struct tenant_copy *tenant = make_tenant(call, asked->name);
    if (!tenant)
        return manage_no_memory(call);
    merge_tenant(tenant->message, asked);
    enum store_result result = write_tenant(call, session, tenant, again, status);
    if (result != STORE_OK || *again || call->request->status.code != STATUS_OK)
        return result;
    return answer_put(call, tenant->message, true);
}

enum store_result manage_put_tenant(struct management *call, struct store_session *session,
                                    bool *again, struct status *status)
{
    struct arena *arena = call->request->arena;
    const Triggers__V1__PutTenantRequest *asked =
        (const Triggers__V1__PutTenantRequest *)call->request->asked;
    call->target = slice_of(asked->name);
    if (!check_put(call, asked))
        return STORE_OK;
    struct tenant_copy *tenant =
        keyring_tenant(call->access->keyring, slice_of(asked->name), arena);
    if (arena->exhausted)
        return manage_no_memory(call);
    if (!tenant)
        return create_tenant(call, session, asked, again, status);
    if (is_deleting(tenant))
        return refuse_deleting(call);
    struct slice before = row_pack(arena, &tenant->message->base);
    merge_tenant(tenant->message, asked);
    struct slice after = row_pack(arena, &tenant->message->base);
    if (!before.data || !after.data)
        return manage_no_memory(call);
    bool same = before.size == after.size && memcmp(before.data, after.data, after.size) == 0;
    enum store_result result = same ? STORE_OK : write_tenant(call, session, tenant, again, status);
    if (result != STORE_OK || *again || call->request->status.code != STATUS_OK)
        return result;
    return answer_put(call, tenant->message, false);
}

/* ---- read ---- */

static enum store_result count_tenant(struct store_session *session, struct scope scope,
                                      Triggers__V1__Usage *usage, struct status *status)
{
    struct store_usage step = {.blocks = USAGE_BLOCKS, .after_block = -1};
    enum store_result result = STORE_OK;
    int64_t events = 0;
    triggers__v1__usage__init(usage);
    for (int i = 0; result == STORE_OK && (i == 0 || (step.more && i < USAGE_STEPS)); i++) {
        result = session->store->driver->usage(session, scope, &step, status);
        usage->pending_events += (uint64_t)step.pending;
        usage->storage_bytes += (uint64_t)step.single_bytes;
        events += step.single_events;
    }
    events += step.last - step.first + 1;
    usage->storage_bytes += (uint64_t)(step.bytes + events * CAPS_EVENT_BYTES);
    usage->subscriptions = (uint32_t)step.subscriptions;
    return result;
}

/* "inbox" is always there, with a row once it was used. */
static enum store_result leave_out_inbox(struct store_session *session, struct scope scope,
                                         struct arena *arena, Triggers__V1__Usage *usage,
                                         struct status *status)
{
    struct store_subscriptions inbox = {.name = slice_of("inbox"), .limit = 1, .arena = arena};
    enum store_result result =
        session->store->driver->subscriptions(session, scope, &inbox, status);
    usage->subscriptions -= result == STORE_OK && inbox.count > 0 && usage->subscriptions > 0;
    return result;
}

static enum store_result read_usage(struct management *call, struct store_session *session,
                                    int64_t tenant, Triggers__V1__Usage **usage,
                                    struct status *status)
{
    struct scope scope = {.tenant = tenant};
    *usage = arena_alloc(call->request->arena, sizeof(**usage));
    if (!*usage)
        return STORE_OK;
    enum store_result result = count_tenant(session, scope, *usage, status);
    return result == STORE_OK
               ? leave_out_inbox(session, scope, call->request->arena, *usage, status)
               : result;
}

enum store_result manage_get_tenant(struct management *call, struct store_session *session,
                                    bool *again, struct status *status)
{
    const Triggers__V1__GetTenantRequest *asked =
        (const Triggers__V1__GetTenantRequest *)call->request->asked;
    struct tenant_copy *tenant = manage_find_tenant(call, asked->name);
    Triggers__V1__GetTenantResponse *answer = arena_alloc(call->request->arena, sizeof(*answer));
    (void)again;
    if (!tenant)
        return STORE_OK;
    if (!answer)
        return manage_no_memory(call);
    triggers__v1__get_tenant_response__init(answer);
    answer->tenant = tenant->message;
    enum store_result result = read_usage(call, session, tenant->number, &answer->usage, status);
    return result == STORE_OK ? manage_answer(call, &answer->base) : result;
}

enum store_result manage_list_tenants(struct management *call, struct store_session *session,
                                      bool *again, struct status *status)
{
    struct access_request *request = call->request;
    Triggers__V1__ListTenantsResponse *answer = arena_alloc(request->arena, sizeof(*answer));
    size_t count;
    bool more;
    (void)session, (void)again, (void)status;
    /* `after` is a number and one more, so that 0 can be the first page. */
    struct tenant_copy *tenants = keyring_list_tenants(
        call->access->keyring, request->after - 1, request->limit, request->arena, &count, &more);
    if (!answer || !tenants)
        return manage_no_memory(call);
    triggers__v1__list_tenants_response__init(answer);
    answer->tenants = arena_calloc(request->arena, count + 1, sizeof(*answer->tenants));
    for (size_t i = 0; answer->tenants && i < count; i++)
        answer->tenants[answer->n_tenants++] = tenants[i].message;
    request->next = more ? tenants[count - 1].number + 1 : 0;
    return answer->tenants ? manage_answer(call, &answer->base) : manage_no_memory(call);
}

/* ---- suspend, resume, delete ---- */

static enum store_result set_state(struct management *call, struct store_session *session,
                                   struct tenant_copy *tenant, Triggers__V1__TenantState state,
                                   const ProtobufCMessageDescriptor *answer, bool *again,
                                   struct status *status)
{
    enum store_result result = STORE_OK;
    if (tenant->message->state != state) {
        tenant->message->state = state;
        result = write_tenant(call, session, tenant, again, status);
    }
    if (result != STORE_OK || *again || call->request->status.code != STATUS_OK)
        return result;
    return answer_tenant(call, answer, tenant->message);
}

/* The tenant of this name, unless it is the one that stays; NULL: the call has failed. */
static struct tenant_copy *find_other(struct management *call, const char *name)
{
    call->target = slice_of(name);
    struct tenant_copy *tenant = manage_find_tenant(call, name);
    if (!tenant || tenant->number != SCOPE_DEFAULT.tenant)
        return tenant;
    manage_refuse(call, "TENANT_FIXED", "name",
                  "must not be \"" TENANT_DEFAULT_NAME "\", the tenant that stays");
    return NULL;
}

enum store_result manage_suspend_tenant(struct management *call, struct store_session *session,
                                        bool *again, struct status *status)
{
    const Triggers__V1__SuspendTenantRequest *asked =
        (const Triggers__V1__SuspendTenantRequest *)call->request->asked;
    struct tenant_copy *tenant = find_other(call, asked->name);
    if (!tenant)
        return STORE_OK;
    if (is_deleting(tenant))
        return refuse_deleting(call);
    return set_state(call, session, tenant, TRIGGERS__V1__TENANT_STATE__TENANT_STATE_SUSPENDED,
                     &triggers__v1__suspend_tenant_response__descriptor, again, status);
}

enum store_result manage_resume_tenant(struct management *call, struct store_session *session,
                                       bool *again, struct status *status)
{
    const Triggers__V1__ResumeTenantRequest *asked =
        (const Triggers__V1__ResumeTenantRequest *)call->request->asked;
    call->target = slice_of(asked->name);
    struct tenant_copy *tenant = manage_find_tenant(call, asked->name);
    if (!tenant)
        return STORE_OK;
    if (is_deleting(tenant))
        return refuse_deleting(call);
    return set_state(call, session, tenant, TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE,
                     &triggers__v1__resume_tenant_response__descriptor, again, status);
}

enum store_result manage_delete_tenant(struct management *call, struct store_session *session,
                                       bool *again, struct status *status)
{
    const Triggers__V1__DeleteTenantRequest *asked =
        (const Triggers__V1__DeleteTenantRequest *)call->request->asked;
    struct tenant_copy *tenant = find_other(call, asked->name);
    if (!tenant)
        return STORE_OK;
    return set_state(call, session, tenant, TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING,
                     &triggers__v1__delete_tenant_response__descriptor, again, status);
}

/* ---- what was done ---- */

/* NULL without memory, or when the row is damaged. */
static Triggers__V1__AuditRecord *read_record(const struct store_audit_record *record,
                                              struct arena *arena)
{
    Triggers__V1__AuditRecord *message =
        row_unpack(arena, &triggers__v1__audit_record__descriptor, record->body);
    if (!message)
        return NULL;
    message->number = (uint64_t)record->number;
    message->recorded_at = row_time(arena, record->at_us);
    return message;
}

enum store_result manage_list_audit(struct management *call, struct store_session *session,
                                    bool *again, struct status *status)
{
    struct access_request *request = call->request;
    const Triggers__V1__ListAuditRecordsRequest *asked =
        (const Triggers__V1__ListAuditRecordsRequest *)request->asked;
    struct tenant_copy *tenant = manage_find_tenant(call, asked->tenant);
    (void)again;
    if (!tenant)
        return STORE_OK;
    struct store_audit_list list = {
        .before = request->after, .limit = request->limit, .arena = request->arena};
    enum store_result result = session->store->driver->audit_list(
        session, (struct scope){.tenant = tenant->number}, &list, status);
    if (result != STORE_OK)
        return result;
    Triggers__V1__ListAuditRecordsResponse *answer = arena_alloc(request->arena, sizeof(*answer));
    Triggers__V1__AuditRecord **records =
        list.no_memory ? NULL : arena_calloc(request->arena, list.count + 1, sizeof(*records));
    if (!answer || !records)
        return manage_no_memory(call);
    triggers__v1__list_audit_records_response__init(answer);
    answer->records = records;
    for (size_t i = 0; i < list.count; i++) {
        Triggers__V1__AuditRecord *record = read_record(&list.records[i], request->arena);
        if (record)
            records[answer->n_records++] = record;
    }
    if (request->arena->exhausted)
        return manage_no_memory(call);
    request->next = list.more ? list.records[list.count - 1].number : 0;
    return manage_answer(call, &answer->base);
}
