/* The `events` table of the service that this one replaces, in PostgreSQL or in an SQLite file,
 * read once, in one snapshot, in the order of created_at and id, which becomes that of the log.
 * Nothing is written to it. One thread. */
#ifndef TRIGGERS_IMPORT_OLD_EVENTS_H
#define TRIGGERS_IMPORT_OLD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A row as it is stored; texts are borrowed until the next row is read, NULL where the column is
 * null. Times are microseconds since 1970 UTC. */
struct old_event {
    const char *id;
    const char *source;
    const char *type;
    const char *payload;
    const char *status;    /* lower-cased */
    bool has_created_at;   /* not null, and in the years 1 to 9999 */
    int64_t created_at_us; /* columns without a time zone are in UTC */
    int64_t
        acknowledged_at_us; /* of every event: when it was acknowledged, else when it was created */
};

enum old_events_result { OLD_EVENTS_ROW, OLD_EVENTS_END, OLD_EVENTS_FAILED };

/* What each kind of database's own struct begins with. */
struct old_events {
    /* The next row. `status` is filled on failure. */
    enum old_events_result (*next)(struct old_events *events, struct old_event *event,
                                   struct status *status);
    void (*close)(struct old_events *events); /* frees it */
    size_t count;                             /* rows of the table when it was opened */
};

/* Connects, finds the table and its columns, and starts to read. `uri` is as store_postgres_uri
 * gives it, `path` that of an SQLite file. False with a text that names what is missing, and never
 * the password: INVALID_ARGUMENT for a wrong URI, else FAILED_PRECONDITION or UNAVAILABLE. */
bool postgres_old_events_open(const char *uri, struct old_events **events,
                              struct status *status) MUST_CHECK;
bool sqlite_old_events_open(const char *path, struct old_events **events,
                            struct status *status) MUST_CHECK;

/* ---- for the two kinds of database ---- */

enum old_events_column {
    OLD_EVENTS_ID,
    OLD_EVENTS_SOURCE,
    OLD_EVENTS_TYPE,
    OLD_EVENTS_PAYLOAD,
    OLD_EVENTS_STATUS,
    OLD_EVENTS_CREATED_AT,
    OLD_EVENTS_ACKNOWLEDGED_AT, /* may be missing */
    OLD_EVENTS_COLUMNS
};
extern const char *const OLD_EVENTS_COLUMN_NAMES[OLD_EVENTS_COLUMNS];

/* Whether all required columns are present; false with a text that names the missing ones. `where`
 * is the table and its place. */
bool old_events_check_columns(const bool present[OLD_EVENTS_COLUMNS], const char *where,
                              struct status *status) MUST_CHECK;

#endif
