/* How the databases carry out each statement: along an index, within one tenant. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "store/postgres_statements.h"
#include "store/sqlite_statements.h"

/* ---- PostgreSQL ---- */

/* 100,000 events of 50 kinds among 3000, of which each fourth is another tenant's and each other
 * acknowledged; some ids of them; and how a statement is checked: of the tables it may only read
 * what a key that begins with the tenant finds, or a row by its place, and not as many rows as the
 * tenant has in any, and start no workers. A take may not look for others but the one before it: a
 * long transaction keeps those that were removed. Half a block of the tenant's log is still to be
 * filled. Tenants, keys and records are found by their keys too, which need not have a tenant. */
static const char ROWS[] =
    "insert into triggers.tenants select generate_series(1, 5000);"
    "insert into triggers.kinds select t, k, case when k <= 50 then 'source' else 'former' end || "
    "k,"
    "  'type' || k % 7 from generate_series(0, 1) t, generate_series(1, 3000) k;"
    "insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload,"
    "  ordering_hash, deliver_at)"
    "  select i % 4 / 3, case i % 4 when 3 then i / 4 + 1 else i / 4 * 3 + i % 4 + 1 end,"
    "  ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,"
    "  timestamptz '2026-01-01Z' + i * interval '1 s', 1 + (i / 7) % 50, '{}',"
    "  case when i % 5 < 3 then i % 100 end,"
    "  case when i % 10 = 3 then timestamptz '2026-01-01Z' + i * interval '1 min' end"
    "  from generate_series(0, 99999) i;"
    "insert into triggers.acknowledged select tenant_id, sequence, kind, created_at"
    "  from triggers.events where sequence % 2 = 1;"
    "insert into triggers.blocks select tenant_id, coalesce(kind, 0), sequence >> 8,"
    "  min(created_at), max(created_at),"
    "  case when kind is not null then array_agg((sequence & 255)::smallint order by sequence) end"
    "  from triggers.events where sequence >> 8 < case tenant_id when 0 then 291 else 97 end"
    "  group by grouping sets ((tenant_id, sequence >> 8, kind), (tenant_id, sequence >> 8));"
    "insert into triggers.pending select tenant_id, kind, block from triggers.blocks;"
    "insert into triggers.subscriptions select t, s, 1, now(), case when s > 1000 then now() end,"
    "  'name' || s, '' from generate_series(0, 1) t, generate_series(1, 4000) s"
    "  where t = 1 or s <= 100 or s = 1001;"
    "alter table triggers.subscriptions alter subscription restart with 5000;"
    "insert into triggers.takes select t, s, n, n, now() - interval '1 hour', ''"
    "  from generate_series(0, 1) t, generate_series(1, 1001) s, generate_series(1, 200) n"
    "  where s % 50 = 0 or s <= 100 and n <= s or s = 1001;"
    "insert into triggers.settlements select tenant_id, subscription, number, token, written_at,"
    "  case when number % 100 = 1 then number end, body from triggers.takes;"
    "insert into triggers.dead_letters select tenant_id, subscription, number, 1 + number % 50, 1,"
    "  written_at, number, written_at, '' from triggers.takes;"
    "insert into triggers.access_rows select 1 + i, case when i <= 1000 then 0 else 1 end,"
    "  i % 1000, 'id' || i, case when i % 5 = 0 then now() - interval '1 h' * i end, ''"
    "  from generate_series(1, 50000) i;"
    "update triggers.access_version set version = 100000, last_tenant = 1000;"
    "insert into triggers.key_uses select 'id' || i, now() from generate_series(1, 50000) i;"
    "insert into triggers.audit_numbers select i, 50000 from generate_series(0, 5000) i;"
    "insert into triggers.audit_records select i % 2, i, now() - interval '1 min' * i, ''"
    "  from generate_series(1, 50000) i";
static const char FUNCTIONS[] =
    "create function triggers.ids() returns uuid[] language plpgsql as $$ declare"
    "  ids uuid[]; begin execute 'select array(select event_id from triggers.events"
    "  where tenant_id = 0 order by event_id limit 100)' into ids; return ids; end $$;"
    "create function triggers.times() returns timestamptz[] language sql as"
    "  $$ select array_fill(now(), array[100]) $$;"
    "create function triggers.texts() returns text[] language sql as"
    "  $$ select array_fill('x'::text, array[100]) $$;"
    "create function triggers.new_texts() returns text[] language sql as"
    "  $$ select array(select 'new' || generate_series(1, 100)) $$;"
    "create function triggers.key_ids() returns text[] language sql as"
    "  $$ select array(select 'id' || generate_series(1001, 1100)) $$;"
    "create function triggers.numbers() returns integer[] language sql as"
    "  $$ select array_fill(1 + 1, array[100]) $$;"
    "create function triggers.sequences() returns bigint[] language sql as"
    "  $$ select array(select l.sequence + generate_series(1, 100) from (select"
    "  coalesce(max(sequence), 0) as sequence from triggers.events where tenant_id = 0) l) $$;"
    "create function triggers.some_blocks() returns bigint[] language sql as"
    "  $$ select array(select generate_series(1::bigint, 100)) $$;"
    "create function triggers.payloads() returns bytea[] language sql as"
    "  $$ select array_fill('{}'::bytea, array[100]) $$;"
    "create function triggers.new_ids() returns uuid[] language sql as"
    "  $$ select array(select gen_random_uuid() from generate_series(1, 100)) $$;"
    "create function triggers.check_plan(call text) returns void language plpgsql as $$ declare"
    "  plan jsonb; node jsonb; begin"
    "  execute 'explain (analyze, timing off, format json) execute ' || call into plan;"
    "  if jsonb_path_exists(plan, '$.**.\"Workers Planned\"') then"
    "    raise exception '%: in parallel', call; end if;"
    "  for node in select jsonb_path_query(plan, '$.** ? (@.\"Relation Name\" == \"events\" ||"
    "    @.\"Relation Name\" == \"pending\" || @.\"Relation Name\" == \"acknowledged\" ||"
    "    @.\"Relation Name\" == \"blocks\" || @.\"Relation Name\" == \"kinds\" ||"
    "    @.\"Relation Name\" == \"tenants\" || @.\"Relation Name\" == \"subscriptions\" ||"
    "    @.\"Relation Name\" == \"takes\" || @.\"Relation Name\" == \"settlements\" ||"
    "    @.\"Relation Name\" == \"dead_letters\")') loop"
    "    if (node->>'Actual Loops')::numeric * ((node->>'Actual Rows')::numeric +"
    "        coalesce((node->>'Rows Removed by Filter')::numeric, 0)) > 20000"
    "        or node->>'Node Type' not in ('ModifyTable', 'Tid Scan')"
    "        and coalesce(node->>'Index Cond', node->>'Recheck Cond', '')"
    "          not like '%(tenant_id = $1)%' then"
    "      raise exception '%: %', call, node - 'Plans'; end if;"
    "    if call like '%append_takes%' and node->>'Relation Name' = 'takes'"
    "        and node->>'Node Type' <> 'ModifyTable' and (node->>'Actual Loops')::numeric > 0"
    "        and node->>'Index Cond' not like '%(number = %' then"
    "      raise exception '%: over takes that were removed: %', call, node - 'Plans'; end if;"
    "  end loop;"
    "  for node in select jsonb_path_query(plan, '$.** ? (@.\"Relation Name\" == \"access_rows\" ||"
    "    @.\"Relation Name\" == \"key_uses\" || @.\"Relation Name\" == \"audit_records\" ||"
    "    @.\"Relation Name\" == \"audit_numbers\")') loop"
    "    if (node->>'Actual Loops')::numeric * ((node->>'Actual Rows')::numeric +"
    "        coalesce((node->>'Rows Removed by Filter')::numeric, 0)) > 2000"
    "        or node->>'Node Type' not in ('ModifyTable', 'Tid Scan')"
    "        and coalesce(node->>'Index Cond', node->>'Recheck Cond', '') = '' then"
    "      raise exception '%: %', call, node - 'Plans'; end if;"
    "  end loop; end $$";

/* From the middle of the log, or its end. */
#define PAGE "(0, 40000, '2026-01-01Z', '2027-01-01Z', "
/* Subscriptions whose revision is 1 and whose newest entry has their own number, token too. */
#define LEDGERS                                                                                    \
    "triggers.some_blocks(), array_fill(1::bigint, array[100]), triggers.some_blocks(),"           \
    " triggers.some_blocks(), triggers.some_blocks()"
#define OF_KINDS "array['source3', 'source11*'], '{}'"

#define SETTINGS "(true, '5s', extract(epoch from pg_postmaster_start_time()) * 1000000)"

/* Realistic parameters of each. */
static const char *const POSTGRES_PARAMETERS[POSTGRES_STATEMENT_COUNT] = {
    [POSTGRES_SETTINGS] = SETTINGS,
    [POSTGRES_SET_TENANT] = "(0)",
    [POSTGRES_APPEND_BARE] = "(0, triggers.sequences(), triggers.new_ids(), triggers.times(),"
                             " triggers.numbers(), triggers.payloads())",
    [POSTGRES_APPEND] = "(0, triggers.sequences(), triggers.new_ids(), triggers.times(),"
                        " triggers.numbers(), triggers.payloads(), triggers.texts(),"
                        " triggers.sequences(), triggers.times())",
    [POSTGRES_FOUND_TENANT] = "(0)",
    [POSTGRES_LOCK_LOG] = "(0)",
    [POSTGRES_HIGHEST_SEQUENCE] = "(0)",
    [POSTGRES_APPEND_BARE_AFTER_OTHERS] = "(0, triggers.new_ids(), triggers.times(),"
                                          " triggers.numbers(), triggers.payloads())",
    [POSTGRES_APPEND_AFTER_OTHERS] = "(0, triggers.new_ids(), triggers.times(), triggers.numbers(),"
                                     " triggers.payloads(), triggers.texts(),"
                                     " triggers.sequences(), triggers.times())",
    [POSTGRES_FILL] = "(0)",
    [POSTGRES_ACK] = "(0, triggers.ids(), triggers.times())",
    [POSTGRES_SETTLE] = "(0, triggers.numbers(), triggers.some_blocks())",
    [POSTGRES_ERASE] = "(0, triggers.ids())",
    [POSTGRES_ERASED] = "(0, triggers.ids())",
    [POSTGRES_BEGIN_TRIM] = "",
    [POSTGRES_TRIM_BLOCKS] = "(0, '2027-01-01Z', '2027-01-01Z', 4)",
    [POSTGRES_TRIM_SINGLES] = "(0, '2027-01-01Z', '2027-01-01Z', 1024)",
    [POSTGRES_SWEEP] = "(0, 20, 5, 64)",
    [POSTGRES_LOG_BEGINNING] = "(0)",
    [POSTGRES_COMPARE] = "(0, triggers.ids(), triggers.numbers(), triggers.payloads(), '{}')",
    [POSTGRES_ACKNOWLEDGED_AT] = "(0, triggers.ids())",
    [POSTGRES_ADD_KINDS] = "(0, triggers.new_texts(), triggers.texts())",
    [POSTGRES_FIND_KINDS] = "(0, triggers.texts(), triggers.texts())",
    [POSTGRES_EVENTS_LOCKED] = "",
    [POSTGRES_GET] = "(0, triggers.ids())",
    [POSTGRES_NAMES] = "(0, triggers.numbers())",
    [POSTGRES_KINDS] = "(0, 10, 20)",
    [POSTGRES_LIST_PENDING_NEWEST] = PAGE "51)",
    [POSTGRES_LIST_PENDING_OLDEST] = PAGE "51)",
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST] = PAGE "51)",
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST] = PAGE "51)",
    [POSTGRES_LIST_LOG] = PAGE "51)",
    [POSTGRES_LIST_PENDING_NEWEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_PENDING_OLDEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_LOG_SIZED] = PAGE "1001, 8388608)",
    [POSTGRES_LIST_PENDING_NEWEST_OF_KINDS] = PAGE "51, " OF_KINDS ")",
    [POSTGRES_LIST_PENDING_OLDEST_OF_KINDS] = PAGE "51, " OF_KINDS ")",
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST_OF_KINDS] = PAGE "51, " OF_KINDS ")",
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST_OF_KINDS] = PAGE "51, " OF_KINDS ")",
    [POSTGRES_LIST_LOG_OF_KINDS] = PAGE "51, " OF_KINDS ")",
    [POSTGRES_LIST_PENDING_NEWEST_OF_KINDS_SIZED] = PAGE "151, " OF_KINDS ", 8388608)",
    [POSTGRES_LIST_PENDING_OLDEST_OF_KINDS_SIZED] = PAGE "151, " OF_KINDS ", 8388608)",
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST_OF_KINDS_SIZED] = PAGE "151, " OF_KINDS ", 8388608)",
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST_OF_KINDS_SIZED] = PAGE "151, " OF_KINDS ", 8388608)",
    [POSTGRES_LIST_LOG_OF_KINDS_SIZED] = PAGE "151, " OF_KINDS ", 8388608)",
    [POSTGRES_BACKLOG] = "(0, 50)",
    [POSTGRES_USAGE] = "(0, 50, 50)",
    [POSTGRES_APPEND_TAKES] = "(0, " LEDGERS ", triggers.payloads(), false)",
    [POSTGRES_APPEND_BARE_SETTLEMENTS] =
        "(0, " LEDGERS ", array_fill(-1::bigint, array[100]), triggers.payloads(),"
        " triggers.some_blocks(), triggers.some_blocks())",
    [POSTGRES_APPEND_SETTLEMENTS] =
        "(0, " LEDGERS ", array_fill(-1::bigint, array[100]), triggers.payloads(),"
        " triggers.some_blocks(), triggers.some_blocks(), triggers.some_blocks(),"
        " triggers.sequences(), triggers.some_blocks(), triggers.sequences(),"
        " triggers.some_blocks(), triggers.times(), triggers.texts(), triggers.some_blocks(),"
        " triggers.some_blocks())",
    [POSTGRES_SETTLED_AT] = "(0, triggers.some_blocks(), triggers.some_blocks(),"
                            " triggers.some_blocks())",
    [POSTGRES_LEDGER_ROW] = "(0, 50)",
    [POSTGRES_LEDGER_SETTLEMENTS] = "(0, 50, 150)",
    [POSTGRES_LEDGER_TAKES] = "(0, 50, 150)",
    [POSTGRES_LEDGER_HEADS] = "(0, triggers.some_blocks())",
    [POSTGRES_TRIM_LEDGER] = "(0, 50, 50, 100, 50, 100)",
    [POSTGRES_LOG_END] = "(0)",
    [POSTGRES_GET_BY_SEQUENCE] = "(0, triggers.some_blocks())",
    [POSTGRES_SUBSCRIPTIONS] = "(0, 50, 21)",
    [POSTGRES_SUBSCRIPTION_NAMED] = "(0, 'name50')",
    [POSTGRES_CREATE_SUBSCRIPTION] = "(0, 'new', '', '', 1000)",
    [POSTGRES_CHANGE_SUBSCRIPTION] = "(0, 'name50', '', 1)",
    [POSTGRES_HIDE_SUBSCRIPTION] = "(0, 50)",
    [POSTGRES_REMOVE_SUBSCRIPTION] = "(0, 1001)",
    [POSTGRES_DEAD_LETTERS] = "(0, 50, 150, 2, 51)",
    [POSTGRES_DEAD_LETTERS_OF_KINDS] =
        "(0, 50, 150, 2, 51, " OF_KINDS ", '2026-01-01Z', '2027-01-01Z')",
    [POSTGRES_DEAD_LETTERS_OF_EVENTS] =
        "(0, 50, 150, 2, 51, " OF_KINDS
        ", '2026-01-01Z', '2027-01-01Z', triggers.some_blocks(), true)",
    [POSTGRES_DEAD_LETTERS_SIZED] = "(0, 50, 150, 2, 1001, 8388608)",
    [POSTGRES_DEAD_LETTERS_OF_KINDS_SIZED] =
        "(0, 50, 150, 2, 151, " OF_KINDS ", '2026-01-01Z', '2027-01-01Z', 8388608)",
    [POSTGRES_DEAD_LETTERS_OF_EVENTS_SIZED] =
        "(0, 50, 150, 2, 1001, " OF_KINDS
        ", '2026-01-01Z', '2027-01-01Z', triggers.some_blocks(), true, 8388608)",
    [POSTGRES_DELAYED] = "(0, '2026-01-01Z', 0, '2027-01-01Z', 51, " OF_KINDS ", 100, 70000, true)",
    [POSTGRES_DELAYED_SIZED] =
        "(0, '2026-01-01Z', 0, '2027-01-01Z', 151, '{}', '{}', 100, 70000, false, 8388608)",
    [POSTGRES_NEXT_DELAYED] = "(0, '2026-01-01Z', 100, 70000)",
    [POSTGRES_COUNT_DELAYED] = "(0, '2026-01-01Z', 0, 100, 70000, 10000)",
    [POSTGRES_KEY_NEXT] =
        "(0, triggers.some_blocks(), triggers.some_blocks(), 70000, true, '{}', '{}')",
    [POSTGRES_LOCK_ACCESS] = "",
    [POSTGRES_CHANGE_ACCESS] =
        "(array[1, 1, 0], array[1, 2, -1], array['id1001', 'id1002', 'new'], array[1002, 1003, 0],"
        " array[0, 1, 0], array['', '', '']::bytea[], array['']::bytea[], -1)",
    [POSTGRES_ACCESS_CHANGES] = "(25000, 101)",
    [POSTGRES_ACCESS_TIME] = "",
    [POSTGRES_NOTE_KEY_USES] = "(triggers.key_ids(), triggers.times())",
    [POSTGRES_KEY_USES] = "(triggers.key_ids())",
    [POSTGRES_ADD_AUDIT] = "(0, triggers.payloads())",
    [POSTGRES_LIST_AUDIT] = "(0, 25000, 101)",
    [POSTGRES_TRIM_ACCESS] = "(now() - interval '1 day')",
    [POSTGRES_BEGIN_REMOVAL] = "",
    [POSTGRES_REMOVE_SUBSCRIPTIONS_OF] = "(1)",
    [POSTGRES_REMOVE_TAKES_OF] = "(1)",
    [POSTGRES_REMOVE_SETTLEMENTS_OF] = "(1)",
    [POSTGRES_REMOVE_DEAD_LETTERS_OF] = "(1)",
    [POSTGRES_REMOVE_EVENTS_OF] = "(1)",
    [POSTGRES_REMOVE_ACKNOWLEDGED_OF] = "(1)",
    [POSTGRES_REMOVE_BLOCKS_OF] = "(1)",
    [POSTGRES_REMOVE_PENDING_OF] = "(1)",
    [POSTGRES_REMOVE_KINDS_OF] = "(1)",
    [POSTGRES_REMOVE_AUDIT_OF] = "(1)",
    [POSTGRES_REMOVE_KEYS_OF] = "(1)",
    [POSTGRES_REMOVE_AUDIT_NUMBER_OF] = "(1)",
    [POSTGRES_REMOVE_TENANT_LOCK] = "(1)",
    [POSTGRES_STANDBYS] = "",
    [POSTGRES_SNAPSHOT_HOLDER] = "",
};

/* Whose rows the parameters of a statement are about; -1: all tenants'. */
static int tenant_of(enum postgres_statement which)
{
    if (which == POSTGRES_CHANGE_ACCESS || which == POSTGRES_TRIM_ACCESS)
        return -1;
    return which >= POSTGRES_BEGIN_REMOVAL && which <= POSTGRES_REMOVE_TENANT_LOCK;
}

static void check_postgres_plans(const struct side *side)
{
    char sql[2048];
    for (size_t i = 0; i < POSTGRES_STATEMENT_COUNT; i++) {
        assert_non_null(POSTGRES_PARAMETERS[i]);
        side_execute(side, "savepoint before");
        snprintf(sql, sizeof(sql), "set local triggers.tenant = %d", tenant_of(i));
        side_execute(side, sql);
        snprintf(sql, sizeof(sql), "select triggers.check_plan($call$%s%s$call$)",
                 POSTGRES_STATEMENTS[i].name, POSTGRES_PARAMETERS[i]);
        side_execute(side, sql);
        side_execute(side, "rollback to before");
    }
}

static struct side *prepare_statements(const struct world *world)
{
    struct side *side = side_begin(world->url, "set local plan_cache_mode = force_generic_plan;"
                                               " set local triggers.trims = true;"
                                               " set local triggers.removes = true");
    for (size_t i = 0; i < POSTGRES_STATEMENT_COUNT; i++) {
        char sql[8192];
        snprintf(sql, sizeof(sql), "prepare %s as %s", POSTGRES_STATEMENTS[i].name,
                 POSTGRES_STATEMENTS[i].sql);
        side_execute(side, sql);
    }
    if (database_has_walls())
        side_execute(side, "set local role " WALLED_ROLE);
    return side;
}

/* As sessions of ours are set, and with what is off there on: no setting hides a missing index. */
static void postgres_walks_along_indexes(void **state)
{
    struct world *world = *state;
    database_execute(world->url, ROWS);
    database_execute(world->url, FUNCTIONS);
    database_execute(world->url, "analyze");
    struct side *side = prepare_statements(world);
    if (!database_has_walls()) /* whose conditions make estimates of fewer rows */
        check_postgres_plans(side);
    side_execute(side, "execute triggers_settings" SETTINGS "; discard plans;"
                       " set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0;"
                       " set local min_parallel_index_scan_size = 0");
    check_postgres_plans(side);
    side_end(side);
}

/* A session may be opened before the first event is there, and keeps its plans. */
static void postgres_walks_as_planned_in_empty_tables(void **state)
{
    struct world *world = *state;
    database_execute(world->url, FUNCTIONS);
    struct side *side = prepare_statements(world);
    side_execute(side, "execute triggers_settings" SETTINGS);
    check_postgres_plans(side);
    side_execute(side, "set local role none");
    side_execute(side, ROWS);
    if (database_has_walls())
        side_execute(side, "set local role " WALLED_ROLE);
    check_postgres_plans(side);
    side_end(side);
}

/* ---- SQLite ---- */

/* One row of a plan: its text is the fourth column. */
static int check_step(void *context, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    const char *step = values[3]; /* list_places sorts those of one block */
    bool walks = strncmp(step, "SCAN", 4) == 0 && strcmp(step, "SCAN CONSTANT ROW") != 0 &&
                 !strstr(step, "(subquery"); /* whose own steps are others */
    bool strays = strncmp(step, "SEARCH", 6) == 0 && !strstr(step, "(tenant_id=?") &&
                  !strstr(step, "PRIMARY KEY (rowid"); /* a position, which has the tenant */
    bool sorts = strstr(step, "TEMP B-TREE") && strcmp(context, "triggers_list_places") != 0;
    if (walks || strays || sorts)
        fail_msg("%s: %s", (const char *)context, step);
    return 0;
}

/* The same for tenants, keys and records, whose indexes need not begin with the tenant. */
static int check_access_step(void *context, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    const char *step = values[3];
    bool of_version = strcmp(step, "SCAN access_version") == 0; /* which has one row */
    if ((strncmp(step, "SCAN", 4) == 0 && !of_version) || strstr(step, "TEMP B-TREE"))
        fail_msg("%s: %s", (const char *)context, step);
    return 0;
}

static bool names_a_table_of_access(const char *sql)
{
    return strstr(sql, " access_") || strstr(sql, " key_uses") || strstr(sql, " audit_");
}

static bool names_a_table_of_events(const char *sql)
{
    static const char *const tables[] = {
        " events",      " pending",       " acknowledged", " blocks",      " kinds",
        " kind_blocks", " subscriptions", " takes",        " settlements", " dead_letters"};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
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
        bool of_access = names_a_table_of_access(statement->sql);
        if (!of_access && !names_a_table_of_events(statement->sql))
            continue;
        snprintf(sql, sizeof(sql), "explain query plan %s", statement->sql);
        int code = sqlite3_exec(db, sql, of_access ? check_access_step : check_step,
                                (void *)statement->name, NULL);
        if (code != SQLITE_OK)
            fail_msg("%s: %s", statement->name, sqlite3_errmsg(db));
    }
    sqlite3_close(db);
}

int run_plan_tests(void)
{
    const struct CMUnitTest postgres[] = {WORLD_TEST(postgres_walks_along_indexes),
                                          WORLD_TEST(postgres_walks_as_planned_in_empty_tables)};
    const struct CMUnitTest sqlite[] = {WORLD_TEST(sqlite_searches_along_indexes)};
    return database_is_postgres() ? cmocka_run_group_tests_name("plan", postgres, NULL, NULL)
                                  : cmocka_run_group_tests_name("plan", sqlite, NULL, NULL);
}
