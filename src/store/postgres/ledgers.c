/* Ledgers: appending takes, reading entries, removing old ones. Settlements are items of a batch.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/session.h"

/* ---- takes ---- */

#define TAKE_PARAMETERS 7

struct taking {
    struct store_take **takes; /* by subscription, the order in which rows are locked */
    size_t count;
};

static int compare_takes(const void *left, const void *right)
{
    int64_t a = (*(struct store_take *const *)left)->subscription;
    int64_t b = (*(struct store_take *const *)right)->subscription;
    return (a > b) - (a < b);
}

static void put_takes(struct buffer parameters[TAKE_PARAMETERS], const struct taking *taking)
{
    bool durable = false;
    postgres_parameters_init(parameters, TAKE_PARAMETERS);
    for (int i = 0; i < 5; i++)
        postgres_array_start(&parameters[i], POSTGRES_INT8, taking->count);
    postgres_array_start(&parameters[5], POSTGRES_BYTEA, taking->count);
    for (size_t i = 0; i < taking->count; i++) {
        const struct store_take *take = taking->takes[i];
        CHECK(i == 0 || take->subscription > taking->takes[i - 1]->subscription);
        postgres_array_add_int64(&parameters[0], take->subscription);
        postgres_array_add_int64(&parameters[1], take->revision);
        postgres_array_add_int64(&parameters[2], take->before.number);
        postgres_array_add_int64(&parameters[3], (int64_t)take->before.token);
        postgres_array_add_int64(&parameters[4], (int64_t)take->entry.token);
        postgres_array_add(&parameters[5], take->entry.body.data, take->entry.body.size);
        durable = durable || take->durable;
    }
    buffer_append(&parameters[6], durable ? "\1" : "\0", 1);
}

static struct store_take *find_take(const struct taking *taking, int64_t subscription)
{
    struct store_take key = {.subscription = subscription};
    const struct store_take *wanted = &key;
    struct store_take **found =
        bsearch(&wanted, taking->takes, taking->count, sizeof(*taking->takes), compare_takes);
    CHECK(found);
    return *found;
}

static void take_taken(void *context, size_t command, const PGresult *rows)
{
    const struct taking *taking = context;
    CHECK(command == 0);
    for (int row = 0; row < PQntuples(rows); row++) {
        struct store_take *take = find_take(taking, postgres_int64(rows, row, 0));
        if (PQgetisnull(rows, row, 1)) {
            take->outcome = STORE_NOT_FOUND;
            continue;
        }
        take->outcome = STORE_DONE;
        take->entry.number = take->before.number + 1;
        take->entry.at_us = postgres_time_us(rows, row, 1);
    }
}

enum store_result postgres_take(struct store_session *base, struct scope scope,
                                struct store_take **takes, size_t count, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[TAKE_PARAMETERS];
    struct taking taking = {calloc(count + 1, sizeof(*takes)), count};
    CHECK(!session->read_only);
    if (!taking.takes)
        return store_unavailable(status, "out of memory");
    for (size_t i = 0; i < count; i++) {
        taking.takes[i] = takes[i];
        takes[i]->outcome = STORE_STALE;
    }
    qsort(taking.takes, count, sizeof(*takes), compare_takes);
    put_takes(parameters, &taking);
    postgres_deadline_start(session);
    enum store_result result = postgres_run(session, POSTGRES_APPEND_TAKES, &scope, parameters,
                                            TAKE_PARAMETERS, take_taken, &taking, status);
    free(taking.takes);
    return result;
}

/* ---- reading ---- */

/* The entries of one list from the number `from` on. */
struct entries {
    int64_t from;
    struct store_entry *list;
    size_t count;
};

struct ledger_reading {
    struct store_ledger *ledger;
    bool found;
    int64_t checkpoint, checkpoint_takes; /* the newest one's number, and `takes` */
    struct entries settlements, takes;
    bool damaged;
};

static void take_row(struct ledger_reading *reading, const PGresult *rows)
{
    struct store_ledger *ledger = reading->ledger;
    reading->found = PQntuples(rows) == 1;
    if (!reading->found)
        return;
    if (!postgres_subscription_copy(&ledger->row, ledger->arena, rows, 0))
        ledger->no_memory = true;
    reading->damaged = PQgetisnull(rows, 0, 6);
    if (reading->damaged)
        return;
    reading->checkpoint = postgres_int64(rows, 0, 6);
    reading->checkpoint_takes = postgres_int64(rows, 0, 7);
    ledger->now_us = postgres_time_us(rows, 0, 8);
}

static void take_entries(struct ledger_reading *reading, struct entries *entries,
                         const PGresult *rows)
{
    struct store_ledger *ledger = reading->ledger;
    entries->count = (size_t)PQntuples(rows);
    entries->list = arena_calloc(ledger->arena, entries->count, sizeof(*entries->list));
    ledger->no_memory = ledger->no_memory || !entries->list;
    for (int row = 0; row < PQntuples(rows) && !ledger->no_memory; row++) {
        struct slice body = postgres_slice(rows, row, 3);
        struct store_entry entry = {
            .number = postgres_int64(rows, row, 0),
            .token = (uint64_t)postgres_int64(rows, row, 1),
            .at_us = postgres_time_us(rows, row, 2),
            .body = {arena_copy(ledger->arena, body.data, body.size), body.size},
        };
        ledger->no_memory = !entry.body.data;
        entries->list[row] = entry;
        reading->damaged = reading->damaged || entry.number != entries->list[0].number + row;
    }
}

static void take_ledger(void *context, size_t command, const PGresult *rows)
{
    struct ledger_reading *reading = context;
    CHECK(command <= 2);
    switch (command) {
    case 0: take_row(reading, rows); break;
    case 1: take_entries(reading, &reading->settlements, rows); break;
    default: take_entries(reading, &reading->takes, rows);
    }
}

static bool send_number(struct postgres_session *session, enum postgres_statement which,
                        const struct scope *scope, int64_t subscription, int64_t number)
{
    struct buffer parameters[2];
    postgres_parameters_init(parameters, 2);
    postgres_put_int64(&parameters[0], subscription);
    postgres_put_int64(&parameters[1], number);
    bool sent = !parameters[0].failed && !parameters[1].failed &&
                postgres_statement_send(session, which, scope, parameters,
                                        which == POSTGRES_LEDGER_ROW ? 1 : 2);
    buffer_fini(&parameters[0]);
    buffer_fini(&parameters[1]);
    return sent;
}

/* The row, and with `entries` what its lists have. */
static enum store_result read_ledger(struct postgres_session *session, const struct scope *scope,
                                     struct ledger_reading *reading, bool entries,
                                     struct status *status)
{
    int64_t id = reading->ledger->subscription;
    bool sent = postgres_transaction_start(session, scope, false) &&
                send_number(session, POSTGRES_LEDGER_ROW, scope, id, 0);
    if (entries)
        sent = sent &&
               send_number(session, POSTGRES_LEDGER_SETTLEMENTS, scope, id,
                           reading->settlements.from) &&
               send_number(session, POSTGRES_LEDGER_TAKES, scope, id, reading->takes.from);
    return sent ? postgres_sync(session, take_ledger, reading, status)
                : postgres_failed(session, NULL, status);
}

/* Leaves out the entry that is known, if it is there. */
static bool skip_known(struct entries *entries, struct store_entry_before known)
{
    if (entries->count == 0 || entries->list[0].number != known.number ||
        entries->list[0].token != known.token)
        return false;
    entries->list++;
    entries->count--;
    return true;
}

static bool begins_right(const struct entries *entries)
{
    return entries->count == 0 || entries->list[0].number == entries->from;
}

/* Whether the entries that were read follow those that are known. */
static bool is_continued(struct ledger_reading *reading)
{
    const struct store_ledger *ledger = reading->ledger;
    if (ledger->settlements.number == 0)
        return reading->settlements.count > 0 && begins_right(&reading->settlements) &&
               begins_right(&reading->takes);
    return skip_known(&reading->settlements, ledger->settlements) &&
           (ledger->takes.number == 0 ? begins_right(&reading->takes)
                                      : skip_known(&reading->takes, ledger->takes));
}

static enum store_result judge_ledger(struct ledger_reading *reading, struct status *status)
{
    struct store_ledger *ledger = reading->ledger;
    if (!reading->found || ledger->no_memory)
        return STORE_OK;
    if (reading->damaged)
        return store_damaged(status);
    ledger->outcome = is_continued(reading) ? STORE_DONE : STORE_STALE;
    ledger->new_settlements = reading->settlements.list;
    ledger->new_settlement_count = reading->settlements.count;
    ledger->new_takes = reading->takes.list;
    ledger->new_take_count = reading->takes.count;
    return STORE_OK;
}

enum store_result postgres_ledger(struct store_session *base, struct scope scope,
                                  struct store_ledger *ledger, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct ledger_reading reading = {.ledger = ledger};
    bool known = ledger->settlements.number > 0;
    ledger->outcome = STORE_NOT_FOUND;
    ledger->no_memory = false;
    ledger->new_take_count = ledger->new_settlement_count = 0;
    ledger->checkpoint_takes = -1;
    reading.settlements.from = ledger->settlements.number;
    reading.takes.from = ledger->takes.number > 0 ? ledger->takes.number : 1;
    postgres_deadline_start(session);
    if (!known) {
        enum store_result result = read_ledger(session, &scope, &reading, false, status);
        if (result != STORE_OK || !reading.found || reading.damaged || ledger->no_memory)
            return result == STORE_OK ? judge_ledger(&reading, status) : result;
        reading.settlements.from = reading.checkpoint;
        reading.takes.from = reading.checkpoint_takes + 1;
        ledger->checkpoint_takes = reading.checkpoint_takes;
    }
    enum store_result result = read_ledger(session, &scope, &reading, true, status);
    return result == STORE_OK ? judge_ledger(&reading, status) : result;
}

/* ---- heads ---- */

static void take_heads(void *context, size_t command, const PGresult *rows)
{
    const struct store_ledger_heads *heads = context;
    CHECK(command == 0);
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t number = (size_t)postgres_int64(rows, row, 0);
        CHECK(number >= 1 && number <= heads->count);
        heads->heads[number - 1] =
            (struct store_ledger_head){postgres_int64(rows, row, 1), postgres_int64(rows, row, 2),
                                       postgres_int64(rows, row, 3)};
    }
}

enum store_result postgres_ledger_heads(struct store_session *base, struct scope scope,
                                        struct store_ledger_heads *heads, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer ids;
    postgres_parameters_init(&ids, 1);
    postgres_array_start(&ids, POSTGRES_INT8, heads->count);
    for (size_t i = 0; i < heads->count; i++) {
        postgres_array_add_int64(&ids, heads->ids[i]);
        heads->heads[i] = (struct store_ledger_head){0};
    }
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_LEDGER_HEADS, &scope, &ids, 1, take_heads, heads, status);
}

/* ---- removing, and the log's end ---- */

static void take_removed(void *context, size_t command, const PGresult *rows)
{
    struct store_ledger_head *removed = context;
    CHECK(command == 0 && PQntuples(rows) == 1);
    removed->take = postgres_int64(rows, 0, 0);
    removed->settlement = postgres_int64(rows, 0, 1);
}

enum store_result postgres_ledger_trim(struct store_session *base, struct scope scope,
                                       int64_t subscription, struct store_ledger_head *from,
                                       struct store_ledger_head to, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    const int64_t numbers[] = {subscription, from->take, to.take, from->settlement, to.settlement};
    struct store_ledger_head removed = *from;
    struct buffer parameters[5];
    CHECK(!session->read_only);
    postgres_parameters_init(parameters, 5);
    for (size_t i = 0; i < 5; i++)
        postgres_put_int64(&parameters[i], numbers[i]);
    postgres_deadline_start(session);
    enum store_result result = postgres_run(session, POSTGRES_TRIM_LEDGER, &scope, parameters, 5,
                                            take_removed, &removed, status);
    if (result == STORE_OK)
        *from = removed;
    return result;
}

static void take_end(void *context, size_t command, const PGresult *rows)
{
    CHECK(command == 0 && PQntuples(rows) == 1);
    *(int64_t *)context = postgres_int64(rows, 0, 0);
}

enum store_result postgres_log_end(struct store_session *base, struct scope scope, int64_t *last,
                                   struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_LOG_END, &scope, NULL, 0, take_end, last, status);
}
