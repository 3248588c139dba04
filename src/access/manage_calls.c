/* A call of management: a worker reads what has changed, decides, and writes; when others were
 * faster, again. Then this process reads its own change, before the call is answered. */
#include <string.h>

#include "access/manage.h"
#include "base/check.h"

#define MAX_TRIES 8 /* while others change the same */

static const struct managed_method METHODS[] = {
    {&triggers__v1__put_tenant_request__descriptor, "PutTenant", manage_put_tenant, true},
    {&triggers__v1__get_tenant_request__descriptor, "GetTenant", manage_get_tenant, false},
    {&triggers__v1__list_tenants_request__descriptor, "ListTenants", manage_list_tenants, false},
    {&triggers__v1__suspend_tenant_request__descriptor, "SuspendTenant", manage_suspend_tenant,
     true},
    {&triggers__v1__resume_tenant_request__descriptor, "ResumeTenant", manage_resume_tenant, true},
    {&triggers__v1__delete_tenant_request__descriptor, "DeleteTenant", manage_delete_tenant, true},
    {&triggers__v1__create_key_request__descriptor, "CreateKey", manage_create_key, true},
    {&triggers__v1__get_key_request__descriptor, "GetKey", manage_get_key, false},
    {&triggers__v1__list_keys_request__descriptor, "ListKeys", manage_list_keys, false},
    {&triggers__v1__rotate_key_request__descriptor, "RotateKey", manage_rotate_key, true},
    {&triggers__v1__revoke_key_request__descriptor, "RevokeKey", manage_revoke_key, true},
    {&triggers__v1__list_audit_records_request__descriptor, "ListAuditRecords", manage_list_audit,
     false},
};

static const struct managed_method *find_method(const ProtobufCMessage *asked)
{
    const struct managed_method *found = NULL;
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++)
        if (METHODS[i].asked == asked->descriptor)
            found = &METHODS[i];
    CHECK(found);
    return found;
}

/* Whether the caller's key has ended since the call was admitted, as is known now; then it has
 * failed. What it has asked the store for already may have ended it. */
static bool is_over(struct management *call)
{
    const struct pass *pass = call->request->pass;
    if (call->asked || !pass || !atomic_load(&pass->over))
        return false;
    manage_fail(call, STATUS_UNAUTHENTICATED, "KEY_INVALID",
                "the key is not valid any more: it was revoked or has expired");
    return true;
}

static enum store_result run_management(struct ask_op *op, struct store_session *session,
                                        struct status *status)
{
    struct management *call = (struct management *)op;
    struct following *following = &call->access->following;
    bool again = true;
    for (int tries = 0; again && tries < MAX_TRIES; tries++) {
        call->request->status = STATUS_INIT;
        again = false;
        enum store_result result = following_catch_up(following, session, status);
        if (result == STORE_OK && is_over(call))
            return STORE_OK;
        if (result == STORE_OK)
            result = call->method->carry_out(call, session, &again, status);
        if (result != STORE_OK)
            return result;
    }
    if (again)
        manage_fail(call, STATUS_ABORTED, "ACCESS_CHANGED", "others are changing it; try again");
    if (call->method->changes && call->request->status.code == STATUS_OK) {
        struct status ignored; /* it is changed; the next look tells what it is */
        (void)following_catch_up(following, session, &ignored);
    }
    return STORE_OK;
}

/* What somebody may not do is on record, too. */
static void record_denial(struct management *call)
{
    struct access_request *request = call->request;
    struct access_deed deed = {.scope = request->scope,
                               .pass = request->pass,
                               .action = call->method->name,
                               .target = call->target,
                               .result = request->status.code,
                               .request_id = request->request_id,
                               .address = request->address};
    access_record(call->access, &deed);
}

static void on_managed(struct op *op)
{
    struct management *call = (struct management *)op;
    struct access_request *request = call->request;
    explicit_bzero(call->text, sizeof(call->text));
    if (op->status.code != STATUS_OK)
        request->status = op->status;
    if (call->method->changes && request->status.code == STATUS_PERMISSION_DENIED)
        record_denial(call);
    request->done(request);
}

/* Why the call is not even begun; false, with its status. */
static bool may_begin(const struct access *access, const struct management *call,
                      struct status *status)
{
    if (access->mode == ACCESS_OFF)
        return status_fail(status, STATUS_FAILED_PRECONDITION, "AUTH_OFF",
                           "keys and tenants are not used: TRIGGERS_AUTH=optional or required "
                           "makes the server use them");
    return call || status_fail(status, STATUS_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE",
                               "the call needs more memory than it may take");
}

void access_manage(struct access *access, struct access_request *request)
{
    struct management *call = arena_calloc(request->arena, 1, sizeof(*call));
    request->status = STATUS_INIT;
    request->field = request->description = NULL;
    request->answer = NULL;
    request->next = 0;
    if (!may_begin(access, call, &request->status)) {
        request->done(request);
        return;
    }
    *call = (struct management){
        .op = {.op = {.scope = request->scope,
                      .caller = request->caller,
                      .deadline_ms = request->deadline_ms,
                      .bytes = sizeof(*call),
                      .done = on_managed},
               .run = run_management},
        .access = access,
        .request = request,
        .method = find_method(request->asked),
        .target = {"", 0},
    };
    key_text_make(call->text);
    if (!asks_submit(access->asks, &call->op, &request->status))
        request->done(request);
}
