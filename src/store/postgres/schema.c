/* The versions of the schema "triggers" and the way from one to the next. */
#include <stdlib.h>

#include "base/log.h"
#include "store/migrations/migrations.h"
#include "store/postgres/session.h"

static int latest_version(void)
{
    int latest = 0;
    for (const struct migration *migration = POSTGRES_MIGRATIONS; migration->sql; migration++)
        latest = migration->version;
    return latest;
}

static enum store_result execute(struct postgres_session *session,
                                 enum postgres_set_up_statement which, struct status *status)
{
    return postgres_execute(session, POSTGRES_SET_UP_STATEMENTS[which].sql, status);
}

static enum store_result query_number(struct postgres_session *session,
                                      enum postgres_set_up_statement which, int *number,
                                      struct status *status)
{
    PGresult *result;
    postgres_query(session, POSTGRES_SET_UP_STATEMENTS[which].sql, NULL, &result);
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
        query_number(session, POSTGRES_SET_UP_VERSION_EXISTS, &exists, status);
    if (result != STORE_OK || !exists)
        return result;
    return query_number(session, POSTGRES_SET_UP_VERSION, version, status);
}

static enum store_result create_schema(struct postgres_session *session, struct status *status)
{
    int exists = 0;
    enum store_result result =
        query_number(session, POSTGRES_SET_UP_SCHEMA_EXISTS, &exists, status);
    return result == STORE_OK && !exists ? execute(session, POSTGRES_SET_UP_CREATE_SCHEMA, status)
                                         : result;
}

/* In one transaction; on failure the caller closes the connection, which rolls back. */
static enum store_result migrate(struct postgres_session *session, struct status *status)
{
    int version = 0;
    enum store_result result = execute(session, POSTGRES_SET_UP_BEGIN, status);
    if (result == STORE_OK)
        result = execute(session, POSTGRES_SET_UP_LOCK, status);
    if (result == STORE_OK)
        result = read_version(session, &version, status);
    if (result == STORE_OK)
        result = create_schema(session, status);
    for (const struct migration *migration = POSTGRES_MIGRATIONS;
         result == STORE_OK && migration->sql; migration++)
        if (migration->version > version)
            result = postgres_execute(session, migration->sql, status);
    if (result == STORE_OK)
        result = execute(session, POSTGRES_SET_UP_COMMIT, status);
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
    if (version < latest_version())
        result = migrate(session, status);
    return result == STORE_OK ? postgres_move(session, status) : result;
}

enum store_result postgres_look_at_policies(struct postgres_session *session, struct status *status)
{
    int policies = 0;
    enum store_result result =
        query_number(session, POSTGRES_SET_UP_HAS_POLICIES, &policies, status);
    session->has_policies = policies > 0;
    return result;
}
