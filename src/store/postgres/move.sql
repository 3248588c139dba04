-- Moving the events of the version before into the log, see moving.h: as text, outside pipeline mode,
-- by name. The old tables are only read, and dropped at the end, as deleting their rows would take as
-- long as writing the new ones.

-- name: is_needed
select pg_catalog.to_regclass('triggers.old_events') is not null;

-- name: count
-- The planner's estimate when there are many. Index: those of the primary keys, or none.
select case when sum(reltuples) > 1000000 then sum(reltuples)::bigint else (
    (select count(*) from triggers.old_pending)
    + (select count(*) from triggers.old_acknowledged)) end
from pg_catalog.pg_class
where oid in ('triggers.old_pending'::pg_catalog.regclass,
    'triggers.old_acknowledged'::pg_catalog.regclass);

-- name: begin
-- One process at a time, by the lock after that of set_up.sql; then whether there is something to do.
-- A crash may lose the latest slices, which are then moved again, so none waits for the disk. Only
-- indexes lead to rows.
begin isolation level read committed;
set local lock_timeout = '2s';
set local statement_timeout = '8s';
set local synchronous_commit = off;
set local jit = off;
set local enable_seqscan = off;
set local enable_bitmapscan = off;
select pg_catalog.pg_advisory_xact_lock(8390884948581905012);
select pg_catalog.to_regclass('triggers.old_events') is not null;

-- name: slice
-- Moves the next $1 events of one tenant, after the newest that was moved; returns the tenant, null
-- when there is none left, how many and the last sequence. Then "fill" of write.sql writes the rows of
-- the blocks. Indexes: old_pending_pkey and old_acknowledged_pkey, forwards; old_events_pkey for each
-- event; kinds_names.
with newest as materialized (
    select tenant_id, sequence, created_at, event_id
    from triggers.events order by tenant_id desc, sequence desc limit 1),
start as materialized (
    select coalesce(max(tenant_id), -9223372036854775808) as tenant_id,
        coalesce(max(created_at), '-infinity') as created_at,
        coalesce(max(event_id::text)::uuid, '00000000-0000-0000-0000-000000000000') as event_id
    from newest),
places as materialized (
    select tenant_id, created_at, event_id, max(acknowledged_at) as acknowledged_at
    from (
        (select tenant_id, created_at, event_id, null::timestamptz as acknowledged_at
        from triggers.old_pending
        where (tenant_id, created_at, event_id) > (
            (select tenant_id from start), (select created_at from start),
            (select event_id from start))
        order by tenant_id, created_at, event_id limit $1::bigint)
        union all
        (select tenant_id, created_at, event_id, acknowledged_at
        from triggers.old_acknowledged
        where (tenant_id, created_at, event_id) > (
            (select tenant_id from start), (select created_at from start),
            (select event_id from start))
        order by tenant_id, created_at, event_id limit $1::bigint)) lists
    group by tenant_id, created_at, event_id
    order by tenant_id, created_at, event_id limit $1::bigint),
slice as materialized (
    select p.tenant_id, p.event_id, p.created_at, p.acknowledged_at, o.source, o.event_type, o.payload,
        row_number() over (order by p.created_at, p.event_id) + coalesce((
            select sequence from newest where tenant_id = p.tenant_id), 0) as sequence
    from places p
    cross join lateral (
        select source, event_type, payload from triggers.old_events
        where tenant_id = p.tenant_id and event_id = p.event_id offset 0) o
    where p.tenant_id = (select min(tenant_id) from places)),
named as materialized (
    select s.tenant_id, s.source, s.event_type, s.first, k.kind
    from (select tenant_id, source, event_type, min(sequence) as first
        from slice group by tenant_id, source, event_type) s
    left join lateral (
        select kind from triggers.kinds
        where tenant_id = s.tenant_id and source = s.source and event_type = s.event_type
        offset 0) k
    on true),
added as (
    insert into triggers.kinds (tenant_id, kind, source, event_type)
    select tenant_id, row_number() over (order by first) + coalesce((
            select kind from triggers.kinds k where k.tenant_id = named.tenant_id
            order by kind desc limit 1), 0),
        source, event_type
    from named where kind is null
    returning tenant_id, kind, source, event_type),
known as materialized (
    select kind, source, event_type from named where kind is not null
    union all
    select kind, source, event_type from added),
moved as (
    insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload)
    select s.tenant_id, s.sequence, s.event_id, s.created_at, k.kind, s.payload
    from slice s join known k using (source, event_type)
    order by s.sequence),
acknowledged as (
    insert into triggers.acknowledged (tenant_id, sequence, kind, acknowledged_at)
    select s.tenant_id, s.sequence, k.kind, s.acknowledged_at
    from slice s join known k using (source, event_type)
    where s.acknowledged_at is not null
    order by s.sequence),
tenant as (
    insert into triggers.tenants (tenant_id)
    select min(tenant_id) from slice having count(*) > 0
    on conflict (tenant_id) do nothing)
select (select min(tenant_id) from places), count(*), max(sequence) from slice;

-- name: commit
commit;

-- name: finish
-- All is moved: this commit, and with it all before, is on the disk before it counts.
select pg_catalog.set_config('synchronous_commit', 'on', true);
drop table triggers.old_events, triggers.old_pending, triggers.old_acknowledged;
commit;
