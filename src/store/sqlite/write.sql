-- A batch of writes, one item after the other in one transaction. ?1 is the tenant, except where a row
-- is found by its position, which is 2^40 * tenant + sequence.

-- name: begin
begin;

-- name: begin_write
begin immediate;

-- name: commit
commit;

-- name: roll_back
rollback;

-- name: last_position
-- The highest position of the tenant. Index: the primary key of events, which is the table.
select position from events where position between ?1 << 40 and (?1 << 40) + 1099511627775
order by position desc limit 1;

-- name: find_kind
-- The number of a source and event type. Index: the unique one of kinds.
select kind from kinds where tenant_id = ?1 and source = ?2 and event_type = ?3;

-- name: add_kind
-- A new one. Index: the primary key of kinds, backwards.
insert into kinds (tenant_id, kind, source, event_type)
values (?1, 1 + coalesce((select max(kind) from kinds where tenant_id = ?1), 0), ?2, ?3)
returning kind;

-- name: append
-- Stores an event, unless the id is there. Index: the unique one of events.
insert into events (position, tenant_id, event_id, created_at, kind, payload, ordering_key, ordering_hash,
    deliver_at)
values (?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
on conflict (tenant_id, event_id) do nothing;

-- name: compare
-- The event with this id, and whether it is the same; what was erased is not compared. Index: the
-- unique one of events.
select position, created_at, kind, 
    kind = ?3 and ordering_key is ?5 and (erased_at is not null or payload = ?4)
from events where tenant_id = ?1 and event_id = ?2;

-- name: find
-- What an acknowledgement needs of an event. Index: the unique one of events.
select position, kind, created_at from events where tenant_id = ?1 and event_id = ?2;

-- name: find_at
-- The same of the one at a position. Index: the primary key of events.
select kind, created_at from events where position = ?1;

-- name: acknowledge
-- Index: the primary key of acknowledged, which is the table; so for the others on positions.
insert into acknowledged (position, acknowledged_at) values (?1, ?2) on conflict do nothing;

-- name: acknowledged_at
select acknowledged_at from acknowledged where position = ?1;

-- name: block_events
-- What is kept of a block that is full: when its events were created, which kinds are where and
-- pending, and how large they are. length does not read the payload.
select e.position & 255, e.created_at, e.kind, a.position is null, length(e.payload)
from events e
left join acknowledged a on a.position = e.position
where e.position between ?1 and ?2;

-- name: erase
-- Index: the primary key of events.
update events set payload = x'', erased_at = ?2 where position = ?1 and erased_at is null;

-- name: wipe
-- What is removed from now on is overwritten in the file.
pragma secure_delete = on;

-- name: wipe_fast
-- The same, except for pages that become free as a whole.
pragma secure_delete = fast;

-- name: add_block
-- Its bytes, ?5, go on from those of the block before. Index: the primary key of blocks, which is the
-- table.
insert into blocks (tenant_id, block, oldest, newest, bytes)
values (?1, ?2, ?3, ?4,
    ?5 + coalesce((select bytes from blocks where tenant_id = ?1 and block = ?2 - 1), 0));

-- name: add_kind_block
-- Index: the primary key of kind_blocks, which is the table.
insert into kind_blocks (tenant_id, block, kind, places_0, places_1, places_2, places_3)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: add_pending
-- Index: the primary key of pending, which is the table.
insert into pending (tenant_id, block, kind) values (?1, ?2, ?3);

-- name: settle_kind
-- Takes the kind ?3 from the full block ?2. Index: the primary key of pending.
delete from pending where tenant_id = ?1 and kind = ?3 and block = ?2;

-- name: settle_any
-- The same with kind 0, unless an event is pending. The last one is looked at first: who acknowledges
-- in order leaves it for the end.
delete from pending
where tenant_id = ?1 and kind = 0 and block = ?2
    and not case when not exists (
        select 1 from acknowledged where position = (
            select max(position) from events where position between ?3 and ?4))
        then 1
        else exists (
            select 1 from events e
            left join acknowledged a on a.position = e.position
            where e.position between ?3 and ?4 and a.position is null)
        end;
