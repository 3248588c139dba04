\set row random(1, :rows)
\set high :base + :row
select e.event_id, e.created_at, e.source, e.event_type, e.payload, a.acknowledged_at
from plain.events e
left join plain.acknowledged a
    on a.tenant_id = 0 and a.created_at = e.created_at and a.event_id = e.event_id
where e.tenant_id = 0
    and e.event_id = encode(int8send(:high) || int8send(:row), 'hex')::uuid;
