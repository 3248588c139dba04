-- Pages of the inbox. Each walks pending_pkey or acknowledged_pkey from after the position
-- ($2, $3) for $4 rows, one more than wanted, and looks each event up by events_pkey.
-- write.sql says how statements are planned.
--
-- Those that are sized end with the event whose payload passes $5 bytes in all, but not before the
-- second one; octet_length does not read a payload that is stored apart. The sums cost a third more.

-- name: list_pending_newest
-- Indexes: pending_pkey, backwards, and events_pkey.
select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at
from (
    select event_id, created_at, null::timestamptz as acknowledged_at
    from triggers.pending
    where tenant_id = $1 and (created_at, event_id) < ($2::timestamptz, $3::uuid)
    order by created_at desc, event_id desc limit $4::bigint) l
cross join lateral (
    select source, event_type, payload from triggers.events
    where tenant_id = $1 and event_id = l.event_id offset 0) e
order by l.created_at desc, l.event_id desc;

-- name: list_pending_oldest
-- Indexes: pending_pkey, forwards, and events_pkey.
select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at
from (
    select event_id, created_at, null::timestamptz as acknowledged_at
    from triggers.pending
    where tenant_id = $1 and (created_at, event_id) > ($2::timestamptz, $3::uuid)
    order by created_at asc, event_id asc limit $4::bigint) l
cross join lateral (
    select source, event_type, payload from triggers.events
    where tenant_id = $1 and event_id = l.event_id offset 0) e
order by l.created_at asc, l.event_id asc;

-- name: list_acknowledged_newest
-- Indexes: acknowledged_pkey, backwards, and events_pkey.
select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at
from (
    select event_id, created_at, acknowledged_at
    from triggers.acknowledged
    where tenant_id = $1 and (created_at, event_id) < ($2::timestamptz, $3::uuid)
    order by created_at desc, event_id desc limit $4::bigint) l
cross join lateral (
    select source, event_type, payload from triggers.events
    where tenant_id = $1 and event_id = l.event_id offset 0) e
order by l.created_at desc, l.event_id desc;

-- name: list_acknowledged_oldest
-- Indexes: acknowledged_pkey, forwards, and events_pkey.
select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at
from (
    select event_id, created_at, acknowledged_at
    from triggers.acknowledged
    where tenant_id = $1 and (created_at, event_id) > ($2::timestamptz, $3::uuid)
    order by created_at asc, event_id asc limit $4::bigint) l
cross join lateral (
    select source, event_type, payload from triggers.events
    where tenant_id = $1 and event_id = l.event_id offset 0) e
order by l.created_at asc, l.event_id asc;

-- name: list_pending_newest_sized
-- Indexes: pending_pkey, backwards, and events_pkey.
select event_id, created_at, source, event_type, payload, acknowledged_at
from (
    select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at,
        row_number() over page as number,
        sum(octet_length(e.payload)) over page - octet_length(e.payload) as before
    from (
        select event_id, created_at, null::timestamptz as acknowledged_at
        from triggers.pending
        where tenant_id = $1 and (created_at, event_id) < ($2::timestamptz, $3::uuid)
        order by created_at desc, event_id desc limit $4::bigint) l
    cross join lateral (
        select source, event_type, payload from triggers.events
        where tenant_id = $1 and event_id = l.event_id offset 0) e
    window page as (order by l.created_at desc, l.event_id desc rows unbounded preceding)) sized
where number <= 2 or before <= $5::bigint
order by created_at desc, event_id desc;

-- name: list_pending_oldest_sized
-- Indexes: pending_pkey, forwards, and events_pkey.
select event_id, created_at, source, event_type, payload, acknowledged_at
from (
    select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at,
        row_number() over page as number,
        sum(octet_length(e.payload)) over page - octet_length(e.payload) as before
    from (
        select event_id, created_at, null::timestamptz as acknowledged_at
        from triggers.pending
        where tenant_id = $1 and (created_at, event_id) > ($2::timestamptz, $3::uuid)
        order by created_at asc, event_id asc limit $4::bigint) l
    cross join lateral (
        select source, event_type, payload from triggers.events
        where tenant_id = $1 and event_id = l.event_id offset 0) e
    window page as (order by l.created_at asc, l.event_id asc rows unbounded preceding)) sized
where number <= 2 or before <= $5::bigint
order by created_at asc, event_id asc;

-- name: list_acknowledged_newest_sized
-- Indexes: acknowledged_pkey, backwards, and events_pkey.
select event_id, created_at, source, event_type, payload, acknowledged_at
from (
    select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at,
        row_number() over page as number,
        sum(octet_length(e.payload)) over page - octet_length(e.payload) as before
    from (
        select event_id, created_at, acknowledged_at
        from triggers.acknowledged
        where tenant_id = $1 and (created_at, event_id) < ($2::timestamptz, $3::uuid)
        order by created_at desc, event_id desc limit $4::bigint) l
    cross join lateral (
        select source, event_type, payload from triggers.events
        where tenant_id = $1 and event_id = l.event_id offset 0) e
    window page as (order by l.created_at desc, l.event_id desc rows unbounded preceding)) sized
where number <= 2 or before <= $5::bigint
order by created_at desc, event_id desc;

-- name: list_acknowledged_oldest_sized
-- Indexes: acknowledged_pkey, forwards, and events_pkey.
select event_id, created_at, source, event_type, payload, acknowledged_at
from (
    select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at,
        row_number() over page as number,
        sum(octet_length(e.payload)) over page - octet_length(e.payload) as before
    from (
        select event_id, created_at, acknowledged_at
        from triggers.acknowledged
        where tenant_id = $1 and (created_at, event_id) > ($2::timestamptz, $3::uuid)
        order by created_at asc, event_id asc limit $4::bigint) l
    cross join lateral (
        select source, event_type, payload from triggers.events
        where tenant_id = $1 and event_id = l.event_id offset 0) e
    window page as (order by l.created_at asc, l.event_id asc rows unbounded preceding)) sized
where number <= 2 or before <= $5::bigint
order by created_at asc, event_id asc;
