-- What a plain service sends for each event: one statement, committed by itself. The id is ordered by
-- time, as ours are.
\set low random(0, 4611686018427387904)
with event as (
    insert into plain.events (tenant_id, event_id, created_at, source, event_type, payload)
    values (0, encode(timestamptz_send(clock_timestamp()) || int8send(:low), 'hex')::uuid, now(),
        :source, :event_type, :payload)
    returning event_id, created_at)
insert into plain.pending (tenant_id, created_at, event_id)
select 0, created_at, event_id from event;
