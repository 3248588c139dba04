/* How the statements of the .sql files are prepared, bound and run. */
#include "store/sqlite/session.h"

#include "base/check.h"

sqlite3_stmt *sqlite_statement(struct sqlite_session *session, enum sqlite_statement which)
{
    CHECK(which < SQLITE_STATEMENT_COUNT);
    sqlite3_stmt **statement = &session->statements[which];
    if (!*statement)
        sqlite3_prepare_v3(session->db, SQLITE_STATEMENTS[which].sql, -1, SQLITE_PREPARE_PERSISTENT,
                           statement, NULL);
    else
        sqlite3_reset(*statement);
    return *statement;
}

sqlite3_stmt *sqlite_statement_of(struct sqlite_session *session, struct scope scope,
                                  enum sqlite_statement which)
{
    sqlite3_stmt *statement = sqlite_statement(session, which);
    sqlite_bind_int64(statement, 1, scope.tenant);
    return statement;
}

sqlite3_stmt *sqlite_statement_about(struct sqlite_session *session, struct scope scope,
                                     int64_t subscription, enum sqlite_statement which)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, which);
    sqlite_bind_int64(statement, 2, subscription);
    return statement;
}

/* A parameter that the statement does not have stays NULL, and nothing else would tell. */
void sqlite_bind_int64(sqlite3_stmt *statement, int index, int64_t number)
{
    CHECK(sqlite3_bind_int64(statement, index, number) != SQLITE_RANGE);
}

void sqlite_bind_text(sqlite3_stmt *statement, int index, struct slice slice)
{
    int code = sqlite3_bind_text64(statement, index, slice.size ? slice.data : "", slice.size,
                                   SQLITE_STATIC, SQLITE_UTF8);
    CHECK(code != SQLITE_RANGE);
}

void sqlite_bind_blob(sqlite3_stmt *statement, int index, struct slice slice)
{
    int code = sqlite3_bind_blob64(statement, index, slice.size ? slice.data : "", slice.size,
                                   SQLITE_STATIC);
    CHECK(code != SQLITE_RANGE);
}

void sqlite_bind_null(sqlite3_stmt *statement, int index)
{
    CHECK(sqlite3_bind_null(statement, index) != SQLITE_RANGE);
}

void sqlite_bind_id(sqlite3_stmt *statement, int index, const uint8_t id[TYPEID_BYTES])
{
    sqlite_bind_blob(statement, index, (struct slice){(const char *)id, TYPEID_BYTES});
}

struct slice sqlite_column_slice(sqlite3_stmt *statement, int index)
{
    CHECK(index < sqlite3_data_count(statement));
    /* The value is read before its size, as SQLite requires. */
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

int sqlite_number(struct sqlite_session *session, sqlite3_stmt *statement, int64_t *number)
{
    int code = sqlite_step(session, statement);
    *number = 0;
    if (code != SQLITE_ROW)
        return code;
    *number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

int sqlite_last_sequence(struct sqlite_session *session, struct scope scope, int64_t *last)
{
    int64_t position;
    int code = sqlite_number(session, sqlite_statement_of(session, scope, SQLITE_LAST_POSITION),
                             &position);
    *last = sqlite_sequence(position);
    return code;
}

int sqlite_places(struct sqlite_session *session, struct scope scope, int32_t kind, int64_t block,
                  uint64_t places[SQLITE_WORDS])
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_PLACES);
    sqlite_bind_int64(statement, 2, kind);
    sqlite_bind_int64(statement, 3, block);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code;
    for (int i = 0; i < SQLITE_WORDS; i++)
        places[i] |= (uint64_t)sqlite3_column_int64(statement, i);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}
