/* All methods are one to us: what they ask and answer is a message, and what lists have besides. */
#include "service/access_service.h"

#include <string.h>

#include "access/managing.h"
#include "base/siphash.h"
#include "events/rules.h"
#include "service/list_request.h"
#include "service/request_checks.h"

#define DEFAULT_SIZE 100
#define MAX_SIZE 1000

/* One call, in its arena. */
struct managed_call {
    struct access_request request; /* first */
    struct call *call;
    /* Of a list: what its tokens are bound to, and where the next one goes in an answer. */
    uint64_t list;
    char **(*token_of)(ProtobufCMessage *answer);
};

void access_service_init(struct access_service *service, struct access *access)
{
    *service = (struct access_service){
        .base = TRIGGERS__V1__ACCESS_SERVICE__INIT(access_service_),
        .access = access,
    };
}

/* ---- the answer ---- */

static void fail(struct call *call, const struct access_request *request)
{
    struct field_violation violation = {request->field, request->description};
    call_fail(call, &request->status, &violation, request->field ? 1 : 0);
}

static void on_managed(struct access_request *request)
{
    struct managed_call *self = (struct managed_call *)request;
    struct call *call = self->call;
    if (request->status.code != STATUS_OK) {
        fail(call, request);
        return;
    }
    if (self->token_of && request->next != 0) {
        char *token = arena_alloc(&call->arena, PAGE_TOKEN_SIZE);
        if (!token) {
            call_fail_no_memory(call);
            return;
        }
        page_token_format(self->list, request->next, token);
        *self->token_of(request->answer) = token;
    }
    call_reply(call, request->answer);
}

/* ---- the request ---- */

/* NULL after having answered for want of memory. */
static struct managed_call *managed_call_new(struct call *call, const ProtobufCMessage *asked)
{
    struct managed_call *self = arena_calloc(&call->arena, 1, sizeof(*self));
    if (!self) {
        call_fail_no_memory(call);
        return NULL;
    }
    self->call = call;
    self->request = (struct access_request){
        .asked = asked,
        .scope = call->scope,
        .pass = call->pass,
        .caller = call->caller,
        .deadline_ms = call_answer_by_ms(call),
        .request_id = call->request_id,
        .address = call->address,
        .arena = &call->arena,
        .status = STATUS_INIT,
        .done = on_managed,
    };
    return self;
}

static void manage(Triggers__V1__AccessService_Service *service, struct call *call,
                   const ProtobufCMessage *asked)
{
    struct managed_call *self = managed_call_new(call, asked);
    if (self)
        access_manage(((struct access_service *)service)->access, &self->request);
}

/* What the tokens of a method's list are bound to, of one tenant. */
static uint64_t page_list_of_method(const ProtobufCMessage *asked, const char *tenant)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = {0};
    const char *method = asked->descriptor->name;
    return siphash(key, method, strlen(method)) ^ siphash(key, tenant, strlen(tenant));
}

static void manage_list(Triggers__V1__AccessService_Service *service, struct call *call,
                        const ProtobufCMessage *asked, const char *tenant, uint32_t size,
                        const char *token, char **(*token_of)(ProtobufCMessage *answer))
{
    struct managed_call *self = managed_call_new(call, asked);
    if (!self)
        return;
    self->list = page_list_of_method(asked, tenant);
    self->token_of = token_of;
    self->request.limit = size > 0 ? size : DEFAULT_SIZE;
    if (request_check_range(call, "PAGE_SIZE_INVALID", "page_size", self->request.limit, 1,
                            MAX_SIZE) &&
        list_request_token(call, token, self->list, &self->request.after))
        access_manage(((struct access_service *)service)->access, &self->request);
}

/* ---- the handlers ---- */

ACCESS_HANDLER(put_tenant, PutTenant)
{
    (void)closure;
    manage(service, call, &request->base);
}

ACCESS_HANDLER(get_tenant, GetTenant)
{
    (void)closure;
    manage(service, call, &request->base);
}

static char **token_of_tenants(ProtobufCMessage *answer)
{
    return &((Triggers__V1__ListTenantsResponse *)answer)->next_page_token;
}

ACCESS_HANDLER(list_tenants, ListTenants)
{
    (void)closure;
    manage_list(service, call, &request->base, "", request->page_size, request->page_token,
                token_of_tenants);
}

ACCESS_HANDLER(suspend_tenant, SuspendTenant)
{
    (void)closure;
    manage(service, call, &request->base);
}

ACCESS_HANDLER(resume_tenant, ResumeTenant)
{
    (void)closure;
    manage(service, call, &request->base);
}

ACCESS_HANDLER(delete_tenant, DeleteTenant)
{
    (void)closure;
    manage(service, call, &request->base);
}

ACCESS_HANDLER(create_key, CreateKey)
{
    (void)closure;
    manage(service, call, &request->base);
}

ACCESS_HANDLER(get_key, GetKey)
{
    (void)closure;
    manage(service, call, &request->base);
}

static char **token_of_keys(ProtobufCMessage *answer)
{
    return &((Triggers__V1__ListKeysResponse *)answer)->next_page_token;
}

ACCESS_HANDLER(list_keys, ListKeys)
{
    (void)closure;
    manage_list(service, call, &request->base, request->tenant, request->page_size,
                request->page_token, token_of_keys);
}

ACCESS_HANDLER(rotate_key, RotateKey)
{
    (void)closure;
    manage(service, call, &request->base);
}

ACCESS_HANDLER(revoke_key, RevokeKey)
{
    (void)closure;
    manage(service, call, &request->base);
}

static char **token_of_records(ProtobufCMessage *answer)
{
    return &((Triggers__V1__ListAuditRecordsResponse *)answer)->next_page_token;
}

ACCESS_HANDLER(list_audit_records, ListAuditRecords)
{
    (void)closure;
    manage_list(service, call, &request->base, request->tenant, request->page_size,
                request->page_token, token_of_records);
}
