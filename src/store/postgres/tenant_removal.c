/* Removal of everything that a tenant has, but its own row of access_rows. */
#include <string.h>

#include "base/check.h"
#include "store/postgres/session.h"

/* Events before what is kept of them, so that what is left can be read. */
static const enum postgres_statement TABLES[] = {
    POSTGRES_BEGIN_REMOVAL,          POSTGRES_REMOVE_SUBSCRIPTIONS_OF, POSTGRES_REMOVE_TAKES_OF,
    POSTGRES_REMOVE_SETTLEMENTS_OF,  POSTGRES_REMOVE_DEAD_LETTERS_OF,  POSTGRES_REMOVE_EVENTS_OF,
    POSTGRES_REMOVE_ACKNOWLEDGED_OF, POSTGRES_REMOVE_BLOCKS_OF,        POSTGRES_REMOVE_PENDING_OF,
    POSTGRES_REMOVE_KINDS_OF,        POSTGRES_REMOVE_AUDIT_OF,
};
#define TABLE_COUNT (sizeof(TABLES) / sizeof(TABLES[0]))

/* What is left when there are no rows in those. */
static const enum postgres_statement REST[] = {
    POSTGRES_LOCK_ACCESS,
    POSTGRES_REMOVE_KEYS_OF,
    POSTGRES_REMOVE_AUDIT_NUMBER_OF,
    POSTGRES_REMOVE_TENANT_LOCK,
};
#define REST_COUNT (sizeof(REST) / sizeof(REST[0]))

struct removed {
    const enum postgres_statement *statements;
    bool others; /* another session is at it */
    int64_t rows;
    int64_t events;
};

static bool is_of_tenant(enum postgres_statement which)
{
    return which != POSTGRES_BEGIN_REMOVAL && which != POSTGRES_LOCK_ACCESS;
}

static void take_removed(void *context, size_t command, const PGresult *rows)
{
    struct removed *removed = context;
    enum postgres_statement which = removed->statements[command];
    if (which == POSTGRES_BEGIN_REMOVAL)
        removed->others = strcmp(PQgetvalue(rows, 0, 0), "true") != 0;
    if (!is_of_tenant(which))
        return;
    int64_t count = postgres_int64(rows, 0, 0);
    removed->rows += count;
    removed->events += which == POSTGRES_REMOVE_EVENTS_OF ? count : 0;
}

static enum store_result run_statements(struct postgres_session *session, const struct scope *scope,
                                        struct removed *removed, size_t count,
                                        struct status *status)
{
    bool sent = postgres_transaction_start(session, scope, false);
    for (size_t i = 0; i < count && sent; i++) {
        enum postgres_statement which = removed->statements[i];
        sent = postgres_statement_send(session, which, is_of_tenant(which) ? scope : NULL, NULL, 0);
    }
    if (!sent)
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, take_removed, removed, status);
}

enum store_result postgres_tenant_remove(struct store_session *base, struct scope scope, bool *more,
                                         int64_t *events, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct removed removed = {.statements = TABLES};
    CHECK(!session->read_only && scope.tenant > 0);
    postgres_deadline_start(session);
    enum store_result result = run_statements(session, &scope, &removed, TABLE_COUNT, status);
    if (result == STORE_OK && removed.rows == 0 && !removed.others) {
        removed.statements = REST;
        result = run_statements(session, &scope, &removed, REST_COUNT, status);
    }
    *more = removed.rows > 0 || removed.others;
    *events = result == STORE_OK ? removed.events : 0;
    return result;
}
