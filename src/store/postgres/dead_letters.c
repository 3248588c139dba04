/* Dead letters with their events. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/session.h"

#define FIRST_COLUMN 8 /* of a dead letter, after those of its event */
#define PAYLOAD_COLUMN 4
#define PARAMETERS 11  /* at most */
#define UNSIZED_MAX 64 /* rows of a page that is cut here alone; the server cuts larger ones */

/* False when it does not fit the arena. */
static bool take_letter(struct store_listed_dead_letter *listed, struct arena *arena,
                        const PGresult *rows, int row)
{
    struct slice reason = postgres_slice(rows, row, FIRST_COLUMN + 5);
    *listed = (struct store_listed_dead_letter){
        .letter =
            {
                .sequence = postgres_int64(rows, row, FIRST_COLUMN),
                .attempts = (uint32_t)postgres_int64(rows, row, FIRST_COLUMN + 1),
                .first_us = postgres_time_us(rows, row, FIRST_COLUMN + 2),
                .dead_us = postgres_time_us(rows, row, FIRST_COLUMN + 4),
                .reason = {arena_copy(arena, reason.data, reason.size), reason.size},
            },
        .settlement = postgres_int64(rows, row, FIRST_COLUMN + 3),
    };
    if (!PQgetisnull(rows, row, 0))
        listed->event = postgres_event(rows, row);
    return listed->letter.reason.data && store_event_copy(&listed->event, arena);
}

static void take_letters(void *context, size_t command, const PGresult *rows)
{
    struct store_dead_letters *list = context;
    CHECK(command == 0);
    size_t count = (size_t)PQntuples(rows);
    size_t bytes = 0;
    list->letters = arena_calloc(list->arena, list->limit, sizeof(*list->letters));
    list->no_memory = !list->letters;
    list->count = 0;
    list->more = false;
    for (size_t i = 0; i < count && !list->no_memory && !list->more; i++) {
        bytes += (size_t)PQgetlength(rows, (int)i, PAYLOAD_COLUMN);
        list->more = list->count == list->limit || (list->count > 0 && bytes > list->max_bytes);
        if (!list->more)
            list->no_memory =
                !take_letter(&list->letters[list->count++], list->arena, rows, (int)i);
    }
}

static bool filters(const struct store_filter *filter)
{
    return filter->source_count > 0 || filter->type_count > 0 || filter->from_us != 0 ||
           filter->until_us != 0;
}

/* Chooses the statement, but for its size, and puts its parameters; *count of them. */
static enum postgres_statement put_rows(struct buffer parameters[PARAMETERS], int *count,
                                        const struct store_dead_letters *list)
{
    bool first = list->after_settlement == 0;
    bool filtered = filters(&list->filter);
    postgres_parameters_init(parameters, PARAMETERS);
    postgres_put_int64(&parameters[0], list->subscription);
    postgres_put_int64(&parameters[1], first ? INT64_MAX : list->after_settlement);
    postgres_put_int64(&parameters[2], first ? INT64_MAX : list->after_sequence);
    postgres_put_int64(&parameters[3], (int64_t)list->limit + 1);
    *count = 4;
    if (!filtered && !list->sequences)
        return POSTGRES_DEAD_LETTERS;
    postgres_put_names(&parameters[4], list->filter.sources, list->filter.source_count);
    postgres_put_names(&parameters[5], list->filter.types, list->filter.type_count);
    postgres_put_time(&parameters[6], store_filter_from(&list->filter));
    postgres_put_time(&parameters[7], store_filter_until(&list->filter));
    *count = 8;
    if (!list->sequences)
        return POSTGRES_DEAD_LETTERS_OF_KINDS;
    postgres_array_start(&parameters[8], POSTGRES_INT8, list->sequence_count);
    for (size_t i = 0; i < list->sequence_count; i++)
        postgres_array_add_int64(&parameters[8], list->sequences[i]);
    buffer_append(&parameters[9], filtered ? "\1" : "\0", 1);
    *count = 10;
    return POSTGRES_DEAD_LETTERS_OF_EVENTS;
}

/* The whole choice. embed.py puts the statement that the server cuts after the other one. */
static enum postgres_statement put_page(struct buffer parameters[PARAMETERS], int *count,
                                        const struct store_dead_letters *list)
{
    enum postgres_statement which = put_rows(parameters, count, list);
    if (list->limit <= UNSIZED_MAX)
        return which;
    postgres_put_int64(&parameters[(*count)++],
                       list->max_bytes > INT64_MAX ? INT64_MAX : (int64_t)list->max_bytes);
    return which + 1;
}

static enum store_result name_letters(struct postgres_session *session, struct scope scope,
                                      const struct store_dead_letters *list, bool *no_memory,
                                      struct status *status)
{
    size_t count = 0;
    struct postgres_unnamed *unnamed = calloc(list->count + 1, sizeof(*unnamed));
    if (!unnamed)
        return store_unavailable(status, "out of memory");
    for (size_t i = 0; i < list->count; i++)
        if (list->letters[i].event.kind != 0)
            unnamed[count++] =
                (struct postgres_unnamed){&list->letters[i].event, list->arena, no_memory};
    enum store_result result = postgres_name_events(session, scope, unnamed, count, status);
    free(unnamed);
    return result;
}

enum store_result postgres_dead_letters(struct store_session *base, struct scope scope,
                                        struct store_dead_letters *list, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[PARAMETERS];
    int count;
    CHECK(list->limit >= 1 && list->limit <= STORE_LIST_MAX);
    enum postgres_statement which = put_page(parameters, &count, list);
    postgres_deadline_start(session);
    enum store_result result =
        postgres_run(session, which, &scope, parameters, count, take_letters, list, status);
    if (result != STORE_OK || list->no_memory)
        return result;
    return name_letters(session, scope, list, &list->no_memory, status);
}
