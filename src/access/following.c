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

/* A row that cannot be read is kept as the server keeps events. False without memory. */
static bool put_tenant(struct following *following, const struct store_access_row *row,
                       struct arena *arena)
{
    struct tenant tenant = {.number = row->tenant,
                            .keep_acknowledged_us = TENANT_KEEPS_AS_SERVER,
                            .keep_pending_us = TENANT_KEEPS_AS_SERVER};
    const Triggers__V1__Tenant *message =
        row_unpack(arena, &triggers__v1__tenant__descriptor, row->body);
    if (message) {
        tenant.deleting = message->state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING;
        if (message->keep_acknowledged_case)
            tenant.keep_acknowledged_us = keep_us(message->keep_acknowledged_seconds);
        if (message->keep_pending_case)
            tenant.keep_pending_us = keep_us(message->keep_pending_seconds);
    }
    return tenants_put(following->tenants, &tenant);
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

static void start_over(struct following *following)
{
    following->version = 0;
    following->loading = true;
    keyring_begin_load(following->keyring);
}

/* Whether the first row read, from the last known change on, is that change, or a later one. */
static bool goes_on(const struct following *following, const struct store_access_changes *changes)
{
    if (changes->count == 0)
        return false;
    const struct store_access_row *first = &changes->rows[0];
    return first->version > following->version ||
           (first->version == following->version && first->kind == following->last_kind &&
            slice_is(first->id, following->last_id));
}

static void remember_last(struct following *following, const struct store_access_changes *changes)
{
    const struct store_access_row *last = &changes->rows[changes->count - 1];
    size_t size = last->id.size < STORE_ACCESS_ID_MAX ? last->id.size : STORE_ACCESS_ID_MAX;
    following->version = last->version;
    following->last_kind = last->kind;
    memcpy(following->last_id, last->id.data, size);
    following->last_id[size] = '\0';
}

static enum store_result no_memory(struct status *status)
{
    status_fail(status, STATUS_UNAVAILABLE, "OUT_OF_MEMORY",
                "the server is out of memory; try again later");
    return STORE_UNAVAILABLE;
}

static enum store_result take_page(struct following *following,
                                   struct store_access_changes *changes, struct status *status)
{
    atomic_store(&following->offset_us, changes->now_us - clock_monotonic_us());
    bool begins = following->version == 0;
    if (!begins && !goes_on(following, changes)) {
        log_warning("the store's keys are not those that were read last; all are read again");
        start_over(following);
        changes->more = true;
        return STORE_OK;
    }
    size_t known = begins || changes->rows[0].version > following->version ? 0 : 1;
    if (!tell_tenants(following, changes) ||
        !keyring_apply(following->keyring, changes->rows + known, changes->count - known,
                       changes->now_us))
        return no_memory(status);
    if (changes->count > 0)
        remember_last(following, changes);
    return STORE_OK;
}

static enum store_result read_changes(struct following *following, struct store_session *session,
                                      struct arena *arena, struct status *status)
{
    bool more = true;
    while (more) {
        arena_reset(arena);
        struct store_access_changes changes = {
            .after = following->version - 1, .limit = PAGE, .arena = arena};
        if (following->version == 0)
            changes.after = 0;
        enum store_result result =
            session->store->driver->access_changes(session, &changes, status);
        if (result == STORE_OK && changes.no_memory)
            result = no_memory(status);
        if (result == STORE_OK)
            result = take_page(following, &changes, status);
        if (result != STORE_OK)
            return result;
        more = changes.more;
    }
    return STORE_OK;
}

enum store_result following_catch_up(struct following *following, struct store_session *session,
                                     struct status *status)
{
    struct arena arena;
    arena_init(&arena, PAGE_ARENA);
    pthread_mutex_lock(&following->lock);
    if (following->version == 0)
        start_over(following);
    enum store_result result = read_changes(following, session, &arena, status);
    if (result == STORE_OK && following->loading) {
        keyring_end_load(following->keyring, following_now_us(following));
        drop_old_tenants(following);
        following->loading = false;
        atomic_store(&following->known, true);
    }
    pthread_mutex_unlock(&following->lock);
    arena_fini(&arena);
    return result;
}
