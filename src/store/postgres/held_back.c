/* Events that are held back: until their time, or after others of their ordering key. */
#include <stdlib.h>

#include "base/check.h"
#include "store/postgres/session.h"

#define PAYLOAD_COLUMN 4
#define UNSIZED_MAX 64 /* rows of a page that is cut here alone; the server cuts larger ones */

/* ---- until their time ---- */

static void take_page(struct store_delayed *delayed, const PGresult *rows)
{
    size_t count = (size_t)PQntuples(rows);
    size_t bytes = 0;
    delayed->events = arena_calloc(delayed->arena, delayed->limit, sizeof(*delayed->events));
    delayed->no_memory = !delayed->events;
    delayed->count = 0;
    delayed->more = false;
    for (size_t i = 0; i < count && !delayed->no_memory && !delayed->more; i++) {
        bytes += (size_t)PQgetlength(rows, (int)i, PAYLOAD_COLUMN);
        delayed->more =
            delayed->count == delayed->limit || (delayed->count > 0 && bytes > delayed->max_bytes);
        if (delayed->more)
            break;
        struct store_event event = postgres_event(rows, (int)i);
        delayed->no_memory = !store_event_copy(&event, delayed->arena);
        delayed->events[delayed->count++] = event;
    }
}

static void take_delayed(void *context, size_t command, const PGresult *rows)
{
    struct store_delayed *delayed = context;
    if (command == 0) {
        take_page(delayed, rows);
        return;
    }
    CHECK(command <= 2 && PQntuples(rows) == 1);
    if (command == 1)
        delayed->next_us = PQgetisnull(rows, 0, 0) ? INT64_MAX : postgres_time_us(rows, 0, 0);
    else
        delayed->total = postgres_int64(rows, 0, 0);
}

static void put_truth(struct buffer *value, bool truth)
{
    buffer_append(value, truth ? "\1" : "\0", 1);
}

/* Queues the statement and frees its parameters; false when the connection is gone or there is no
 * memory. */
static bool send(struct postgres_session *session, enum postgres_statement which,
                 const struct scope *scope, struct buffer *parameters, int count)
{
    bool sent = true;
    for (int i = 0; i < count; i++)
        sent = sent && !parameters[i].failed;
    sent = sent && postgres_statement_send(session, which, scope, parameters, count);
    for (int i = 0; i < count; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

static bool send_page(struct postgres_session *session, const struct scope *scope,
                      const struct store_delayed *delayed)
{
    struct buffer parameters[10];
    bool sized = delayed->limit > UNSIZED_MAX;
    postgres_parameters_init(parameters, 10);
    postgres_put_time(&parameters[0], delayed->after_us);
    postgres_put_int64(&parameters[1], delayed->after_sequence);
    postgres_put_time(&parameters[2], delayed->until_us);
    postgres_put_int64(&parameters[3], (int64_t)delayed->limit + 1);
    postgres_put_names(&parameters[4], delayed->filter.sources, delayed->filter.source_count);
    postgres_put_names(&parameters[5], delayed->filter.types, delayed->filter.type_count);
    postgres_put_int64(&parameters[6], delayed->from_sequence);
    postgres_put_int64(&parameters[7], delayed->to_sequence);
    put_truth(&parameters[8], delayed->pending);
    if (sized)
        postgres_put_int64(&parameters[9], delayed->max_bytes > INT64_MAX
                                               ? INT64_MAX
                                               : (int64_t)delayed->max_bytes);
    return send(session, sized ? POSTGRES_DELAYED_SIZED : POSTGRES_DELAYED, scope, parameters,
                9 + sized);
}

static bool send_next(struct postgres_session *session, const struct scope *scope,
                      const struct store_delayed *delayed)
{
    struct buffer parameters[3];
    postgres_parameters_init(parameters, 3);
    postgres_put_time(&parameters[0], delayed->until_us);
    postgres_put_int64(&parameters[1], delayed->from_sequence);
    postgres_put_int64(&parameters[2], delayed->to_sequence);
    return send(session, POSTGRES_NEXT_DELAYED, scope, parameters, 3);
}

static bool send_count(struct postgres_session *session, const struct scope *scope,
                       const struct store_delayed *delayed)
{
    struct buffer parameters[5];
    postgres_parameters_init(parameters, 5);
    postgres_put_time(&parameters[0], delayed->after_us);
    postgres_put_int64(&parameters[1], delayed->after_sequence);
    postgres_put_int64(&parameters[2], delayed->from_sequence);
    postgres_put_int64(&parameters[3], delayed->to_sequence);
    postgres_put_int64(&parameters[4], STORE_DELAYED_COUNT);
    return send(session, POSTGRES_COUNT_DELAYED, scope, parameters, 5);
}

static enum store_result name_delayed(struct postgres_session *session, struct scope scope,
                                      struct store_delayed *delayed, struct status *status)
{
    struct postgres_unnamed *unnamed = calloc(delayed->count + 1, sizeof(*unnamed));
    if (!unnamed)
        return store_unavailable(status, "out of memory");
    for (size_t i = 0; i < delayed->count; i++)
        unnamed[i] =
            (struct postgres_unnamed){&delayed->events[i], delayed->arena, &delayed->no_memory};
    enum store_result result =
        postgres_name_events(session, scope, unnamed, delayed->count, status);
    free(unnamed);
    return result;
}

enum store_result postgres_delayed(struct store_session *base, struct scope scope,
                                   struct store_delayed *delayed, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    CHECK(delayed->limit >= 1 && delayed->limit <= STORE_LIST_MAX);
    postgres_deadline_start(session);
    bool sent = postgres_transaction_start(session, &scope, false) &&
                send_page(session, &scope, delayed) && send_next(session, &scope, delayed) &&
                (!delayed->counts || send_count(session, &scope, delayed));
    if (!sent)
        return postgres_failed(session, NULL, status);
    enum store_result result = postgres_sync(session, take_delayed, delayed, status);
    if (result != STORE_OK || delayed->no_memory)
        return result;
    return name_delayed(session, scope, delayed, status);
}

/* ---- after others of their key ---- */

static void take_next(void *context, size_t command, const PGresult *rows)
{
    const struct store_key_walk *walk = context;
    CHECK(command == 0);
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t number = (size_t)postgres_int64(rows, row, 0);
        CHECK(number >= 1 && number <= walk->count);
        walk->keys[number - 1].next = postgres_int64(rows, row, 1);
    }
}

enum store_result postgres_key_next(struct store_session *base, struct scope scope,
                                    struct store_key_walk *walk, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[6];
    CHECK(walk->count <= STORE_LIST_MAX);
    postgres_parameters_init(parameters, 6);
    postgres_array_start(&parameters[0], POSTGRES_INT8, walk->count);
    postgres_array_start(&parameters[1], POSTGRES_INT8, walk->count);
    for (size_t i = 0; i < walk->count; i++) {
        postgres_array_add_int64(&parameters[0], (int64_t)walk->keys[i].key);
        postgres_array_add_int64(&parameters[1], walk->keys[i].after);
        walk->keys[i].next = 0;
    }
    postgres_put_int64(&parameters[2], walk->to);
    put_truth(&parameters[3], walk->pending);
    postgres_put_names(&parameters[4], walk->filter.sources, walk->filter.source_count);
    postgres_put_names(&parameters[5], walk->filter.types, walk->filter.type_count);
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_KEY_NEXT, &scope, parameters, 6, take_next, walk, status);
}
