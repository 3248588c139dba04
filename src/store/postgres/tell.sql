-- What the session of notices runs, see tell.c: as text, outside pipeline mode. None of them reads a
-- table.

-- name: listen
listen triggers_log;

-- name: tell
-- Not in a transaction that writes: those that notify commit one after the other.
select pg_catalog.pg_notify('triggers_log', $1::text);
