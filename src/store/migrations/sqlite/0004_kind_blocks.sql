-- Which events of a full block are of a kind, in place of an index with an entry for each event. The
-- block's events have a bit each, 64 in a column. Retention removes the rows of kinds that are gone.
create table kind_blocks (
    tenant_id integer not null,
    kind integer not null,
    block integer not null,
    places_0 integer not null,
    places_1 integer not null,
    places_2 integer not null,
    places_3 integer not null,
    primary key (tenant_id, kind, block)
) strict, without rowid;

insert into kind_blocks
select e.tenant_id, e.kind, (e.position & 1099511627775) >> 8,
    sum(iif(e.position >> 6 & 3 = 0, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 1, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 2, 1 << (e.position & 63), 0)),
    sum(iif(e.position >> 6 & 3 = 3, 1 << (e.position & 63), 0))
from events e
join (select tenant_id, max(position) + 1 >> 8 as open from events group by tenant_id) t
    on e.tenant_id = t.tenant_id and e.position >> 8 < t.open
group by e.tenant_id, e.kind, e.position >> 8;

drop index events_kinds;
