/* Tenants and keys, when keys were used, and the records of what was changed. */
#include "base/check.h"
#include "store/postgres/session.h"

/* Frees the parameters, of which any may have failed. */
static bool send(struct postgres_session *session, enum postgres_statement which,
                 struct buffer *parameters, int count)
{
    bool sent = true;
    for (int i = 0; i < count; i++)
        sent = sent && !parameters[i].failed;
    sent = sent && postgres_statement_send(session, which, NULL, parameters, count);
    for (int i = 0; i < count; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

/* ---- changes ---- */

static bool copy_row(struct store_access_row *row, struct arena *arena, const PGresult *rows,
                     int number)
{
    *row = (struct store_access_row){
        .kind = (enum store_access_kind)postgres_int32(rows, number, 0),
        .tenant = postgres_int64(rows, number, 1),
        .id = postgres_slice(rows, number, 2),
        .version = postgres_int64(rows, number, 3),
        .gone = PQgetvalue(rows, number, 4)[0] != 0,
        .body = postgres_slice(rows, number, 5),
    };
    return store_slice_copy(&row->id, arena) && store_slice_copy(&row->body, arena);
}

static void take_changes(void *context, size_t command, const PGresult *rows)
{
    struct store_access_changes *changes = context;
    CHECK(command <= 1);
    if (command == 0) {
        changes->now_us = postgres_time_us(rows, 0, 0);
        return;
    }
    size_t count = (size_t)PQntuples(rows);
    changes->more = count > changes->limit;
    changes->count = changes->more ? changes->limit : count;
    changes->rows = arena_calloc(changes->arena, changes->count, sizeof(*changes->rows));
    changes->no_memory = !changes->rows;
    for (size_t i = 0; i < changes->count && !changes->no_memory; i++)
        changes->no_memory = !copy_row(&changes->rows[i], changes->arena, rows, (int)i);
}

enum store_result postgres_access_changes(struct store_session *base,
                                          struct store_access_changes *changes,
                                          struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[2];
    CHECK(changes->limit >= 1 && changes->limit <= STORE_LIST_MAX);
    postgres_parameters_init(parameters, 2);
    postgres_put_int64(&parameters[0], changes->after);
    postgres_put_int64(&parameters[1], (int64_t)changes->limit + 1);
    postgres_deadline_start(session);
    bool sent = postgres_transaction_start(session, NULL, false) &&
                send(session, POSTGRES_ACCESS_TIME, NULL, 0);
    if (!send(session, POSTGRES_ACCESS_CHANGES, parameters, 2) || !sent)
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, take_changes, changes, status);
}

#define CHANGE_PARAMETERS 8

static void put_change(struct buffer parameters[CHANGE_PARAMETERS],
                       const struct store_access_change *change)
{
    static const Oid types[] = {POSTGRES_INT4, POSTGRES_INT8, POSTGRES_TEXT,
                                POSTGRES_INT8, POSTGRES_INT4, POSTGRES_BYTEA};
    postgres_parameters_init(parameters, CHANGE_PARAMETERS);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        postgres_array_start(&parameters[i], types[i], change->count);
    for (size_t i = 0; i < change->count; i++) {
        const struct store_access_row *row = &change->rows[i];
        postgres_array_add_int32(&parameters[0], row->kind);
        postgres_array_add_int64(&parameters[1], row->tenant);
        postgres_array_add(&parameters[2], row->id.data, row->id.size);
        postgres_array_add_int64(&parameters[3], row->version);
        postgres_array_add_int32(&parameters[4], row->gone);
        postgres_array_add(&parameters[5], row->body.data, row->body.size);
    }
    postgres_array_start(&parameters[6], POSTGRES_BYTEA, change->record != NULL);
    if (change->record)
        postgres_array_add(&parameters[6], change->record->body.data, change->record->body.size);
    postgres_put_int64(&parameters[7], change->record_tenant);
}

/* What the database answered, before it is known that it is committed. */
struct changed {
    bool done;
    int64_t version_before;
    int64_t last_tenant;
    int64_t record_number;
    int64_t record_us;
};

static void take_change(void *context, size_t command, const PGresult *rows)
{
    struct changed *changed = context;
    if (command == 0)
        return; /* it is locked */
    changed->done = PQntuples(rows) == 1;
    if (!changed->done)
        return;
    changed->version_before = postgres_int64(rows, 0, 0);
    changed->last_tenant = postgres_int64(rows, 0, 1);
    if (!PQgetisnull(rows, 0, 2))
        changed->record_number = postgres_int64(rows, 0, 2);
    changed->record_us = postgres_time_us(rows, 0, 3);
}

static void finish_change(struct store_access_change *change, const struct changed *changed)
{
    change->outcome = changed->done ? STORE_DONE : STORE_STALE;
    for (size_t i = 0; i < change->count && changed->done; i++) {
        change->rows[i].version = changed->version_before + 1 + (int64_t)i;
        if (change->rows[i].tenant < 0)
            change->rows[i].tenant = changed->last_tenant;
    }
    if (change->record && changed->done) {
        change->record->number = changed->record_number;
        change->record->at_us = changed->record_us;
    }
}

enum store_result postgres_access_change(struct store_session *base,
                                         struct store_access_change *change, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct changed changed = {.done = false};
    struct buffer parameters[CHANGE_PARAMETERS];
    CHECK(!session->read_only);
    store_access_check(change);
    put_change(parameters, change);
    postgres_deadline_start(session);
    bool sent = postgres_transaction_start(session, NULL, false) &&
                send(session, POSTGRES_LOCK_ACCESS, NULL, 0);
    if (!send(session, POSTGRES_CHANGE_ACCESS, parameters, CHANGE_PARAMETERS) || !sent)
        return postgres_failed(session, NULL, status);
    enum store_result result = postgres_sync(session, take_change, &changed, status);
    if (result == STORE_OK)
        finish_change(change, &changed);
    return result;
}

/* ---- uses ---- */

static void take_nothing(void *context, size_t command, const PGresult *rows)
{
    (void)context;
    CHECK(command == 0 && PQntuples(rows) == 0);
}

enum store_result postgres_keys_used(struct store_session *base, const struct store_key_use *uses,
                                     size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[2];
    CHECK(!session->read_only && count <= STORE_LIST_MAX);
    postgres_parameters_init(parameters, 2);
    postgres_array_start(&parameters[0], POSTGRES_TEXT, count);
    postgres_array_start(&parameters[1], POSTGRES_TIMESTAMPTZ, count);
    for (size_t i = 0; i < count; i++) {
        postgres_array_add(&parameters[0], uses[i].id.data, uses[i].id.size);
        postgres_array_add_time(&parameters[1], uses[i].used_us);
    }
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_NOTE_KEY_USES, NULL, parameters, 2, take_nothing, NULL,
                        status);
}

struct used {
    struct store_key_use *uses;
    size_t count;
};

static void take_uses(void *context, size_t command, const PGresult *rows)
{
    const struct used *used = context;
    CHECK(command == 0);
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t number = (size_t)postgres_int64(rows, row, 0);
        CHECK(number >= 1 && number <= used->count);
        used->uses[number - 1].used_us = postgres_time_us(rows, row, 1);
    }
}

enum store_result postgres_key_uses(struct store_session *base, struct store_key_use *uses,
                                    size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct used used = {uses, count};
    struct buffer ids;
    CHECK(count <= STORE_LIST_MAX);
    postgres_parameters_init(&ids, 1);
    postgres_array_start(&ids, POSTGRES_TEXT, count);
    for (size_t i = 0; i < count; i++) {
        postgres_array_add(&ids, uses[i].id.data, uses[i].id.size);
        uses[i].used_us = 0;
    }
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_KEY_USES, NULL, &ids, 1, take_uses, &used, status);
}

/* ---- records ---- */

struct recorded {
    struct store_audit_record *records;
    size_t count;
};

static void take_recorded(void *context, size_t command, const PGresult *rows)
{
    const struct recorded *recorded = context;
    CHECK(command == 0 && (size_t)PQntuples(rows) == recorded->count);
    for (size_t i = 0; i < recorded->count; i++) {
        recorded->records[i].number = postgres_int64(rows, (int)i, 0);
        recorded->records[i].at_us = postgres_time_us(rows, (int)i, 1);
    }
}

enum store_result postgres_audit_add(struct store_session *base, struct scope scope,
                                     struct store_audit_record *records, size_t count,
                                     struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct recorded recorded = {records, count};
    struct buffer bodies;
    CHECK(!session->read_only && count >= 1 && count <= STORE_LIST_MAX);
    postgres_parameters_init(&bodies, 1);
    postgres_array_start(&bodies, POSTGRES_BYTEA, count);
    for (size_t i = 0; i < count; i++)
        postgres_array_add(&bodies, records[i].body.data, records[i].body.size);
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_ADD_AUDIT, &scope, &bodies, 1, take_recorded, &recorded,
                        status);
}

static void take_audit(void *context, size_t command, const PGresult *rows)
{
    struct store_audit_list *list = context;
    CHECK(command == 0);
    size_t count = (size_t)PQntuples(rows);
    list->more = count > list->limit;
    list->count = list->more ? list->limit : count;
    list->records = arena_calloc(list->arena, list->count, sizeof(*list->records));
    list->no_memory = !list->records;
    for (size_t i = 0; i < list->count && !list->no_memory; i++) {
        struct store_audit_record *record = &list->records[i];
        record->number = postgres_int64(rows, (int)i, 0);
        record->at_us = postgres_time_us(rows, (int)i, 1);
        record->body = postgres_slice(rows, (int)i, 2);
        list->no_memory = !store_slice_copy(&record->body, list->arena);
    }
}

enum store_result postgres_audit_list(struct store_session *base, struct scope scope,
                                      struct store_audit_list *list, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[2];
    postgres_parameters_init(parameters, 2);
    postgres_put_int64(&parameters[0], store_audit_start(list));
    postgres_put_int64(&parameters[1], (int64_t)list->limit + 1);
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_LIST_AUDIT, &scope, parameters, 2, take_audit, list,
                        status);
}

/* ---- what is over ---- */

static void take_more(void *context, size_t command, const PGresult *rows)
{
    CHECK(command == 0 && PQntuples(rows) == 1);
    *(bool *)context = PQgetvalue(rows, 0, 0)[0] != 0;
}

enum store_result postgres_access_trim(struct store_session *base, int64_t before_us, bool *more,
                                       struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer before;
    CHECK(!session->read_only);
    postgres_parameters_init(&before, 1);
    postgres_put_time(&before, before_us);
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_TRIM_ACCESS, NULL, &before, 1, take_more, more, status);
}
