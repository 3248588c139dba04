/* The columns of the old table, which both kinds of database look for. */
#include "import/old_events.h"

#include <stdio.h>
#include <string.h>

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
