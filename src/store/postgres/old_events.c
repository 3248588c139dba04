/* Reads the old service's table row by row, whatever its size. SQLAlchemy may have made its columns
 * in several ways: what is there is found out first, and everything is asked for as text. */
#include "store/old_events.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "store/drivers.h"
#include "store/postgres/session.h"

#define SETTING "--import-from"
#define SQL_MAX 4096

struct old_events {
    PGconn *conn;
    PGresult *row; /* of which an old_event borrows */
    size_t count;
    char *description; /* "host:port/database" */
    char *table;       /* as SQL names it */
};

/* What a column may be called, and whether it must be there. */
enum column { ID, SOURCE, TYPE, PAYLOAD, STATUS, CREATED_AT, UPDATED_AT, ACKNOWLEDGED_AT, COLUMNS };
static const struct {
    const char *name;
    bool required;
    bool time;
} COLUMN[COLUMNS] = {
    [ID] = {"event_id", true, false},
    [SOURCE] = {"source", true, false},
    [TYPE] = {"event_type", true, false},
    [PAYLOAD] = {"payload", true, false},
    [STATUS] = {"status", true, false},
    [CREATED_AT] = {"created_at", true, true},
    [UPDATED_AT] = {"updated_at", false, true},
    [ACKNOWLEDGED_AT] = {"acknowledged_at", false, true},
};

/* One snapshot; times without a zone are read as UTC, and nothing ends a long read. */
static const char SET_UP[] = "begin isolation level repeatable read read only;"
                             " set local timezone = 'UTC'; set local statement_timeout = 0";

/* The first table or view "events" on the search path; a role called "triggers" has our own schema
 * on it. */
static const char FIND_COLUMNS[] =
    "select c.oid::regclass::text, a.attname, format_type(a.atttypid, null)"
    " from pg_catalog.pg_class c"
    " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
    " join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
    " where c.relname = 'events' and n.nspname <> 'triggers'"
    " and n.nspname = any (current_schemas(false))"
    " order by array_position(current_schemas(false), n.nspname)";

static bool fail_as_libpq(struct old_events *events, struct status *status)
{
    char text[STATUS_MESSAGE_SIZE];
    postgres_one_line(PQerrorMessage(events->conn), text, sizeof(text));
    return status_fail(status, STATUS_UNAVAILABLE, "OLD_EVENTS_UNAVAILABLE", "%s", text);
}

static PGresult *query(struct old_events *events, const char *sql, struct status *status)
{
    PGresult *result = PQexec(events->conn, sql);
    ExecStatusType code = PQresultStatus(result);
    if (code == PGRES_TUPLES_OK || code == PGRES_COMMAND_OK)
        return result;
    PQclear(result);
    fail_as_libpq(events, status);
    return NULL;
}

static bool connect_to(struct old_events *events, const char *uri, struct status *status)
{
    const char *const keywords[] = {"application_name", "connect_timeout", "dbname",
                                    "client_encoding", NULL};
    const char *const values[] = {"triggersd import", "10", uri, "UTF8", NULL};
    events->conn = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(events->conn) != CONNECTION_OK)
        return fail_as_libpq(events, status);
    /* Such a database holds any bytes; as UTF-8 one wrong row would end the reading. */
    const char *encoding = PQparameterStatus(events->conn, "server_encoding");
    if (encoding && strcmp(encoding, "SQL_ASCII") == 0)
        PQsetClientEncoding(events->conn, encoding);
    PGresult *set_up = query(events, SET_UP, status);
    PQclear(set_up);
    return set_up;
}

/* Whether the row of FIND_COLUMNS is this column of the first table, of a type that will do. */
static bool column_fits(const PGresult *found, int row, enum column column)
{
    return strcmp(PQgetvalue(found, row, 0), PQgetvalue(found, 0, 0)) == 0 &&
           strcmp(PQgetvalue(found, row, 1), COLUMN[column].name) == 0 &&
           (!COLUMN[column].time || strncmp(PQgetvalue(found, row, 2), "timestamp", 9) == 0);
}

/* Which columns there are; false with a text that names those which are missing. */
static bool choose_columns(struct old_events *events, const PGresult *found, bool present[COLUMNS],
                           struct status *status)
{
    char missing[128] = "";
    for (enum column column = 0; column < COLUMNS; column++) {
        present[column] = false;
        for (int row = 0; row < PQntuples(found); row++)
            present[column] = present[column] || column_fits(found, row, column);
        size_t used = strlen(missing);
        if (COLUMN[column].required && !present[column])
            snprintf(missing + used, sizeof(missing) - used, "%s%s%s", used ? ", " : "",
                     COLUMN[column].name, COLUMN[column].time ? " (a timestamp)" : "");
    }
    if (PQntuples(found) == 0)
        return status_fail(status, STATUS_FAILED_PRECONDITION, "OLD_EVENTS_MISSING",
                           "there is no table \"events\" on the search path in %s",
                           events->description);
    if (missing[0])
        return status_fail(status, STATUS_FAILED_PRECONDITION, "OLD_EVENTS_MISSING",
                           "the table %s in %s lacks the columns: %s", PQgetvalue(found, 0, 0),
                           events->description, missing);
    return true;
}

static bool find_table(struct old_events *events, bool present[COLUMNS], struct status *status)
{
    PGresult *found = query(events, FIND_COLUMNS, status);
    if (!found)
        return false;
    bool ok = choose_columns(events, found, present, status);
    if (ok)
        events->table = strdup(PQgetvalue(found, 0, 0));
    PQclear(found);
    return ok;
}

static bool count_rows(struct old_events *events, struct status *status)
{
    char *sql = NULL;
    PGresult *counted = NULL;
    if (asprintf(&sql, "select count(*) from %s", events->table) > 0)
        counted = query(events, sql, status);
    free(sql);
    if (counted)
        events->count = strtoull(PQgetvalue(counted, 0, 0), NULL, 10);
    PQclear(counted);
    return counted;
}

/* The order of the columns selected. */
enum selected { GOT_ID, GOT_SOURCE, GOT_TYPE, GOT_PAYLOAD, GOT_STATUS, GOT_CREATED, GOT_ACKED };

/* Microseconds since 1970, null outside the years that an RFC 3339 time can have. */
static void append_time(struct buffer *sql, enum column column)
{
    const char *name = COLUMN[column].name;
    buffer_append_format(sql,
                         "case when %s between '0001-01-01' and '9999-12-31 23:59:59.999999'"
                         " then round(extract(epoch from %s) * 1000000)::bigint end",
                         name, name);
}

/* The first of the times that is there. */
static void append_acknowledged_at(struct buffer *sql, const bool present[COLUMNS])
{
    static const enum column candidates[] = {ACKNOWLEDGED_AT, UPDATED_AT};
    buffer_append_text(sql, "coalesce(");
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (!present[candidates[i]])
            continue;
        append_time(sql, candidates[i]);
        buffer_append_text(sql, ", ");
    }
    append_time(sql, CREATED_AT);
    buffer_append_text(sql, ")");
}

static bool start_reading(struct old_events *events, const bool present[COLUMNS],
                          struct status *status)
{
    struct buffer sql;
    buffer_init(&sql, SQL_MAX);
    buffer_append_text(&sql, "select event_id::text, source::text, event_type::text, payload::text,"
                             " lower(status::text), ");
    append_time(&sql, CREATED_AT);
    buffer_append_text(&sql, ", ");
    append_acknowledged_at(&sql, present);
    buffer_append_format(&sql, " from %s", events->table);
    bool ok =
        !sql.failed && PQsendQuery(events->conn, sql.data) && PQsetSingleRowMode(events->conn);
    buffer_fini(&sql);
    return ok || fail_as_libpq(events, status);
}

static bool set_up(struct old_events *events, const char *uri, struct status *status)
{
    bool present[COLUMNS];
    PQconninfoOption *options = postgres_uri_parse(uri, SETTING, status);
    if (!options)
        return false;
    events->description = postgres_uri_describe(options);
    PQconninfoFree(options);
    return connect_to(events, uri, status) && find_table(events, present, status) &&
           count_rows(events, status) && start_reading(events, present, status);
}

bool old_events_open(const char *url, struct old_events **events, struct status *status)
{
    char *uri = store_postgres_uri(url);
    if (!uri)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "IMPORT_URL_INVALID",
                           SETTING " is not the URL of a PostgreSQL database; accepted: "
                                   "postgresql://user:password@host:port/database");
    struct old_events *opened = calloc(1, sizeof(*opened));
    bool ok = opened ? set_up(opened, uri, status)
                     : status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    explicit_bzero(uri, strlen(uri));
    free(uri);
    if (!ok) {
        old_events_close(opened);
        return false;
    }
    *events = opened;
    return true;
}

size_t old_events_count(const struct old_events *events)
{
    return events->count;
}

static const char *text_of(const PGresult *row, int column)
{
    return PQgetisnull(row, 0, column) ? NULL : PQgetvalue(row, 0, column);
}

static int64_t time_of(const PGresult *row, int column)
{
    return strtoll(PQgetvalue(row, 0, column), NULL, 10); /* null is "", which is 0 */
}

enum old_events_result old_events_next(struct old_events *events, struct old_event *event,
                                       struct status *status)
{
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
        .id = text_of(row, GOT_ID),
        .source = text_of(row, GOT_SOURCE),
        .type = text_of(row, GOT_TYPE),
        .payload = text_of(row, GOT_PAYLOAD),
        .status = text_of(row, GOT_STATUS),
        .has_created_at = !PQgetisnull(row, 0, GOT_CREATED),
        .created_at_us = time_of(row, GOT_CREATED),
        .acknowledged_at_us = time_of(row, GOT_ACKED),
    };
    return OLD_EVENTS_ROW;
}

void old_events_close(struct old_events *events)
{
    if (!events)
        return;
    PQclear(events->row);
    PQfinish(events->conn);
    free(events->description);
    free(events->table);
    free(events);
}
