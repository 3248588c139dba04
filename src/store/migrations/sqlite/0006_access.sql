-- Tenants and their keys (store.h, access), when keys were used, and the records of what was changed.

-- One row: the last version that was given to a change, and the highest number that a tenant has had.
create table access_version (
    version integer not null,
    last_tenant integer not null
) strict;
insert into access_version (version, last_tenant) values (1, 0);

create table access_rows (
    version integer primary key, -- of the row's last change
    kind integer not null, -- 0: a tenant; 1: a key
    tenant_id integer not null check (tenant_id < 8388608), -- of a tenant its number, of a key its tenant's
    id text not null,
    gone_at integer, -- since then it is only there to be told of
    body blob not null
) strict;
create unique index access_rows_ids on access_rows (kind, id) where gone_at is null;
create index access_rows_keys on access_rows (tenant_id, id) where kind = 1 and gone_at is null;
create index access_rows_gone on access_rows (gone_at) where gone_at is not null;
insert into access_rows (version, kind, tenant_id, id, body) values (1, 0, 0, 'default', x'');

create table key_uses (
    key_id text primary key,
    used_at integer not null
) strict, without rowid;

create table audit_records (
    tenant_id integer not null,
    number integer not null,
    recorded_at integer not null,
    body blob not null,
    primary key (tenant_id, number)
) strict;
create index audit_records_times on audit_records (recorded_at);

-- The number of each tenant's last record.
create table audit_numbers (
    tenant_id integer primary key,
    last integer not null
) strict;
