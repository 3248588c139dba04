/* Reading events by id, a page of a list, and the backlog. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/keys.h"
#include "store/postgres/session.h"

#define PARAMETER_CAP ((size_t)16 << 20)

struct store_event postgres_event(const PGresult *rows, int row)
{
    struct store_event event = {
        .sequence = postgres_int64(rows, row, 0),
        .created_at_us = postgres_time_us(rows, row, 2),
        .kind = postgres_int32(rows, row, 3),
        .payload = postgres_slice(rows, row, 4),
        .acknowledged_at_us = postgres_time_us(rows, row, 5),
        .ordering_key = postgres_slice(rows, row, 6),
        .deliver_at_us = postgres_time_us(rows, row, 7),
    };
    memcpy(event.id, postgres_id(rows, row, 1), sizeof(event.id));
    return event;
}

/* ---- get ---- */

/* Gets by id, or by sequence, whose keys are these as ids. */
struct wanted {
    struct keys keys;
    bool by_sequence;
};

struct getting {
    struct scope scope;
    struct store_get **gets;
    size_t count;
    uint8_t (*sequences)[TYPEID_BYTES];
    struct wanted wanted[2];
    const struct wanted *sent[2]; /* in the order of the statements */
    size_t sent_count;
};

static void sequence_key(int64_t sequence, uint8_t key[TYPEID_BYTES])
{
    memset(key, 0, TYPEID_BYTES);
    memcpy(key, &sequence, sizeof(sequence));
}

static void take_event(struct store_get *get, struct store_event event)
{
    get->outcome = STORE_DONE;
    get->no_memory = !store_event_copy(&event, get->arena);
    if (!get->no_memory)
        get->event = event;
}

static void take_found(void *context, size_t command, const PGresult *rows)
{
    const struct getting *getting = context;
    CHECK(command < getting->sent_count);
    const struct keys *keys = &getting->sent[command]->keys;
    for (int row = 0; row < PQntuples(rows); row++) {
        struct store_event event = postgres_event(rows, row);
        uint8_t key[TYPEID_BYTES];
        sequence_key(event.sequence, key);
        size_t start = keys_find(keys, getting->sent[command]->by_sequence ? key : event.id);
        size_t end = start < keys->count ? keys_group_end(keys, start) : start;
        for (size_t i = start; i < end; i++)
            take_event(getting->gets[keys->list[i].item], event);
    }
}

static void put_distinct(struct buffer *array, const struct getting *getting,
                         const struct wanted *wanted)
{
    const struct keys *keys = &wanted->keys;
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i = keys_group_end(keys, i))
        count++;
    postgres_array_start(array, wanted->by_sequence ? POSTGRES_INT8 : POSTGRES_UUID, count);
    for (size_t i = 0; i < keys->count; i = keys_group_end(keys, i)) {
        const struct key *key = &keys->list[i];
        if (wanted->by_sequence)
            postgres_array_add_int64(array, getting->gets[key->item]->sequence);
        else
            postgres_array_add(array, key->id, TYPEID_BYTES);
    }
}

/* False when the connection is gone or there is no memory. */
static bool send_wanted(struct postgres_session *session, struct getting *getting,
                        const struct wanted *wanted)
{
    struct buffer keys;
    buffer_init(&keys, PARAMETER_CAP);
    put_distinct(&keys, getting, wanted);
    bool sent =
        !keys.failed && postgres_statement_send(
                            session, wanted->by_sequence ? POSTGRES_GET_BY_SEQUENCE : POSTGRES_GET,
                            &getting->scope, &keys, 1);
    buffer_fini(&keys);
    getting->sent[getting->sent_count++] = wanted;
    return sent;
}

/* Row by row, so that only one payload at a time is held besides the arenas. */
static enum store_result get_all(struct postgres_session *session, struct getting *getting,
                                 struct status *status)
{
    bool sent = postgres_transaction_start(session, &getting->scope, false);
    for (size_t i = 0; i < 2; i++)
        if (getting->wanted[i].keys.count > 0)
            sent = sent && send_wanted(session, getting, &getting->wanted[i]);
    return sent ? postgres_sync_row_by_row(session, take_found, getting, status)
                : postgres_failed(session, NULL, status);
}

static enum store_result name_gets(struct postgres_session *session, const struct getting *getting,
                                   struct status *status)
{
    size_t count = 0;
    struct postgres_unnamed *unnamed = calloc(getting->count + 1, sizeof(*unnamed));
    if (!unnamed)
        return store_unavailable(status, "out of memory");
    for (size_t i = 0; i < getting->count; i++) {
        struct store_get *get = getting->gets[i];
        if (get->outcome == STORE_DONE && !get->no_memory)
            unnamed[count++] = (struct postgres_unnamed){&get->event, get->arena, &get->no_memory};
    }
    enum store_result result =
        postgres_name_events(session, getting->scope, unnamed, count, status);
    free(unnamed);
    return result;
}

/* Sorts the gets by what they want; nothing is found yet. */
static void sort_wanted(struct getting *getting)
{
    for (size_t i = 0; i < getting->count; i++) {
        struct store_get *get = getting->gets[i];
        struct keys *keys = &getting->wanted[get->sequence != 0].keys;
        get->outcome = STORE_NOT_FOUND;
        get->no_memory = false;
        get->event = (struct store_event){0};
        sequence_key(get->sequence, getting->sequences[i]);
        keys->list[keys->count++] =
            (struct key){get->sequence != 0 ? getting->sequences[i] : get->id, i};
    }
    keys_sort(&getting->wanted[0].keys);
    keys_sort(&getting->wanted[1].keys);
}

enum store_result postgres_get(struct store_session *base, struct scope scope,
                               struct store_get **gets, size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    struct getting getting = {.scope = scope, .gets = gets, .count = count};
    getting.sequences = calloc(count + 1, sizeof(*getting.sequences));
    for (size_t i = 0; i < 2; i++)
        getting.wanted[i] = (struct wanted){{calloc(count + 1, sizeof(struct key)), 0}, i == 1};
    enum store_result result;
    if (!getting.sequences || !getting.wanted[0].keys.list || !getting.wanted[1].keys.list) {
        result = store_unavailable(status, "out of memory");
    } else {
        sort_wanted(&getting);
        result = get_all(session, &getting, status);
    }
    if (result == STORE_OK)
        result = name_gets(session, &getting, status);
    free(getting.sequences);
    free(getting.wanted[0].keys.list);
    free(getting.wanted[1].keys.list);
    return result;
}

/* ---- list ---- */

#define FIRST_COLUMN 8 /* of a row of the log: its first and last sequence */
#define LAST_COLUMN 9

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
    list->no_memory = !store_event_copy(&event, list->arena); /* the payload; it has no names yet */
    if (!list->no_memory)
        list->events[list->count++] = event;
    return !list->no_memory;
}

struct listing {
    struct postgres_session *session;
    struct scope scope;
    struct store_list **lists;
    size_t count;
    bool ends_known; /* the first statement is POSTGRES_LOG_END, */
    int64_t end;     /* whose answer is this: the lists see more than it */
};

/* Whether the list tells how far it has read, though its rows do not. */
static bool wants_end(const struct store_list *list)
{
    return list->set == STORE_PENDING && list->oldest_first;
}

/* Whether the page begins with the oldest pending event. */
static bool is_oldest_pending(const struct store_list *list)
{
    return wants_end(list) && list->after == 0 && list->filter.source_count == 0 &&
           list->filter.type_count == 0 && list->filter.from_us == 0 && list->filter.until_us == 0;
}

static void raise_floor(struct postgres_session *session, struct scope scope,
                        const struct store_list *list)
{
    int64_t floor = list->events[0].sequence / STORE_BLOCK;
    if (session->floor_tenant != scope.tenant || floor > session->floor)
        session->floor = floor;
    session->floor_tenant = scope.tenant;
}

static void take_page(void *context, size_t command, const PGresult *rows)
{
    struct listing *listing = context;
    if (listing->ends_known && command == 0) {
        listing->end = postgres_int64(rows, 0, 0);
        return;
    }
    struct store_list *list = listing->lists[command - listing->ends_known];
    int count = PQntuples(rows);
    size_t bytes = 0;
    list->count = 0;
    list->more = false;
    list->events = arena_calloc(list->arena, (size_t)count, sizeof(*list->events));
    list->no_memory = !list->events;
    if (list->set == STORE_LOG) {
        CHECK(count > 0);
        list->first = postgres_int64(rows, 0, FIRST_COLUMN);
        list->read_to = postgres_int64(rows, 0, LAST_COLUMN);
        count = PQgetisnull(rows, 0, 0) ? 0 : count;
    } else if (wants_end(list)) {
        list->read_to = listing->end;
    }
    for (int row = 0; row < count && !list->no_memory; row++) {
        if (!take_listed(list, postgres_event(rows, row), &bytes))
            break;
    }
    if (is_oldest_pending(list) && list->count > 0)
        raise_floor(listing->session, listing->scope, list);
    int64_t last = list->count > 0 ? list->events[list->count - 1].sequence : 0;
    if (list->count > 0 && (list->more || list->read_to < last))
        list->read_to = last; /* more may have come since `end` was read */
    if (list->read_to < list->after)
        list->read_to = list->after;
}

/* After which sequence the walk starts; one follows it. */
static int64_t list_start(const struct postgres_session *session, struct scope scope,
                          const struct store_list *list)
{
    int64_t start = store_list_start(list);
    if (list->oldest_first && start == INT64_MAX)
        start--;
    int64_t below = session->floor_tenant == scope.tenant ? session->floor * STORE_BLOCK - 1 : 0;
    bool raised = wants_end(list) && start < below;
    return raised ? below : start;
}

static enum postgres_statement choose_list(const struct store_list *list)
{
    static const enum postgres_statement statements[][2][2] = {
        [STORE_PENDING] = {{POSTGRES_LIST_PENDING_NEWEST, POSTGRES_LIST_PENDING_NEWEST_OF_KINDS},
                           {POSTGRES_LIST_PENDING_OLDEST, POSTGRES_LIST_PENDING_OLDEST_OF_KINDS}},
        [STORE_ACKNOWLEDGED] = {{POSTGRES_LIST_ACKNOWLEDGED_NEWEST,
                                 POSTGRES_LIST_ACKNOWLEDGED_NEWEST_OF_KINDS},
                                {POSTGRES_LIST_ACKNOWLEDGED_OLDEST,
                                 POSTGRES_LIST_ACKNOWLEDGED_OLDEST_OF_KINDS}},
        [STORE_LOG] = {[true] = {POSTGRES_LIST_LOG, POSTGRES_LIST_LOG_OF_KINDS}},
    };
    bool of_kinds = list->filter.source_count > 0 || list->filter.type_count > 0;
    enum postgres_statement statement = statements[list->set][list->oldest_first][of_kinds];
    return statement + (list->limit > UNSIZED_MAX); /* embed.py puts the sized one after it */
}

void postgres_put_names(struct buffer *array, const struct slice *names, size_t count)
{
    postgres_array_start(array, POSTGRES_TEXT, count);
    for (size_t i = 0; i < count; i++)
        postgres_array_add(array, names[i].data, names[i].size);
}

#define LIST_PARAMETERS 7 /* at most */

/* Returns how many there are. */
static int put_list_parameters(struct buffer parameters[LIST_PARAMETERS], int64_t start,
                               const struct store_list *list)
{
    int64_t max_bytes = list->max_bytes > INT64_MAX ? INT64_MAX : (int64_t)list->max_bytes;
    const struct store_filter *filter = &list->filter;
    int count = 4;
    postgres_put_int64(&parameters[0], start);
    postgres_put_time(&parameters[1], store_filter_from(filter));
    postgres_put_time(&parameters[2], store_filter_until(filter));
    postgres_put_int64(&parameters[3], (int64_t)list->limit + 1);
    if (filter->source_count > 0 || filter->type_count > 0) {
        postgres_put_names(&parameters[count++], filter->sources, filter->source_count);
        postgres_put_names(&parameters[count++], filter->types, filter->type_count);
    }
    if (list->limit > UNSIZED_MAX)
        postgres_put_int64(&parameters[count++], max_bytes);
    return count;
}

/* False when the connection is gone or there is no memory. */
static bool send_list(struct postgres_session *session, const struct scope *scope,
                      const struct store_list *list)
{
    struct buffer parameters[LIST_PARAMETERS];
    for (size_t i = 0; i < LIST_PARAMETERS; i++)
        buffer_init(&parameters[i], PARAMETER_CAP);
    int count = put_list_parameters(parameters, list_start(session, *scope, list), list);
    bool sent = true;
    for (size_t i = 0; i < LIST_PARAMETERS; i++)
        sent = sent && !parameters[i].failed;
    sent = sent && postgres_statement_send(session, choose_list(list), scope, parameters, count);
    for (size_t i = 0; i < LIST_PARAMETERS; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

static enum store_result name_lists(struct postgres_session *session, const struct listing *listing,
                                    struct status *status)
{
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++)
        count += listing->lists[i]->no_memory ? 0 : listing->lists[i]->count;
    struct postgres_unnamed *unnamed = calloc(count + 1, sizeof(*unnamed));
    if (!unnamed)
        return store_unavailable(status, "out of memory");
    count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        struct store_list *list = listing->lists[i];
        for (size_t j = 0; j < list->count && !list->no_memory; j++)
            unnamed[count++] =
                (struct postgres_unnamed){&list->events[j], list->arena, &list->no_memory};
    }
    enum store_result result =
        postgres_name_events(session, listing->scope, unnamed, count, status);
    free(unnamed);
    return result;
}

enum store_result postgres_list(struct store_session *base, struct scope scope,
                                struct store_list **lists, size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct listing listing = {.session = session, .scope = scope, .lists = lists, .count = count};
    for (size_t i = 0; i < count; i++)
        listing.ends_known = listing.ends_known || wants_end(lists[i]);
    postgres_deadline_start(session);
    bool sent = postgres_transaction_start(session, &scope, false);
    if (listing.ends_known)
        sent = sent && postgres_statement_send(session, POSTGRES_LOG_END, &scope, NULL, 0);
    for (size_t i = 0; i < count && sent; i++)
        sent = send_list(session, &scope, lists[i]);
    if (!sent)
        return postgres_failed(session, NULL, status);
    enum store_result result = postgres_sync(session, take_page, &listing, status);
    return result == STORE_OK ? name_lists(session, &listing, status) : result;
}

/* ---- backlog ---- */

static void take_holder(struct store_backlog *backlog, const PGresult *rows)
{
    backlog->oldest_snapshot_us = backlog->oldest_snapshot_transactions = 0;
    backlog->snapshot_holder[0] = '\0';
    if (PQntuples(rows) == 0)
        return;
    struct slice holder = postgres_slice(rows, 0, 0);
    snprintf(backlog->snapshot_holder, sizeof(backlog->snapshot_holder), "%.*s", (int)holder.size,
             holder.data);
    backlog->oldest_snapshot_us = postgres_int64(rows, 0, 1);
    backlog->oldest_snapshot_transactions = postgres_int64(rows, 0, 2);
}

static void take_backlog(void *context, size_t command, const PGresult *rows)
{
    struct store_backlog *backlog = context;
    CHECK(command <= 2);
    if (command == 2) {
        take_holder(backlog, rows);
        return;
    }
    CHECK(PQntuples(rows) == 1);
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
    postgres_put_int64(&limit, STORE_BACKLOG_BLOCKS);
    enum store_result result;
    if (limit.failed)
        result = store_unavailable(status, "out of memory");
    else if (!postgres_transaction_start(session, &scope, false) ||
             !postgres_statement_send(session, POSTGRES_BACKLOG, &scope, &limit, 1) ||
             !postgres_statement_send(session, POSTGRES_STANDBYS, NULL, NULL, 0) ||
             !postgres_statement_send(session, POSTGRES_SNAPSHOT_HOLDER, NULL, NULL, 0))
        result = postgres_failed(session, NULL, status);
    else
        result = postgres_sync(session, take_backlog, backlog, status);
    buffer_fini(&limit);
    return result;
}
