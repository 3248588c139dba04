/* What reading the old table from both kinds of database has in common. */
#include "import/old_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/drivers.h"

const char *const OLD_EVENTS_COLUMN_NAMES[OLD_EVENTS_COLUMNS] = {
    [OLD_EVENTS_ID] = "id",
    [OLD_EVENTS_SOURCE] = "source",
    [OLD_EVENTS_TYPE] = "event_type",
    [OLD_EVENTS_PAYLOAD] = "payload",
    [OLD_EVENTS_STATUS] = "status",
    [OLD_EVENTS_CREATED_AT] = "created_at",
    [OLD_EVENTS_ACKNOWLEDGED_AT] = "acknowledged_at",
};

bool old_events_check_columns(const bool present[OLD_EVENTS_COLUMNS], const char *where,
                              struct status *status)
{
    char missing[128] = "";
    for (size_t i = 0; i < OLD_EVENTS_ACKNOWLEDGED_AT; i++) {
        size_t used = strlen(missing);
        if (!present[i])
            snprintf(missing + used, sizeof(missing) - used, "%s%s%s", used ? ", " : "",
                     OLD_EVENTS_COLUMN_NAMES[i],
                     i == OLD_EVENTS_CREATED_AT ? " (a timestamp)" : "");
    }
    return !missing[0] || status_fail(status, STATUS_FAILED_PRECONDITION, "OLD_EVENTS_MISSING",
                                      "the table %s lacks the columns: %s", where, missing);
}

bool old_events_open(const char *url, struct old_events **events, struct status *status)
{
    char *uri = store_postgres_uri(url);
    char *path = store_sqlite_path(url);
    bool opened;
    if (uri)
        opened = postgres_old_events_open(uri, events, status);
    else if (path)
        opened = sqlite_old_events_open(path, events, status);
    else
        opened = status_fail(status, STATUS_INVALID_ARGUMENT, "IMPORT_URL_INVALID",
                             "--import-from is not the URL of a database; accepted: "
                             "postgresql://user:password@host:port/database, "
                             "sqlite:///relative/path, sqlite:////absolute/path");
    if (uri)
        explicit_bzero(uri, strlen(uri));
    free(uri);
    free(path);
    return opened;
}

size_t old_events_count(const struct old_events *events)
{
    return events->count;
}

enum old_events_result old_events_next(struct old_events *events, struct old_event *event,
                                       struct status *status)
{
    return events->next(events, event, status);
}

void old_events_close(struct old_events *events)
{
    if (events)
        events->close(events);
}
