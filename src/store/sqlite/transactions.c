/* Writing transactions. SQLite lets one connection write at a time, and who comes meanwhile polls;
 * so the sessions of one store take turns, in the order in which they come. SQLite's own lock is
 * left for other processes. */
#include "store/sqlite/session.h"

static struct sqlite_store *store_of(struct sqlite_session *session)
{
    return (struct sqlite_store *)session->base.store;
}

static void await_turn(struct sqlite_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t turn = store->turns_drawn++;
    while (turn != store->turns_over)
        pthread_cond_wait(&store->turn_is_over, &store->lock);
    pthread_mutex_unlock(&store->lock);
}

static void end_turn(struct sqlite_store *store)
{
    pthread_mutex_lock(&store->lock);
    CHECK(store->turns_over < store->turns_drawn);
    store->turns_over++;
    pthread_cond_broadcast(&store->turn_is_over);
    pthread_mutex_unlock(&store->lock);
}

/* It cannot be changed in a transaction. */
static int set_durable(struct sqlite_session *session, bool durable)
{
    if (session->relaxed != durable)
        return SQLITE_OK;
    enum sqlite_statement which =
        durable ? SQLITE_COMMITS_REACH_DISK : SQLITE_COMMITS_WAIT_FOR_NOTHING;
    int code = sqlite3_exec(session->db, SQLITE_STATEMENTS[which].sql, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        session->relaxed = !durable;
    return code;
}

int sqlite_begin_writing(struct sqlite_session *session, bool durable)
{
    CHECK(sqlite3_get_autocommit(session->db));
    int code = set_durable(session, durable);
    await_turn(store_of(session));
    if (code == SQLITE_OK)
        code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN_WRITE));
    return code;
}

enum store_result sqlite_end_writing(struct sqlite_session *session, int code,
                                     struct status *status)
{
    bool committing = code == SQLITE_DONE;
    if (committing)
        code = sqlite_step(session, sqlite_statement(session, SQLITE_COMMIT));
    CHECK(code != SQLITE_DONE || sqlite3_get_autocommit(session->db));
    if (code != SQLITE_DONE && !sqlite3_get_autocommit(session->db))
        sqlite3_exec(session->db, SQLITE_STATEMENTS[SQLITE_ROLL_BACK].sql, NULL, NULL, NULL);
    end_turn(store_of(session));
    if (code == SQLITE_DONE)
        return STORE_OK;
    enum store_result result = sqlite_failed(session, code, status);
    /* A commit that an I/O error interrupted may still be in the log when that is read again. */
    bool unknown = committing && (code & 0xFF) == SQLITE_IOERR;
    if (unknown || !sqlite3_get_autocommit(session->db))
        return store_lost(status, "%s", "the database file failed during a commit");
    return result;
}
