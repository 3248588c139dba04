#include "access/operator_key.h"

#include <string.h>

#include "access/key_rules.h"
#include "access/keyring.h"
#include "access/recorder.h"
#include "base/clock.h"

#define MAX_TRIES 8
#define ARENA ((size_t)64 << 20)
#define PAGE 100 /* rows; one has at most some 300 KiB */
#define ACTION "CreateKey"

/* ---- finding it ---- */

/* The row of the key with this id, in the arena; data NULL: there is none. Sets the store's clock.
 */
static enum store_result find_row(struct store_session *session, struct slice id,
                                  struct arena *arena, struct store_access_row *row,
                                  int64_t *now_us, struct status *status)
{
    struct store_access_changes changes = {.limit = PAGE, .arena = arena, .more = true};
    *row = (struct store_access_row){0};
    while (changes.more && !row->id.data) {
        arena_reset(arena);
        enum store_result result =
            session->store->driver->access_changes(session, &changes, status);
        if (result == STORE_OK && changes.no_memory) {
            status_fail(status, STATUS_UNAVAILABLE, "OUT_OF_MEMORY", "there is no memory");
            result = STORE_UNAVAILABLE;
        }
        if (result != STORE_OK)
            return result;
        *now_us = changes.now_us;
        for (size_t i = 0; i < changes.count; i++) {
            const struct store_access_row *at = &changes.rows[i];
            changes.after = at->version;
            if (at->kind == STORE_KEY && !at->gone && at->id.size == id.size &&
                memcmp(at->id.data, id.data, id.size) == 0)
                *row = *at;
        }
    }
    return STORE_OK;
}

/* What is in the store under the key's id. False: it is another key. */
static bool compare(const struct store_access_row *row, const uint8_t hash[KEY_HASH_SIZE],
                    int64_t now_us, struct arena *arena, enum operator_key *found)
{
    const Triggers__V1__Key *key =
        row_unpack(arena, &triggers__v1__key__descriptor, row_key_message(row->body));
    if (!key || row->body.size <= KEY_HASH_SIZE || row->tenant != SCOPE_DEFAULT.tenant ||
        !key_hashes_match((const uint8_t *)row->body.data, hash))
        return false;
    if (key->revoked_at)
        *found = OPERATOR_KEY_REVOKED;
    else if (key->expires_at && row_time_us(key->expires_at) <= now_us)
        *found = OPERATOR_KEY_EXPIRED;
    else if (key->rotated_to[0] != '\0')
        *found = OPERATOR_KEY_ROTATED;
    else
        *found = OPERATOR_KEY_THERE;
    return true;
}

/* ---- making it ---- */

/* Every scope. */
static size_t fill_scopes(Triggers__Api__V1__Scope scopes[64])
{
    const ProtobufCEnumDescriptor *known = &triggers__api__v1__scope__descriptor;
    size_t count = 0;
    for (int scope = TRIGGERS__API__V1__SCOPE__SCOPE_NONE + 1; scope < 64; scope++)
        if (protobuf_c_enum_descriptor_get_value(known, scope))
            scopes[count++] = (Triggers__Api__V1__Scope)scope;
    return count;
}

static enum store_result add_key(struct store_session *session, struct slice text,
                                 const uint8_t hash[KEY_HASH_SIZE], const char *name,
                                 int64_t now_us, struct arena *arena, enum store_outcome *outcome,
                                 struct status *status)
{
    Triggers__V1__Key key = TRIGGERS__V1__KEY__INIT;
    Triggers__Api__V1__Scope scopes[64];
    struct slice id = {key_text_id(text.data), KEY_ID_LENGTH};
    key.key_id = arena_copy(arena, id.data, id.size);
    key.name = (char *)name;
    key.scopes = scopes;
    key.n_scopes = fill_scopes(scopes);
    key.created_at = row_time(arena, now_us);
    struct access_deed deed = {.action = ACTION, .target = id, .request_id = "", .address = ""};
    struct store_audit_record record = {.body = record_body(arena, &deed)};
    struct store_access_row row = {.kind = STORE_KEY, .id = id};
    struct store_access_change change = {.rows = &row, .count = 1, .record = &record};
    if (key.key_id && key.created_at)
        row.body = row_pack_key(arena, hash, &key);
    if (!row.body.data || !record.body.data) {
        status_fail(status, STATUS_UNAVAILABLE, "OUT_OF_MEMORY", "there is no memory");
        return STORE_UNAVAILABLE;
    }
    enum store_result result = session->store->driver->access_change(session, &change, status);
    *outcome = change.outcome;
    return result;
}

static enum store_result put_once(struct store_session *session, struct slice text,
                                  const char *name, struct arena *arena,
                                  enum store_outcome *outcome, enum operator_key *found,
                                  struct status *status)
{
    struct store_access_row row;
    uint8_t hash[KEY_HASH_SIZE];
    int64_t now_us = 0;
    struct slice id = {key_text_id(text.data), KEY_ID_LENGTH};
    enum store_result result = find_row(session, id, arena, &row, &now_us, status);
    if (result != STORE_OK)
        return result;
    key_text_hash(text.data, hash);
    *outcome = STORE_DONE;
    *found = OPERATOR_KEY_MADE;
    if (!row.id.data)
        return add_key(session, text, hash, name, now_us, arena, outcome, status);
    if (!compare(&row, hash, now_us, arena, found))
        status_fail(status, STATUS_ALREADY_EXISTS, "KEY_EXISTS",
                    "the store has another key with the id of the operator's key, %.*s",
                    (int)id.size, id.data);
    return STORE_OK;
}

enum store_result operator_key_put(struct store_session *session, struct slice text,
                                   const char *name, enum operator_key *found,
                                   struct status *status)
{
    struct arena arena;
    enum store_outcome outcome = STORE_STALE;
    enum store_result result = STORE_OK;
    *status = STATUS_INIT;
    if (!key_text_is_valid(text.data, text.size)) {
        status_fail(status, STATUS_INVALID_ARGUMENT, "KEY_MALFORMED",
                    "the operator's key is not the text of a key, as \"triggers keys generate\" "
                    "makes one");
        return STORE_OK;
    }
    arena_init(&arena, ARENA);
    for (int tries = 0; result == STORE_OK && outcome == STORE_STALE && tries < MAX_TRIES; tries++)
        result = put_once(session, text, name, &arena, &outcome, found, status);
    arena_fini(&arena);
    if (result == STORE_OK && outcome == STORE_STALE)
        status_fail(status, STATUS_ABORTED, "ACCESS_CHANGED", "others are changing it; try again");
    return result;
}

/* ---- beside a core ---- */

static bool put_new(struct store_session *session, const char *name, char text[KEY_TEXT_LENGTH + 1],
                    struct status *status)
{
    enum operator_key found;
    enum store_result result = STORE_RETRY;
    key_text_make(text);
    for (int tries = 0; (result == STORE_RETRY || result == STORE_LOCKED) && tries < MAX_TRIES;
         tries++)
        result =
            operator_key_put(session, (struct slice){text, KEY_TEXT_LENGTH}, name, &found, status);
    return result == STORE_OK && status->code == STATUS_OK;
}

bool operator_key_make(const char *database_url, const char *name, char text[KEY_TEXT_LENGTH + 1],
                       struct status *status)
{
    struct store *store;
    struct store_session *session;
    if (!key_name_is_valid(name))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "KEY_NAME_INVALID",
                           "the name of a key " KEY_NAME_RULE);
    if (!store_open(database_url, &store, status))
        return false;
    bool made = false;
    if (store->driver->session_open(store, false, &session, status) == STORE_OK) {
        made = put_new(session, name, text, status);
        store->driver->session_close(session);
    }
    store->driver->close(store);
    if (!made)
        explicit_bzero(text, KEY_TEXT_LENGTH + 1);
    return made;
}
