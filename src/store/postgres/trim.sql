-- Removal from the old end of the log: one transaction, whose statements are sent together. write.sql
-- says how statements are planned; $2 and $3 are the times before which what is acknowledged and what
-- is pending goes. Rows are removed by their position (ctid): a row that was changed meanwhile stays
-- until the next time.

-- name: begin_trim
-- Takes the turn, unless another session has it; the number is "trim" in ASCII. Those after it do
-- nothing without it. Reads no table.
select pg_catalog.set_config('triggers.trims',
    pg_catalog.pg_try_advisory_xact_lock(1953655149)::text, true);

-- name: trim_blocks
-- Removes the oldest blocks that are due, of the first $4, from the log; returns how many acknowledged
-- and pending events, and how many blocks. Kinds of which something stays keep their rows, in which the
-- places are not right any more. Indexes: blocks_pkey, forwards, and backwards for the last
-- row; acknowledged_pkey, events_pkey, blocks_pkey and pending_pkey, for each block.
with oldest as materialized (
    select o.block, o.newest < $2::timestamptz and not exists (
        select from triggers.acknowledged
        where tenant_id = $1 and sequence between o.block << 8 and (o.block << 8) + 255
            and acknowledged_at >= $2) as due
    from (
        select block, newest from triggers.blocks
        where tenant_id = $1 and kind = 0
            and pg_catalog.current_setting('triggers.trims', true) = 'true' and block < (
                select block from triggers.blocks where tenant_id = $1 and kind = 0
                order by block desc limit 1)
        order by block limit $4::bigint) o),
due as materialized (
    select block from oldest o
    where due and not exists (select from oldest x where x.block < o.block and not x.due)),
found as materialized (
    select d.block, e.kind, e.place, a.place as acknowledged_place,
        a.place is not null or coalesce(e.created_at < $3::timestamptz, true) as goes
    from due d
    left join lateral (
        select sequence, ctid as place, kind, created_at from triggers.events
        where tenant_id = $1 and sequence between d.block << 8 and (d.block << 8) + 255 offset 0) e
    on true
    left join lateral (
        select ctid as place from triggers.acknowledged
        where tenant_id = $1 and sequence = e.sequence offset 0) a
    on true),
removed as (
    delete from triggers.events e using found f where e.ctid = f.place and f.goes
    returning f.acknowledged_place),
unacknowledged as (
    delete from triggers.acknowledged
    where ctid = any (array(select acknowledged_place from removed))),
kinds as materialized (
    select block, coalesce(kind, 0) as kind, bool_and(goes) as empty from found
    group by grouping sets ((block, kind), (block))),
listed as materialized (
    select x.place, k.kind > 0 and not k.empty as stays from kinds k
    cross join lateral (
        select ctid as place from triggers.blocks
        where tenant_id = $1 and kind = k.kind and block = k.block offset 0) x),
unlisted as (
    delete from triggers.blocks
    where ctid = any (array(select place from listed where not stays))),
unplaced as (
    update triggers.blocks set places = null
    where ctid = any (array(select place from listed where stays))),
settled as (
    delete from triggers.pending p
    using (
        select x.place from kinds k
        cross join lateral (
            select ctid as place from triggers.pending
            where tenant_id = $1 and kind = k.kind and block = k.block offset 0) x
        where k.empty) f
    where p.ctid = f.place)
select (select count(acknowledged_place) from removed),
    (select count(*) - count(acknowledged_place) from removed), (select count(*) from due);

-- name: trim_singles
-- The same for single events before the log's beginning: of the lowest $4 acknowledged ones those that
-- are due, and acknowledgements that came when their event was being removed; and of the lowest $4
-- events the pending ones that are. Indexes: blocks_pkey, for the first row; acknowledged_pkey and
-- events_pkey, forwards, and for each event; blocks_pkey and pending_pkey, for each block.
with beginning as materialized (
    select block << 8 as sequence from triggers.blocks
    where tenant_id = $1 and kind = 0 and pg_catalog.current_setting('triggers.trims', true) = 'true'
    order by block limit 1),
low as materialized (
    select e.sequence, e.kind, e.place, e.created_at
    from beginning b
    cross join lateral (
        select sequence, kind, ctid as place, created_at from triggers.events
        where tenant_id = $1 and sequence < b.sequence and $3::timestamptz > '-infinity'
        order by sequence limit $4::bigint) e),
found as materialized (
    select a.sequence, a.kind, e.place, a.place as acknowledged_place
    from beginning b
    cross join lateral (
        select sequence, kind, ctid as place, acknowledged_at from triggers.acknowledged
        where tenant_id = $1 and sequence < b.sequence
        order by sequence limit $4) a
    left join lateral (
        select ctid as place from triggers.events
        where tenant_id = $1 and sequence = a.sequence offset 0) e
    on true
    where a.acknowledged_at < $2::timestamptz or e.place is null
    union all
    select l.sequence, l.kind, l.place, null
    from low l
    left join lateral (
        select sequence from triggers.acknowledged
        where tenant_id = $1 and sequence = l.sequence offset 0) a
    on true
    where l.created_at < $3 and a.sequence is null),
removed as (
    delete from triggers.events e using found f where e.ctid = f.place
    returning f.acknowledged_place),
unacknowledged as (
    delete from triggers.acknowledged where ctid = any (array(
        select acknowledged_place from removed
        union all
        select acknowledged_place from found where place is null))),
kinds as materialized (
    select sequence >> 8 as block, coalesce(kind, 0) as kind, array_agg(sequence) as going
    from found where place is not null
    group by grouping sets ((sequence >> 8, kind), (sequence >> 8))),
unlisted as (
    delete from triggers.blocks b
    using (
        select x.place from kinds k
        cross join lateral (
            select ctid as place from triggers.blocks
            where tenant_id = $1 and kind = k.kind and block = k.block offset 0) x
        where (
            select sequence from triggers.events
            where tenant_id = $1 and sequence between k.block << 8 and (k.block << 8) + 255
                and kind = k.kind and sequence <> all (k.going)
            order by sequence limit 1) is null) f
    where b.ctid = f.place),
settled as (
    delete from triggers.pending p
    using (
        select x.place from kinds k
        cross join lateral (
            select ctid as place from triggers.pending
            where tenant_id = $1 and kind = k.kind and block = k.block offset 0) x
        where (
            select e.sequence
            from triggers.events e
            left join lateral (
                select sequence from triggers.acknowledged
                where tenant_id = $1 and sequence = e.sequence offset 0) a
            on true
            where e.tenant_id = $1 and e.sequence between k.block << 8 and (k.block << 8) + 255
                and (k.kind = 0 or e.kind = k.kind) and a.sequence is null
                and e.sequence <> all (k.going)
            order by e.sequence limit 1) is null) f
    where p.ctid = f.place)
select (select count(acknowledged_place) from removed),
    (select count(*) - count(acknowledged_place) from removed);

-- name: sweep
-- Of the $4 rows of pending after those of the kind $2 and the block $3, takes those in which nothing
-- is pending: a session that was cut off has not settled them. Returns the last of the rows. Indexes:
-- pending_pkey; acknowledged_pkey and events_pkey, for each block.
with slice as materialized (
    select kind, block, ctid as place from triggers.pending
    where tenant_id = $1 and (kind, block) > ($2::integer, $3::bigint)
        and pg_catalog.current_setting('triggers.trims', true) = 'true'
    order by kind, block limit $4::bigint),
swept as (
    delete from triggers.pending p
    using (
        select s.place from slice s
        cross join lateral (
            select array(
                select sequence from triggers.acknowledged
                where tenant_id = $1 and sequence between s.block << 8 and (s.block << 8) + 255)
                as sequences offset 0) a
        where (
            select sequence from triggers.events
            where tenant_id = $1 and sequence between s.block << 8 and (s.block << 8) + 255
                and (s.kind = 0 or kind = s.kind) and sequence <> all (a.sequences)
            order by sequence limit 1) is null) f
    where p.ctid = f.place)
select kind, block from slice order by kind desc, block desc limit 1;

-- name: log_beginning
-- The first sequence from which on nothing was removed. Index: blocks_pkey, for the first row.
select greatest(1, (
    select block << 8 from triggers.blocks where tenant_id = $1 and kind = 0
    order by block limit 1));
