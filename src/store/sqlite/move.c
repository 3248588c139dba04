/* Moves the events of the version before into the log. */
#include "store/moving.h"
#include "store/sqlite/session.h"
#include "store/sqlite_move_statements.h"

#define BUSY_TIMEOUT_MS 5000

struct moving_file {
    sqlite3 *db;    /* the session's */
    sqlite3 *mover; /* the connection that moves; NULL: not open yet */
    const char *path;
};

static int execute(sqlite3 *db, enum sqlite_move_statement which)
{
    return sqlite3_exec(db, SQLITE_MOVE_STATEMENTS[which].sql, NULL, NULL, NULL);
}

/* Runs one statement with the first `count` of `numbers` as parameters; if it returns a row, the
 * numbers become its columns. */
static int run(sqlite3 *db, const char *sql, int64_t numbers[4], int count, bool *is_null)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    for (int i = 0; code == SQLITE_OK && i < count; i++)
        sqlite_bind_int64(statement, i + 1, numbers[i]);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *is_null = sqlite3_column_type(statement, 0) == SQLITE_NULL;
        for (int i = 0; i < sqlite3_data_count(statement) && i < 4; i++)
            numbers[i] = sqlite3_column_int64(statement, i);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static enum store_result query_number(const struct moving_file *file,
                                      enum sqlite_move_statement which, int64_t *number,
                                      struct status *status)
{
    bool is_null;
    int64_t numbers[4] = {0};
    int code = run(file->db, SQLITE_MOVE_STATEMENTS[which].sql, numbers, 0, &is_null);
    *number = numbers[0];
    return code == SQLITE_OK ? STORE_OK : sqlite_open_failed(file->path, code, status);
}

static enum store_result is_needed(void *connection, bool *needed, struct status *status)
{
    int64_t count;
    enum store_result result = query_number(connection, SQLITE_MOVE_IS_NEEDED, &count, status);
    *needed = count > 0;
    return result;
}

static enum store_result count(void *connection, int64_t *total, struct status *status)
{
    return query_number(connection, SQLITE_MOVE_COUNT, total, status);
}

/* Writes what is kept of the blocks from `block` to before `end`. */
static int fill_blocks(sqlite3 *db, int64_t tenant, int64_t block, int64_t end)
{
    static const enum sqlite_move_statement FILL[] = {
        SQLITE_MOVE_FILL_BLOCK, SQLITE_MOVE_FILL_KINDS, SQLITE_MOVE_FILL_PLACES,
        SQLITE_MOVE_FILL_ANY};
    int code = SQLITE_OK;
    for (; block < end && code == SQLITE_OK; block++) {
        int64_t first = (tenant << 40) + block * STORE_BLOCK;
        for (size_t i = 0; i < sizeof(FILL) / sizeof(FILL[0]) && code == SQLITE_OK; i++) {
            int64_t numbers[4] = {tenant, block, first, first + STORE_BLOCK - 1};
            code = run(db, SQLITE_MOVE_STATEMENTS[FILL[i]].sql, numbers, 4, &(bool){false});
        }
    }
    return code;
}

/* Writes the events of one tenant that come next, and removes them from the old tables. */
static int move_slice(sqlite3 *db, int64_t tenant, int64_t limit, struct store_slice *slice)
{
    static const struct {
        enum sqlite_move_statement which;
        int parameters;
    } STEPS[] = {
        {SQLITE_MOVE_CHOOSE, 2},         {SQLITE_MOVE_ADD_KINDS, 1},
        {SQLITE_MOVE_ADD_EVENTS, 1},     {SQLITE_MOVE_ADD_ACKNOWLEDGED, 0},
        {SQLITE_MOVE_REMOVE_PENDING, 1}, {SQLITE_MOVE_REMOVE_ACKNOWLEDGED, 1},
        {SQLITE_MOVE_REMOVE_EVENTS, 0},
    };
    bool is_null = false;
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]) && code == SQLITE_OK; i++) {
        int64_t numbers[4] = {tenant, limit};
        code = run(db, SQLITE_MOVE_STATEMENTS[STEPS[i].which].sql, numbers, STEPS[i].parameters,
                   &is_null);
    }
    int64_t moved[4] = {0};
    if (code == SQLITE_OK)
        code = run(db, SQLITE_MOVE_STATEMENTS[SQLITE_MOVE_MOVED].sql, moved, 0, &is_null);
    *slice = (struct store_slice){.events = moved[0], .newest = moved[1]};
    if (code == SQLITE_OK && slice->events == 0)
        return SQLITE_CORRUPT; /* entries of the lists without their events */
    if (code == SQLITE_OK)
        code = fill_blocks(db, tenant, moved[2], moved[3]);
    return code == SQLITE_OK ? execute(db, SQLITE_MOVE_CLEAR) : code;
}

/* In a transaction that has begun, which it does not end. */
static int move_next(sqlite3 *db, int64_t limit, struct store_slice *slice)
{
    int64_t numbers[4] = {0};
    bool is_null = false;
    int code = run(db, SQLITE_MOVE_STATEMENTS[SQLITE_MOVE_IS_NEEDED].sql, numbers, 0, &is_null);
    slice->done = numbers[0] == 0;
    if (code != SQLITE_OK || slice->done)
        return code;
    code = run(db, SQLITE_MOVE_STATEMENTS[SQLITE_MOVE_TENANT].sql, numbers, 0, &is_null);
    slice->done = is_null;
    if (code != SQLITE_OK)
        return code;
    return slice->done ? execute(db, SQLITE_MOVE_DROP_TABLES)
                       : move_slice(db, numbers[0], limit, slice);
}

static int open_mover(struct moving_file *file)
{
    int code = sqlite3_open_v2(file->path, &file->mover,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(file->mover, BUSY_TIMEOUT_MS);
    return code == SQLITE_OK ? execute(file->mover, SQLITE_MOVE_SET_UP) : code;
}

static enum store_result move(void *connection, int64_t limit, struct store_slice *slice,
                              struct status *status)
{
    struct moving_file *file = connection;
    int code = file->mover ? SQLITE_OK : open_mover(file);
    if (code == SQLITE_OK)
        code = execute(file->mover, SQLITE_MOVE_BEGIN);
    if (code == SQLITE_OK)
        code = move_next(file->mover, limit, slice);
    if (code == SQLITE_OK)
        code = execute(file->mover, SQLITE_MOVE_COMMIT);
    return code == SQLITE_OK ? STORE_OK : sqlite_open_failed(file->path, code, status);
}

enum store_result sqlite_move(struct store *store, sqlite3 *db, struct status *status)
{
    static const struct store_mover MOVER = {is_needed, count, move};
    struct moving_file file = {db, NULL, store->description};
    enum store_result result = store_move(store, &MOVER, &file, status);
    sqlite3_close(file.mover); /* rolls back what failed */
    return result;
}
