/* A batch of writes: one round trip that is one transaction, with a statement for each kind of item
 * in it. Items that it could not write (the id was there, the event was acknowledged before) are
 * looked up in a second round trip; the rows it finds never change, so it may come after the
 * commit. */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/postgres/keys.h"
#include "store/postgres/kinds.h"

#define PARAMETER_CAP ((size_t)256 << 20) /* bytes of one array */
#define TABLE_LOCK_MS 8000                /* callers wait ten seconds or more */

/* The items of one kind, in order of their ids. An item is STORE_NOT_FOUND until it is answered. */
struct sorted {
    const struct postgres_kind *kind;
    struct store_item **items; /* the batch's items, which the keys count */
    struct keys keys;
    enum postgres_statement statement; /* of the current round trip */
    struct store_item **sent;          /* the items that it writes or looks up */
    size_t sent_count;
    struct buffer parameters[POSTGRES_COLUMNS];
    int parameter_count;
};

struct writing {
    struct scope scope;
    struct key *keys;         /* of all kinds */
    struct store_item **sent; /* the same */
    struct sorted kinds[STORE_KIND_COUNT];
    struct sorted *commands[STORE_KIND_COUNT]; /* of the current round trip */
    size_t command_count;
};

/* False without memory; call writing_fini in any case. */
static bool writing_init(struct writing *writing, struct scope scope,
                         const struct store_write *batch)
{
    *writing = (struct writing){
        .scope = scope,
        .keys = calloc(batch->count + 1, sizeof(*writing->keys)),
        .sent = calloc(batch->count + 1, sizeof(*writing->sent)),
    };
    if (!writing->keys || !writing->sent)
        return false;
    size_t used = 0;
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        struct sorted *sorted = &writing->kinds[kind];
        sorted->kind = &POSTGRES_KINDS[kind];
        sorted->items = batch->items;
        sorted->keys.list = writing->keys + used;
        sorted->sent = writing->sent + used;
        for (size_t i = 0; i < batch->count; i++) {
            if (batch->items[i]->kind != kind)
                continue;
            batch->items[i]->outcome = STORE_NOT_FOUND;
            sorted->keys.list[sorted->keys.count++] = (struct key){batch->items[i]->event.id, i};
        }
        keys_sort(&sorted->keys);
        used += sorted->keys.count;
    }
    CHECK(used == batch->count);
    return true;
}

static void writing_fini(struct writing *writing)
{
    free(writing->keys);
    free(writing->sent);
}

/* The item at a position in the order of ids. */
static struct store_item *item_at(const struct sorted *sorted, size_t position)
{
    CHECK(position < sorted->keys.count);
    return sorted->items[sorted->keys.list[position].item];
}

/* ---- one round trip ---- */

static void put_columns(struct sorted *sorted, const struct postgres_column *const *columns)
{
    sorted->parameter_count = 0;
    for (int i = 0; i < POSTGRES_COLUMNS; i++)
        buffer_init(&sorted->parameters[i], PARAMETER_CAP);
    for (int i = 0; i < POSTGRES_COLUMNS && columns[i]; i++) {
        struct buffer *array = &sorted->parameters[sorted->parameter_count++];
        postgres_array_start(array, columns[i]->type, sorted->sent_count);
        for (size_t j = 0; j < sorted->sent_count; j++)
            columns[i]->add(array, &sorted->sent[j]->event);
    }
}

/* Chooses the items that have no answer yet, the first of each id or all of them, and makes them
 * the parameters of `statement`; without such items it is not sent. */
static void sorted_ready(struct writing *writing, struct sorted *sorted,
                         enum postgres_statement statement, bool all,
                         const struct postgres_column *const *columns)
{
    size_t end;
    sorted->sent_count = 0;
    for (size_t start = 0; start < sorted->keys.count; start = end) {
        end = keys_group_end(&sorted->keys, start);
        if (item_at(sorted, start)->outcome != STORE_NOT_FOUND)
            continue;
        for (size_t i = start; i < (all ? end : start + 1); i++)
            sorted->sent[sorted->sent_count++] = item_at(sorted, i);
    }
    if (sorted->sent_count == 0)
        return;
    sorted->statement = statement;
    CHECK(sorted->sent_count <= sorted->keys.count && writing->command_count < STORE_KIND_COUNT);
    put_columns(sorted, columns);
    writing->commands[writing->command_count++] = sorted;
}

static enum store_result send_commands(struct postgres_session *session, struct writing *writing,
                                       bool briefly, struct status *status)
{
    for (size_t i = 0; i < writing->command_count; i++)
        for (int j = 0; j < POSTGRES_COLUMNS; j++)
            if (writing->commands[i]->parameters[j].failed)
                return store_rejected(status); /* too large together: the caller splits the batch */
    bool sent = postgres_transaction_start(session, briefly);
    for (size_t i = 0; i < writing->command_count && sent; i++) {
        const struct sorted *sorted = writing->commands[i];
        sent = postgres_statement_send(session, sorted->statement, &writing->scope,
                                       sorted->parameters, sorted->parameter_count);
    }
    return sent ? STORE_OK : postgres_failed(session, NULL, status);
}

static enum store_result run_commands(struct postgres_session *session, struct writing *writing,
                                      bool briefly, postgres_rows *rows, struct status *status)
{
    enum store_result result = send_commands(session, writing, briefly, status);
    if (result == STORE_OK)
        result = postgres_sync(session, rows, writing, status);
    for (size_t i = 0; i < writing->command_count; i++)
        for (int j = 0; j < POSTGRES_COLUMNS; j++)
            buffer_fini(&writing->commands[i]->parameters[j]);
    writing->command_count = 0;
    return result;
}

/* ---- writing, looking up, repetitions ---- */

static void take_written(void *context, size_t command, const PGresult *rows)
{
    const struct writing *writing = context;
    CHECK(command < writing->command_count);
    const struct sorted *sorted = writing->commands[command];
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t position = keys_find(&sorted->keys, postgres_id(rows, row, 0));
        if (position == sorted->keys.count)
            continue;
        struct store_item *item = item_at(sorted, position);
        item->outcome = STORE_DONE;
        if (sorted->kind->written)
            sorted->kind->written(item, rows, row);
    }
}

static void leave_out(struct sorted *sorted)
{
    for (size_t i = 0; i < sorted->keys.count; i++)
        item_at(sorted, i)->outcome = STORE_BUSY;
}

static enum store_result write_all(struct postgres_session *session, struct writing *writing,
                                   enum postgres_attempt attempt, bool briefly,
                                   struct status *status)
{
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        struct sorted *sorted = &writing->kinds[kind];
        if (sorted->kind->write[attempt] == POSTGRES_LEFT_OUT)
            leave_out(sorted);
        else
            sorted_ready(writing, sorted, sorted->kind->write[attempt], false,
                         sorted->kind->write_columns);
    }
    return run_commands(session, writing, briefly, take_written, status);
}

static void take_looked_up(void *context, size_t command, const PGresult *rows)
{
    const struct writing *writing = context;
    CHECK(command < writing->command_count);
    const struct sorted *sorted = writing->commands[command];
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t number = (size_t)postgres_int64(rows, row, 0);
        if (number >= 1 && number <= sorted->sent_count)
            sorted->kind->looked_up(sorted->sent[number - 1], rows, row);
    }
}

/* Whether an item that must be there was not: somebody removed it meanwhile. */
static bool is_missing(const struct sorted *sorted)
{
    for (size_t i = 0; i < sorted->sent_count && sorted->kind->is_there; i++)
        if (sorted->sent[i]->outcome == STORE_NOT_FOUND)
            return true;
    return false;
}

/* The batch is committed: if anything fails now, the caller writes it again. */
static enum store_result look_up_rest(struct postgres_session *session, struct writing *writing,
                                      struct status *status)
{
    CHECK(writing->command_count == 0);
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        struct sorted *sorted = &writing->kinds[kind];
        sorted_ready(writing, sorted, sorted->kind->look_up, true, sorted->kind->look_up_columns);
    }
    if (writing->command_count == 0)
        return STORE_OK;
    enum store_result result = run_commands(session, writing, false, take_looked_up, status);
    bool missing = false;
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++)
        missing = missing || is_missing(&writing->kinds[kind]);
    if (result == STORE_OK && !missing)
        return STORE_OK;
    session->lost = true;
    return store_lost(status, "the outcome of the write could not be read");
}

/* Later items with the id of one that was done. */
static void answer_repetitions(const struct sorted *sorted)
{
    size_t end;
    for (size_t start = 0; start < sorted->keys.count; start = end) {
        end = keys_group_end(&sorted->keys, start);
        const struct store_item *first = item_at(sorted, start);
        for (size_t i = start + 1; i < end && first->outcome == STORE_DONE; i++)
            sorted->kind->repeated(item_at(sorted, i), first);
    }
}

static enum store_result try_write(struct postgres_session *session, struct scope scope,
                                   const struct store_write *batch, enum postgres_attempt attempt,
                                   bool briefly, struct status *status)
{
    struct writing writing;
    if (!writing_init(&writing, scope, batch)) {
        writing_fini(&writing);
        return store_unavailable(status, "out of memory");
    }
    enum store_result result = write_all(session, &writing, attempt, briefly, status);
    if (result == STORE_OK)
        result = look_up_rest(session, &writing, status);
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT && result == STORE_OK; kind++)
        answer_repetitions(&writing.kinds[kind]);
    writing_fini(&writing);
    return result;
}

/* ---- writing around locks and what is there ---- */

/* Whether the attempt does something for this batch, and something else than the previous one. */
static bool is_worth_trying(const struct store_write *batch, enum postgres_attempt attempt)
{
    bool writes = false;
    bool differs = false;
    CHECK(attempt > POSTGRES_AS_NEW && attempt < POSTGRES_ATTEMPT_COUNT);
    for (size_t i = 0; i < batch->count && !(writes && differs); i++) {
        const enum postgres_statement *write = POSTGRES_KINDS[batch->items[i]->kind].write;
        writes = writes || write[attempt] != POSTGRES_LEFT_OUT;
        differs = differs || write[attempt] != write[attempt - 1];
    }
    return writes && differs;
}

/* A lock must not stop items that do not need it: if there is one, the batch is written without the
 * locked items, and if that fails, without the kinds that may meet locks. */
static enum store_result write_around_locks(struct postgres_session *session, struct scope scope,
                                            const struct store_write *batch, struct status *status)
{
    static const enum store_result after[POSTGRES_ATTEMPT_COUNT] = {
        [POSTGRES_AS_MAY_BE] = STORE_REJECTED,
        [POSTGRES_UNLOCKED] = STORE_LOCKED,
        [POSTGRES_LEAST] = STORE_LOCKED,
    };
    postgres_deadline_start(session);
    enum store_result result =
        try_write(session, scope, batch, POSTGRES_AS_NEW, batch->part, status);
    for (enum postgres_attempt attempt = 1; attempt < POSTGRES_ATTEMPT_COUNT; attempt++)
        if (result == after[attempt] && is_worth_trying(batch, attempt))
            result = try_write(session, scope, batch, attempt,
                               batch->part || result == STORE_LOCKED, status);
    return result;
}

static void take_truth(void *context, size_t command, const PGresult *rows)
{
    CHECK(command == 0 && PQntuples(rows) == 1);
    *(bool *)context = PQgetvalue(rows, 0, 0)[0] != 0;
}

static bool tables_are_locked(struct postgres_session *session)
{
    bool locked = false;
    struct status ignored;
    return postgres_transaction_start(session, false) &&
           postgres_statement_send(session, POSTGRES_TABLES_LOCKED, NULL, NULL, 0) &&
           postgres_sync(session, take_truth, &locked, &ignored) == STORE_OK && locked;
}

/* While a whole table is locked nothing can be written, so waiting delays nobody. */
enum store_result postgres_write(struct store_session *base, struct scope scope,
                                 struct store_write *batch, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    CHECK(!session->read_only);
    int64_t until_ms = clock_monotonic_ms() + TABLE_LOCK_MS;
    enum store_result result = write_around_locks(session, scope, batch, status);
    while (result == STORE_LOCKED && !batch->part && clock_monotonic_ms() < until_ms &&
           tables_are_locked(session))
        result = write_around_locks(session, scope, batch, status);
    return result;
}
