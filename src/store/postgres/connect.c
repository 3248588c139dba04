/* Connecting, and creating the database if it is missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "store/postgres/session.h"

#define CONNECT_SECONDS 5     /* for all hosts together */
#define MIN_CONNECT_SECONDS 2 /* libpq's own minimum for one */

static void log_notice(void *context, const PGresult *result)
{
    (void)context;
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("notice from postgresql", {"text", text ? text : ""});
}

/* Blocks, because only libpq's own loop goes on to the next host when one does not answer in time.
 * Its time-out covers everything except the look-up of a host name, which the resolver limits.
 * `database`, unless NULL, replaces the URI's. The URI may override the parameters before dbname.
 */
static PGconn *connect_to(const struct postgres_store *store, const char *database)
{
    CHECK(store->host_count > 0);
    int seconds = CONNECT_SECONDS / store->host_count;
    char timeout[16];
    snprintf(timeout, sizeof(timeout), "%d",
             seconds < MIN_CONNECT_SECONDS ? MIN_CONNECT_SECONDS : seconds);
    const char *const parameters[][2] = {
        {"application_name", "triggersd"},
        {"connect_timeout", timeout},
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "10000"},
        {"target_session_attrs", "read-write"},
        {"dbname", store->uri},
        {"client_encoding", "UTF8"},
        {database ? "dbname" : NULL, database},
    };
    enum { COUNT = sizeof(parameters) / sizeof(parameters[0]) };
    const char *keywords[COUNT + 1] = {NULL};
    const char *values[COUNT + 1] = {NULL};
    for (int i = 0; i < COUNT; i++) {
        keywords[i] = parameters[i][0];
        values[i] = parameters[i][1];
    }
    return PQconnectdbParams(keywords, values, 1);
}

/* Takes over the connection when it is open; otherwise says why not and closes it. */
static enum store_result take(struct postgres_session *session, PGconn *conn, struct status *status)
{
    CHECK(!session->conn);
    if (conn && PQstatus(conn) == CONNECTION_OK) {
        PQsetNoticeReceiver(conn, log_notice, NULL);
        PQsetnonblocking(conn, 1);
        session->conn = conn;
        postgres_deadline_start(session);
        return STORE_OK;
    }
    char text[STATUS_MESSAGE_SIZE];
    postgres_one_line(PQerrorMessage(conn), text, sizeof(text));
    PQfinish(conn);
    return store_unavailable(status, "%s", text);
}

/* Libpq does not hand out the SQLSTATE of a refused connection and its text may be translated, but
 * every language names the database. A wrong guess costs one look at the catalogue. */
static bool may_be_missing(const PGconn *conn, const char *database)
{
    return database && PQstatus(conn) != CONNECTION_OK && strstr(PQerrorMessage(conn), database);
}

static bool database_exists(struct postgres_session *session, const char *database, bool *exists)
{
    PGresult *result;
    postgres_query(session, POSTGRES_SET_UP_STATEMENTS[POSTGRES_SET_UP_DATABASE_EXISTS].sql,
                   database, &result);
    bool known = PQresultStatus(result) == PGRES_TUPLES_OK;
    *exists = known && PQntuples(result) > 0;
    PQclear(result);
    return known;
}

/* Another core may create it at the same moment, which serves as well. */
static enum store_result create_database(struct postgres_session *session, const char *database,
                                         struct status *status)
{
    PGresult *command;
    PGresult *result = NULL;
    postgres_query(session, POSTGRES_SET_UP_STATEMENTS[POSTGRES_SET_UP_CREATE_DATABASE].sql,
                   database, &command);
    if (PQresultStatus(command) == PGRES_TUPLES_OK)
        postgres_query(session, PQgetvalue(command, 0, 0), NULL, &result);
    enum store_result created = STORE_OK;
    if (PQresultStatus(result) == PGRES_COMMAND_OK)
        log_info("created the database", {"database", database});
    else if (postgres_failed_with(result, "42501"))
        created = store_unavailable(status,
                                    "the database \"%s\" does not exist and the role \"%s\" may "
                                    "not create it",
                                    database, PQuser(session->conn));
    else if (!postgres_failed_with(result, "42P04") && !postgres_failed_with(result, "23505"))
        created = postgres_failed(session, result, status);
    PQclear(command);
    PQclear(result);
    return created;
}

/* STORE_OK: connect again. */
static enum store_result ensure_database(struct postgres_session *session, const char *database,
                                         struct status *status)
{
    static const char *const maintenance[] = {"postgres", "template1"};
    const struct postgres_store *store = (const struct postgres_store *)session->base.store;
    struct status ignored;
    enum store_result result = STORE_UNAVAILABLE;
    for (size_t i = 0; i < 2 && result != STORE_OK; i++)
        result = take(session, connect_to(store, maintenance[i]), &ignored);
    if (result != STORE_OK)
        return result;
    bool exists;
    if (!database_exists(session, database, &exists))
        result = STORE_UNAVAILABLE;
    else if (!exists) /* else another core has made it since */
        result = create_database(session, database, status);
    PQfinish(session->conn);
    session->conn = NULL;
    return result == STORE_OK ? STORE_OK : STORE_UNAVAILABLE;
}

enum store_result postgres_connect(struct postgres_session *session, struct status *status)
{
    const struct postgres_store *store = (const struct postgres_store *)session->base.store;
    PGconn *conn = connect_to(store, NULL);
    char *database = conn && PQdb(conn) ? strdup(PQdb(conn)) : NULL;
    bool missing = may_be_missing(conn, database);
    struct status failure;
    enum store_result result = take(session, conn, &failure);
    if (missing && ensure_database(session, database, &failure) == STORE_OK)
        result = take(session, connect_to(store, NULL), &failure);
    free(database);
    if (result != STORE_OK)
        *status = failure;
    return result;
}
