/* Settlements as items of a batch: what is sent for each, and what comes back. */
#include "base/check.h"
#include "store/postgres/item_kinds.h"

/* ---- columns: one value of each settlement ---- */

static void add_subscription(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, item->settlement->subscription);
}

static void add_revision(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, item->settlement->revision);
}

static void add_before_number(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, item->settlement->before.number);
}

static void add_before_token(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, (int64_t)item->settlement->before.token);
}

static void add_token(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, (int64_t)item->settlement->entry.token);
}

static void add_seen_number(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, item->settlement->seen.number);
}

static void add_seen_token(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, (int64_t)item->settlement->seen.token);
}

static void add_takes(struct buffer *array, const struct store_item *item)
{
    postgres_array_add_int64(array, item->settlement->takes);
}

static void add_body(struct buffer *array, const struct store_item *item)
{
    const struct slice *body = &item->settlement->entry.body;
    postgres_array_add(array, body->data, body->size);
}

static const struct postgres_column SUBSCRIPTION = {POSTGRES_INT8, add_subscription, NULL};
static const struct postgres_column REVISION = {POSTGRES_INT8, add_revision, NULL};
static const struct postgres_column BEFORE_NUMBER = {POSTGRES_INT8, add_before_number, NULL};
static const struct postgres_column BEFORE_TOKEN = {POSTGRES_INT8, add_before_token, NULL};
static const struct postgres_column TOKEN = {POSTGRES_INT8, add_token, NULL};
static const struct postgres_column SEEN_NUMBER = {POSTGRES_INT8, add_seen_number, NULL};
static const struct postgres_column SEEN_TOKEN = {POSTGRES_INT8, add_seen_token, NULL};
static const struct postgres_column TAKES = {POSTGRES_INT8, add_takes, NULL};
static const struct postgres_column BODY = {POSTGRES_BYTEA, add_body, NULL};

/* ---- columns: the events of each settlement, with its subscription ---- */

static size_t count_acknowledged(const struct store_item *item)
{
    return item->settlement->acknowledged_count;
}

static size_t count_dead(const struct store_item *item)
{
    return item->settlement->dead_count;
}

static size_t count_revived(const struct store_item *item)
{
    return item->settlement->revived_count;
}

static void add_times(struct buffer *array, int64_t number, size_t times)
{
    for (size_t i = 0; i < times; i++)
        postgres_array_add_int64(array, number);
}

static void add_numbers(struct buffer *array, const int64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        postgres_array_add_int64(array, numbers[i]);
}

static void add_acknowledged_of(struct buffer *array, const struct store_item *item)
{
    add_times(array, item->settlement->subscription, item->settlement->acknowledged_count);
}

static void add_acknowledged(struct buffer *array, const struct store_item *item)
{
    add_numbers(array, item->settlement->acknowledged, item->settlement->acknowledged_count);
}

static void add_dead_of(struct buffer *array, const struct store_item *item)
{
    add_times(array, item->settlement->subscription, item->settlement->dead_count);
}

static void add_dead(struct buffer *array, const struct store_item *item)
{
    for (size_t i = 0; i < item->settlement->dead_count; i++)
        postgres_array_add_int64(array, item->settlement->dead[i].sequence);
}

static void add_dead_attempts(struct buffer *array, const struct store_item *item)
{
    for (size_t i = 0; i < item->settlement->dead_count; i++)
        postgres_array_add_int64(array, item->settlement->dead[i].attempts);
}

static void add_dead_first(struct buffer *array, const struct store_item *item)
{
    for (size_t i = 0; i < item->settlement->dead_count; i++)
        postgres_array_add_time(array, item->settlement->dead[i].first_us);
}

static void add_dead_reason(struct buffer *array, const struct store_item *item)
{
    for (size_t i = 0; i < item->settlement->dead_count; i++) {
        const struct slice *reason = &item->settlement->dead[i].reason;
        postgres_array_add(array, reason->data, reason->size);
    }
}

static void add_revived_of(struct buffer *array, const struct store_item *item)
{
    add_times(array, item->settlement->subscription, item->settlement->revived_count);
}

static void add_revived(struct buffer *array, const struct store_item *item)
{
    add_numbers(array, item->settlement->revived, item->settlement->revived_count);
}

static const struct postgres_column ACKNOWLEDGED_OF = {POSTGRES_INT8, add_acknowledged_of,
                                                       count_acknowledged};
static const struct postgres_column ACKNOWLEDGED = {POSTGRES_INT8, add_acknowledged,
                                                    count_acknowledged};
static const struct postgres_column DEAD_OF = {POSTGRES_INT8, add_dead_of, count_dead};
static const struct postgres_column DEAD = {POSTGRES_INT8, add_dead, count_dead};
static const struct postgres_column DEAD_ATTEMPTS = {POSTGRES_INT8, add_dead_attempts, count_dead};
static const struct postgres_column DEAD_FIRST = {POSTGRES_TIMESTAMPTZ, add_dead_first, count_dead};
static const struct postgres_column DEAD_REASON = {POSTGRES_TEXT, add_dead_reason, count_dead};
static const struct postgres_column REVIVED_OF = {POSTGRES_INT8, add_revived_of, count_revived};
static const struct postgres_column REVIVED = {POSTGRES_INT8, add_revived, count_revived};

/* ---- what comes back ---- */

static void set_written(struct store_item *item, enum store_outcome outcome, int64_t at_us)
{
    item->outcome = outcome;
    item->settlement->entry.number = item->settlement->before.number + 1;
    item->settlement->entry.at_us = at_us;
}

/* Rows of those that were written, in the order in which they were sent, and of blocks in which
 * something was acknowledged. */
static void settlements_written(struct postgres_sent *sent, struct postgres_log *log,
                                const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (PQgetisnull(rows, row, 0)) {
            postgres_unsettle(log, postgres_int32(rows, row, 2), postgres_int64(rows, row, 3));
            continue;
        }
        int64_t subscription = postgres_int64(rows, row, 0);
        while (sent->position < sent->count &&
               sent->items[sent->position]->settlement->subscription != subscription)
            sent->position++;
        CHECK(sent->position < sent->count);
        set_written(sent->items[sent->position++], STORE_DONE, postgres_time_us(rows, row, 1));
    }
}

static void settlement_looked_up(struct store_item *item, const PGresult *rows, int row)
{
    if (PQgetisnull(rows, row, 1))
        item->outcome = STORE_STALE;
    else
        set_written(item, STORE_REPEATED, postgres_time_us(rows, row, 1));
}

static void settlement_repeated(struct store_item *again, const struct store_item *first)
{
    if (again->settlement->entry.token == first->settlement->entry.token)
        set_written(again, STORE_REPEATED, first->settlement->entry.at_us);
    else
        again->outcome = STORE_STALE;
}

static bool is_bare(const struct store_item *item)
{
    const struct store_settlement *settlement = item->settlement;
    return settlement->acknowledged_count + settlement->dead_count + settlement->revived_count == 0;
}

#define ENTRY                                                                                      \
    &SUBSCRIPTION, &REVISION, &BEFORE_NUMBER, &BEFORE_TOKEN, &TOKEN, &TAKES, &BODY, &SEEN_NUMBER,  \
        &SEEN_TOKEN
#define COLUMNS                                                                                    \
    {                                                                                              \
        ENTRY, &ACKNOWLEDGED_OF, &ACKNOWLEDGED, &DEAD_OF, &DEAD, &DEAD_ATTEMPTS, &DEAD_FIRST,      \
            &DEAD_REASON, &REVIVED_OF, &REVIVED                                                    \
    }

const struct postgres_item_kind POSTGRES_SETTLEMENTS = {
    .write = {[POSTGRES_ALONE] = {POSTGRES_APPEND_SETTLEMENTS, COLUMNS},
              [POSTGRES_SHARED] = {POSTGRES_APPEND_SETTLEMENTS, COLUMNS}},
    .write_bare = {[POSTGRES_ALONE] = {POSTGRES_APPEND_BARE_SETTLEMENTS, {ENTRY}},
                   [POSTGRES_SHARED] = {POSTGRES_APPEND_BARE_SETTLEMENTS, {ENTRY}}},
    .is_bare = is_bare,
    .written = settlements_written,
    .look_up = POSTGRES_SETTLED_AT,
    .look_up_columns = {&SUBSCRIPTION, &BEFORE_NUMBER, &TOKEN},
    .looked_up = settlement_looked_up,
    .repeated = settlement_repeated,
};
