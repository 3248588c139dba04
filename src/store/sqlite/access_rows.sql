-- Tenants and keys, when keys were used, and records. ?1 is the tenant only where it says so.

-- name: access_row
-- The version and the tenant of the row of the kind ?1 with the id ?2. Index: access_rows_ids.
select version, tenant_id from access_rows where kind = ?1 and id = ?2 and gone_at is null;

-- name: next_version
-- Of the one row of access_version, as the next one.
update access_version set version = version + 1 returning version;

-- name: next_tenant
-- A number that none has had.
update access_version set last_tenant = last_tenant + 1 returning last_tenant;

-- name: add_access_row
-- Index: the primary key of access_rows, which is the table; so for the next two.
insert into access_rows (version, kind, tenant_id, id, body) values (?1, ?2, ?3, ?4, ?5);

-- name: change_access_row
-- The row of the version ?1 has the version ?2 and the body ?3.
update access_rows set version = ?2, body = ?3 where version = ?1;

-- name: end_access_row
-- The row of the version ?1 is gone since ?3, which is the version ?2.
update access_rows set version = ?2, body = x'', gone_at = ?3 where version = ?1;

-- name: access_changes
-- The ?2 rows after the version ?1. Index: the primary key of access_rows.
select kind, tenant_id, id, version, gone_at is not null, body from access_rows
where version > ?1 order by version limit ?2;

-- name: note_key_use
-- The key ?1 was used at ?2, if it is there. Indexes: access_rows_ids; the primary key of key_uses.
insert into key_uses (key_id, used_at)
select id, ?2 from access_rows where kind = 1 and id = ?1 and gone_at is null
on conflict (key_id) do update set used_at = excluded.used_at where key_uses.used_at < excluded.used_at;

-- name: key_use
-- Index: the primary key of key_uses.
select used_at from key_uses where key_id = ?1;

-- name: next_audit_number
-- Of the tenant ?1. Index: the primary key of audit_numbers.
insert into audit_numbers (tenant_id, last) values (?1, 1)
on conflict (tenant_id) do update set last = last + 1
returning last;

-- name: add_audit
-- Index: the primary key of audit_records.
insert into audit_records (tenant_id, number, recorded_at, body) values (?1, ?2, ?3, ?4);

-- name: list_audit
-- The ?3 records of the tenant ?1 before the number ?2, the latest first. Index: the primary key of
-- audit_records, backwards.
select number, recorded_at, body from audit_records
where tenant_id = ?1 and number < ?2 order by number desc limit ?3;

-- name: trim_audit
-- Up to 1000 records before ?1. Index: audit_records_times.
delete from audit_records where rowid in (
    select rowid from audit_records where recorded_at < ?1 order by recorded_at limit 1000);

-- name: trim_key_uses
-- Of the keys that trim_access removes. Indexes: access_rows_gone; the primary key of key_uses.
delete from key_uses where key_id in (
    select id from access_rows where gone_at < ?1 order by gone_at limit 1000);

-- name: trim_access
-- Up to 1000 rows that are gone since before ?1. Index: access_rows_gone.
delete from access_rows where version in (
    select version from access_rows where gone_at < ?1 order by gone_at limit 1000);
