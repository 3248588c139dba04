/* What the requests of all lists have: a page size, a filter. Each function returns false after
 * having answered the call, with INVALID_ARGUMENT and the field at fault, or for want of memory. */
#ifndef TRIGGERS_SERVICE_LIST_REQUEST_H
#define TRIGGERS_SERVICE_LIST_REQUEST_H

#include "rpc/call.h"
#include "store/store.h"
#include "triggers/v1/events.pb-c.h"

#define FILTER_MAX_NAMES 100 /* of each of both */

bool list_request_size(struct call *call, int32_t page_size, uint32_t *limit);

/* `from` is NULL for every event. The names of `filter` lie in the arena. */
bool list_request_filter(struct call *call, const Triggers__V1__EventFilter *from,
                         struct store_filter *filter);

/* The sources and types of a filter alone. */
bool list_request_names(struct call *call, char *const *sources, size_t source_count,
                        char *const *types, size_t type_count, struct store_filter *filter);

/* Narrows a filter to what the call may see: to nothing, when that is nothing. */
bool list_request_narrow(struct call *call, struct store_filter *filter);

/* Where the page of `token` starts: 0 for "", the first one. `list` as page_list_of has it. */
bool list_request_token(struct call *call, const char *token, uint64_t list, int64_t *after);

#endif
