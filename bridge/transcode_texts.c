/* Messages of google.protobuf that are texts in JSON: points in time and durations. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rfc3339.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "transcode.h"

#define DURATION_MAX 315576000000L /* the most of google.protobuf.Duration: 10000 years */

/* ---- times ---- */

static bool read_time(const char *at, ProtobufCMessage *message)
{
    Google__Protobuf__Timestamp *time = (Google__Protobuf__Timestamp *)message;
    return rfc3339_read(at, &time->seconds, &time->nanos);
}

static void append_time(struct buffer *buffer, const ProtobufCMessage *message)
{
    const Google__Protobuf__Timestamp *time = (const Google__Protobuf__Timestamp *)message;
    int64_t time_us;
    if (__builtin_mul_overflow(time->seconds, 1000000, &time_us) ||
        __builtin_add_overflow(time_us, time->nanos / 1000, &time_us))
        buffer_append_text(buffer, "null");
    else
        buffer_append_json_time(buffer, time_us);
}

/* ---- durations ---- */

/* "-1.5s": the sign, which both members have, up to 12 digits, a fraction, and the unit. */
static bool read_duration(const char *at, ProtobufCMessage *message)
{
    Google__Protobuf__Duration *duration = (Google__Protobuf__Duration *)message;
    int sign = *at == '-' ? -1 : 1;
    const char *first = at += *at == '-';
    CHECK(duration->seconds == 0 && duration->nanos == 0);
    for (; *at >= '0' && *at <= '9' && at - first < 12; at++)
        duration->seconds = duration->seconds * 10 + (*at - '0');
    if (at == first || !rfc3339_take_fraction(&at, &duration->nanos) || at[0] != 's' || at[1])
        return false;
    bool in_range = duration->seconds < DURATION_MAX ||
                    (duration->seconds == DURATION_MAX && duration->nanos == 0);
    duration->seconds *= sign;
    duration->nanos *= sign;
    return in_range;
}

/* With 0, 3, 6 or 9 digits of a fraction, as in the JSON of protobuf; null for a value that is not
 * a duration. */
static void append_duration(struct buffer *buffer, const ProtobufCMessage *message)
{
    const Google__Protobuf__Duration *duration = (const Google__Protobuf__Duration *)message;
    int64_t seconds = duration->seconds;
    int32_t nanos = duration->nanos;
    bool negative = seconds < 0 || nanos < 0;
    if (seconds < -DURATION_MAX || seconds > DURATION_MAX || nanos <= -1000000000 ||
        nanos >= 1000000000 || (negative && (seconds > 0 || nanos > 0))) {
        buffer_append_text(buffer, "null");
        return;
    }
    nanos = abs(nanos);
    buffer_append_format(buffer, "\"%s%" PRId64, negative ? "-" : "",
                         negative ? -seconds : seconds);
    if (nanos % 1000 > 0)
        buffer_append_format(buffer, ".%09" PRId32, nanos);
    else if (nanos % 1000000 > 0)
        buffer_append_format(buffer, ".%06" PRId32, nanos / 1000);
    else if (nanos > 0)
        buffer_append_format(buffer, ".%03" PRId32, nanos / 1000000);
    buffer_append_text(buffer, "s\"");
}

const struct transcode_text *transcode_text_of(const void *type)
{
    static const struct transcode_text texts[] = {
        {&google__protobuf__timestamp__descriptor, read_time, append_time,
         "must be a time as in RFC 3339, such as \"2026-01-31T23:59:59.5Z\""},
        {&google__protobuf__duration__descriptor, read_duration, append_duration,
         "must be a duration in seconds, such as \"1.5s\", of at most 315576000000s"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].type == type)
            return &texts[i];
    }
    return NULL;
}
