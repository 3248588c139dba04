/* What both stores share: the form of their SQL, where a list starts, copying an event into its
 * caller's arena, the status of each result. */
#ifndef TRIGGERS_STORE_ITEMS_H
#define TRIGGERS_STORE_ITEMS_H

#include "store/store.h"

/* A statement of the .sql files, as embed.py makes it. */
struct statement {
    const char *name;
    const char *sql;
};

/* Where the list starts: `after`, or a position before every event in the order asked for. */
struct store_position store_list_start(const struct store_list *list);

/* Points the slices of `event` at copies in `arena`; false when they do not fit. */
bool store_event_copy(struct store_event *event, struct arena *arena) MUST_CHECK;

/* Each fills `status` and returns its result, so that a failing function can end with it. */
enum store_result store_retry(struct status *status);
enum store_result store_locked(struct status *status);
enum store_result store_rejected(struct status *status);
enum store_result store_unavailable(struct status *status, const char *format, ...)
    PRINTF_LIKE(2, 3);
enum store_result store_damaged(struct status *status);
enum store_result store_lost(struct status *status, const char *format, ...) PRINTF_LIKE(2, 3);
enum store_result store_fatal(struct status *status, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
