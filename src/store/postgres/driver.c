/* The PostgreSQL store: the schema "triggers" in a database, one connection per session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/drivers.h"
#include "store/postgres/session.h"

#define OLDEST_SERVER 130000

static const struct store_driver DRIVER;

static void close_store(struct store *base)
{
    CHECK(base->driver == &DRIVER);
    struct postgres_store *store = (struct postgres_store *)base;
    explicit_bzero(store->uri, strlen(store->uri));
    free(store->uri);
    free(store->base.description);
    free(store);
}

static void session_close(struct store_session *base)
{
    struct postgres_session *session = (struct postgres_session *)base;
    if (!session)
        return;
    CHECK(base->store->driver == &DRIVER);
    names_fini(&session->names);
    for (size_t i = 0; i < POSTGRES_LOGS_MAX; i++)
        free(session->logs[i]);
    PQfinish(session->conn);
    free(session);
}

/* Reads what the connection does not say about the server: a pooler's connections have process ids
 * of their own. */
static enum store_result look_at_server(struct postgres_session *session, char encoding[32],
                                        struct status *status)
{
    PGresult *result;
    postgres_query(session, POSTGRES_SET_UP_STATEMENTS[POSTGRES_SET_UP_SERVER].sql, NULL, &result);
    enum store_result outcome = STORE_OK;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        session->pooled = atoi(PQgetvalue(result, 0, 0)) != PQbackendPID(session->conn);
        session->server_started_us = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
        snprintf(encoding, 32, "%s", PQgetvalue(result, 0, 1));
    } else {
        outcome = postgres_failed(session, result, status);
    }
    PQclear(result);
    return outcome;
}

static enum store_result check_server(struct postgres_session *session, struct status *status)
{
    const char *description = session->base.store->description;
    int version = PQserverVersion(session->conn);
    if (version < OLDEST_SERVER)
        return store_fatal(status, "%s runs PostgreSQL %d; 13 or later is needed", description,
                           version / 10000);
    char encoding[32];
    enum store_result result = look_at_server(session, encoding, status);
    if (result == STORE_OK && strcmp(encoding, "UTF8") != 0)
        return store_fatal(status,
                           "%s has the encoding %s, which cannot hold every event; create another "
                           "database with encoding 'UTF8' template template0 and name it in "
                           "DATABASE_URL",
                           description, encoding);
    return result;
}

static enum store_result set_up(struct postgres_session *session, struct status *status)
{
    enum store_result result = postgres_connect(session, status);
    if (result == STORE_OK)
        result = check_server(session, status);
    if (result == STORE_OK)
        result = postgres_schema_prepare(session, status);
    if (result == STORE_OK)
        result = postgres_look_at_policies(session, status);
    if (result == STORE_OK && !PQenterPipelineMode(session->conn))
        result = postgres_failed(session, NULL, status);
    if (result == STORE_OK)
        result = postgres_statements_prepare(session, status);
    return result;
}

static enum store_result session_open(struct store *store, bool read_only,
                                      struct store_session **session, struct status *status)
{
    struct postgres_session *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return store_unavailable(status, "out of memory");
    opened->base.store = store;
    opened->read_only = read_only;
    names_init(&opened->names);
    enum store_result result = set_up(opened, status);
    if (result == STORE_OK) {
        CHECK(opened->conn && !opened->lost);
        opened->opened = true;
        *session = &opened->base;
        return STORE_OK;
    }
    session_close(&opened->base);
    if (result == STORE_REJECTED)
        store_unavailable(status,
                          "the schema \"triggers\" in %s cannot be set up; the log says why",
                          store->description);
    else if (result == STORE_RETRY || result == STORE_LOCKED)
        store_unavailable(status, "another process is changing the schema in %s",
                          store->description);
    /* Whatever it was, a later attempt starts afresh. */
    return result == STORE_FATAL ? STORE_FATAL : STORE_UNAVAILABLE;
}

static enum store_result ping(struct store_session *base, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    if (!postgres_transaction_start(session, NULL, false))
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, NULL, NULL, status);
}

static const struct store_driver DRIVER = {
    .name = "postgresql",
    .close = close_store,
    .session_open = session_open,
    .session_close = session_close,
    .write = postgres_write,
    .get = postgres_get,
    .list = postgres_list,
    .kinds = postgres_kinds,
    .backlog = postgres_backlog,
    .usage = postgres_usage,
    .trim = postgres_trim,
    .subscriptions = postgres_subscriptions,
    .subscription_put = postgres_subscription_put,
    .subscription_remove = postgres_subscription_remove,
    .take = postgres_take,
    .ledger = postgres_ledger,
    .ledger_heads = postgres_ledger_heads,
    .ledger_trim = postgres_ledger_trim,
    .dead_letters = postgres_dead_letters,
    .delayed = postgres_delayed,
    .key_next = postgres_key_next,
    .log_end = postgres_log_end,
    .access_changes = postgres_access_changes,
    .access_change = postgres_access_change,
    .keys_used = postgres_keys_used,
    .key_uses = postgres_key_uses,
    .audit_add = postgres_audit_add,
    .audit_list = postgres_audit_list,
    .access_trim = postgres_access_trim,
    .tenant_remove = postgres_tenant_remove,
    .ping = ping,
    .notice_open = postgres_notice_open,
    .notice_send = postgres_notice_send,
    .notice_await = postgres_notice_await,
};

bool postgres_store_new(const char *uri, struct store **store, struct status *status)
{
    PQconninfoOption *options = postgres_uri_parse(uri, "DATABASE_URL", status);
    if (!options)
        return false;
    struct postgres_store *made = calloc(1, sizeof(*made));
    char *description = postgres_uri_describe(options);
    char *copy = strdup(uri);
    int host_count = postgres_uri_host_count(options);
    PQconninfoFree(options);
    if (!made || !description || !copy) {
        free(made);
        free(description);
        free(copy);
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    }
    *made = (struct postgres_store){
        .base = {.driver = &DRIVER,
                 .description = description,
                 .moving.lock = PTHREAD_MUTEX_INITIALIZER},
        .uri = copy,
        .host_count = host_count,
    };
    *store = (struct store *)made; /* its `base`; gcc's analyzer loses the other form */
    return true;
}
