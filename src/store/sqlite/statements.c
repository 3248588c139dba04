/* The SQL of the SQLite store, one named statement each, and how statements are bound and run. */
#include "store/sqlite/session.h"

/* clang-format off: laid out as SQL */

/* When the event with this id was created: the narrow tables are found by it. */
#define CREATED_AT_SQL                                                                             \
    "(select created_at from events where tenant_id = " TENANT " and event_id = ?1)"

/* Walks the primary key of the table from the position (?1, ?2) and looks each event up by its
 * primary key; `cross join` keeps SQLite to that order. */
#define LIST_SQL(table, acknowledged_at, after, direction)                                         \
    "select e.event_id, e.created_at, e.source, e.event_type, e.payload, " acknowledged_at         \
    " from " table " l"                                                                            \
    " cross join events e on e.tenant_id = " TENANT " and e.event_id = l.event_id"                 \
    " where l.tenant_id = " TENANT " and (l.created_at, l.event_id) " after " (?1, ?2)"            \
    " order by l.created_at " direction ", l.event_id " direction " limit ?3"

static const char *const SQL[SQLITE_STATEMENT_COUNT] = {
    [SQLITE_BEGIN_WRITE] = "begin immediate",
    [SQLITE_COMMIT] = "commit",
    [SQLITE_APPEND] =
        "insert into events (tenant_id, event_id, created_at, source, event_type, payload)"
        " values (" TENANT ", ?1, ?2, ?3, ?4, ?5)"
        " on conflict (tenant_id, event_id) do nothing",
    [SQLITE_ENQUEUE] =
        "insert into pending (tenant_id, created_at, event_id) values (" TENANT ", ?1, ?2)",
    [SQLITE_COMPARE] = "select created_at, source = ?2 and event_type = ?3 and payload = ?4"
                       " from events where tenant_id = " TENANT " and event_id = ?1",
    [SQLITE_DEQUEUE] =
        "delete from pending"
        " where tenant_id = " TENANT " and created_at = " CREATED_AT_SQL " and event_id = ?1"
        " returning created_at",
    [SQLITE_ACKNOWLEDGE] =
        "insert into acknowledged (tenant_id, created_at, event_id, acknowledged_at)"
        " values (" TENANT ", ?1, ?2, ?3)",
    [SQLITE_ACKNOWLEDGED_AT] =
        "select acknowledged_at from acknowledged"
        " where tenant_id = " TENANT " and created_at = " CREATED_AT_SQL " and event_id = ?1",
    [SQLITE_COUNT_PENDING] =
        "insert into pending_count (tenant_id, events) values (" TENANT ", ?1)"
        " on conflict (tenant_id) do update set events = events + excluded.events",
    [SQLITE_GET] = "select e.event_id, e.created_at, e.source, e.event_type, e.payload,"
                   "  coalesce(a.acknowledged_at, 0)"
                   " from events e left join acknowledged a on a.tenant_id = e.tenant_id"
                   "  and a.created_at = e.created_at and a.event_id = e.event_id"
                   " where e.tenant_id = " TENANT " and e.event_id = ?1",
    [SQLITE_LIST_PENDING_NEWEST] = LIST_SQL("pending", "0", "<", "desc"),
    [SQLITE_LIST_PENDING_OLDEST] = LIST_SQL("pending", "0", ">", "asc"),
    [SQLITE_LIST_ACKNOWLEDGED_NEWEST] = LIST_SQL("acknowledged", "l.acknowledged_at", "<", "desc"),
    [SQLITE_LIST_ACKNOWLEDGED_OLDEST] = LIST_SQL("acknowledged", "l.acknowledged_at", ">", "asc"),
    /* Looks up one row, and the first entry of a primary key. */
    [SQLITE_BACKLOG] =
        "select coalesce((select events from pending_count where tenant_id = " TENANT "), 0),"
        "  coalesce((select min(created_at) from pending where tenant_id = " TENANT "), 0)",
    [SQLITE_PING] = "select 1 from pending limit 1",
};

/* clang-format on */

sqlite3_stmt *sqlite_statement(struct sqlite_session *session, enum sqlite_statement which)
{
    sqlite3_stmt **statement = &session->statements[which];
    if (!*statement)
        sqlite3_prepare_v3(session->db, SQL[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    else
        sqlite3_reset(*statement);
    return *statement;
}

void sqlite_bind_text(sqlite3_stmt *statement, int index, struct slice slice)
{
    sqlite3_bind_text64(statement, index, slice.size ? slice.data : "", slice.size, SQLITE_STATIC,
                        SQLITE_UTF8);
}

void sqlite_bind_blob(sqlite3_stmt *statement, int index, struct slice slice)
{
    sqlite3_bind_blob64(statement, index, slice.size ? slice.data : "", slice.size, SQLITE_STATIC);
}

void sqlite_bind_id(sqlite3_stmt *statement, int index, const uint8_t id[TYPEID_BYTES])
{
    sqlite3_bind_blob(statement, index, id, TYPEID_BYTES, SQLITE_STATIC);
}

struct slice sqlite_column_slice(sqlite3_stmt *statement, int index)
{
    /* The value is asked for before its size, as SQLite wants it. */
    const void *data = sqlite3_column_blob(statement, index);
    return (struct slice){data, (size_t)sqlite3_column_bytes(statement, index)};
}

int sqlite_step(struct sqlite_session *session, sqlite3_stmt *statement)
{
    if (!statement)
        return sqlite3_extended_errcode(session->db);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return code;
    if (code != SQLITE_DONE)
        code = sqlite3_extended_errcode(session->db);
    sqlite3_reset(statement);
    return code;
}
