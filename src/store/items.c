/* Helpers shared by the stores; see items.h. */
#include "store/items.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/siphash.h"

#define RETRY_DELAY_MS 1000

int64_t store_list_start(const struct store_list *list)
{
    CHECK(list->limit >= 1 && list->limit <= STORE_LIST_MAX);
    CHECK(list->set != STORE_LOG || list->oldest_first);
    if (list->after != 0 || list->oldest_first)
        return list->after;
    return INT64_MAX;
}

int64_t store_filter_from(const struct store_filter *filter)
{
    return filter->from_us == 0 ? INT64_MIN : filter->from_us;
}

int64_t store_filter_until(const struct store_filter *filter)
{
    return filter->until_us == 0 ? INT64_MAX : filter->until_us;
}

bool slice_equals(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool name_fits(struct slice pattern, struct slice name)
{
    if (pattern.size == 0 || pattern.data[pattern.size - 1] != '*')
        return slice_equals(pattern, name);
    struct slice beginning = {pattern.data, pattern.size - 1};
    return name.size >= beginning.size &&
           slice_equals(beginning, (struct slice){name.data, beginning.size});
}

bool store_filter_fits(const struct slice *names, size_t count, struct slice name)
{
    bool fits = count == 0;
    for (size_t i = 0; i < count && !fits; i++)
        fits = name_fits(names[i], name);
    return fits;
}

bool store_list_lacks_events(const struct store_list *list)
{
    return list->after > 0 && list->after < list->first - 1;
}

uint64_t store_key_of(struct slice ordering_key)
{
    static const uint8_t always[SIPHASH_KEY_SIZE] = "triggers, keys"; /* the hashes are stored */
    if (ordering_key.size == 0)
        return 0;
    uint64_t key = siphash(always, ordering_key.data, ordering_key.size);
    return key != 0 ? key : 1;
}

bool store_content_equals(const struct store_event *a, const struct store_event *b)
{
    return a->kind == b->kind && slice_equals(a->ordering_key, b->ordering_key) &&
           slice_equals(a->payload, b->payload);
}

void store_settlement_id(const struct store_settlement *settlement, uint8_t id[TYPEID_BYTES])
{
    uint64_t subscription = htobe64((uint64_t)settlement->subscription);
    uint64_t number = htobe64((uint64_t)settlement->before.number + 1);
    memcpy(id, &subscription, sizeof(subscription));
    memcpy(id + sizeof(subscription), &number, sizeof(number));
}

int store_access_check(const struct store_access_change *change)
{
    int new_tenants = 0;
    bool of_new = change->record && change->record_tenant < 0;
    CHECK(change->count >= 1 && change->count <= STORE_ACCESS_CHANGE_MAX);
    for (size_t i = 0; i < change->count; i++) {
        const struct store_access_row *row = &change->rows[i];
        CHECK(row->id.size >= 1 && row->id.size <= STORE_ACCESS_ID_MAX && row->version >= 0);
        CHECK(row->version > 0 || !row->gone);
        CHECK(row->tenant >= 0 || (row->tenant == -1 && row->version == 0));
        CHECK(row->kind == STORE_KEY || row->tenant == -1 || row->version > 0);
        new_tenants += row->kind == STORE_TENANT && row->tenant < 0;
        of_new = of_new || row->tenant < 0;
    }
    CHECK(new_tenants == of_new);
    return new_tenants;
}

int64_t store_put_most(const struct store_put *put)
{
    bool fewer = put->most > 0 && put->most < STORE_SUBSCRIPTIONS_MAX;
    return fewer ? put->most : STORE_SUBSCRIPTIONS_MAX;
}

int64_t store_audit_start(const struct store_audit_list *list)
{
    CHECK(list->limit >= 1 && list->limit <= STORE_LIST_MAX && list->before >= 0);
    return list->before == 0 ? INT64_MAX : list->before;
}

bool store_slice_copy(struct slice *slice, struct arena *arena)
{
    slice->data = arena_copy(arena, slice->size ? slice->data : "", slice->size);
    return slice->data != NULL;
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
    size_t size =
        event->source.size + event->type.size + event->payload.size + event->ordering_key.size;
    char *end = arena_alloc(arena, size);
    if (!end)
        return false;
    event->source = slice_copy(&end, event->source);
    event->type = slice_copy(&end, event->type);
    event->payload = slice_copy(&end, event->payload);
    event->ordering_key = slice_copy(&end, event->ordering_key);
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
