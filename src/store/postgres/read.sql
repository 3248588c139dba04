-- Events by id, and the backlog. write.sql says how statements are planned.

-- name: get
-- Events, with the time of their acknowledgement or null. Indexes: events_pkey, then
-- acknowledged_pkey, for each id.
select i.event_id, e.created_at, e.source, e.event_type, e.payload, a.acknowledged_at
from unnest($2::uuid[]) i (event_id)
cross join lateral (
    select created_at, source, event_type, payload from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and created_at = e.created_at and event_id = i.event_id offset 0) a
on true;

-- name: backlog
-- How many events are pending and when the oldest was created. Index: pending_pkey, whose first $2
-- entries are walked; when there are as many, the planner's estimate counts (-1 before the first
-- vacuum).
select case when count(*) < $2::bigint then count(*) else greatest(count(*), (
        select reltuples::bigint from pg_catalog.pg_class
        where oid = 'triggers.pending'::pg_catalog.regclass)) end,
    min(created_at)
from (
    select created_at from triggers.pending where tenant_id = $1
    order by created_at, event_id limit $2::bigint) oldest;

-- name: standbys
-- How many standbys follow the write-ahead log when none is synchronous, without readers of changes
-- (logical slots). Reads no table of ours.
select case when pg_catalog.current_setting('synchronous_standby_names') = '' then (
    select count(*) from pg_catalog.pg_stat_replication r
    where r.state is distinct from 'backup' and not exists (
        select from pg_catalog.pg_replication_slots s
        where s.active_pid = r.pid and s.slot_type = 'logical'))
    else 0 end;
