/* Talking to libpq without ever waiting longer than the operation's deadline. */
#include <errno.h>
#include <poll.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/postgres/session.h"

#define OPERATION_MS 10000

void postgres_deadline_start(struct postgres_session *session)
{
    session->deadline_ms = clock_monotonic_ms() + OPERATION_MS;
}

/* Waits until the socket can be read, or written when there is something left to send. */
static bool wait_for_socket(struct postgres_session *session, bool sending)
{
    CHECK(session->deadline_ms > 0);
    struct pollfd wait = {.fd = PQsocket(session->conn),
                          .events = (short)(POLLIN | (sending ? POLLOUT : 0))};
    int ready;
    do {
        int64_t left = session->deadline_ms - clock_monotonic_ms();
        if (wait.fd < 0 || left <= 0)
            return false;
        ready = poll(&wait, 1, (int)left);
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return ready > 0;
}

/* The next result; NULL after the last one of a statement. False: the connection is gone. Reads
 * even while sending, so that the two sides do not wait for each other with full buffers. */
static bool next_result(struct postgres_session *session, PGresult **result)
{
    *result = NULL;
    for (;;) {
        int unsent = PQflush(session->conn);
        if (!PQisBusy(session->conn)) {
            *result = PQgetResult(session->conn);
            return true;
        }
        if (unsent < 0 || !wait_for_socket(session, unsent > 0) || !PQconsumeInput(session->conn))
            return false;
    }
}

bool postgres_query(struct postgres_session *session, const char *sql, const char *parameter,
                    PGresult **result)
{
    *result = NULL;
    CHECK(PQpipelineStatus(session->conn) == PQ_PIPELINE_OFF);
    if (parameter ? !PQsendQueryParams(session->conn, sql, 1, NULL, &parameter, NULL, NULL, 0)
                  : !PQsendQuery(session->conn, sql))
        return false;
    for (;;) {
        PGresult *next;
        if (!next_result(session, &next)) {
            PQclear(*result);
            *result = NULL;
            return false;
        }
        if (!next)
            return *result != NULL;
        PQclear(*result);
        *result = next;
    }
}

static bool succeeded(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

enum store_result postgres_execute(struct postgres_session *session, const char *sql,
                                   struct status *status)
{
    PGresult *result;
    postgres_query(session, sql, NULL, &result);
    enum store_result outcome =
        succeeded(result) ? STORE_OK : postgres_failed(session, result, status);
    PQclear(result);
    return outcome;
}

/* Passes on results until the end of the round trip. */
static enum store_result take_results(struct postgres_session *session, bool row_by_row,
                                      postgres_rows *rows, void *context, struct status *status)
{
    enum store_result outcome = STORE_OK;
    size_t command = 0;
    bool synced = false;
    bool between = true; /* after the last result of a statement */
    while (!synced && outcome != STORE_LOST) {
        PGresult *result;
        if (row_by_row && between && command >= session->preambles)
            PQsetSingleRowMode(session->conn);
        if (!next_result(session, &result) || (!result && between))
            return postgres_failed(session, NULL, status);
        between = !result;
        command += between;
        switch (PQresultStatus(result)) {
        case PGRES_PIPELINE_SYNC: synced = true; break;
        case PGRES_SINGLE_TUPLE:
        case PGRES_TUPLES_OK:
            CHECK(rows || command < session->preambles);
            if (command >= session->preambles)
                rows(context, command - session->preambles, result);
            break;
        case PGRES_COMMAND_OK:
        case PGRES_PIPELINE_ABORTED: break; /* the failure itself came before */
        default:
            if (result && outcome == STORE_OK)
                outcome = postgres_failed(session, result, status);
        }
        PQclear(result);
    }
    return outcome;
}

enum store_result postgres_sync(struct postgres_session *session, postgres_rows *rows,
                                void *context, struct status *status)
{
    CHECK(session->lost || PQpipelineStatus(session->conn) != PQ_PIPELINE_OFF);
    if (session->lost || !PQpipelineSync(session->conn))
        return postgres_failed(session, NULL, status);
    return take_results(session, false, rows, context, status);
}

enum store_result postgres_sync_row_by_row(struct postgres_session *session, postgres_rows *rows,
                                           void *context, struct status *status)
{
    CHECK(session->lost || PQpipelineStatus(session->conn) != PQ_PIPELINE_OFF);
    if (session->lost || !PQpipelineSync(session->conn))
        return postgres_failed(session, NULL, status);
    return take_results(session, true, rows, context, status);
}
