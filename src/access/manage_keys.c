/* Keys: create, read, list, rotate, revoke. Whoever makes one also writes its tenant's row as it
 * is, so that no two make the last one that there may be, and none makes one in a tenant that is
 * being deleted. */
#include <string.h>

#include "access/key_rules.h"
#include "access/manage.h"

#define SECOND_US INT64_C(1000000)
#define OVERLAP_DEFAULT 86400 /* seconds */
#define OVERLAP_MAX 2592000
#define OVERLAP_RULE "must be 0 to 2592000"

/* ---- what they share ---- */

/* The tenant of this name, in which keys can be made; NULL: the call has failed. */
static struct tenant_copy *find_living(struct management *call, const char *name)
{
    struct tenant_copy *tenant = manage_find_tenant(call, name);
    if (!tenant || tenant->message->state != TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING)
        return tenant;
    manage_fail(call, STATUS_FAILED_PRECONDITION, "TENANT_DELETING", "the tenant is being deleted");
    return NULL;
}

/* The key of this id in the tenant; NULL: the call has failed. */
static struct key_copy *find_in(struct management *call, const struct tenant_copy *tenant,
                                const char *id)
{
    struct arena *arena = call->request->arena;
    struct key_copy *key = keyring_key(call->access->keyring, slice_of(id), arena);
    if (key && key->tenant == tenant->number)
        return key;
    if (arena->exhausted)
        manage_no_memory(call);
    else
        manage_fail(call, STATUS_NOT_FOUND, "KEY_NOT_FOUND", "there is no such key");
    return NULL;
}

static struct store_access_row row_of(struct management *call, const struct key_copy *key)
{
    return (struct store_access_row){
        .kind = STORE_KEY,
        .tenant = key->tenant,
        .id = slice_of(key->message->key_id),
        .version = key->version,
        .body = row_pack_key(call->request->arena, key->hash, key->message),
    };
}

/* Fills in when they were used. */
static enum store_result read_uses(struct management *call, struct store_session *session,
                                   struct key_copy *keys, size_t count, struct status *status)
{
    struct arena *arena = call->request->arena;
    struct store_key_use *uses = arena_calloc(arena, count + 1, sizeof(*uses));
    enum store_result result = STORE_OK;
    if (!uses)
        return manage_no_memory(call);
    for (size_t i = 0; i < count; i++)
        uses[i].id = slice_of(keys[i].message->key_id);
    for (size_t first = 0; result == STORE_OK && first < count; first += STORE_LIST_MAX) {
        size_t some = count - first < STORE_LIST_MAX ? count - first : STORE_LIST_MAX;
        result = session->store->driver->key_uses(session, uses + first, some, status);
    }
    for (size_t i = 0; result == STORE_OK && i < count; i++) {
        int64_t used_us = uses[i].used_us > keys[i].used_us ? uses[i].used_us : keys[i].used_us;
        keys[i].message->last_used_at = row_time(arena, used_us);
    }
    return result;
}

/* ---- create ---- */

/* The key that the call makes, its text and id known, and what it may do to be filled in; NULL
 * without memory. */
static struct key_copy *begin_key(struct management *call, const struct tenant_copy *tenant)
{
    struct arena *arena = call->request->arena;
    struct key_copy *key = arena_calloc(arena, 1, sizeof(*key));
    if (!key)
        return NULL;
    key->tenant = tenant->number;
    key->message = arena_alloc(arena, sizeof(*key->message));
    key_text_hash(call->text, key->hash);
    return key->message ? key : NULL;
}

/* The responses with a new key are all the same but for their descriptors. NULL without memory. */
static enum store_result answer_new(struct management *call,
                                    const ProtobufCMessageDescriptor *descriptor,
                                    Triggers__V1__Key *details)
{
    struct arena *arena = call->request->arena;
    Triggers__V1__CreateKeyResponse *answer = arena_alloc(arena, sizeof(*answer));
    if (!answer)
        return manage_no_memory(call);
    protobuf_c_message_init(descriptor, answer);
    answer->key = arena_copy(arena, call->text, KEY_TEXT_LENGTH);
    answer->details = details;
    return answer->key ? manage_answer(call, &answer->base) : manage_no_memory(call);
}

/* Whether the call may make this key; else it has failed. */
static bool may_make(struct management *call, const struct tenant_copy *tenant,
                     const Triggers__V1__Key *key)
{
    const char *lacks;
    const struct pass *pass = call->request->pass;
    struct slice id = {pass ? pass->key_id : "", KEY_ID_LENGTH};
    struct arena *arena = call->request->arena;
    const struct key_copy *own = pass ? keyring_key(call->access->keyring, id, arena) : NULL;
    if (pass && !own)
        return manage_no_memory(call), false; /* or it has just gone */
    int64_t expires_us = own ? row_time_us(own->message->expires_at) : 0;
    if (!key_rules_may_give(call->request->scope.rights, pass, expires_us, key, &lacks)) {
        manage_fail(call, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED",
                    "a key can be given nothing that the caller's lacks: %s", lacks);
        return false;
    }
    if (tenant->keys >= KEYRING_KEYS_MAX) {
        manage_fail(call, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_KEYS",
                    "the tenant has %d keys, the most that it may have; those that were revoked "
                    "or have expired count for 30 days",
                    KEYRING_KEYS_MAX);
        return false;
    }
    return true;
}

/* The key that the call makes, when it was made though no answer came; else NULL. */
static struct key_copy *find_made(struct management *call)
{
    struct slice id = {key_text_id(call->text), KEY_ID_LENGTH};
    return call->asked ? keyring_key(call->access->keyring, id, call->request->arena) : NULL;
}

enum store_result manage_create_key(struct management *call, struct store_session *session,
                                    bool *again, struct status *status)
{
    struct access_request *request = call->request;
    struct arena *arena = request->arena;
    const Triggers__V1__CreateKeyRequest *asked =
        (const Triggers__V1__CreateKeyRequest *)request->asked;
    const ProtobufCMessageDescriptor *descriptor = &triggers__v1__create_key_response__descriptor;
    struct key_fault fault;
    call->target = (struct slice){key_text_id(call->text), KEY_ID_LENGTH};
    struct tenant_copy *tenant = find_living(call, asked->tenant);
    struct key_copy *made = tenant ? find_made(call) : NULL;
    if (!tenant || made)
        return made ? answer_new(call, descriptor, made->message) : STORE_OK;
    struct key_copy *key = begin_key(call, tenant);
    if (!key)
        return manage_no_memory(call);
    int64_t now_us = following_now_us(&call->access->following);
    if (!key_rules_read(asked, tenant->number, now_us, arena, key->message, &fault))
        return fault.description ? manage_refuse(call, fault.reason, fault.field, fault.description)
                                 : manage_no_memory(call);
    key->message->key_id = arena_copy(arena, key_text_id(call->text), KEY_ID_LENGTH);
    if (!key->message->key_id)
        return manage_no_memory(call);
    if (!may_make(call, tenant, key->message))
        return STORE_OK;
    struct store_access_row rows[] = {manage_tenant_row(call, tenant), row_of(call, key)};
    enum store_result result = manage_write(call, session, rows, 2, tenant->number, again, status);
    if (result != STORE_OK || *again || request->status.code != STATUS_OK)
        return result;
    return answer_new(call, descriptor, key->message);
}

/* ---- read ---- */

enum store_result manage_get_key(struct management *call, struct store_session *session,
                                 bool *again, struct status *status)
{
    const Triggers__V1__GetKeyRequest *asked =
        (const Triggers__V1__GetKeyRequest *)call->request->asked;
    struct tenant_copy *tenant = manage_find_tenant(call, asked->tenant);
    struct key_copy *key = tenant ? find_in(call, tenant, asked->key_id) : NULL;
    (void)again;
    if (!key)
        return STORE_OK;
    enum store_result result = read_uses(call, session, key, 1, status);
    if (result != STORE_OK || call->request->status.code != STATUS_OK)
        return result;
    Triggers__V1__GetKeyResponse *answer = arena_alloc(call->request->arena, sizeof(*answer));
    if (!answer)
        return manage_no_memory(call);
    triggers__v1__get_key_response__init(answer);
    answer->key = key->message;
    return manage_answer(call, &answer->base);
}

enum store_result manage_list_keys(struct management *call, struct store_session *session,
                                   bool *again, struct status *status)
{
    struct access_request *request = call->request;
    const Triggers__V1__ListKeysRequest *asked =
        (const Triggers__V1__ListKeysRequest *)request->asked;
    struct tenant_copy *tenant = manage_find_tenant(call, asked->tenant);
    size_t count;
    bool more;
    (void)again;
    if (!tenant)
        return STORE_OK;
    struct key_copy *keys = keyring_list_keys(call->access->keyring, tenant->number, request->after,
                                              request->limit, request->arena, &count, &more);
    Triggers__V1__ListKeysResponse *answer = arena_alloc(request->arena, sizeof(*answer));
    if (!keys || !answer)
        return manage_no_memory(call);
    enum store_result result = read_uses(call, session, keys, count, status);
    if (result != STORE_OK || request->status.code != STATUS_OK)
        return result;
    triggers__v1__list_keys_response__init(answer);
    answer->keys = arena_calloc(request->arena, count + 1, sizeof(*answer->keys));
    for (size_t i = 0; answer->keys && i < count; i++)
        answer->keys[answer->n_keys++] = keys[i].message;
    request->next = more ? row_time_us(keys[count - 1].message->created_at) : 0;
    return answer->keys ? manage_answer(call, &answer->base) : manage_no_memory(call);
}

/* ---- rotate ---- */

/* Whether the key can be replaced; else the call has failed. */
static bool may_rotate(struct management *call, const Triggers__V1__Key *key, int64_t now_us)
{
    if (key->revoked_at)
        manage_fail(call, STATUS_FAILED_PRECONDITION, "KEY_REVOKED", "the key is revoked");
    else if (key->rotated_to[0] != '\0')
        manage_fail(call, STATUS_FAILED_PRECONDITION, "KEY_ROTATED",
                    "the key was rotated: %s replaces it", key->rotated_to);
    else if (key->expires_at && row_time_us(key->expires_at) <= now_us)
        manage_fail(call, STATUS_FAILED_PRECONDITION, "KEY_EXPIRED", "the key has expired");
    return call->request->status.code == STATUS_OK;
}

/* The key that replaces `old`, with nothing but its own id and times; NULL without memory. */
static struct key_copy *make_successor(struct management *call, const struct tenant_copy *tenant,
                                       const struct key_copy *old,
                                       const Google__Protobuf__Timestamp *expires_at,
                                       int64_t now_us)
{
    struct arena *arena = call->request->arena;
    struct key_copy *key = begin_key(call, tenant);
    if (!key)
        return NULL;
    *key->message = *old->message; /* the names are shared; only times and ids differ */
    Triggers__V1__Key *message = key->message;
    message->key_id = arena_copy(arena, key_text_id(call->text), KEY_ID_LENGTH);
    message->rotated_from = old->message->key_id;
    message->created_at = row_time(arena, now_us);
    if (expires_at)
        message->expires_at = row_time(arena, row_time_us(expires_at));
    return arena->exhausted ? NULL : key;
}

/* Lets the old key expire. False without memory. */
static bool end_after(Triggers__V1__Key *old, const char *successor, int64_t end_us,
                      struct arena *arena)
{
    old->rotated_to = (char *)successor;
    if (old->expires_at && row_time_us(old->expires_at) <= end_us)
        return true;
    old->expires_at = row_time(arena, end_us);
    return old->expires_at;
}

/* What the request says of times; false: the call has failed. */
static bool check_rotation(struct management *call, const Triggers__V1__RotateKeyRequest *asked,
                           int64_t now_us)
{
    const char *wrong = key_rules_check_expiry(asked->expires_at, now_us);
    if (asked->overlap_case && asked->overlap_seconds > OVERLAP_MAX)
        manage_refuse(call, "OVERLAP_INVALID", "overlap_seconds", OVERLAP_RULE);
    else if (wrong)
        manage_refuse(call, "EXPIRY_INVALID", "expires_at", wrong);
    return call->request->status.code == STATUS_OK;
}

enum store_result manage_rotate_key(struct management *call, struct store_session *session,
                                    bool *again, struct status *status)
{
    struct access_request *request = call->request;
    const Triggers__V1__RotateKeyRequest *asked =
        (const Triggers__V1__RotateKeyRequest *)request->asked;
    const ProtobufCMessageDescriptor *descriptor = &triggers__v1__rotate_key_response__descriptor;
    int64_t now_us = following_now_us(&call->access->following);
    int64_t overlap = asked->overlap_case ? asked->overlap_seconds : OVERLAP_DEFAULT;
    call->target = slice_of(asked->key_id);
    struct tenant_copy *tenant = find_living(call, asked->tenant);
    struct key_copy *made = tenant ? find_made(call) : NULL;
    if (made)
        return answer_new(call, descriptor, made->message);
    struct key_copy *old = tenant ? find_in(call, tenant, asked->key_id) : NULL;
    if (!old || !check_rotation(call, asked, now_us) || !may_rotate(call, old->message, now_us))
        return STORE_OK;
    struct key_copy *new = make_successor(call, tenant, old, asked->expires_at, now_us);
    if (!new)
        return manage_no_memory(call);
    if (!may_make(call, tenant, new->message))
        return STORE_OK;
    if (!end_after(old->message, new->message->key_id, now_us + overlap * SECOND_US,
                   request->arena))
        return manage_no_memory(call);
    struct store_access_row rows[] = {manage_tenant_row(call, tenant), row_of(call, old),
                                      row_of(call, new)};
    enum store_result result = manage_write(call, session, rows, 3, tenant->number, again, status);
    if (result != STORE_OK || *again || request->status.code != STATUS_OK)
        return result;
    return answer_new(call, descriptor, new->message);
}

/* ---- revoke ---- */

/* Whether the call may revoke this key; else it has failed. */
static bool may_revoke(struct management *call, const Triggers__V1__Key *key)
{
    const char *lacks;
    if (key_rules_may_end(call->request->scope.rights, call->request->pass, key, &lacks))
        return true;
    manage_fail(call, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED",
                "a key that may do more than the caller's cannot be revoked by it: %s", lacks);
    return false;
}

enum store_result manage_revoke_key(struct management *call, struct store_session *session,
                                    bool *again, struct status *status)
{
    struct access_request *request = call->request;
    const Triggers__V1__RevokeKeyRequest *asked =
        (const Triggers__V1__RevokeKeyRequest *)request->asked;
    call->target = slice_of(asked->key_id);
    struct tenant_copy *tenant = manage_find_tenant(call, asked->tenant);
    struct key_copy *key = tenant ? find_in(call, tenant, asked->key_id) : NULL;
    Triggers__V1__RevokeKeyResponse *answer = arena_alloc(request->arena, sizeof(*answer));
    enum store_result result = STORE_OK;
    if (!key || !may_revoke(call, key->message))
        return STORE_OK;
    if (!answer)
        return manage_no_memory(call);
    if (!key->message->revoked_at) {
        key->message->revoked_at =
            row_time(request->arena, following_now_us(&call->access->following));
        if (!key->message->revoked_at)
            return manage_no_memory(call);
        struct store_access_row row = row_of(call, key);
        result = manage_write(call, session, &row, 1, tenant->number, again, status);
    }
    if (result != STORE_OK || *again || request->status.code != STATUS_OK)
        return result;
    result = read_uses(call, session, key, 1, status);
    if (result != STORE_OK || request->status.code != STATUS_OK)
        return result;
    triggers__v1__revoke_key_response__init(answer);
    answer->key = key->message;
    return manage_answer(call, &answer->base);
}
