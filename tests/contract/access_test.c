/* Tenants and keys as rows, the versions of their changes, when keys were used, and records; and
 * the removal of what a tenant has. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "ledger_world.h"

static struct store_access_row tenant_row(const char *name, int64_t number, int64_t version,
                                          const char *body)
{
    return (struct store_access_row){.kind = STORE_TENANT,
                                     .tenant = number,
                                     .id = slice_of(name),
                                     .version = version,
                                     .body = slice_of(body)};
}

static struct store_access_row key_row(const char *id, int64_t tenant, int64_t version,
                                       const char *body)
{
    return (struct store_access_row){.kind = STORE_KEY,
                                     .tenant = tenant,
                                     .id = slice_of(id),
                                     .version = version,
                                     .body = slice_of(body)};
}

static enum store_result try_change(struct world *world, struct store_session *session,
                                    struct store_access_change *change, struct status *status)
{
    enum store_result result;
    do
        result = world->store->driver->access_change(session, change, status);
    while (result == STORE_RETRY);
    return result;
}

static enum store_outcome change_with(struct world *world, struct store_access_change change)
{
    struct status status = STATUS_INIT;
    change.outcome = STORE_CONFLICT; /* none that a change may have */
    if (try_change(world, world->writer, &change, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return change.outcome;
}

static enum store_outcome change_row(struct world *world, struct store_access_row *row)
{
    return change_with(world, (struct store_access_change){.rows = row, .count = 1});
}

static enum store_outcome end_row(struct world *world, struct store_access_row *row)
{
    row->gone = true;
    return change_row(world, row);
}

/* Makes one, and returns its number. */
static int64_t make_tenant(struct world *world, const char *name)
{
    struct store_access_row row = tenant_row(name, -1, 0, "tenant");
    assert_int_equal(change_row(world, &row), STORE_DONE);
    assert_true(row.tenant > 0);
    return row.tenant;
}

static struct store_access_changes changes_after(struct world *world, int64_t after, uint32_t limit)
{
    struct store_access_changes changes = {
        .after = after, .limit = limit, .arena = &world->arena, .count = 99};
    struct status status = STATUS_INIT;
    if (world->store->driver->access_changes(world->writer, &changes, &status) != STORE_OK)
        fail_msg("%s", status.message);
    assert_false(changes.no_memory);
    assert_true(changes.count <= limit);
    for (size_t i = 0; i < changes.count; i++) {
        assert_true(changes.rows[i].version > after);
        after = changes.rows[i].version;
    }
    return changes;
}

static void assert_row(const struct store_access_row *row, const struct store_access_row *expected)
{
    assert_int_equal(row->kind, expected->kind);
    assert_int_equal(row->tenant, expected->tenant);
    assert_slice(row->id, expected->id.data, expected->id.size);
    assert_int_equal(row->version, expected->version);
    assert_int_equal(row->gone, expected->gone);
    assert_slice(row->body, expected->body.data, expected->gone ? 0 : expected->body.size);
}

/* The newest version that there is. */
static int64_t newest_version(struct world *world)
{
    struct store_access_changes changes = changes_after(world, 0, STORE_LIST_MAX);
    assert_true(changes.count > 0 && !changes.more);
    return changes.rows[changes.count - 1].version;
}

/* ---- rows ---- */

static void the_default_tenant_is_there(void **state)
{
    struct world *world = *state;
    struct store_access_changes changes = changes_after(world, 0, 10);
    assert_int_equal(changes.count, 1);
    assert_false(changes.more);
    assert_true(changes.now_us > NOON);
    struct store_access_row expected = tenant_row("default", 0, changes.rows[0].version, "");
    assert_true(expected.version >= 1);
    assert_row(&changes.rows[0], &expected);

    expected.body = slice_of("changed");
    assert_int_equal(change_row(world, &expected), STORE_DONE);
    changes = changes_after(world, 1, 10);
    assert_int_equal(changes.count, 1);
    assert_row(&changes.rows[0], &expected);
}

static void a_key_is_made_changed_and_ended(void **state)
{
    struct world *world = *state;
    int64_t before = newest_version(world);
    struct store_access_row key = key_row("abc-1.x_Y", 0, 0, "made");
    assert_int_equal(change_row(world, &key), STORE_DONE);
    assert_true(key.version > before);
    assert_row(changes_after(world, before, 10).rows, &key);

    struct store_access_row old = key;
    key.body = (struct slice){"\0changed", 8};
    assert_int_equal(change_row(world, &key), STORE_DONE);
    assert_true(key.version > old.version);
    struct store_access_changes changes = changes_after(world, before, 10);
    assert_int_equal(changes.count, 1); /* with its last change only */
    assert_row(changes.rows, &key);
    assert_int_equal(change_row(world, &old), STORE_STALE);
    assert_int_equal(end_row(world, &old), STORE_STALE);

    old = key;
    assert_int_equal(end_row(world, &key), STORE_DONE);
    changes = changes_after(world, old.version, 10);
    assert_int_equal(changes.count, 1);
    assert_row(changes.rows, &key);
    assert_int_equal(end_row(world, &key), STORE_STALE);
    key.gone = false;
    assert_int_equal(change_row(world, &key), STORE_STALE);
}

static void what_is_there_is_not_made_again(void **state)
{
    struct world *world = *state;
    struct store_access_row key = key_row("key", 0, 0, "first"), again = key;
    assert_int_equal(change_row(world, &key), STORE_DONE);
    int64_t version = newest_version(world);
    again.body = slice_of("second");
    assert_int_equal(change_row(world, &again), STORE_STALE);
    assert_int_equal(again.version, 0);
    struct store_access_row other = key_row("key", make_tenant(world, "other"), 0, "theirs");
    assert_int_equal(change_row(world, &other), STORE_STALE);
    other.version = key.version; /* the version is right, and it is not theirs */
    assert_int_equal(change_row(world, &other), STORE_STALE);
    struct store_access_row missing = key_row("missing", 0, 7, "");
    assert_int_equal(change_row(world, &missing), STORE_STALE);
    struct store_access_row tenant = tenant_row("default", -1, 0, "");
    assert_int_equal(change_row(world, &tenant), STORE_STALE);
    assert_int_equal(changes_after(world, version, 10).count, 1); /* the tenant "other" */
    /* Names of tenants and ids of keys are apart. */
    assert_int_equal(change_row(world, &(struct store_access_row){.kind = STORE_KEY,
                                                                  .id = slice_of("default"),
                                                                  .body = slice_of("")}),
                     STORE_DONE);
}

static void a_change_is_all_or_nothing(void **state)
{
    struct world *world = *state;
    struct store_access_row old = key_row("old", 0, 0, "made");
    assert_int_equal(change_row(world, &old), STORE_DONE);
    int64_t before = newest_version(world);
    struct store_audit_record record = {.body = slice_of("rotated")};
    struct store_access_row rows[3] = {key_row("new", 0, 0, "new"), old,
                                       tenant_row("default", 0, 1, "new")};
    struct store_access_change change = {.rows = rows, .count = 3, .record = &record};
    rows[1].version--;
    assert_int_equal(change_with(world, change), STORE_STALE);
    assert_int_equal(rows[0].version, 0);
    assert_int_equal(changes_after(world, before, 10).count, 0);
    struct store_audit_list list = {.limit = 10, .arena = &world->arena};
    struct status status;
    assert_int_equal(world->store->driver->audit_list(world->writer, world->scope, &list, &status),
                     STORE_OK);
    assert_int_equal(list.count, 0);

    rows[1] = old;
    rows[1].gone = true;
    assert_int_equal(change_with(world, change), STORE_DONE);
    struct store_access_changes changes = changes_after(world, before, 10);
    assert_int_equal(changes.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_row(&changes.rows[i], &rows[i]);
    assert_int_equal(record.number, 1);
    assert_true(record.at_us > NOON);
    assert_int_equal(world->store->driver->audit_list(world->writer, world->scope, &list, &status),
                     STORE_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.records[0].number, 1);
    assert_int_equal(list.records[0].at_us, record.at_us);
    assert_slice(list.records[0].body, "rotated", 7);
}

static void a_number_of_a_tenant_is_never_given_twice(void **state)
{
    struct world *world = *state;
    struct store_audit_record record = {.body = slice_of("made")};
    struct store_access_row rows[2] = {tenant_row("shop", -1, 0, "first"),
                                       key_row("first", -1, 0, "its key")};
    struct store_access_change change = {
        .rows = rows, .count = 2, .record = &record, .record_tenant = -1};
    assert_int_equal(change_with(world, change), STORE_DONE);
    int64_t number = rows[0].tenant;
    assert_true(number > 0);
    assert_int_equal(rows[1].tenant, number);
    struct store_audit_list list = {.limit = 10, .arena = &world->arena};
    struct status status;
    assert_int_equal(world->store->driver->audit_list(
                         world->writer, (struct scope){.tenant = number}, &list, &status),
                     STORE_OK);
    assert_int_equal(list.count, 1);

    struct store_access_row first = rows[0];
    assert_int_equal(end_row(world, &first), STORE_DONE);
    struct store_access_row second = tenant_row("shop", -1, 0, "second");
    assert_int_equal(change_row(world, &second), STORE_DONE);
    assert_true(second.tenant > number);
    struct store_access_changes changes = changes_after(world, rows[0].version, 10);
    assert_int_equal(changes.count, 3);
    assert_row(&changes.rows[0], &rows[1]);
    assert_row(&changes.rows[1], &first); /* the one that is gone comes before the other */
    assert_row(&changes.rows[2], &second);

    bool more;
    int64_t events;
    assert_int_equal(end_row(world, &second), STORE_DONE);
    database_execute(world->url, database_is_postgres()
                                     ? "update triggers.access_rows"
                                       "  set gone_at = gone_at - interval '25 hours'"
                                     : "update access_rows set gone_at = gone_at - 90000000000");
    assert_int_equal(world->store->driver->access_trim(world->writer, 0, &more, &status), STORE_OK);
    assert_int_equal(world->store->driver->tenant_remove(world->writer,
                                                         (struct scope){.tenant = second.tenant},
                                                         &more, &events, &status),
                     STORE_OK);
    assert_true(make_tenant(world, "shop") > second.tenant);
    reopen(world);
    assert_true(make_tenant(world, "another") > second.tenant + 1);
}

static void changes_are_followed_page_by_page(void **state)
{
    struct world *world = *state;
    struct store_access_row keys[7];
    int64_t before = newest_version(world);
    char ids[7][8];
    for (size_t i = 0; i < 7; i++) {
        snprintf(ids[i], sizeof(ids[i]), "key%zu", i);
        keys[i] = key_row(ids[i], 0, 0, "body");
        assert_int_equal(change_row(world, &keys[i]), STORE_DONE);
    }
    assert_int_equal(change_row(world, &keys[2]), STORE_DONE); /* now the last one */
    static const size_t order[] = {0, 1, 3, 4, 5, 6, 2};
    struct store_access_changes page = {.more = true};
    for (size_t i = 0; i < 7; i += 3) {
        assert_true(page.more);
        page = changes_after(world, before, 3);
        assert_int_equal(page.count, i < 6 ? 3 : 1);
        for (size_t j = 0; j < page.count; j++)
            assert_row(&page.rows[j], &keys[order[i + j]]);
        before = page.rows[page.count - 1].version;
    }
    assert_false(page.more);
    assert_int_equal(changes_after(world, before, 3).count, 0);
    assert_true(changes_after(world, 0, 8).count == 8 && !changes_after(world, 0, 8).more);
}

static void a_page_may_not_fit_its_memory(void **state)
{
    struct world *world = *state;
    char large[4096] = {0};
    struct store_access_row key = key_row("key", 0, 0, "");
    key.body = (struct slice){large, sizeof(large)};
    assert_int_equal(change_row(world, &key), STORE_DONE);
    struct arena arena;
    arena_init(&arena, 2048);
    struct store_access_changes changes = {.limit = 10, .arena = &arena};
    struct status status;
    assert_int_equal(world->store->driver->access_changes(world->writer, &changes, &status),
                     STORE_OK);
    assert_true(changes.no_memory);
    arena_fini(&arena);
    assert_int_equal(changes_after(world, 0, 10).count, 2); /* the session is as before */
}

/* ---- several sessions ---- */

#define THREADS 3
#define CHANGES 40

/* One session's part: it makes keys, and counts in a row that all of them change. */
struct changer {
    struct world *world;
    unsigned number;
    struct arena arena;
    const char *_Atomic fault;
};

/* The row's newest version, among the changes. */
static bool find_row(struct changer *changer, struct store_session *session, const char *id,
                     struct store_access_row *row)
{
    struct store_access_changes changes = {.limit = STORE_LIST_MAX, .arena = &changer->arena};
    struct status status;
    arena_reset(&changer->arena);
    if (changer->world->store->driver->access_changes(session, &changes, &status) != STORE_OK ||
        changes.no_memory)
        return false;
    for (size_t i = 0; i < changes.count; i++) {
        *row = changes.rows[i];
        if (row->id.size == strlen(id) && memcmp(row->id.data, id, row->id.size) == 0)
            return true;
    }
    return false;
}

/* One more in the row that all change, or nothing if another came before. */
static const char *count_once(struct changer *changer, struct store_session *session, bool *done)
{
    struct store_access_row row;
    char id[32], body[16];
    struct status status;
    if (!find_row(changer, session, "counter", &row))
        return "the counter is not there";
    int count = 0;
    sscanf(row.body.data, "%3d", &count);
    snprintf(body, sizeof(body), "%03d", count + 1);
    row.body = slice_of(body);
    snprintf(id, sizeof(id), "key-%u-%d", changer->number, count + 1);
    struct store_access_row rows[2] = {row, key_row(id, 0, 0, "of this count")};
    struct store_access_change change = {.rows = rows, .count = 2};
    if (try_change(changer->world, session, &change, &status) != STORE_OK)
        return "a change failed";
    *done = change.outcome == STORE_DONE;
    return NULL;
}

static void *run_changer(void *context)
{
    struct changer *changer = context;
    struct store_session *session = NULL;
    struct status status;
    arena_init(&changer->arena, 1 << 20);
    if (session_at(changer->world, &session, &status) != STORE_OK)
        changer->fault = "no session";
    for (int left = CHANGES; left > 0 && !changer->fault;) {
        bool done = false;
        changer->fault = count_once(changer, session, &done);
        left -= done;
    }
    changer->world->store->driver->session_close(session);
    arena_fini(&changer->arena);
    return NULL;
}

static void a_follower_misses_nothing_while_several_change(void **state)
{
    struct world *world = *state;
    struct store_access_row counter = key_row("counter", 0, 0, "000");
    assert_int_equal(change_row(world, &counter), STORE_DONE);
    struct changer changers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        changers[i] = (struct changer){.world = world, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_changer, &changers[i]), 0);
    }
    int64_t after = counter.version;
    int keys = 0, count = 0;
    while (keys < THREADS * CHANGES || count < THREADS * CHANGES) {
        struct store_access_changes page = changes_after(world, after, 7);
        for (size_t i = 0; i < page.count; i++) {
            int seen = 0;
            if (page.rows[i].id.data[0] == 'c') {
                sscanf(page.rows[i].body.data, "%3d", &seen);
                assert_true(seen > count);
                count = seen;
            } else {
                keys++;
            }
            after = page.rows[i].version;
        }
        arena_reset(&world->arena);
        for (unsigned i = 0; i < THREADS; i++)
            if (changers[i].fault)
                fail_msg("%s", changers[i].fault);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(keys, THREADS * CHANGES);
    assert_int_equal(count, THREADS * CHANGES);
    assert_int_equal(changes_after(world, after, 10).count, 0);
}

static void *run_change(void *context)
{
    struct world *world = context;
    static struct store_access_row row;
    static struct store_access_change change;
    struct status status;
    row = key_row("waiting", 0, 0, "");
    change = (struct store_access_change){.rows = &row, .count = 1};
    return try_change(world, world->writer, &change, &status) == STORE_OK ? &change : NULL;
}

/* Another session has begun a change and not ended it: a later one waits, so that none is seen
 * before one with a lower version. */
static void a_change_waits_for_the_one_before(void **state)
{
    struct world *world = *state;
    struct store_session *session;
    struct status status;
    assert_int_equal(session_at(world, &session, &status), STORE_OK);
    int64_t before = newest_version(world);
    struct side *side =
        side_begin(world->url, database_is_postgres() ? "update triggers.access_version"
                                                        "  set version = version + 1"
                                                      : "update access_version"
                                                        "  set version = version + 1");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_change, world), 0);
    struct store_access_changes changes = {.after = before, .limit = 10, .arena = &world->arena};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(world->store->driver->access_changes(session, &changes, &status),
                         STORE_OK);
        assert_int_equal(changes.count, 0);
    }
    side_end(side);
    void *changed;
    pthread_join(thread, &changed);
    assert_non_null(changed);
    assert_int_equal(((struct store_access_change *)changed)->outcome, STORE_DONE);
    assert_int_equal(world->store->driver->access_changes(session, &changes, &status), STORE_OK);
    assert_int_equal(changes.count, 1);
    world->store->driver->session_close(session);
}

/* ---- uses ---- */

static void note_uses(struct world *world, const struct store_key_use *uses, size_t count)
{
    struct status status = STATUS_INIT;
    if (world->store->driver->keys_used(world->writer, uses, count, &status) != STORE_OK)
        fail_msg("%s", status.message);
}

static int64_t use_of(struct world *world, const char *id)
{
    struct store_key_use uses[3] = {
        {slice_of("nobody"), -1}, {slice_of(id), -1}, {slice_of(""), -1}};
    struct status status = STATUS_INIT;
    if (world->store->driver->key_uses(world->writer, uses, 3, &status) != STORE_OK)
        fail_msg("%s", status.message);
    assert_int_equal(uses[0].used_us, 0);
    assert_int_equal(uses[2].used_us, 0);
    return uses[1].used_us;
}

static void a_later_use_of_a_key_counts(void **state)
{
    struct world *world = *state;
    struct store_access_row key = key_row("key", 0, 0, "body");
    assert_int_equal(change_row(world, &key), STORE_DONE);
    int64_t version = newest_version(world);
    assert_int_equal(use_of(world, "key"), 0);
    struct store_key_use uses[4] = {{slice_of("key"), NOON + SECOND},
                                    {slice_of("nobody"), NOON},
                                    {slice_of("key"), NOON},
                                    {slice_of("default"), NOON}}; /* a tenant's name */
    note_uses(world, uses, 4);
    assert_int_equal(use_of(world, "key"), NOON + SECOND);
    assert_int_equal(use_of(world, "default"), 0);
    note_uses(world, &uses[2], 1);
    assert_int_equal(use_of(world, "key"), NOON + SECOND);
    uses[0].used_us += 5 * SECOND;
    note_uses(world, uses, 1);
    assert_int_equal(use_of(world, "key"), NOON + 6 * SECOND);
    note_uses(world, NULL, 0);
    assert_int_equal(newest_version(world), version);

    assert_int_equal(end_row(world, &key), STORE_DONE);
    uses[0].used_us += SECOND;
    note_uses(world, uses, 1);
    assert_int_equal(use_of(world, "key"), NOON + 6 * SECOND);
}

/* ---- records ---- */

static void add_records(struct world *world, int first, size_t count)
{
    struct store_audit_record records[STORE_LIST_MAX];
    char bodies[STORE_LIST_MAX][32];
    struct status status = STATUS_INIT;
    assert_true(count <= STORE_LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(bodies[i], sizeof(bodies[i]), "record %d", first + (int)i);
        records[i] = (struct store_audit_record){.body = slice_of(bodies[i])};
    }
    if (world->store->driver->audit_add(world->writer, world->scope, records, count, &status) !=
        STORE_OK)
        fail_msg("%s", status.message);
    for (size_t i = 0; i < count; i++) {
        assert_true(records[i].number >= 1 && records[i].at_us > NOON);
        assert_true(i == 0 || records[i].number > records[i - 1].number);
    }
}

static struct store_audit_list records_before(struct world *world, int64_t before, uint32_t limit)
{
    struct store_audit_list list = {.before = before, .limit = limit, .arena = &world->arena};
    struct status status = STATUS_INIT;
    if (world->store->driver->audit_list(world->writer, world->scope, &list, &status) != STORE_OK)
        fail_msg("%s", status.message);
    assert_false(list.no_memory);
    return list;
}

static void records_are_listed_page_by_page(void **state)
{
    struct world *world = *state;
    assert_int_equal(records_before(world, 0, 10).count, 0);
    add_records(world, 1, 4);
    world->scope = (struct scope){.tenant = make_tenant(world, "other")};
    add_records(world, 101, 2);
    world->scope = SCOPE_DEFAULT;
    add_records(world, 5, 3);
    int64_t before = 0;
    int expected = 7;
    for (int page = 0; page < 3; page++) {
        struct store_audit_list list = records_before(world, before, 3);
        assert_int_equal(list.count, page < 2 ? 3 : 1);
        assert_int_equal(list.more, page < 2);
        for (size_t i = 0; i < list.count; i++, expected--) {
            char body[32];
            snprintf(body, sizeof(body), "record %d", expected);
            assert_slice(list.records[i].body, body, strlen(body));
            assert_true(before == 0 || list.records[i].number < before);
            before = list.records[i].number;
        }
    }
    assert_int_equal(records_before(world, before, 3).count, 0);
    world->scope = (struct scope){.tenant = 12345};
    assert_int_equal(records_before(world, 0, 10).count, 0);
}

static void make_records_older(struct world *world, const char *which, int days)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             database_is_postgres() ? "update triggers.audit_records"
                                      "  set recorded_at = recorded_at - interval '1 day' * %d %s"
                                    : "update audit_records"
                                      "  set recorded_at = recorded_at - 86400000000 * %d %s",
             days, which);
    database_execute(world->url, sql);
}

static int trim_wholly(struct world *world, int64_t before_us)
{
    struct status status = STATUS_INIT;
    bool more = true;
    int steps = 0;
    for (; more; steps++)
        if (world->store->driver->access_trim(world->writer, before_us, &more, &status) != STORE_OK)
            fail_msg("%s", status.message);
    return steps;
}

static void records_older_than_a_year_are_removed_in_steps(void **state)
{
    struct world *world = *state;
    const int64_t day = 86400 * SECOND;
    int64_t now_us = changes_after(world, 0, 1).now_us;
    int64_t other = make_tenant(world, "other");
    for (int i = 0; i < 2; i++)
        add_records(world, 0, STORE_LIST_MAX);
    world->scope = (struct scope){.tenant = other};
    add_records(world, 0, 500);
    make_records_older(world, "", 400);
    add_records(world, 1, 2);
    world->scope = SCOPE_DEFAULT;
    add_records(world, 1, 3);
    assert_int_equal(trim_wholly(world, now_us - 401 * day), 1);
    assert_true(records_before(world, 0, STORE_LIST_MAX).more);
    int64_t last = records_before(world, 0, 1).records[0].number;
    assert_int_equal(trim_wholly(world, now_us - 365 * day), 3);
    assert_int_equal(records_before(world, 0, 10).count, 3);
    add_records(world, 4, 1);
    assert_true(records_before(world, 0, 1).records[0].number > last);
    world->scope = (struct scope){.tenant = other};
    assert_int_equal(records_before(world, 0, 10).count, 2);
}

static void what_is_gone_is_known_of_for_a_day(void **state)
{
    struct world *world = *state;
    struct store_access_row keys[2] = {key_row("first", 0, 0, "body"),
                                       key_row("second", 0, 0, "body")};
    assert_int_equal(change_with(world, (struct store_access_change){.rows = keys, .count = 2}),
                     STORE_DONE);
    note_uses(world,
              (struct store_key_use[]){{slice_of("first"), NOON}, {slice_of("second"), NOON}}, 2);
    assert_int_equal(end_row(world, &keys[0]), STORE_DONE);
    trim_wholly(world, 0);
    assert_row(changes_after(world, keys[1].version, 10).rows, &keys[0]);
    assert_int_equal(use_of(world, "first"), NOON);
    database_execute(world->url, database_is_postgres()
                                     ? "update triggers.access_rows"
                                       "  set gone_at = gone_at - interval '1 day'"
                                     : "update access_rows set gone_at = gone_at - 86400000000");
    trim_wholly(world, 0);
    assert_int_equal(changes_after(world, keys[1].version, 10).count, 0);
    assert_int_equal(changes_after(world, 0, 10).count, 2);
    assert_int_equal(use_of(world, "first"), 0);
    assert_int_equal(use_of(world, "second"), NOON);
}

/* ---- removing a tenant ---- */

/* The tables that have a tenant's rows. */
static const char *const TABLES[] = {
    "events where tenant_id =",
    "kinds where tenant_id =",
    "blocks where tenant_id =",
    "pending where tenant_id =",
    "acknowledged where tenant_id =",
    "subscriptions where tenant_id =",
    "takes where tenant_id =",
    "settlements where tenant_id =",
    "dead_letters where tenant_id =",
    "audit_records where tenant_id =",
    "audit_numbers where tenant_id =",
    "access_rows where kind = 1 and gone_at is null and tenant_id =",
    "tenants where tenant_id =",     /* PostgreSQL */
    "kind_blocks where tenant_id =", /* SQLite; so the next */
    "subscription_numbers where tenant_id =",
};
#define TABLE_COUNT (sizeof(TABLES) / sizeof(TABLES[0]))

static int64_t rows_of(const struct world *world, size_t table, int64_t tenant)
{
    char sql[128];
    bool postgres = database_is_postgres();
    bool positions = !postgres && strncmp(TABLES[table], "acknowledged", 12) == 0;
    if (postgres ? table >= TABLE_COUNT - 2 : table == TABLE_COUNT - 3)
        return -1; /* it has no such table */
    snprintf(sql, sizeof(sql), "select count(*) from %s %lld",
             positions ? "acknowledged where position >> 40 =" : TABLES[table], (long long)tenant);
    return database_number(world->url, sql);
}

/* Three blocks and more of events of several kinds, some acknowledged; a subscription with entries
 * and dead letters, another that was removed; keys and records. */
static void fill_tenant(struct world *world, int64_t tenant)
{
    world->scope = (struct scope){.tenant = tenant};
    append_up_to(world, 1, 850);
    struct store_item rare[3] = {event_numbered(1001), event_numbered(1002), event_numbered(1003)};
    for (size_t i = 0; i < 3; i++)
        rare[i].event.type = slice_of(i == 0 ? "rare" : "rarer");
    append_items(world, rare, 3);
    ack_up_to(world, 1, 850, 3);

    struct owner owner = make_subscription(world, "work");
    for (int i = 0; i < 5; i++)
        assert_int_equal(take_next(world, &owner), STORE_DONE);
    struct store_settlement settlement = next_settlement(&owner);
    const struct store_dead_letter dead[2] = {{.sequence = 3, .attempts = 1},
                                              {.sequence = 5, .attempts = 1}};
    settlement.dead = dead;
    settlement.dead_count = 2;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    struct owner removed = make_subscription(world, "removed");
    struct status status;
    bool more;
    assert_int_equal(world->store->driver->subscription_remove(world->writer, world->scope,
                                                               removed.id, &more, &status),
                     STORE_OK);

    char id[32];
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof(id), "key-%d-%d", (int)tenant, i);
        struct store_access_row key = key_row(id, tenant, 0, "body");
        assert_int_equal(change_row(world, &key), STORE_DONE);
    }
    add_records(world, 1, 20);
}

static int64_t remove_wholly(struct world *world, int64_t tenant)
{
    struct status status = STATUS_INIT;
    int64_t events = 0, removed;
    bool more = true;
    for (int step = 0; more; step++) {
        if (world->store->driver->tenant_remove(world->writer, (struct scope){.tenant = tenant},
                                                &more, &removed, &status) != STORE_OK)
            fail_msg("%s", status.message);
        events += removed;
        assert_true(step < 100);
    }
    return events;
}

static void a_tenant_is_removed_and_others_stay(void **state)
{
    struct world *world = *state;
    int64_t tenants[3] = {0, make_tenant(world, "stays"), make_tenant(world, "goes")};
    int64_t goes = tenants[2];
    int64_t rows[3][TABLE_COUNT];
    for (size_t i = 0; i < 3; i++)
        fill_tenant(world, tenants[i]);
    for (size_t i = 0; i < 3; i++)
        for (size_t table = 0; table < TABLE_COUNT; table++) {
            rows[i][table] = rows_of(world, table, tenants[i]);
            assert_true(rows[i][table] != 0);
        }
    int64_t before = newest_version(world);
    assert_int_equal(remove_wholly(world, goes), 853);
    for (size_t table = 0; table < TABLE_COUNT; table++) {
        assert_true(rows_of(world, table, goes) <= 0);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(rows_of(world, table, tenants[i]), rows[i][table]);
    }
    struct store_access_changes changes = changes_after(world, before, 10);
    assert_int_equal(changes.count, 3); /* its keys; its own row is as it was */
    for (size_t i = 0; i < 3; i++) {
        assert_true(changes.rows[i].gone && changes.rows[i].kind == STORE_KEY);
        assert_int_equal(changes.rows[i].tenant, goes);
        assert_int_equal(changes.rows[i].body.size, 0);
    }
    assert_int_equal(database_number(world->url, "select count(*) from access_rows where kind = 0"
                                                 " and gone_at is null"),
                     3);
    assert_int_equal(remove_wholly(world, goes), 0);
    assert_int_equal(newest_version(world), changes.rows[2].version);
    world->scope = (struct scope){.tenant = tenants[1]};
    assert_int_equal(backlog_of(world).pending, 853 - 284);
    assert_true(has_number(world, 1));
    world->scope = (struct scope){.tenant = goes};
    assert_false(has_number(world, 1));
    assert_int_equal(backlog_of(world).pending, 0);
}

/* What came while it was being removed goes with further steps; whatever is left can be read
 * between them, and appended to. */
static void a_tenant_that_is_being_removed_can_be_read(void **state)
{
    struct world *world = *state;
    int64_t tenant = make_tenant(world, "goes");
    char payload[100000];
    memset(payload, 'x', sizeof(payload));
    world->scope = (struct scope){.tenant = tenant};
    for (uint32_t i = 0; i < 3; i++) { /* more than a step takes in PostgreSQL */
        struct store_item large[100];
        for (uint32_t j = 0; j < 100; j++) {
            large[j] = event_numbered(i * 100 + j);
            large[j].event.payload = (struct slice){payload, sizeof(payload)};
        }
        append_items(world, large, 100);
    }
    bool more = true;
    uint32_t steps = 0;
    int64_t events = 0;
    for (; more; steps++) {
        struct status status;
        int64_t removed;
        assert_int_equal(world->store->driver->tenant_remove(world->writer, world->scope, &more,
                                                             &removed, &status),
                         STORE_OK);
        events += removed;
        for (int i = 0; i < 4; i++)
            list_page(world, (struct store_list){.set = i & 1, .oldest_first = i & 2, .limit = 10});
        list_page(world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 10});
        backlog_of(world);
        if (steps == 0)
            append_numbers(world, 1000, 5);
        arena_reset(&world->arena);
    }
    assert_int_equal(events, 305);
    assert_true(steps >= 2);
}

/* In PostgreSQL a second session that comes meanwhile does not wait. */
static void one_session_at_a_time_removes(void **state)
{
    struct world *world = *state;
    if (!database_is_postgres())
        return;
    int64_t tenant = make_tenant(world, "goes"), events;
    world->scope = (struct scope){.tenant = tenant};
    append_numbers(world, 1, 10);
    struct side *side = side_begin(world->url, "select pg_advisory_xact_lock(1735356005)");
    struct status status;
    bool more = false;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world->store->driver->tenant_remove(world->writer, world->scope, &more,
                                                             &events, &status),
                         STORE_OK);
        assert_true(more);
        assert_int_equal(events, 0);
    }
    assert_true(has_number(world, 10));
    side_end(side);
    assert_int_equal(remove_wholly(world, tenant), 10);
}

int run_access_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(the_default_tenant_is_there),
        WORLD_TEST(a_key_is_made_changed_and_ended),
        WORLD_TEST(what_is_there_is_not_made_again),
        WORLD_TEST(a_change_is_all_or_nothing),
        WORLD_TEST(a_number_of_a_tenant_is_never_given_twice),
        WORLD_TEST(changes_are_followed_page_by_page),
        WORLD_TEST(a_page_may_not_fit_its_memory),
        WORLD_TEST(a_follower_misses_nothing_while_several_change),
        WORLD_TEST(a_change_waits_for_the_one_before),
        WORLD_TEST(a_later_use_of_a_key_counts),
        WORLD_TEST(records_are_listed_page_by_page),
        WORLD_TEST(records_older_than_a_year_are_removed_in_steps),
        WORLD_TEST(what_is_gone_is_known_of_for_a_day),
        WORLD_TEST(a_tenant_is_removed_and_others_stay),
        WORLD_TEST(a_tenant_that_is_being_removed_can_be_read),
        WORLD_TEST(one_session_at_a_time_removes),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
