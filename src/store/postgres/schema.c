/* Versions of the schema "triggers" and how they are reached. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/migrations/migrations.h"
#include "store/postgres/session.h"

/* Whatever the database's defaults are. The lock is that of whoever changes the schema; the number
 * is "triggers" in ASCII. */
#define BEGIN_SQL "begin isolation level read committed; set local lock_timeout = '5s'"
#define LOCK_SQL "select pg_catalog.pg_advisory_xact_lock(8390884948581905011)"

static int latest_version(void)
{
    int latest = 0;
    for (const struct migration *migration = POSTGRES_MIGRATIONS; migration->sql; migration++)
        latest = migration->version;
    return latest;
}

static enum store_result query_number(struct postgres_session *session, const char *sql,
                                      int *number, struct status *status)
{
    PGresult *result;
    postgres_query(session, sql, &result);
    enum store_result outcome = STORE_OK;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        *number = atoi(PQgetvalue(result, 0, 0));
    else
        outcome = postgres_failed(session, result, status);
    PQclear(result);
    return outcome;
}

/* 0: there is no schema yet. */
static enum store_result read_version(struct postgres_session *session, int *version,
                                      struct status *status)
{
    *version = 0;
    int exists = 0;
    enum store_result result =
        query_number(session,
                     "select count(*) from pg_catalog.pg_class c"
                     " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
                     " where n.nspname = 'triggers' and c.relname = 'schema_version'",
                     &exists, status);
    if (result != STORE_OK || !exists)
        return result;
    return query_number(session, "select coalesce(max(version), 0) from triggers.schema_version",
                        version, status);
}

static enum store_result apply(struct postgres_session *session, const struct migration *migration,
                               struct status *status)
{
    char record[96];
    snprintf(record, sizeof(record), "insert into triggers.schema_version (version) values (%d)",
             migration->version);
    enum store_result result = postgres_execute(session, migration->sql, status);
    if (result == STORE_OK)
        result = postgres_execute(session, record, status);
    return result;
}

/* Not by "create schema if not exists", which asks for the right to make schemas also when an
 * administrator has made this one. */
static enum store_result create_schema(struct postgres_session *session, struct status *status)
{
    int exists = 0;
    enum store_result result = query_number(
        session, "select count(*) from pg_catalog.pg_namespace where nspname = 'triggers'", &exists,
        status);
    return result == STORE_OK && !exists
               ? postgres_execute(session, "create schema triggers", status)
               : result;
}

/* In one transaction; on failure the caller closes the connection, which rolls back. */
static enum store_result migrate(struct postgres_session *session, struct status *status)
{
    int version = 0;
    enum store_result result = postgres_execute(session, BEGIN_SQL, status);
    if (result == STORE_OK)
        result = postgres_execute(session, LOCK_SQL, status);
    if (result == STORE_OK)
        result = read_version(session, &version, status);
    if (result == STORE_OK)
        result = create_schema(session, status);
    for (const struct migration *migration = POSTGRES_MIGRATIONS;
         result == STORE_OK && migration->sql; migration++)
        if (migration->version > version)
            result = apply(session, migration, status);
    if (result == STORE_OK)
        result = postgres_execute(session, "commit", status);
    if (result == STORE_OK && version < latest_version())
        log_info("brought the schema up to date", {"store", session->base.store->description},
                 {"version", NULL, latest_version()});
    return result;
}

enum store_result postgres_schema_prepare(struct postgres_session *session, struct status *status)
{
    int version;
    enum store_result result = read_version(session, &version, status);
    if (result != STORE_OK)
        return result;
    if (version > latest_version())
        return store_fatal(status,
                           "the schema \"triggers\" in %s has version %d and this triggersd knows "
                           "only up to %d; run a newer triggersd",
                           session->base.store->description, version, latest_version());
    return version < latest_version() ? migrate(session, status) : STORE_OK;
}
