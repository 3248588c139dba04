/* A batch of writes: one round trip that is one transaction, with a statement for each kind of item
 * in it. Items that it could not write (the id was there, the event was acknowledged before) are
 * looked up in a second round trip; the rows it finds never change, so it may come after the
 * commit.
 *
 * Sequences: a core that writes alone knows the highest one and numbers its events itself. The
 * primary key makes it wait for, and fail after, another that has written the same number. Then,
 * and as long as others write too, the round trip begins with a wait for the lock of the log, and
 * goes on from the highest sequence: cores take turns of one commit. When kinds are new, or the
 * rows of full blocks cannot be written, the lock comes in a round trip before that one (turn.c).
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/postgres/item_kinds.h"
#include "store/postgres/keys.h"

#define PARAMETER_CAP ((size_t)256 << 20) /* bytes of one array */
#define TABLE_LOCK_MS 8000                /* callers wait ten seconds or more */
#define SHARED_MS 10000                   /* after which a core may be alone again */

/* The items of one kind, in order of their ids. An item is STORE_NOT_FOUND until it is answered. */
struct sorted {
    const struct postgres_item_kind *kind;
    struct store_item **items; /* the batch's items, which the keys count */
    struct keys keys;
    struct postgres_sent sent; /* the items that the current round trip writes or looks up */
    struct buffer parameters[POSTGRES_COLUMNS];
    int parameter_count;
};

/* A statement of the current round trip. */
struct step {
    enum postgres_statement statement;
    struct sorted *sorted; /* whose parameters it has; NULL: it has none */
};
#define MAX_STEPS 9

struct writing {
    struct scope scope;
    struct postgres_log *log;
    enum postgres_attempt attempt;
    bool briefly;             /* hardly waits for locks */
    bool turn_came;           /* the lock of the log was waited for */
    struct key *keys;         /* of all kinds */
    struct store_item **sent; /* the same */
    struct sorted kinds[STORE_KIND_COUNT];
    struct step steps[MAX_STEPS];
    size_t step_count;
};

/* False without memory; call writing_fini in any case. */
static bool writing_init(struct writing *writing, struct postgres_session *session,
                         struct scope scope, const struct store_write *batch)
{
    *writing = (struct writing){
        .scope = scope,
        .log = session->logs[0],
        .keys = calloc(batch->count + 1, sizeof(*writing->keys)),
        .sent = calloc(batch->count + 1, sizeof(*writing->sent)),
    };
    if (!writing->keys || !writing->sent)
        return false;
    size_t used = 0;
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        struct sorted *sorted = &writing->kinds[kind];
        sorted->kind = POSTGRES_ITEM_KINDS[kind];
        sorted->items = batch->items;
        sorted->keys.list = writing->keys + used;
        sorted->sent.items = writing->sent + used;
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

static void add_step(struct writing *writing, enum postgres_statement statement,
                     struct sorted *sorted)
{
    CHECK(writing->step_count < MAX_STEPS);
    writing->steps[writing->step_count++] = (struct step){statement, sorted};
}

static size_t count_values(const struct postgres_column *column, const struct postgres_sent *sent)
{
    size_t count = 0;
    for (size_t i = 0; i < sent->count; i++)
        count += column->count ? column->count(sent->items[i]) : 1;
    return count;
}

static void put_columns(struct sorted *sorted, const struct postgres_column *const *columns)
{
    sorted->parameter_count = 0;
    for (int i = 0; i < POSTGRES_COLUMNS; i++)
        buffer_init(&sorted->parameters[i], PARAMETER_CAP);
    for (int i = 0; i < POSTGRES_COLUMNS && columns[i]; i++) {
        struct buffer *array = &sorted->parameters[sorted->parameter_count++];
        postgres_array_start(array, columns[i]->type, count_values(columns[i], &sorted->sent));
        for (size_t j = 0; j < sorted->sent.count; j++)
            columns[i]->add(array, sorted->sent.items[j]);
    }
}

/* Chooses the items that have no answer yet, the first of each id or all of them. */
static void choose_sent(struct sorted *sorted, bool all)
{
    size_t end;
    sorted->sent.count = sorted->sent.position = 0;
    for (size_t start = 0; start < sorted->keys.count; start = end) {
        end = keys_group_end(&sorted->keys, start);
        if (item_at(sorted, start)->outcome != STORE_NOT_FOUND)
            continue;
        for (size_t i = start; i < (all ? end : start + 1); i++)
            sorted->sent.items[sorted->sent.count++] = item_at(sorted, i);
    }
    CHECK(sorted->sent.count <= sorted->keys.count);
}

/* The first of each id in the order of the batch; nothing is answered yet. */
static void choose_in_order(struct sorted *sorted, const struct store_write *batch)
{
    sorted->sent.count = sorted->sent.position = 0;
    for (size_t i = 0; i < batch->count; i++) {
        size_t first = keys_find(&sorted->keys, batch->items[i]->event.id);
        if (first < sorted->keys.count && sorted->keys.list[first].item == i)
            sorted->sent.items[sorted->sent.count++] = batch->items[i];
    }
}

static bool send_parameters(struct postgres_session *session, const struct writing *writing,
                            const struct step *step)
{
    const struct sorted *sorted = step->sorted;
    return postgres_statement_send(session, step->statement, &writing->scope,
                                   sorted ? sorted->parameters : NULL,
                                   sorted ? sorted->parameter_count : 0);
}

static enum store_result send_steps(struct postgres_session *session, const struct writing *writing,
                                    struct status *status)
{
    for (size_t i = 0; i < writing->step_count; i++) {
        const struct sorted *sorted = writing->steps[i].sorted;
        for (int j = 0; sorted && j < sorted->parameter_count; j++)
            if (sorted->parameters[j].failed)
                return store_rejected(status); /* too large together: the caller splits the batch */
    }
    bool sent = postgres_transaction_start(session, &writing->scope, writing->briefly);
    for (size_t i = 0; i < writing->step_count && sent; i++)
        sent = send_parameters(session, writing, &writing->steps[i]);
    if (sent && session->in_turn)
        sent = postgres_turn_commit_send(session);
    return sent ? STORE_OK : postgres_failed(session, NULL, status);
}

static enum store_result run_steps(struct postgres_session *session, struct writing *writing,
                                   postgres_rows *rows, struct status *status)
{
    enum store_result result = send_steps(session, writing, status);
    if (result == STORE_OK)
        result = postgres_sync(session, rows, writing, status);
    if (result == STORE_OK && session->in_turn)
        postgres_turn_committed(session);
    for (size_t i = 0; i < writing->step_count; i++)
        for (int j = 0; writing->steps[i].sorted && j < POSTGRES_COLUMNS; j++)
            buffer_fini(&writing->steps[i].sorted->parameters[j]);
    writing->step_count = 0;
    return result;
}

/* ---- writing, looking up, repetitions ---- */

static void take_filled(struct postgres_log *log, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        int32_t kind = postgres_int32(rows, row, 0);
        if (kind > 0)
            postgres_unsettle(log, kind, postgres_int64(rows, row, 1) * STORE_BLOCK + 1);
    }
}

static void take_written(void *context, size_t command, const PGresult *rows)
{
    struct writing *writing = context;
    CHECK(command < writing->step_count);
    const struct step *step = &writing->steps[command];
    if (step->statement == POSTGRES_LOCK_LOG)
        writing->turn_came = true;
    else if (step->statement == POSTGRES_FILL)
        take_filled(writing->log, rows);
    else if (step->sorted)
        step->sorted->kind->written(&step->sorted->sent, writing->log, rows);
}

/* Whether so many appends may fill a block. */
static bool may_fill(int64_t last, size_t count)
{
    return (last + 1) / STORE_BLOCK != (last + 1 + (int64_t)count) / STORE_BLOCK;
}

/* Gives the appends the sequences that follow, which count if the transaction is committed. */
static void number_appends(struct writing *writing, int64_t last)
{
    struct postgres_sent *sent = &writing->kinds[STORE_APPEND].sent;
    CHECK(writing->attempt == POSTGRES_ALONE);
    for (size_t i = 0; i < sent->count; i++) {
        sent->items[i]->event.sequence = last + 1 + (int64_t)i;
        sent->items[i]->outcome = STORE_DONE;
    }
}

static const struct postgres_sending *choose_sending(const struct sorted *sorted,
                                                     enum postgres_attempt attempt)
{
    const struct postgres_item_kind *kind = sorted->kind;
    bool bare = kind->is_bare;
    for (size_t i = 0; bare && i < sorted->sent.count; i++)
        bare = kind->is_bare(sorted->sent.items[i]);
    return bare ? &kind->write_bare[attempt] : &kind->write[attempt];
}

static enum store_result write_all(struct postgres_session *session, struct writing *writing,
                                   const struct store_write *batch, struct status *status)
{
    int64_t last = session->in_turn ? session->turn_last : session->logs[0]->last;
    bool alone = writing->attempt == POSTGRES_ALONE;
    bool is_known = alone || session->in_turn; /* how far the log is */
    if (!is_known)
        add_step(writing, POSTGRES_LOCK_LOG, NULL);
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        struct sorted *sorted = &writing->kinds[kind];
        if (sorted->keys.count == 0)
            continue;
        if (sorted->kind->in_order)
            choose_in_order(sorted, batch);
        else
            choose_sent(sorted, false);
        if (kind == STORE_APPEND && alone)
            number_appends(writing, last);
        const struct postgres_sending *sending = choose_sending(sorted, writing->attempt);
        put_columns(sorted, sending->columns);
        add_step(writing, sending->statement, sorted);
        if (kind == STORE_APPEND && (!is_known || may_fill(last, sorted->sent.count)))
            add_step(writing, POSTGRES_FILL, NULL);
    }
    return run_steps(session, writing, take_written, status);
}

static void take_looked_up(void *context, size_t command, const PGresult *rows)
{
    const struct writing *writing = context;
    CHECK(command < writing->step_count);
    const struct sorted *sorted = writing->steps[command].sorted;
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t number = (size_t)postgres_int64(rows, row, 0);
        if (number >= 1 && number <= sorted->sent.count)
            sorted->kind->looked_up(sorted->sent.items[number - 1], rows, row);
    }
}

/* Whether an item that must be there was not: somebody removed it meanwhile. */
static bool is_missing(const struct sorted *sorted)
{
    for (size_t i = 0; i < sorted->sent.count && sorted->kind->is_there; i++)
        if (sorted->sent.items[i]->outcome == STORE_NOT_FOUND)
            return true;
    return false;
}

/* The batch is committed: if anything fails now, the caller writes it again. */
static enum store_result look_up_rest(struct postgres_session *session, struct writing *writing,
                                      struct status *status)
{
    CHECK(writing->step_count == 0);
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        struct sorted *sorted = &writing->kinds[kind];
        choose_sent(sorted, true);
        if (sorted->sent.count == 0)
            continue;
        put_columns(sorted, sorted->kind->look_up_columns);
        add_step(writing, sorted->kind->look_up, sorted);
    }
    if (writing->step_count == 0)
        return STORE_OK;
    enum store_result result = run_steps(session, writing, take_looked_up, status);
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

/* What was seen of the log by a transaction that was committed. */
static void note_written(struct postgres_log *log, const struct writing *writing, int64_t last)
{
    const struct postgres_sent *sent = &writing->kinds[STORE_APPEND].sent;
    if (sent->count == 0)
        return;
    if (writing->attempt == POSTGRES_ALONE) {
        log->last += (int64_t)sent->count;
        return;
    }
    size_t done = 0;
    for (size_t i = 0; i < sent->count; i++)
        done += sent->items[i]->outcome == STORE_DONE;
    bool others = last >= 0 && done > 0 && log->last != last + (int64_t)done;
    if (others)
        log->shared_until_ms = clock_monotonic_ms() + SHARED_MS;
    log->alone = done > 0 && clock_monotonic_ms() >= log->shared_until_ms;
}

static enum store_result try_write(struct postgres_session *session, struct scope scope,
                                   const struct store_write *batch, enum postgres_attempt attempt,
                                   struct status *status)
{
    struct writing writing;
    int64_t last = session->logs[0]->last;
    if (!writing_init(&writing, session, scope, batch)) {
        writing_fini(&writing);
        return store_unavailable(status, "out of memory");
    }
    writing.attempt = attempt;
    writing.briefly = batch->part;
    bool takes_turn = attempt == POSTGRES_SHARED && !session->in_turn;
    enum store_result result = write_all(session, &writing, batch, status);
    if (result == STORE_LOCKED && takes_turn && !writing.turn_came)
        result = store_unavailable(status, POSTGRES_LOG_LOCKED);
    if (result == STORE_OK) {
        note_written(session->logs[0], &writing, last);
        result = look_up_rest(session, &writing, status);
    } else {
        session->logs[0]->last = last;
        /* A lock or a refusal says nothing of other writers. */
        session->logs[0]->alone =
            session->logs[0]->alone && (result == STORE_LOCKED || result == STORE_REJECTED);
    }
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT && result == STORE_OK; kind++)
        answer_repetitions(&writing.kinds[kind]);
    writing_fini(&writing);
    return result;
}

static bool has_appends(const struct store_write *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->kind == STORE_APPEND)
            return true;
    return false;
}

static bool has_new_kinds(const struct store_write *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->kind == STORE_APPEND && batch->items[i]->event.kind == 0)
            return true;
    return false;
}

/* Puts the tenant's log first, in place of the one that was not written for longest if there are
 * too many. False without memory. */
static bool look_at_log(struct postgres_session *session, struct scope scope)
{
    struct postgres_log **logs = session->logs;
    size_t place = 0;
    while (place < POSTGRES_LOGS_MAX - 1 && logs[place] && logs[place]->tenant != scope.tenant)
        place++;
    struct postgres_log *log = logs[place] ? logs[place] : calloc(1, sizeof(*log));
    if (!log)
        return false;
    if (!logs[place] || log->tenant != scope.tenant)
        *log = (struct postgres_log){.tenant = scope.tenant, .last = -1};
    for (; place > 0; place--)
        logs[place] = logs[place - 1];
    logs[0] = log;
    return true;
}

static enum store_result write_in_turn(struct postgres_session *session, struct scope scope,
                                       struct store_write *batch, struct status *status)
{
    enum store_result result = batch->gather ? batch->gather(batch, status) : STORE_OK;
    if (result == STORE_OK)
        result = postgres_number_kinds(session, scope, batch, false, status);
    if (result == STORE_OK && !has_new_kinds(batch)) {
        result = try_write(session, scope, batch, POSTGRES_SHARED, status);
        if (result != STORE_LOCKED || batch->part)
            return result;
        result = STORE_OK; /* perhaps only what a block needs that becomes full is locked */
    }
    if (result != STORE_OK)
        return result;
    result = postgres_turn_begin(session, scope, batch->part, status);
    if (result == STORE_OK)
        result = postgres_number_kinds(session, scope, batch, true, status);
    if (result == STORE_OK)
        result = try_write(session, scope, batch, POSTGRES_SHARED, status);
    postgres_turn_give_up(session);
    return result;
}

static enum store_result write_once(struct postgres_session *session, struct scope scope,
                                    struct store_write *batch, struct status *status)
{
    postgres_deadline_start(session);
    if (!look_at_log(session, scope))
        return store_unavailable(status, "out of memory");
    postgres_settle(session, scope);
    bool appends = has_appends(batch);
    bool alone = session->logs[0]->alone || !appends;
    enum store_result result = STORE_OK;
    if (alone && appends)
        result = postgres_number_kinds(session, scope, batch, false, status);
    if (result != STORE_OK)
        return result;
    alone = alone && !has_new_kinds(batch);
    if (alone)
        result = try_write(session, scope, batch, POSTGRES_ALONE, status);
    if (!alone || (appends && (result == STORE_RETRY || result == STORE_LOCKED)))
        result = write_in_turn(session, scope, batch, status);
    return result;
}

static void take_truth(void *context, size_t command, const PGresult *rows)
{
    CHECK(command == 0 && PQntuples(rows) == 1);
    *(bool *)context = PQgetvalue(rows, 0, 0)[0] != 0;
}

static bool events_are_locked(struct postgres_session *session)
{
    bool locked = false;
    struct status ignored;
    return postgres_transaction_start(session, NULL, false) &&
           postgres_statement_send(session, POSTGRES_EVENTS_LOCKED, NULL, NULL, 0) &&
           postgres_sync(session, take_truth, &locked, &ignored) == STORE_OK && locked;
}

/* While a whole table is locked nothing can be written, so waiting delays nobody. */
enum store_result postgres_write(struct store_session *base, struct scope scope,
                                 struct store_write *batch, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    CHECK(!session->read_only);
    int64_t until_ms = clock_monotonic_ms() + TABLE_LOCK_MS;
    enum store_result result = write_once(session, scope, batch, status);
    while (result == STORE_LOCKED && !batch->part && clock_monotonic_ms() < until_ms &&
           events_are_locked(session))
        result = write_once(session, scope, batch, status);
    return result;
}
