-- Removal of everything that the tenant $1 has, in steps: one transaction, whose statements are sent
-- together. Each removes up to 1000 rows of a table and returns how many. write.sql says how statements
-- are planned; rows are removed by their position (ctid). Index: the primary key of the table, unless
-- another is named.

-- name: begin_removal
-- Takes the turn, unless another session has it; the number is "gone" in ASCII. The next ones do nothing
-- without it. Reads no table.
select pg_catalog.set_config('triggers.removes',
    pg_catalog.pg_try_advisory_xact_lock(1735356005)::text, true);

-- name: remove_subscriptions_of
with removed as (
    delete from triggers.subscriptions where ctid = any (array(
        select ctid from triggers.subscriptions where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by subscription limit 1000))
    returning subscription)
select count(*) from removed;

-- name: remove_takes_of
with removed as (
    delete from triggers.takes where ctid = any (array(
        select ctid from triggers.takes where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by subscription, number limit 1000))
    returning number)
select count(*) from removed;

-- name: remove_settlements_of
with removed as (
    delete from triggers.settlements where ctid = any (array(
        select ctid from triggers.settlements where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by subscription, number limit 1000))
    returning number)
select count(*) from removed;

-- name: remove_dead_letters_of
with removed as (
    delete from triggers.dead_letters where ctid = any (array(
        select ctid from triggers.dead_letters where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by subscription, sequence limit 1000))
    returning sequence)
select count(*) from removed;

-- name: remove_events_of
-- The oldest, of about 8 MB of payloads. octet_length does not read a payload that is stored apart.
with oldest as materialized (
    select ctid as place, octet_length(payload) as size from triggers.events
    where tenant_id = $1 and pg_catalog.current_setting('triggers.removes', true) = 'true'
    order by sequence limit 1000),
removed as (
    delete from triggers.events where ctid = any (array(
        select place from (
            select place, sum(size) over (rows unbounded preceding) - size as before from oldest) o
        where before < 8388608))
    returning sequence)
select count(*) from removed;

-- name: remove_acknowledged_of
-- Those before the oldest event. Indexes: acknowledged_pkey; events_pkey, for the first row.
with removed as (
    delete from triggers.acknowledged where ctid = any (array(
        select ctid from triggers.acknowledged
        where tenant_id = $1 and sequence < coalesce((
            select sequence from triggers.events where tenant_id = $1 order by sequence limit 1),
            9223372036854775807)
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by sequence limit 1000))
    returning sequence)
select count(*) from removed;

-- name: remove_blocks_of
-- When there are no events any more; so for the next two. Index of each also: events_pkey, for the first
-- row.
with removed as (
    delete from triggers.blocks where ctid = any (array(
        select ctid from triggers.blocks where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by kind, block limit 1000))
        and (select sequence from triggers.events where tenant_id = $1 order by sequence limit 1) is null
    returning block)
select count(*) from removed;

-- name: remove_pending_of
with removed as (
    delete from triggers.pending where ctid = any (array(
        select ctid from triggers.pending where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by kind, block limit 1000))
        and (select sequence from triggers.events where tenant_id = $1 order by sequence limit 1) is null
    returning block)
select count(*) from removed;

-- name: remove_kinds_of
with removed as (
    delete from triggers.kinds where ctid = any (array(
        select ctid from triggers.kinds where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by kind limit 1000))
        and (select sequence from triggers.events where tenant_id = $1 order by sequence limit 1) is null
    returning kind)
select count(*) from removed;

-- name: remove_audit_of
with removed as (
    delete from triggers.audit_records where ctid = any (array(
        select ctid from triggers.audit_records where tenant_id = $1
            and pg_catalog.current_setting('triggers.removes', true) = 'true'
        order by number limit 1000))
    returning number)
select count(*) from removed;

-- name: remove_keys_of
-- They are gone, each with a new version, as change_access gives it. With access locked. Index:
-- access_rows_keys.
with found as materialized (
    select ctid as place, row_number() over () as ordinal from (
        select ctid from triggers.access_rows
        where tenant_id = $1 and kind = 1 and gone_at is null order by id limit 1000) k),
numbers as (
    update triggers.access_version
    set version = greatest(version, (
        extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint) + c.changed
    from (select count(*) as changed from found) c
    where c.changed > 0 and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
    returning version - c.changed as before),
removed as (
    update triggers.access_rows r
    set version = n.before + f.ordinal, gone_at = pg_catalog.clock_timestamp(), body = ''
    from numbers n cross join found f
    where r.ctid = f.place
    returning r.version)
select count(*) from removed;

-- name: remove_audit_number_of
with removed as (
    delete from triggers.audit_numbers where tenant_id = $1 returning last)
select count(*) from removed;

-- name: remove_tenant_lock
-- The row that is locked for its log.
with removed as (
    delete from triggers.tenants where tenant_id = $1 returning tenant_id)
select count(*) from removed;
