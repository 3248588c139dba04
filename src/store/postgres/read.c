/* Reading events by id, a page of a list, and the backlog. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/keys.h"
#include "store/postgres/session.h"

#define PARAMETER_CAP ((size_t)16 << 20)

/* Columns 0 to 5 of a row; slices are borrowed from `rows`. */
static struct store_event row_event(const PGresult *rows, int row)
{
    struct store_event event = {
        .created_at_us = postgres_time_us(rows, row, 1),
        .source = postgres_slice(rows, row, 2),
        .type = postgres_slice(rows, row, 3),
        .payload = postgres_slice(rows, row, 4),
        .acknowledged_at_us = postgres_time_us(rows, row, 5),
    };
    memcpy(event.id, postgres_id(rows, row, 0), sizeof(event.id));
    return event;
}

/* ---- get ---- */

struct getting {
    struct scope scope;
    struct store_get **gets;
    struct keys keys;
};

static void take_event(struct store_get *get, struct store_event event)
{
    get->outcome = STORE_DONE;
    get->no_memory = !store_event_copy(&event, get->arena);
    if (!get->no_memory)
        get->event = event;
}

static void take_found(void *context, size_t command, const PGresult *rows)
{
    (void)command;
    const struct getting *getting = context;
    const struct keys *keys = &getting->keys;
    for (int row = 0; row < PQntuples(rows); row++) {
        struct store_event event = row_event(rows, row);
        size_t start = keys_find(keys, event.id);
        size_t end = start < keys->count ? keys_group_end(keys, start) : start;
        for (size_t i = start; i < end; i++)
            take_event(getting->gets[keys->list[i].item], event);
    }
}

static void put_distinct_ids(struct buffer *array, const struct keys *keys)
{
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i = keys_group_end(keys, i))
        count++;
    postgres_array_start(array, POSTGRES_UUID, count);
    for (size_t i = 0; i < keys->count; i = keys_group_end(keys, i))
        postgres_array_add(array, keys->list[i].id, TYPEID_BYTES);
}

static enum store_result get_all(struct postgres_session *session, struct getting *getting,
                                 struct status *status)
{
    struct buffer ids;
    buffer_init(&ids, PARAMETER_CAP);
    put_distinct_ids(&ids, &getting->keys);
    enum store_result result;
    if (ids.failed)
        result = store_unavailable(status, "out of memory");
    else if (!postgres_transaction_start(session, false) ||
             !postgres_statement_send(session, POSTGRES_GET, &getting->scope, &ids, 1))
        result = postgres_failed(session, NULL, status);
    else /* row by row, so that only one payload at a time is held besides the arenas */
        result = postgres_sync_row_by_row(session, take_found, getting, status);
    buffer_fini(&ids);
    return result;
}

enum store_result postgres_get(struct store_session *base, struct scope scope,
                               struct store_get **gets, size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    struct getting getting = {
        .scope = scope, .gets = gets, .keys = {calloc(count + 1, sizeof(struct key)), count}};
    if (!getting.keys.list)
        return store_unavailable(status, "out of memory");
    for (size_t i = 0; i < count; i++) {
        gets[i]->outcome = STORE_NOT_FOUND;
        gets[i]->no_memory = false;
        gets[i]->event = (struct store_event){0};
        getting.keys.list[i] = (struct key){gets[i]->id, i};
    }
    keys_sort(&getting.keys);
    enum store_result result = get_all(session, &getting, status);
    free(getting.keys.list);
    return result;
}

/* ---- list ---- */

/* A list of at most so many events is cut here, which costs less than to let the server cut it: at
 * most this many payloads are read in vain. */
#define UNSIZED_MAX 64

/* False when neither this event nor the following ones belong on the page, or when it does not fit.
 * `*bytes` counts those of the payloads. */
static bool take_listed(struct store_list *list, struct store_event event, size_t *bytes)
{
    *bytes += event.payload.size;
    if (list->count == list->limit || (list->count > 0 && *bytes > list->max_bytes)) {
        list->more = true;
        return false;
    }
    list->no_memory = !store_event_copy(&event, list->arena);
    if (!list->no_memory)
        list->events[list->count++] = event;
    return !list->no_memory;
}

static void take_page(void *context, size_t command, const PGresult *rows)
{
    struct store_list **lists = context;
    struct store_list *list = lists[command];
    int count = PQntuples(rows);
    size_t bytes = 0;
    list->count = 0;
    list->more = false;
    list->events = arena_calloc(list->arena, (size_t)count, sizeof(*list->events));
    list->no_memory = !list->events;
    for (int row = 0; row < count && !list->no_memory; row++) {
        if (!take_listed(list, row_event(rows, row), &bytes))
            break;
    }
}

static enum postgres_statement choose_list(const struct store_list *list)
{
    static const enum postgres_statement statements[2][2][2] = {
        {{POSTGRES_LIST_PENDING_NEWEST, POSTGRES_LIST_PENDING_OLDEST},
         {POSTGRES_LIST_ACKNOWLEDGED_NEWEST, POSTGRES_LIST_ACKNOWLEDGED_OLDEST}},
        {{POSTGRES_LIST_PENDING_NEWEST_SIZED, POSTGRES_LIST_PENDING_OLDEST_SIZED},
         {POSTGRES_LIST_ACKNOWLEDGED_NEWEST_SIZED, POSTGRES_LIST_ACKNOWLEDGED_OLDEST_SIZED}},
    };
    return statements[list->limit > UNSIZED_MAX][list->acknowledged][list->oldest_first];
}

static void put_list_parameters(struct buffer parameters[4], const struct store_list *list)
{
    struct store_position after = store_list_start(list);
    int64_t max_bytes = list->max_bytes > INT64_MAX ? INT64_MAX : (int64_t)list->max_bytes;
    postgres_put_time(&parameters[0], after.created_at_us);
    buffer_append(&parameters[1], after.id, sizeof(after.id));
    postgres_put_int64(&parameters[2], (int64_t)list->limit + 1);
    postgres_put_int64(&parameters[3], max_bytes);
}

/* False when the connection is gone or there is no memory. */
static bool send_list(struct postgres_session *session, const struct scope *scope,
                      const struct store_list *list)
{
    struct buffer parameters[4];
    for (size_t i = 0; i < 4; i++)
        buffer_init(&parameters[i], PARAMETER_CAP);
    put_list_parameters(parameters, list);
    bool sent = true;
    for (size_t i = 0; i < 4; i++)
        sent = sent && !parameters[i].failed;
    sent = sent && postgres_statement_send(session, choose_list(list), scope, parameters,
                                           list->limit > UNSIZED_MAX ? 4 : 3);
    for (size_t i = 0; i < 4; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

enum store_result postgres_list(struct store_session *base, struct scope scope,
                                struct store_list **lists, size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    bool sent = postgres_transaction_start(session, false);
    for (size_t i = 0; i < count && sent; i++)
        sent = send_list(session, &scope, lists[i]);
    if (!sent)
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, take_page, lists, status);
}

/* ---- backlog ---- */

static void take_backlog(void *context, size_t command, const PGresult *rows)
{
    struct store_backlog *backlog = context;
    CHECK(command <= 1 && PQntuples(rows) == 1);
    if (command == 1) {
        backlog->asynchronous_standbys = postgres_int64(rows, 0, 0);
        return;
    }
    backlog->pending = postgres_int64(rows, 0, 0);
    backlog->oldest_created_at_us = postgres_time_us(rows, 0, 1);
}

enum store_result postgres_backlog(struct store_session *base, struct scope scope,
                                   struct store_backlog *backlog, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    struct buffer limit;
    buffer_init(&limit, PARAMETER_CAP);
    postgres_put_int64(&limit, STORE_BACKLOG_EXACT + 1);
    enum store_result result;
    if (limit.failed)
        result = store_unavailable(status, "out of memory");
    else if (!postgres_transaction_start(session, false) ||
             !postgres_statement_send(session, POSTGRES_BACKLOG, &scope, &limit, 1) ||
             !postgres_statement_send(session, POSTGRES_STANDBYS, NULL, NULL, 0))
        result = postgres_failed(session, NULL, status);
    else
        result = postgres_sync(session, take_backlog, backlog, status);
    buffer_fini(&limit);
    return result;
}
