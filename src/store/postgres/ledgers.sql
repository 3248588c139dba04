-- Ledgers: entries are appended and read; which follows which is held by the numbers, which are keys.
-- write.sql says how statements are planned. An appender sees the entry that it follows; if another comes
-- after that meanwhile, the number is taken, and stays so for a minute at least (trim_ledger), longer than
-- any statement lasts.

-- name: append_takes
-- Appends takes of different subscriptions, each after the entry before it, if the subscription has the
-- revision; on the disk at once if $8. Returns subscriptions and times of those that were written, then
-- those subscriptions that are not there. Whether there is none at all is looked at for the first take
-- only (case): it is a walk over rows that were removed, and that a long transaction keeps. Indexes:
-- subscriptions_pkey and takes_pkey, for each.
with given as materialized (
    select i.subscription, i.before + 1 as number, i.token, i.body, s.subscription as found,
        case when s.revision = i.revision
        then pg_catalog.clock_timestamp() end as written_at
    from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
        i (subscription, revision, before, before_token, token, body)
    left join lateral (
        select subscription, revision, removed_at from triggers.subscriptions
        where tenant_id = $1 and subscription = i.subscription offset 0) s
    on s.removed_at is null
    left join lateral (
        select number from triggers.takes
        where tenant_id = $1 and subscription = i.subscription and number = i.before
            and token = i.before_token
        union all
        select 0 where case when i.before = 0 then not exists (
            select from triggers.takes where tenant_id = $1 and subscription = i.subscription) end) p
    on true
    where p.number is not null or s.subscription is null),
written as (
    insert into triggers.takes (tenant_id, subscription, number, token, written_at, body)
    select $1::bigint, subscription, number, token, written_at, body from given
    where written_at is not null and (select pg_catalog.set_config('synchronous_commit',
        case when not $8::boolean then 'off'
        when pg_catalog.current_setting('synchronous_commit') = 'remote_apply' then 'remote_apply'
        else 'on' end, true)) is not null
    on conflict (tenant_id, subscription, number) do nothing
    returning subscription, written_at)
select subscription, written_at from written
union all
select subscription, null from given where found is null;

-- part: written
-- Appends settlements of different subscriptions, in ascending order, as append_takes does, if the last
-- take that their writer had seen is there, which may be lost with the server. Indexes:
-- subscriptions_pkey, settlements_pkey and takes_pkey, for each.
insert into triggers.settlements
    (tenant_id, subscription, number, token, written_at, takes, body)
select $1::bigint, i.subscription, i.before + 1, i.token,
    pg_catalog.clock_timestamp(), nullif(i.takes, -1), i.body
from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bytea[], $9::bigint[], $10::bigint[])
    i (subscription, revision, before, before_token, token, takes, body, seen, seen_token)
cross join lateral (
    select removed_at from triggers.subscriptions
    where tenant_id = $1 and subscription = i.subscription and revision = i.revision offset 0) s
cross join lateral (
    select from triggers.settlements
    where tenant_id = $1 and subscription = i.subscription and number = i.before
        and token = i.before_token offset 0) p
cross join lateral (
    select count(*) as there from triggers.takes
    where tenant_id = $1 and subscription = i.subscription and number = i.seen
        and token = i.seen_token offset 0) t
where s.removed_at is null and (t.there = 1 or i.seen = 0) and (select pg_catalog.set_config('synchronous_commit',
    case pg_catalog.current_setting('synchronous_commit')
    when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
on conflict (tenant_id, subscription, number) do nothing
returning subscription, number, written_at

-- name: append_bare_settlements, with written
-- Appends settlements that have no more than the entry; returns subscriptions and times of those that were
-- written. Index: settlements_pkey, which grows.
select subscription, written_at from written;

-- name: append_settlements, with written
-- Appends settlements, then for those that were written only: acknowledges, puts dead letters and removes
-- revived ones, which are given as pairs of subscription and sequence. Returns subscriptions and times of
-- those that were written, then of the events that were acknowledged now the kinds with a sequence of each
-- block. Places of sorted subscriptions are found by bisection (width_bucket). Indexes: settlements_pkey,
-- which grows; events_pkey and acknowledged_pkey, for each event; dead_letters_pkey, for each dead letter,
-- whose rows are removed by their position (ctid).
with done as materialized (
    select array_agg(subscription order by subscription) as subscriptions,
        array_agg(number order by subscription) as numbers,
        array_agg(written_at order by subscription) as times
    from written),
acknowledged as (
    insert into triggers.acknowledged (tenant_id, sequence, kind, acknowledged_at)
    select $1::bigint, i.sequence, e.kind, greatest(d.times[p.place], e.created_at)
    from done d
    cross join unnest($11::bigint[], $12::bigint[]) i (subscription, sequence)
    cross join lateral (
        select width_bucket(i.subscription, d.subscriptions) as place offset 0) p
    cross join lateral (
        select kind, created_at from triggers.events
        where tenant_id = $1 and sequence = i.sequence offset 0) e
    where d.subscriptions[p.place] = i.subscription
    order by i.sequence
    on conflict (tenant_id, sequence) do nothing
    returning sequence, kind),
dead as (
    insert into triggers.dead_letters (tenant_id, subscription, sequence, kind, attempts, first_at,
        settlement, dead_at, reason)
    select $1::bigint, i.subscription, i.sequence, coalesce(e.kind, 0), i.attempts, i.first_at,
        d.numbers[p.place], d.times[p.place], i.reason
    from done d
    cross join unnest($13::bigint[], $14::bigint[], $15::bigint[], $16::timestamptz[], $17::text[])
        i (subscription, sequence, attempts, first_at, reason)
    cross join lateral (
        select width_bucket(i.subscription, d.subscriptions) as place offset 0) p
    left join lateral (
        select kind from triggers.events
        where tenant_id = $1 and sequence = i.sequence offset 0) e
    on true
    where d.subscriptions[p.place] = i.subscription
    on conflict (tenant_id, subscription, sequence) do update set attempts = excluded.attempts,
        first_at = excluded.first_at, settlement = excluded.settlement, dead_at = excluded.dead_at,
        reason = excluded.reason),
revived as (
    delete from triggers.dead_letters l
    using (
        select x.place
        from done d
        cross join unnest($18::bigint[], $19::bigint[]) i (subscription, sequence)
        cross join lateral (
            select ctid as place from triggers.dead_letters
            where tenant_id = $1 and subscription = i.subscription and sequence = i.sequence
            offset 0) x
        where d.subscriptions[width_bucket(i.subscription, d.subscriptions)] = i.subscription) f
    where l.ctid = f.place)
select subscription, written_at, null::integer, null::bigint from written
union all
select null, null, kind, min(sequence) from acknowledged group by kind, sequence >> 8;

-- name: settled_at
-- For each subscription that is there, or has the entry: its number in the arrays, from 1, and when the
-- entry with this number and token was written, or null. Indexes: settlements_pkey and subscriptions_pkey,
-- for each.
select i.ordinal, w.written_at
from unnest($2::bigint[], $3::bigint[], $4::bigint[]) with ordinality
    i (subscription, before, token, ordinal)
left join lateral (
    select written_at from triggers.settlements
    where tenant_id = $1 and subscription = i.subscription and number = i.before + 1
        and token = i.token offset 0) w
on true
left join lateral (
    select subscription from triggers.subscriptions
    where tenant_id = $1 and subscription = i.subscription and removed_at is null offset 0) s
on true
where w.written_at is not null or s.subscription is not null;

-- name: ledger_row
-- A subscription, the number of its newest checkpoint and the last take that this includes, and the time.
-- Indexes: subscriptions_pkey; settlements_checkpoints, backwards, for the first row.
select s.subscription, s.revision, s.created_at, s.name, s.settings, false, c.number, c.takes,
    pg_catalog.clock_timestamp()
from triggers.subscriptions s
left join lateral (
    select number, takes from triggers.settlements
    where tenant_id = $1 and subscription = $2::bigint and takes is not null
    order by number desc limit 1) c
on true
where s.tenant_id = $1 and s.subscription = $2 and s.removed_at is null;

-- name: ledger_settlements
-- From the number $3 on. Index: settlements_pkey.
select number, token, written_at, body from triggers.settlements
where tenant_id = $1 and subscription = $2::bigint and number >= $3::bigint order by number;

-- name: ledger_takes
-- From the number $3 on. Index: takes_pkey.
select number, token, written_at, body from triggers.takes
where tenant_id = $1 and subscription = $2::bigint and number >= $3::bigint order by number;

-- name: ledger_heads
-- For each subscription that is there its number in the array, from 1, its revision and the numbers of its
-- newest entries. Indexes: subscriptions_pkey; takes_pkey and settlements_pkey, backwards, for the first
-- row of each.
select i.ordinal, s.revision, coalesce((
        select number from triggers.takes where tenant_id = $1 and subscription = i.subscription
        order by number desc limit 1), 0), coalesce((
        select number from triggers.settlements where tenant_id = $1 and subscription = i.subscription
        order by number desc limit 1), 0)
from unnest($2::bigint[]) with ordinality i (subscription, ordinal)
cross join lateral (
    select revision from triggers.subscriptions
    where tenant_id = $1 and subscription = i.subscription and removed_at is null offset 0) s;

-- name: trim_ledger
-- Removes a subscription's takes from the number $3 on and before $4, and settlements from $5 on and before
-- $6, at most 5000 of each, up to the first that was not written a minute ago, which those after it may
-- have been when the clock was set back. Returns the first numbers that were not removed. Indexes:
-- takes_pkey and settlements_pkey; rows are removed by their position (ctid).
with old_takes as materialized (
    select number, ctid as place, written_at from triggers.takes
    where tenant_id = $1 and subscription = $2::bigint and number >= $3::bigint
        and number < $4::bigint
    order by number limit 5000),
old_settlements as materialized (
    select number, ctid as place, written_at from triggers.settlements
    where tenant_id = $1 and subscription = $2 and number >= $5::bigint and number < $6::bigint
    order by number limit 5000),
removed_takes as (
    delete from triggers.takes where ctid = any (array(
        select place from old_takes where number < coalesce((
            select min(number) from old_takes
            where written_at >= pg_catalog.clock_timestamp() - interval '1 minute'), $4)))
    returning number),
removed_settlements as (
    delete from triggers.settlements where ctid = any (array(
        select place from old_settlements where number < coalesce((
            select min(number) from old_settlements
            where written_at >= pg_catalog.clock_timestamp() - interval '1 minute'), $6)))
    returning number)
select greatest($3, (select max(number) + 1 from removed_takes)),
    greatest($5, (select max(number) + 1 from removed_settlements))
where (select pg_catalog.set_config('synchronous_commit',
    case pg_catalog.current_setting('synchronous_commit')
    when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null;

-- name: log_end
-- The highest sequence. Index: events_pkey, backwards, for the first row.
select coalesce((
    select sequence from triggers.events where tenant_id = $1 order by sequence desc limit 1), 0);

-- name: get_by_sequence
-- As get, with the sequence first. Indexes: events_pkey, then acknowledged_pkey, for each sequence.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at
from unnest($2::bigint[]) i (sequence)
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = i.sequence offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true;
