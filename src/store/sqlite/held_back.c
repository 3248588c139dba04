/* Events that are held back: until their time, or after others of their ordering key. */
#include "store/sqlite/session.h"

#include "base/check.h"

/* The position of a sequence, which need not be one of the log's. */
static int64_t position_of(struct scope scope, int64_t sequence)
{
    if (sequence < 0)
        sequence = 0;
    if (sequence > SQLITE_SEQUENCE_MAX)
        sequence = SQLITE_SEQUENCE_MAX;
    return sqlite_position(scope, sequence);
}

/* Binds the first and the last position after one sequence and up to another. */
static void bind_range(sqlite3_stmt *statement, int index, struct scope scope, int64_t after,
                       int64_t to)
{
    sqlite_bind_int64(statement, index, position_of(scope, after) + 1);
    sqlite_bind_int64(statement, index + 1, position_of(scope, to));
}

/* Whether the kind passes the filter's names. */
static int check_kind(struct sqlite_session *session, struct scope scope,
                      const struct store_filter *filter, int32_t kind, bool *passes)
{
    struct store_event event = {.kind = kind};
    *passes = filter->source_count == 0 && filter->type_count == 0;
    if (*passes)
        return SQLITE_DONE;
    int code = sqlite_pair(session, scope, &event);
    *passes = code == SQLITE_DONE &&
              store_filter_fits(filter->sources, filter->source_count, event.source) &&
              store_filter_fits(filter->types, filter->type_count, event.type);
    return code;
}

/* ---- until their time ---- */

struct delayed_reading {
    struct sqlite_session *session;
    struct scope scope;
    struct store_delayed *delayed;
    size_t bytes; /* of the payloads */
};

/* Reads the event onto the page; *full when nothing more can be. */
static int read_delayed(struct delayed_reading *reading, int64_t position, bool *full)
{
    struct store_delayed *delayed = reading->delayed;
    sqlite3_stmt *statement = sqlite_statement_of(reading->session, reading->scope, SQLITE_GET_AT);
    sqlite_bind_int64(statement, 2, sqlite_sequence(position));
    int code = sqlite_step(reading->session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    struct store_event event = sqlite_row_event(statement);
    event.acknowledged_at_us = sqlite3_column_int64(statement, 7);
    code = sqlite_pair(reading->session, reading->scope, &event);
    reading->bytes += event.payload.size;
    delayed->more = delayed->count > 0 && reading->bytes > delayed->max_bytes;
    if (code == SQLITE_DONE && !delayed->more) {
        delayed->no_memory = !store_event_copy(&event, delayed->arena);
        delayed->events[delayed->count++] = event;
    }
    *full = delayed->more || delayed->no_memory;
    sqlite3_reset(statement);
    return code;
}

/* Takes the current row of the walk; *full when nothing more can be. */
static int take_delayed(struct delayed_reading *reading, sqlite3_stmt *statement, bool *full)
{
    struct store_delayed *delayed = reading->delayed;
    bool passes;
    int code = check_kind(reading->session, reading->scope, &delayed->filter,
                          sqlite3_column_int(statement, 1), &passes);
    if (code != SQLITE_DONE || !passes)
        return code;
    *full = delayed->more = delayed->count == delayed->limit;
    return *full ? code : read_delayed(reading, sqlite3_column_int64(statement, 0), full);
}

static int read_page(struct delayed_reading *reading)
{
    const struct store_delayed *delayed = reading->delayed;
    sqlite3_stmt *statement = sqlite_statement_of(reading->session, reading->scope, SQLITE_DELAYED);
    sqlite_bind_int64(statement, 2, delayed->after_us);
    sqlite_bind_int64(statement, 3, position_of(reading->scope, delayed->after_sequence));
    sqlite_bind_int64(statement, 4, delayed->until_us);
    bind_range(statement, 5, reading->scope, delayed->from_sequence, delayed->to_sequence);
    sqlite_bind_int64(statement, 7, delayed->pending);
    bool full = false;
    int code;
    while ((code = sqlite_step(reading->session, statement)) == SQLITE_ROW) {
        code = take_delayed(reading, statement, &full);
        if (code != SQLITE_DONE || full) {
            sqlite3_reset(statement);
            break;
        }
    }
    return code;
}

static int find_next(struct delayed_reading *reading)
{
    struct store_delayed *delayed = reading->delayed;
    sqlite3_stmt *statement =
        sqlite_statement_of(reading->session, reading->scope, SQLITE_NEXT_DELAYED);
    sqlite_bind_int64(statement, 2, delayed->until_us);
    bind_range(statement, 3, reading->scope, delayed->from_sequence, delayed->to_sequence);
    int code = sqlite_number(reading->session, statement, &delayed->next_us);
    if (delayed->next_us == 0)
        delayed->next_us = INT64_MAX;
    return code;
}

static int count_delayed(struct delayed_reading *reading)
{
    struct store_delayed *delayed = reading->delayed;
    sqlite3_stmt *statement =
        sqlite_statement_of(reading->session, reading->scope, SQLITE_COUNT_DELAYED);
    sqlite_bind_int64(statement, 2, delayed->after_us);
    sqlite_bind_int64(statement, 3, position_of(reading->scope, delayed->after_sequence));
    bind_range(statement, 4, reading->scope, delayed->from_sequence, delayed->to_sequence);
    sqlite_bind_int64(statement, 6, STORE_DELAYED_COUNT);
    return sqlite_number(reading->session, statement, &delayed->total);
}

enum store_result sqlite_delayed(struct store_session *base, struct scope scope,
                                 struct store_delayed *delayed, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct delayed_reading reading = {session, scope, delayed, 0};
    CHECK(delayed->limit >= 1 && delayed->limit <= STORE_LIST_MAX);
    delayed->count = 0;
    delayed->more = false;
    delayed->events = arena_calloc(delayed->arena, delayed->limit, sizeof(*delayed->events));
    delayed->no_memory = !delayed->events;
    if (delayed->no_memory)
        return STORE_OK;
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN));
    if (code == SQLITE_DONE)
        code = read_page(&reading);
    if (code == SQLITE_DONE)
        code = find_next(&reading);
    if (code == SQLITE_DONE && delayed->counts)
        code = count_delayed(&reading);
    sqlite_end_read(session);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

/* ---- after others of their key ---- */

static int find_next_of_key(struct sqlite_session *session, struct scope scope,
                            const struct store_key_walk *walk, struct store_key_next *key)
{
    sqlite3_stmt *statement = sqlite_statement_of(session, scope, SQLITE_OF_KEY);
    sqlite_bind_int64(statement, 2, (int64_t)key->key);
    bind_range(statement, 3, scope, key->after, walk->to);
    sqlite_bind_int64(statement, 5, walk->pending);
    bool passes = false;
    int code;
    while ((code = sqlite_step(session, statement)) == SQLITE_ROW) {
        code = check_kind(session, scope, &walk->filter, sqlite3_column_int(statement, 1), &passes);
        if (passes)
            key->next = sqlite_sequence(sqlite3_column_int64(statement, 0));
        if (code != SQLITE_DONE || passes) {
            sqlite3_reset(statement);
            break;
        }
    }
    return code;
}

enum store_result sqlite_key_next(struct store_session *base, struct scope scope,
                                  struct store_key_walk *walk, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    CHECK(walk->count <= STORE_LIST_MAX);
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN));
    for (size_t i = 0; i < walk->count && code == SQLITE_DONE; i++) {
        walk->keys[i].next = 0;
        code = find_next_of_key(session, scope, walk, &walk->keys[i]);
    }
    sqlite_end_read(session);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}
