-- What the session of notices runs, see tell.c: as text, outside pipeline mode. None of them reads a
-- table.

-- name: listen
listen triggers_log;

-- name: tell
-- Not in a transaction that writes: those that notify commit one after the other. It need not wait for
-- the disk, which would keep it from those that do.
select pg_catalog.pg_notify('triggers_log', $1::text)
where (select pg_catalog.set_config('synchronous_commit', 'off', true)) is not null;
