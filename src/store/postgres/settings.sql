-- name: settings
-- What the other statements rely on, for the transaction if $1, else for the session; $2 is how long
-- to wait for locks. A shorter time-out, which somebody chose, is kept. Ours are shorter than the
-- operation's, so that the server ends it first and says why. Fails, with a parameter that cannot be
-- set, when the server is not the one that was started at $3 (microseconds since 1970): a pooler's
-- clients outlive a server, and what they remember may be lost with it. Reads no table.
select pg_catalog.set_config(name, value, $1::boolean)
from (values
    ('default_transaction_isolation', 'read committed', null),
    ('plan_cache_mode', 'force_generic_plan', null),
    ('enable_seqscan', 'off', null),
    ('enable_bitmapscan', 'off', null),
    ('enable_hashjoin', 'off', null),
    ('enable_mergejoin', 'off', null),
    ('enable_sort', 'off', null),
    ('jit', 'off', null),
    ('max_parallel_workers_per_gather', '0', null),
    ('lock_timeout', $2::text, $2::interval),
    ('statement_timeout', '8s', interval '8s')) settings (name, value, longest)
where case when longest is null then true else
    pg_catalog.current_setting(name)::interval not between interval '1ms' and longest end
union all
select pg_catalog.set_config('server_version', '', false)
where (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint <> $3::bigint;

-- name: set_tenant
-- Whose rows the transaction is about, -1 for those of all tenants: what the policies of
-- deploy/postgres/row_level_security.sql look at. Reads no table.
select pg_catalog.set_config('triggers.tenant', ($1::bigint)::text, true);
