-- Events that are held back: until their time, or after others of their key. write.sql says how statements
-- are planned. Without names a filter has every kind. "sequence + 0" keeps events_pkey, which is in no such
-- order, out of the choice of an index.

-- name: delayed, sized by $11, with fitting
-- A page of $5 rows of the events with a deliver_at, after $2 and the sequence $3 and up to $4, of the
-- sequences after $8 and up to $9; only those that are pending if $10. In the order of deliver_at.
-- Indexes: events_delayed; acknowledged_pkey, for each if $10; events_pkey and acknowledged_pkey, for
-- each of the page; kinds_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    select w.sequence
    from triggers.events w
    where w.tenant_id = $1 and w.deliver_at is not null and w.deliver_at <= $4::timestamptz
        and (w.deliver_at, w.sequence) > ($2::timestamptz, $3::bigint)
        and w.sequence + 0 > $8::bigint and w.sequence + 0 <= $9::bigint
        and (cardinality($6) = 0 and cardinality($7) = 0
            or w.kind = any (array(select kind from fitting)))
        and (not $10::boolean or not exists (
            select from triggers.acknowledged
            where tenant_id = $1 and sequence = w.sequence offset 0))
    order by w.deliver_at, w.sequence limit $5::bigint) d
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = d.sequence offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true;

-- name: next_delayed
-- The first deliver_at after $2 of the sequences after $3 and up to $4, or null. Index: events_delayed.
select (
    select deliver_at from triggers.events
    where tenant_id = $1 and deliver_at > $2::timestamptz
        and sequence + 0 > $3::bigint and sequence + 0 <= $4::bigint
    order by deliver_at limit 1);

-- name: count_delayed
-- How many have one after $2 and the sequence $3, of the sequences after $4 and up to $5; $6 of them are
-- counted. Index: events_delayed.
select count(*)
from (
    select from triggers.events
    where tenant_id = $1 and deliver_at is not null
        and (deliver_at, sequence) > ($2::timestamptz, $3::bigint)
        and sequence + 0 > $4::bigint and sequence + 0 <= $5::bigint
    limit $6::bigint) w;

-- name: key_next, with fitting
-- For each key $2 that has an event after its sequence $3 and up to $4: its number in the arrays, from 1,
-- and the first one's sequence; only those that are pending if $5. Indexes: events_keys, for each key,
-- which the comparison of pairs leaves as the only one; acknowledged_pkey, for each event if $5;
-- kinds_pkey.
select i.number, n.sequence
from unnest($2::bigint[], $3::bigint[]) with ordinality i (key, after, number)
cross join lateral (
    select e.sequence
    from triggers.events e
    where e.tenant_id = $1 and e.ordering_hash is not null
        and (e.ordering_hash, e.sequence) > (i.key, i.after)
        and (e.ordering_hash, e.sequence) <= (i.key, $4::bigint)
        and (cardinality($6) = 0 and cardinality($7) = 0
            or e.kind = any (array(select kind from fitting)))
        and (not $5::boolean or not exists (
            select from triggers.acknowledged
            where tenant_id = $1 and sequence = e.sequence offset 0))
    order by e.ordering_hash, e.sequence limit 1) n;
