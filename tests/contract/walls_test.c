/* Row-level security: PostgreSQL itself keeps tenants apart, and sessions say whose rows they want.
 */
#include <stdio.h>
#include <string.h>

#include "contract.h"

#define AS_TENANT_7 "set role " WALLED_ROLE "; set triggers.tenant = 7; "

static void another_tenants_rows_are_not_there(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    world->scope = (struct scope){.tenant = 7};
    append_numbers(world, 1, 3);
    assert_int_equal(
        database_number(world->url, AS_TENANT_7 "select count(*) from triggers.events"), 3);
    assert_int_equal(database_number(world->url, "select count(*) from events"), 8);
    database_execute(world->url, AS_TENANT_7 "update triggers.events set payload = 'mine';"
                                             "delete from triggers.kinds");
    world->scope = SCOPE_DEFAULT;
    assert_slice(get_number(world, 1).payload, event_numbered(1).event.payload.data,
                 event_numbered(1).event.payload.size);
    database_execute(world->url,
                     AS_TENANT_7 "do $$ begin"
                                 "  insert into triggers.kinds values (0, 9, 'source', 'type');"
                                 "  raise exception 'there is no wall';"
                                 "  exception when insufficient_privilege then null; end $$");
}

static void whoever_does_not_say_whose_rows_fails(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    database_execute(world->url, "set role " WALLED_ROLE "; do $$ begin"
                                 "  perform count(*) from triggers.events;"
                                 "  raise exception 'there is no wall';"
                                 "  exception when undefined_object then null; end $$");
}

static void every_table_of_tenants_has_a_wall(void **state)
{
    struct world *world = *state;
    assert_int_equal(
        database_number(world->url,
                        "select count(*) from information_schema.columns c"
                        "  join pg_class p on p.relname = c.table_name"
                        "  join pg_namespace n on n.oid = p.relnamespace and n.nspname = 'triggers'"
                        "  where c.table_schema = 'triggers' and c.column_name = 'tenant_id'"
                        "  and c.table_name <> 'access_rows'"
                        "  and not (p.relrowsecurity and p.relforcerowsecurity)"),
        0);
}

/* A session that was open before is lost, and the one in its place knows of them. */
static void walls_may_come_while_cores_run(void **state)
{
    static const char turn[] = "do $$ declare name text; begin for name in"
                               "  select tablename from pg_policies where schemaname = 'triggers'"
                               "  loop execute format('alter table triggers.%%I %s row level"
                               " security', name); end loop; end $$";
    struct world *world = *state;
    char sql[512];
    struct status status;
    append_numbers(world, 1, 1);
    snprintf(sql, sizeof(sql), turn, "disable");
    database_execute(world->url, sql);
    reopen(world);
    append_numbers(world, 2, 1);
    snprintf(sql, sizeof(sql), turn, "enable");
    database_execute(world->url, sql);
    struct store_item append = event_numbered(3);
    assert_int_equal(write_items(world, &append, 1, NULL, 0, &status), STORE_LOST);
    reopen(world);
    append_numbers(world, 3, 1);
    assert_true(has_number(world, 1) && has_number(world, 3));
}

int run_walls_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(another_tenants_rows_are_not_there),
        WORLD_TEST(whoever_does_not_say_whose_rows_fails),
        WORLD_TEST(every_table_of_tenants_has_a_wall),
        WORLD_TEST(walls_may_come_while_cores_run),
    };
    return cmocka_run_group_tests_name("walls", tests, NULL, NULL);
}
