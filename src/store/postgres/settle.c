/* A block leaves `pending` when everything in it is acknowledged. Only a transaction that begins
 * after those of the acknowledgements have ended can tell: of several sessions that acknowledge the
 * last events of a block at once, the one that settles it last sees that. */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/postgres/session.h"

#define PARAMETER_CAP ((size_t)1 << 20)
#define INTERVAL_MS 100

void postgres_unsettle(struct postgres_log *log, int32_t kind, int64_t sequence)
{
    struct postgres_block block = {kind, sequence / STORE_BLOCK};
    CHECK(kind > 0 && sequence > 0);
    for (size_t i = 0; i < 8 && i < log->unsettled_count; i++) {
        const struct postgres_block *known = &log->unsettled[log->unsettled_count - 1 - i];
        if (known->kind == block.kind && known->block == block.block)
            return;
    }
    /* If there is no room, lists look into this block for nothing until it is swept. */
    if (log->unsettled_count < POSTGRES_UNSETTLED_MAX)
        log->unsettled[log->unsettled_count++] = block;
}

static int compare_blocks(const void *left, const void *right)
{
    const struct postgres_block *a = left;
    const struct postgres_block *b = right;
    int order = (a->kind > b->kind) - (a->kind < b->kind);
    return order != 0 ? order : (a->block > b->block) - (a->block < b->block);
}

/* Moves those of full blocks to the front, in the order in which their rows are locked; returns how
 * many there are. */
static size_t gather_full(struct postgres_log *log)
{
    struct postgres_block rest[POSTGRES_UNSETTLED_MAX];
    size_t full = 0;
    size_t rest_count = 0;
    for (size_t i = 0; i < log->unsettled_count; i++) {
        if (log->unsettled[i].block < (log->last + 1) / STORE_BLOCK)
            log->unsettled[full++] = log->unsettled[i];
        else
            rest[rest_count++] = log->unsettled[i];
    }
    for (size_t i = 0; i < rest_count; i++)
        log->unsettled[full + i] = rest[i];
    if (full > 1)
        qsort(log->unsettled, full, sizeof(log->unsettled[0]), compare_blocks);
    return full;
}

/* Forgets the first `count`. */
static void forget(struct postgres_log *log, size_t count)
{
    CHECK(count <= log->unsettled_count);
    log->unsettled_count -= count;
    for (size_t i = 0; i < log->unsettled_count; i++)
        log->unsettled[i] = log->unsettled[count + i];
}

static bool send(struct postgres_session *session, struct scope scope, size_t count)
{
    struct buffer parameters[2];
    buffer_init(&parameters[0], PARAMETER_CAP);
    buffer_init(&parameters[1], PARAMETER_CAP);
    postgres_array_start(&parameters[0], POSTGRES_INT4, count);
    postgres_array_start(&parameters[1], POSTGRES_INT8, count);
    for (size_t i = 0; i < count; i++) {
        postgres_array_add_int32(&parameters[0], session->logs[0]->unsettled[i].kind);
        postgres_array_add_int64(&parameters[1], session->logs[0]->unsettled[i].block);
    }
    bool sent = !parameters[0].failed && !parameters[1].failed &&
                postgres_transaction_start(session, &scope, true) &&
                postgres_statement_send(session, POSTGRES_SETTLE, &scope, parameters, 2);
    buffer_fini(&parameters[0]);
    buffer_fini(&parameters[1]);
    return sent;
}

void postgres_settle(struct postgres_session *session, struct scope scope)
{
    struct postgres_log *log = session->logs[0];
    struct status ignored;
    int64_t now_ms = clock_monotonic_ms();
    if (log->unsettled_count == 0 || now_ms < log->settled_at_ms + INTERVAL_MS)
        return;
    size_t count = gather_full(log);
    log->settled_at_ms = now_ms;
    if (count > 0 && send(session, scope, count) &&
        postgres_sync(session, NULL, NULL, &ignored) == STORE_OK)
        forget(log, count);
}
