-- How much a tenant has. write.sql says how statements are planned.

-- name: usage
-- What is pending in the next $3 of the blocks after $2 in which something may be, and, if there are no
-- more of these, in the block that is not full; of that, events before the log's beginning and their bytes.
-- Then the log's ends, the bytes of its payloads, and how many subscriptions there are. In the log, full
-- blocks need not be read to be counted. octet_length does not read a payload that is stored apart.
-- Indexes: events_pkey, backwards, and blocks_pkey, from either end, for the first row; pending_pkey;
-- acknowledged_pkey, for each block; events_pkey, for the first block, the last and each before the log's
-- beginning; subscriptions_names.
with log as materialized (
    select coalesce((
            select sequence from triggers.events where tenant_id = $1
            order by sequence desc limit 1), 0) as last,
        coalesce(f.block, 0) as first, coalesce(l.block + 1, 0) as open,
        coalesce(l.bytes, 0) - coalesce(f.bytes, 0) as bytes
    from (select true) o (o)
    left join lateral (
        select block, bytes from triggers.blocks where tenant_id = $1 and kind = 0
        order by block limit 1) f
    on true
    left join lateral (
        select block, bytes from triggers.blocks where tenant_id = $1 and kind = 0
        order by block desc limit 1) l
    on true),
listed as materialized (
    select block from triggers.pending where tenant_id = $1 and kind = 0 and block > $2::bigint
    order by block limit $3::bigint),
ends as materialized (
    select count(*) as count, max(block) as block from listed),
counted as materialized (
    select case
            when b.block = l.open then l.last + 1 - greatest(b.block << 8, 1) - a.count
            when b.block >= l.first then 256 - (b.block = 0)::integer - a.count
            else s.pending end as pending,
        coalesce(s.count, 0) as count, coalesce(s.bytes, 0) as bytes
    from log l
    cross join lateral (
        select block from listed
        union all
        select l.open from ends where count < $3) b
    cross join lateral (
        select count(*) as count from triggers.acknowledged
        where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255 offset 0) a
    left join lateral (
        select count(*) filter (where acknowledged is null) as pending, count(*) as count,
            sum(size) as bytes
        from (
            select octet_length(e.payload) as size, (
                select sequence from triggers.acknowledged
                where tenant_id = $1 and sequence = e.sequence) as acknowledged
            from triggers.events e
            where e.tenant_id = $1 and b.block < l.first
                and e.sequence between b.block << 8 and (b.block << 8) + 255 offset 0) x
        offset 0) s
    on b.block < l.first)
select e.count, e.block, (select sum(pending)::bigint from counted),
    (select sum(count)::bigint from counted), (select sum(bytes)::bigint from counted),
    greatest(l.first << 8, 1), l.last, l.bytes + (
        select coalesce(sum(x.bytes), 0)::bigint
        from (select l.first as block union select l.open) b
        cross join lateral (
            select sum(octet_length(payload)) as bytes from triggers.events
            where tenant_id = $1 and sequence between b.block << 8 and (b.block << 8) + 255
            offset 0) x), (
    select count(*) from triggers.subscriptions where tenant_id = $1 and removed_at is null)
from log l cross join ends e;
