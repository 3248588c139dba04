-- Tenants and keys, when keys were used, and records. write.sql says how statements are planned. Here $1
-- is the tenant only where it says so.

-- name: lock_access
-- Keeps others from changing access until the transaction ends, and waits for them longer than for
-- other locks. Of the one row of access_version.
with patience as materialized (
    select pg_catalog.current_setting('lock_timeout') as usual,
        pg_catalog.set_config('lock_timeout', '2s', true) as longer),
locked as materialized (
    select p.usual
    from patience p
    cross join lateral (
        select from triggers.access_version where p.longer is not null for update) v)
select pg_catalog.set_config('lock_timeout', usual, true) from locked;

-- name: change_access
-- Changes the rows of the kinds $1, tenants $2, ids $3 and versions $4, which is gone if $5 and else has the
-- body $6; tenant -1 is a new one. Nothing unless each has the tenant and the version, 0 for one that is
-- not there. Adds the record $7, none or one, to those of the tenant $8, -1 for the new one. Returns the
-- version before the first of the new ones, the new tenant, and the record's number and time. With access
-- locked. A version is never below the time, so that none comes twice when commits are lost in a failover.
-- Indexes: access_rows_ids, for each; access_rows_pkey and tenants_pkey, which grow; audit_numbers_pkey,
-- audit_records_pkey; rows are changed by their position (ctid).
with given as materialized (
    select i.*, r.place, coalesce(r.version, 0) = i.expected
        and (r.version is null or r.tenant_id = i.tenant_id) as fits
    from unnest($1::integer[], $2::bigint[], $3::text[], $4::bigint[], $5::integer[], $6::bytea[])
        with ordinality i (kind, tenant_id, id, expected, gone, body, ordinal)
    left join lateral (
        select version, tenant_id, ctid as place from triggers.access_rows
        where kind = i.kind and id = i.id and gone_at is null offset 0) r
    on true),
counts as materialized (
    select count(*) as changed, bool_and(fits) as fit,
        count(*) filter (where kind = 0 and tenant_id < 0) as founded
    from given),
numbers as (
    update triggers.access_version
    set version = greatest(version, (
            extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint) + c.changed,
        last_tenant = last_tenant + c.founded
    from counts c
    where c.fit and (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
    returning version - c.changed as before, last_tenant),
changed as (
    update triggers.access_rows r
    set version = n.before + g.ordinal,
        gone_at = case when g.gone <> 0 then pg_catalog.clock_timestamp() end,
        body = case when g.gone = 0 then g.body else '' end
    from numbers n cross join given g
    where r.ctid = g.place),
added as (
    insert into triggers.access_rows (version, kind, tenant_id, id, body)
    select n.before + g.ordinal, g.kind,
        case when g.tenant_id < 0 then n.last_tenant else g.tenant_id end, g.id, g.body
    from numbers n cross join given g
    where g.place is null),
founded as (
    insert into triggers.tenants (tenant_id)
    select n.last_tenant from numbers n cross join counts c where c.founded > 0
    on conflict (tenant_id) do nothing),
numbered as (
    insert into triggers.audit_numbers (tenant_id, last)
    select case when $8::bigint < 0 then n.last_tenant else $8 end, 1
    from numbers n where cardinality($7::bytea[]) > 0
    on conflict (tenant_id) do update set last = audit_numbers.last + 1
    returning tenant_id, last),
recorded as (
    insert into triggers.audit_records (tenant_id, number, recorded_at, body)
    select tenant_id, last, pg_catalog.clock_timestamp(), ($7)[1] from numbered
    returning number, recorded_at)
select n.before, n.last_tenant, r.number, r.recorded_at
from numbers n left join recorded r on true;

-- name: access_changes
-- The $2 rows after the version $1. Index: access_rows_pkey.
select kind, tenant_id, id, version, gone_at is not null, body from triggers.access_rows
where version > $1::bigint order by version limit $2::bigint;

-- name: access_time
-- The clock that all times of the store come from. Reads no table.
select pg_catalog.clock_timestamp();

-- name: note_key_uses
-- Notes that the keys $1 were used at $2, those that are there; not on the disk at once. In the order of
-- their ids, in which their rows are locked. Indexes: access_rows_ids and key_uses_pkey, for each.
insert into triggers.key_uses (key_id, used_at)
select i.id, i.used_at
from (
    select id, max(used_at) as used_at from unnest($1::text[], $2::timestamptz[]) i (id, used_at)
    group by id order by id) i
cross join lateral (
    select from triggers.access_rows where kind = 1 and id = i.id and gone_at is null offset 0) k
where (select pg_catalog.set_config('synchronous_commit', 'off', true)) is not null
on conflict (key_id) do update set used_at = excluded.used_at where key_uses.used_at < excluded.used_at;

-- name: key_uses
-- When the keys $1 were used: for each that was, its number in the array, from 1, and the time. Index:
-- key_uses_pkey, for each.
select i.ordinal, u.used_at
from unnest($1::text[]) with ordinality i (id, ordinal)
cross join lateral (
    select used_at from triggers.key_uses where key_id = i.id offset 0) u;

-- name: add_audit
-- Adds the records $2 to those of the tenant $1; returns their numbers and times. Indexes:
-- audit_numbers_pkey; audit_records_pkey, which grows.
with numbered as (
    insert into triggers.audit_numbers (tenant_id, last)
    select $1::bigint, cardinality($2::bytea[])
    where (select pg_catalog.set_config('synchronous_commit',
        case pg_catalog.current_setting('synchronous_commit')
        when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null
    on conflict (tenant_id) do update set last = audit_numbers.last + excluded.last
    returning last - cardinality($2) as before)
insert into triggers.audit_records (tenant_id, number, recorded_at, body)
select $1, n.before + i.ordinal, pg_catalog.clock_timestamp(), i.body
from numbered n cross join unnest($2) with ordinality i (body, ordinal)
returning number, recorded_at;

-- name: list_audit
-- The $3 records of the tenant $1 before the number $2, the latest first. Index: audit_records_pkey,
-- backwards.
select number, recorded_at, body from triggers.audit_records
where tenant_id = $1 and number < $2::bigint order by number desc limit $3::bigint;

-- name: trim_access
-- Removes up to 1000 records before the time $1, and up to 1000 rows that have been gone for a day with the
-- uses of those keys; returns whether there may be more. Indexes: audit_records_times, access_rows_gone;
-- key_uses_pkey, for each; rows are removed by their position (ctid).
with old_records as materialized (
    select ctid as place from triggers.audit_records where recorded_at < $1::timestamptz
    order by recorded_at limit 1000),
old_rows as materialized (
    select ctid as place, id from triggers.access_rows
    where gone_at < pg_catalog.statement_timestamp() - interval '1 day' order by gone_at limit 1000),
old_uses as materialized (
    select u.place from old_rows o
    cross join lateral (
        select ctid as place from triggers.key_uses where key_id = o.id offset 0) u),
without_records as (
    delete from triggers.audit_records where ctid = any (array(select place from old_records))),
without_rows as (
    delete from triggers.access_rows where ctid = any (array(select place from old_rows))),
without_uses as (
    delete from triggers.key_uses where ctid = any (array(select place from old_uses)))
select (select count(*) from old_records) = 1000 or (select count(*) from old_rows) = 1000
where (select pg_catalog.set_config('synchronous_commit',
    case pg_catalog.current_setting('synchronous_commit')
    when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null;
