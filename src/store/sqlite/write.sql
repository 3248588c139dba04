-- A batch of writes, one item after the other in one transaction. ?1 is the tenant wherever a table
-- of events is named.

-- name: begin
begin;

-- name: begin_write
begin immediate;

-- name: commit
commit;

-- name: roll_back
rollback;

-- name: append
-- Stores an event, unless the id is there. Index: the primary key of events.
insert into events (tenant_id, event_id, created_at, source, event_type, payload)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (tenant_id, event_id) do nothing;

-- name: enqueue
-- Its row in the inbox. Index: the primary key of pending, which is the table.
insert into pending (tenant_id, event_id, created_at) values (?1, ?2, ?3);

-- name: compare
-- When the event with this id was created and whether it is the same. Index: the primary key of
-- events.
select created_at, source = ?3 and event_type = ?4 and payload = ?5
from events where tenant_id = ?1 and event_id = ?2;

-- name: dequeue
-- Takes an event out of the inbox; returns when it was created. Indexes: the primary key of events,
-- then that of pending.
delete from pending
where tenant_id = ?1 and event_id = ?2
    and created_at = (select created_at from events where tenant_id = ?1 and event_id = ?2)
returning created_at;

-- name: acknowledge
-- Its row among the acknowledged ones. Index: the primary key of acknowledged, which is the table.
insert into acknowledged (tenant_id, event_id, created_at, acknowledged_at)
values (?1, ?2, ?3, ?4);

-- name: acknowledged_at
-- When an event was acknowledged. Indexes: the primary key of events, then that of acknowledged.
select acknowledged_at from acknowledged
where tenant_id = ?1 and event_id = ?2
    and created_at = (select created_at from events where tenant_id = ?1 and event_id = ?2);

-- name: count_pending
-- Adds to the count of pending events. Index: the primary key of pending_count.
insert into pending_count (tenant_id, events) values (?1, ?2)
on conflict (tenant_id) do update set events = events + excluded.events;
