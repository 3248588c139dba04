/* Reading events by id, the kinds and the backlog. */
#include <string.h>

#include "store/sqlite/session.h"

#include "base/check.h"

/* Reads the kind's pair into the cache. */
static int read_pair(struct sqlite_session *session, struct scope scope, int32_t kind)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_PAIR);
    sqlite_bind_int64(statement, 2, kind);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    names_add(&session->names, scope, kind, sqlite_column_slice(statement, 0),
              sqlite_column_slice(statement, 1));
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

int sqlite_pair(struct sqlite_session *session, struct scope scope, struct store_event *event)
{
    const struct name *name = names_pair(&session->names, scope, event->kind);
    if (!name) {
        int code = read_pair(session, scope, event->kind);
        if (code != SQLITE_DONE)
            return code;
        name = names_pair(&session->names, scope, event->kind);
        if (!name)
            return SQLITE_NOMEM;
    }
    event->source = name->source;
    event->type = name->type;
    return SQLITE_DONE;
}

struct store_event sqlite_row_event(sqlite3_stmt *statement)
{
    struct store_event event = {
        .sequence = sqlite_sequence(sqlite3_column_int64(statement, 0)),
        .created_at_us = sqlite3_column_int64(statement, 2),
        .kind = sqlite3_column_int(statement, 3),
        .payload = sqlite_column_slice(statement, 4),
        .ordering_key = sqlite_column_slice(statement, 5),
        .deliver_at_us = sqlite3_column_int64(statement, 6),
    };
    struct slice id = sqlite_column_slice(statement, 1);
    if (id.size == sizeof(event.id))
        memcpy(event.id, id.data, sizeof(event.id));
    return event;
}

/* ---- single events ---- */

static sqlite3_stmt *wanted(struct sqlite_session *session, struct scope scope,
                            const struct store_get *get)
{
    bool by_id = get->sequence == 0;
    sqlite3_stmt *statement =
        sqlite_statement_of(session, scope, by_id ? SQLITE_GET : SQLITE_GET_AT);
    if (by_id)
        sqlite_bind_id(statement, 2, get->id);
    else
        sqlite_bind_int64(statement, 2, get->sequence);
    return statement;
}

static int get_one(struct sqlite_session *session, struct scope scope, struct store_get *get)
{
    get->outcome = STORE_NOT_FOUND;
    get->no_memory = false;
    if (get->sequence != 0 && !sqlite_is_sequence(get->sequence))
        return SQLITE_DONE;
    sqlite3_stmt *statement = wanted(session, scope, get);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code;
    get->outcome = STORE_DONE;
    get->event = sqlite_row_event(statement);
    get->event.acknowledged_at_us = sqlite3_column_int64(statement, 7);
    code = sqlite_pair(session, scope, &get->event);
    get->no_memory = code == SQLITE_DONE && !store_event_copy(&get->event, get->arena);
    if (code != SQLITE_DONE || get->no_memory)
        get->event = (struct store_event){0};
    sqlite3_reset(statement);
    return code;
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

/* ---- kinds ---- */

/* Takes the current row; false when it does not fit the arena. */
static bool take_kind(struct store_kinds *kinds, sqlite3_stmt *statement)
{
    struct store_named_kind *kind = &kinds->kinds[kinds->count];
    *kind = (struct store_named_kind){
        .number = sqlite3_column_int(statement, 0),
        .source = sqlite_column_slice(statement, 1),
        .type = sqlite_column_slice(statement, 2),
    };
    if (!store_slice_copy(&kind->source, kinds->arena) ||
        !store_slice_copy(&kind->type, kinds->arena))
        return false;
    kinds->count++;
    return true;
}

enum store_result sqlite_kinds(struct store_session *base, struct scope scope,
                               struct store_kinds *kinds, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    kinds->count = 0;
    kinds->more = false;
    kinds->kinds = arena_calloc(kinds->arena, kinds->limit, sizeof(*kinds->kinds));
    kinds->no_memory = !kinds->kinds;
    if (kinds->no_memory)
        return STORE_OK;
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_KINDS);
    sqlite_bind_int64(statement, 2, kinds->after);
    sqlite_bind_int64(statement, 3, (int64_t)kinds->limit + 1);
    int code;
    while ((code = sqlite_step(session, statement)) == SQLITE_ROW) {
        kinds->more = kinds->count == kinds->limit;
        kinds->no_memory = !kinds->more && !take_kind(kinds, statement);
        if (!kinds->more && !kinds->no_memory)
            continue;
        sqlite3_reset(statement);
        return STORE_OK;
    }
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

/* ---- the whole log ---- */

int sqlite_begin_read(struct sqlite_session *session, struct scope scope, struct sqlite_log *log)
{
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN));
    if (code == SQLITE_DONE)
        code = sqlite_last_sequence(session, scope, &log->last);
    log->open_block = (log->last + 1) / STORE_BLOCK;
    if (code == SQLITE_DONE)
        code = sqlite_number(session, sqlite_statement_of(session, scope, SQLITE_FIRST_BLOCK),
                             &log->first_block);
    if (log->first_block < 0)
        log->first_block = log->open_block;
    return code;
}

void sqlite_end_read(struct sqlite_session *session)
{
    if (!sqlite3_get_autocommit(session->db))
        sqlite_step(session, sqlite_statement(session, SQLITE_COMMIT));
    if (!sqlite3_get_autocommit(session->db))
        sqlite3_exec(session->db, SQLITE_STATEMENTS[SQLITE_ROLL_BACK].sql, NULL, NULL, NULL);
}

/* ---- the backlog ---- */

struct counting {
    struct sqlite_session *session;
    struct scope scope;
    struct sqlite_log log;
    struct store_backlog *backlog;
};

static sqlite3_stmt *of_range(struct counting *counting, enum sqlite_statement which, int64_t first,
                              int64_t last)
{
    sqlite3_stmt *statement = sqlite_statement(counting->session, which);
    sqlite_bind_int64(statement, 1, sqlite_position(counting->scope, first));
    sqlite_bind_int64(statement, 2, sqlite_position(counting->scope, last));
    return statement;
}

/* Adds what is pending in the block. From the log's beginning on no event is missing, so that they
 * need not be read to be counted. */
static int count_block(struct counting *counting, int64_t block)
{
    struct sqlite_session *session = counting->session;
    struct store_backlog *backlog = counting->backlog;
    int64_t first = block * STORE_BLOCK + (block == 0);
    int64_t last = (block + 1) * STORE_BLOCK - 1;
    if (last > counting->log.last)
        last = counting->log.last;
    int64_t events = last - first + 1;
    int64_t acknowledged;
    int code = SQLITE_DONE;
    if (block < counting->log.first_block)
        code =
            sqlite_number(session, of_range(counting, SQLITE_COUNT_EVENTS, first, last), &events);
    if (code == SQLITE_DONE)
        code = sqlite_number(session, of_range(counting, SQLITE_COUNT_ACKNOWLEDGED, first, last),
                             &acknowledged);
    if (code != SQLITE_DONE || events == acknowledged)
        return code;
    if (backlog->pending == 0)
        code = sqlite_number(session, of_range(counting, SQLITE_OLDEST_PENDING, first, last),
                             &backlog->oldest_created_at_us);
    backlog->pending += events - acknowledged;
    return code;
}

/* Adds up the first STORE_BACKLOG_BLOCKS blocks that have pending events, and says how many it
 * found. */
static int count_blocks(struct counting *counting, int64_t *found)
{
    sqlite3_stmt *statement =
        sqlite_statement_of(counting->session, counting->scope, SQLITE_PENDING_BLOCKS);
    sqlite_bind_int64(statement, 2, STORE_BACKLOG_BLOCKS);
    int code;
    *found = 0;
    while ((code = sqlite_step(counting->session, statement)) == SQLITE_ROW) {
        ++*found;
        code = count_block(counting, sqlite3_column_int64(statement, 0));
        if (code != SQLITE_DONE)
            break;
    }
    sqlite3_reset(statement);
    return code;
}

static int count_pending(struct counting *counting)
{
    struct store_backlog *backlog = counting->backlog;
    int64_t found, blocks;
    int code = count_blocks(counting, &found);
    if (code == SQLITE_DONE && found == STORE_BACKLOG_BLOCKS) {
        code = sqlite_number(
            counting->session,
            sqlite_statement_of(counting->session, counting->scope, SQLITE_COUNT_PENDING_BLOCKS),
            &blocks);
        backlog->pending = backlog->pending * blocks / found;
    }
    if (code == SQLITE_DONE)
        code = count_block(counting, counting->log.open_block);
    return code;
}

enum store_result sqlite_backlog(struct store_session *base, struct scope scope,
                                 struct store_backlog *backlog, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    *backlog = (struct store_backlog){0};
    struct counting counting = {.session = session, .scope = scope, .backlog = backlog};
    int code = sqlite_begin_read(session, scope, &counting.log);
    if (code == SQLITE_DONE)
        code = count_pending(&counting);
    sqlite_end_read(session);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}
