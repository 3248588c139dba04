/* Messages of google.protobuf that are texts in JSON: points in time and durations. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "transcode.h"

#define TIME_MIN (-62135596800)    /* the year 1, the first of google.protobuf.Timestamp */
#define TIME_MAX 253402300799      /* the end of the year 9999 */
#define DURATION_MAX 315576000000L /* the most of google.protobuf.Duration: 10000 years */

/* ---- times ---- */

/* Reads `count` digits and, unless it is 0, the character after them. */
static bool take_digits(const char **at, int count, char after, int *number)
{
    *number = 0;
    for (; count > 0; count--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *number = *number * 10 + (**at - '0');
    }
    if (after && **at != after && !(after == 'T' && **at == 't'))
        return false;
    *at += after != 0;
    return true;
}

/* Reads a point and one to nine digits, or nothing. */
static bool take_fraction(const char **at, int32_t *nanos)
{
    *nanos = 0;
    if (**at != '.')
        return true;
    const char *first = ++*at;
    for (; **at >= '0' && **at <= '9' && *at - first < 9; (*at)++)
        *nanos = *nanos * 10 + (**at - '0');
    for (ptrdiff_t digits = *at - first; digits < 9; digits++)
        *nanos *= 10;
    CHECK(*nanos >= 0 && *nanos < 1000000000);
    return *at > first;
}

/* Reads Z or an offset, up to the end. */
static bool take_zone(const char *at, int *offset_s)
{
    int hours, minutes, sign = *at == '-' ? -1 : 1;
    *offset_s = 0;
    if (*at == 'Z' || *at == 'z')
        return at[1] == '\0';
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!take_digits(&at, 2, ':', &hours) || !take_digits(&at, 2, 0, &minutes))
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60 && *at == '\0';
}

static bool read_time(const char *at, ProtobufCMessage *message)
{
    Google__Protobuf__Timestamp *time = (Google__Protobuf__Timestamp *)message;
    struct tm tm;
    int year, month, day, offset_s;
    if (!take_digits(&at, 4, '-', &year) || !take_digits(&at, 2, '-', &month) ||
        !take_digits(&at, 2, 'T', &day) || !take_digits(&at, 2, ':', &tm.tm_hour) ||
        !take_digits(&at, 2, ':', &tm.tm_min) || !take_digits(&at, 2, 0, &tm.tm_sec) ||
        !take_fraction(&at, &time->nanos) || !take_zone(at, &offset_s))
        return false;
    if (month < 1 || month > 12 || day < 1 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return false;
    tm = (struct tm){.tm_year = year - 1900,
                     .tm_mon = month - 1,
                     .tm_mday = day,
                     .tm_hour = tm.tm_hour,
                     .tm_min = tm.tm_min,
                     .tm_sec = tm.tm_sec};
    time->seconds = timegm(&tm) - offset_s;
    /* For a day that the month does not have, timegm has counted on into the next month. */
    return tm.tm_mday == day && time->seconds >= TIME_MIN && time->seconds <= TIME_MAX;
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
    if (at == first || !take_fraction(&at, &duration->nanos) || at[0] != 's' || at[1])
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
