/* What each kind of item sends and receives; see item_kinds.h. */
#include "store/postgres/item_kinds.h"

#include <string.h>

/* ---- columns ---- */

static void add_id(struct buffer *array, const struct store_item *item)
{
    postgres_array_add(array, item->event.id, TYPEID_BYTES);
}

static void add_created_at(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_time(array, item->event.created_at_us);
}

static void add_acknowledged_at(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_time(array, item->event.acknowledged_at_us);
}

static void add_sequence(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, item->event.sequence);
}

static void add_kind(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int32(array, item->event.kind);
}

static void add_payload(struct buffer *array, const struct store_item *item)
{
    postgres_array_add(array, item->event.payload.data, item->event.payload.size);
}

static void add_ordering_key(struct buffer *array, const struct store_item *item)
{
    const struct slice *key = &item->event.ordering_key;
    if (key->size > 0)
        postgres_array_add(array, key->data, key->size);
    else
        postgres_array_add_null(array);
}

static void add_ordering_hash(struct buffer *array, const struct store_item *item)
{
    uint64_t hash = store_key_of(item->event.ordering_key);
    if (hash != 0)
        postgres_array_add_int64(array, (int64_t)hash);
    else
        postgres_array_add_null(array);
}

static void add_deliver_at(struct buffer *array, const struct store_item *item)
{
    if (item->event.deliver_at_us != 0)
        postgres_array_add_time(array, item->event.deliver_at_us);
    else
        postgres_array_add_null(array);
}

static const struct postgres_column ID = {POSTGRES_UUID, add_id};
static const struct postgres_column CREATED_AT = {POSTGRES_TIMESTAMPTZ, add_created_at};
static const struct postgres_column ACKNOWLEDGED_AT = {POSTGRES_TIMESTAMPTZ, add_acknowledged_at};
static const struct postgres_column SEQUENCE = {POSTGRES_INT8, add_sequence};
static const struct postgres_column KIND = {POSTGRES_INT4, add_kind};
static const struct postgres_column PAYLOAD = {POSTGRES_BYTEA, add_payload};
static const struct postgres_column ORDERING_KEY = {POSTGRES_TEXT, add_ordering_key};
static const struct postgres_column ORDERING_HASH = {POSTGRES_INT8, add_ordering_hash};
static const struct postgres_column DELIVER_AT = {POSTGRES_TIMESTAMPTZ, add_deliver_at};

/* The next item that was sent with this id. */
static struct store_item *take_sent(struct postgres_sent *sent, const uint8_t *id)
{
    while (sent->position < sent->count &&
           memcmp(sent->items[sent->position]->event.id, id, TYPEID_BYTES) != 0)
        sent->position++;
    CHECK(sent->position < sent->count);
    return sent->items[sent->position++];
}

/* ---- appends ---- */

/* Rows of ids and sequences, in the order in which they were sent. */
static void append_written(struct postgres_sent *sent, struct postgres_log *log,
                           const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        struct store_item *item = take_sent(sent, postgres_id(rows, row, 0));
        item->outcome = STORE_DONE;
        item->event.sequence = postgres_int64(rows, row, 1);
        log->last = item->event.sequence;
    }
}

static void set_compared(struct store_item *append, bool same, int64_t created_at_us,
                         int64_t sequence)
{
    append->outcome = same ? STORE_REPEATED : STORE_CONFLICT;
    append->event.sequence = same ? sequence : 0;
    if (same)
        append->event.created_at_us = created_at_us;
}

static void append_looked_up(struct store_item *append, const PGresult *rows, int row)
{
    set_compared(append, PQgetvalue(rows, row, 3)[0] != 0, postgres_time_us(rows, row, 1),
                 postgres_int64(rows, row, 2));
}

static void append_repeated(struct store_item *again, const struct store_item *first)
{
    const struct store_event *event = &first->event;
    set_compared(again, store_content_equals(&again->event, event), event->created_at_us,
                 event->sequence);
}

/* ---- acknowledgements ---- */

/* Rows of those that are there, then of those that were acknowledged now, both in the order in
 * which they were sent. The former have no outcome yet: they are looked up unless the latter
 * follow. */
static void ack_written(struct postgres_sent *sent, struct postgres_log *log, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        int64_t sequence = postgres_int64(rows, row, 1);
        if (!PQgetisnull(rows, row, 0)) {
            size_t number = (size_t)postgres_int64(rows, row, 0);
            CHECK(number >= 1 && number <= sent->count);
            sent->items[number - 1]->event.sequence = sequence;
            sent->items[number - 1]->event.kind = postgres_int32(rows, row, 2);
            continue;
        }
        while (sent->position < sent->count &&
               sent->items[sent->position]->event.sequence != sequence)
            sent->position++;
        CHECK(sent->position < sent->count);
        struct store_item *item = sent->items[sent->position++];
        item->outcome = STORE_DONE;
        item->event.acknowledged_at_us = postgres_time_us(rows, row, 3);
        postgres_unsettle(log, item->event.kind, sequence);
    }
}

/* Without a time it was stored only after the attempt to acknowledge it: it was not there then. */
static void ack_looked_up(struct store_item *ack, const PGresult *rows, int row)
{
    if (PQgetisnull(rows, row, 2))
        return;
    ack->outcome = STORE_REPEATED;
    ack->event.sequence = postgres_int64(rows, row, 1);
    ack->event.acknowledged_at_us = postgres_time_us(rows, row, 2);
}

static void ack_repeated(struct store_item *again, const struct store_item *first)
{
    again->outcome = STORE_REPEATED;
    again->event.sequence = first->event.sequence;
    again->event.acknowledged_at_us = first->event.acknowledged_at_us;
}

/* ---- erasures ---- */

/* Rows of ids and sequences, in the order in which they were sent. */
static void erase_written(struct postgres_sent *sent, struct postgres_log *log,
                          const PGresult *rows)
{
    (void)log;
    for (int row = 0; row < PQntuples(rows); row++) {
        struct store_item *item = take_sent(sent, postgres_id(rows, row, 0));
        item->outcome = STORE_DONE;
        item->event.sequence = postgres_int64(rows, row, 1);
    }
}

/* With its payload it was stored only after the attempt to erase it. */
static void erase_looked_up(struct store_item *erase, const PGresult *rows, int row)
{
    if (!PQgetvalue(rows, row, 2)[0])
        return;
    erase->outcome = STORE_REPEATED;
    erase->event.sequence = postgres_int64(rows, row, 1);
}

static void erase_repeated(struct store_item *again, const struct store_item *first)
{
    again->outcome = STORE_REPEATED;
    again->event.sequence = first->event.sequence;
}

/* Most events have neither. */
static bool append_is_bare(const struct store_item *item)
{
    return item->event.ordering_key.size == 0 && item->event.deliver_at_us == 0;
}

/* With the log locked the statement numbers them. */
#define BARE &ID, &CREATED_AT, &KIND, &PAYLOAD
#define WHOLE BARE, &ORDERING_KEY, &ORDERING_HASH, &DELIVER_AT

static const struct postgres_item_kind APPENDS = {
    .write = {[POSTGRES_ALONE] = {POSTGRES_APPEND, {&SEQUENCE, WHOLE}},
              [POSTGRES_SHARED] = {POSTGRES_APPEND_AFTER_OTHERS, {WHOLE}}},
    .write_bare = {[POSTGRES_ALONE] = {POSTGRES_APPEND_BARE, {&SEQUENCE, BARE}},
                   [POSTGRES_SHARED] = {POSTGRES_APPEND_BARE_AFTER_OTHERS, {BARE}}},
    .is_bare = append_is_bare,
    .in_order = true,
    .written = append_written,
    .look_up = POSTGRES_COMPARE,
    .look_up_columns = {&ID, &KIND, &PAYLOAD, &ORDERING_KEY},
    .looked_up = append_looked_up,
    .is_there = true,
    .repeated = append_repeated,
};

static const struct postgres_item_kind ACKS = {
    .write = {[POSTGRES_ALONE] = {POSTGRES_ACK, {&ID, &ACKNOWLEDGED_AT}},
              [POSTGRES_SHARED] = {POSTGRES_ACK, {&ID, &ACKNOWLEDGED_AT}}},
    .written = ack_written,
    .look_up = POSTGRES_ACKNOWLEDGED_AT,
    .look_up_columns = {&ID},
    .looked_up = ack_looked_up,
    .repeated = ack_repeated,
};

static const struct postgres_item_kind ERASURES = {
    .write =
        {[POSTGRES_ALONE] = {POSTGRES_ERASE, {&ID}}, [POSTGRES_SHARED] = {POSTGRES_ERASE, {&ID}}},
    .written = erase_written,
    .look_up = POSTGRES_ERASED,
    .look_up_columns = {&ID},
    .looked_up = erase_looked_up,
    .repeated = erase_repeated,
};

const struct postgres_item_kind *const POSTGRES_ITEM_KINDS[STORE_KIND_COUNT] = {
    [STORE_APPEND] = &APPENDS,
    [STORE_ACK] = &ACKS,
    [STORE_ERASE] = &ERASURES,
    [STORE_SETTLE] = &POSTGRES_SETTLEMENTS,
};
