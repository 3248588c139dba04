/* Tenants and keys, when keys were used, and the records of what was changed. */
#include "base/check.h"
#include "base/clock.h"
#include "store/sqlite/session.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* A statement of one row of one column, which also changes something: SQLITE_DONE or a failure. */
static int draw_number(struct sqlite_session *session, sqlite3_stmt *statement, int64_t *number)
{
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    *number = sqlite3_column_int64(statement, 0);
    return sqlite_step(session, statement);
}

/* ---- changes ---- */

enum store_result sqlite_access_changes(struct store_session *base,
                                        struct store_access_changes *changes, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    CHECK(changes->limit >= 1 && changes->limit <= STORE_LIST_MAX);
    changes->now_us = clock_now_us();
    changes->count = 0;
    changes->more = false;
    changes->rows = arena_calloc(changes->arena, changes->limit, sizeof(*changes->rows));
    changes->no_memory = !changes->rows;
    sqlite3_stmt *statement = sqlite_statement(session, SQLITE_ACCESS_CHANGES);
    sqlite_bind_int64(statement, 1, changes->after);
    sqlite_bind_int64(statement, 2, (int64_t)changes->limit + 1);
    int code = SQLITE_DONE;
    while (!changes->no_memory && (code = sqlite_step(session, statement)) == SQLITE_ROW) {
        changes->more = changes->count == changes->limit;
        if (changes->more)
            continue; /* it is the last row */
        struct store_access_row *row = &changes->rows[changes->count++];
        *row = (struct store_access_row){
            .kind = (enum store_access_kind)sqlite3_column_int(statement, 0),
            .tenant = sqlite3_column_int64(statement, 1),
            .id = sqlite_column_slice(statement, 2),
            .version = sqlite3_column_int64(statement, 3),
            .gone = sqlite3_column_int(statement, 4) != 0,
            .body = sqlite_column_slice(statement, 5),
        };
        changes->no_memory = !store_slice_copy(&row->id, changes->arena) ||
                             !store_slice_copy(&row->body, changes->arena);
    }
    if (statement)
        sqlite3_reset(statement);
    return changes->no_memory || code == SQLITE_DONE ? STORE_OK
                                                     : sqlite_failed(session, code, status);
}

/* What a change has done, before it is known that it is committed. */
struct changing {
    struct sqlite_session *session;
    const struct store_access_change *change;
    int64_t now_us;
    int64_t new_tenant;
    int64_t versions[STORE_ACCESS_CHANGE_MAX];
    int64_t record_number;
    enum store_outcome outcome;
};

/* Whether the row is there as it was read, or is not there if it is new. */
static int fits(struct changing *changing, const struct store_access_row *row, bool *fitting)
{
    sqlite3_stmt *statement = sqlite_statement(changing->session, SQLITE_ACCESS_ROW);
    sqlite_bind_int64(statement, 1, row->kind);
    sqlite_bind_text(statement, 2, row->id);
    int code = sqlite_step(changing->session, statement);
    *fitting = row->version == 0;
    if (code != SQLITE_ROW)
        return code;
    *fitting = sqlite3_column_int64(statement, 0) == row->version &&
               sqlite3_column_int64(statement, 1) == row->tenant;
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

static int put_row(struct changing *changing, size_t number)
{
    const struct store_access_row *row = &changing->change->rows[number];
    enum sqlite_statement which = row->version == 0 ? SQLITE_ADD_ACCESS_ROW
                                  : row->gone       ? SQLITE_END_ACCESS_ROW
                                                    : SQLITE_CHANGE_ACCESS_ROW;
    int64_t *version = &changing->versions[number];
    int code = draw_number(changing->session,
                           sqlite_statement(changing->session, SQLITE_NEXT_VERSION), version);
    if (code != SQLITE_DONE)
        return code;
    sqlite3_stmt *statement = sqlite_statement(changing->session, which);
    if (row->version == 0) {
        sqlite_bind_int64(statement, 1, *version);
        sqlite_bind_int64(statement, 2, row->kind);
        sqlite_bind_int64(statement, 3, row->tenant < 0 ? changing->new_tenant : row->tenant);
        sqlite_bind_text(statement, 4, row->id);
        sqlite_bind_blob(statement, 5, row->body);
    } else {
        sqlite_bind_int64(statement, 1, row->version);
        sqlite_bind_int64(statement, 2, *version);
        if (row->gone)
            sqlite_bind_int64(statement, 3, changing->now_us);
        else
            sqlite_bind_blob(statement, 3, row->body);
    }
    return sqlite_step(changing->session, statement);
}

static int add_record(struct sqlite_session *session, int64_t tenant, int64_t now_us,
                      struct slice body, int64_t *number)
{
    struct scope scope = {.tenant = tenant};
    int code =
        draw_number(session, sqlite_statement_of(session, scope, SQLITE_NEXT_AUDIT_NUMBER), number);
    if (code != SQLITE_DONE)
        return code;
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_ADD_AUDIT);
    sqlite_bind_int64(statement, 2, *number);
    sqlite_bind_int64(statement, 3, now_us);
    sqlite_bind_blob(statement, 4, body);
    return sqlite_step(session, statement);
}

static int change_rows(struct changing *changing)
{
    const struct store_access_change *change = changing->change;
    int code = SQLITE_DONE;
    bool fitting = true;
    for (size_t i = 0; i < change->count && code == SQLITE_DONE && fitting; i++)
        code = fits(changing, &change->rows[i], &fitting);
    changing->outcome = fitting ? STORE_DONE : STORE_STALE;
    if (code != SQLITE_DONE || !fitting)
        return code;
    if (store_access_check(change) > 0)
        code =
            draw_number(changing->session, sqlite_statement(changing->session, SQLITE_NEXT_TENANT),
                        &changing->new_tenant);
    for (size_t i = 0; i < change->count && code == SQLITE_DONE; i++)
        code = put_row(changing, i);
    if (code == SQLITE_DONE && change->record)
        code = add_record(changing->session,
                          change->record_tenant < 0 ? changing->new_tenant : change->record_tenant,
                          changing->now_us, change->record->body, &changing->record_number);
    return code;
}

static void take_change(const struct changing *changing, struct store_access_change *change)
{
    change->outcome = changing->outcome;
    if (changing->outcome != STORE_DONE)
        return;
    for (size_t i = 0; i < change->count; i++) {
        change->rows[i].version = changing->versions[i];
        if (change->rows[i].tenant < 0)
            change->rows[i].tenant = changing->new_tenant;
    }
    if (change->record) {
        change->record->number = changing->record_number;
        change->record->at_us = changing->now_us;
    }
}

enum store_result sqlite_access_change(struct store_session *base,
                                       struct store_access_change *change, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct changing changing = {.session = session, .change = change};
    store_access_check(change);
    int code = sqlite_begin_writing(session, true);
    changing.now_us = clock_now_us();
    if (code == SQLITE_DONE)
        code = change_rows(&changing);
    enum store_result result = sqlite_end_writing(session, code, status);
    if (result == STORE_OK)
        take_change(&changing, change);
    return result;
}

/* ---- uses ---- */

static int note_use(struct sqlite_session *session, const struct store_key_use *use)
{
    sqlite3_stmt *statement = sqlite_statement(session, SQLITE_NOTE_KEY_USE);
    sqlite_bind_text(statement, 1, use->id);
    sqlite_bind_int64(statement, 2, use->used_us);
    return sqlite_step(session, statement);
}

enum store_result sqlite_keys_used(struct store_session *base, const struct store_key_use *uses,
                                   size_t count, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    CHECK(count <= STORE_LIST_MAX);
    int code = sqlite_begin_writing(session, false);
    for (size_t i = 0; i < count && code == SQLITE_DONE; i++)
        code = note_use(session, &uses[i]);
    return sqlite_end_writing(session, code, status);
}

enum store_result sqlite_key_uses(struct store_session *base, struct store_key_use *uses,
                                  size_t count, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    int code = SQLITE_DONE;
    CHECK(count <= STORE_LIST_MAX);
    for (size_t i = 0; i < count && code == SQLITE_DONE; i++) {
        sqlite3_stmt *statement = sqlite_statement(session, SQLITE_KEY_USE);
        sqlite_bind_text(statement, 1, uses[i].id);
        code = sqlite_number(session, statement, &uses[i].used_us);
    }
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

/* ---- records ---- */

enum store_result sqlite_audit_add(struct store_session *base, struct scope scope,
                                   struct store_audit_record *records, size_t count,
                                   struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    CHECK(count <= STORE_LIST_MAX);
    int code = sqlite_begin_writing(session, true);
    int64_t now_us = clock_now_us();
    for (size_t i = 0; i < count && code == SQLITE_DONE; i++) {
        records[i].at_us = now_us;
        code = add_record(session, scope.tenant, now_us, records[i].body, &records[i].number);
    }
    return sqlite_end_writing(session, code, status);
}

enum store_result sqlite_audit_list(struct store_session *base, struct scope scope,
                                    struct store_audit_list *list, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    int64_t before = store_audit_start(list);
    list->count = 0;
    list->more = false;
    list->records = arena_calloc(list->arena, list->limit, sizeof(*list->records));
    list->no_memory = !list->records;
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_LIST_AUDIT);
    sqlite_bind_int64(statement, 2, before);
    sqlite_bind_int64(statement, 3, (int64_t)list->limit + 1);
    int code = SQLITE_DONE;
    while (!list->no_memory && (code = sqlite_step(session, statement)) == SQLITE_ROW) {
        list->more = list->count == list->limit;
        if (list->more)
            continue; /* it is the last row */
        struct store_audit_record *record = &list->records[list->count++];
        record->number = sqlite3_column_int64(statement, 0);
        record->at_us = sqlite3_column_int64(statement, 1);
        record->body = sqlite_column_slice(statement, 2);
        list->no_memory = !store_slice_copy(&record->body, list->arena);
    }
    if (statement)
        sqlite3_reset(statement);
    return list->no_memory || code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

/* ---- what is over ---- */

#define TRIMMED 1000 /* rows that one of the statements removes at most */

static int trim(struct sqlite_session *session, enum sqlite_statement which, int64_t before_us,
                bool *more)
{
    sqlite3_stmt *statement = sqlite_statement(session, which);
    sqlite_bind_int64(statement, 1, before_us);
    int code = sqlite_step(session, statement);
    *more = *more || (code == SQLITE_DONE && sqlite3_changes(session->db) == TRIMMED);
    return code;
}

enum store_result sqlite_access_trim(struct store_session *base, int64_t before_us, bool *more,
                                     struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    int64_t gone_us = clock_now_us() - DAY_US;
    *more = false;
    int code = sqlite_begin_writing(session, true);
    if (code == SQLITE_DONE)
        code = trim(session, SQLITE_TRIM_AUDIT, before_us, more);
    if (code == SQLITE_DONE)
        code = trim(session, SQLITE_TRIM_KEY_USES, gone_us, more);
    if (code == SQLITE_DONE)
        code = trim(session, SQLITE_TRIM_ACCESS, gone_us, more);
    return sqlite_end_writing(session, code, status);
}
