/* How the statements of the .sql files are prepared and sent, and their settings. */
#include <endian.h>
#include <limits.h>

#include "store/postgres/session.h"

#include "base/check.h"

#define PARAMETER_CAP 64 /* bytes of a setting */
#define ALL_TENANTS (-1) /* as policies know it, see settings.sql */

/* How long locks are waited for. Readers meet only those of a whole table, but one row's lock would
 * stop a writer and all its callers. */
#define READER_LOCK_TIMEOUT "5s"
#define WRITER_LOCK_TIMEOUT "100ms" /* another core's commit takes less */
#define BRIEF_LOCK_TIMEOUT "10ms"

static const char *lock_timeout_of(const struct postgres_session *session, bool briefly)
{
    return briefly              ? BRIEF_LOCK_TIMEOUT
           : session->read_only ? READER_LOCK_TIMEOUT
                                : WRITER_LOCK_TIMEOUT;
}

static void ignore_rows(void *context, size_t command, const PGresult *rows)
{
    (void)context;
    (void)command;
    (void)rows;
}

/* Queues the settings, for this transaction or for the session. */
static bool send_settings(struct postgres_session *session, bool for_transaction, bool briefly)
{
    const char *lock_timeout = lock_timeout_of(session, briefly);
    struct buffer parameters[3];
    for (size_t i = 0; i < 3; i++)
        buffer_init(&parameters[i], PARAMETER_CAP);
    buffer_append(&parameters[0], for_transaction ? "\1" : "\0", 1);
    buffer_append_text(&parameters[1], lock_timeout);
    postgres_put_int64(&parameters[2], session->server_started_us);
    bool sent = !parameters[0].failed && !parameters[1].failed && !parameters[2].failed &&
                postgres_statement_send(session, POSTGRES_SETTINGS, NULL, parameters, 3);
    for (size_t i = 0; i < 3; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

enum store_result postgres_statements_prepare(struct postgres_session *session,
                                              struct status *status)
{
    if (session->pooled)
        return STORE_OK;
    for (size_t i = 0; i < POSTGRES_STATEMENT_COUNT; i++)
        if (!PQsendPrepare(session->conn, POSTGRES_STATEMENTS[i].name, POSTGRES_STATEMENTS[i].sql,
                           0, NULL))
            return postgres_failed(session, NULL, status);
    if (!send_settings(session, false, false))
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, ignore_rows, NULL, status);
}

bool postgres_transaction_start(struct postgres_session *session, const struct scope *scope,
                                bool briefly)
{
    static const struct scope all = {.tenant = ALL_TENANTS};
    bool settings = !session->in_turn && (session->pooled || briefly);
    bool tenant = !session->in_turn && session->has_policies;
    session->preambles = (size_t)settings + tenant;
    return (!settings || send_settings(session, true, briefly)) &&
           (!tenant ||
            postgres_statement_send(session, POSTGRES_SET_TENANT, scope ? scope : &all, NULL, 0));
}

bool postgres_statement_send(struct postgres_session *session, enum postgres_statement which,
                             const struct scope *scope, const struct buffer *parameters, int count)
{
    static const int formats[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    enum { MAX_PARAMETERS = sizeof(formats) / sizeof(formats[0]) };
    const char *values[MAX_PARAMETERS];
    int sizes[MAX_PARAMETERS];
    uint64_t tenant = scope ? htobe64((uint64_t)scope->tenant) : 0;
    int first = scope ? 1 : 0;
    CHECK(which < POSTGRES_STATEMENT_COUNT && first + count <= MAX_PARAMETERS);
    values[0] = (const char *)&tenant;
    sizes[0] = sizeof(tenant);
    for (int i = 0; i < count; i++) {
        CHECK(!parameters[i].failed && parameters[i].size <= INT_MAX);
        values[first + i] = parameters[i].data ? parameters[i].data : ""; /* NULL would be null */
        sizes[first + i] = (int)parameters[i].size;
    }
    count += first;
    if (session->lost)
        return false;
    if (session->pooled)
        return PQsendQueryParams(session->conn, POSTGRES_STATEMENTS[which].sql, count, NULL, values,
                                 sizes, formats, 1);
    return PQsendQueryPrepared(session->conn, POSTGRES_STATEMENTS[which].name, count, values, sizes,
                               formats, 1);
}

void postgres_parameters_init(struct buffer *parameters, int count)
{
    for (int i = 0; i < count; i++)
        buffer_init(&parameters[i], POSTGRES_PARAMETER_CAP);
}

enum store_result postgres_run(struct postgres_session *session, enum postgres_statement which,
                               const struct scope *scope, struct buffer *parameters, int count,
                               postgres_rows *rows, void *context, struct status *status)
{
    enum store_result result;
    bool fits = true;
    for (int i = 0; i < count; i++)
        fits = fits && !parameters[i].failed;
    if (!fits)
        result = store_unavailable(status, "out of memory");
    else if (!postgres_transaction_start(session, scope, false) ||
             !postgres_statement_send(session, which, scope, parameters, count))
        result = postgres_failed(session, NULL, status);
    else
        result = postgres_sync(session, rows, context, status);
    for (int i = 0; i < count; i++)
        buffer_fini(&parameters[i]);
    return result;
}
