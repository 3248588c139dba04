-- Events are written once; what changes is which narrow table names them. So an acknowledgement
-- never rewrites a payload, and both lists are one walk along a b-tree.
pragma application_id = 1953655143; -- "trig"

-- A rowid table: payloads are wide, and rows are appended at the end whatever their id.
create table events (
    tenant_id integer not null,
    event_id blob not null,
    created_at integer not null, -- microseconds since 1970 UTC, as all times here
    source text not null,
    event_type text not null,
    payload blob not null,
    primary key (tenant_id, event_id)
) strict;

create table pending (
    tenant_id integer not null,
    created_at integer not null,
    event_id blob not null,
    primary key (tenant_id, created_at, event_id)
) strict, without rowid;

create table acknowledged (
    tenant_id integer not null,
    created_at integer not null,
    event_id blob not null,
    acknowledged_at integer not null,
    primary key (tenant_id, created_at, event_id)
) strict, without rowid;
