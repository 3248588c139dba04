/* What each kind of item sends and receives; see kinds.h. */
#include "store/postgres/kinds.h"

#include <string.h>

/* ---- columns ---- */

static void add_id(struct buffer *array, const struct store_event *event)
{
    postgres_array_add(array, event->id, TYPEID_BYTES);
}

static void add_created_at(struct buffer *array, const struct store_event *event)
{
    postgres_array_add_time(array, event->created_at_us);
}

static void add_acknowledged_at(struct buffer *array, const struct store_event *event)
{
    postgres_array_add_time(array, event->acknowledged_at_us);
}

static void add_source(struct buffer *array, const struct store_event *event)
{
    postgres_array_add(array, event->source.data, event->source.size);
}

static void add_type(struct buffer *array, const struct store_event *event)
{
    postgres_array_add(array, event->type.data, event->type.size);
}

static void add_payload(struct buffer *array, const struct store_event *event)
{
    postgres_array_add(array, event->payload.data, event->payload.size);
}

static const struct postgres_column ID = {POSTGRES_UUID, add_id};
static const struct postgres_column CREATED_AT = {POSTGRES_TIMESTAMPTZ, add_created_at};
static const struct postgres_column ACKNOWLEDGED_AT = {POSTGRES_TIMESTAMPTZ, add_acknowledged_at};
static const struct postgres_column SOURCE = {POSTGRES_TEXT, add_source};
static const struct postgres_column TYPE = {POSTGRES_TEXT, add_type};
static const struct postgres_column PAYLOAD = {POSTGRES_BYTEA, add_payload};

/* ---- appends ---- */

static void set_compared(struct store_item *append, bool same, int64_t created_at_us)
{
    append->outcome = same ? STORE_REPEATED : STORE_CONFLICT;
    if (same)
        append->event.created_at_us = created_at_us;
}

static void append_looked_up(struct store_item *append, const PGresult *rows, int row)
{
    set_compared(append, PQgetvalue(rows, row, 2)[0] != 0, postgres_time_us(rows, row, 1));
}

static bool same_slice(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void append_repeated(struct store_item *again, const struct store_item *first)
{
    const struct store_event *a = &again->event;
    const struct store_event *b = &first->event;
    set_compared(again,
                 same_slice(a->source, b->source) && same_slice(a->type, b->type) &&
                     same_slice(a->payload, b->payload),
                 b->created_at_us);
}

/* ---- acknowledgements ---- */

static void ack_written(struct store_item *ack, const PGresult *rows, int row)
{
    ack->event.acknowledged_at_us = postgres_time_us(rows, row, 1);
}

/* Without a time it is pending, but somebody has locked it, or it was stored only now. */
static void ack_looked_up(struct store_item *ack, const PGresult *rows, int row)
{
    ack->outcome = PQgetisnull(rows, row, 1) ? STORE_BUSY : STORE_REPEATED;
    if (ack->outcome == STORE_REPEATED)
        ack->event.acknowledged_at_us = postgres_time_us(rows, row, 1);
}

static void ack_repeated(struct store_item *again, const struct store_item *first)
{
    again->outcome = STORE_REPEATED;
    again->event.acknowledged_at_us = first->event.acknowledged_at_us;
}

const struct postgres_kind POSTGRES_KINDS[STORE_KIND_COUNT] = {
    [STORE_APPEND] =
        {
            .write = {[POSTGRES_AS_NEW] = POSTGRES_APPEND_NEW,
                      [POSTGRES_AS_MAY_BE] = POSTGRES_APPEND,
                      [POSTGRES_UNLOCKED] = POSTGRES_APPEND,
                      [POSTGRES_LEAST] = POSTGRES_APPEND},
            .write_columns = {&ID, &CREATED_AT, &SOURCE, &TYPE, &PAYLOAD},
            .look_up = POSTGRES_COMPARE,
            .look_up_columns = {&ID, &SOURCE, &TYPE, &PAYLOAD},
            .looked_up = append_looked_up,
            .is_there = true,
            .repeated = append_repeated,
        },
    [STORE_ACK] =
        {
            .write = {[POSTGRES_AS_NEW] = POSTGRES_ACK,
                      [POSTGRES_AS_MAY_BE] = POSTGRES_ACK,
                      [POSTGRES_UNLOCKED] = POSTGRES_ACK_UNLOCKED,
                      [POSTGRES_LEAST] = POSTGRES_LEFT_OUT},
            .write_columns = {&ID, &ACKNOWLEDGED_AT},
            .written = ack_written,
            .look_up = POSTGRES_ACKNOWLEDGED_AT,
            .look_up_columns = {&ID},
            .looked_up = ack_looked_up,
            .repeated = ack_repeated,
        },
};
