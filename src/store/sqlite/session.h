/* The inside of the SQLite store: each session has one connection, with statements that are
 * prepared when first used. errors.c alone turns SQLite's result codes into the contract's. */
#ifndef TRIGGERS_STORE_SQLITE_SESSION_H
#define TRIGGERS_STORE_SQLITE_SESSION_H

#include <sqlite3.h>

#include "base/check.h"
#include "store/items.h"
#include "store/sqlite_statements.h"
#include "store/store.h"

struct sqlite_session {
    struct store_session base;
    sqlite3 *db;
    sqlite3_stmt *statements[SQLITE_STATEMENT_COUNT];
};

/* The statement, reset, and prepared if it was not; NULL on failure. The caller binds every
 * parameter. */
sqlite3_stmt *sqlite_statement(struct sqlite_session *session, enum sqlite_statement which);

/* The same with ?1 bound to the scope's tenant. */
sqlite3_stmt *sqlite_statement_of(struct sqlite_session *session, struct scope scope,
                                  enum sqlite_statement which);

/* Binds `slice` as text or blob without copying it: it must live until the statement is reset. An
 * empty slice is an empty value, not null. `index` is that of a parameter of the statement. Errors
 * appear when the statement is stepped. */
void sqlite_bind_int64(sqlite3_stmt *statement, int index, int64_t number);
void sqlite_bind_text(sqlite3_stmt *statement, int index, struct slice slice);
void sqlite_bind_blob(sqlite3_stmt *statement, int index, struct slice slice);
void sqlite_bind_id(sqlite3_stmt *statement, int index, const uint8_t id[TYPEID_BYTES]);

/* The column's bytes; borrowed until the statement is stepped or reset. */
struct slice sqlite_column_slice(sqlite3_stmt *statement, int index);

/* Steps once: SQLITE_ROW, or any other code after resetting the statement. NULL counts as failed.
 */
int sqlite_step(struct sqlite_session *session, sqlite3_stmt *statement);

/* What the failure `code` of an operation means; logs it. Never STORE_OK. */
enum store_result sqlite_failed(struct sqlite_session *session, int code, struct status *status);

/* Why the file could not be opened or prepared: STORE_FATAL when a person must act. */
enum store_result sqlite_open_failed(const char *path, int code, struct status *status);

/* Brings the file's schema up to date over a connection that may write; refuses the files of other
 * programs and of newer versions without changing them. */
enum store_result sqlite_schema_prepare(sqlite3 *db, const char *path, struct status *status);

/* The operations of store_driver. */
enum store_result sqlite_write(struct store_session *session, struct scope scope,
                               struct store_write *batch, struct status *status);
enum store_result sqlite_get(struct store_session *session, struct scope scope,
                             struct store_get **gets, size_t count, struct status *status);
enum store_result sqlite_list(struct store_session *session, struct scope scope,
                              struct store_list **lists, size_t count, struct status *status);
enum store_result sqlite_backlog(struct store_session *session, struct scope scope,
                                 struct store_backlog *backlog, struct status *status);

#endif
