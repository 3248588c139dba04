/* Whose file it is and which version its schema has: application_id and user_version. */
#include <stdio.h>
#include <time.h>

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

static int query_number(sqlite3 *db, const char *sql, int *number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *number = sqlite3_column_int(statement, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return code;
}

/* Inside a transaction, so that the three belong together. */
static int read_identity(sqlite3 *db, struct identity *identity)
{
    int code = query_number(db, "pragma application_id", &identity->application_id);
    if (code == SQLITE_OK)
        code = query_number(db, "pragma user_version", &identity->version);
    if (code == SQLITE_OK)
        code = query_number(db, "select count(*) from sqlite_schema", &identity->tables);
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
static enum store_result begin_checked(sqlite3 *db, const char *path, const char *begin,
                                       struct identity *identity, struct status *status)
{
    int code = sqlite3_exec(db, begin, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = read_identity(db, identity);
    enum store_result result = code == SQLITE_OK ? check_identity(identity, path, status)
                                                 : sqlite_open_failed(path, code, status);
    if (result != STORE_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "rollback", NULL, NULL, NULL);
    return result;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
}

/* Changing the mode needs the file alone for a moment, and SQLite does not always wait for it. */
static enum store_result use_wal(sqlite3 *db, const char *path, struct status *status)
{
    int64_t deadline = clock_monotonic_ms() + WAL_WAIT_MS;
    int code;
    while ((code = sqlite3_exec(db, "pragma journal_mode = wal", NULL, NULL, NULL)) ==
               SQLITE_BUSY &&
           clock_monotonic_ms() < deadline)
        pause_briefly();
    int wal = 0;
    if (code == SQLITE_OK)
        code = query_number(db, "select journal_mode = 'wal' from pragma_journal_mode", &wal);
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
        char set_version[64];
        snprintf(set_version, sizeof(set_version), "pragma user_version = %d", migration->version);
        code = sqlite3_exec(db, migration->sql, NULL, NULL, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, set_version, NULL, NULL, NULL);
        if (code != SQLITE_OK)
            return code;
    }
    return sqlite3_exec(db, "commit", NULL, NULL, NULL);
}

static enum store_result migrate(sqlite3 *db, const char *path, struct status *status)
{
    struct identity identity = {0};
    enum store_result result = begin_checked(db, path, "begin immediate", &identity, status);
    if (result != STORE_OK)
        return result;
    int code = apply(db, identity.version);
    if (code == SQLITE_OK) {
        if (identity.version < latest_version())
            log_info("brought the schema up to date", {"file", path},
                     {"version", NULL, latest_version()});
        return STORE_OK;
    }
    result = sqlite_open_failed(path, code, status);
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "rollback", NULL, NULL, NULL);
    return result;
}

enum store_result sqlite_schema_prepare(sqlite3 *db, const char *path, struct status *status)
{
    struct identity identity = {0};
    enum store_result result = begin_checked(db, path, "begin", &identity, status);
    if (result != STORE_OK)
        return result;
    sqlite3_exec(db, "commit", NULL, NULL, NULL);
    result = use_wal(db, path, status);
    if (result == STORE_OK && identity.version < latest_version())
        result = migrate(db, path, status);
    return result;
}
