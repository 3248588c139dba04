/* Kinds, pairs of source and event type, as numbers and as names. A session asks for what it does
 * not know; what it knows never changes. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/session.h"

#define PARAMETER_CAP ((size_t)64 << 20)

/* ---- from names to numbers ---- */

/* The appends of a batch whose kinds are not known, those of one pair together. */
struct numbering {
    struct postgres_session *session;
    struct scope scope;
    struct store_event **events;
    size_t count;
    size_t *groups; /* where each pair begins, and `count` at the end */
    size_t group_count;
    size_t find_step; /* the number of the statement whose rows are pairs and kinds */
};

static int compare_slices(struct slice a, struct slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_pairs(const void *left, const void *right)
{
    const struct store_event *a = *(struct store_event *const *)left;
    const struct store_event *b = *(struct store_event *const *)right;
    int order = compare_slices(a->source, b->source);
    return order != 0 ? order : compare_slices(a->type, b->type);
}

/* Sets the kinds that the session knows, and gathers the other events. */
static void gather_unknown(struct numbering *numbering, const struct store_write *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct store_event *event = &batch->items[i]->event;
        if (batch->items[i]->kind != STORE_APPEND)
            continue;
        event->kind =
            names_kind(&numbering->session->names, numbering->scope, event->source, event->type);
        if (event->kind == 0)
            numbering->events[numbering->count++] = event;
    }
    if (numbering->count > 1)
        qsort(numbering->events, numbering->count, sizeof(struct store_event *), compare_pairs);
    for (size_t i = 0; i < numbering->count; i++)
        if (i == 0 || compare_pairs(&numbering->events[i - 1], &numbering->events[i]) != 0)
            numbering->groups[numbering->group_count++] = i;
    numbering->groups[numbering->group_count] = numbering->count;
}

static void take_numbers(void *context, size_t command, const PGresult *rows)
{
    struct numbering *numbering = context;
    for (int row = 0; command == numbering->find_step && row < PQntuples(rows); row++) {
        size_t group = (size_t)postgres_int64(rows, row, 0) - 1;
        int32_t kind = postgres_int32(rows, row, 1);
        CHECK(group < numbering->group_count && kind > 0);
        for (size_t i = numbering->groups[group]; i < numbering->groups[group + 1]; i++)
            numbering->events[i]->kind = kind;
    }
}

static bool send_pairs(struct numbering *numbering, const struct buffer pairs[2], bool add)
{
    struct postgres_session *session = numbering->session;
    const struct scope *scope = &numbering->scope;
    numbering->find_step = add ? 1 : 0;
    bool sent = postgres_transaction_start(session, scope, false);
    if (add)
        sent = sent && postgres_statement_send(session, POSTGRES_ADD_KINDS, scope, pairs, 2);
    return sent && postgres_statement_send(session, POSTGRES_FIND_KINDS, scope, pairs, 2);
}

/* Asks for the numbers; with `add` those without one get one. */
static enum store_result ask_numbers(struct numbering *numbering, bool add, struct status *status)
{
    struct postgres_session *session = numbering->session;
    struct buffer pairs[2];
    for (size_t i = 0; i < 2; i++) {
        buffer_init(&pairs[i], PARAMETER_CAP);
        postgres_array_start(&pairs[i], POSTGRES_TEXT, numbering->group_count);
    }
    for (size_t i = 0; i < numbering->group_count; i++) {
        const struct store_event *event = numbering->events[numbering->groups[i]];
        postgres_array_add(&pairs[0], event->source.data, event->source.size);
        postgres_array_add(&pairs[1], event->type.data, event->type.size);
    }
    enum store_result result;
    if (pairs[0].failed || pairs[1].failed)
        result = store_unavailable(status, "out of memory");
    else if (!send_pairs(numbering, pairs, add))
        result = postgres_failed(session, NULL, status);
    else
        result = postgres_sync(session, take_numbers, numbering, status);
    buffer_fini(&pairs[0]);
    buffer_fini(&pairs[1]);
    return result;
}

static enum store_result number_unknown(struct numbering *numbering, bool add,
                                        struct status *status)
{
    enum store_result result = ask_numbers(numbering, add, status);
    if (result == STORE_LOCKED) /* no item of the batch is at fault */
        result =
            store_unavailable(status, "another session of the database keeps the kinds locked");
    if (result != STORE_OK)
        return result;
    for (size_t i = 0; i < numbering->group_count; i++) {
        const struct store_event *event = numbering->events[numbering->groups[i]];
        CHECK(event->kind > 0 || !add);
        if (event->kind > 0)
            names_add(&numbering->session->names, numbering->scope, event->kind, event->source,
                      event->type);
    }
    return STORE_OK;
}

enum store_result postgres_number_kinds(struct postgres_session *session, struct scope scope,
                                        const struct store_write *batch, bool add,
                                        struct status *status)
{
    struct numbering numbering = {
        .session = session,
        .scope = scope,
        .events = calloc(batch->count + 1, sizeof(struct store_event *)),
        .groups = calloc(batch->count + 1, sizeof(size_t)),
    };
    enum store_result result = STORE_OK;
    if (!numbering.events || !numbering.groups) {
        result = store_unavailable(status, "out of memory");
    } else {
        gather_unknown(&numbering, batch);
        if (numbering.count > 0)
            result = number_unknown(&numbering, add, status);
    }
    free(numbering.events);
    free(numbering.groups);
    return result;
}

/* ---- from numbers to names ---- */

/* Whether the session knows the names; if so, the event gets a copy of them. */
static bool name_event(struct postgres_session *session, struct scope scope,
                       const struct postgres_unnamed *unnamed)
{
    struct store_event *event = unnamed->event;
    const struct name *name = names_pair(&session->names, scope, event->kind);
    if (!name)
        return false;
    char *text = arena_alloc(unnamed->arena, name->source.size + name->type.size + 1);
    *unnamed->no_memory = *unnamed->no_memory || !text;
    if (!text)
        return true;
    memcpy(text, name->source.data, name->source.size);
    memcpy(text + name->source.size, name->type.data, name->type.size);
    event->source = (struct slice){text, name->source.size};
    event->type = (struct slice){text + name->source.size, name->type.size};
    return true;
}

struct naming {
    struct postgres_session *session;
    struct scope scope;
};

static void take_names(void *context, size_t command, const PGresult *rows)
{
    const struct naming *naming = context;
    CHECK(command == 0);
    for (int row = 0; row < PQntuples(rows); row++)
        names_add(&naming->session->names, naming->scope, postgres_int32(rows, row, 0),
                  postgres_slice(rows, row, 1), postgres_slice(rows, row, 2));
}

/* Asks for the names of the kinds of the first events, which are not known. */
static enum store_result ask_names(struct postgres_session *session, struct scope scope,
                                   const int32_t *kinds, size_t count, struct status *status)
{
    struct naming naming = {session, scope};
    struct buffer array;
    buffer_init(&array, PARAMETER_CAP);
    postgres_array_start(&array, POSTGRES_INT4, count);
    for (size_t i = 0; i < count; i++)
        postgres_array_add_int32(&array, kinds[i]);
    enum store_result result;
    if (array.failed)
        result = store_unavailable(status, "out of memory");
    else if (!postgres_transaction_start(session, &scope, false) ||
             !postgres_statement_send(session, POSTGRES_NAMES, &scope, &array, 1))
        result = postgres_failed(session, NULL, status);
    else
        result = postgres_sync(session, take_names, &naming, status);
    buffer_fini(&array);
    return result;
}

enum store_result postgres_name_events(struct postgres_session *session, struct scope scope,
                                       const struct postgres_unnamed *unnamed, size_t count,
                                       struct status *status)
{
    int32_t unknown[STORE_LIST_MAX];
    size_t named = 0;
    while (named < count) {
        size_t unknown_count = 0;
        bool all = true; /* up to here */
        for (size_t i = named; i < count && unknown_count < STORE_LIST_MAX; i++) {
            bool known = name_event(session, scope, &unnamed[i]);
            all = all && known;
            named += all;
            if (!known)
                unknown[unknown_count++] = unnamed[i].event->kind;
        }
        if (unknown_count == 0)
            break;
        enum store_result result = ask_names(session, scope, unknown, unknown_count, status);
        if (result != STORE_OK)
            return result;
        if (!names_pair(&session->names, scope, unnamed[named].event->kind))
            return store_damaged(status); /* or there is no memory */
    }
    return STORE_OK;
}

/* ---- pages of kinds ---- */

static void take_kinds(void *context, size_t command, const PGresult *rows)
{
    struct store_kinds *kinds = context;
    CHECK(command == 0);
    int count = PQntuples(rows);
    kinds->more = (uint32_t)count > kinds->limit;
    kinds->count = kinds->more ? kinds->limit : (size_t)count;
    kinds->kinds = arena_calloc(kinds->arena, kinds->count, sizeof(*kinds->kinds));
    kinds->no_memory = !kinds->kinds;
    for (size_t i = 0; i < kinds->count && !kinds->no_memory; i++) {
        struct slice source = postgres_slice(rows, (int)i, 1);
        struct slice type = postgres_slice(rows, (int)i, 2);
        kinds->kinds[i] = (struct store_named_kind){
            postgres_int32(rows, (int)i, 0),
            {arena_copy(kinds->arena, source.data, source.size), source.size},
            {arena_copy(kinds->arena, type.data, type.size), type.size}};
        kinds->no_memory = !kinds->kinds[i].source.data || !kinds->kinds[i].type.data;
    }
}

enum store_result postgres_kinds(struct store_session *base, struct scope scope,
                                 struct store_kinds *kinds, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    CHECK(kinds->limit >= 1 && kinds->limit <= STORE_LIST_MAX);
    struct buffer parameters[2];
    buffer_init(&parameters[0], sizeof(int32_t) * 4);
    buffer_init(&parameters[1], sizeof(int64_t) * 4);
    postgres_put_int32(&parameters[0], kinds->after);
    postgres_put_int64(&parameters[1], (int64_t)kinds->limit + 1);
    enum store_result result;
    if (parameters[0].failed || parameters[1].failed)
        result = store_unavailable(status, "out of memory");
    else if (!postgres_transaction_start(session, &scope, false) ||
             !postgres_statement_send(session, POSTGRES_KINDS, &scope, parameters, 2))
        result = postgres_failed(session, NULL, status);
    else
        result = postgres_sync(session, take_kinds, kinds, status);
    buffer_fini(&parameters[0]);
    buffer_fini(&parameters[1]);
    return result;
}
