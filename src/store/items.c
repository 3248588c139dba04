/* Helpers shared by the stores; see items.h. */
#include "store/items.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define RETRY_DELAY_MS 1000

struct store_position store_list_start(const struct store_list *list)
{
    CHECK(list->limit >= 1 && list->limit <= STORE_LIST_MAX);
    if (list->has_after)
        return list->after;
    struct store_position start = {.created_at_us = list->oldest_first ? INT64_MIN : INT64_MAX};
    memset(start.id, list->oldest_first ? 0x00 : 0xFF, sizeof(start.id));
    return start;
}

static struct slice slice_copy(char **end, struct slice slice)
{
    char *start = *end;
    if (slice.size > 0)
        memcpy(start, slice.data, slice.size);
    *end += slice.size;
    return (struct slice){start, slice.size};
}

bool store_event_copy(struct store_event *event, struct arena *arena)
{
    size_t size = event->source.size + event->type.size + event->payload.size;
    char *end = arena_alloc(arena, size);
    if (!end)
        return false;
    event->source = slice_copy(&end, event->source);
    event->type = slice_copy(&end, event->type);
    event->payload = slice_copy(&end, event->payload);
    CHECK(end == event->source.data + size);
    return true;
}

static enum store_result fail(struct status *status, enum store_result result, const char *reason,
                              const char *text)
{
    status_fail(status, STATUS_UNAVAILABLE, reason, "%s", text);
    status->retry_delay_ms = RETRY_DELAY_MS;
    return result;
}

enum store_result store_retry(struct status *status)
{
    return fail(status, STORE_RETRY, "STORE_CONTENTION",
                "another writer was in the way; nothing was changed, try again");
}

enum store_result store_locked(struct status *status)
{
    return fail(status, STORE_LOCKED, "STORE_LOCKED",
                "another session of the database holds a lock; nothing was changed, try again");
}

enum store_result store_rejected(struct status *status)
{
    return fail(status, STORE_REJECTED, "STORE_REJECTED",
                "the database refused this, and the core's log says why; nothing was changed, try "
                "again");
}

enum store_result store_damaged(struct status *status)
{
    status_fail(status, STATUS_DATA_LOSS, "STORE_DAMAGED", "the stored data is damaged");
    return STORE_UNAVAILABLE;
}

static void PRINTF_LIKE(4, 0) fill(struct status *status, enum status_code code, const char *reason,
                                   const char *format, va_list args)
{
    char text[STATUS_MESSAGE_SIZE];
    vsnprintf(text, sizeof(text), format, args);
    status_fail(status, code, reason, "%s", text);
}

enum store_result store_unavailable(struct status *status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", format, args);
    va_end(args);
    status->retry_delay_ms = RETRY_DELAY_MS;
    return STORE_UNAVAILABLE;
}

enum store_result store_lost(struct status *status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(status, STATUS_UNAVAILABLE, "STORE_LOST", format, args);
    va_end(args);
    status->retry_delay_ms = RETRY_DELAY_MS;
    return STORE_LOST;
}

enum store_result store_fatal(struct status *status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(status, STATUS_FAILED_PRECONDITION, "STORE_UNUSABLE", format, args);
    va_end(args);
    return STORE_FATAL;
}
