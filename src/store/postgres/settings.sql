-- name: settings
-- What the other statements rely on, for the transaction if $1, else for the session; $2 is how long
-- to wait for locks. A shorter time-out, which somebody chose, is kept. Ours are shorter than the
-- operation's, so that the server ends it first and says why. Reads no table.
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
    ('lock_timeout', $2::text, $2::interval),
    ('statement_timeout', '8s', interval '8s')) settings (name, value, longest)
where case when longest is null then true else
    pg_catalog.current_setting(name)::interval not between interval '1ms' and longest end;
