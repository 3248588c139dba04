-- A batch of writes: one transaction, whose statements are sent together.
--
-- Prepared statements (all except those of set_up.sql) are planned once per session, perhaps while
-- the tables are empty, so the plan must not depend on their size. "(... offset 0)" and
-- "materialized" fix the order of the joins, the settings allow only walks along an index, and rows
-- come in the order of the outermost one. $1 is the tenant wherever a table of events is named.
--
-- The condition with set_config is always true, and makes the transaction commit to the disk and to
-- the synchronous standbys before it is answered, whatever the server, database, role or session
-- were set to meanwhile; remote_apply, which promises more, is kept. It is part of each statement
-- that writes, evaluated once before its first row: a statement of its own would cost twice as much.

-- name: append_bare
-- Stores events whose sequences follow the highest one. Fails when an event with such a sequence or id
-- is there, and waits for whoever is writing one: so no sequence is seen before the one below it.
-- Fails, without a sequence, when the event before the first one is not there: so there is no gap after
-- a failover that lost it. Indexes: events_pkey, once, and events_pkey and events_id, which grow.
insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload)
select $1::bigint, case when ($2::bigint[])[1] = 1 or (
    select true from triggers.events where tenant_id = $1 and sequence = ($2::bigint[])[1] - 1)
    then i.sequence end, i.event_id, i.created_at, i.kind, i.payload
from unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::integer[], $6::bytea[])
    i (sequence, event_id, created_at, kind, payload)
where (select pg_catalog.set_config('synchronous_commit',
    case pg_catalog.current_setting('synchronous_commit')
    when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null;

-- name: append
-- The same for events of which some have an ordering key or a deliver_at; each further array costs several
-- microseconds. Indexes: the same; events_keys and events_delayed grow.
insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload, ordering_key,
    ordering_hash, deliver_at)
select $1::bigint, case when ($2::bigint[])[1] = 1 or (
    select true from triggers.events where tenant_id = $1 and sequence = ($2::bigint[])[1] - 1)
    then i.sequence end, i.event_id, i.created_at, i.kind, i.payload, i.ordering_key,
    i.ordering_hash, i.deliver_at
from unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::integer[], $6::bytea[], $7::text[],
    $8::bigint[], $9::timestamptz[])
    i (sequence, event_id, created_at, kind, payload, ordering_key, ordering_hash, deliver_at)
where (select pg_catalog.set_config('synchronous_commit',
    case pg_catalog.current_setting('synchronous_commit')
    when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null;

-- name: found_tenant
-- The tenant's row, if there is none. Index: tenants_pkey.
insert into triggers.tenants (tenant_id) values ($1::bigint) on conflict (tenant_id) do nothing;

-- name: lock_log
-- Keeps other cores that do the same from writing until the transaction ends, and waits for them longer
-- than for other locks: they take turns of one commit. Returns a row if there is the tenant's. Index:
-- tenants_pkey.
with patience as materialized (
    select pg_catalog.current_setting('lock_timeout') as usual,
        pg_catalog.set_config('lock_timeout', '2s', true) as longer),
locked as materialized (
    select p.usual
    from patience p
    cross join lateral (
        select tenant_id from triggers.tenants
        where tenant_id = $1 and p.longer is not null for update) t)
select pg_catalog.set_config('lock_timeout', usual, true) from locked;

-- name: highest_sequence
-- With the log locked: nobody adds to it. Index: events_pkey, backwards, for the first row.
select sequence from triggers.events where tenant_id = $1 order by sequence desc limit 1;

-- name: append_bare_after_others
-- Stores those events that are not there, with the sequences after the highest one; returns their
-- ids and sequences, in their order. With the log locked, which keeps out only those who lock it: fails
-- when another has stored a sequence meanwhile. Indexes: events_pkey, backwards, for the first row;
-- events_id.
insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload)
select $1::bigint, l.sequence + row_number() over (), i.event_id, i.created_at, i.kind, i.payload
from (
    select coalesce((
        select sequence from triggers.events where tenant_id = $1
        order by sequence desc limit 1), 0) as sequence) l
cross join unnest($2::uuid[], $3::timestamptz[], $4::integer[], $5::bytea[])
    i (event_id, created_at, kind, payload)
where not exists (
        select from triggers.events where tenant_id = $1 and event_id = i.event_id offset 0)
    and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
returning event_id, sequence;

-- name: append_after_others
-- The same with an ordering key or a deliver_at. Indexes: the same; events_keys and events_delayed grow.
insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload, ordering_key,
    ordering_hash, deliver_at)
select $1::bigint, l.sequence + row_number() over (), i.event_id, i.created_at, i.kind, i.payload,
    i.ordering_key, i.ordering_hash, i.deliver_at
from (
    select coalesce((
        select sequence from triggers.events where tenant_id = $1
        order by sequence desc limit 1), 0) as sequence) l
cross join unnest($2::uuid[], $3::timestamptz[], $4::integer[], $5::bytea[], $6::text[], $7::bigint[],
    $8::timestamptz[])
    i (event_id, created_at, kind, payload, ordering_key, ordering_hash, deliver_at)
where not exists (
        select from triggers.events where tenant_id = $1 and event_id = i.event_id offset 0)
    and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
returning event_id, sequence;

-- name: fill
-- Writes the rows of the blocks that have become full; returns those of pending. Their bytes go on from
-- those of the block before. Indexes: blocks_pkey and events_pkey, backwards, for the first row;
-- events_pkey and acknowledged_pkey, for each block.
with full_before as materialized (
    select block, bytes from triggers.blocks where tenant_id = $1 and kind = 0
    order by block desc limit 1),
made as materialized (
    select coalesce(e.kind, 0) as kind, b.block, min(e.created_at) as oldest,
        max(e.created_at) as newest, bool_or(e.sequence <> all (a.sequences)) as pending,
        case when e.kind is not null then array_agg((e.sequence & 255)::smallint) end as places,
        sum(e.size) as size
    from generate_series(
        coalesce((select block + 1 from full_before), 0),
        (coalesce((
            select sequence + 1 from triggers.events where tenant_id = $1
            order by sequence desc limit 1), 0) >> 8) - 1) b (block)
    cross join lateral (
        select array(
            select sequence from triggers.acknowledged
            where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255)
            as sequences offset 0) a
    cross join lateral (
        select sequence, created_at, kind, octet_length(payload) as size from triggers.events
        where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255
        order by sequence offset 0) e
    group by grouping sets ((b.block, e.kind), (b.block))),
kept as (
    insert into triggers.blocks (tenant_id, kind, block, oldest, newest, places, bytes)
    select $1::bigint, kind, block, oldest, newest, places, case when kind = 0 then
        coalesce((select bytes from full_before), 0) + (
            select sum(m.size) from made m where m.kind = 0 and m.block <= made.block) end
    from made
    on conflict (tenant_id, kind, block) do nothing)
insert into triggers.pending (tenant_id, kind, block)
select $1::bigint, kind, block from made where pending
on conflict (tenant_id, kind, block) do nothing
returning kind, block;

-- name: ack
-- Acknowledges events: returns for each that is there its number in the arrays, from 1, its sequence
-- and its kind; then, in the same order, the sequences and times of those that were acknowledged now.
-- Indexes: events_id, then acknowledged_pkey, for each id.
with found as materialized (
    select i.number, e.sequence, e.kind, greatest(i.acknowledged_at, e.created_at) as acknowledged_at
    from unnest($2::uuid[], $3::timestamptz[]) with ordinality
        i (event_id, acknowledged_at, number)
    cross join lateral (
        select sequence, kind, created_at from triggers.events
        where tenant_id = $1 and event_id = i.event_id offset 0) e
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null),
done as (
    insert into triggers.acknowledged (tenant_id, sequence, kind, acknowledged_at)
    select $1::bigint, sequence, kind, acknowledged_at from found
    on conflict (tenant_id, sequence) do nothing
    returning sequence, acknowledged_at)
select number, sequence, kind, null::timestamptz from found
union all
select null, sequence, null, acknowledged_at from done;

-- name: settle
-- Takes blocks in which everything of a kind is acknowledged from the pending ones, and then those in
-- which everything is. The acknowledgements were committed before, so whoever settles last sees all
-- of them. It need not wait for the disk: a block that stays is only looked at in vain. Where events
-- were removed an acknowledgement may have outlived its event, so there events are looked for. Indexes:
-- pending_pkey, acknowledged_pkey, blocks_pkey and events_pkey, for each block; rows are removed by
-- their position (ctid).
with settled as (
    delete from triggers.pending p
    using (
        select x.place
        from unnest($2::integer[], $3::bigint[]) i (kind, block)
        cross join lateral (
            select ctid as place from triggers.pending
            where tenant_id = $1 and kind = i.kind and block = i.block offset 0) x
        where (select pg_catalog.set_config('synchronous_commit', 'off', true)) is not null and (
            coalesce((
                select cardinality(places) from triggers.blocks
                where tenant_id = $1 and kind = i.kind and block = i.block) <= (
                select count(*) from triggers.acknowledged
                where tenant_id = $1 and sequence between i.block << 8 and (i.block << 8) + 255
                    and kind = i.kind), (
                select count(*)
                from triggers.events e
                left join lateral (
                    select sequence from triggers.acknowledged
                    where tenant_id = $1 and sequence = e.sequence offset 0) a
                on true
                where e.tenant_id = $1 and e.kind = i.kind and a.sequence is null
                    and e.sequence between i.block << 8 and (i.block << 8) + 255) = 0))) f
    where p.ctid = f.place
    returning p.block)
delete from triggers.pending p
using (
    select x.place
    from (select distinct block from settled) s
    cross join lateral (
        select ctid as place from triggers.pending
        where tenant_id = $1 and kind = 0 and block = s.block offset 0) x
    where case when exists (
        select from triggers.blocks where tenant_id = $1 and kind = 0 and block = s.block)
    then (
        select count(*) from triggers.acknowledged
        where tenant_id = $1 and sequence between s.block << 8 and (s.block << 8) + 255) >= (
        select count(*) from triggers.events
        where tenant_id = $1 and sequence between s.block << 8 and (s.block << 8) + 255)
    else (
        select count(*)
        from triggers.events e
        left join lateral (
            select sequence from triggers.acknowledged
            where tenant_id = $1 and sequence = e.sequence offset 0) a
        on true
        where e.tenant_id = $1 and e.sequence between s.block << 8 and (s.block << 8) + 255
            and a.sequence is null) = 0 end) f
where p.ctid = f.place;

-- name: erase
-- Removes payloads for good; returns the ids and sequences of those events whose payloads were there,
-- in their order. Index: events_id, for each id; rows are found again by their position (ctid).
update triggers.events e
set payload = '', erased_at = pg_catalog.now()
from (
    select x.place
    from unnest($2::uuid[]) i (event_id)
    cross join lateral (
        select ctid as place from triggers.events
        where tenant_id = $1 and event_id = i.event_id and erased_at is null offset 0) x
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null) f
where e.ctid = f.place
returning e.event_id, e.sequence;

-- name: compare
-- For each event that is there: its number in the arrays, from 1, when it was created, its sequence,
-- and whether its content is the same; what was erased is not compared. Index: events_id, for each id.
select i.number, e.created_at, e.sequence,
    e.kind = i.kind and e.ordering_key is not distinct from i.ordering_key
        and (e.erased_at is not null or e.payload = i.payload)
from unnest($2::uuid[], $3::integer[], $4::bytea[], $5::text[]) with ordinality
    i (event_id, kind, payload, ordering_key, number)
cross join lateral (
    select sequence, created_at, kind, payload, ordering_key, erased_at from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e;

-- name: acknowledged_at
-- For each event that is there: its number in the array, from 1, its sequence, and when it was
-- acknowledged, null while it is pending. Indexes: events_id, then acknowledged_pkey, for each id.
select i.number, e.sequence, a.acknowledged_at
from unnest($2::uuid[]) with ordinality i (event_id, number)
cross join lateral (
    select sequence from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e
left join lateral (
    select acknowledged_at from triggers.acknowledged
    where tenant_id = $1 and sequence = e.sequence offset 0) a
on true;

-- name: erased
-- For each event that is there: its number in the array, from 1, its sequence, and whether it has no
-- payload any more. Index: events_id, for each id.
select i.number, e.sequence, e.erased_at is not null
from unnest($2::uuid[]) with ordinality i (event_id, number)
cross join lateral (
    select sequence, erased_at from triggers.events
    where tenant_id = $1 and event_id = i.event_id offset 0) e;

-- name: add_kinds
-- Numbers those pairs of source and type that have no number, which must be different ones. With the
-- log locked. Indexes: kinds_names, for each pair; kinds_pkey, backwards, for the first row.
insert into triggers.kinds (tenant_id, kind, source, event_type)
select $1::bigint, l.kind + row_number() over (), i.source, i.event_type
from (
    select coalesce((
        select kind from triggers.kinds where tenant_id = $1 order by kind desc limit 1), 0)
        as kind) l
cross join unnest($2::text[], $3::text[]) i (source, event_type)
where not exists (
    select from triggers.kinds
    where tenant_id = $1 and source = i.source and event_type = i.event_type offset 0);

-- name: find_kinds
-- For each pair that has a number: its place in the arrays, from 1, and the number. Index:
-- kinds_names, for each pair.
select i.number, k.kind
from unnest($2::text[], $3::text[]) with ordinality i (source, event_type, number)
cross join lateral (
    select kind from triggers.kinds
    where tenant_id = $1 and source = i.source and event_type = i.event_type offset 0) k;

-- name: events_locked
-- Whether somebody holds, or waits for, a lock that blocks all writers: of the table that each of them
-- needs. Reads no table of ours.
select exists (
    select from pg_catalog.pg_locks l
    join pg_catalog.pg_database d on d.oid = l.database
    where d.datname = pg_catalog.current_database() and l.locktype = 'relation'
        and l.mode in
            ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        and l.relation = 'triggers.events'::pg_catalog.regclass);
