/* A turn whose lock of the log comes in a round trip of its own, so that what others wrote before
 * can be looked at: the numbers of kinds that are new, and how far the log is. */
#include "base/check.h"
#include "store/postgres/session.h"

static bool control_send(struct postgres_session *session, const char *sql)
{
    return !session->lost && PQsendQueryParams(session->conn, sql, 0, NULL, NULL, NULL, NULL, 1);
}

static bool begin_send(struct postgres_session *session, struct scope scope, bool briefly)
{
    if (!control_send(session, "begin isolation level read committed") ||
        !postgres_transaction_start(session, &scope, briefly))
        return false;
    session->preambles++;
    session->in_turn = true;
    return true;
}

/* What the round trip with the lock has found. */
struct locking {
    bool founds; /* the first statement makes the row that is locked */
    bool locked;
    int64_t last; /* the highest sequence, seen with the lock */
};

static void take_lock(void *context, size_t command, const PGresult *rows)
{
    struct locking *locking = context;
    if (command == locking->founds)
        locking->locked = PQntuples(rows) == 1;
    else
        locking->last = PQntuples(rows) == 1 ? postgres_int64(rows, 0, 0) : 0;
}

static enum store_result lock(struct postgres_session *session, struct scope scope,
                              struct locking *locking, struct status *status)
{
    if (locking->founds &&
        !postgres_statement_send(session, POSTGRES_FOUND_TENANT, &scope, NULL, 0))
        return postgres_failed(session, NULL, status);
    if (!postgres_statement_send(session, POSTGRES_LOCK_LOG, &scope, NULL, 0) ||
        !postgres_statement_send(session, POSTGRES_HIGHEST_SEQUENCE, &scope, NULL, 0))
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, take_lock, locking, status);
}

enum store_result postgres_turn_begin(struct postgres_session *session, struct scope scope,
                                      bool briefly, struct status *status)
{
    struct locking locking = {0};
    CHECK(!session->in_turn);
    if (!begin_send(session, scope, briefly))
        return postgres_failed(session, NULL, status);
    enum store_result result = lock(session, scope, &locking, status);
    if (result == STORE_OK && !locking.locked &&
        postgres_transaction_start(session, &scope, false)) {
        locking.founds = true;
        result = lock(session, scope, &locking, status);
    }
    CHECK(locking.locked || result != STORE_OK);
    session->turn_last = locking.last;
    if (result == STORE_OK)
        return result;
    postgres_turn_give_up(session);
    return result == STORE_LOCKED ? store_unavailable(status, POSTGRES_LOG_LOCKED) : result;
}

bool postgres_turn_commit_send(struct postgres_session *session)
{
    CHECK(session->in_turn);
    return control_send(session, "commit");
}

void postgres_turn_committed(struct postgres_session *session)
{
    CHECK(session->in_turn);
    session->in_turn = false;
}

void postgres_turn_give_up(struct postgres_session *session)
{
    struct status ignored;
    if (!session->in_turn)
        return;
    session->in_turn = false;
    session->preambles = 0;
    names_clear(&session->names); /* of kinds that were new */
    if (!control_send(session, "rollback") ||
        postgres_sync(session, NULL, NULL, &ignored) != STORE_OK)
        session->lost = true;
}
