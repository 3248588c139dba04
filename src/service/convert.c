/* Plain copying; slices become pointers, times become timestamps. */
#include "service/convert.h"

#include <string.h>

#include "base/check.h"

Google__Protobuf__Timestamp *convert_time(struct arena *arena, int64_t time_us)
{
    Google__Protobuf__Timestamp *time = arena_alloc(arena, sizeof(*time));
    if (!time)
        return NULL;
    int64_t micros = time_us % 1000000;
    if (micros < 0)
        micros += 1000000;
    google__protobuf__timestamp__init(time);
    time->seconds = (time_us - micros) / 1000000;
    time->nanos = (int32_t)micros * 1000;
    return time;
}

#define FIRST_SECOND INT64_C(-62135596800) /* 0001-01-01 */
#define LAST_SECOND INT64_C(253402300799)  /* 9999-12-31 */

bool convert_time_us(const Google__Protobuf__Timestamp *time, int64_t *time_us)
{
    if (time->seconds < FIRST_SECOND || time->seconds > LAST_SECOND || time->nanos < 0 ||
        time->nanos > 999999999)
        return false;
    *time_us = time->seconds * 1000000 + (time->nanos + 999) / 1000;
    return true;
}

char *convert_id(struct arena *arena, const uint8_t id[TYPEID_BYTES])
{
    char *text = arena_alloc(arena, TYPEID_TEXT_SIZE);
    if (text)
        typeid_format(id, text);
    return text;
}

Triggers__V1__Event *convert_event(struct arena *arena, const struct store_event *event)
{
    Triggers__V1__Event *message = arena_alloc(arena, sizeof(*message));
    if (!message)
        return NULL;
    triggers__v1__event__init(message);
    bool acknowledged = event->acknowledged_at_us != 0;
    message->event_id = convert_id(arena, event->id);
    message->source = arena_copy(arena, event->source.data, event->source.size);
    message->event_type = arena_copy(arena, event->type.data, event->type.size);
    message->payload.data = (uint8_t *)event->payload.data;
    message->payload.len = event->payload.size;
    message->status = acknowledged ? TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_ACKNOWLEDGED
                                   : TRIGGERS__V1__EVENT_STATUS__EVENT_STATUS_PENDING;
    message->created_at = convert_time(arena, event->created_at_us);
    if (acknowledged)
        message->acknowledged_at = convert_time(arena, event->acknowledged_at_us);
    message->sequence = event->sequence;
    message->payload_erased = event->payload.size == 0; /* no payload is empty otherwise */
    if (event->ordering_key.size > 0)
        message->ordering_key =
            arena_copy(arena, event->ordering_key.data, event->ordering_key.size);
    if (event->deliver_at_us != 0)
        message->deliver_at = convert_time(arena, event->deliver_at_us);
    return arena->exhausted ? NULL : message;
}

Triggers__V1__Event **convert_page(struct arena *arena, const struct store_list *list)
{
    CHECK(list->count <= list->limit);
    Triggers__V1__Event **messages = arena_alloc(arena, list->count * sizeof(*messages));
    for (size_t i = 0; messages && i < list->count; i++)
        messages[i] = convert_event(arena, &list->events[i]);
    return arena->exhausted ? NULL : messages;
}

void *convert_repeated(struct arena *arena, void *messages, size_t count, size_t size)
{
    CHECK(messages || count == 0);
    void **pointers = arena_alloc(arena, count * sizeof(*pointers));
    for (size_t i = 0; pointers && i < count; i++)
        pointers[i] = (char *)messages + i * size;
    return pointers;
}

static bool convert_violations(struct arena *arena, const struct item_failure *failure,
                               Triggers__Rpc__V1__ErrorDetails *details)
{
    size_t count = failure->violation_count;
    Triggers__Rpc__V1__FieldViolation *violations = arena_calloc(arena, count, sizeof(*violations));
    if (!violations)
        return false;
    for (size_t i = 0; i < count; i++) {
        triggers__rpc__v1__field_violation__init(&violations[i]);
        violations[i].field = (char *)failure->violations[i].field;
        violations[i].description = (char *)failure->violations[i].description;
    }
    details->field_violations = convert_repeated(arena, violations, count, sizeof(*violations));
    details->n_field_violations = count;
    return details->field_violations != NULL;
}

Triggers__V1__ItemError *convert_failure(struct arena *arena, const struct item_failure *failure)
{
    CHECK(failure->status.code != STATUS_OK);
    Triggers__V1__ItemError *error = arena_alloc(arena, sizeof(*error));
    Triggers__Rpc__V1__ErrorDetails *details = arena_alloc(arena, sizeof(*details));
    if (!error || !details)
        return NULL;
    triggers__v1__item_error__init(error);
    triggers__rpc__v1__error_details__init(details);
    error->code = (Triggers__Rpc__V1__Code)failure->status.code;
    error->message = arena_copy(arena, failure->status.message, strlen(failure->status.message));
    error->details = details;
    details->reason = (char *)failure->status.reason;
    details->retry_delay_ms = failure->status.retry_delay_ms;
    if (!error->message || !convert_violations(arena, failure, details))
        return NULL;
    return error;
}
