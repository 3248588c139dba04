-- Every client takes rows of its own, one after another: n starts at 0 and stays between runs.
\set n :n + 1
\set row :n * :callers - :client_id
\set high :base + :row
with event as (
    select created_at, event_id from plain.events where tenant_id = 0
        and event_id = encode(int8send(:high) || int8send(:row), 'hex')::uuid),
removed as (
    delete from plain.pending p using event e
    where p.tenant_id = 0 and p.created_at = e.created_at and p.event_id = e.event_id
    returning p.created_at, p.event_id)
insert into plain.acknowledged (tenant_id, created_at, event_id, acknowledged_at)
select 0, created_at, event_id, now() from removed;
