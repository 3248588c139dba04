-- The log: events by sequence, in blocks of 256. The old tables are kept under other names until their
-- events are moved, block by block, which the program does (move.sql).
alter table events rename to old_events;
alter table pending rename to old_pending;
alter table acknowledged rename to old_acknowledged;
drop table pending_count;

-- A kind is a pair of source and event type. Few, and never removed.
create table kinds (
    tenant_id integer not null,
    kind integer not null,
    source text not null,
    event_type text not null,
    primary key (tenant_id, kind),
    unique (tenant_id, source, event_type)
) strict, without rowid;

-- position is 2^40 * tenant_id + sequence, so that the table itself is the log.
create table events (
    position integer primary key,
    tenant_id integer not null,
    event_id blob not null,
    created_at integer not null, -- microseconds since 1970 UTC, as all times here
    kind integer not null,
    payload blob not null,
    erased_at integer, -- when the payload was removed for good
    ordering_key text,
    ordering_hash integer, -- what keys are told apart by; null without one
    deliver_at integer, -- when subscriptions get it, if not at once
    attributes text, -- a JSON object
    unique (tenant_id, event_id)
) strict;

create index events_kinds on events (tenant_id, kind, position);
create index events_delayed on events (tenant_id, deliver_at, position, kind)
    where deliver_at is not null;
create index events_keys on events (tenant_id, ordering_hash, position, kind)
    where ordering_hash is not null;

create table acknowledged (
    position integer primary key,
    acknowledged_at integer not null
) strict;

-- The blocks that are full: block b has the sequences from 256 b to 256 b + 255. Retention removes the
-- oldest rows: the log begins with the first block that has a row.
create table blocks (
    tenant_id integer not null,
    block integer not null,
    oldest integer not null, -- of created_at
    newest integer not null,
    primary key (tenant_id, block)
) strict, without rowid;

-- Of those, the ones in which an event of the kind may be pending; of kind 0, any event.
create table pending (
    tenant_id integer not null,
    kind integer not null,
    block integer not null,
    primary key (tenant_id, kind, block)
) strict, without rowid;
