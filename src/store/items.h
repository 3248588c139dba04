/* What both stores share: the form of their SQL, the blocks of the log, copying an event into its
 * caller's arena, the status of each result. */
#ifndef TRIGGERS_STORE_ITEMS_H
#define TRIGGERS_STORE_ITEMS_H

#include "store/store.h"

bool slice_equals(struct slice a, struct slice b);

/* Whether an id that comes again comes with the same content; their kinds are set. */
bool store_content_equals(const struct store_event *a, const struct store_event *b);

/* A statement of the .sql files, as embed.py makes it. */
struct statement {
    const char *name;
    const char *sql;
};

/* The log in blocks of as many sequences. What a store keeps to find events quickly (which kinds a
 * block has, from when to when, whether anything in it is pending) it keeps by block, written once,
 * in the transaction that fills the block. The block that is not full yet is looked at itself. */
#define STORE_BLOCK 256

/* Where the list starts: `after`, or a position before every event in the order asked for. */
int64_t store_list_start(const struct store_list *list);

/* The same, as the times of the filter: INT64_MIN and INT64_MAX for any. */
int64_t store_filter_from(const struct store_filter *filter);
int64_t store_filter_until(const struct store_filter *filter);

/* Points `slice` at a copy in `arena`; false when it does not fit. */
bool store_slice_copy(struct slice *slice, struct arena *arena) MUST_CHECK;

/* Points the slices of `event` at copies in `arena`; false when they do not fit. */
bool store_event_copy(struct store_event *event, struct arena *arena) MUST_CHECK;

/* Asserts what store.h asks of a change. Returns how many of its rows are new tenants, 0 or 1. */
int store_access_check(const struct store_access_change *change);

/* How many subscriptions there may be with the new one. */
int64_t store_put_most(const struct store_put *put);

/* Where a list of records starts: before `before`, or after every record. */
int64_t store_audit_start(const struct store_audit_list *list);

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
