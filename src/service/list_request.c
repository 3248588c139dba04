/* The checks of lists. */
#include "service/list_request.h"

#include <stdio.h>
#include <string.h>

#include "access/access.h"
#include "events/rules.h"
#include "service/convert.h"
#include "service/request_checks.h"

bool list_request_size(struct call *call, int32_t page_size, uint32_t *limit)
{
    if (page_size < 0)
        return request_refuse(call, "PAGE_SIZE_INVALID", "page_size",
                              "must not be negative; 0 means 50, over 1000 means 1000");
    *limit = page_size == 0               ? EVENT_PAGE_DEFAULT
             : page_size > EVENT_PAGE_MAX ? EVENT_PAGE_MAX
                                          : (uint32_t)page_size;
    return true;
}

static bool refuse_filter(struct call *call, const char *field, const char *description)
{
    return request_refuse(call, "FILTER_INVALID", field, description);
}

static bool read_patterns(struct call *call, char *const *texts, size_t count, const char *field,
                          const struct slice **names)
{
    if (count > FILTER_MAX_NAMES)
        return refuse_filter(call, field, "must have at most 100 elements");
    struct slice *patterns = arena_calloc(&call->arena, count, sizeof(*patterns));
    for (size_t i = 0; patterns && i < count; i++) {
        const char *why;
        if (rule_pattern(texts[i], &call->arena, &patterns[i], &why))
            continue;
        if (call->arena.exhausted)
            break;
        char path[64];
        snprintf(path, sizeof(path), "%s[%zu]", field, i);
        return refuse_filter(call, path, why);
    }
    *names = patterns;
    if (call->arena.exhausted)
        call_fail_no_memory(call);
    return !call->arena.exhausted;
}

/* 0 when there is none. The first microsecond of 1970, which would look like none, becomes the one
 * before. */
static bool read_time(struct call *call, const Google__Protobuf__Timestamp *time, const char *field,
                      int64_t *time_us)
{
    *time_us = 0;
    if (!time)
        return true;
    if (!convert_time_us(time, time_us))
        return refuse_filter(call, field, TIME_RULE);
    if (*time_us == 0)
        *time_us = -1;
    return true;
}

bool list_request_names(struct call *call, char *const *sources, size_t source_count,
                        char *const *types, size_t type_count, struct store_filter *filter)
{
    filter->source_count = source_count;
    filter->type_count = type_count;
    return read_patterns(call, sources, source_count, "filter.sources", &filter->sources) &&
           read_patterns(call, types, type_count, "filter.event_types", &filter->types);
}

bool list_request_filter(struct call *call, const Triggers__V1__EventFilter *from,
                         struct store_filter *filter)
{
    *filter = (struct store_filter){0};
    if (!from)
        return true;
    if (!list_request_names(call, from->sources, from->n_sources, from->event_types,
                            from->n_event_types, filter) ||
        !read_time(call, from->from_time, "filter.from_time", &filter->from_us) ||
        !read_time(call, from->until_time, "filter.until_time", &filter->until_us))
        return false;
    if (from->from_time && from->until_time && filter->from_us >= filter->until_us)
        return refuse_filter(call, "filter.until_time", "must be after from_time");
    return true;
}

/* No event has a name of no characters, so this fits none. */
static const struct slice NO_NAME = {"", 0};

bool list_request_narrow(struct call *call, struct store_filter *filter)
{
    enum store_outcome outcome;
    if (!access_narrow(call->pass, &call->arena, filter, &outcome)) {
        call_fail_no_memory(call);
        return false;
    }
    if (outcome == STORE_NOT_FOUND) {
        filter->sources = &NO_NAME;
        filter->source_count = 1;
    }
    return true;
}

bool list_request_token(struct call *call, const char *token, uint64_t list, int64_t *after)
{
    *after = 0;
    if (token[0] == '\0' || page_token_parse(token, list, after))
        return true;
    return request_refuse(call, "PAGE_TOKEN_INVALID", "page_token",
                          "must be the next_page_token of a page of the same list, with the "
                          "same status, order and filter");
}
