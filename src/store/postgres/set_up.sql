-- What a session runs before it serves: as text, outside pipeline mode, by name. None of them reads
-- a table of events.

-- name: server
-- What the connection does not say: a pooler's connections have process ids of their own. The last is
-- when the server was started, in microseconds since 1970.
select pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_encoding'),
    (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint;

-- name: database_exists
select 1 from pg_catalog.pg_database where datname = $1;

-- name: create_database
-- The command that creates the database, which takes no parameters itself.
select pg_catalog.format('create database %I encoding ''UTF8'' template template0', $1::text);

-- name: version_exists
select count(*) from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'triggers' and c.relname = 'schema_version';

-- name: version
select coalesce(max(version), 0) from triggers.schema_version;

-- name: has_policies
-- Whether rows are kept apart by deploy/postgres/row_level_security.sql.
select count(*) from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'triggers' and c.relrowsecurity;

-- name: begin
-- Whatever the database's defaults are.
begin isolation level read committed;
set local lock_timeout = '5s';

-- name: lock
-- The lock of whoever changes the schema; the number is "triggers" in ASCII.
select pg_catalog.pg_advisory_xact_lock(8390884948581905011);

-- name: schema_exists
select count(*) from pg_catalog.pg_namespace where nspname = 'triggers';

-- name: create_schema
-- Not "if not exists", which needs the right to make schemas even when an administrator has made this
-- one.
create schema triggers;

-- name: commit
commit;
