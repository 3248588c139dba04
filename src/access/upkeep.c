/* What is done again and again: reading changes, telling the store when keys were used, writing
 * records, following tenants to their end, and removing what is over. */
#include <stdio.h>
#include <stdlib.h>

#include "access/access_metrics.h"
#include "access/access_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "events/tenants.h"

#define TASK_DEADLINE_MS 10000
#define TASK_ARENA ((size_t)8 << 20)
#define COUNT_MS 60000
#define DAY_US (INT64_C(86400) * 1000000)
#define KEEP_RECORDS_US (366 * DAY_US)
#define KEEP_ENDED_US (30 * DAY_US)
#define TRIM_STEPS 100
#define USAGE_MS 50      /* of a second */
#define ENDED_AT_ONCE 10 /* rows of one change */

/* ---- when keys were used ---- */

static enum store_result tell_uses(struct access *access, struct store_session *session,
                                   struct arena *arena, struct status *status)
{
    size_t count;
    do {
        arena_reset(arena);
        struct store_key_use *uses =
            keyring_list_uses(access->keyring, STORE_LIST_MAX, arena, &count);
        if (!uses || count == 0)
            break;
        enum store_result result = session->store->driver->keys_used(session, uses, count, status);
        if (result != STORE_OK)
            return result;
        keyring_note_uses(access->keyring, uses, count);
    } while (count == STORE_LIST_MAX);
    return STORE_OK;
}

/* ---- what is over ---- */

/* *more: there may be others. */
static enum store_result remove_ended(struct access *access, struct store_session *session,
                                      struct arena *arena, bool *more, struct status *status)
{
    struct store_access_row rows[ENDED_AT_ONCE];
    size_t count;
    const struct key_copy *ended =
        keyring_list_ended(access->keyring, following_now_us(&access->following) - KEEP_ENDED_US,
                           ENDED_AT_ONCE, arena, &count);
    *more = false;
    if (!ended || count == 0)
        return STORE_OK;
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct store_access_row){.kind = STORE_KEY,
                                            .tenant = ended[i].tenant,
                                            .id = slice_of(ended[i].message->key_id),
                                            .version = ended[i].version,
                                            .gone = true,
                                            .body = {"", 0}};
    struct store_access_change change = {.rows = rows, .count = count};
    enum store_result result = session->store->driver->access_change(session, &change, status);
    if (result == STORE_OK)
        result = following_catch_up(&access->following, session, status);
    *more = true; /* another core may be at it, too: then it was stale, and we see what it did */
    return result;
}

static enum store_result trim(struct access *access, struct store_session *session,
                              struct arena *arena, struct status *status)
{
    int64_t before_us = following_now_us(&access->following) - KEEP_RECORDS_US;
    enum store_result result = STORE_OK;
    bool more = true;
    for (int i = 0; result == STORE_OK && more && i < TRIM_STEPS; i++)
        result = session->store->driver->access_trim(session, before_us, &more, status);
    more = true;
    for (int i = 0; result == STORE_OK && more && i < TRIM_STEPS; i++) {
        arena_reset(arena);
        result = remove_ended(access, session, arena, &more, status);
    }
    return result;
}

/* ---- tenants that are deleted ---- */

static struct told_removal *told_of(struct access *access, int64_t tenant)
{
    struct told_removal *told = access->removals;
    while (told && told->tenant != tenant)
        told = told->next;
    if (told)
        return told;
    told = calloc(1, sizeof(*told));
    if (!told)
        return NULL;
    *told = (struct told_removal){.tenant = tenant, .next = access->removals};
    access->removals = told;
    return told;
}

static void forget_removal(struct access *access, const struct told_removal *told)
{
    struct told_removal **place = &access->removals;
    while (*place != told)
        place = &(*place)->next;
    *place = told->next;
    free((void *)told);
}

void upkeep_fini(struct access *access)
{
    while (access->removals)
        forget_removal(access, access->removals);
}

/* The last thing that is heard of a tenant. */
static void log_end(const Triggers__V1__Tenant *tenant)
{
    log_info("a tenant is gone, with all it had", {"name", tenant->name},
             {"events", NULL, (double)tenant->removed_events});
}

/* Writes how far it is, or that it has ended. When another core has written meanwhile, the next
 * look does it. */
static enum store_result write_removal(struct access *access, struct store_session *session,
                                       const struct tenant_copy *tenant, bool done,
                                       struct arena *arena, bool *written, struct status *status)
{
    char target[STORE_ACCESS_ID_MAX + 40];
    snprintf(target, sizeof(target), "%s: %llu events", tenant->message->name,
             (unsigned long long)tenant->message->removed_events);
    struct access_deed deed = {
        .action = "RemoveTenant", .target = slice_of(target), .request_id = "", .address = ""};
    struct store_audit_record record = {.body = record_body(arena, &deed)};
    struct store_access_row row = {.kind = STORE_TENANT,
                                   .tenant = tenant->number,
                                   .id = slice_of(tenant->message->name),
                                   .version = tenant->version,
                                   .gone = done,
                                   .body = row_pack(arena, &tenant->message->base)};
    struct store_access_change change = {.rows = &row,
                                         .count = 1,
                                         .record = done ? &record : NULL,
                                         .record_tenant = SCOPE_DEFAULT.tenant};
    *written = false;
    if (!row.body.data || !record.body.data)
        return STORE_OK;
    if (done)
        row.body = (struct slice){"", 0};
    enum store_result result = session->store->driver->access_change(session, &change, status);
    *written = result == STORE_OK && change.outcome == STORE_DONE;
    if (*written && done)
        log_end(tenant->message);
    return result == STORE_OK ? following_catch_up(&access->following, session, status) : result;
}

static enum store_result follow_removal(struct access *access, struct store_session *session,
                                        int64_t number, struct arena *arena, struct status *status)
{
    struct tenant_removal removal;
    struct told_removal *told = told_of(access, number);
    const struct tenant_copy *tenant = keyring_tenant_of(access->keyring, number, arena);
    bool written;
    tenants_removal(access->tenants, number, &removal);
    if (!told || !tenant || (removal.events == told->events && !removal.done))
        return STORE_OK;
    tenant->message->removed_events += (uint64_t)(removal.events - told->events);
    enum store_result result =
        write_removal(access, session, tenant, removal.done, arena, &written, status);
    if (written)
        told->events = removal.events;
    if (written && removal.done)
        forget_removal(access, told);
    return result;
}

static enum store_result follow_removals(struct access *access, struct store_session *session,
                                         struct arena *arena, struct status *status)
{
    struct tenant tenant = {.number = -1};
    enum store_result result = STORE_OK;
    while (result == STORE_OK && access->tenants &&
           tenants_next(access->tenants, tenant.number, &tenant)) {
        arena_reset(arena);
        if (tenant.deleting)
            result = follow_removal(access, session, tenant.number, arena, status);
    }
    return result;
}

/* ---- how much tenants with caps have ---- */

/* A step for each that is due, in turn, as others wait for the lane. */
static enum store_result count_usage(struct access *access, struct store_session *session,
                                     struct arena *arena, struct status *status)
{
    struct caps *caps = tenants_caps(access->tenants);
    int64_t until_ms = clock_monotonic_ms() + USAGE_MS;
    int64_t tenant;
    struct store_usage step;
    (void)arena;
    do {
        if (!caps_begin_count(caps, access->usage_after, &tenant, &step) &&
            !caps_begin_count(caps, -1, &tenant, &step))
            return STORE_OK;
        enum store_result result =
            session->store->driver->usage(session, (struct scope){.tenant = tenant}, &step, status);
        if (result != STORE_OK)
            return result;
        caps_end_count(caps, tenant, &step);
        access->usage_after = tenant;
    } while (clock_monotonic_ms() < until_ms);
    return STORE_OK;
}

/* ---- what is under way ---- */

static enum store_result look(struct access *access, struct store_session *session,
                              struct arena *arena, struct status *status)
{
    (void)arena;
    return following_catch_up(&access->following, session, status);
}

static enum store_result write_records(struct access *access, struct store_session *session,
                                       struct arena *arena, struct status *status)
{
    (void)arena;
    return recorder_write(&access->recorder, session, status);
}

static const struct {
    enum store_result (*run)(struct access *access, struct store_session *session,
                             struct arena *arena, struct status *status);
    int64_t interval_ms;
} WORK[WORK_COUNT] = {
    [WORK_LOOK] = {look, 1900}, /* at every second look of the main thread */
    [WORK_USES] = {tell_uses, 60000},
    [WORK_RECORDS] = {write_records, 0},
    [WORK_REMOVALS] = {follow_removals, 5000},
    [WORK_TRIM] = {trim, 3600000},
    [WORK_USAGE] = {count_usage, 900}, /* at every look of the main thread */
};

static enum access_work work_of(const struct access_task *task)
{
    return (enum access_work)(task - task->access->tasks);
}

static enum store_result run_task(struct ask_op *op, struct store_session *session,
                                  struct status *status)
{
    struct access_task *task = (struct access_task *)op;
    struct arena arena;
    arena_init(&arena, TASK_ARENA);
    enum store_result result = WORK[work_of(task)].run(task->access, session, &arena, status);
    arena_fini(&arena);
    return result;
}

static void on_task_done(struct op *op)
{
    struct access_task *task = (struct access_task *)op;
    struct access *access = task->access;
    bool more = work_of(task) == WORK_RECORDS && op->status.code == STATUS_OK;
    atomic_store(&task->busy, false);
    if (more) /* what came after the last one was written */
        upkeep_write_records(access);
}

static void begin(struct access *access, enum access_work work)
{
    struct status status;
    struct access_task *task = &access->tasks[work];
    if (atomic_exchange(&task->busy, true))
        return;
    task->access = access;
    task->op = (struct ask_op){
        .op = {.scope = SCOPE_DEFAULT,
               .deadline_ms = clock_monotonic_ms() + TASK_DEADLINE_MS,
               .bytes = sizeof(*task),
               .done = on_task_done},
        .run = run_task,
    };
    if (!asks_submit(access->asks, &task->op, &status))
        atomic_store(&task->busy, false);
}

void upkeep_write_records(struct access *access)
{
    if (recorder_has_more(&access->recorder))
        begin(access, WORK_RECORDS);
}

static bool is_needed(struct access *access, enum access_work work)
{
    if (work == WORK_RECORDS)
        return recorder_has_more(&access->recorder);
    return work == WORK_LOOK || atomic_load(&access->following.known);
}

void upkeep_look(struct access *access)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t now_us = following_now_us(&access->following);
    for (enum access_work work = 0; work < WORK_COUNT; work++) {
        if (now_ms < access->tasks[work].next_ms || !is_needed(access, work))
            continue;
        access->tasks[work].next_ms = now_ms + WORK[work].interval_ms;
        begin(access, work);
    }
    keyring_expire(access->keyring, now_us);
    keyring_charge(access->keyring);
    metric_set(&access_tenants, 0, (int64_t)keyring_tenants(access->keyring));
    metric_set(&access_keys, 0, (int64_t)keyring_keys(access->keyring));
    if (now_ms < access->counted_ms || !atomic_load(&access->following.known))
        return;
    access->counted_ms = now_ms + COUNT_MS;
    metric_set(&access_keys_expiring, 0, (int64_t)keyring_count_expiring(access->keyring, now_us));
}
