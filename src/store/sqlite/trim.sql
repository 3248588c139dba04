-- Removal from the old end of the log, block by block. ?1 is the tenant; a range of positions is found
-- by the primary key.

-- name: due_block
-- The log's first block, if it is not the newest and all in it was created and acknowledged before ?2.
-- Indexes: the primary keys of blocks and acknowledged.
select b.block from blocks b
where b.tenant_id = ?1 and b.block = (select min(block) from blocks where tenant_id = ?1)
    and b.block < (select max(block) from blocks where tenant_id = ?1) and b.newest < ?2
    and not exists (
        select 1 from acknowledged a
        where a.position between (?1 << 40) + (b.block << 8) and (?1 << 40) + (b.block << 8) + 255
            and a.acknowledged_at >= ?2);

-- name: singles_acknowledged
-- Single events before the position ?2, and since when they are of no use; those that are
-- acknowledged. Index: the primary key of acknowledged.
select position, acknowledged_at from acknowledged
where position between ?1 << 40 and ?2 - 1 order by position limit ?3;

-- name: singles_pending
-- The same, those that are pending; never, if they are not. Indexes: the primary keys of events and
-- acknowledged.
select position, case when exists (select 1 from acknowledged a where a.position = e.position)
    then 9223372036854775807 else created_at end
from events e where position between ?1 << 40 and ?2 - 1 order by position limit ?3;

-- name: unlist_kinds
-- The kinds of the block ?2, whose positions are from ?3 to ?4, are not pending. Index: the primary key
-- of pending, for each kind.
delete from pending
where tenant_id = ?1 and block = ?2 and kind in (
    select 0 union all select kind from events where position between ?3 and ?4);

-- name: unlist_places
-- The kinds are nowhere in the block. Index: the primary key of kind_blocks, for each kind.
delete from kind_blocks
where tenant_id = ?1 and block = ?2 and kind in (
    select kind from events where position between ?3 and ?4);

-- name: remove_acknowledged
-- The events that were acknowledged before ?5; and then their acknowledgements.
delete from events
where position between ?3 and ?4 and position in (
    select position from acknowledged where position between ?3 and ?4 and acknowledged_at < ?5);

-- name: remove_acknowledgements
delete from acknowledged where position between ?3 and ?4 and acknowledged_at < ?5;

-- name: remove_pending
-- The pending events that were created before ?5.
delete from events
where position between ?3 and ?4 and created_at < ?5
    and not exists (select 1 from acknowledged a where a.position = events.position);

-- name: list_kinds
-- The kinds of which something in the block is pending; and then kind 0, if anything is.
insert or ignore into pending (tenant_id, kind, block)
select ?1, e.kind, ?2 from events e
where e.position between ?3 and ?4
    and not exists (select 1 from acknowledged a where a.position = e.position);

-- name: list_places
-- Which events that stay are of which kind.
insert into kind_blocks (tenant_id, kind, block, places_0, places_1, places_2, places_3)
select ?1, e.kind, ?2,
    sum(iif(e.position >> 6 & 3 = 0, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 1, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 2, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 3, 1 << (e.position & 63), 0))
from events e where e.position between ?3 and ?4
group by e.kind;

-- name: list_any
insert into pending (tenant_id, kind, block)
select ?1, 0, ?2 where exists (
    select 1 from events e
    where e.position between ?3 and ?4
        and not exists (select 1 from acknowledged a where a.position = e.position));

-- name: unlist_block
delete from blocks where tenant_id = ?1 and block = ?2;

-- name: free_pages
-- How many pages of the file are free, if that is more than a tenth and they can be given back; else 0.
select case when f.freelist_count > p.page_count / 10 and v.auto_vacuum = 2
    then f.freelist_count else 0 end
from pragma_freelist_count f, pragma_page_count p, pragma_auto_vacuum v;

-- name: give_back_pages
-- Shortens the file by as many pages.
pragma incremental_vacuum(256);
