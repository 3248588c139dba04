#include "access/following.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define PAGE 100 /* rows; one has at most some 300 KiB */
#define PAGE_ARENA ((size_t)64 << 20)
#define SECOND_US 1000000

void following_init(struct following *following, struct keyring *keyring, struct tenants *tenants)
{
    *following = (struct following){.keyring = keyring, .tenants = tenants};
    pthread_mutex_init(&following->lock, NULL);
    atomic_store(&following->offset_us, clock_now_us() - clock_monotonic_us());
}

void following_fini(struct following *following)
{
    pthread_mutex_destroy(&following->lock);
}

int64_t following_now_us(const struct following *following)
{
    return clock_monotonic_us() + atomic_load(&following->offset_us);
}

/* ---- the tenants that the core looks after ---- */

static int64_t keep_us(uint64_t seconds)
{
    return seconds < INT64_MAX / SECOND_US ? (int64_t)seconds * SECOND_US : INT64_MAX;
}

static struct tenant_caps caps_of(const Triggers__V1__Caps *caps)
{
    if (!caps)
        return (struct tenant_caps){0};
    return (struct tenant_caps){.pending_events = caps->pending_events,
                                .storage_bytes = caps->storage_bytes,
                                .subscriptions = caps->subscriptions,
                                .outstanding = caps->outstanding};
}

/* A row that cannot be read is kept as the server keeps events, without caps. False without memory.
 */
static bool put_tenant(struct following *following, const struct store_access_row *row,
                       struct arena *arena)
{
    struct tenant tenant = {.number = row->tenant,
                            .keep_acknowledged_us = TENANT_KEEPS_AS_SERVER,
                            .keep_pending_us = TENANT_KEEPS_AS_SERVER};
    struct tenant_caps most = {0};
    const Triggers__V1__Tenant *message =
        row_unpack(arena, &triggers__v1__tenant__descriptor, row->body);
    if (message) {
        tenant.deleting = message->state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING;
        if (message->keep_acknowledged_case)
            tenant.keep_acknowledged_us = keep_us(message->keep_acknowledged_seconds);
        if (message->keep_pending_case)
            tenant.keep_pending_us = keep_us(message->keep_pending_seconds);
        most = caps_of(message->caps);
    }
    return tenants_put(following->tenants, &tenant) &&
           caps_put(tenants_caps(following->tenants), tenant.number, &most);
}

static bool tell_tenants(struct following *following, const struct store_access_changes *changes)
{
    bool told = true;
    for (size_t i = 0; told && following->tenants && i < changes->count; i++) {
        const struct store_access_row *row = &changes->rows[i];
        if (row->kind != STORE_TENANT)
            continue;
        if (row->gone)
            tenants_drop(following->tenants, row->tenant);
        else
            told = put_tenant(following, row, changes->arena);
    }
    return told;
}

/* Those that were not among everything. */
static void drop_old_tenants(struct following *following)
{
    struct tenant tenant;
    for (int64_t at = SCOPE_DEFAULT.tenant;
         following->tenants && tenants_next(following->tenants, at, &tenant); at = tenant.number)
        if (!keyring_has_tenant(following->keyring, tenant.number))
            tenants_drop(following->tenants, tenant.number);
}

/* ---- reading ---- */

/* Those of one catching up. */
struct changes_read {
    struct known_change before; /* the last one that was known, from which on it reads */
    struct known_change last;
    bool found; /* `before` is there, or its row has changed again */
    bool other; /* another change is in its place */
};

static enum store_result no_memory(struct status *status)
{
    status_fail(status, STATUS_UNAVAILABLE, "OUT_OF_MEMORY",
                "the server is out of memory; try again later");
    return STORE_UNAVAILABLE;
}

static void note_change(struct changes_read *read, const struct store_access_row *row)
{
    size_t size = row->id.size < STORE_ACCESS_ID_MAX ? row->id.size : STORE_ACCESS_ID_MAX;
    bool same = row->kind == read->before.kind && slice_is(row->id, read->before.id);
    read->found |= same;
    read->other |= row->version == read->before.version && !same;
    read->last.version = row->version;
    read->last.kind = row->kind;
    memcpy(read->last.id, row->id.data, size);
    read->last.id[size] = '\0';
}

static bool take_page(struct following *following, const struct store_access_changes *changes,
                      struct changes_read *read)
{
    size_t known = 0;
    for (size_t i = 0; i < changes->count; i++)
        note_change(read, &changes->rows[i]);
    while (known < changes->count && changes->rows[known].version <= read->before.version)
        known++;
    return tell_tenants(following, changes) &&
           keyring_apply(following->keyring, changes->rows + known, changes->count - known,
                         changes->now_us);
}

/* Reads on from the change before on, that included. */
static enum store_result read_changes(struct following *following, struct store_session *session,
                                      struct changes_read *read, struct status *status)
{
    struct arena arena;
    struct store_access_changes changes = {
        .after = read->before.version > 0 ? read->before.version - 1 : 0, .more = true};
    enum store_result result = STORE_OK;
    arena_init(&arena, PAGE_ARENA);
    while (result == STORE_OK && changes.more) {
        arena_reset(&arena);
        changes =
            (struct store_access_changes){.after = changes.after, .limit = PAGE, .arena = &arena};
        result = session->store->driver->access_changes(session, &changes, status);
        if (result != STORE_OK)
            break;
        atomic_store(&following->offset_us, changes.now_us - clock_monotonic_us());
        if (changes.no_memory || !take_page(following, &changes, read))
            result = no_memory(status);
        changes.after = read->last.version;
    }
    arena_fini(&arena);
    return result;
}

static enum store_result read_everything(struct following *following, struct store_session *session,
                                         struct status *status)
{
    struct changes_read read = {0};
    keyring_begin_load(following->keyring);
    enum store_result result = read_changes(following, session, &read, status);
    if (result != STORE_OK)
        return result;
    keyring_end_load(following->keyring, following_now_us(following));
    drop_old_tenants(following);
    following->last = read.last;
    atomic_store(&following->known, true);
    return STORE_OK;
}

static enum store_result read_on(struct following *following, struct store_session *session,
                                 struct status *status)
{
    struct changes_read read = {.before = following->last};
    enum store_result result = read_changes(following, session, &read, status);
    if (result != STORE_OK)
        return result;
    if (read.found && !read.other) {
        following->last = read.last;
        return STORE_OK;
    }
    log_warning("the store's keys are not those that were read last; all are read again");
    return read_everything(following, session, status);
}

enum store_result following_catch_up(struct following *following, struct store_session *session,
                                     struct status *status)
{
    pthread_mutex_lock(&following->lock);
    enum store_result result = following->last.version > 0
                                   ? read_on(following, session, status)
                                   : read_everything(following, session, status);
    pthread_mutex_unlock(&following->lock);
    return result;
}
