-- Subscriptions, and the dead letters of each. write.sql says how statements are planned.

-- name: subscriptions
-- A page of subscriptions after $2, of $3 rows. Index: subscriptions_pkey.
select subscription, revision, created_at, name, settings, removed_at is not null
from triggers.subscriptions
where tenant_id = $1 and subscription > $2::bigint order by subscription limit $3::bigint;

-- name: subscription_named
-- The subscription of the name. Index: subscriptions_names.
select subscription, revision, created_at, name, settings, false
from triggers.subscriptions
where tenant_id = $1 and name = $2::text and removed_at is null;

-- name: create_subscription
-- Creates a subscription with its first settlement, unless its name is there or $5 others are. Returns its
-- id, revision and time, or nulls, and whether there are too many; of cores that create at once some may
-- exceed that. Indexes: subscriptions_names, once for all of the tenant; subscriptions_pkey and
-- settlements_pkey, which grow.
with room as materialized (
    select count(*) < $5::bigint as free, coalesce(bool_or(name = $2::text), false) as there
    from triggers.subscriptions where tenant_id = $1 and removed_at is null),
made as (
    insert into triggers.subscriptions (tenant_id, revision, created_at, name, settings)
    select $1::bigint, 1, pg_catalog.clock_timestamp(), $2, $3::bytea from room
    where free and not there and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
    on conflict (tenant_id, name) where removed_at is null do nothing
    returning subscription, revision, created_at),
begun as (
    insert into triggers.settlements
        (tenant_id, subscription, number, token, written_at, takes, body)
    select $1::bigint, subscription, 1, 0, created_at, 0, $4::bytea from made)
select m.subscription, m.revision, m.created_at, not r.free and not r.there
from room r left join made m on true;

-- name: change_subscription
-- Changes the subscription of the name, if it has the revision $4; returns its id, the new revision and
-- when it was created. Index: subscriptions_names.
update triggers.subscriptions set revision = revision + 1, settings = $3::bytea
where tenant_id = $1 and name = $2::text and removed_at is null and revision = $4::bigint
    and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
returning subscription, revision, created_at, false;

-- name: hide_subscription
-- Ends a subscription and frees its name; returns a row if that was not done before. Index:
-- subscriptions_pkey.
update triggers.subscriptions
set revision = revision + 1, removed_at = pg_catalog.clock_timestamp()
where tenant_id = $1 and subscription = $2::bigint and removed_at is null
    and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
returning subscription;

-- name: remove_subscription
-- Removes up to 1000 rows of each table from a subscription that is hidden; returns whether there were any.
-- When there are none it removes its own, unless it was hidden within the last minute: somebody who began
-- before may still append. Indexes: subscriptions_pkey; takes_pkey, settlements_pkey and
-- dead_letters_pkey; rows are removed by their position (ctid).
with hidden as materialized (
    select subscription, ctid as place, removed_at from triggers.subscriptions
    where tenant_id = $1 and subscription = $2::bigint and removed_at is not null),
old_takes as materialized (
    select x.place from hidden h cross join lateral (
        select ctid as place from triggers.takes
        where tenant_id = $1 and subscription = h.subscription order by number limit 1000) x),
old_settlements as materialized (
    select x.place from hidden h cross join lateral (
        select ctid as place from triggers.settlements
        where tenant_id = $1 and subscription = h.subscription order by number limit 1000) x),
old_letters as materialized (
    select x.place from hidden h cross join lateral (
        select ctid as place from triggers.dead_letters
        where tenant_id = $1 and subscription = h.subscription order by sequence limit 1000) x),
more as materialized (
    select exists (select from old_takes) or exists (select from old_settlements)
        or exists (select from old_letters) as rows),
without_takes as (
    delete from triggers.takes where ctid = any (array(select place from old_takes))),
without_settlements as (
    delete from triggers.settlements where ctid = any (array(select place from old_settlements))),
without_letters as (
    delete from triggers.dead_letters where ctid = any (array(select place from old_letters))),
gone as (
    delete from triggers.subscriptions where ctid = any (array(
        select h.place from hidden h cross join more m where not m.rows
            and h.removed_at < pg_catalog.clock_timestamp() - interval '1 minute')))
select rows from more
where (select pg_catalog.set_config('synchronous_commit',
    case pg_catalog.current_setting('synchronous_commit')
    when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null;

-- name: dead_letters, sized by $6
-- A page of a subscription's dead letters, of $5 rows, before the settlement $3 and the sequence $4, the
-- last first, with their events if they are there. Indexes: dead_letters_newest, backwards; events_pkey
-- and acknowledged_pkey, for each.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at, d.sequence, d.attempts, d.first_at, d.settlement, d.dead_at, d.reason
from (
    select sequence, attempts, first_at, settlement, dead_at, reason
    from triggers.dead_letters
    where tenant_id = $1 and subscription = $2::bigint
        and (settlement, sequence) < ($3::bigint, $4::bigint)
    order by settlement desc, sequence desc limit $5::bigint) d
left join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = d.sequence offset 0) e
on true
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true;

-- name: dead_letters_of_kinds, sized by $10, with fitting
-- The same for a filter: of each kind that fits a page, of them the first. The times of the events are from
-- $8 to before $9. Indexes: kinds_pkey; dead_letters_kinds, backwards, for each kind; events_pkey, for
-- each; acknowledged_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at, d.sequence, d.attempts, d.first_at, d.settlement, d.dead_at, d.reason
from (
    select x.*
    from fitting k
    cross join lateral (
        select d.sequence, d.attempts, d.first_at, d.settlement, d.dead_at, d.reason
        from triggers.dead_letters d
        cross join lateral (
            select from triggers.events
            where tenant_id = $1 and sequence = d.sequence
                and created_at >= $8::timestamptz and created_at < $9::timestamptz offset 0) e
        where d.tenant_id = $1 and d.subscription = $2::bigint and d.kind = k.kind
            and (d.settlement, d.sequence) < ($3::bigint, $4::bigint)
        order by d.settlement desc, d.sequence desc limit $5::bigint) x
    order by x.settlement desc, x.sequence desc limit $5) d
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = d.sequence offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true;

-- name: dead_letters_of_events, sized by $12, with fitting
-- The same for the events of the sequences $10; the filter counts if $11. Indexes: dead_letters_pkey,
-- events_pkey and acknowledged_pkey, for each; kinds_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at, d.sequence, d.attempts, d.first_at, d.settlement, d.dead_at, d.reason
from (select distinct i.sequence from unnest($10::bigint[]) i (sequence)) i
cross join lateral (
    select sequence, attempts, first_at, settlement, dead_at, reason
    from triggers.dead_letters
    where tenant_id = $1 and subscription = $2::bigint and sequence = i.sequence offset 0) d
left join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = d.sequence offset 0) e
on true
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true
where (d.settlement, d.sequence) < ($3::bigint, $4::bigint) and (not $11::boolean or (
    e.created_at >= $8::timestamptz and e.created_at < $9::timestamptz
        and e.kind = any (array(select kind from fitting))))
order by d.settlement desc, d.sequence desc limit $5::bigint;
