/* Reads the old service's table from the SQLite file that it kept by default, which SQLAlchemy
 * filled: times are texts, "2025-11-10 09:30:15.123456" in UTC, and JSON is text. */
#include "import/old_events.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUSY_TIMEOUT_MS 5000

struct sqlite_old_events {
    struct old_events base;
    sqlite3 *db;
    sqlite3_stmt *rows;
};

static bool fail(const struct sqlite_old_events *events, const char *path, struct status *status)
{
    return status_fail(status, STATUS_UNAVAILABLE, "OLD_EVENTS_UNAVAILABLE", "%s: %s", path,
                       sqlite3_errmsg(events->db));
}

/* Which columns the table has: none at all when there is no table. */
static bool find_columns(struct sqlite_old_events *events, const char *path,
                         bool present[OLD_EVENTS_COLUMNS], struct status *status)
{
    sqlite3_stmt *names = NULL;
    bool found = false;
    int code = sqlite3_prepare_v2(events->db, "select name from pragma_table_info('events')", -1,
                                  &names, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(names);
        for (size_t i = 0; code == SQLITE_ROW && i < OLD_EVENTS_COLUMNS; i++) {
            const char *name = (const char *)sqlite3_column_text(names, 0);
            present[i] = present[i] || (name && strcmp(name, OLD_EVENTS_COLUMN_NAMES[i]) == 0);
        }
        found = found || code == SQLITE_ROW;
    }
    sqlite3_finalize(names);
    if (code != SQLITE_DONE)
        return fail(events, path, status);
    char where[256];
    snprintf(where, sizeof(where), "\"events\" in %s", path);
    return found ? old_events_check_columns(present, where, status)
                 : status_fail(status, STATUS_FAILED_PRECONDITION, "OLD_EVENTS_MISSING",
                               "there is no table \"events\" in %s", path);
}

static bool count_rows(struct sqlite_old_events *events, const char *path, struct status *status)
{
    sqlite3_stmt *count = NULL;
    bool counted = sqlite3_prepare_v2(events->db, "select count(*) from events", -1, &count,
                                      NULL) == SQLITE_OK &&
                   sqlite3_step(count) == SQLITE_ROW;
    if (counted)
        events->base.count = (size_t)sqlite3_column_int64(count, 0);
    sqlite3_finalize(count);
    return counted || fail(events, path, status);
}

/* The columns come in the order of enum old_events_column. */
static bool start_reading(struct sqlite_old_events *events, const char *path, bool acknowledged_at,
                          struct status *status)
{
    const char *sql = acknowledged_at
                          ? "select id, source, event_type, payload, lower(status), created_at,"
                            " acknowledged_at from events order by created_at, id"
                          : "select id, source, event_type, payload, lower(status), created_at,"
                            " null from events order by created_at, id";
    return sqlite3_prepare_v2(events->db, sql, -1, &events->rows, NULL) == SQLITE_OK ||
           fail(events, path, status);
}

static bool set_up(struct sqlite_old_events *events, const char *path, struct status *status)
{
    bool present[OLD_EVENTS_COLUMNS] = {false};
    int code = sqlite3_open_v2(path, &events->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(events->db, BUSY_TIMEOUT_MS);
    if (code == SQLITE_OK)
        code = sqlite3_exec(events->db, "begin", NULL, NULL, NULL); /* one snapshot */
    if (code != SQLITE_OK)
        return fail(events, path, status);
    return find_columns(events, path, present, status) && count_rows(events, path, status) &&
           start_reading(events, path, present[OLD_EVENTS_ACKNOWLEDGED_AT], status);
}

static const char *text_of(sqlite3_stmt *row, enum old_events_column column)
{
    return (const char *)sqlite3_column_text(row, (int)column);
}

/* The first six digits of a second's fraction, if there is one; *text moves after it. */
static int64_t read_microseconds(const char **text)
{
    int64_t value = 0;
    if (**text != '.')
        return 0;
    int64_t unit = 100000;
    for (++*text; **text >= '0' && **text <= '9'; ++*text, unit /= 10)
        value += (**text - '0') * unit;
    return value;
}

/* Reads an optional "Z" or "+hh:mm": by how many seconds the time is ahead of UTC. False for other
 * text. */
static bool read_zone(const char *text, int *ahead)
{
    char sign;
    int hours;
    int minutes;
    int end = 0;
    *ahead = 0;
    if (!text[0] || strcmp(text, "Z") == 0)
        return true;
    if (sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &end) != 3 || text[end] ||
        (sign != '+' && sign != '-'))
        return false;
    *ahead = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return true;
}

/* False when it is null or not a time in the years 1 to 9999. */
static bool read_time(const char *text, int64_t *time_us)
{
    struct tm tm = {0};
    int end = 0;
    int ahead;
    if (!text || sscanf(text, "%4d-%2d-%2d%*1[ T]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
                        &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6)
        return false;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 59)
        return false;
    const char *rest = text + end;
    int64_t microseconds = read_microseconds(&rest);
    if (tm.tm_year < 1 || !read_zone(rest, &ahead))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *time_us = (timegm(&tm) - ahead) * 1000000 + microseconds;
    return true;
}

static enum old_events_result next(struct old_events *base, struct old_event *event,
                                   struct status *status)
{
    struct sqlite_old_events *events = (struct sqlite_old_events *)base;
    sqlite3_stmt *row = events->rows;
    int code = sqlite3_step(row);
    if (code == SQLITE_DONE)
        return OLD_EVENTS_END;
    if (code != SQLITE_ROW) {
        fail(events, sqlite3_db_filename(events->db, "main"), status);
        return OLD_EVENTS_FAILED;
    }
    *event = (struct old_event){
        .id = text_of(row, OLD_EVENTS_ID),
        .source = text_of(row, OLD_EVENTS_SOURCE),
        .type = text_of(row, OLD_EVENTS_TYPE),
        .payload = text_of(row, OLD_EVENTS_PAYLOAD),
        .status = text_of(row, OLD_EVENTS_STATUS),
    };
    event->has_created_at = read_time(text_of(row, OLD_EVENTS_CREATED_AT), &event->created_at_us);
    if (!read_time(text_of(row, OLD_EVENTS_ACKNOWLEDGED_AT), &event->acknowledged_at_us))
        event->acknowledged_at_us = event->created_at_us;
    return OLD_EVENTS_ROW;
}

static void close_events(struct old_events *base)
{
    struct sqlite_old_events *events = (struct sqlite_old_events *)base;
    sqlite3_finalize(events->rows);
    sqlite3_close(events->db);
    free(events);
}

bool sqlite_old_events_open(const char *path, struct old_events **events, struct status *status)
{
    struct sqlite_old_events *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    opened->base.next = next;
    opened->base.close = close_events;
    bool ok = set_up(opened, path, status);
    if (ok)
        *events = &opened->base;
    else
        close_events(&opened->base);
    return ok;
}
