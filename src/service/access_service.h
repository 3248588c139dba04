/* triggers.v1.AccessService: requests to what access manages, its answers to responses. */
#ifndef TRIGGERS_SERVICE_ACCESS_SERVICE_H
#define TRIGGERS_SERVICE_ACCESS_SERVICE_H

#include "access/access.h"
#include "rpc/call.h"

struct access_service {
    Triggers__V1__AccessService_Service base; /* first: what the dispatcher holds */
    struct access *access;
};

/* The handlers answer from any thread; `access` must outlive the last answer. */
void access_service_init(struct access_service *service, struct access *access);

/* The handlers, named by the generated initialiser. `call` is the struct call to answer; the
 * closures are not used. */
#define ACCESS_HANDLER(name, Message)                                                              \
    void access_service_##name(Triggers__V1__AccessService_Service *service,                       \
                               const Triggers__V1__##Message##Request *request,                    \
                               Triggers__V1__##Message##Response_Closure closure, void *call)
ACCESS_HANDLER(put_tenant, PutTenant);
ACCESS_HANDLER(get_tenant, GetTenant);
ACCESS_HANDLER(list_tenants, ListTenants);
ACCESS_HANDLER(suspend_tenant, SuspendTenant);
ACCESS_HANDLER(resume_tenant, ResumeTenant);
ACCESS_HANDLER(delete_tenant, DeleteTenant);
ACCESS_HANDLER(create_key, CreateKey);
ACCESS_HANDLER(get_key, GetKey);
ACCESS_HANDLER(list_keys, ListKeys);
ACCESS_HANDLER(rotate_key, RotateKey);
ACCESS_HANDLER(revoke_key, RevokeKey);
ACCESS_HANDLER(list_audit_records, ListAuditRecords);

#endif
