/* How the databases carry out each statement: along an index, within one tenant. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "store/postgres_statements.h"
#include "store/sqlite_statements.h"

/* ---- PostgreSQL ---- */

/* 100,000 events, of which each fourth is another tenant's and each other acknowledged; some ids of
 * them; and how a statement is checked: of the tables it may only read what a key that begins with
 * the tenant finds, or a row by its place, and not as many rows as the tenant has in any. */
static const char SEED[] =
    "insert into triggers.events select i % 4 / 3,"
    "  ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,"
    "  timestamptz '2026-01-01Z' + i * interval '1 s', 'crm', 'lead.created', '{}'"
    "  from generate_series(1, 100000) i;"
    "insert into triggers.pending select tenant_id, created_at, event_id from triggers.events"
    "  where extract(epoch from created_at)::bigint % 2 = 0;"
    "insert into triggers.acknowledged select tenant_id, created_at, event_id, created_at"
    "  from triggers.events where extract(epoch from created_at)::bigint % 2 = 1;"
    "create function triggers.ids(of text) returns uuid[] language plpgsql as $$ declare"
    "  ids uuid[]; begin execute 'select array(select event_id from triggers.' || of ||"
    "  ' where tenant_id = 0 order by event_id limit 100)' into ids; return ids; end $$;"
    "create function triggers.times() returns timestamptz[] language sql as"
    "  $$ select array_fill(now(), array[100]) $$;"
    "create function triggers.texts() returns text[] language sql as"
    "  $$ select array_fill('x'::text, array[100]) $$;"
    "create function triggers.payloads() returns bytea[] language sql as"
    "  $$ select array_fill('{}'::bytea, array[100]) $$;"
    "create function triggers.new_ids() returns uuid[] language sql as"
    "  $$ select array(select gen_random_uuid() from generate_series(1, 100)) $$;"
    "create function triggers.check_plan(call text) returns void language plpgsql as $$ declare"
    "  plan jsonb; node jsonb; begin"
    "  execute 'explain (analyze, timing off, format json) execute ' || call into plan;"
    "  for node in select jsonb_path_query(plan, '$.** ? (@.\"Relation Name\" == \"events\" ||"
    "    @.\"Relation Name\" == \"pending\" || @.\"Relation Name\" == \"acknowledged\")') loop"
    "    if (node->>'Actual Loops')::numeric * ((node->>'Actual Rows')::numeric +"
    "        coalesce((node->>'Rows Removed by Filter')::numeric, 0)) > 20000"
    "        or node->>'Node Type' not in ('ModifyTable', 'Tid Scan')"
    "        and coalesce(node->>'Index Cond', '') not like '%(tenant_id = $1)%' then"
    "      raise exception '%: %', call, node - 'Plans'; end if;"
    "  end loop; end $$;"
    "analyze";

#define NEW_EVENTS                                                                                 \
    "(0, triggers.new_ids(), triggers.times(), triggers.texts(), triggers.texts(),"                \
    " triggers.payloads())"
#define PAGE "(0, '2026-01-01 12:00Z', '00000000-0000-7000-8000-000000000000', "

/* Realistic parameters of each. */
static const char *const POSTGRES_PARAMETERS[POSTGRES_STATEMENT_COUNT] = {
    [POSTGRES_SETTINGS] = "(true, '5s')",
    [POSTGRES_APPEND_NEW] = NEW_EVENTS,
    [POSTGRES_APPEND] = NEW_EVENTS,
    [POSTGRES_ACK] = "(0, triggers.ids('pending'), triggers.times())",
    [POSTGRES_ACK_UNLOCKED] = "(0, triggers.ids('pending'), triggers.times())",
    [POSTGRES_COMPARE] = "(0, triggers.ids('events'), triggers.texts(), triggers.texts(),"
                         " triggers.payloads())",
    [POSTGRES_ACKNOWLEDGED_AT] = "(0, triggers.ids('events'))",
    [POSTGRES_TABLES_LOCKED] = "",
    [POSTGRES_GET] = "(0, triggers.ids('events'))",
    [POSTGRES_LIST_PENDING_NEWEST] = PAGE "51)",
    [POSTGRES_LIST_PENDING_OLDEST] = PAGE "51)",
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST] = PAGE "51)",
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST] = PAGE "51)",
    [POSTGRES_LIST_PENDING_NEWEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_PENDING_OLDEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_BACKLOG] = "(0, 10001)",
    [POSTGRES_STANDBYS] = "",
};

static void check_postgres_plans(const struct side *side)
{
    char sql[1024];
    for (size_t i = 0; i < POSTGRES_STATEMENT_COUNT; i++) {
        assert_non_null(POSTGRES_PARAMETERS[i]);
        side_execute(side, "savepoint before");
        snprintf(sql, sizeof(sql), "select triggers.check_plan($call$%s%s$call$)",
                 POSTGRES_STATEMENTS[i].name, POSTGRES_PARAMETERS[i]);
        side_execute(side, sql);
        side_execute(side, "rollback to before");
    }
}

/* As sessions of ours are set, and with what is off there on: no setting hides a missing index. */
static void postgres_walks_along_indexes(void **state)
{
    struct world *world = *state;
    database_execute(world->url, SEED);
    struct side *side = side_begin(world->url, "set local plan_cache_mode = force_generic_plan");
    for (size_t i = 0; i < POSTGRES_STATEMENT_COUNT; i++) {
        char sql[8192];
        snprintf(sql, sizeof(sql), "prepare %s as %s", POSTGRES_STATEMENTS[i].name,
                 POSTGRES_STATEMENTS[i].sql);
        side_execute(side, sql);
    }
    check_postgres_plans(side);
    side_execute(side, "execute triggers_settings(true, '5s'); discard plans");
    check_postgres_plans(side);
    side_end(side);
}

/* ---- SQLite ---- */

/* One row of a plan: its text is the fourth column. */
static int check_step(void *context, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    const char *step = values[3];
    bool walks = strncmp(step, "SCAN", 4) == 0 && strcmp(step, "SCAN CONSTANT ROW") != 0;
    bool strays = strncmp(step, "SEARCH", 6) == 0 && !strstr(step, "(tenant_id=?") &&
                  strncmp(step, "SEARCH pending_count", 20) != 0; /* whose key is the tenant */
    bool sorts = strstr(step, "TEMP B-TREE") != NULL;
    if (walks || strays || sorts)
        fail_msg("%s: %s", (const char *)context, step);
    return 0;
}

static bool names_a_table_of_events(const char *sql)
{
    static const char *const tables[] = {" events", " pending", " acknowledged"};
    for (size_t i = 0; i < 3; i++)
        if (strstr(sql, tables[i]))
            return true;
    return false;
}

static void sqlite_searches_along_indexes(void **state)
{
    struct world *world = *state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(world->url + strlen("sqlite:///"), &db), SQLITE_OK);
    for (size_t i = 0; i < SQLITE_STATEMENT_COUNT; i++) {
        char sql[2048];
        const struct statement *statement = &SQLITE_STATEMENTS[i];
        if (!names_a_table_of_events(statement->sql))
            continue;
        snprintf(sql, sizeof(sql), "explain query plan %s", statement->sql);
        int code = sqlite3_exec(db, sql, check_step, (void *)statement->name, NULL);
        if (code != SQLITE_OK)
            fail_msg("%s: %s", statement->name, sqlite3_errmsg(db));
    }
    sqlite3_close(db);
}

int run_plan_tests(void)
{
    const struct CMUnitTest postgres[] = {WORLD_TEST(postgres_walks_along_indexes)};
    const struct CMUnitTest sqlite[] = {WORLD_TEST(sqlite_searches_along_indexes)};
    return database_is_postgres() ? cmocka_run_group_tests_name("plan", postgres, NULL, NULL)
                                  : cmocka_run_group_tests_name("plan", sqlite, NULL, NULL);
}
