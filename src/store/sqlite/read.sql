-- Single events, kinds and the backlog. ?1 is the tenant, except where a row is found by its position.

-- name: get
-- An event, with the time of its acknowledgement or 0. Indexes: the unique one of events, then the
-- primary key of acknowledged.
select e.position, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at,
    coalesce(a.acknowledged_at, 0)
from events e
left join acknowledged a on a.position = e.position
where e.tenant_id = ?1 and e.event_id = ?2;

-- name: get_at
-- The same, the event with the sequence ?2. Indexes: the primary keys of events and acknowledged.
select e.position, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at,
    coalesce(a.acknowledged_at, 0)
from events e
left join acknowledged a on a.position = e.position
where e.position = (?1 << 40) + ?2;

-- name: pair
-- The source and event type of a kind. Index: the primary key of kinds.
select source, event_type from kinds where tenant_id = ?1 and kind = ?2;

-- name: kinds
-- At most ?3 kinds after the number ?2. Index: the primary key of kinds.
select kind, source, event_type from kinds where tenant_id = ?1 and kind > ?2 order by kind limit ?3;

-- name: places
-- Which events of the full block ?3 are of the kind ?2. Index: the primary key of kind_blocks.
select places_0, places_1, places_2, places_3 from kind_blocks
where tenant_id = ?1 and kind = ?2 and block = ?3;

-- name: first_block
-- The block with which the log begins; -1: none is full. Index: the primary key of blocks.
select coalesce(min(block), -1) from blocks where tenant_id = ?1;

-- name: pending_blocks
-- At most ?2 blocks in which something is pending. Index: the primary key of pending.
select block from pending where tenant_id = ?1 and kind = 0 order by block limit ?2;

-- name: count_pending_blocks
-- All of those. Index: the same.
select count(*) from pending where tenant_id = ?1 and kind = 0;

-- name: count_events
-- Index: the primary key of events; in the next that of acknowledged; then both.
select count(*) from events where position between ?1 and ?2;

-- name: count_acknowledged
select count(*) from acknowledged where position between ?1 and ?2;

-- name: oldest_pending
select e.created_at from events e
left join acknowledged a on a.position = e.position
where e.position between ?1 and ?2 and a.position is null
order by e.position limit 1;

-- name: ping
-- Whether the file can be read. Index: the primary key of pending, of which one entry is read.
select 1 from pending where tenant_id = ?1 limit 1;
