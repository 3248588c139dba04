-- Events by id, pages of the inbox, and the backlog. ?1 is the tenant.

-- name: get
-- An event, with the time of its acknowledgement or 0. Indexes: the primary key of events, then that
-- of acknowledged.
select e.event_id, e.created_at, e.source, e.event_type, e.payload, coalesce(a.acknowledged_at, 0)
from events e
left join acknowledged a
    on a.tenant_id = e.tenant_id and a.created_at = e.created_at and a.event_id = e.event_id
where e.tenant_id = ?1 and e.event_id = ?2;

-- name: list_pending_newest
-- A page that starts after the position (?2, ?3), of at most ?4 rows; "cross join" makes SQLite keep
-- the order of the tables. Indexes: the primary key of pending, backwards, and that of events.
select e.event_id, e.created_at, e.source, e.event_type, e.payload, 0
from pending l
cross join events e on e.tenant_id = ?1 and e.event_id = l.event_id
where l.tenant_id = ?1 and (l.created_at, l.event_id) < (?2, ?3)
order by l.created_at desc, l.event_id desc limit ?4;

-- name: list_pending_oldest
-- Indexes: the primary key of pending, forwards, and that of events.
select e.event_id, e.created_at, e.source, e.event_type, e.payload, 0
from pending l
cross join events e on e.tenant_id = ?1 and e.event_id = l.event_id
where l.tenant_id = ?1 and (l.created_at, l.event_id) > (?2, ?3)
order by l.created_at asc, l.event_id asc limit ?4;

-- name: list_acknowledged_newest
-- Indexes: the primary key of acknowledged, backwards, and that of events.
select e.event_id, e.created_at, e.source, e.event_type, e.payload, l.acknowledged_at
from acknowledged l
cross join events e on e.tenant_id = ?1 and e.event_id = l.event_id
where l.tenant_id = ?1 and (l.created_at, l.event_id) < (?2, ?3)
order by l.created_at desc, l.event_id desc limit ?4;

-- name: list_acknowledged_oldest
-- Indexes: the primary key of acknowledged, forwards, and that of events.
select e.event_id, e.created_at, e.source, e.event_type, e.payload, l.acknowledged_at
from acknowledged l
cross join events e on e.tenant_id = ?1 and e.event_id = l.event_id
where l.tenant_id = ?1 and (l.created_at, l.event_id) > (?2, ?3)
order by l.created_at asc, l.event_id asc limit ?4;

-- name: backlog
-- How many events are pending and when the oldest was created. Indexes: the primary key of
-- pending_count, and the first entry of that of pending.
select coalesce((select events from pending_count where tenant_id = ?1), 0),
    coalesce((select min(created_at) from pending where tenant_id = ?1), 0);

-- name: ping
-- Whether the file can be read. Index: the primary key of pending, of which one entry is read.
select 1 from pending where tenant_id = ?1 limit 1;
