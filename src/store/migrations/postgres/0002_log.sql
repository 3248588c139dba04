-- The log: events by sequence, in blocks of 256. Nothing here is updated by creates, acknowledgements
-- or reads; what changes is which rows are there. The old tables are kept under other names until
-- their events are moved, block by block, which the program does (move.sql).
alter table triggers.events rename to old_events;
alter table triggers.pending rename to old_pending;
alter table triggers.acknowledged rename to old_acknowledged;
alter index triggers.events_pkey rename to old_events_pkey;
alter index triggers.pending_pkey rename to old_pending_pkey;
alter index triggers.acknowledged_pkey rename to old_acknowledged_pkey;

-- Its row is locked by whoever writes a log that others write too. It is never updated.
create table triggers.tenants (
    tenant_id bigint primary key
);
insert into triggers.tenants (tenant_id) values (0);

-- A kind is a pair of source and event type. Few, and never removed.
create table triggers.kinds (
    tenant_id bigint not null,
    kind integer not null,
    source text not null,
    event_type text not null,
    primary key (tenant_id, kind),
    constraint kinds_names unique (tenant_id, source, event_type)
);

create table triggers.events (
    tenant_id bigint not null,
    sequence bigint not null,
    event_id uuid not null,
    created_at timestamptz not null,
    kind integer not null,
    payload bytea not null,
    erased_at timestamptz, -- when the payload was removed for good
    ordering_key text,
    ordering_hash bigint, -- what keys are told apart by; null without one
    deliver_at timestamptz, -- when subscriptions get it, if not at once
    attributes jsonb,
    primary key (tenant_id, sequence),
    constraint events_id unique (tenant_id, event_id)
);
create index events_delayed on triggers.events (tenant_id, deliver_at, sequence)
    include (kind) where deliver_at is not null;
create index events_keys on triggers.events (tenant_id, ordering_hash, sequence)
    include (kind) where ordering_hash is not null;

create table triggers.acknowledged (
    tenant_id bigint not null,
    sequence bigint not null,
    kind integer not null, -- that of the event
    acknowledged_at timestamptz not null,
    primary key (tenant_id, sequence)
);

-- The blocks that are full: block b has the sequences from 256 b to 256 b + 255. Kind 0 stands for the
-- whole block; the row of any other kind has the places of its events in the block, from 0 to 255.
-- Retention removes the oldest rows: the log begins with the first block that has one of kind 0. Before
-- it, kinds that still have events keep their rows, without places.
create table triggers.blocks (
    tenant_id bigint not null,
    kind integer not null,
    block bigint not null,
    oldest timestamptz not null, -- of created_at
    newest timestamptz not null,
    places smallint[],
    primary key (tenant_id, kind, block)
);

-- Of those, the ones in which an event of the kind may be pending; of kind 0, any event.
create table triggers.pending (
    tenant_id bigint not null,
    kind integer not null,
    block bigint not null,
    primary key (tenant_id, kind, block)
) with (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
