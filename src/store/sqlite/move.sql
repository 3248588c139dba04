-- Moving the events of the version before into the log, see moving.h. Each is deleted from the old
-- tables when it is written to the new ones, so that the file does not grow. ?1 is the tenant.

-- name: is_needed
select count(*) from sqlite_schema where name = 'old_events';

-- name: count
-- About how many there were at first: rows were numbered as they came. Index: the table itself.
select coalesce(max(rowid), 0) from old_events;

-- name: set_up
-- Of a connection that only moves. A crash may lose the latest slices, which are then moved again, so
-- none waits for the disk. The table holds what is moved at once, without payloads.
pragma synchronous = normal;
pragma journal_size_limit = 67108864;
pragma wal_autocheckpoint = 8192;
pragma cache_size = -16384;
pragma secure_delete = fast;
pragma temp_store = memory;
create temp table slice (
    position integer primary key,
    old_row integer not null,
    event_id blob not null,
    created_at integer not null,
    acknowledged_at integer
) strict;

-- name: begin
begin immediate;

-- name: tenant
-- Whose events are next. Indexes: the primary keys of old_pending and old_acknowledged.
select min(tenant_id) from (
    select min(tenant_id) as tenant_id from old_pending
    union all
    select min(tenant_id) from old_acknowledged);

-- name: choose
-- The tenant's next ?2 events, with their places in the log. Indexes: the primary keys of old_pending,
-- old_acknowledged and old_events; that of events, backwards.
insert into slice (position, old_row, event_id, created_at, acknowledged_at)
select row_number() over (order by l.created_at, l.event_id) + coalesce((
        select position from events
        where position between (?1 << 40) and (?1 << 40) + 1099511627775
        order by position desc limit 1), ?1 << 40),
    o.rowid, l.event_id, l.created_at, l.acknowledged_at
from (
    select created_at, event_id, max(acknowledged_at) as acknowledged_at
    from (
        select * from (
            select created_at, event_id, null as acknowledged_at from old_pending
            where tenant_id = ?1 order by created_at, event_id limit ?2)
        union all
        select * from (
            select created_at, event_id, acknowledged_at from old_acknowledged
            where tenant_id = ?1 order by created_at, event_id limit ?2))
    group by created_at, event_id
    order by created_at, event_id limit ?2) l
cross join old_events o on o.tenant_id = ?1 and o.event_id = l.event_id;

-- name: add_kinds
-- Numbers their kinds, in the order in which they come. Index: the unique one of kinds.
insert into kinds (tenant_id, kind, source, event_type)
select ?1, row_number() over (order by first) + coalesce((
        select max(kind) from kinds where tenant_id = ?1), 0), source, event_type
from (
    select o.source, o.event_type, min(s.position) as first
    from slice s cross join old_events o on o.rowid = s.old_row
    group by o.source, o.event_type) n
where not exists (
    select 1 from kinds k
    where k.tenant_id = ?1 and k.source = n.source and k.event_type = n.event_type);

-- name: add_events
-- Index: the unique one of kinds.
insert into events (position, tenant_id, event_id, created_at, kind, payload)
select s.position, ?1, s.event_id, s.created_at, k.kind, o.payload
from slice s
cross join old_events o on o.rowid = s.old_row
cross join kinds k on k.tenant_id = ?1 and k.source = o.source and k.event_type = o.event_type
order by s.position;

-- name: add_acknowledged
insert into acknowledged (position, acknowledged_at)
select position, acknowledged_at from slice where acknowledged_at is not null
order by position;

-- name: moved
-- How many they are, the sequence of the last one, and the blocks that became full.
select count(*), max(position) & 1099511627775, (min(position) & 1099511627775) >> 8,
    ((max(position) & 1099511627775) + 1) >> 8
from slice;

-- name: remove_pending
-- Up to the last one. Index: the primary key of old_pending, which is the table.
delete from old_pending
where tenant_id = ?1
    and (created_at, event_id) <= (
        select created_at, event_id from slice order by position desc limit 1);

-- name: remove_acknowledged
-- Index: the primary key of old_acknowledged, which is the table.
delete from old_acknowledged
where tenant_id = ?1
    and (created_at, event_id) <= (
        select created_at, event_id from slice order by position desc limit 1);

-- name: remove_events
delete from old_events where rowid in (select old_row from slice);

-- name: fill_block
-- The block ?2 is full: when its events, from position ?3 to ?4, were created, and how large they are.
insert into blocks (tenant_id, block, oldest, newest, bytes)
select ?1, ?2, min(created_at), max(created_at), sum(length(payload))
    + coalesce((select bytes from blocks where tenant_id = ?1 and block = ?2 - 1), 0)
from events where position between ?3 and ?4;

-- name: fill_kinds
-- The kinds of which something in it is pending.
insert into pending (tenant_id, kind, block)
select distinct ?1, e.kind, ?2 from events e
where e.position between ?3 and ?4
    and not exists (select 1 from acknowledged a where a.position = e.position);

-- name: fill_places
-- Which of its events are of which kind.
insert into kind_blocks (tenant_id, kind, block, places_0, places_1, places_2, places_3)
select ?1, e.kind, ?2,
    sum(iif(e.position >> 6 & 3 = 0, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 1, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 2, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 3, 1 << (e.position & 63), 0))
from events e where e.position between ?3 and ?4
group by e.kind;

-- name: fill_any
-- And kind 0, if anything is.
insert into pending (tenant_id, kind, block)
select ?1, 0, ?2 where exists (
    select 1 from events e
    where e.position between ?3 and ?4
        and not exists (select 1 from acknowledged a where a.position = e.position));

-- name: clear
delete from slice;

-- name: drop_tables
drop table old_pending;
drop table old_acknowledged;
drop table old_events;

-- name: commit
commit;
