-- Pages of the inbox, of what was acknowledged and of the log. $2 is the sequence after which a page
-- starts, $3 and $4 are the times between which its events were created, $5 is one row more than
-- wanted. write.sql says how statements are planned; rows come in the order of their blocks, and in
-- a block in that of its events.
--
-- Block b has the sequences from 256 b to 256 b + 255. The one that is not full, after the last in
-- blocks, has no rows in pending and blocks. Those that are not all acknowledged are compared with
-- the sequences that are, gathered once for each block.
--
-- Those that are sized end with the event whose payload passes so many bytes in all, but not before
-- the second one; embed.py adds that. The sums cost a third more. octet_length does not read a
-- payload that is stored apart.

-- name: list_pending_newest, sized by $6
-- Indexes: blocks_pkey and pending_pkey, backwards; acknowledged_pkey and events_pkey, for each block.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, null::timestamptz as acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    (select coalesce((
        select block + 1 from triggers.blocks where tenant_id = $1 and kind = 0
        order by block desc limit 1), 0) as block)
    union all
    (select p.block from triggers.pending p
    where p.tenant_id = $1 and p.kind = 0 and p.block <= ($2::bigint >> 8) and not exists (
        select from triggers.blocks x
        where x.tenant_id = $1 and x.kind = 0 and x.block = p.block
            and (x.newest < $3::timestamptz or x.oldest >= $4::timestamptz))
    order by p.block desc)) b
cross join lateral (
    select array(
        select sequence from triggers.acknowledged
        where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255)
        as sequences offset 0) a
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence between b.block << 8 and least((b.block << 8) + 255, $2 - 1)
        and created_at >= $3 and created_at < $4 and sequence <> all (a.sequences)
    order by sequence desc offset 0) e
limit $5::bigint;

-- name: list_pending_oldest, sized by $6
-- Indexes: pending_pkey, forwards; blocks_pkey, backwards, for the last row; acknowledged_pkey and
-- events_pkey, for each block.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, null::timestamptz as acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    (select p.block from triggers.pending p
    where p.tenant_id = $1 and p.kind = 0 and p.block >= ($2::bigint + 1 >> 8) and not exists (
        select from triggers.blocks x
        where x.tenant_id = $1 and x.kind = 0 and x.block = p.block
            and (x.newest < $3::timestamptz or x.oldest >= $4::timestamptz))
    order by p.block)
    union all
    (select coalesce((
        select block + 1 from triggers.blocks where tenant_id = $1 and kind = 0
        order by block desc limit 1), 0))) b
cross join lateral (
    select array(
        select sequence from triggers.acknowledged
        where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255)
        as sequences offset 0) a
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence between greatest(b.block << 8, $2 + 1) and (b.block << 8) + 255
        and created_at >= $3 and created_at < $4 and sequence <> all (a.sequences)
    order by sequence offset 0) e
limit $5::bigint;

-- name: list_acknowledged_newest, sized by $6
-- Indexes: acknowledged_pkey, backwards, and events_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    select sequence, acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence < $2::bigint order by sequence desc offset 0) a
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = a.sequence
        and created_at >= $3::timestamptz and created_at < $4::timestamptz offset 0) e
limit $5::bigint;

-- name: list_acknowledged_oldest, sized by $6
-- Indexes: acknowledged_pkey, forwards, and events_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    select sequence, acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence > $2::bigint order by sequence offset 0) a
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = a.sequence
        and created_at >= $3::timestamptz and created_at < $4::timestamptz offset 0) e
limit $5::bigint;

-- name: list_log, sized by $6
-- Each row has the log's first and last sequence, too; without events there is one row of nulls with
-- them. Indexes: blocks_pkey and events_pkey for the ends; blocks_pkey, then events_pkey, for each
-- block, and acknowledged_pkey for each event.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, e.acknowledged_at,
    e.ordering_key, e.deliver_at, l.first, l.last
from (
    select greatest(1, (
        select block << 8 from triggers.blocks where tenant_id = $1 and kind = 0
        order by block limit 1)) as first, coalesce((
        select sequence from triggers.events where tenant_id = $1
        order by sequence desc limit 1), 0) as last) l
left join lateral (
    select e.sequence, e.event_id, e.created_at, e.kind, e.payload, (
        select acknowledged_at from triggers.acknowledged
        where tenant_id = $1 and sequence = e.sequence) as acknowledged_at, e.ordering_key, e.deliver_at
    from (
        (select block from triggers.blocks
        where tenant_id = $1 and kind = 0 and block >= ($2::bigint + 1 >> 8)
            and newest >= $3::timestamptz and oldest < $4::timestamptz
        order by block)
        union all
        (select coalesce((
            select block + 1 from triggers.blocks where tenant_id = $1 and kind = 0
            order by block desc limit 1), 0))) b
    cross join lateral (
        select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
        where tenant_id = $1
            and sequence between greatest(b.block << 8, $2 + 1) and (b.block << 8) + 255
            and created_at >= $3 and created_at < $4
        order by sequence offset 0) e
    limit $5::bigint) e
on true;

-- part: fitting
-- The kinds whose source and type fit one of $6 and of $7, or any of an empty list. Index: kinds_pkey.
select kind from triggers.kinds
where tenant_id = $1 and (cardinality($6::text[]) = 0 or source = any ($6) or source ^@ any (array(
        select left(name, -1) from unnest($6) name where right(name, 1) = '*')))
    and (cardinality($7::text[]) = 0 or event_type = any ($7) or event_type ^@ any (array(
        select left(name, -1) from unnest($7) name where right(name, 1) = '*')))

-- Pages of these kinds: the sequences of a page of each kind, then the first of all these, then the
-- events. The places of a kind's events in a block are in blocks; the block that is not full, and
-- those that were removed from the log but for what is pending, are walked. Each event's time is
-- looked at only when the times do not include every one.

-- name: list_pending_newest_of_kinds, sized by $8, with fitting
-- Indexes: kinds_pkey; pending_pkey, backwards, and blocks_pkey for each kind; acknowledged_pkey for
-- each block; events_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, null::timestamptz as acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    (select e.sequence, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at
    from (
        select coalesce((
            select block + 1 from triggers.blocks where tenant_id = $1 and kind = 0
            order by block desc limit 1), 0) << 8 as first offset 0) t
    cross join lateral (
        select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
        where tenant_id = $1 and sequence between t.first and $2::bigint - 1
            and created_at >= $3::timestamptz and created_at < $4::timestamptz
            and kind = any (array(select kind from fitting)) and sequence <> all (array(
                select sequence from triggers.acknowledged
                where tenant_id = $1 and sequence >= t.first))
        order by sequence desc offset 0) e)
    union all
    (select e.sequence, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at
    from (
        select p.sequence
        from fitting k
        cross join lateral (
            select s.sequence
            from (
                select (b.block << 8) + unnest(case cardinality(b.places) when 1 then b.places else
                    array(select place from unnest(b.places) place order by place desc) end) as sequence,
                    b.sequences
                from (
                    select p.block,
                        coalesce((
                            select places from triggers.blocks
                            where tenant_id = $1 and kind = k.kind and block = p.block), array(
                            select (sequence & 255)::smallint from triggers.events
                            where tenant_id = $1 and kind = k.kind
                                and sequence between p.block << 8 and (p.block << 8) + 255
                            order by sequence)) as places,
                        array(
                            select sequence from triggers.acknowledged
                            where tenant_id = $1
                                and sequence between p.block << 8 and (p.block << 8) + 255) as sequences
                    from triggers.pending p
                    where p.tenant_id = $1 and p.kind = k.kind and p.block <= ($2 >> 8)
                    order by p.block desc offset 0) b
                offset 0) s
            where s.sequence < $2 and s.sequence <> all (s.sequences)
                and ($3 = '-infinity' and $4 = 'infinity' or exists (
                    select from triggers.events
                    where tenant_id = $1 and sequence = s.sequence
                        and created_at >= $3 and created_at < $4 offset 0))
            limit $5::bigint) p
        order by p.sequence desc limit $5) s
    cross join lateral (
        select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
        where tenant_id = $1 and sequence = s.sequence offset 0) e)) e
limit $5;

-- name: list_pending_oldest_of_kinds, sized by $8, with fitting
-- Indexes: kinds_pkey; pending_pkey, backwards, and blocks_pkey for each kind; acknowledged_pkey for
-- each block; events_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, null::timestamptz as acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    (select e.sequence, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at
    from (
        select p.sequence
        from fitting k
        cross join lateral (
            select s.sequence
            from (
                select (b.block << 8) + unnest(case cardinality(b.places) when 1 then b.places else
                    array(select place from unnest(b.places) place order by place) end) as sequence,
                    b.sequences
                from (
                    select p.block,
                        coalesce((
                            select places from triggers.blocks
                            where tenant_id = $1 and kind = k.kind and block = p.block), array(
                            select (sequence & 255)::smallint from triggers.events
                            where tenant_id = $1 and kind = k.kind
                                and sequence between p.block << 8 and (p.block << 8) + 255
                            order by sequence)) as places,
                        array(
                            select sequence from triggers.acknowledged
                            where tenant_id = $1
                                and sequence between p.block << 8 and (p.block << 8) + 255) as sequences
                    from triggers.pending p
                    where p.tenant_id = $1 and p.kind = k.kind and p.block >= ($2::bigint + 1 >> 8)
                    order by p.block offset 0) b
                offset 0) s
            where s.sequence > $2 and s.sequence <> all (s.sequences)
                and ($3::timestamptz = '-infinity' and $4::timestamptz = 'infinity' or exists (
                    select from triggers.events
                    where tenant_id = $1 and sequence = s.sequence
                        and created_at >= $3 and created_at < $4 offset 0))
            limit $5::bigint) p
        order by p.sequence limit $5) s
    cross join lateral (
        select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
        where tenant_id = $1 and sequence = s.sequence offset 0) e)
    union all
    (select e.sequence, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at
    from (
        select coalesce((
            select block + 1 from triggers.blocks where tenant_id = $1 and kind = 0
            order by block desc limit 1), 0) << 8 as first offset 0) t
    cross join lateral (
        select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
        where tenant_id = $1 and sequence >= t.first and sequence > $2
            and created_at >= $3 and created_at < $4
            and kind = any (array(select kind from fitting)) and sequence <> all (array(
                select sequence from triggers.acknowledged
                where tenant_id = $1 and sequence >= t.first))
        order by sequence offset 0) e)) e
limit $5;

-- name: list_acknowledged_newest_of_kinds, sized by $8, with fitting
-- Indexes: kinds_pkey; blocks_pkey, backwards, for each kind; acknowledged_pkey; events_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, s.acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    select s.sequence, s.acknowledged_at
    from (
        (select a.sequence, a.acknowledged_at
        from triggers.acknowledged a
        cross join lateral (
            select from triggers.events
            where tenant_id = $1 and sequence = a.sequence
                and created_at >= $3::timestamptz and created_at < $4::timestamptz offset 0) e
        where a.tenant_id = $1 and a.sequence between (
                select coalesce(max(block) + 1, 0) << 8 from triggers.blocks
                where tenant_id = $1 and kind = 0) and $2::bigint - 1
            and a.kind = any (array(select kind from fitting))
        order by a.sequence desc limit $5::bigint)
        union all
        (select p.sequence, p.acknowledged_at
        from fitting k
        cross join lateral (
            select a.sequence, a.acknowledged_at
            from (
                select block from triggers.blocks
                where tenant_id = $1 and kind = k.kind and block <= ($2::bigint >> 8)
                    and newest >= $3 and oldest < $4
                order by block desc offset 0) b
            cross join lateral (
                select sequence, acknowledged_at from triggers.acknowledged
                where tenant_id = $1 and kind = k.kind
                    and sequence between b.block << 8 and least((b.block << 8) + 255, $2 - 1)
                order by sequence desc offset 0) a
            cross join lateral (
                select from triggers.events
                where tenant_id = $1 and sequence = a.sequence
                    and created_at >= $3 and created_at < $4 offset 0) e
            limit $5::bigint) p)) s
    order by s.sequence desc limit $5::bigint) s
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = s.sequence offset 0) e;

-- name: list_acknowledged_oldest_of_kinds, sized by $8, with fitting
-- Indexes: kinds_pkey; blocks_pkey, forwards, for each kind; acknowledged_pkey; events_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, s.acknowledged_at,
    e.ordering_key, e.deliver_at
from (
    select s.sequence, s.acknowledged_at
    from (
        (select a.sequence, a.acknowledged_at
        from triggers.acknowledged a
        cross join lateral (
            select from triggers.events
            where tenant_id = $1 and sequence = a.sequence
                and created_at >= $3::timestamptz and created_at < $4::timestamptz offset 0) e
        where a.tenant_id = $1 and a.sequence >= (
                select coalesce(max(block) + 1, 0) << 8 from triggers.blocks
                where tenant_id = $1 and kind = 0) and a.sequence > $2::bigint
            and a.kind = any (array(select kind from fitting))
        order by a.sequence limit $5::bigint)
        union all
        (select p.sequence, p.acknowledged_at
        from fitting k
        cross join lateral (
            select a.sequence, a.acknowledged_at
            from (
                select block from triggers.blocks
                where tenant_id = $1 and kind = k.kind and block >= ($2::bigint + 1 >> 8)
                    and newest >= $3 and oldest < $4
                order by block offset 0) b
            cross join lateral (
                select sequence, acknowledged_at from triggers.acknowledged
                where tenant_id = $1 and kind = k.kind
                    and sequence between greatest(b.block << 8, $2 + 1) and (b.block << 8) + 255
                order by sequence offset 0) a
            cross join lateral (
                select from triggers.events
                where tenant_id = $1 and sequence = a.sequence
                    and created_at >= $3 and created_at < $4 offset 0) e
            limit $5::bigint) p)) s
    order by s.sequence limit $5::bigint) s
cross join lateral (
    select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
    where tenant_id = $1 and sequence = s.sequence offset 0) e;

-- name: list_log_of_kinds, sized by $8, with fitting
-- With the log's first and last sequence, as list_log. Indexes: blocks_pkey and events_pkey for the
-- ends; kinds_pkey; blocks_pkey, forwards, for each kind; events_pkey and acknowledged_pkey.
select e.sequence, e.event_id, e.created_at, e.kind, e.payload, e.acknowledged_at,
    e.ordering_key, e.deliver_at, l.first, l.last
from (
    select greatest(1, (
        select block << 8 from triggers.blocks where tenant_id = $1 and kind = 0
        order by block limit 1)) as first, coalesce((
        select sequence from triggers.events where tenant_id = $1
        order by sequence desc limit 1), 0) as last) l
left join lateral (
    select e.sequence, e.event_id, e.created_at, e.kind, e.payload, a.acknowledged_at,
        e.ordering_key, e.deliver_at
    from (
        select s.sequence
        from (
            (select p.sequence
            from fitting k
            cross join lateral (
                select s.sequence
                from (
                    select block, places from triggers.blocks
                    where tenant_id = $1 and kind = k.kind
                        and block >= (greatest($2::bigint + 1, l.first) >> 8)
                        and newest >= $3::timestamptz and oldest < $4::timestamptz
                    order by block offset 0) b
                cross join lateral (
                    select (b.block << 8) + place as sequence from unnest(b.places) place
                    order by place offset 0) s
                cross join lateral (
                    select from triggers.events
                    where tenant_id = $1 and sequence = s.sequence
                        and created_at >= $3 and created_at < $4 offset 0) e
                where s.sequence > $2
                limit $5::bigint) p)
            union all
            (select e.sequence
            from triggers.events e
            where e.tenant_id = $1 and e.sequence >= (
                    select coalesce(max(block) + 1, 0) << 8 from triggers.blocks
                    where tenant_id = $1 and kind = 0) and e.sequence > $2
                and e.created_at >= $3 and e.created_at < $4
                and e.kind = any (array(select kind from fitting))
            order by e.sequence limit $5::bigint)) s
        order by s.sequence limit $5::bigint) s
    cross join lateral (
        select sequence, event_id, created_at, kind, payload, ordering_key, deliver_at from triggers.events
        where tenant_id = $1 and sequence = s.sequence offset 0) e
    left join lateral (
        select acknowledged_at from triggers.acknowledged
        where tenant_id = $1 and sequence = e.sequence offset 0) a
    on true) e
on true;
