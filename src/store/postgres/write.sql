-- A batch of writes. Each of these is one transaction, or half of one with another.
--
-- Prepared statements (all except those of set_up.sql) are planned once per session, perhaps while
-- the tables are empty, so the plan must not depend on their size. "lateral (... offset 0)" and
-- "materialized" fix the order of the joins, the settings allow only walks along an index, and each
-- table has a single one. No "= any(array)": PostgreSQL may use it as a filter over the whole
-- tenant. $1 is the tenant wherever a table of events is named.
--
-- The condition with set_config is always true, and makes the transaction commit to the disk and to
-- the synchronous standbys before it is answered, whatever the server, database, role or session
-- were set to meanwhile; remote_apply, which promises more, is kept. It is part of each statement
-- that writes, evaluated once before its first row: a statement of its own would cost twice as much.

-- name: append_new
-- Stores events and their rows in the inbox; returns the ids of those it stored. Fails when an id is
-- there. Indexes: events_pkey and pending_pkey, which grow.
with appended as (
    insert into triggers.events (tenant_id, event_id, created_at, source, event_type, payload)
    select $1::bigint, *
    from unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[])
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
    returning event_id, created_at)
insert into triggers.pending (tenant_id, created_at, event_id)
select $1::bigint, created_at, event_id from appended
returning event_id;

-- name: append
-- The same, skipping those that are there, which costs a third more: a look-up and a log record for
-- each row. Indexes: events_pkey, which finds what is there, and pending_pkey.
with appended as (
    insert into triggers.events (tenant_id, event_id, created_at, source, event_type, payload)
    select $1::bigint, *
    from unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[])
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
    on conflict (tenant_id, event_id) do nothing
    returning event_id, created_at)
insert into triggers.pending (tenant_id, created_at, event_id)
select $1::bigint, created_at, event_id from appended
returning event_id;

-- name: ack
-- Moves events from pending to acknowledged; returns the ids and times of those it moved. Indexes:
-- events_pkey, then pending_pkey, for each id; rows are removed by their position (ctid).
with found as materialized (
    select p.place, i.event_id, e.created_at,
        greatest(i.acknowledged_at, e.created_at) as acknowledged_at
    from unnest($2::uuid[], $3::timestamptz[]) i (event_id, acknowledged_at)
    cross join lateral (
        select created_at from triggers.events
        where tenant_id = $1 and event_id = i.event_id offset 0) e
    cross join lateral (
        select ctid as place from triggers.pending
        where tenant_id = $1 and created_at = e.created_at and event_id = i.event_id offset 0) p
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null),
removed as (
    delete from triggers.pending p using found f where p.ctid = f.place
    returning f.event_id, f.created_at, f.acknowledged_at)
insert into triggers.acknowledged (tenant_id, created_at, event_id, acknowledged_at)
select $1::bigint, created_at, event_id, acknowledged_at from removed
on conflict (tenant_id, created_at, event_id) do nothing
returning event_id, acknowledged_at;

-- name: ack_unlocked
-- The same, skipping events that somebody else has locked. Indexes: the same.
with found as materialized (
    select p.place, i.event_id, e.created_at,
        greatest(i.acknowledged_at, e.created_at) as acknowledged_at
    from unnest($2::uuid[], $3::timestamptz[]) i (event_id, acknowledged_at)
    cross join lateral (
        select created_at from triggers.events
        where tenant_id = $1 and event_id = i.event_id offset 0) e
    cross join lateral (
        select ctid as place from triggers.pending
        where tenant_id = $1 and created_at = e.created_at and event_id = i.event_id offset 0
        for update skip locked) p
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null),
removed as (
    delete from triggers.pending p using found f where p.ctid = f.place
    returning f.event_id, f.created_at, f.acknowledged_at)
insert into triggers.acknowledged (tenant_id, created_at, event_id, acknowledged_at)
select $1::bigint, created_at, event_id, acknowledged_at from removed
on conflict (tenant_id, created_at, event_id) do nothing
returning event_id, acknowledged_at;

-- name: compare
-- For each event that is there: its number in the arrays, from 1, when it was created, and whether
-- its content is the same. Index: events_pkey, for each id.
select i.number, e.created_at,
    e.source = i.source and e.event_type = i.event_type and e.payload = i.payload
from unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[]) with ordinality
    i (event_id, source, event_type, payload, number)
cross join lateral (
    select created_at, source, event_type, payload from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e;

-- name: acknowledged_at
-- For each event that is there: its number in the array, from 1, and when it was acknowledged, null
-- while it is pending. Indexes: events_pkey, then acknowledged_pkey, for each id.
select i.number, a.acknowledged_at
from unnest($2::uuid[]) with ordinality i (event_id, number)
cross join lateral (
    select created_at from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and created_at = e.created_at and event_id = i.event_id offset 0) a
on true;

-- name: tables_locked
-- Whether somebody holds, or waits for, a lock that blocks all writers. Reads no table of ours.
select exists (
    select from pg_catalog.pg_locks l
    join pg_catalog.pg_database d on d.oid = l.database
    where d.datname = pg_catalog.current_database() and l.locktype = 'relation'
        and l.mode in
            ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        and l.relation in ('triggers.events'::pg_catalog.regclass,
            'triggers.pending'::pg_catalog.regclass));
