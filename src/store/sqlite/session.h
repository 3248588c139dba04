/* The inside of the SQLite store: each session has one connection, with statements that are
 * prepared when first used. errors.c alone turns SQLite's result codes into the contract's. */
#ifndef TRIGGERS_STORE_SQLITE_SESSION_H
#define TRIGGERS_STORE_SQLITE_SESSION_H

#include <sqlite3.h>

#include "base/check.h"
#include "store/items.h"
#include "store/names.h"
#include "store/sqlite_statements.h"
#include "store/store.h"

/* An event that a transaction acknowledged in a block that was full before. */
struct sqlite_touched {
    int64_t block;
    int32_t kind;
};

struct sqlite_store {
    struct store base;
    /* Whose turn it is to write, see transactions.c. */
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t turn_is_over;
    uint64_t turns_drawn, turns_over;
};

struct sqlite_session {
    struct store_session base;
    sqlite3 *db;
    bool relaxed; /* commits do not wait for the disk */
    sqlite3_stmt *statements[SQLITE_STATEMENT_COUNT];
    struct names names;
    struct sqlite_touched *touched; /* room for those of one batch, kept for the next */
    size_t touched_room;
};

/* A place in the log as the tables have it: in one key, the tenant and the sequence. */
#define SQLITE_SEQUENCE_BITS 40
#define SQLITE_SEQUENCE_MAX ((INT64_C(1) << SQLITE_SEQUENCE_BITS) - 1)
static inline int64_t sqlite_position(struct scope scope, int64_t sequence)
{
    return scope.tenant * (INT64_C(1) << SQLITE_SEQUENCE_BITS) + sequence;
}
static inline bool sqlite_is_sequence(int64_t number)
{
    return number > 0 && number <= SQLITE_SEQUENCE_MAX;
}
static inline int64_t sqlite_sequence(int64_t position)
{
    return position & SQLITE_SEQUENCE_MAX;
}

/* The statement, reset, and prepared if it was not; NULL on failure. The caller binds every
 * parameter. */
sqlite3_stmt *sqlite_statement(struct sqlite_session *session, enum sqlite_statement which);

/* The same with ?1 bound to the scope's tenant. */
sqlite3_stmt *sqlite_statement_of(struct sqlite_session *session, struct scope scope,
                                  enum sqlite_statement which);

/* The same with ?2 bound to a subscription's id. */
sqlite3_stmt *sqlite_statement_about(struct sqlite_session *session, struct scope scope,
                                     int64_t subscription, enum sqlite_statement which);

/* Binds `slice` as text or blob without copying it: it must live until the statement is reset. An
 * empty slice is an empty value, not null. `index` is that of a parameter of the statement. Errors
 * appear when the statement is stepped. */
void sqlite_bind_int64(sqlite3_stmt *statement, int index, int64_t number);
void sqlite_bind_text(sqlite3_stmt *statement, int index, struct slice slice);
void sqlite_bind_null(sqlite3_stmt *statement, int index);
void sqlite_bind_blob(sqlite3_stmt *statement, int index, struct slice slice);
void sqlite_bind_id(sqlite3_stmt *statement, int index, const uint8_t id[TYPEID_BYTES]);

/* The column's bytes; borrowed until the statement is stepped or reset. */
struct slice sqlite_column_slice(sqlite3_stmt *statement, int index);

/* Steps once: SQLITE_ROW, or any other code after resetting the statement. NULL counts as failed.
 */
int sqlite_step(struct sqlite_session *session, sqlite3_stmt *statement);

/* Steps a statement of one row and reads its first column, 0 when there is no row or it is null:
 * SQLITE_DONE or a failure. */
int sqlite_number(struct sqlite_session *session, sqlite3_stmt *statement, int64_t *number);

/* The tenant's highest sequence, 0 when there is none: SQLITE_DONE or a failure. */
int sqlite_last_sequence(struct sqlite_session *session, struct scope scope, int64_t *last);

/* Some events of a block: a bit each, 64 in a word. */
#define SQLITE_WORD 64
#define SQLITE_WORDS (STORE_BLOCK / SQLITE_WORD)

/* Adds those events of the full block that are of the kind: SQLITE_DONE or a failure. */
int sqlite_places(struct sqlite_session *session, struct scope scope, int32_t kind, int64_t block,
                  uint64_t places[SQLITE_WORDS]);

/* The log as one snapshot has it. */
struct sqlite_log {
    int64_t last;        /* the highest sequence; 0: there is no event */
    int64_t first_block; /* where it begins: nothing was removed from this block on */
    int64_t open_block;  /* the first that is not full */
};

/* Begins a read transaction, in which all statements see the same: SQLITE_DONE or a failure. End it
 * in either case. */
int sqlite_begin_read(struct sqlite_session *session, struct scope scope, struct sqlite_log *log);
void sqlite_end_read(struct sqlite_session *session);

/* The current row of position, id, time, kind, payload, ordering key and deliver_at; the payload
 * and the ordering key are borrowed. */
struct store_event sqlite_row_event(sqlite3_stmt *statement);

/* Sets the source and type of the event's kind, borrowed until the next call: SQLITE_DONE or a
 * failure. */
int sqlite_pair(struct sqlite_session *session, struct scope scope, struct store_event *event);

/* Begins a transaction that writes, when nobody else of this store is in one: SQLITE_DONE or a
 * failure. End it in either case. What it commits reaches the disk first if it is `durable`, else
 * with the next durable commit of any session. */
int sqlite_begin_writing(struct sqlite_session *session, bool durable);

/* Commits when `code` is SQLITE_DONE, else rolls back for the failure `code`. */
enum store_result sqlite_end_writing(struct sqlite_session *session, int code,
                                     struct status *status);

/* The current row of a subscription; its slices are borrowed. */
struct store_subscription sqlite_row_subscription(sqlite3_stmt *statement);

/* In a transaction that writes: appends the entry, with what it does to dead letters, and sets
 * `outcome` and what is out of the entry: SQLITE_DONE or a failure. */
int sqlite_append_settlement(struct sqlite_session *session, struct scope scope,
                             struct store_settlement *settlement, enum store_outcome *outcome);

/* What sqlite_append_settlement does to dead letters. */
int sqlite_move_dead_letters(struct sqlite_session *session, struct scope scope,
                             const struct store_settlement *settlement);

/* Appends the first settlement of a new subscription, a checkpoint. */
int sqlite_begin_ledger(struct sqlite_session *session, struct scope scope, int64_t subscription,
                        int64_t now_us, struct slice checkpoint);

/* What the failure `code` of an operation means; logs it. Never STORE_OK. */
enum store_result sqlite_failed(struct sqlite_session *session, int code, struct status *status);

/* Why the file could not be opened or prepared: STORE_FATAL when a person must act. */
enum store_result sqlite_open_failed(const char *path, int code, struct status *status);

/* Brings the file's schema up to date over a connection that may write; refuses the files of other
 * programs and of newer versions without changing them. */
enum store_result sqlite_schema_prepare(sqlite3 *db, const char *path, struct status *status);

/* Moves the events of the version before over such a connection, see store_move. */
enum store_result sqlite_move(struct store *store, sqlite3 *db, struct status *status);

/* The operations of store_driver. */
enum store_result sqlite_write(struct store_session *session, struct scope scope,
                               struct store_write *batch, struct status *status);
enum store_result sqlite_get(struct store_session *session, struct scope scope,
                             struct store_get **gets, size_t count, struct status *status);
enum store_result sqlite_list(struct store_session *session, struct scope scope,
                              struct store_list **lists, size_t count, struct status *status);
enum store_result sqlite_kinds(struct store_session *session, struct scope scope,
                               struct store_kinds *kinds, struct status *status);
enum store_result sqlite_backlog(struct store_session *session, struct scope scope,
                                 struct store_backlog *backlog, struct status *status);
enum store_result sqlite_usage(struct store_session *session, struct scope scope,
                               struct store_usage *usage, struct status *status);
enum store_result sqlite_trim(struct store_session *session, struct scope scope,
                              struct store_trim *trim, struct status *status);
enum store_result sqlite_subscriptions(struct store_session *session, struct scope scope,
                                       struct store_subscriptions *list, struct status *status);
enum store_result sqlite_subscription_put(struct store_session *session, struct scope scope,
                                          struct store_put *put, struct status *status);
enum store_result sqlite_subscription_remove(struct store_session *session, struct scope scope,
                                             int64_t id, bool *more, struct status *status);
enum store_result sqlite_take(struct store_session *session, struct scope scope,
                              struct store_take **takes, size_t count, struct status *status);
enum store_result sqlite_ledger(struct store_session *session, struct scope scope,
                                struct store_ledger *ledger, struct status *status);
enum store_result sqlite_ledger_heads(struct store_session *session, struct scope scope,
                                      struct store_ledger_heads *heads, struct status *status);
enum store_result sqlite_ledger_trim(struct store_session *session, struct scope scope,
                                     int64_t subscription, struct store_ledger_head *from,
                                     struct store_ledger_head to, struct status *status);
enum store_result sqlite_dead_letters(struct store_session *session, struct scope scope,
                                      struct store_dead_letters *list, struct status *status);
enum store_result sqlite_delayed(struct store_session *session, struct scope scope,
                                 struct store_delayed *delayed, struct status *status);
enum store_result sqlite_key_next(struct store_session *session, struct scope scope,
                                  struct store_key_walk *walk, struct status *status);
enum store_result sqlite_log_end(struct store_session *session, struct scope scope, int64_t *last,
                                 struct status *status);
enum store_result sqlite_access_changes(struct store_session *session,
                                        struct store_access_changes *changes,
                                        struct status *status);
enum store_result sqlite_access_change(struct store_session *session,
                                       struct store_access_change *change, struct status *status);
enum store_result sqlite_keys_used(struct store_session *session, const struct store_key_use *uses,
                                   size_t count, struct status *status);
enum store_result sqlite_key_uses(struct store_session *session, struct store_key_use *uses,
                                  size_t count, struct status *status);
enum store_result sqlite_audit_add(struct store_session *session, struct scope scope,
                                   struct store_audit_record *records, size_t count,
                                   struct status *status);
enum store_result sqlite_audit_list(struct store_session *session, struct scope scope,
                                    struct store_audit_list *list, struct status *status);
enum store_result sqlite_access_trim(struct store_session *session, int64_t before_us, bool *more,
                                     struct status *status);
enum store_result sqlite_tenant_remove(struct store_session *session, struct scope scope,
                                       bool *more, int64_t *events, struct status *status);

#endif
