/* Whose file it is and which version its schema has: application_id and user_version. */
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/migrations/migrations.h"
#include "store/sqlite/session.h"

#define APPLICATION_ID 0x74726967 /* "trig", as migration 1 sets it */
#define WAL_WAIT_MS 5000

struct identity {
    int application_id;
    int version;
    int tables;
};

static int execute(sqlite3 *db, enum sqlite_statement which)
{
    return sqlite3_exec(db, SQLITE_STATEMENTS[which].sql, NULL, NULL, NULL);
}

/* The row's first `count` columns. */
static int query_numbers(sqlite3 *db, enum sqlite_statement which, int *numbers, int count)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, SQLITE_STATEMENTS[which].sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    CHECK(code != SQLITE_ROW || sqlite3_data_count(statement) >= count);
    for (int i = 0; code == SQLITE_ROW && i < count; i++)
        numbers[i] = sqlite3_column_int(statement, i);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int read_identity(sqlite3 *db, struct identity *identity)
{
    int numbers[3] = {0};
    int code = query_numbers(db, SQLITE_IDENTITY, numbers, 3);
    *identity = (struct identity){numbers[0], numbers[1], numbers[2]};
    return code;
}

static int latest_version(void)
{
    int latest = 0;
    for (const struct migration *migration = SQLITE_MIGRATIONS; migration->sql; migration++)
        latest = migration->version;
    return latest;
}

static enum store_result check_identity(const struct identity *identity, const char *path,
                                        struct status *status)
{
    bool empty = identity->application_id == 0 && identity->version == 0 && identity->tables == 0;
    if (identity->application_id != APPLICATION_ID && !empty)
        return store_fatal(status,
                           "%s is the SQLite database of another program; name another file in "
                           "DATABASE_URL",
                           path);
    if (identity->version > latest_version())
        return store_fatal(status,
                           "%s has schema version %d and this triggersd knows only up to %d; run "
                           "a newer triggersd",
                           path, identity->version, latest_version());
    return STORE_OK;
}

/* Reads and checks who owns the file, in a transaction of its own that starts with `begin`. On
 * STORE_OK the transaction is still open; otherwise it was rolled back. */
static enum store_result begin_checked(sqlite3 *db, const char *path, enum sqlite_statement begin,
                                       struct identity *identity, struct status *status)
{
    int code = execute(db, begin);
    if (code == SQLITE_OK)
        code = read_identity(db, identity);
    enum store_result result = code == SQLITE_OK ? check_identity(identity, path, status)
                                                 : sqlite_open_failed(path, code, status);
    bool open = !sqlite3_get_autocommit(db);
    CHECK(open || result != STORE_OK);
    if (result != STORE_OK && open)
        execute(db, SQLITE_ROLL_BACK);
    return result;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
}

/* Changing the mode needs exclusive access to the file for a moment, and SQLite does not always
 * wait for it. */
static enum store_result use_wal(sqlite3 *db, const char *path, struct status *status)
{
    int64_t deadline = clock_monotonic_ms() + WAL_WAIT_MS;
    int code;
    while ((code = execute(db, SQLITE_USE_WAL)) == SQLITE_BUSY && clock_monotonic_ms() < deadline)
        pause_briefly();
    int wal = 0;
    if (code == SQLITE_OK)
        code = query_numbers(db, SQLITE_USES_WAL, &wal, 1);
    if (code != SQLITE_OK)
        return sqlite_open_failed(path, code, status);
    if (!wal)
        return store_fatal(status,
                           "the file system of %s cannot hold a write-ahead log; name a file on "
                           "a local disk in DATABASE_URL",
                           path);
    return STORE_OK;
}

static int apply(sqlite3 *db, int from_version)
{
    int code = SQLITE_OK;
    for (const struct migration *migration = SQLITE_MIGRATIONS; migration->sql; migration++) {
        if (migration->version <= from_version)
            continue;
        code = sqlite3_exec(db, migration->sql, NULL, NULL, NULL);
        if (code != SQLITE_OK)
            return code;
    }
    return execute(db, SQLITE_COMMIT);
}

static enum store_result migrate(sqlite3 *db, const char *path, struct status *status)
{
    struct identity identity = {0};
    enum store_result result = begin_checked(db, path, SQLITE_BEGIN_WRITE, &identity, status);
    if (result != STORE_OK)
        return result;
    int code = apply(db, identity.version);
    CHECK(code != SQLITE_OK || sqlite3_get_autocommit(db));
    if (code == SQLITE_OK) {
        if (identity.version < latest_version())
            log_info("brought the schema up to date", {"file", path},
                     {"version", NULL, latest_version()});
        return STORE_OK;
    }
    result = sqlite_open_failed(path, code, status);
    if (!sqlite3_get_autocommit(db))
        execute(db, SQLITE_ROLL_BACK);
    return result;
}

enum store_result sqlite_schema_prepare(sqlite3 *db, const char *path, struct status *status)
{
    struct identity identity = {0};
    enum store_result result = begin_checked(db, path, SQLITE_BEGIN, &identity, status);
    if (result != STORE_OK)
        return result;
    execute(db, SQLITE_COMMIT);
    result = use_wal(db, path, status);
    if (result == STORE_OK && identity.version < latest_version())
        result = migrate(db, path, status);
    return result;
}
