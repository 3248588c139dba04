-- The old service's table in PostgreSQL, read as text, as SQLAlchemy may have made the columns in
-- several types. It is read from end to end, in the order in which its events came, so no statement
-- relies on an index.

-- name: begin
-- One snapshot; times without a zone are read as UTC, and no time-out ends a long read.
begin isolation level repeatable read read only;
set local timezone = 'UTC';
set local statement_timeout = 0;

-- name: find
-- The columns of each table or view "events" on the search path, in its order; a role called
-- "triggers" has our own schema on it.
select c.oid::regclass::text, a.attname, format_type(a.atttypid, null), n.nspname
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relname = 'events' and n.nspname <> 'triggers' and n.nspname = any (current_schemas(false))
order by array_position(current_schemas(false), n.nspname);

-- name: choose
-- From here on "events" is the table in the schema $1.
select pg_catalog.set_config(
    'search_path', quote_ident($1) || ', ' || current_setting('search_path'), true);

-- name: count
select count(*) from events;

-- name: read
-- The columns in the order of enum old_events_column. Times are microseconds since 1970, null outside
-- the years that an RFC 3339 time can have.
select e.id::text, e.source::text, e.event_type::text, e.payload::text, lower(e.status::text),
    case when e.created_at between '0001-01-01' and '9999-12-31 23:59:59.999999'
        then round(extract(epoch from e.created_at) * 1000000)::bigint end,
    coalesce(
        case when e.acknowledged_at between '0001-01-01' and '9999-12-31 23:59:59.999999'
            then round(extract(epoch from e.acknowledged_at) * 1000000)::bigint end,
        case when e.created_at between '0001-01-01' and '9999-12-31 23:59:59.999999'
            then round(extract(epoch from e.created_at) * 1000000)::bigint end)
from events e
order by e.created_at, e.id;

-- name: read_unacknowledged
-- The same for a table without acknowledged_at.
select e.id::text, e.source::text, e.event_type::text, e.payload::text, lower(e.status::text),
    t.created_at, t.created_at
from events e
cross join lateral (
    select case when e.created_at between '0001-01-01' and '9999-12-31 23:59:59.999999'
        then round(extract(epoch from e.created_at) * 1000000)::bigint end as created_at) t
order by e.created_at, e.id;
