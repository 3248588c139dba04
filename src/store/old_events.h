/* The `events` table of the service that this one replaces, in PostgreSQL, read once from end to
 * end. Nothing is written there. One thread. */
#ifndef TRIGGERS_STORE_OLD_EVENTS_H
#define TRIGGERS_STORE_OLD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct old_events;

/* A row as it stands; texts are borrowed until the next row is asked for, NULL where the column is
 * null. Times are microseconds since 1970 UTC. */
struct old_event {
    const char *id;
    const char *source;
    const char *type;
    const char *payload;
    const char *status;    /* lower-cased */
    bool has_created_at;   /* not null, and in the years 1 to 9999 */
    int64_t created_at_us; /* columns without a time zone are taken as UTC, as they were meant */
    int64_t acknowledged_at_us; /* of any event: when it was acknowledged, else last changed, else
                                   created, as far as there are such columns */
};

enum old_events_result { OLD_EVENTS_ROW, OLD_EVENTS_END, OLD_EVENTS_FAILED };

/* Connects, finds the table and its columns, and starts to read. `url` is accepted as DATABASE_URL
 * is. False with a text that names what is missing, and never the password: INVALID_ARGUMENT for a
 * wrong URL, else FAILED_PRECONDITION or UNAVAILABLE. */
bool old_events_open(const char *url, struct old_events **events, struct status *status) MUST_CHECK;

/* Rows of the table when it was opened. */
size_t old_events_count(const struct old_events *events);

/* The next row, in no particular order. `status` is filled when it failed. */
enum old_events_result old_events_next(struct old_events *events, struct old_event *event,
                                       struct status *status) MUST_CHECK;

void old_events_close(struct old_events *events); /* NULL is allowed */

#endif
