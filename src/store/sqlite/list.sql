-- How a list walks from block to block and reads one, in either direction. ?1 is the tenant, except
-- where rows are found by their positions; the index is then the primary key.

-- name: events_oldest
-- Of at most 64 positions that begin with a multiple of it: those of which ?3 has the bit.
select position, event_id, created_at, kind, payload, ordering_key, deliver_at from events
where position between ?1 and ?2 and (?3 >> (position & 63)) & 1 order by position;

-- name: events_newest
select position, event_id, created_at, kind, payload, ordering_key, deliver_at from events
where position between ?1 and ?2 and (?3 >> (position & 63)) & 1 order by position desc;

-- name: acknowledged_in
select position, acknowledged_at from acknowledged where position between ?1 and ?2;

-- name: kinds_in
-- Of which kind each event is, in the block that is not full.
select position, kind from events where position between ?1 and ?2;

-- name: pending_from
-- The first block from ?3 on in which the kind ?2 may be pending. Index: the primary key of pending.
select block from pending where tenant_id = ?1 and kind = ?2 and block >= ?3 order by block limit 1;

-- name: pending_down_from
-- The same, backwards.
select block from pending where tenant_id = ?1 and kind = ?2 and block <= ?3 order by block desc limit 1;

-- name: kind_from
-- The first full block from ?3 on that has the kind ?2. Index: the primary key of kind_blocks.
select block from kind_blocks where tenant_id = ?1 and kind = ?2 and block >= ?3 order by block limit 1;

-- name: kind_down_from
-- The same, backwards.
select block from kind_blocks where tenant_id = ?1 and kind = ?2 and block <= ?3
order by block desc limit 1;

-- name: acknowledged_from
-- The first acknowledged position from ?1 to ?2.
select position from acknowledged where position between ?1 and ?2 order by position limit 1;

-- name: acknowledged_down_from
-- The last one.
select position from acknowledged where position between ?1 and ?2 order by position desc limit 1;

-- name: in_time_from
-- The first full block from ?2 on that may have events created from ?3 to before ?4. Index: the primary
-- key of blocks, in which this may go over many narrow rows.
select block from blocks where tenant_id = ?1 and block >= ?2 and newest >= ?3 and oldest < ?4
order by block limit 1;

-- name: in_time_down_from
-- The same, backwards.
select block from blocks where tenant_id = ?1 and block <= ?2 and newest >= ?3 and oldest < ?4
order by block desc limit 1;
