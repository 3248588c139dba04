/* The SQL of the PostgreSQL store, one named statement each, and the settings it relies on.
 *
 * Statements are planned once a session, maybe while the tables are empty, so the plan must not
 * hang on their size. "lateral (… offset 0)" and "materialized" pin the order of the joins, the
 * settings leave only walks along an index, and each table has a single one. No "= any(array)":
 * PostgreSQL may take it for a filter over the whole tenant. */
#include "store/postgres/session.h"

#define PARAMETER_CAP 64 /* bytes of a setting */

/* How long locks are waited for. Readers meet only those of a whole table, but one row's lock would
 * stop a writer and all its callers. */
#define READER_LOCK_TIMEOUT "5s"
#define WRITER_LOCK_TIMEOUT "100ms" /* another core's commit takes less */
#define BRIEF_LOCK_TIMEOUT "10ms"

/* clang-format off: laid out as SQL */

/* One event, by primary key. */
#define EVENT_SQL(columns, id)                                                                     \
    "(select " columns " from triggers.events"                                                     \
    " where tenant_id = " TENANT " and event_id = " id " offset 0)"

/* The row about the event `e` in pending or acknowledged, by primary key. */
#define NARROW_SQL(columns, table, id, lock)                                                       \
    "(select " columns " from triggers." table " where tenant_id = " TENANT                        \
    " and created_at = e.created_at and event_id = " id " offset 0" lock ")"

/* Walks the primary key of the table from the position ($1, $2) for $3 rows (one more than wanted)
 * and looks each event up by its primary key. */
#define WALK_SQL(table, acknowledged_at, after, direction)                                         \
    " from ("                                                                                      \
    "  select event_id, created_at, " acknowledged_at " as acknowledged_at"                        \
    "  from triggers." table " where tenant_id = " TENANT "    and (created_at, event_id) " after  \
    " ($1::timestamptz, $2::uuid)"                                                                 \
    "  order by created_at " direction ", event_id " direction " limit $3::bigint"                 \
    " ) l cross join lateral " EVENT_SQL("source, event_type, payload", "l.event_id") " e"

#define LIST_SQL(table, acknowledged_at, after, direction)                                         \
    "select l.event_id, l.created_at, e.source, e.event_type, e.payload, "                         \
    "l.acknowledged_at" WALK_SQL(table, acknowledged_at, after,                                    \
                                 direction) " order by l.created_at " direction                    \
                                            ", l.event_id " direction

/* The same until the payloads pass $4 bytes, with the one that does, and two at least; octet_length
 * does not read a payload that is stored apart. The sums cost a third more. */
#define LIST_SIZED_SQL(table, acknowledged_at, after, direction)                                   \
    "select event_id, created_at, source, event_type, payload, acknowledged_at from ("             \
    "  select l.event_id, l.created_at, e.source, e.event_type, e.payload, l.acknowledged_at,"     \
    "    row_number() over page as number,"                                                        \
    "    sum(octet_length(e.payload)) over page - octet_length(e.payload) as before" WALK_SQL(     \
        table, acknowledged_at, after,                                                             \
        direction) "  window page as (order by l.created_at " direction ", l.event_id " direction  \
                   "    rows unbounded preceding)"                                                 \
                   ") sized where number <= 2 or before <= $4::bigint"                             \
                   " order by created_at " direction ", event_id " direction

/* True, and from here on the transaction commits to the disk and to the synchronous standbys before
 * it is answered, whatever server, database, role or session were set to meanwhile; remote_apply,
 * which is more, is kept. Part of each statement that writes, evaluated once before its first row:
 * a statement of its own would cost twice as much. */
#define DURABLY_SQL                                                                                \
    "(select pg_catalog.set_config('synchronous_commit',"                                          \
    "  case pg_catalog.current_setting('synchronous_commit')"                                      \
    "  when 'remote_apply' then 'remote_apply' else 'on' end, true)) is not null"

/* Stores events and their rows in the inbox; returns the ids of those it stored. */
#define APPEND_SQL(on_conflict)                                                                    \
    "with appended as ("                                                                           \
    "  insert into triggers.events"                                                                \
    "    (tenant_id, event_id, created_at, source, event_type, payload)"                           \
    "  select " TENANT ", * from unnest("                                                          \
    "    $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::bytea[])"                      \
    "  where " DURABLY_SQL on_conflict " returning event_id, created_at)"                          \
    " insert into triggers.pending (tenant_id, created_at, event_id)"                              \
    " select " TENANT ", created_at, event_id from appended returning event_id"

/* Moves events from pending to acknowledged; returns the ids and times of those it moved. */
#define ACK_SQL(lock)                                                                              \
    "with found as materialized ("                                                                 \
    "  select p.place, i.event_id, e.created_at,"                                                  \
    "    greatest(i.acknowledged_at, e.created_at) as acknowledged_at"                             \
    "  from unnest($1::uuid[], $2::timestamptz[]) i (event_id, acknowledged_at)"                   \
    "  cross join lateral " EVENT_SQL(                                                             \
        "created_at",                                                                              \
        "i.event_id") " e"                                                                         \
                      "  cross join lateral " NARROW_SQL(                                          \
                          "ctid as place", "pending", "i.event_id",                                \
                          lock) " p"                                                               \
                                "  where " DURABLY_SQL "),"                                        \
                                " removed as ("                                                    \
                                "  delete from triggers.pending p using found f where p.ctid = "   \
                                "f.place"                                                          \
                                "  returning f.event_id, f.created_at, f.acknowledged_at)"         \
                                " insert into triggers.acknowledged (tenant_id, created_at, "      \
                                "event_id, acknowledged_at)"                                       \
                                " select " TENANT                                                  \
                                ", created_at, event_id, acknowledged_at from removed"             \
                                " on conflict (tenant_id, created_at, event_id) do nothing "       \
                                "returning event_id, acknowledged_at"

static const struct {
    const char *name;
    const char *sql;
} STATEMENTS[POSTGRES_STATEMENT_COUNT] = {
    /* For the transaction if $1, else for the session. A shorter time-out than ours, which somebody
     * chose, is kept. Ours are shorter than the operation's, so that the server gives up first and
     * says why. */
    [POSTGRES_SETTINGS] =
        {"triggers_settings",
         "select pg_catalog.set_config(name, value, $1::boolean) from (values"
         " ('default_transaction_isolation', 'read committed', null),"
         " ('plan_cache_mode', 'force_generic_plan', null),"
         " ('enable_seqscan', 'off', null), ('enable_bitmapscan', 'off', null),"
         " ('enable_hashjoin', 'off', null), ('enable_mergejoin', 'off', null),"
         " ('enable_sort', 'off', null), ('jit', 'off', null),"
         " ('lock_timeout', $2::text, $2::interval), ('statement_timeout', '8s', interval '8s'))"
         " settings (name, value, longest)"
         " where case when longest is null then true else"
         "  pg_catalog.current_setting(name)::interval not between interval '1ms' and longest end"},

    /* "on conflict" costs a third more: a look-up and a log record for each row. */
    [POSTGRES_APPEND_NEW] = {"triggers_append_new", APPEND_SQL("")},
    [POSTGRES_APPEND] = {"triggers_append",
                         APPEND_SQL(" on conflict (tenant_id, event_id) do nothing")},

    [POSTGRES_ACK] = {"triggers_ack", ACK_SQL("")},
    [POSTGRES_ACK_UNLOCKED] = {"triggers_ack_unlocked", ACK_SQL(" for update skip locked")},

    [POSTGRES_COMPARE] =
        {"triggers_compare",
         "select i.number, e.created_at,"
         "  e.source = i.source and e.event_type = i.event_type and e.payload = i.payload"
         " from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) with ordinality"
         "  i (event_id, source, event_type, payload, number)"
         " cross join lateral " EVENT_SQL("created_at, source, event_type, payload",
                                          "i.event_id") " e"},

    /* Of the events that are there; null while they are pending. */
    [POSTGRES_ACKNOWLEDGED_AT] =
        {"triggers_acknowledged_at",
         "select i.event_id, a.acknowledged_at from unnest($1::uuid[]) i (event_id)"
         " cross join lateral " EVENT_SQL("created_at",
                                          "i.event_id") " e"
                                                        " left join lateral " NARROW_SQL(
                                                            "acknowledged_at", "acknowledged",
                                                            "i.event_id", "") " a on true"},

    [POSTGRES_GET] =
        {"triggers_get",
         "select i.event_id, e.created_at, e.source, e.event_type, e.payload, a.acknowledged_at"
         " from unnest($1::uuid[]) i (event_id)"
         " cross join lateral " EVENT_SQL("created_at, source, event_type, payload",
                                          "i.event_id") " e"
                                                        " left join lateral " NARROW_SQL(
                                                            "acknowledged_at", "acknowledged",
                                                            "i.event_id", "") " a on true"},

#define LISTS(suffix, name, LIST)                                                                  \
    [POSTGRES_LIST_PENDING_NEWEST##suffix] = {"triggers_list_pending_newest" name,                 \
                                              LIST("pending", "null::timestamptz", "<", "desc")},  \
    [POSTGRES_LIST_PENDING_OLDEST##suffix] = {"triggers_list_pending_oldest" name,                 \
                                              LIST("pending", "null::timestamptz", ">", "asc")},   \
    [POSTGRES_LIST_ACKNOWLEDGED_NEWEST##                                                           \
        suffix] = {"triggers_list_acknowledged_newest" name,                                       \
                   LIST("acknowledged", "acknowledged_at", "<", "desc")},                          \
    [POSTGRES_LIST_ACKNOWLEDGED_OLDEST##                                                           \
        suffix] = {"triggers_list_acknowledged_oldest" name,                                       \
                   LIST("acknowledged", "acknowledged_at", ">", "asc")}

    LISTS(, "", LIST_SQL),
    LISTS(_SIZED, "_sized", LIST_SIZED_SQL),

    /* Whether somebody holds, or waits for, a lock that keeps all writers out. */
    [POSTGRES_TABLES_LOCKED] =
        {"triggers_tables_locked",
         "select exists (select from pg_catalog.pg_locks l join pg_catalog.pg_database d"
         "  on d.oid = l.database where d.datname = pg_catalog.current_database()"
         "  and l.locktype = 'relation' and l.mode in"
         "   ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
         "  and l.relation in ('triggers.events'::pg_catalog.regclass,"
         "   'triggers.pending'::pg_catalog.regclass))"},

    /* Walks the first $1 entries of the primary key; when there are as many, what the planner
     * believes there to be (-1 before the first vacuum). */
    [POSTGRES_BACKLOG] =
        {"triggers_backlog",
         "select case when count(*) < $1::bigint then count(*) else greatest(count(*), ("
         "  select reltuples::bigint from pg_catalog.pg_class"
         "  where oid = 'triggers.pending'::pg_catalog.regclass)) end, min(created_at)"
         " from (select created_at from triggers.pending where tenant_id = " TENANT
         "  order by created_at, event_id limit $1::bigint) oldest"},

    /* Who follows the write-ahead log, without those that read changes (logical slots). */
    [POSTGRES_STANDBYS] =
        {"triggers_standbys",
         "select case when pg_catalog.current_setting('synchronous_standby_names') = '' then ("
         "  select count(*) from pg_catalog.pg_stat_replication r"
         "  where r.state is distinct from 'backup' and not exists ("
         "   select from pg_catalog.pg_replication_slots s"
         "   where s.active_pid = r.pid and s.slot_type = 'logical'))"
         " else 0 end"},
};

/* clang-format on */

static void ignore_rows(void *context, size_t command, const PGresult *rows)
{
    (void)context;
    (void)command;
    (void)rows;
}

/* Queues the settings, for this transaction or for the session. */
static bool send_settings(struct postgres_session *session, bool for_transaction, bool briefly)
{
    const char *lock_timeout = briefly              ? BRIEF_LOCK_TIMEOUT
                               : session->read_only ? READER_LOCK_TIMEOUT
                                                    : WRITER_LOCK_TIMEOUT;
    struct buffer parameters[2];
    buffer_init(&parameters[0], PARAMETER_CAP);
    buffer_init(&parameters[1], PARAMETER_CAP);
    buffer_append(&parameters[0], for_transaction ? "\1" : "\0", 1);
    buffer_append_text(&parameters[1], lock_timeout);
    bool sent = !parameters[0].failed && !parameters[1].failed &&
                postgres_statement_send(session, POSTGRES_SETTINGS, parameters, 2);
    buffer_fini(&parameters[0]);
    buffer_fini(&parameters[1]);
    return sent;
}

enum store_result postgres_statements_prepare(struct postgres_session *session,
                                              struct status *status)
{
    if (session->pooled)
        return STORE_OK;
    for (size_t i = 0; i < POSTGRES_STATEMENT_COUNT; i++)
        if (!PQsendPrepare(session->conn, STATEMENTS[i].name, STATEMENTS[i].sql, 0, NULL))
            return postgres_failed(session, NULL, status);
    if (!send_settings(session, false, false))
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, ignore_rows, NULL, status);
}

bool postgres_transaction_start(struct postgres_session *session, bool briefly)
{
    session->preambles = session->pooled || briefly;
    return session->preambles == 0 || send_settings(session, true, briefly);
}

bool postgres_statement_send(struct postgres_session *session, enum postgres_statement which,
                             const struct buffer *parameters, int count)
{
    enum { MAX_PARAMETERS = 5 };
    const char *values[MAX_PARAMETERS];
    int sizes[MAX_PARAMETERS];
    int formats[MAX_PARAMETERS];
    for (int i = 0; i < count; i++) {
        values[i] = parameters[i].data;
        sizes[i] = (int)parameters[i].size;
        formats[i] = 1;
    }
    if (session->lost)
        return false;
    if (session->pooled)
        return PQsendQueryParams(session->conn, STATEMENTS[which].sql, count, NULL, values, sizes,
                                 formats, 1);
    return PQsendQueryPrepared(session->conn, STATEMENTS[which].name, count, values, sizes, formats,
                               1);
}
