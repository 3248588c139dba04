/* How much a tenant has. */
#include "store/sqlite/session.h"

#include "base/check.h"

struct using
{
    struct sqlite_session *session;
    struct scope scope;
    struct sqlite_log log;
    struct store_usage *usage;
};

/* What is in the block. */
struct contents {
    int64_t events, bytes, pending;
};

static sqlite3_stmt *of_block(struct using *using, enum sqlite_statement which, int64_t block)
{
    int64_t first = sqlite_position(using->scope, block * STORE_BLOCK);
    sqlite3_stmt *statement = sqlite_statement(using->session, which);
    sqlite_bind_int64(statement, 1, first);
    sqlite_bind_int64(statement, 2, first + STORE_BLOCK - 1);
    return statement;
}

static int read_contents(struct using *using, int64_t block, struct contents *contents)
{
    sqlite3_stmt *statement = of_block(using, SQLITE_USAGE_EVENTS, block);
    int code = sqlite_step(using->session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    *contents =
        (struct contents){sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                          sqlite3_column_int64(statement, 2)};
    return sqlite_step(using->session, statement);
}

/* From the log's beginning on no event is missing, so that they need not be read to be counted. */
static int count_full(struct using *using, int64_t block)
{
    int64_t acknowledged;
    struct contents single = {0};
    int code = SQLITE_DONE;
    if (block < using->log.first_block) {
        code = read_contents(using, block, &single);
        using->usage->single_events += single.events;
        using->usage->single_bytes += single.bytes;
        using->usage->pending += single.pending;
        return code;
    }
    code = sqlite_number(using->session, of_block(using, SQLITE_COUNT_ACKNOWLEDGED, block),
                         &acknowledged);
    using->usage->pending += STORE_BLOCK - (block == 0) - acknowledged;
    return code;
}

static int count_step(struct using *using)
{
    struct store_usage *usage = using->usage;
    sqlite3_stmt *statement =
        sqlite_statement_of(using->session, using->scope, SQLITE_USAGE_BLOCKS);
    sqlite_bind_int64(statement, 2, usage->after_block);
    sqlite_bind_int64(statement, 3, usage->blocks);
    uint32_t count = 0;
    int code;
    while ((code = sqlite_step(using->session, statement)) == SQLITE_ROW) {
        usage->after_block = sqlite3_column_int64(statement, 0);
        count++;
        code = count_full(using, usage->after_block);
        if (code != SQLITE_DONE)
            break;
    }
    sqlite3_reset(statement);
    usage->more = count == usage->blocks;
    return code;
}

/* The first block is before the log's sum of bytes, the open one after it. */
static int measure(struct using *using)
{
    struct store_usage *usage = using->usage;
    struct contents first = {0}, open = {0};
    int code = sqlite_number(using->session,
                             sqlite_statement_of(using->session, using->scope, SQLITE_USAGE_LOG),
                             &usage->bytes);
    if (code == SQLITE_DONE)
        code = read_contents(using, using->log.open_block, &open);
    if (code == SQLITE_DONE && using->log.first_block < using->log.open_block)
        code = read_contents(using, using->log.first_block, &first);
    if (code == SQLITE_DONE)
        code = sqlite_number(
            using->session,
            sqlite_statement_of(using->session, using->scope, SQLITE_COUNT_SUBSCRIPTIONS),
            &usage->subscriptions);
    usage->bytes += first.bytes + open.bytes;
    usage->pending += usage->more ? 0 : open.pending;
    usage->first = using->log.first_block > 0 ? using->log.first_block * STORE_BLOCK : 1;
    usage->last = using->log.last;
    return code;
}

enum store_result sqlite_usage(struct store_session *base, struct scope scope,
                               struct store_usage *usage, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct using using = {.session = session, .scope = scope, .usage = usage};
    CHECK(usage->blocks >= 1 && usage->after_block >= -1);
    usage->pending = usage->single_events = usage->single_bytes = 0;
    int code = sqlite_begin_read(session, scope, &using.log);
    if (code == SQLITE_DONE)
        code = count_step(&using);
    if (code == SQLITE_DONE)
        code = measure(&using);
    sqlite_end_read(session);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}
