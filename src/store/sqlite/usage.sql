-- How much a tenant has. ?1 is the tenant, except where rows are found by their positions, from ?1 to ?2.

-- name: usage_blocks
-- At most ?3 blocks after ?2 in which something is pending. Index: the primary key of pending.
select block from pending where tenant_id = ?1 and kind = 0 and block > ?2 order by block limit ?3;

-- name: usage_events
-- Events, their bytes, and those that are pending; length does not read the payload. Indexes: the primary
-- keys of events and acknowledged.
select count(*), coalesce(sum(length(e.payload)), 0), count(*) - count(a.position)
from events e
left join acknowledged a on a.position = e.position
where e.position between ?1 and ?2;

-- name: usage_log
-- The bytes of full blocks from the end of the first to that of the last. Index: the primary key of
-- blocks, which is the table.
select coalesce((select bytes from blocks where tenant_id = ?1 order by block desc limit 1), 0)
    - coalesce((select bytes from blocks where tenant_id = ?1 order by block limit 1), 0);
