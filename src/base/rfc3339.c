/* Times as texts. */
#include "base/rfc3339.h"

#include <stddef.h>
#include <time.h>

#include "base/check.h"

#define TIME_MIN (-62135596800) /* the year 1, the first of google.protobuf.Timestamp */
#define TIME_MAX 253402300799   /* the end of the year 9999 */

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

bool rfc3339_take_fraction(const char **at, int32_t *nanos)
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

bool rfc3339_read(const char *text, int64_t *seconds, int32_t *nanos)
{
    struct tm tm;
    int year, month, day, offset_s;
    const char *at = text;
    if (!take_digits(&at, 4, '-', &year) || !take_digits(&at, 2, '-', &month) ||
        !take_digits(&at, 2, 'T', &day) || !take_digits(&at, 2, ':', &tm.tm_hour) ||
        !take_digits(&at, 2, ':', &tm.tm_min) || !take_digits(&at, 2, 0, &tm.tm_sec) ||
        !rfc3339_take_fraction(&at, nanos) || !take_zone(at, &offset_s))
        return false;
    if (month < 1 || month > 12 || day < 1 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return false;
    tm = (struct tm){.tm_year = year - 1900,
                     .tm_mon = month - 1,
                     .tm_mday = day,
                     .tm_hour = tm.tm_hour,
                     .tm_min = tm.tm_min,
                     .tm_sec = tm.tm_sec};
    *seconds = timegm(&tm) - offset_s;
    /* For a day that the month does not have, timegm has counted on into the next month. */
    return tm.tm_mday == day && *seconds >= TIME_MIN && *seconds <= TIME_MAX;
}
