/* Moments as people write them. */
#ifndef TRIGGERS_CLI_WHEN_H
#define TRIGGERS_CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#define WHEN_ACCEPTED                                                                              \
    "a time such as 2026-01-31T12:00:00Z, a day (UTC), or how long ago: 90s, 30m, 2h, 7d"

/* Reads a time of RFC 3339, a day, which stands for its beginning in UTC, or a number and a unit
 * (s, m, h or d), which stands for so long before `now_us`. Microseconds since 1970, more than 0.
 * False when it is none of these. */
bool when_parse(const char *text, int64_t now_us, int64_t *time_us);

/* The same without how long ago. */
#define WHEN_DATE_ACCEPTED "a time such as 2026-01-31T12:00:00Z, or a day (UTC)"
bool when_parse_date(const char *text, int64_t *time_us);

/* The same, or a number and a unit, which stands for so long after `now_us`. */
#define WHEN_AHEAD_ACCEPTED                                                                        \
    "a time such as 2026-01-31T12:00:00Z, a day (UTC), or how long from now: 12h, 90d"
bool when_parse_ahead(const char *text, int64_t now_us, int64_t *time_us);

/* Reads a number and a unit (s, m, h or d) as seconds, from 0 on. */
bool when_parse_duration(const char *text, int64_t *seconds);

#endif
