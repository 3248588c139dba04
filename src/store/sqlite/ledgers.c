/* Subscriptions: making, changing, removing and listing them. What their ledgers hold is
 * entries.c's. */
#include "store/sqlite/session.h"

#include "base/check.h"
#include "base/clock.h"

/* ---- making and changing ---- */

struct putting {
    struct sqlite_session *session;
    struct scope scope;
    struct store_put *put;
};

/* Finds the one of the name; id and revision 0: there is none. */
static int find_named(struct putting *putting, struct store_subscription *found)
{
    *found = (struct store_subscription){0};
    sqlite3_stmt *statement =
        sqlite_statement_of(putting->session, putting->scope, SQLITE_SUBSCRIPTION_NAMED);
    sqlite_bind_text(statement, 2, putting->put->name);
    int code = sqlite_step(putting->session, statement);
    if (code != SQLITE_ROW)
        return code;
    *found = sqlite_row_subscription(statement);
    found->name = found->settings = (struct slice){0};
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

static int change(struct putting *putting, const struct store_subscription *found)
{
    struct store_put *put = putting->put;
    put->id = found->id;
    put->created_at_us = found->created_at_us;
    put->revision = found->revision + 1;
    sqlite3_stmt *statement = sqlite_statement_about(putting->session, putting->scope, found->id,
                                                     SQLITE_CHANGE_SUBSCRIPTION);
    sqlite_bind_blob(statement, 3, put->settings);
    return sqlite_step(putting->session, statement);
}

/* A number that none has had. */
static int next_id(struct putting *putting, int64_t *id)
{
    sqlite3_stmt *statement =
        sqlite_statement_of(putting->session, putting->scope, SQLITE_NEXT_SUBSCRIPTION);
    int code = sqlite_step(putting->session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    *id = sqlite3_column_int64(statement, 0);
    return sqlite_step(putting->session, statement);
}

static int create(struct putting *putting)
{
    struct store_put *put = putting->put;
    put->created_at_us = clock_now_us();
    put->revision = 1;
    int code = next_id(putting, &put->id);
    if (code != SQLITE_DONE)
        return code;
    sqlite3_stmt *statement =
        sqlite_statement_about(putting->session, putting->scope, put->id, SQLITE_ADD_SUBSCRIPTION);
    sqlite_bind_int64(statement, 3, put->created_at_us);
    sqlite_bind_text(statement, 4, put->name);
    sqlite_bind_blob(statement, 5, put->settings);
    code = sqlite_step(putting->session, statement);
    if (code == SQLITE_DONE)
        code = sqlite_begin_ledger(putting->session, putting->scope, put->id, put->created_at_us,
                                   put->checkpoint);
    return code;
}

static int put_named(struct putting *putting)
{
    struct store_put *put = putting->put;
    struct store_subscription found;
    int code = find_named(putting, &found);
    put->outcome = put->revision == found.revision ? STORE_DONE : STORE_STALE;
    if (code != SQLITE_DONE || put->outcome == STORE_STALE)
        return code;
    if (found.id != 0)
        return change(putting, &found);
    int64_t count;
    code = sqlite_number(
        putting->session,
        sqlite_statement_of(putting->session, putting->scope, SQLITE_COUNT_SUBSCRIPTIONS), &count);
    if (count >= store_put_most(put))
        put->outcome = STORE_CONFLICT;
    return code == SQLITE_DONE && put->outcome == STORE_DONE ? create(putting) : code;
}

enum store_result sqlite_subscription_put(struct store_session *base, struct scope scope,
                                          struct store_put *put, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct store_put tried = *put; /* who tries again finds `put` as it was */
    struct putting putting = {session, scope, &tried};
    int code = sqlite_begin_writing(session, true);
    if (code == SQLITE_DONE)
        code = put_named(&putting);
    enum store_result result = sqlite_end_writing(session, code, status);
    if (result == STORE_OK)
        *put = tried;
    return result;
}

/* ---- removing ---- */

static int step_about(struct sqlite_session *session, struct scope scope, int64_t id,
                      enum sqlite_statement which, int *changes)
{
    int code = sqlite_step(session, sqlite_statement_about(session, scope, id, which));
    *changes = code == SQLITE_DONE ? sqlite3_changes(session->db) : 0;
    return code;
}

/* Hides it, or removes some rows of one that is hidden, and at last itself. */
static int remove_some(struct sqlite_session *session, struct scope scope, int64_t id, bool *more)
{
    static const enum sqlite_statement steps[] = {
        SQLITE_HIDE_SUBSCRIPTION,
        SQLITE_REMOVE_TAKES,
        SQLITE_REMOVE_SETTLEMENTS,
        SQLITE_REMOVE_DEAD_LETTERS,
    };
    int code = SQLITE_DONE, changes = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && changes == 0 && code == SQLITE_DONE;
         i++)
        code = step_about(session, scope, id, steps[i], &changes);
    *more = changes > 0;
    if (code == SQLITE_DONE && !*more)
        code = step_about(session, scope, id, SQLITE_REMOVE_SUBSCRIPTION, &changes);
    return code;
}

enum store_result sqlite_subscription_remove(struct store_session *base, struct scope scope,
                                             int64_t id, bool *more, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    int code = sqlite_begin_writing(session, true);
    if (code == SQLITE_DONE)
        code = remove_some(session, scope, id, more);
    return sqlite_end_writing(session, code, status);
}

/* ---- listing ---- */

/* Takes the current row; false when it does not fit the arena. */
static bool take_subscription(struct store_subscriptions *list, sqlite3_stmt *statement)
{
    struct store_subscription *row = &list->subscriptions[list->count];
    *row = sqlite_row_subscription(statement);
    if (!store_slice_copy(&row->name, list->arena) ||
        !store_slice_copy(&row->settings, list->arena))
        return false;
    list->count++;
    return true;
}

static sqlite3_stmt *wanted_subscriptions(struct sqlite_session *session, struct scope scope,
                                          const struct store_subscriptions *list)
{
    sqlite3_stmt *statement;
    if (list->name.data) {
        statement = sqlite_statement_of(session, scope, SQLITE_SUBSCRIPTION_NAMED);
        sqlite_bind_text(statement, 2, list->name);
    } else {
        statement = sqlite_statement_about(session, scope, list->after, SQLITE_SUBSCRIPTIONS);
        sqlite_bind_int64(statement, 3, (int64_t)list->limit + 1);
    }
    return statement;
}

enum store_result sqlite_subscriptions(struct store_session *base, struct scope scope,
                                       struct store_subscriptions *list, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    list->count = 0;
    list->more = false;
    list->subscriptions = arena_calloc(list->arena, list->limit, sizeof(*list->subscriptions));
    list->no_memory = !list->subscriptions;
    if (list->no_memory)
        return STORE_OK;
    sqlite3_stmt *statement = wanted_subscriptions(session, scope, list);
    int code;
    while ((code = sqlite_step(session, statement)) == SQLITE_ROW) {
        list->more = list->count == list->limit;
        list->no_memory = !list->more && !take_subscription(list, statement);
        if (!list->more && !list->no_memory)
            continue;
        sqlite3_reset(statement);
        return STORE_OK;
    }
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

/* ---- the log ---- */

enum store_result sqlite_log_end(struct store_session *base, struct scope scope, int64_t *last,
                                 struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    int code = sqlite_last_sequence(session, scope, last);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}
