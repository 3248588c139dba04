/* Reads the old service's table row by row, whatever its size. Everything is read as text, because
 * SQLAlchemy may have made the columns with several types. */
#include "import/old_events.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/old_statements.h"
#include "store/postgres/uri.h"

#define SETTING "--import-from"

struct postgres_old_events {
    struct old_events base;
    PGconn *conn;
    PGresult *row;     /* an old_event borrows from it */
    char *description; /* "host:port/database" */
};

static bool fail_as_libpq(struct postgres_old_events *events, struct status *status)
{
    char text[STATUS_MESSAGE_SIZE];
    postgres_one_line(PQerrorMessage(events->conn), text, sizeof(text));
    return status_fail(status, STATUS_UNAVAILABLE, "OLD_EVENTS_UNAVAILABLE", "%s", text);
}

/* `parameter` is $1; NULL: there is none. */
static PGresult *query(struct postgres_old_events *events, enum old_statement which,
                       const char *parameter, struct status *status)
{
    const char *sql = OLD_STATEMENTS[which].sql;
    PGresult *result = parameter
                           ? PQexecParams(events->conn, sql, 1, NULL, &parameter, NULL, NULL, 0)
                           : PQexec(events->conn, sql);
    ExecStatusType code = PQresultStatus(result);
    if (code == PGRES_TUPLES_OK || code == PGRES_COMMAND_OK)
        return result;
    PQclear(result);
    fail_as_libpq(events, status);
    return NULL;
}

static bool connect_to(struct postgres_old_events *events, const char *uri, struct status *status)
{
    const char *const keywords[] = {"application_name", "connect_timeout", "dbname",
                                    "client_encoding", NULL};
    const char *const values[] = {"triggers-import", "10", uri, "UTF8", NULL};
    events->conn = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(events->conn) != CONNECTION_OK)
        return fail_as_libpq(events, status);
    /* A SQL_ASCII database holds any bytes; read as UTF-8, one wrong row would end the import. */
    const char *encoding = PQparameterStatus(events->conn, "server_encoding");
    if (encoding && strcmp(encoding, "SQL_ASCII") == 0)
        PQsetClientEncoding(events->conn, encoding);
    PGresult *set_up = query(events, OLD_BEGIN, NULL, status);
    PQclear(set_up);
    return set_up;
}

/* Whether the row of "find" is this column of the first table, and its type is suitable. */
static bool column_fits(const PGresult *found, int row, enum old_events_column column)
{
    bool time = column == OLD_EVENTS_CREATED_AT || column == OLD_EVENTS_ACKNOWLEDGED_AT;
    return strcmp(PQgetvalue(found, row, 0), PQgetvalue(found, 0, 0)) == 0 &&
           strcmp(PQgetvalue(found, row, 1), OLD_EVENTS_COLUMN_NAMES[column]) == 0 &&
           (!time || strncmp(PQgetvalue(found, row, 2), "timestamp", 9) == 0);
}

/* Finds out which columns there are; false with a text that names the missing ones. */
static bool choose_columns(struct postgres_old_events *events, const PGresult *found,
                           bool present[OLD_EVENTS_COLUMNS], struct status *status)
{
    if (PQntuples(found) == 0)
        return status_fail(status, STATUS_FAILED_PRECONDITION, "OLD_EVENTS_MISSING",
                           "there is no table \"events\" on the search path in %s",
                           events->description);
    for (enum old_events_column column = 0; column < OLD_EVENTS_COLUMNS; column++) {
        present[column] = false;
        for (int row = 0; row < PQntuples(found); row++)
            present[column] = present[column] || column_fits(found, row, column);
    }
    char where[256];
    snprintf(where, sizeof(where), "%s in %s", PQgetvalue(found, 0, 0), events->description);
    return old_events_check_columns(present, where, status);
}

static bool find_table(struct postgres_old_events *events, bool present[OLD_EVENTS_COLUMNS],
                       struct status *status)
{
    PGresult *found = query(events, OLD_FIND, NULL, status);
    if (!found)
        return false;
    PGresult *chosen = NULL;
    if (choose_columns(events, found, present, status))
        chosen = query(events, OLD_CHOOSE, PQgetvalue(found, 0, 3), status);
    PQclear(found);
    PQclear(chosen);
    return chosen;
}

static bool count_rows(struct postgres_old_events *events, struct status *status)
{
    PGresult *counted = query(events, OLD_COUNT, NULL, status);
    if (counted)
        events->base.count = strtoull(PQgetvalue(counted, 0, 0), NULL, 10);
    PQclear(counted);
    return counted;
}

static bool start_reading(struct postgres_old_events *events,
                          const bool present[OLD_EVENTS_COLUMNS], struct status *status)
{
    enum old_statement which =
        present[OLD_EVENTS_ACKNOWLEDGED_AT] ? OLD_READ : OLD_READ_UNACKNOWLEDGED;
    bool ok =
        PQsendQuery(events->conn, OLD_STATEMENTS[which].sql) && PQsetSingleRowMode(events->conn);
    return ok || fail_as_libpq(events, status);
}

static bool set_up(struct postgres_old_events *events, const char *uri, struct status *status)
{
    bool present[OLD_EVENTS_COLUMNS] = {false};
    PQconninfoOption *options = postgres_uri_parse(uri, SETTING, status);
    if (!options)
        return false;
    events->description = postgres_uri_describe(options);
    PQconninfoFree(options);
    return connect_to(events, uri, status) && find_table(events, present, status) &&
           count_rows(events, status) && start_reading(events, present, status);
}

static const char *text_of(const PGresult *row, enum old_events_column column)
{
    return PQgetisnull(row, 0, (int)column) ? NULL : PQgetvalue(row, 0, (int)column);
}

static int64_t time_of(const PGresult *row, enum old_events_column column)
{
    return strtoll(PQgetvalue(row, 0, (int)column), NULL, 10); /* null is "", which is 0 */
}

static enum old_events_result next(struct old_events *base, struct old_event *event,
                                   struct status *status)
{
    struct postgres_old_events *events = (struct postgres_old_events *)base;
    PQclear(events->row);
    events->row = PQgetResult(events->conn);
    const PGresult *row = events->row;
    if (PQresultStatus(row) == PGRES_TUPLES_OK)
        return OLD_EVENTS_END;
    if (PQresultStatus(row) != PGRES_SINGLE_TUPLE) {
        fail_as_libpq(events, status);
        return OLD_EVENTS_FAILED;
    }
    *event = (struct old_event){
        .id = text_of(row, OLD_EVENTS_ID),
        .source = text_of(row, OLD_EVENTS_SOURCE),
        .type = text_of(row, OLD_EVENTS_TYPE),
        .payload = text_of(row, OLD_EVENTS_PAYLOAD),
        .status = text_of(row, OLD_EVENTS_STATUS),
        .has_created_at = text_of(row, OLD_EVENTS_CREATED_AT) != NULL,
        .created_at_us = time_of(row, OLD_EVENTS_CREATED_AT),
        .acknowledged_at_us = time_of(row, OLD_EVENTS_ACKNOWLEDGED_AT),
    };
    return OLD_EVENTS_ROW;
}

static void close_events(struct old_events *base)
{
    struct postgres_old_events *events = (struct postgres_old_events *)base;
    PQclear(events->row);
    PQfinish(events->conn);
    free(events->description);
    free(events);
}

bool postgres_old_events_open(const char *uri, struct old_events **events, struct status *status)
{
    struct postgres_old_events *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    opened->base.next = next;
    opened->base.close = close_events;
    *events = (struct old_events *)opened; /* its `base`; gcc's analyzer loses the other form */
    if (set_up(opened, uri, status))
        return true;
    close_events(*events);
    *events = NULL;
    return false;
}
