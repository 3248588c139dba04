/* Reading one event, a page of a list, and the backlog. */
#include <stdlib.h>
#include <string.h>

#include "store/sqlite/session.h"

#include "base/check.h"

/* The current row of SQLITE_GET or a list; slices are borrowed from the statement. */
static struct store_event row_event(sqlite3_stmt *statement)
{
    struct store_event event = {
        .created_at_us = sqlite3_column_int64(statement, 1),
        .source = sqlite_column_slice(statement, 2),
        .type = sqlite_column_slice(statement, 3),
        .payload = sqlite_column_slice(statement, 4),
        .acknowledged_at_us = sqlite3_column_int64(statement, 5),
    };
    struct slice id = sqlite_column_slice(statement, 0);
    if (id.size == sizeof(event.id))
        memcpy(event.id, id.data, sizeof(event.id));
    return event;
}

static int get_one(struct sqlite_session *session, struct scope scope, struct store_get *get)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_GET);
    sqlite_bind_id(statement, 2, get->id);
    get->outcome = STORE_NOT_FOUND;
    get->no_memory = false;
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code;
    get->outcome = STORE_DONE;
    get->event = row_event(statement);
    get->no_memory = !store_event_copy(&get->event, get->arena);
    if (get->no_memory)
        get->event = (struct store_event){0};
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

enum store_result sqlite_get(struct store_session *base, struct scope scope,
                             struct store_get **gets, size_t count, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    for (size_t i = 0; i < count; i++) {
        int code = get_one(session, scope, gets[i]);
        if (code != SQLITE_DONE)
            return sqlite_failed(session, code, status);
    }
    return STORE_OK;
}

/* Copies rows into `page` up to the list's limits; `more` says whether a row is left. */
static int read_page(struct sqlite_session *session, sqlite3_stmt *statement,
                     struct store_list *list, struct store_event *page)
{
    size_t bytes = 0;
    int code;
    while ((code = sqlite_step(session, statement)) == SQLITE_ROW) {
        struct store_event event = row_event(statement);
        bytes += event.payload.size;
        list->more = list->count == list->limit || (list->count > 0 && bytes > list->max_bytes);
        list->no_memory = !list->more && !store_event_copy(&event, list->arena);
        if (list->more || list->no_memory) {
            sqlite3_reset(statement);
            return SQLITE_DONE;
        }
        page[list->count++] = event;
    }
    return code;
}

static sqlite3_stmt *list_statement(struct sqlite_session *session, struct scope scope,
                                    const struct store_list *list)
{
    static const enum sqlite_statement statements[2][2] = {
        {SQLITE_LIST_PENDING_NEWEST, SQLITE_LIST_PENDING_OLDEST},
        {SQLITE_LIST_ACKNOWLEDGED_NEWEST, SQLITE_LIST_ACKNOWLEDGED_OLDEST},
    };
    return sqlite_statement_of(session, scope, statements[list->acknowledged][list->oldest_first]);
}

/* Moves the page to the list's arena. */
static void keep_page(struct store_list *list, const struct store_event *page)
{
    CHECK(list->count <= list->limit);
    list->events = arena_calloc(list->arena, list->count, sizeof(*page));
    list->no_memory = !list->events;
    if (list->events)
        memcpy(list->events, page, list->count * sizeof(*page));
}

static enum store_result list_one(struct sqlite_session *session, struct scope scope,
                                  struct store_list *list, struct status *status)
{
    struct store_event *page = calloc(list->limit, sizeof(*page));
    if (!page)
        return store_unavailable(status, "out of memory");
    struct store_position after = store_list_start(list);
    sqlite3_stmt *statement = list_statement(session, scope, list);
    sqlite_bind_int64(statement, 2, after.created_at_us);
    sqlite_bind_id(statement, 3, after.id);
    sqlite_bind_int64(statement, 4, (int64_t)list->limit + 1);

    list->count = 0;
    list->more = list->no_memory = false;
    int code = read_page(session, statement, list, page);
    if (code == SQLITE_DONE && !list->no_memory)
        keep_page(list, page);
    free(page);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

enum store_result sqlite_list(struct store_session *session, struct scope scope,
                              struct store_list **lists, size_t count, struct status *status)
{
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < count && result == STORE_OK; i++)
        result = list_one((struct sqlite_session *)session, scope, lists[i], status);
    return result;
}

enum store_result sqlite_backlog(struct store_session *base, struct scope scope,
                                 struct store_backlog *backlog, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_BACKLOG);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return sqlite_failed(session, code, status);
    backlog->pending = sqlite3_column_int64(statement, 0);
    backlog->oldest_created_at_us = sqlite3_column_int64(statement, 1);
    backlog->asynchronous_standbys = 0;
    sqlite3_reset(statement);
    return STORE_OK;
}
