select e.event_id, e.created_at, e.source, e.event_type, e.payload
from (
    select created_at, event_id from plain.pending where tenant_id = 0
    order by created_at desc, event_id desc limit 50
) l
join plain.events e on e.tenant_id = 0 and e.event_id = l.event_id
order by l.created_at desc, l.event_id desc;
