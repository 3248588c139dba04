/* The SQLite store: one file, a write-ahead log, any number of connections. SQLite allows one
 * writer at a time, and readers beside it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "store/drivers.h"
#include "store/sqlite/session.h"

/* The file has one lock for all writers: while one holds it, nobody else can write. */
#define BUSY_TIMEOUT_MS 5000

static const struct store_driver DRIVER;

static void close_store(struct store *base)
{
    struct sqlite_store *store = (struct sqlite_store *)base;
    CHECK(base->driver == &DRIVER && store->turns_over == store->turns_drawn);
    pthread_cond_destroy(&store->turn_is_over);
    pthread_mutex_destroy(&store->lock);
    free(base->description);
    free(store);
}

/* Opens the file with `flags` of sqlite3_open_v2 and sets what every connection needs. */
static enum store_result open_file(const char *path, int flags, sqlite3 **db, struct status *status)
{
    enum sqlite_statement settings =
        flags & SQLITE_OPEN_READWRITE ? SQLITE_SET_UP_WRITER : SQLITE_SET_UP_READER;
    int code = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(*db, 1);
        sqlite3_busy_timeout(*db, BUSY_TIMEOUT_MS);
        code = sqlite3_exec(*db, SQLITE_STATEMENTS[settings].sql, NULL, NULL, NULL);
    }
    /* SQLite opens the file read-only when it may not write. */
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_READWRITE) && sqlite3_db_readonly(*db, "main"))
        code = SQLITE_READONLY;
    if (code == SQLITE_OK)
        return STORE_OK;
    sqlite3_close(*db);
    *db = NULL;
    return sqlite_open_failed(path, code, status);
}

/* Makes the file, if there is none, readable only by its owner: SQLite would let everyone read it,
 * and gives the files beside it the same mode. An existing file keeps the mode that somebody chose;
 * it must not be opened here, because closing it would release SQLite's locks. */
static void make_private(const char *path)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock); /* no other thread may open it before it is closed here */
    if (access(path, F_OK) != 0) {
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
        if (file >= 0)
            close(file); /* on failure SQLite will say why */
    }
    pthread_mutex_unlock(&lock);
}

/* A file that is still empty will give space back after events are removed; later it is too late to
 * choose that. */
static enum store_result prepare_new(sqlite3 *db, const char *path, struct status *status)
{
    struct stat info;
    if (stat(path, &info) != 0 || info.st_size > 0)
        return STORE_OK;
    int code = sqlite3_exec(db, SQLITE_STATEMENTS[SQLITE_GIVE_BACK].sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STORE_OK : sqlite_open_failed(path, code, status);
}

/* Opens a connection that may write, with the schema up to date. */
static enum store_result connect_writer(const char *path, sqlite3 **db, struct status *status)
{
    make_private(path);
    enum store_result result = open_file(path, SQLITE_OPEN_READWRITE, db, status);
    if (result == STORE_OK)
        result = prepare_new(*db, path, status);
    if (result == STORE_OK)
        result = sqlite_schema_prepare(*db, path, status);
    if (result != STORE_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return result;
}

static enum store_result session_open(struct store *store, bool read_only,
                                      struct store_session **session, struct status *status)
{
    sqlite3 *db;
    enum store_result result = connect_writer(store->description, &db, status);
    if (result == STORE_OK && (result = sqlite_move(store, db, status)) != STORE_OK)
        sqlite3_close(db);
    if (result == STORE_OK && read_only) {
        /* The writer stays open meanwhile: closing the last connection would remove the log. */
        sqlite3 *writer = db;
        result = open_file(store->description, SQLITE_OPEN_READONLY, &db, status);
        CHECK(sqlite3_close(writer) == SQLITE_OK);
    }
    if (result != STORE_OK)
        return result;
    struct sqlite_session *opened = calloc(1, sizeof(*opened));
    if (!opened) {
        sqlite3_close(db);
        return store_unavailable(status, "out of memory");
    }
    *opened = (struct sqlite_session){.base.store = store, .db = db};
    names_init(&opened->names);
    *session = (struct store_session *)opened; /* its `base`; gcc's analyzer loses the other form */
    return STORE_OK;
}

static void session_close(struct store_session *base)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    if (!session)
        return;
    CHECK(base->store->driver == &DRIVER);
    for (size_t i = 0; i < SQLITE_STATEMENT_COUNT; i++)
        sqlite3_finalize(session->statements[i]);
    CHECK(sqlite3_close(session->db) == SQLITE_OK);
    names_fini(&session->names);
    free(session->touched);
    free(session);
}

static enum store_result ping(struct store_session *base, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    sqlite3_stmt *statement = sqlite_statement_of(session, SCOPE_DEFAULT, SQLITE_PING);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        sqlite_failed(session, code, status);
        return STORE_UNAVAILABLE;
    }
    sqlite3_reset(statement);
    return STORE_OK;
}

static const struct store_driver DRIVER = {
    .name = "sqlite",
    .close = close_store,
    .session_open = session_open,
    .session_close = session_close,
    .write = sqlite_write,
    .get = sqlite_get,
    .list = sqlite_list,
    .kinds = sqlite_kinds,
    .backlog = sqlite_backlog,
    .usage = sqlite_usage,
    .trim = sqlite_trim,
    .subscriptions = sqlite_subscriptions,
    .subscription_put = sqlite_subscription_put,
    .subscription_remove = sqlite_subscription_remove,
    .take = sqlite_take,
    .ledger = sqlite_ledger,
    .ledger_heads = sqlite_ledger_heads,
    .ledger_trim = sqlite_ledger_trim,
    .dead_letters = sqlite_dead_letters,
    .delayed = sqlite_delayed,
    .key_next = sqlite_key_next,
    .log_end = sqlite_log_end,
    .access_changes = sqlite_access_changes,
    .access_change = sqlite_access_change,
    .keys_used = sqlite_keys_used,
    .key_uses = sqlite_key_uses,
    .audit_add = sqlite_audit_add,
    .audit_list = sqlite_audit_list,
    .access_trim = sqlite_access_trim,
    .tenant_remove = sqlite_tenant_remove,
    .ping = ping,
};

bool sqlite_store_new(const char *path, struct store **store, struct status *status)
{
    CHECK(path[0]);
    struct sqlite_store *made = calloc(1, sizeof(*made));
    char *description = strdup(path);
    if (!made || !description) {
        free(made);
        free(description);
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    }
    *made = (struct sqlite_store){
        .base = {.driver = &DRIVER,
                 .description = description,
                 .moving.lock = PTHREAD_MUTEX_INITIALIZER},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_is_over = PTHREAD_COND_INITIALIZER,
    };
    *store = &made->base;
    return true;
}
