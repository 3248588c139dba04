/* A batch of writes in one transaction. */
#include "store/sqlite/session.h"

#include "base/check.h"

/* Whether an id that was there has the same content or another. */
static int compare_append(struct sqlite_session *session, struct scope scope,
                          struct store_item *append)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_COMPARE);
    sqlite_bind_id(statement, 2, append->event.id);
    sqlite_bind_text(statement, 3, append->event.source);
    sqlite_bind_text(statement, 4, append->event.type);
    sqlite_bind_blob(statement, 5, append->event.payload);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT_INDEX : code;
    append->outcome = STORE_CONFLICT;
    if (sqlite3_column_int(statement, 1)) {
        append->outcome = STORE_REPEATED;
        append->event.created_at_us = sqlite3_column_int64(statement, 0);
    }
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

static int enqueue(struct sqlite_session *session, struct scope scope,
                   const struct store_event *event)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_ENQUEUE);
    sqlite_bind_id(statement, 2, event->id);
    sqlite_bind_int64(statement, 3, event->created_at_us);
    return sqlite_step(session, statement);
}

static int append_one(struct sqlite_session *session, struct scope scope, struct store_item *append)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_APPEND);
    sqlite_bind_id(statement, 2, append->event.id);
    sqlite_bind_int64(statement, 3, append->event.created_at_us);
    sqlite_bind_text(statement, 4, append->event.source);
    sqlite_bind_text(statement, 5, append->event.type);
    sqlite_bind_blob(statement, 6, append->event.payload);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_DONE)
        return code;
    int changes = sqlite3_changes(session->db);
    CHECK(changes == 0 || changes == 1);
    if (changes == 0)
        return compare_append(session, scope, append);
    append->outcome = STORE_DONE;
    return enqueue(session, scope, &append->event);
}

/* Finds when the event was acknowledged before, or that there is no such event. */
static int find_acknowledgement(struct sqlite_session *session, struct scope scope,
                                struct store_item *ack)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_ACKNOWLEDGED_AT);
    sqlite_bind_id(statement, 2, ack->event.id);
    int code = sqlite_step(session, statement);
    ack->outcome = STORE_NOT_FOUND;
    if (code != SQLITE_ROW)
        return code;
    ack->outcome = STORE_REPEATED;
    ack->event.acknowledged_at_us = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

static int ack_one(struct sqlite_session *session, struct scope scope, struct store_item *ack)
{
    sqlite3_stmt *dequeue = sqlite_statement_of(session, scope, SQLITE_DEQUEUE);
    sqlite_bind_id(dequeue, 2, ack->event.id);
    int code = sqlite_step(session, dequeue);
    if (code == SQLITE_DONE)
        return find_acknowledgement(session, scope, ack);
    if (code != SQLITE_ROW)
        return code;
    int64_t created_at_us = sqlite3_column_int64(dequeue, 0);
    sqlite3_reset(dequeue);
    if (ack->event.acknowledged_at_us < created_at_us)
        ack->event.acknowledged_at_us = created_at_us;

    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_ACKNOWLEDGE);
    sqlite_bind_id(statement, 2, ack->event.id);
    sqlite_bind_int64(statement, 3, created_at_us);
    sqlite_bind_int64(statement, 4, ack->event.acknowledged_at_us);
    ack->outcome = STORE_DONE;
    return sqlite_step(session, statement);
}

/* The kinds of items: how one is written, and by how much it changes the number of pending events.
 */
static const struct {
    int (*write)(struct sqlite_session *session, struct scope scope, struct store_item *item);
    int pending;
} KINDS[STORE_KIND_COUNT] = {
    [STORE_APPEND] = {append_one, 1},
    [STORE_ACK] = {ack_one, -1},
};

static int write_items(struct sqlite_session *session, struct scope scope,
                       const struct store_write *batch)
{
    int code = SQLITE_DONE;
    size_t written = 0;
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        for (size_t i = 0; i < batch->count && code == SQLITE_DONE; i++) {
            if (batch->items[i]->kind != kind)
                continue;
            code = KINDS[kind].write(session, scope, batch->items[i]);
            written++;
        }
    }
    CHECK(code != SQLITE_DONE || written == batch->count);
    return code;
}

/* Adds the batch's changes to the count of pending events, in one step. */
static int count_pending(struct sqlite_session *session, struct scope scope,
                         const struct store_write *batch)
{
    int64_t gained = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->outcome == STORE_DONE)
            gained += KINDS[batch->items[i]->kind].pending;
    if (gained == 0)
        return SQLITE_DONE;
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_COUNT_PENDING);
    sqlite_bind_int64(statement, 2, gained);
    return sqlite_step(session, statement);
}

static void roll_back(struct sqlite_session *session)
{
    if (!sqlite3_get_autocommit(session->db))
        sqlite3_exec(session->db, SQLITE_STATEMENTS[SQLITE_ROLL_BACK].sql, NULL, NULL, NULL);
}

enum store_result sqlite_write(struct store_session *base, struct scope scope,
                               struct store_write *batch, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    CHECK(sqlite3_get_autocommit(session->db));
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN_WRITE));
    bool committing = false;
    if (code == SQLITE_DONE)
        code = write_items(session, scope, batch);
    if (code == SQLITE_DONE)
        code = count_pending(session, scope, batch);
    if (code == SQLITE_DONE) {
        committing = true;
        code = sqlite_step(session, sqlite_statement(session, SQLITE_COMMIT));
    }
    CHECK(code != SQLITE_DONE || sqlite3_get_autocommit(session->db));
    if (code == SQLITE_DONE)
        return STORE_OK;
    enum store_result result = sqlite_failed(session, code, status);
    roll_back(session);
    /* A commit that an I/O error interrupted may still be in the log when that is read again. */
    bool unknown = committing && (code & 0xFF) == SQLITE_IOERR;
    if (unknown || !sqlite3_get_autocommit(session->db))
        return store_lost(status, "%s", "the database file failed during a commit");
    return result;
}
