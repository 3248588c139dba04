-- Subscriptions and their ledgers. Entries are appended, never changed, and removed when a checkpoint has
-- replaced them.
create table subscriptions (
    tenant_id integer not null,
    subscription integer not null,
    revision integer not null,
    created_at integer not null,
    removed integer not null default 0, -- 1: what it has is being removed
    name text not null,
    settings blob not null,
    primary key (tenant_id, subscription)
) strict, without rowid;

create unique index subscriptions_names on subscriptions (tenant_id, name) where removed = 0;

-- The highest number that a subscription of the tenant has had.
create table subscription_numbers (
    tenant_id integer primary key,
    last integer not null
) strict;

-- Rowid tables: bodies may be wide, those of checkpoints megabytes.
create table takes (
    tenant_id integer not null,
    subscription integer not null,
    number integer not null,
    token integer not null,
    written_at integer not null,
    body blob not null,
    primary key (tenant_id, subscription, number)
) strict;

create table settlements (
    tenant_id integer not null,
    subscription integer not null,
    number integer not null,
    token integer not null,
    written_at integer not null,
    takes integer, -- of a checkpoint: the last take that it includes
    body blob not null,
    primary key (tenant_id, subscription, number)
) strict;

create index settlements_checkpoints on settlements (tenant_id, subscription, number, takes)
where takes is not null;

create table dead_letters (
    tenant_id integer not null,
    subscription integer not null,
    settlement integer not null, -- that moved it here, at dead_at; it may be gone
    sequence integer not null,
    attempts integer not null,
    first_at integer not null,
    dead_at integer not null,
    reason text not null,
    primary key (tenant_id, subscription, settlement, sequence),
    unique (tenant_id, subscription, sequence)
) strict, without rowid;
