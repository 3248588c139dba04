-- Events by id, names of kinds, and the backlog. write.sql says how statements are planned.

-- name: get
-- Events, with the time of their acknowledgement or null. Indexes: events_id, then acknowledged_pkey,
-- for each id.
select e.sequence, i.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at
from unnest($2::uuid[]) i (event_id)
cross join lateral (
    select sequence, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true;

-- name: names
-- Sources and types of kinds. Index: kinds_pkey, for each kind.
select k.kind, k.source, k.event_type
from unnest($2::integer[]) i (kind)
cross join lateral (
    select kind, source, event_type from triggers.kinds
    where tenant_id = $1 and kind = i.kind offset 0) k;

-- name: kinds
-- A page of kinds after $2, of $3 rows. Index: kinds_pkey.
select kind, source, event_type from triggers.kinds
where tenant_id = $1 and kind > $2::integer order by kind limit $3::bigint;

-- name: backlog
-- How many events are pending in the block that is not full and in the first $2 of the others that
-- have pending ones, and an estimate from these for the rest; when the oldest was created. Indexes:
-- blocks_pkey, backwards, for the last row; pending_pkey; events_pkey and acknowledged_pkey, for each
-- block.
with counted as materialized (
    select b.block, e.count - a.count as pending
    from (
        (select block from triggers.pending where tenant_id = $1 and kind = 0
        order by block limit $2::bigint)
        union all
        (select coalesce((
            select block + 1 from triggers.blocks where tenant_id = $1 and kind = 0
            order by block desc limit 1), 0))) b
    cross join lateral (
        select count(*) as count from triggers.events
        where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255 offset 0) e
    cross join lateral (
        select count(*) as count from triggers.acknowledged
        where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255 offset 0) a)
select (
        select (sum(pending) + greatest(0, (
            select count(*) from triggers.pending where tenant_id = $1 and kind = 0) - $2)
            * avg(pending))::bigint
        from counted),
    (
        select e.created_at
        from (select block from counted where pending > 0 order by block limit 1) b
        cross join lateral (
            select created_at from triggers.events e
            where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255
                and not exists (
                    select from triggers.acknowledged a
                    where a.tenant_id = $1 and a.sequence = e.sequence)
            order by sequence limit 1) e);

-- name: standbys
-- How many standbys follow the write-ahead log when none is synchronous, without readers of changes
-- (logical slots). Reads no table of ours.
select case when pg_catalog.current_setting('synchronous_standby_names') = '' then (
    select count(*) from pg_catalog.pg_stat_replication r
    where r.state is distinct from 'backup' and not exists (
        select from pg_catalog.pg_replication_slots s
        where s.active_pid = r.pid and s.slot_type = 'logical'))
    else 0 end;

-- name: snapshot_holder
-- Who keeps rows of this database that were removed from being cleaned away for longest: a session,
-- a transaction of a standby, one that was prepared, or a replication slot; since when, in
-- microseconds, and for how many transactions. What sessions of other roles do is shown to the role
-- pg_monitor only. Reads no table of ours.
select holder, coalesce(since_us, 0)::bigint, transactions::bigint
from (
    select pg_catalog.format('%ssession %s of role "%s" (%s)',
            case when backend_type = 'walsender' then 'standby at ' else '' end, pid, usename,
            coalesce(nullif(application_name, ''), 'no application name')) as holder,
        extract(epoch from pg_catalog.clock_timestamp() - xact_start) * 1000000 as since_us,
        pg_catalog.age(coalesce(backend_xmin, backend_xid)) as transactions
    from pg_catalog.pg_stat_activity
    where pid <> pg_catalog.pg_backend_pid() and coalesce(backend_xmin, backend_xid) is not null
        and (datname = pg_catalog.current_database() or backend_type = 'walsender')
    union all
    select pg_catalog.format('prepared transaction "%s"', gid),
        extract(epoch from pg_catalog.clock_timestamp() - prepared) * 1000000,
        pg_catalog.age(transaction)
    from pg_catalog.pg_prepared_xacts where database = pg_catalog.current_database()
    union all
    select pg_catalog.format('replication slot "%s"', slot_name), null, pg_catalog.age(xmin)
    from pg_catalog.pg_replication_slots where xmin is not null) h
order by transactions desc, since_us desc nulls last limit 1;
