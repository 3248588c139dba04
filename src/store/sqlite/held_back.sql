-- Events that are held back: until their time, or after others of their key. ?1 is the tenant.

-- name: delayed
-- Those with a deliver_at, after ?2 and the position ?3 and up to ?4, of the positions from ?5 to ?6; only
-- those that are pending if ?7. In the order of deliver_at: first the rest of those at ?2, where there may be
-- many. Indexes: events_delayed alone; the primary key of acknowledged, for each.
select position, kind, deliver_at from events indexed by events_delayed
where tenant_id = ?1 and deliver_at = ?2 and ?2 <= ?4 and position > ?3 and position between ?5 and ?6
    and (not ?7 or not exists (select 1 from acknowledged a where a.position = events.position))
union all
select position, kind, deliver_at from events indexed by events_delayed
where tenant_id = ?1 and deliver_at > ?2 and deliver_at <= ?4 and position between ?5 and ?6
    and (not ?7 or not exists (select 1 from acknowledged a where a.position = events.position))
order by deliver_at, position;

-- name: next_delayed
-- The first deliver_at after ?2 of the positions from ?3 to ?4. Index: events_delayed alone.
select deliver_at from events indexed by events_delayed
where tenant_id = ?1 and deliver_at > ?2 and position between ?3 and ?4
order by deliver_at limit 1;

-- name: count_delayed
-- How many have one after ?2 and the position ?3, of the positions from ?4 to ?5; ?6 of them are counted.
-- Index: events_delayed alone.
select count(*) from (
    select 1 from events indexed by events_delayed
    where tenant_id = ?1 and deliver_at is not null and (deliver_at, position) > (?2, ?3)
        and position between ?4 and ?5
    limit ?6);

-- name: of_key
-- The events of the key ?2 from the position ?3 to ?4; only those that are pending if ?5. Indexes:
-- events_keys alone; the primary key of acknowledged, for each.
select position, kind from events indexed by events_keys
where tenant_id = ?1 and ordering_hash = ?2 and position between ?3 and ?4
    and (not ?5 or not exists (select 1 from acknowledged a where a.position = events.position))
order by position;
