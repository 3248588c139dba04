-- The tables of a plain service: events by id, and which of them are pending or acknowledged. They are
-- what triggers had before it kept a log.
create schema if not exists plain;
create table if not exists plain.events (
    tenant_id bigint not null,
    event_id uuid not null,
    created_at timestamptz not null,
    source text not null,
    event_type text not null,
    payload bytea not null,
    primary key (tenant_id, event_id)
);
create table if not exists plain.pending (
    tenant_id bigint not null,
    created_at timestamptz not null,
    event_id uuid not null,
    primary key (tenant_id, created_at, event_id)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);
create table if not exists plain.acknowledged (
    tenant_id bigint not null,
    created_at timestamptz not null,
    event_id uuid not null,
    acknowledged_at timestamptz not null,
    primary key (tenant_id, created_at, event_id)
);
