/* A batch of writes: one round trip that is one transaction. What it could not do (the id was
 * there, the event was acknowledged before) is looked up in a second one; the rows it finds never
 * change, so it may come after the commit. */
#include <string.h>

#include "base/clock.h"
#include "store/postgres/writing.h"

#define PARAMETER_CAP ((size_t)256 << 20) /* bytes of one array */
#define TABLE_LOCK_MS 8000                /* callers wait ten seconds or more */

enum { APPEND_PARAMETERS = 5, ACK_PARAMETERS = 2 };

/* One round trip: a statement about the chosen appends and one about the chosen acks; either is
 * left out when there are none. */
struct round {
    enum postgres_statement append;
    enum postgres_statement ack;
    struct buffer append_parameters[APPEND_PARAMETERS];
    int append_parameter_count;
    struct buffer ack_parameters[ACK_PARAMETERS];
    int ack_parameter_count;
};

static void round_init(struct round *round)
{
    *round = (struct round){0};
    for (int i = 0; i < APPEND_PARAMETERS; i++)
        buffer_init(&round->append_parameters[i], PARAMETER_CAP);
    for (int i = 0; i < ACK_PARAMETERS; i++)
        buffer_init(&round->ack_parameters[i], PARAMETER_CAP);
}

static void round_fini(struct round *round)
{
    for (int i = 0; i < APPEND_PARAMETERS; i++)
        buffer_fini(&round->append_parameters[i]);
    for (int i = 0; i < ACK_PARAMETERS; i++)
        buffer_fini(&round->ack_parameters[i]);
}

static bool round_is_complete(const struct round *round)
{
    bool complete = true;
    for (int i = 0; i < APPEND_PARAMETERS; i++)
        complete = complete && !round->append_parameters[i].failed;
    for (int i = 0; i < ACK_PARAMETERS; i++)
        complete = complete && !round->ack_parameters[i].failed;
    return complete;
}

static enum store_result round_run(struct postgres_session *session, const struct round *round,
                                   bool briefly, postgres_rows *rows, struct writing *writing,
                                   struct status *status)
{
    if (!round_is_complete(round))
        return store_rejected(status); /* too large together: to be split */
    if (!postgres_transaction_start(session, briefly))
        return postgres_failed(session, NULL, status);
    if (writing->append_count > 0 &&
        !postgres_statement_send(session, round->append, &writing->scope, round->append_parameters,
                                 round->append_parameter_count))
        return postgres_failed(session, NULL, status);
    if (writing->ack_count > 0 &&
        !postgres_statement_send(session, round->ack, &writing->scope, round->ack_parameters,
                                 round->ack_parameter_count))
        return postgres_failed(session, NULL, status);
    return postgres_sync(session, rows, writing, status);
}

/* The first statement is about appends if any were chosen. */
static bool is_about_appends(const struct writing *writing, size_t command)
{
    return command == 0 && writing->append_count > 0;
}

static void take_acknowledged_now(struct store_ack *ack, const PGresult *rows, int row)
{
    ack->outcome = STORE_DONE;
    ack->acknowledged_at_us = postgres_time_us(rows, row, 1);
}

/* Ids that were stored now, or acknowledged with their times. */
static void take_written(void *context, size_t command, const PGresult *rows)
{
    struct writing *writing = context;
    bool appended = is_about_appends(writing, command);
    const struct keys *keys = appended ? &writing->append_keys : &writing->ack_keys;
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t position = keys_find(keys, postgres_id(rows, row, 0));
        if (position == keys->count)
            continue;
        if (appended)
            writing_append(writing, position)->outcome = STORE_DONE;
        else
            take_acknowledged_now(writing_ack(writing, position), rows, row);
    }
}

/* One way to write a batch. */
struct attempt {
    enum postgres_statement append;
    enum postgres_statement ack;
    bool without_acks; /* they become STORE_BUSY */
    bool briefly;      /* see postgres_transaction_start */
};

static enum store_result write_all(struct postgres_session *session, struct writing *writing,
                                   const struct attempt *attempt, struct status *status)
{
    struct round round;
    round_init(&round);
    round.append = attempt->append;
    round.append_parameter_count = 5;
    round.ack = attempt->ack;
    round.ack_parameter_count = 2;
    writing_choose(writing, false);
    if (attempt->without_acks)
        writing_leave_acks(writing);
    writing_put_append_ids(writing, &round.append_parameters[0]);
    writing_put_append_times(writing, &round.append_parameters[1]);
    writing_put_contents(writing, &round.append_parameters[2]);
    writing_put_ack_ids(writing, &round.ack_parameters[0]);
    writing_put_ack_times(writing, &round.ack_parameters[1]);
    enum store_result result =
        round_run(session, &round, attempt->briefly, take_written, writing, status);
    round_fini(&round);
    return result;
}

/* Appends compared with what is stored: number from 1, created_at, whether they are the same. */
static void take_comparison(const struct writing *writing, const PGresult *rows, int row)
{
    size_t number = (size_t)postgres_int64(rows, row, 0);
    if (number < 1 || number > writing->append_count)
        return;
    struct store_append *append = writing->appends[number - 1];
    bool same = PQgetvalue(rows, row, 2)[0] != 0;
    append->outcome = same ? STORE_REPEATED : STORE_CONFLICT;
    if (same)
        append->event.created_at_us = postgres_time_us(rows, row, 1);
}

/* An event that was there and not acknowledged now: its id, and when it was before. Without such a
 * time it is pending, but somebody holds it, or it was not there yet a moment ago. */
static void take_acknowledgement(const struct writing *writing, const PGresult *rows, int row)
{
    size_t position = keys_find(&writing->ack_keys, postgres_id(rows, row, 0));
    if (position == writing->ack_keys.count)
        return;
    struct store_ack *ack = writing_ack(writing, position);
    ack->outcome = PQgetisnull(rows, row, 1) ? STORE_BUSY : STORE_REPEATED;
    if (ack->outcome == STORE_REPEATED)
        ack->acknowledged_at_us = postgres_time_us(rows, row, 1);
}

static void take_existing(void *context, size_t command, const PGresult *rows)
{
    const struct writing *writing = context;
    bool compared = is_about_appends(writing, command);
    for (int row = 0; row < PQntuples(rows); row++)
        (compared ? take_comparison : take_acknowledgement)(writing, rows, row);
}

/* The batch is committed: whatever fails now leaves the caller to write it again. */
static enum store_result look_up_rest(struct postgres_session *session, struct writing *writing,
                                      struct status *status)
{
    writing_choose(writing, true);
    if (writing->append_count == 0 && writing->ack_count == 0)
        return STORE_OK;
    struct round round;
    round_init(&round);
    round.append = POSTGRES_COMPARE;
    round.append_parameter_count = 4;
    round.ack = POSTGRES_ACKNOWLEDGED_AT;
    round.ack_parameter_count = 1;
    writing_put_append_ids(writing, &round.append_parameters[0]);
    writing_put_contents(writing, &round.append_parameters[1]);
    writing_put_ack_ids(writing, &round.ack_parameters[0]);
    enum store_result result = round_run(session, &round, false, take_existing, writing, status);
    round_fini(&round);
    for (size_t i = 0; result == STORE_OK && i < writing->append_count; i++)
        if (writing->appends[i]->outcome == STORE_NOT_FOUND)
            result = STORE_LOST; /* removed meanwhile */
    if (result == STORE_OK)
        return STORE_OK;
    session->lost = true;
    return store_lost(status, "the outcome of the write could not be read");
}

static bool same_slice(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_content(const struct store_event *a, const struct store_event *b)
{
    return same_slice(a->source, b->source) && same_slice(a->type, b->type) &&
           same_slice(a->payload, b->payload);
}

/* Later appends of an id that the batch stored, and later acks of an id. */
static void answer_repetitions(struct writing *writing)
{
    const struct keys *appends = &writing->append_keys;
    size_t end;
    for (size_t start = 0; start < appends->count; start = end) {
        end = keys_group_end(appends, start);
        const struct store_append *first = writing_append(writing, start);
        for (size_t i = start + 1; i < end && first->outcome == STORE_DONE; i++) {
            struct store_append *again = writing_append(writing, i);
            bool same = same_content(&first->event, &again->event);
            again->outcome = same ? STORE_REPEATED : STORE_CONFLICT;
            if (same)
                again->event.created_at_us = first->event.created_at_us;
        }
    }
    const struct keys *acks = &writing->ack_keys;
    for (size_t start = 0; start < acks->count; start = end) {
        end = keys_group_end(acks, start);
        const struct store_ack *first = writing_ack(writing, start);
        for (size_t i = start + 1; i < end && first->outcome != STORE_NOT_FOUND; i++) {
            struct store_ack *again = writing_ack(writing, i);
            again->outcome = first->outcome == STORE_BUSY ? STORE_BUSY : STORE_REPEATED;
            again->acknowledged_at_us = first->acknowledged_at_us;
        }
    }
}

static enum store_result try_write(struct postgres_session *session, struct scope scope,
                                   struct store_write *batch, struct attempt attempt,
                                   struct status *status)
{
    struct writing writing;
    enum store_result result = STORE_OK;
    if (!writing_init(&writing, scope, batch))
        result = store_unavailable(status, "out of memory");
    if (result == STORE_OK)
        result = write_all(session, &writing, &attempt, status);
    if (result == STORE_OK)
        result = look_up_rest(session, &writing, status);
    if (result == STORE_OK)
        answer_repetitions(&writing);
    writing_fini(&writing);
    return result;
}

/* Nearly always every event is new and nobody holds a lock, so that is tried first. A lock must not
 * stop what does not need it: next without the events that are held, then without acknowledgements.
 */
static enum store_result write_around_locks(struct postgres_session *session, struct scope scope,
                                            struct store_write *batch, struct status *status)
{
    struct attempt attempt = {POSTGRES_APPEND_NEW, POSTGRES_ACK, .briefly = batch->part};
    postgres_deadline_start(session);
    enum store_result result = try_write(session, scope, batch, attempt, status);
    attempt.append = POSTGRES_APPEND;
    if (result == STORE_REJECTED && batch->append_count > 0)
        result = try_write(session, scope, batch, attempt, status);
    attempt.ack = POSTGRES_ACK_UNLOCKED;
    attempt.briefly = true;
    if (result == STORE_LOCKED && batch->ack_count > 0)
        result = try_write(session, scope, batch, attempt, status);
    attempt.without_acks = true;
    if (result == STORE_LOCKED && batch->ack_count > 0 && batch->append_count > 0)
        result = try_write(session, scope, batch, attempt, status);
    return result;
}

static void take_truth(void *context, size_t command, const PGresult *rows)
{
    (void)command;
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

/* Beside a lock of a whole table nothing can be written, so that waiting keeps nobody. */
enum store_result postgres_write(struct store_session *base, struct scope scope,
                                 struct store_write *batch, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    int64_t until_ms = clock_monotonic_ms() + TABLE_LOCK_MS;
    enum store_result result = write_around_locks(session, scope, batch, status);
    while (result == STORE_LOCKED && !batch->part && clock_monotonic_ms() < until_ms &&
           tables_are_locked(session))
        result = write_around_locks(session, scope, batch, status);
    return result;
}
