/* Removal of everything that a tenant has, but its own row of access_rows. */
#include "base/check.h"
#include "base/clock.h"
#include "store/sqlite/session.h"

#define STEP_US (20 * 1000) /* others that write wait meanwhile */

struct removal {
    struct sqlite_session *session;
    struct scope scope;
    int64_t until_us; /* on clock_monotonic_us: then the step ends */
    int64_t events;
    bool more; /* something was removed */
};

static bool is_time_over(const struct removal *removal)
{
    return clock_monotonic_us() >= removal->until_us;
}

/* Repeats the statement until it removes nothing, or time is over. */
static int remove_all(struct removal *removal, enum sqlite_statement which)
{
    int code = SQLITE_DONE, changes = 1;
    while (code == SQLITE_DONE && changes > 0 && !is_time_over(removal)) {
        code = sqlite_step(removal->session,
                           sqlite_statement_of(removal->session, removal->scope, which));
        changes = code == SQLITE_DONE ? sqlite3_changes(removal->session->db) : 0;
        removal->more = removal->more || changes > 0;
        removal->events += which == SQLITE_REMOVE_EVENTS_OF ? changes : 0;
    }
    return code;
}

/* Ends the key whose row has the version. */
static int end_key(struct removal *removal, int64_t version)
{
    struct sqlite_session *session = removal->session;
    sqlite3_stmt *statement = sqlite_statement(session, SQLITE_NEXT_VERSION);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    int64_t next = sqlite3_column_int64(statement, 0);
    code = sqlite_step(session, statement);
    if (code != SQLITE_DONE)
        return code;
    statement = sqlite_statement(session, SQLITE_END_ACCESS_ROW);
    sqlite_bind_int64(statement, 1, version);
    sqlite_bind_int64(statement, 2, next);
    sqlite_bind_int64(statement, 3, clock_now_us());
    return sqlite_step(session, statement);
}

static int end_keys(struct removal *removal)
{
    int code = SQLITE_DONE;
    int64_t version = 1;
    while (code == SQLITE_DONE && version > 0 && !is_time_over(removal)) {
        code = sqlite_number(removal->session,
                             sqlite_statement_of(removal->session, removal->scope, SQLITE_A_KEY_OF),
                             &version);
        if (code == SQLITE_DONE && version > 0) {
            code = end_key(removal, version);
            removal->more = true;
        }
    }
    return code;
}

static int remove_step(struct removal *removal)
{
    /* Events before what is kept of them, so that what is left can be read. */
    static const enum sqlite_statement tables[] = {
        SQLITE_REMOVE_SUBSCRIPTIONS_OF,
        SQLITE_REMOVE_TAKES_OF,
        SQLITE_REMOVE_SETTLEMENTS_OF,
        SQLITE_REMOVE_DEAD_LETTERS_OF,
        SQLITE_REMOVE_EVENTS_OF,
        SQLITE_REMOVE_ACKNOWLEDGED_OF,
        SQLITE_REMOVE_BLOCKS_OF,
        SQLITE_REMOVE_PENDING_OF,
        SQLITE_REMOVE_KIND_BLOCKS_OF,
        SQLITE_REMOVE_KINDS_OF,
        SQLITE_REMOVE_SUBSCRIPTION_NUMBER_OF,
        SQLITE_REMOVE_AUDIT_OF,
        SQLITE_REMOVE_AUDIT_NUMBER_OF,
    };
    int code = end_keys(removal);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && code == SQLITE_DONE; i++)
        code = remove_all(removal, tables[i]);
    /* Time may have been over before anything was looked for. */
    removal->more = removal->more || is_time_over(removal);
    return code;
}

enum store_result sqlite_tenant_remove(struct store_session *base, struct scope scope, bool *more,
                                       int64_t *events, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct removal removal = {.session = session, .scope = scope};
    CHECK(scope.tenant > 0);
    int code = sqlite_begin_writing(session, true);
    removal.until_us = clock_monotonic_us() + STEP_US;
    if (code == SQLITE_DONE)
        code = remove_step(&removal);
    enum store_result result = sqlite_end_writing(session, code, status);
    *more = removal.more;
    *events = result == STORE_OK ? removal.events : 0;
    return result;
}
