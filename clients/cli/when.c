/* Reading of moments; strptime reads the numbers, and what it is lenient with does no harm. */
#include "when.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define US_OF_SECOND INT64_C(1000000)

static int64_t seconds_of_unit(char unit)
{
    switch (unit) {
    case 's': return 1;
    case 'm': return 60;
    case 'h': return 3600;
    case 'd': return 86400;
    default: return 0;
    }
}

bool when_parse_duration(const char *text, int64_t *seconds)
{
    char *end;
    long count = strtol(text, &end, 10);
    int64_t unit = end > text && end[0] && !end[1] ? seconds_of_unit(end[0]) : 0;
    return unit > 0 && count >= 0 && !__builtin_mul_overflow(count, unit, seconds);
}

static bool parse_ago(const char *text, int64_t now_us, int64_t *time_us)
{
    int64_t seconds, ago_us;
    if (!when_parse_duration(text, &seconds) ||
        __builtin_mul_overflow(seconds, US_OF_SECOND, &ago_us))
        return false;
    *time_us = now_us - ago_us;
    return ago_us < now_us;
}

/* The digits after a point, as microseconds; what is finer is left out. */
static const char *read_fraction(const char *text, int64_t *us)
{
    *us = 0;
    if (*text != '.')
        return text;
    int64_t scale = US_OF_SECOND / 10;
    for (text++; isdigit((unsigned char)*text); text++, scale /= 10)
        *us += (*text - '0') * scale;
    return text;
}

/* Z, or how far the clock is ahead of UTC, to the end of the text. */
static bool read_zone(const char *text, int64_t *ahead_s)
{
    *ahead_s = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    struct tm ahead = {0};
    const char *end = *text == '+' || *text == '-' ? strptime(text + 1, "%H:%M", &ahead) : NULL;
    *ahead_s = (ahead.tm_hour * 3600 + ahead.tm_min * 60) * (*text == '-' ? -1 : 1);
    return end && !*end;
}

bool when_parse_date(const char *text, int64_t *time_us)
{
    struct tm parts = {0};
    int64_t us = 0;
    int64_t ahead_s = 0;
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (rest && *rest) {
        bool clock_follows = *rest == 'T' || *rest == 't' || *rest == ' ';
        rest = clock_follows ? strptime(rest + 1, "%H:%M:%S", &parts) : NULL;
        rest = rest ? read_fraction(rest, &us) : NULL;
        if (!rest || !read_zone(rest, &ahead_s))
            return false;
    }
    int day = parts.tm_mday;
    int64_t seconds = timegm(&parts);
    *time_us = (seconds - ahead_s) * US_OF_SECOND + us;
    return rest && day == parts.tm_mday && *time_us > 0;
}

bool when_parse(const char *text, int64_t now_us, int64_t *time_us)
{
    return parse_ago(text, now_us, time_us) || when_parse_date(text, time_us);
}

bool when_parse_ahead(const char *text, int64_t now_us, int64_t *time_us)
{
    int64_t seconds, ahead_us;
    if (!when_parse_duration(text, &seconds))
        return when_parse_date(text, time_us);
    return !__builtin_mul_overflow(seconds, US_OF_SECOND, &ahead_us) &&
           !__builtin_add_overflow(now_us, ahead_us, time_us);
}
