/* The inside of the PostgreSQL store: each session has one connection, in pipeline mode once it is
 * open. Every wait has a deadline; a session whose connection failed is lost and can only be
 * closed.
 *
 * With a pooler in between, each transaction may run in another process of the server, which other
 * programs use before and after it. So each transaction brings its own settings, its statements
 * have no names, and nothing of ours outlives it. */
#ifndef TRIGGERS_STORE_POSTGRES_SESSION_H
#define TRIGGERS_STORE_POSTGRES_SESSION_H

#include <libpq-fe.h>

#include "base/buffer.h"
#include "base/log.h"
#include "store/items.h"
#include "store/postgres/uri.h"
#include "store/postgres_set_up_statements.h"
#include "store/postgres_statements.h"
#include "store/store.h"

struct postgres_store {
    struct store base;
    char *uri;      /* holds the password: only ever given to libpq */
    int host_count; /* hosts that the URI names; they share the time to connect */
};

struct postgres_session {
    struct store_session base;
    PGconn *conn;
    int64_t deadline_ms; /* of the current operation, on clock_monotonic_ms */
    bool read_only;
    bool pooled;      /* a pooler is in between */
    size_t preambles; /* statements queued before those of the operation itself */
    bool opened;      /* ready for operations */
    bool lost;        /* answers of an abandoned operation may still arrive: nothing more is sent */
};

/* ---- connect.c ---- */

/* Connects to the store's database, creating it if it is missing and the role may do so. The
 * connection is handed to `session` outside pipeline mode. */
enum store_result postgres_connect(struct postgres_session *session, struct status *status);

/* ---- schema.c ---- */

/* Brings the schema up to date, one process at a time; refuses a newer one. */
enum store_result postgres_schema_prepare(struct postgres_session *session, struct status *status);

/* ---- statements.c: the .sql files except set_up.sql ---- */

/* Prepares every statement and makes the settings that they rely on, in one round trip; does
 * nothing through a pooler. In pipeline mode. */
enum store_result postgres_statements_prepare(struct postgres_session *session,
                                              struct status *status);

/* Begins to queue a transaction, which postgres_sync ends; through a pooler it brings its settings.
 * `briefly`: it hardly waits for locks. False when the connection is gone or there is no memory. */
bool postgres_transaction_start(struct postgres_session *session, bool briefly) MUST_CHECK;

/* Queues a statement with binary parameters, which follow $1, the tenant, unless `scope` is NULL;
 * false when the connection is gone. */
bool postgres_statement_send(struct postgres_session *session, enum postgres_statement which,
                             const struct scope *scope, const struct buffer *parameters, int count);

/* ---- exchange.c ---- */

/* Sets the deadline of the operation that starts now. */
void postgres_deadline_start(struct postgres_session *session);

/* Runs SQL text outside pipeline mode. With a parameter ($1; NULL: none) it must be one statement.
 * *result is that of the last command; the caller clears it. False, with `result` NULL, when the
 * connection is gone or out of time. */
bool postgres_query(struct postgres_session *session, const char *sql, const char *parameter,
                    PGresult **result);

/* The same for SQL whose result does not matter. */
enum store_result postgres_execute(struct postgres_session *session, const char *sql,
                                   struct status *status);

/* Receives the rows of the `command`-th statement queued, counted from 0 and without preambles. */
typedef void postgres_rows(void *context, size_t command, const PGresult *rows);

/* Ends what was queued: one transaction, one round trip. The rows passed to `rows` count only when
 * the result is STORE_OK: with any other, nothing was changed, or with STORE_LOST it is unknown. */
enum store_result postgres_sync(struct postgres_session *session, postgres_rows *rows,
                                void *context, struct status *status);

/* The same for one statement, with `rows` called for each row by itself. */
enum store_result postgres_sync_row_by_row(struct postgres_session *session, postgres_rows *rows,
                                           void *context, struct status *status);

/* ---- errors.c ---- */

/* What the failed `result` (NULL: no answer) means; logs it. Never STORE_OK. */
enum store_result postgres_failed(struct postgres_session *session, const PGresult *result,
                                  struct status *status);

/* Whether the failed `result` has this SQLSTATE. */
bool postgres_failed_with(const PGresult *result, const char *sqlstate);

/* ---- binary.c ---- */

/* Arrays in the binary format: start with the number of elements, then add each. A time before 4714
 * BC, which PostgreSQL cannot hold, makes the statement fail as a data exception. */
void postgres_array_start(struct buffer *array, Oid element, size_t count);
void postgres_array_add(struct buffer *array, const void *bytes, size_t size);
void postgres_array_add_time(struct buffer *array, int64_t time_us);

#define POSTGRES_UUID 2950
#define POSTGRES_TIMESTAMPTZ 1184
#define POSTGRES_TEXT 25
#define POSTGRES_BYTEA 17

/* Single values, for comparisons: such a time becomes minus infinity. */
void postgres_put_int64(struct buffer *value, int64_t number);
void postgres_put_time(struct buffer *value, int64_t time_us);

int64_t postgres_int64(const PGresult *rows, int row, int column);
int64_t postgres_time_us(const PGresult *rows, int row, int column); /* null: 0 */
struct slice postgres_slice(const PGresult *rows, int row, int column);
const uint8_t *postgres_id(const PGresult *rows, int row, int column);

/* ---- write.c, read.c: operations of store_driver ---- */

enum store_result postgres_write(struct store_session *session, struct scope scope,
                                 struct store_write *batch, struct status *status);
enum store_result postgres_get(struct store_session *session, struct scope scope,
                               struct store_get **gets, size_t count, struct status *status);
enum store_result postgres_list(struct store_session *session, struct scope scope,
                                struct store_list **lists, size_t count, struct status *status);
enum store_result postgres_backlog(struct store_session *session, struct scope scope,
                                   struct store_backlog *backlog, struct status *status);

#endif
