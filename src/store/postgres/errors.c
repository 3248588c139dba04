/* The one place where SQLSTATEs become results of the contract. */
#include <string.h>

#include "base/log.h"
#include "store/postgres/session.h"

enum meaning { RETRY, LOCKED, REJECTED, UNAVAILABLE, SLOW, FULL, DENIED, DAMAGED, LOST };

/* By code or class; the first match counts. Codes that are not listed are refusals, perhaps because
 * of one item: a constraint or trigger that somebody added, a limit, no more transaction ids. None
 * is the caller's fault, whose input was checked before. */
static const struct {
    const char *prefix;
    enum meaning meaning;
} MEANINGS[] = {
    {"40001", RETRY},    /* serialization_failure */
    {"40P01", RETRY},    /* deadlock_detected */
    {"55P03", LOCKED},   /* lock_not_available: lock_timeout */
    {"57014", SLOW},     /* query_canceled: statement_timeout */
    {"53100", FULL},     /* disk_full */
    {"53", UNAVAILABLE}, /* insufficient_resources */
    {"58", UNAVAILABLE}, /* system_error */
    {"42501", DENIED},   /* insufficient_privilege */
    {"28", DENIED},      /* invalid_authorization_specification */
    {"XX001", DAMAGED},  /* data_corrupted */
    {"XX002", DAMAGED},  /* index_corrupted */
    {"XX", UNAVAILABLE}, /* internal_error */
    {"08", LOST},        /* connection_exception */
    {"57", LOST},        /* operator_intervention: shutting down, starting up */
    {"40003", LOST},     /* statement_completion_unknown */
    {"25006", LOST},     /* read-only after a failover: connect to the new primary */
    {"25P", LOST},       /* a transaction left open or ended under us */
    {"55P02", LOST},     /* cant_change_runtime_param: another server, see settings.sql */
    {"26000", LOST},     /* prepared statement gone, by a pooler or "discard all" */
    {"42P05", LOST},     /* prepared statement there already, by a pooler */
    {"42704", LOST},     /* setting unknown: policies came, and want to know the tenant */
    {"0A000", LOST},     /* cached plan: the schema changed under the prepared statement */
    {"3D000", LOST},     /* database gone: connecting again creates it */
    {"3F000", LOST},     /* schema gone: connecting again creates it */
    {"42P01", LOST},     /* table gone: the same */
};

/* Whether a function that somebody added raised the error. It chose the code, which therefore says
 * little, and the error concerns the item that it was given. "PL/" is in every translation. */
static bool raised_by_function(const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    return context && strstr(context, "PL/");
}

static enum meaning meaning_of_code(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof(MEANINGS) / sizeof(MEANINGS[0]); i++)
        if (strncmp(sqlstate, MEANINGS[i].prefix, strlen(MEANINGS[i].prefix)) == 0)
            return MEANINGS[i].meaning;
    return REJECTED;
}

/* Whether the event before those to append is not there. */
static bool log_is_shorter(const PGresult *result, const char *sqlstate)
{
    const char *column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    return column && strcmp(column, "sequence") == 0 && strcmp(sqlstate, "23502") == 0;
}

/* Whether another writer has stored the same sequence, id or kind meanwhile. */
static bool came_second(const PGresult *result, const char *sqlstate)
{
    static const char *const constraints[] = {"events_pkey", "events_id", "kinds_pkey",
                                              "kinds_names"};
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    bool ours = false;
    for (size_t i = 0; constraint && i < sizeof(constraints) / sizeof(constraints[0]); i++)
        ours = ours || strcmp(constraint, constraints[i]) == 0;
    return ours && strcmp(sqlstate, "23505") == 0;
}

static enum meaning meaning_of(const PGresult *result, const char *sqlstate)
{
    bool misplaced = came_second(result, sqlstate) || log_is_shorter(result, sqlstate);
    enum meaning meaning = misplaced ? RETRY : meaning_of_code(sqlstate);
    bool waited = meaning == RETRY || meaning == LOCKED || meaning == SLOW;
    return !waited && raised_by_function(result) ? REJECTED : meaning;
}

bool postgres_failed_with(const PGresult *result, const char *sqlstate)
{
    const char *found = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return found && strcmp(found, sqlstate) == 0;
}

/* Messages of data exceptions and constraints may quote event data: they are left out. */
static void log_failure(struct postgres_session *session, const char *sqlstate, const char *text)
{
    if (strcmp(sqlstate, "23505") == 0)
        return; /* unique_violation: an event sent again, which is not a failure */
    bool quotes = strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;
    if (!text || quotes)
        text = "";
    if (strcmp(sqlstate, "23502") == 0)
        text = "a value is missing; if it is a sequence, the database has lost events";
    if (strcmp(sqlstate, "55P02") == 0)
        text = "the pooler leads to another server, or to one that was started again";
    log_warning_limited(sqlstate, "postgresql refused a statement",
                        {"store", session->base.store->description}, {"sqlstate", sqlstate},
                        {"text", text});
}

static enum store_result lost(struct postgres_session *session, struct status *status)
{
    session->lost = true;
    return store_lost(status, "the connection to the database was lost");
}

enum store_result postgres_failed(struct postgres_session *session, const PGresult *result,
                                  struct status *status)
{
    if (session->lost)
        return lost(session, status);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!sqlstate) {
        char text[STATUS_MESSAGE_SIZE];
        postgres_one_line(PQerrorMessage(session->conn), text, sizeof(text));
        log_warning_limited(text, "lost the connection to postgresql",
                            {"store", session->base.store->description},
                            {"text", text[0] ? text : "no answer in time"});
        return lost(session, status);
    }
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    enum meaning meaning = meaning_of(result, sqlstate);
    /* The code that opens sessions logs why it cannot, once: it tries again and again. */
    if (meaning != DENIED || session->opened)
        log_failure(session, sqlstate, text);
    switch (meaning) {
    case RETRY: return store_retry(status);
    case LOCKED: return store_locked(status);
    case REJECTED: return store_rejected(status);
    case SLOW: return store_unavailable(status, "the database took too long");
    case FULL: return store_unavailable(status, "the disk of the database is full");
    case DENIED: return store_unavailable(status, "the database says: %s", text ? text : "denied");
    case DAMAGED: return store_damaged(status);
    case LOST: return lost(session, status);
    default: return store_unavailable(status, "the database does not work (%s)", sqlstate);
    }
}
