/* Domain values to messages, built in the arena of a call. Every function returns NULL (or false)
 * when the arena is full. */
#ifndef TRIGGERS_SERVICE_CONVERT_H
#define TRIGGERS_SERVICE_CONVERT_H

#include "rpc/call.h"
#include "store/store.h"
#include "triggers/v1/events.pb-c.h"

/* What the id of an event must be, for callers that got it wrong. */
#define ID_RULE                                                                                    \
    "must be \"evt_\" and 26 characters of lower-case base32, or 12 hexadecimal digits in an "     \
    "imported id"

/* Why one item cannot be stored or acknowledged. */
struct item_failure {
    struct status status; /* code OK: nothing is wrong */
    struct field_violation
        violations[6]; /* of a create: its id, source, type, payload, key, delay */
    size_t violation_count;
};

Google__Protobuf__Timestamp *convert_time(struct arena *arena, int64_t time_us);

/* The first microsecond that is not before the time. False when it is not of the years 1 to 9999,
 * which are those of google.protobuf.Timestamp. */
bool convert_time_us(const Google__Protobuf__Timestamp *time, int64_t *time_us);
#define TIME_RULE "must be from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z"

/* The text form with its NUL. */
char *convert_id(struct arena *arena, const uint8_t id[TYPEID_BYTES]);

Triggers__V1__Event *convert_event(struct arena *arena, const struct store_event *event);

/* The `count` events of a page. */
Triggers__V1__Event **convert_page(struct arena *arena, const struct store_list *list);

/* An array of `count` pointers to the elements of `messages`, each of `size` bytes, which is how
 * protobuf-c holds repeated fields. */
void *convert_repeated(struct arena *arena, void *messages, size_t count, size_t size);

Triggers__V1__ItemError *convert_failure(struct arena *arena, const struct item_failure *failure);

#endif
