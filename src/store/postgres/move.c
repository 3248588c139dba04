/* Moves the events of the version before into the log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/moving.h"
#include "store/postgres/session.h"
#include "store/postgres_move_statements.h"

/* Runs a statement whose last command returns one row. *row is cleared by the caller, whatever the
 * result. */
static enum store_result query(struct postgres_session *session, enum postgres_move_statement which,
                               const char *parameter, PGresult **row, struct status *status)
{
    postgres_query(session, POSTGRES_MOVE_STATEMENTS[which].sql, parameter, row);
    if (PQresultStatus(*row) == PGRES_TUPLES_OK && PQntuples(*row) == 1)
        return STORE_OK;
    return postgres_failed(session, *row, status);
}

static enum store_result execute(struct postgres_session *session,
                                 enum postgres_move_statement which, struct status *status)
{
    return postgres_execute(session, POSTGRES_MOVE_STATEMENTS[which].sql, status);
}

static enum store_result query_whether(struct postgres_session *session,
                                       enum postgres_move_statement which, bool *answer,
                                       struct status *status)
{
    PGresult *row;
    enum store_result result = query(session, which, NULL, &row, status);
    if (result == STORE_OK)
        *answer = strcmp(PQgetvalue(row, 0, 0), "t") == 0;
    PQclear(row);
    return result;
}

static enum store_result is_needed(void *connection, bool *needed, struct status *status)
{
    return query_whether(connection, POSTGRES_MOVE_IS_NEEDED, needed, status);
}

static enum store_result count(void *connection, int64_t *total, struct status *status)
{
    PGresult *row;
    postgres_deadline_start(connection);
    enum store_result result = query(connection, POSTGRES_MOVE_COUNT, NULL, &row, status);
    if (result == STORE_OK)
        *total = atoll(PQgetvalue(row, 0, 0));
    PQclear(row);
    return result;
}

static enum store_result fill_blocks(struct postgres_session *session, const char *tenant,
                                     struct status *status)
{
    PGresult *filled;
    postgres_query(session, POSTGRES_STATEMENTS[POSTGRES_FILL].sql, tenant, &filled);
    enum store_result result = PQresultStatus(filled) == PGRES_TUPLES_OK
                                   ? STORE_OK
                                   : postgres_failed(session, filled, status);
    PQclear(filled);
    return result;
}

/* In a transaction that has begun, which it commits. */
static enum store_result move_slice(struct postgres_session *session, int64_t limit,
                                    struct store_slice *slice, struct status *status)
{
    char most[24];
    PGresult *row;
    snprintf(most, sizeof(most), "%lld", (long long)limit);
    enum store_result result = query(session, POSTGRES_MOVE_SLICE, most, &row, status);
    if (result == STORE_OK) {
        slice->events = atoll(PQgetvalue(row, 0, 1));
        slice->newest = atoll(PQgetvalue(row, 0, 2));
        slice->done = PQgetisnull(row, 0, 0);
        if (slice->events == 0 && !slice->done)
            result = store_damaged(status); /* entries of the lists without their events */
    }
    if (result == STORE_OK && !slice->done)
        result = fill_blocks(session, PQgetvalue(row, 0, 0), status);
    PQclear(row);
    if (result != STORE_OK)
        return result;
    return execute(session, slice->done ? POSTGRES_MOVE_FINISH : POSTGRES_MOVE_COMMIT, status);
}

static enum store_result move(void *connection, int64_t limit, struct store_slice *slice,
                              struct status *status)
{
    bool needed = false;
    postgres_deadline_start(connection);
    enum store_result result = query_whether(connection, POSTGRES_MOVE_BEGIN, &needed, status);
    if (result == STORE_LOCKED)
        return store_unavailable(status, "another process is moving the events into the log");
    if (result == STORE_OK && needed)
        return move_slice(connection, limit, slice, status);
    slice->done = true;
    return result == STORE_OK ? execute(connection, POSTGRES_MOVE_COMMIT, status) : result;
}

enum store_result postgres_move(struct postgres_session *session, struct status *status)
{
    static const struct store_mover MOVER = {is_needed, count, move};
    return store_move(session->base.store, &MOVER, session, status);
}
