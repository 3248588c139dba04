-- How many events are pending, kept by the transactions that change it, because SQLite can only count
-- by walking over all of them. Once a transaction, not by triggers: those run for each row.
create table pending_count (
    tenant_id integer primary key,
    events integer not null
) strict;

insert into pending_count (tenant_id, events) select tenant_id, count(*) from pending group by tenant_id;
