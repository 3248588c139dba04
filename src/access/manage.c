#include "access/manage.h"

#include <stdarg.h>
#include <stdio.h>

enum store_result manage_fail(struct management *call, enum status_code code, const char *reason,
                              const char *format, ...)
{
    char text[STATUS_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    status_fail(&call->request->status, code, reason, "%s", text);
    return STORE_OK;
}

enum store_result manage_refuse(struct management *call, const char *reason, const char *field,
                                const char *description)
{
    call->request->field = field;
    call->request->description = description;
    return manage_fail(call, STATUS_INVALID_ARGUMENT, reason, "%s %s", field, description);
}

enum store_result manage_no_memory(struct management *call)
{
    return manage_fail(call, STATUS_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE",
                       "the call needs more memory than it may take");
}

enum store_result manage_answer(struct management *call, ProtobufCMessage *answer)
{
    if (!answer)
        return manage_no_memory(call);
    call->request->answer = answer;
    return STORE_OK;
}

/* Whether there is room in memory for those of the rows that are new; else the call has failed. A
 * key takes about 600 bytes and twice its row. */
static bool has_room(struct management *call, const struct store_access_row *rows, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += rows[i].version == 0 ? 600 + 2 * rows[i].body.size : 0;
    if (bytes == 0 || keyring_has_room(call->access->keyring, bytes))
        return true;
    manage_fail(call, STATUS_RESOURCE_EXHAUSTED, "KEYS_TOO_LARGE",
                "the keys and tenants there are take all the memory that is for them, a quarter of "
                "what TRIGGERS_MAX_MEMORY leaves for callers: allow more, or give up some");
    return false;
}

enum store_result manage_write(struct management *call, struct store_session *session,
                               struct store_access_row *rows, size_t count, int64_t record_tenant,
                               bool *again, struct status *status)
{
    struct access_request *request = call->request;
    struct access_deed deed = {.scope = request->scope,
                               .pass = request->pass,
                               .action = call->method->name,
                               .target = call->target,
                               .result = STATUS_OK,
                               .request_id = request->request_id,
                               .address = request->address};
    struct store_audit_record record = {.body = record_body(request->arena, &deed)};
    struct store_access_change change = {
        .rows = rows, .count = count, .record = &record, .record_tenant = record_tenant};
    bool made = record.body.data;
    for (size_t i = 0; made && i < count; i++)
        made = rows[i].body.data;
    if (!made)
        return manage_no_memory(call);
    if (!has_room(call, rows, count))
        return STORE_OK;
    call->asked = true;
    enum store_result result = session->store->driver->access_change(session, &change, status);
    *again = result == STORE_OK && change.outcome == STORE_STALE;
    return result;
}

struct store_access_row manage_tenant_row(struct management *call, const struct tenant_copy *tenant)
{
    return (struct store_access_row){
        .kind = STORE_TENANT,
        .tenant = tenant->number,
        .id = slice_of(tenant->message->name),
        .version = tenant->version,
        .body = row_pack(call->request->arena, &tenant->message->base),
    };
}

struct tenant_copy *manage_find_tenant(struct management *call, const char *name)
{
    struct access_request *request = call->request;
    struct tenant_copy *tenant =
        keyring_tenant(call->access->keyring, slice_of(name), request->arena);
    uint64_t operates = ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_OPERATOR);
    if (tenant && (tenant->number == request->scope.tenant || request->scope.rights & operates))
        return tenant;
    if (request->arena->exhausted)
        manage_no_memory(call);
    else
        manage_fail(call, STATUS_NOT_FOUND, "TENANT_NOT_FOUND", "there is no such tenant");
    return NULL;
}
