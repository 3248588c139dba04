-- Events are written once; what changes is which narrow table names them. So an acknowledgement
-- never rewrites a payload, and both lists are one walk along an index.
create table triggers.schema_version (
    version integer primary key,
    applied_at timestamptz not null default now()
);

create table triggers.events (
    tenant_id bigint not null,
    event_id uuid not null,
    created_at timestamptz not null,
    source text not null,
    event_type text not null,
    payload bytea not null,
    primary key (tenant_id, event_id)
);

-- Rows live shortly: vacuum often, so that the walk from the oldest end does not pass over many
-- dead entries.
create table triggers.pending (
    tenant_id bigint not null,
    created_at timestamptz not null,
    event_id uuid not null,
    primary key (tenant_id, created_at, event_id)
) with (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

create table triggers.acknowledged (
    tenant_id bigint not null,
    created_at timestamptz not null,
    event_id uuid not null,
    acknowledged_at timestamptz not null,
    primary key (tenant_id, created_at, event_id)
);
