/* Removal from the old end of the log, and giving the space back. A write settles in its own
 * transaction, so that nothing is left to be swept. */
#include "store/sqlite/session.h"

#include "base/check.h"

struct trimming {
    struct sqlite_session *session;
    struct scope scope;
    struct store_trim *trim;
};

/* The statement with the block and its first and last position bound after the tenant. */
static sqlite3_stmt *of_block(struct trimming *trimming, enum sqlite_statement which, int64_t block)
{
    sqlite3_stmt *statement = sqlite_statement_of(trimming->session, trimming->scope, which);
    int64_t first = sqlite_position(trimming->scope, block * STORE_BLOCK);
    sqlite_bind_int64(statement, 2, block);
    if (which == SQLITE_UNLIST_BLOCK)
        return statement;
    sqlite_bind_int64(statement, 3, first);
    sqlite_bind_int64(statement, 4, first + STORE_BLOCK - 1);
    return statement;
}

/* Removes what is older than `before_us`; adds how much that was to `removed`, unless it is NULL.
 */
static int remove_older(struct trimming *trimming, enum sqlite_statement which, int64_t block,
                        int64_t before_us, int64_t *removed)
{
    sqlite3_stmt *statement = sqlite_statement(trimming->session, which);
    int64_t first = sqlite_position(trimming->scope, block * STORE_BLOCK);
    sqlite_bind_int64(statement, 3, first);
    sqlite_bind_int64(statement, 4, first + STORE_BLOCK - 1);
    sqlite_bind_int64(statement, 5, before_us);
    int code = sqlite_step(trimming->session, statement);
    if (code == SQLITE_DONE && removed)
        *removed += sqlite3_changes(trimming->session->db);
    return code;
}

/* Removes what is due in the block. What stays is listed anew: of a block that goes from the log
 * only pending events stay. */
static int trim_block(struct trimming *trimming, int64_t block)
{
    struct store_trim *trim = trimming->trim;
    int64_t acknowledged_us = trim->acknowledged_before_us;
    struct sqlite_session *session = trimming->session;
    int code = sqlite_step(session, of_block(trimming, SQLITE_UNLIST_KINDS, block));
    if (code == SQLITE_DONE)
        code = sqlite_step(session, of_block(trimming, SQLITE_UNLIST_PLACES, block));
    if (code == SQLITE_DONE)
        code = remove_older(trimming, SQLITE_REMOVE_ACKNOWLEDGED, block, acknowledged_us,
                            &trim->acknowledged);
    if (code == SQLITE_DONE)
        code = remove_older(trimming, SQLITE_REMOVE_ACKNOWLEDGEMENTS, block, acknowledged_us, NULL);
    if (code == SQLITE_DONE)
        code = remove_older(trimming, SQLITE_REMOVE_PENDING, block, trim->pending_before_us,
                            &trim->pending);
    if (code == SQLITE_DONE)
        code = sqlite_step(session, of_block(trimming, SQLITE_LIST_KINDS, block));
    if (code == SQLITE_DONE)
        code = sqlite_step(session, of_block(trimming, SQLITE_LIST_PLACES, block));
    if (code == SQLITE_DONE)
        code = sqlite_step(session, of_block(trimming, SQLITE_LIST_ANY, block));
    return code;
}

/* The number that the statement finds; -1: none. */
static int find(struct trimming *trimming, sqlite3_stmt *statement, int64_t *found)
{
    int code = sqlite_step(trimming->session, statement);
    *found = -1;
    if (code != SQLITE_ROW)
        return code;
    if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *found = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

/* Takes the log's first block if it is due. */
static int trim_first(struct trimming *trimming, bool *done)
{
    struct sqlite_session *session = trimming->session;
    sqlite3_stmt *statement = sqlite_statement_of(session, trimming->scope, SQLITE_DUE_BLOCK);
    sqlite_bind_int64(statement, 2, trimming->trim->acknowledged_before_us);
    int64_t block;
    int code = find(trimming, statement, &block);
    *done = code == SQLITE_DONE && block >= 0;
    if (*done)
        code = trim_block(trimming, block);
    if (*done && code == SQLITE_DONE)
        code = sqlite_step(session, of_block(trimming, SQLITE_UNLIST_BLOCK, block));
    return code;
}

/* Finds the lowest single event before the position `end` that is older; only the first ones are
 * looked at. -1: none is. */
static int find_single(struct trimming *trimming, enum sqlite_statement which, int64_t end,
                       int64_t before_us, int64_t *position)
{
    sqlite3_stmt *statement = sqlite_statement_of(trimming->session, trimming->scope, which);
    sqlite_bind_int64(statement, 2, end);
    sqlite_bind_int64(statement, 3, (int64_t)trimming->trim->blocks * STORE_BLOCK);
    int code;
    *position = -1;
    while ((code = sqlite_step(trimming->session, statement)) == SQLITE_ROW) {
        if (sqlite3_column_int64(statement, 1) >= before_us)
            continue;
        *position = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
        return SQLITE_DONE;
    }
    return code;
}

/* Takes the single events that are due of one block before the log's beginning. */
static int trim_single(struct trimming *trimming, bool *done)
{
    const struct store_trim *trim = trimming->trim;
    int64_t beginning, position = -1;
    *done = false;
    int code =
        find(trimming, sqlite_statement_of(trimming->session, trimming->scope, SQLITE_FIRST_BLOCK),
             &beginning);
    if (code != SQLITE_DONE || beginning < 0)
        return code;
    int64_t end = sqlite_position(trimming->scope, beginning * STORE_BLOCK);
    code = find_single(trimming, SQLITE_SINGLES_ACKNOWLEDGED, end, trim->acknowledged_before_us,
                       &position);
    if (code == SQLITE_DONE && position < 0 && trim->pending_before_us > INT64_MIN)
        code =
            find_single(trimming, SQLITE_SINGLES_PENDING, end, trim->pending_before_us, &position);
    *done = code == SQLITE_DONE && position >= 0;
    return *done ? trim_block(trimming, sqlite_sequence(position) / STORE_BLOCK) : code;
}

static int trim_all(struct trimming *trimming)
{
    struct store_trim *trim = trimming->trim;
    uint32_t left = trim->acknowledged_before_us > INT64_MIN ? trim->blocks : 0;
    bool done = true;
    int code = SQLITE_DONE;
    for (; left > 0 && done && code == SQLITE_DONE; left -= done)
        code = trim_first(trimming, &done);
    for (done = true; left > 0 && done && code == SQLITE_DONE; left -= done)
        code = trim_single(trimming, &done);
    trim->more = left == 0 && trim->acknowledged_before_us > INT64_MIN;
    int64_t first_block;
    if (code == SQLITE_DONE)
        code = find(trimming,
                    sqlite_statement_of(trimming->session, trimming->scope, SQLITE_FIRST_BLOCK),
                    &first_block);
    trim->first = code == SQLITE_DONE && first_block > 0 ? first_block * STORE_BLOCK : 1;
    return code;
}

static int shorten(struct sqlite_session *session)
{
    int code =
        sqlite3_exec(session->db, SQLITE_STATEMENTS[SQLITE_GIVE_BACK_PAGES].sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? SQLITE_DONE : sqlite3_extended_errcode(session->db);
}

/* Pages at the end of the file. Whoever fails here has removed what there was to remove. */
static void give_back(struct trimming *trimming)
{
    struct sqlite_session *session = trimming->session;
    struct status status = STATUS_INIT; /* the log has it */
    int64_t before, after;
    if (sqlite_number(session, sqlite_statement(session, SQLITE_FREE_PAGES), &before) !=
            SQLITE_DONE ||
        before == 0)
        return;
    int code = sqlite_begin_writing(session, true);
    if (code == SQLITE_DONE)
        code = shorten(session);
    if (sqlite_end_writing(session, code, &status) == STORE_OK &&
        sqlite_number(session, sqlite_statement(session, SQLITE_FREE_PAGES), &after) == SQLITE_DONE)
        trimming->trim->more = trimming->trim->more || (after > 0 && after < before);
}

enum store_result sqlite_trim(struct store_session *base, struct scope scope,
                              struct store_trim *trim, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct trimming trimming = {session, scope, trim};
    CHECK(trim->blocks >= 1);
    CHECK(trim->pending_before_us <= trim->acknowledged_before_us);
    trim->acknowledged = trim->pending = trim->swept_block = 0;
    trim->swept_kind = 0;
    trim->more = false;
    int code = sqlite_begin_writing(session, true);
    if (code == SQLITE_DONE)
        code = trim_all(&trimming);
    enum store_result result = sqlite_end_writing(session, code, status);
    if (result == STORE_OK)
        give_back(&trimming);
    return result;
}
