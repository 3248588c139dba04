/* triggers backup: copies triggersd's SQLite file while that serves. It reads the file itself, so
 * it must run where the file is. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli.h"
#include "print.h"

#define APPLICATION_ID 0x74726967 /* what triggersd writes into its files */
#define BUSY_TIMEOUT_MS 10000
#define STEP_PAGES 4096 /* between two reports of progress; 16 MiB */

struct backup {
    const char *from;
    const char *to;
    char *part; /* the copy's name until it is complete; NULL until the file is made */
    sqlite3 *source;
    sqlite3 *copy;
    sqlite3_int64 events;
    struct stat made; /* the copy */
};

static bool fail_as_sqlite(const char *path, sqlite3 *db, int code)
{
    cli_complain("%s: %s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    return false;
}

static bool fail_as_system(const char *path)
{
    cli_complain("%s: %s", path, strerror(errno));
    return false;
}

static bool open_file(const char *path, sqlite3 **db)
{
    int code = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL);
    if (code != SQLITE_OK)
        return fail_as_sqlite(path, *db, code);
    sqlite3_busy_timeout(*db, BUSY_TIMEOUT_MS);
    return true;
}

/* The first column of the first row. */
static bool query_number(const char *path, sqlite3 *db, const char *sql, sqlite3_int64 *number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    bool ok = code == SQLITE_ROW || fail_as_sqlite(path, db, code);
    sqlite3_finalize(statement);
    return ok;
}

/* Begins to read: what was committed before is in the copy, and nothing later. */
static bool open_source(struct backup *backup)
{
    sqlite3_int64 application = 0;
    struct stat info;
    if (stat(backup->from, &info) != 0)
        return fail_as_system(backup->from);
    if (!open_file(backup->from, &backup->source))
        return false;
    if (sqlite3_exec(backup->source, "begin", NULL, NULL, NULL) != SQLITE_OK)
        return fail_as_sqlite(backup->from, backup->source, SQLITE_ERROR);
    if (!query_number(backup->from, backup->source, "pragma application_id", &application))
        return false;
    if (application == APPLICATION_ID)
        return true;
    cli_complain("%s is not a database of triggersd", backup->from);
    return false;
}

/* Makes the file for the copy, readable only by its owner: we do not know who else may read it. */
static bool make_part(struct backup *backup)
{
    struct stat info;
    if (lstat(backup->to, &info) == 0) {
        errno = EEXIST;
        return fail_as_system(backup->to);
    }
    char *part = NULL;
    if (asprintf(&part, "%s.part", backup->to) < 0)
        return fail_as_system(backup->to);
    int file = open(part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0 && errno == EEXIST) {
        cli_complain(
            "%s: File exists: another backup is writing it; if that was killed, remove the file",
            part);
        free(part);
        return false;
    }
    if (file < 0) {
        fail_as_system(part);
        free(part);
        return false;
    }
    close(file);
    backup->part = part;
    return open_file(part, &backup->copy);
}

static void show_progress(sqlite3_backup *copying)
{
    int total = sqlite3_backup_pagecount(copying);
    int left = sqlite3_backup_remaining(copying);
    if (total > 0)
        fprintf(stderr, "\rcopied %d %%", (int)((int64_t)(total - left) * 100 / total));
}

static bool copy_pages(struct backup *backup)
{
    sqlite3_backup *copying = sqlite3_backup_init(backup->copy, "main", backup->source, "main");
    bool shows_progress = isatty(STDERR_FILENO);
    int code = SQLITE_OK;
    while (copying && code == SQLITE_OK) {
        code = sqlite3_backup_step(copying, STEP_PAGES);
        if (shows_progress)
            show_progress(copying);
    }
    if (shows_progress)
        fputs("\r\033[K", stderr);
    sqlite3_backup_finish(copying);
    return code == SQLITE_DONE || fail_as_sqlite(backup->part, backup->copy, code);
}

/* Checks the copy with SQLite, counts its events, and makes it a single file. */
static bool check_copy(struct backup *backup)
{
    sqlite3_int64 whole = 0;
    if (!query_number(backup->part, backup->copy,
                      "select integrity_check = 'ok' from pragma_integrity_check limit 1",
                      &whole) ||
        !query_number(backup->part, backup->copy, "select count(*) from events", &backup->events))
        return false;
    if (!whole) {
        cli_complain("%s is damaged: its copy fails SQLite's integrity check", backup->from);
        return false;
    }
    int code = sqlite3_close(backup->copy);
    backup->copy = NULL;
    return code == SQLITE_OK || fail_as_sqlite(backup->part, NULL, code);
}

/* Gives the copy its name, unless a file with that name has appeared, and makes the name durable.
 */
static bool name_copy(struct backup *backup)
{
    if (link(backup->part, backup->to) != 0 || stat(backup->to, &backup->made) != 0)
        return fail_as_system(backup->to);
    char *path = strdup(backup->to);
    int folder = path ? open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(path);
    bool ok = folder >= 0 && fsync(folder) == 0;
    if (!ok)
        fail_as_system(backup->to);
    if (folder >= 0)
        close(folder);
    return ok;
}

static void close_all(struct backup *backup)
{
    sqlite3_close(backup->copy);
    sqlite3_close(backup->source);
    if (backup->part)
        unlink(backup->part);
    free(backup->part);
}

static void print_result(const struct backup *backup, int64_t start_ms)
{
    double seconds = (double)(clock_monotonic_ms() - start_ms) / 1000;
    long long events = backup->events, bytes = backup->made.st_size;
    if (!cli_output_is_json()) {
        printf("copied %lld events, %lld bytes, in %.3f s\n", events, bytes, seconds);
        return;
    }
    printf("{\"copy\":");
    print_json_string(backup->to);
    printf(",\"events\":%lld,\"bytes\":%lld,\"seconds\":%.3f}\n", events, bytes, seconds);
}

static int run(int count, char **words)
{
    if (count != 2)
        return cli_usage("backup takes FILE COPY");
    struct backup backup = {.from = words[0], .to = words[1]};
    int64_t start_ms = clock_monotonic_ms();
    bool ok = open_source(&backup) && make_part(&backup) && copy_pages(&backup) &&
              check_copy(&backup) && name_copy(&backup);
    close_all(&backup);
    if (ok)
        print_result(&backup, start_ms);
    return ok ? EXIT_DONE : EXIT_CALL_FAILED;
}

const struct command command_backup = {
    .name = "backup",
    .arguments = "FILE COPY",
    .summary = "Copy triggersd's SQLite file while it serves",
    .details =
        "FILE is the one that DATABASE_URL names (sqlite:////path/FILE), on this machine. Every\n"
        "event that was confirmed before the copy began is in it. COPY must not exist; only its\n"
        "owner can read it (mode 0600), and it appears when it is complete and checked.\n\n"
        "To restore: stop triggersd, delete FILE, FILE-wal and FILE-shm, put the copy in the "
        "place\n"
        "of FILE, and start triggersd.\n\n"
        "Example:\n"
        "  triggers backup /var/lib/triggers/triggers.db \"backup-$(date +%F).db\"\n",
    .completes_files = true,
    .run = run,
};
