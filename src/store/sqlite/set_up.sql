-- The settings of a connection, whose file it is and which version its schema has.

-- name: set_up_writer
-- synchronous=full: a commit is on the disk before it is answered. The log is truncated after a burst;
-- the cache holds the inner pages of the indexes, and those that one batch writes. Rows that move leave
-- no copy of themselves, which an erased payload could outlive.
pragma synchronous = full;
pragma journal_size_limit = 67108864;
pragma secure_delete = fast;
pragma cache_size = -16384;

-- name: set_up_reader
pragma cache_size = -1024;

-- name: give_back
pragma auto_vacuum = incremental;

-- name: identity
-- The program's number, the version of the schema, and how many tables and indexes there are.
select (select application_id from pragma_application_id),
    (select user_version from pragma_user_version),
    (select count(*) from sqlite_schema);

-- name: use_wal
pragma journal_mode = wal;

-- name: uses_wal
select journal_mode = 'wal' from pragma_journal_mode;
