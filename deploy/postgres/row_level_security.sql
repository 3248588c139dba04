-- A second wall between tenants: PostgreSQL itself gives no row of another tenant to a statement, whatever
-- the statement asks for. Run it as the owner of the tables, again after each update of triggersd, whose
-- new tables it would not know. Cores that run notice it, and say for whom they ask in each transaction.
--
-- Not held by it: superusers, roles with bypassrls, and the tables access_rows and key_uses, by which the
-- core finds out whose a key is. README.md beside this folder says what it costs and how to undo it.
do $$
declare
    name text;
begin
    for name in
        select c.table_name from information_schema.columns c
        join pg_catalog.pg_tables t on t.schemaname = 'triggers' and t.tablename = c.table_name
        where c.table_schema = 'triggers' and c.column_name = 'tenant_id'
            and c.table_name not like 'old\_%' and c.table_name <> 'access_rows'
    loop
        execute format('alter table triggers.%I enable row level security', name);
        execute format('alter table triggers.%I force row level security', name);
        if exists (select from pg_catalog.pg_policies
                where schemaname = 'triggers' and tablename = name and policyname = 'of_tenant') then
            execute format('drop policy of_tenant on triggers.%I', name);
        end if;
        -- Tenant -1 is any, for what is about all of them. Fails when nobody has said who it is for. The sum
        -- keeps the condition from choosing an index: statements find rows as they do without it.
        execute format('create policy of_tenant on triggers.%I using ((select '
            'pg_catalog.current_setting(''triggers.tenant'')::bigint) in (tenant_id + 0%s))', name,
            case when name in ('tenants', 'audit_records', 'audit_numbers') then ', -1' else '' end);
    end loop;
end $$;
