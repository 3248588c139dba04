/* The dead letters of subscriptions. */
#include <stdlib.h>

#include "store/sqlite/session.h"

#include "base/check.h"

/* ---- moving ---- */

static int add_dead_letter(struct sqlite_session *session, struct scope scope,
                           const struct store_settlement *settlement,
                           const struct store_dead_letter *letter)
{
    sqlite3_stmt *statement =
        sqlite_statement_about(session, scope, settlement->subscription, SQLITE_ADD_DEAD_LETTER);
    sqlite_bind_int64(statement, 3, settlement->entry.number);
    sqlite_bind_int64(statement, 4, letter->sequence);
    sqlite_bind_int64(statement, 5, letter->attempts);
    sqlite_bind_int64(statement, 6, letter->first_us);
    sqlite_bind_int64(statement, 7, settlement->entry.at_us);
    sqlite_bind_text(statement, 8, letter->reason);
    return sqlite_step(session, statement);
}

static int revive(struct sqlite_session *session, struct scope scope, int64_t subscription,
                  int64_t sequence)
{
    sqlite3_stmt *statement = sqlite_statement_about(session, scope, subscription, SQLITE_REVIVE);
    sqlite_bind_int64(statement, 3, sequence);
    return sqlite_step(session, statement);
}

int sqlite_move_dead_letters(struct sqlite_session *session, struct scope scope,
                             const struct store_settlement *settlement)
{
    int code = SQLITE_DONE;
    for (size_t i = 0; i < settlement->revived_count && code == SQLITE_DONE; i++)
        code = revive(session, scope, settlement->subscription, settlement->revived[i]);
    for (size_t i = 0; i < settlement->dead_count && code == SQLITE_DONE; i++)
        code = add_dead_letter(session, scope, settlement, &settlement->dead[i]);
    return code;
}

/* ---- listing ---- */

/* Where a dead letter is in the list. */
struct letter_place {
    int64_t settlement, sequence;
};

struct letters_reading {
    struct sqlite_session *session;
    struct scope scope;
    struct store_dead_letters *list;
    struct letter_place after; /* where it begins */
    size_t bytes;              /* of the payloads */
};

static bool is_any(const struct store_filter *filter)
{
    return filter->source_count == 0 && filter->type_count == 0 && filter->from_us == 0 &&
           filter->until_us == 0;
}

/* Whether the event of the current row is there and passes the filter; sets it, borrowed. */
static int read_event(struct letters_reading *reading, sqlite3_stmt *statement,
                      struct store_event *event, bool *passes)
{
    const struct store_filter *filter = &reading->list->filter;
    *event = (struct store_event){0};
    *passes = is_any(filter);
    if (sqlite3_column_type(statement, 0) == SQLITE_NULL)
        return SQLITE_DONE;
    *event = sqlite_row_event(statement);
    event->acknowledged_at_us = sqlite3_column_int64(statement, 7);
    int code = sqlite_pair(reading->session, reading->scope, event);
    *passes = event->created_at_us >= store_filter_from(filter) &&
              (filter->until_us == 0 || event->created_at_us < filter->until_us) &&
              store_filter_fits(filter->sources, filter->source_count, event->source) &&
              store_filter_fits(filter->types, filter->type_count, event->type);
    return code;
}

/* Takes the current row, whose event is `event`; false when it does not fit the arena. */
static bool take_letter(struct letters_reading *reading, sqlite3_stmt *statement,
                        const struct store_event *event)
{
    struct store_dead_letters *list = reading->list;
    struct store_listed_dead_letter *row = &list->letters[list->count];
    *row = (struct store_listed_dead_letter){
        .letter =
            {
                .sequence = sqlite3_column_int64(statement, 8),
                .attempts = (uint32_t)sqlite3_column_int64(statement, 10),
                .first_us = sqlite3_column_int64(statement, 11),
                .dead_us = sqlite3_column_int64(statement, 12),
                .reason = sqlite_column_slice(statement, 13),
            },
        .settlement = sqlite3_column_int64(statement, 9),
        .event = *event,
    };
    if (!store_slice_copy(&row->letter.reason, list->arena) ||
        !store_event_copy(&row->event, list->arena))
        return false;
    list->count++;
    return true;
}

/* Reads the current row onto the list, if it passes the filter; *full when nothing more can be. */
static int read_letter(struct letters_reading *reading, sqlite3_stmt *statement, bool *full)
{
    struct store_dead_letters *list = reading->list;
    struct store_event event;
    bool passes;
    int code = read_event(reading, statement, &event, &passes);
    if (code == SQLITE_DONE && passes) {
        reading->bytes += event.payload.size;
        list->more =
            list->count == list->limit || (list->count > 0 && reading->bytes > list->max_bytes);
        list->no_memory = !list->more && !take_letter(reading, statement, &event);
    }
    *full = list->more || list->no_memory;
    return code;
}

/* The statement whose rows are those after the place. */
static sqlite3_stmt *letters_after(struct letters_reading *reading, struct letter_place place)
{
    sqlite3_stmt *statement = sqlite_statement_about(
        reading->session, reading->scope, reading->list->subscription, SQLITE_DEAD_LETTERS);
    sqlite_bind_int64(statement, 3, place.settlement);
    sqlite_bind_int64(statement, 4, place.sequence);
    return statement;
}

static int read_all(struct letters_reading *reading)
{
    sqlite3_stmt *statement = letters_after(reading, reading->after);
    bool full = false;
    int code;
    while ((code = sqlite_step(reading->session, statement)) == SQLITE_ROW) {
        code = read_letter(reading, statement, &full);
        if (code != SQLITE_DONE || full) {
            sqlite3_reset(statement);
            break;
        }
    }
    return code;
}

/* ---- those of some events ---- */

/* In the order of the list. */
static int compare_places(const void *left, const void *right)
{
    const struct letter_place *a = left, *b = right;
    if (a->settlement != b->settlement)
        return a->settlement > b->settlement ? -1 : 1;
    return (a->sequence < b->sequence) - (a->sequence > b->sequence);
}

/* Finds where the events are that are dead letters, in the order of the list. */
static int find_places(struct letters_reading *reading, struct letter_place *places, size_t *count)
{
    const struct store_dead_letters *list = reading->list;
    int code = SQLITE_DONE;
    for (size_t i = 0; i < list->sequence_count && code == SQLITE_DONE; i++) {
        struct letter_place place = {.sequence = list->sequences[i]};
        sqlite3_stmt *statement = sqlite_statement_about(
            reading->session, reading->scope, list->subscription, SQLITE_DEAD_LETTER_SETTLEMENT);
        sqlite_bind_int64(statement, 3, place.sequence);
        code = sqlite_number(reading->session, statement, &place.settlement);
        if (place.settlement != 0 && compare_places(&place, &reading->after) > 0)
            places[(*count)++] = place;
    }
    if (*count > 1)
        qsort(places, *count, sizeof(*places), compare_places);
    return code;
}

/* Reads the one at the place, which is there. */
static int read_at(struct letters_reading *reading, struct letter_place place, bool *full)
{
    sqlite3_stmt *statement =
        letters_after(reading, (struct letter_place){place.settlement, place.sequence + 1});
    int code = sqlite_step(reading->session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    code = read_letter(reading, statement, full);
    sqlite3_reset(statement);
    return code;
}

static int read_some(struct letters_reading *reading, struct letter_place *places)
{
    size_t count = 0;
    bool full = false;
    int code = find_places(reading, places, &count);
    for (size_t i = 0; i < count && code == SQLITE_DONE && !full; i++)
        if (i == 0 || compare_places(&places[i - 1], &places[i]) != 0)
            code = read_at(reading, places[i], &full);
    return code;
}

/* ---- the list ---- */

enum store_result sqlite_dead_letters(struct store_session *base, struct scope scope,
                                      struct store_dead_letters *list, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    CHECK(list->limit >= 1 && list->limit <= STORE_LIST_MAX);
    list->count = 0;
    list->more = false;
    list->letters = arena_calloc(list->arena, list->limit, sizeof(*list->letters));
    struct letter_place *places = arena_calloc(list->arena, list->sequence_count, sizeof(*places));
    list->no_memory = !list->letters || !places;
    if (list->no_memory)
        return STORE_OK;
    bool begins = list->after_settlement == 0 && list->after_sequence == 0;
    struct letters_reading reading = {
        .session = session,
        .scope = scope,
        .list = list,
        .after = {begins ? INT64_MAX : list->after_settlement,
                  begins ? INT64_MAX : list->after_sequence},
    };
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN));
    if (code == SQLITE_DONE)
        code = list->sequences ? read_some(&reading, places) : read_all(&reading);
    sqlite_end_read(session);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}
