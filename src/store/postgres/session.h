/* The inside of the PostgreSQL store: each session has one connection, in pipeline mode once it is
 * open. Every wait has a deadline; a session whose connection failed is lost and can only be
 * closed.
 *
 * With a pooler in between, each transaction may run in another process of the server, which other
 * programs use before and after it. So each transaction brings its own settings, its statements
 * have no names, and nothing of ours outlives it. After a failover the pooler leads to another
 * server, which may lack the latest commits: then the session is lost with all that it remembers.
 */
#ifndef TRIGGERS_STORE_POSTGRES_SESSION_H
#define TRIGGERS_STORE_POSTGRES_SESSION_H

#include <libpq-fe.h>

#include "base/buffer.h"
#include "base/log.h"
#include "store/items.h"
#include "store/names.h"
#include "store/postgres/uri.h"
#include "store/postgres_set_up_statements.h"
#include "store/postgres_statements.h"
#include "store/store.h"

struct postgres_store {
    struct store base;
    char *uri;      /* holds the password: only ever given to libpq */
    int host_count; /* hosts that the URI names; they share the time to connect */
};

/* What a session that writes remembers of a tenant's log. */
#define POSTGRES_UNSETTLED_MAX 1024
struct postgres_log {
    int64_t tenant;
    int64_t last;            /* the highest sequence, as it was last seen; -1: never seen */
    bool alone;              /* nobody else has written since: the next one is last + 1 */
    int64_t shared_until_ms; /* monotonic; others write, too */
    int64_t settled_at_ms;   /* the same */
    struct postgres_block {  /* full blocks in which something was acknowledged, or that became */
        int32_t kind;        /* full, since they were settled */
        int64_t block;
    } unsettled[POSTGRES_UNSETTLED_MAX];
    size_t unsettled_count;
};
#define POSTGRES_LOGS_MAX 16

struct postgres_session {
    struct store_session base;
    PGconn *conn;
    int64_t deadline_ms;       /* of the current operation, on clock_monotonic_ms */
    int64_t server_started_us; /* says which server this is, see settings.sql */
    int64_t turn_last;         /* the highest sequence when the turn began, see turn.c */
    bool read_only;
    bool pooled;       /* a pooler is in between */
    bool has_policies; /* row-level security looks at a setting, see settings.sql */
    bool in_turn;      /* its transaction is open, see turn.c */
    size_t preambles;  /* statements queued before those of the operation itself */
    bool opened;       /* ready for operations */
    bool lost; /* answers of an abandoned operation may still arrive: nothing more is sent */
    struct names names;
    /* The logs that it has written, the last one first, which is that of the current write. Of one
     * that it has forgotten it learns again in a turn. */
    struct postgres_log *logs[POSTGRES_LOGS_MAX];
    /* No event of the tenant is pending before this block: only newer ones will be. Walks start
     * there, since dead rows before it may be kept for long by somebody's transaction. */
    int64_t floor_tenant;
    int64_t floor;
};

/* ---- connect.c ---- */

/* Connects to the store's database, creating it if it is missing and the role may do so. The
 * connection is handed to `session` outside pipeline mode. */
enum store_result postgres_connect(struct postgres_session *session, struct status *status);

/* ---- schema.c ---- */

/* Brings the schema and what is in it up to date; refuses a newer one. */
enum store_result postgres_schema_prepare(struct postgres_session *session, struct status *status);

/* Sets `has_policies`. Outside pipeline mode. */
enum store_result postgres_look_at_policies(struct postgres_session *session,
                                            struct status *status);

/* ---- move.c ---- */

/* Moves the events of the version before, see store_move. Outside pipeline mode. */
enum store_result postgres_move(struct postgres_session *session, struct status *status);

/* ---- statements.c: the .sql files except set_up.sql and move.sql ---- */

/* Prepares every statement and makes the settings that they rely on, in one round trip; does
 * nothing through a pooler. In pipeline mode. */
enum store_result postgres_statements_prepare(struct postgres_session *session,
                                              struct status *status);

/* Begins to queue a transaction, which postgres_sync ends; through a pooler it brings its settings.
 * Where policies hold tenants apart, it says whose rows it is about: those of `scope`, NULL: all
 * tenants'. `briefly`: it hardly waits for locks. In a turn, it is a further part of that
 * transaction. False when the connection is gone or there is no memory. */
bool postgres_transaction_start(struct postgres_session *session, const struct scope *scope,
                                bool briefly) MUST_CHECK;

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

/* The same, with `rows` called for each row by itself. */
enum store_result postgres_sync_row_by_row(struct postgres_session *session, postgres_rows *rows,
                                           void *context, struct status *status);

/* ---- statements.c, on top of exchange.c ---- */

#define POSTGRES_PARAMETER_CAP ((size_t)256 << 20)
void postgres_parameters_init(struct buffer *parameters, int count);

/* Runs one statement as a transaction of its own, and frees the parameters. */
enum store_result postgres_run(struct postgres_session *session, enum postgres_statement which,
                               const struct scope *scope, struct buffer *parameters, int count,
                               postgres_rows *rows, void *context, struct status *status);

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
void postgres_array_add_int32(struct buffer *array, int32_t number);
void postgres_array_add_int64(struct buffer *array, int64_t number);
void postgres_array_add_null(struct buffer *array);

#define POSTGRES_UUID 2950
#define POSTGRES_INT4 23
#define POSTGRES_INT8 20
#define POSTGRES_TIMESTAMPTZ 1184
#define POSTGRES_TEXT 25
#define POSTGRES_BYTEA 17

/* Single values, for comparisons: such a time becomes minus infinity, INT64_MAX infinity. */
void postgres_put_int32(struct buffer *value, int32_t number);
void postgres_put_int64(struct buffer *value, int64_t number);
void postgres_put_time(struct buffer *value, int64_t time_us);

int32_t postgres_int32(const PGresult *rows, int row, int column);
int64_t postgres_int64(const PGresult *rows, int row, int column);
int64_t postgres_time_us(const PGresult *rows, int row, int column); /* null: 0 */
struct slice postgres_slice(const PGresult *rows, int row, int column);
const uint8_t *postgres_id(const PGresult *rows, int row, int column);

/* ---- naming.c: kinds and their names ---- */

/* An event whose kind is known, and whose source and type are wanted in the arena. */
struct postgres_unnamed {
    struct store_event *event;
    struct arena *arena;
    bool *no_memory; /* out: they did not fit */
};

/* Asks for those names that the session does not know, in a round trip of its own. */
enum store_result postgres_name_events(struct postgres_session *session, struct scope scope,
                                       const struct postgres_unnamed *unnamed, size_t count,
                                       struct status *status);

/* Sets the kinds of the batch's appends. New pairs of source and type get numbers if `add`, which
 * needs a turn; else theirs are 0. */
enum store_result postgres_number_kinds(struct postgres_session *session, struct scope scope,
                                        const struct store_write *batch, bool add,
                                        struct status *status);

enum store_result postgres_kinds(struct store_session *session, struct scope scope,
                                 struct store_kinds *kinds, struct status *status);

/* ---- turn.c: the lock of the log ---- */

/* Why a batch was not written. */
#define POSTGRES_LOG_LOCKED "another session of the database keeps the log locked"

/* Waits for the log's lock, in a transaction that stays open: everything up to its end is part of
 * it. Without STORE_OK there is no turn. */
enum store_result postgres_turn_begin(struct postgres_session *session, struct scope scope,
                                      bool briefly, struct status *status);

/* Queues the end of the turn, after what it writes; when that was carried out, it is over. */
bool postgres_turn_commit_send(struct postgres_session *session) MUST_CHECK;
void postgres_turn_committed(struct postgres_session *session);

/* Ends a turn that failed, if it has not ended: nothing was changed. */
void postgres_turn_give_up(struct postgres_session *session);

/* ---- settle.c: blocks in which nothing is pending any more ---- */

/* Remembers a block to be settled after the current transaction. */
void postgres_unsettle(struct postgres_log *log, int32_t kind, int64_t sequence);

/* Settles what was remembered in earlier transactions, if that was not done just before. A failure
 * concerns no caller: it is done later. */
void postgres_settle(struct postgres_session *session, struct scope scope);

/* ---- tell.c, write.c, read.c, usage.c, trim.c: operations of store_driver ---- */

enum store_result postgres_notice_open(struct store *store, struct store_session **session,
                                       struct status *status);
enum store_result postgres_notice_send(struct store_session *session,
                                       const struct store_notice *notices, size_t count,
                                       struct status *status);
enum store_result postgres_notice_await(struct store_session *session, int wake, int64_t wait_ms,
                                        struct store_notice *notices, size_t *count,
                                        struct status *status);

enum store_result postgres_write(struct store_session *session, struct scope scope,
                                 struct store_write *batch, struct status *status);
/* Columns 0 to 7 of a row of an event, without the names; the payload and the ordering key are
 * borrowed from `rows`. */
struct store_event postgres_event(const PGresult *rows, int row);
/* An array of names. */
void postgres_put_names(struct buffer *array, const struct slice *names, size_t count);
enum store_result postgres_get(struct store_session *session, struct scope scope,
                               struct store_get **gets, size_t count, struct status *status);
enum store_result postgres_list(struct store_session *session, struct scope scope,
                                struct store_list **lists, size_t count, struct status *status);
enum store_result postgres_backlog(struct store_session *session, struct scope scope,
                                   struct store_backlog *backlog, struct status *status);
enum store_result postgres_usage(struct store_session *session, struct scope scope,
                                 struct store_usage *usage, struct status *status);
enum store_result postgres_trim(struct store_session *session, struct scope scope,
                                struct store_trim *trim, struct status *status);

/* ---- ledgers.c, subscription_rows.c, dead_letters.c, held_back.c: those of subscriptions ---- */

enum store_result postgres_take(struct store_session *session, struct scope scope,
                                struct store_take **takes, size_t count, struct status *status);
enum store_result postgres_ledger(struct store_session *session, struct scope scope,
                                  struct store_ledger *ledger, struct status *status);
enum store_result postgres_ledger_heads(struct store_session *session, struct scope scope,
                                        struct store_ledger_heads *heads, struct status *status);
enum store_result postgres_ledger_trim(struct store_session *session, struct scope scope,
                                       int64_t subscription, struct store_ledger_head *from,
                                       struct store_ledger_head to, struct status *status);
enum store_result postgres_log_end(struct store_session *session, struct scope scope, int64_t *last,
                                   struct status *status);

/* Reads columns 0 to 5 of a row into the arena; false when it does not fit. */
bool postgres_subscription_copy(struct store_subscription *subscription, struct arena *arena,
                                const PGresult *rows, int row);
enum store_result postgres_subscriptions(struct store_session *session, struct scope scope,
                                         struct store_subscriptions *list, struct status *status);
enum store_result postgres_subscription_put(struct store_session *session, struct scope scope,
                                            struct store_put *put, struct status *status);
enum store_result postgres_subscription_remove(struct store_session *session, struct scope scope,
                                               int64_t id, bool *more, struct status *status);
enum store_result postgres_dead_letters(struct store_session *session, struct scope scope,
                                        struct store_dead_letters *list, struct status *status);
enum store_result postgres_delayed(struct store_session *session, struct scope scope,
                                   struct store_delayed *delayed, struct status *status);
enum store_result postgres_key_next(struct store_session *session, struct scope scope,
                                    struct store_key_walk *walk, struct status *status);

/* ---- access_rows.c, tenant_removal.c: those of access ---- */

enum store_result postgres_access_changes(struct store_session *session,
                                          struct store_access_changes *changes,
                                          struct status *status);
enum store_result postgres_access_change(struct store_session *session,
                                         struct store_access_change *change, struct status *status);
enum store_result postgres_keys_used(struct store_session *session,
                                     const struct store_key_use *uses, size_t count,
                                     struct status *status);
enum store_result postgres_key_uses(struct store_session *session, struct store_key_use *uses,
                                    size_t count, struct status *status);
enum store_result postgres_audit_add(struct store_session *session, struct scope scope,
                                     struct store_audit_record *records, size_t count,
                                     struct status *status);
enum store_result postgres_audit_list(struct store_session *session, struct scope scope,
                                      struct store_audit_list *list, struct status *status);
enum store_result postgres_access_trim(struct store_session *session, int64_t before_us, bool *more,
                                       struct status *status);
enum store_result postgres_tenant_remove(struct store_session *session, struct scope scope,
                                         bool *more, int64_t *events, struct status *status);

#endif
