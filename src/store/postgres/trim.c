/* Removal from the old end of the log, and of rows of `pending` that nobody settled. */
#include "base/check.h"
#include "store/postgres/session.h"

#define PARAMETER_CAP 64
#define SWEPT_ROWS 64 /* of one step */

struct trimming {
    struct store_trim *trim;
    enum postgres_statement steps[5];
    size_t count;
};

static void take_blocks(struct store_trim *trim, const PGresult *rows)
{
    trim->acknowledged += postgres_int64(rows, 0, 0);
    trim->pending += postgres_int64(rows, 0, 1);
    trim->more = postgres_int64(rows, 0, 2) == trim->blocks;
}

/* What is left when many were removed may have reached the limit. */
static void take_singles(struct store_trim *trim, const PGresult *rows)
{
    int64_t acknowledged = postgres_int64(rows, 0, 0);
    int64_t pending = postgres_int64(rows, 0, 1);
    trim->acknowledged += acknowledged;
    trim->pending += pending;
    trim->more = trim->more || acknowledged + pending >= STORE_BLOCK * (int64_t)trim->blocks / 2;
}

static void take_swept(struct store_trim *trim, const PGresult *rows)
{
    bool ended = PQntuples(rows) == 0;
    trim->swept_kind = ended ? 0 : postgres_int32(rows, 0, 0);
    trim->swept_block = ended ? 0 : postgres_int64(rows, 0, 1);
}

static void take_step(void *context, size_t command, const PGresult *rows)
{
    const struct trimming *trimming = context;
    CHECK(command < trimming->count);
    switch (trimming->steps[command]) {
    case POSTGRES_TRIM_BLOCKS: take_blocks(trimming->trim, rows); break;
    case POSTGRES_TRIM_SINGLES: take_singles(trimming->trim, rows); break;
    case POSTGRES_SWEEP: take_swept(trimming->trim, rows); break;
    case POSTGRES_LOG_BEGINNING: trimming->trim->first = postgres_int64(rows, 0, 0); break;
    default: break;
    }
}

static bool send_removal(struct postgres_session *session, const struct scope *scope,
                         enum postgres_statement which, const struct store_trim *trim,
                         int64_t limit)
{
    struct buffer parameters[3];
    for (size_t i = 0; i < 3; i++)
        buffer_init(&parameters[i], PARAMETER_CAP);
    postgres_put_time(&parameters[0], trim->acknowledged_before_us);
    postgres_put_time(&parameters[1], trim->pending_before_us);
    postgres_put_int64(&parameters[2], limit);
    bool sent = !parameters[0].failed && !parameters[1].failed && !parameters[2].failed &&
                postgres_statement_send(session, which, scope, parameters, 3);
    for (size_t i = 0; i < 3; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

static bool send_sweep(struct postgres_session *session, const struct scope *scope,
                       const struct store_trim *trim)
{
    struct buffer parameters[3];
    for (size_t i = 0; i < 3; i++)
        buffer_init(&parameters[i], PARAMETER_CAP);
    /* Before every row, block 0 included, when it begins. */
    postgres_put_int32(&parameters[0], trim->swept_kind);
    postgres_put_int64(&parameters[1],
                       trim->swept_kind == 0 && trim->swept_block == 0 ? -1 : trim->swept_block);
    postgres_put_int64(&parameters[2], SWEPT_ROWS);
    bool sent = !parameters[0].failed && !parameters[1].failed && !parameters[2].failed &&
                postgres_statement_send(session, POSTGRES_SWEEP, scope, parameters, 3);
    for (size_t i = 0; i < 3; i++)
        buffer_fini(&parameters[i]);
    return sent;
}

static bool send_step(struct postgres_session *session, const struct scope *scope,
                      enum postgres_statement which, const struct store_trim *trim)
{
    switch (which) {
    case POSTGRES_TRIM_BLOCKS: return send_removal(session, scope, which, trim, trim->blocks);
    case POSTGRES_TRIM_SINGLES:
        return send_removal(session, scope, which, trim, (int64_t)trim->blocks * STORE_BLOCK);
    case POSTGRES_SWEEP: return send_sweep(session, scope, trim);
    case POSTGRES_BEGIN_TRIM: return postgres_statement_send(session, which, NULL, NULL, 0);
    default: return postgres_statement_send(session, which, scope, NULL, 0);
    }
}

enum store_result postgres_trim(struct store_session *base, struct scope scope,
                                struct store_trim *trim, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct trimming trimming = {.trim = trim};
    CHECK(!session->read_only && trim->blocks >= 1);
    CHECK(trim->pending_before_us <= trim->acknowledged_before_us);
    trimming.steps[trimming.count++] = POSTGRES_BEGIN_TRIM;
    if (trim->acknowledged_before_us > INT64_MIN) {
        trimming.steps[trimming.count++] = POSTGRES_TRIM_BLOCKS;
        trimming.steps[trimming.count++] = POSTGRES_TRIM_SINGLES;
    }
    trimming.steps[trimming.count++] = POSTGRES_SWEEP;
    trimming.steps[trimming.count++] = POSTGRES_LOG_BEGINNING;
    postgres_deadline_start(session);
    bool sent = postgres_transaction_start(session, &scope, false);
    for (size_t i = 0; i < trimming.count && sent; i++)
        sent = send_step(session, &scope, trimming.steps[i], trim);
    if (!sent)
        return postgres_failed(session, NULL, status);
    trim->acknowledged = trim->pending = 0;
    trim->more = false;
    return postgres_sync(session, take_step, &trimming, status);
}
