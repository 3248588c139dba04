-- Tenants and their keys (store.h, access), when keys were used, and the records of what was changed.
-- triggers.tenants stays what it is: a row to lock for each log.

-- One row, which each change of access locks first: so versions are in the order of the commits.
create table triggers.access_version (
    version bigint not null, -- the last one that was given
    last_tenant bigint not null -- the highest number that a tenant has had
);
insert into triggers.access_version (version, last_tenant) values (1, 0);

create table triggers.access_rows (
    version bigint primary key, -- of the row's last change
    kind integer not null, -- 0: a tenant; 1: a key
    tenant_id bigint not null, -- of a tenant its number, of a key its tenant's
    id text not null collate "C",
    gone_at timestamptz, -- since then it is only there to be told of
    body bytea not null
);
create unique index access_rows_ids on triggers.access_rows (kind, id) where gone_at is null;
create index access_rows_keys on triggers.access_rows (tenant_id, id) where kind = 1 and gone_at is null;
create index access_rows_gone on triggers.access_rows (gone_at) where gone_at is not null;
insert into triggers.access_rows (version, kind, tenant_id, id, body) values (1, 0, 0, 'default', '');

create table triggers.key_uses (
    key_id text collate "C" primary key,
    used_at timestamptz not null
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000
);

create table triggers.audit_records (
    tenant_id bigint not null,
    number bigint not null,
    recorded_at timestamptz not null,
    body bytea not null,
    primary key (tenant_id, number)
);
create index audit_records_times on triggers.audit_records (recorded_at);

-- The number of each tenant's last record.
create table triggers.audit_numbers (
    tenant_id bigint primary key,
    last bigint not null
);
