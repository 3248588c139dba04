/* What the calls of management have in common, each carried out by a worker. */
#ifndef TRIGGERS_ACCESS_MANAGE_H
#define TRIGGERS_ACCESS_MANAGE_H

#include "access/access_state.h"

/* One call, in its arena. */
struct management {
    struct ask_op op; /* first */
    struct access *access;
    struct access_request *request;
    const struct managed_method *method;
    struct slice target;            /* for its record; set as soon as it is known */
    char text[KEY_TEXT_LENGTH + 1]; /* of the key that it makes */
    bool
        asked; /* the store was asked for the change: it may have been made though no answer came */
};

struct managed_method {
    const ProtobufCMessageDescriptor *asked;
    const char *name;
    /* When all changes are known. Sets `answer` or `status` of the request, or *again: others have
     * changed the same, and it is to be called again when that is known. Any result but STORE_OK:
     * the store failed. */
    enum store_result (*carry_out)(struct management *call, struct store_session *session,
                                   bool *again, struct status *status);
    bool changes;
};

/* These fail the call and return STORE_OK, so that carry_out can end with them. */
enum store_result manage_fail(struct management *call, enum status_code code, const char *reason,
                              const char *format, ...) PRINTF_LIKE(4, 5);
enum store_result manage_refuse(struct management *call, const char *reason, const char *field,
                                const char *description);
enum store_result manage_no_memory(struct management *call);

/* The same for a NULL answer, which there was no memory for; else it is the call's. */
enum store_result manage_answer(struct management *call, ProtobufCMessage *answer);

/* Writes rows, with the record of it, which is the tenant's. *again as of carry_out. */
enum store_result manage_write(struct management *call, struct store_session *session,
                               struct store_access_row *rows, size_t count, int64_t record_tenant,
                               bool *again, struct status *status);

/* The row of a tenant as its message is; body data NULL without memory. */
struct store_access_row manage_tenant_row(struct management *call,
                                          const struct tenant_copy *tenant);

/* The tenant of this name, if the caller may see it; NULL: the call has failed. */
struct tenant_copy *manage_find_tenant(struct management *call, const char *name);

/* ---- the calls ---- */

enum store_result manage_put_tenant(struct management *call, struct store_session *session,
                                    bool *again, struct status *status);
enum store_result manage_get_tenant(struct management *call, struct store_session *session,
                                    bool *again, struct status *status);
enum store_result manage_list_tenants(struct management *call, struct store_session *session,
                                      bool *again, struct status *status);
enum store_result manage_suspend_tenant(struct management *call, struct store_session *session,
                                        bool *again, struct status *status);
enum store_result manage_resume_tenant(struct management *call, struct store_session *session,
                                       bool *again, struct status *status);
enum store_result manage_delete_tenant(struct management *call, struct store_session *session,
                                       bool *again, struct status *status);
enum store_result manage_create_key(struct management *call, struct store_session *session,
                                    bool *again, struct status *status);
enum store_result manage_get_key(struct management *call, struct store_session *session,
                                 bool *again, struct status *status);
enum store_result manage_list_keys(struct management *call, struct store_session *session,
                                   bool *again, struct status *status);
enum store_result manage_rotate_key(struct management *call, struct store_session *session,
                                    bool *again, struct status *status);
enum store_result manage_revoke_key(struct management *call, struct store_session *session,
                                    bool *again, struct status *status);
enum store_result manage_list_audit(struct management *call, struct store_session *session,
                                    bool *again, struct status *status);

#endif
