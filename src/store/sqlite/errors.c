/* What SQLite's result codes mean: for an operation, and for opening a file. */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "store/sqlite/session.h"

enum store_result sqlite_failed(struct sqlite_session *session, int code, struct status *status)
{
    CHECK(code != SQLITE_OK && code != SQLITE_ROW);
    log_warning_limited(sqlite3_errstr(code), "sqlite refused an operation",
                        {"file", session->base.store->description}, {"text", sqlite3_errstr(code)},
                        {"result_code", NULL, code});
    switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return store_unavailable(status, "another process has locked the database file");
    /* A constraint or trigger that somebody added, or a limit: perhaps because of one item. */
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH: return store_rejected(status);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return store_damaged(status);
    case SQLITE_FULL: return store_unavailable(status, "the disk of the database is full");
    case SQLITE_READONLY: return store_unavailable(status, "the database may not be written");
    default:
        return store_unavailable(status, "the database does not work: %s", sqlite3_errstr(code));
    }
}

/* Finds out why a file cannot be opened; `folder` is the one that it is in. */
static enum store_result explain_path(const char *path, const char *folder, struct status *status)
{
    struct stat info;
    if (stat(folder, &info) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return store_fatal(status,
                           "the folder %s does not exist; create it, or name another file in "
                           "DATABASE_URL",
                           folder);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return store_fatal(status, "%s is a folder; DATABASE_URL must name a file", path);
    if (access(path, F_OK) == 0 && access(path, R_OK | W_OK) != 0)
        return store_fatal(status, "the file %s may not be read and written by this user", path);
    if (access(folder, W_OK | X_OK) != 0)
        return store_fatal(status,
                           "the folder %s may not be written by this user; SQLite makes files "
                           "beside the database",
                           folder);
    return store_unavailable(status, "the file %s cannot be opened", path);
}

enum store_result sqlite_open_failed(const char *path, int code, struct status *status)
{
    CHECK(code != SQLITE_OK);
    char *copy = strdup(path);
    if (!copy)
        return store_unavailable(status, "out of memory");
    enum store_result result;
    switch (code & 0xFF) {
    case SQLITE_NOTADB:
        result = store_fatal(
            status, "%s is not an SQLite database; name another file in DATABASE_URL", path);
        break;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY: result = explain_path(path, dirname(copy), status); break;
    case SQLITE_CORRUPT:
        result = store_fatal(status,
                             "%s is damaged; restore it from a backup, or name another file in "
                             "DATABASE_URL",
                             path);
        break;
    case SQLITE_BUSY:
        result = store_unavailable(status, "another process has locked the file %s", path);
        break;
    default:
        result =
            store_unavailable(status, "the file %s cannot be used: %s", path, sqlite3_errstr(code));
        break;
    }
    free(copy);
    return result;
}
