#include "limit_options.h"

#include <inttypes.h>
#include <stdio.h>

#include "access_calls.h"

long limit_calls = -1;
long limit_events = -1;
long limit_bytes = -1;

Triggers__V1__Limits *limits_asked(Triggers__V1__Limits *limits)
{
    triggers__v1__limits__init(limits);
    limits->calls_per_second = limit_calls > 0 ? (uint32_t)limit_calls : 0;
    limits->events_per_second = limit_events > 0 ? (uint32_t)limit_events : 0;
    limits->bytes_per_second = limit_bytes > 0 ? (uint64_t)limit_bytes : 0;
    return limit_calls >= 0 || limit_events >= 0 || limit_bytes >= 0 ? limits : NULL;
}

static void print_limit(const char *what, uint64_t per_second)
{
    char text[64];
    snprintf(text, sizeof(text), "%" PRIu64 " %s a second", per_second, what);
    if (per_second > 0)
        access_print_part("limit", text);
}

void limits_print(const Triggers__V1__Limits *limits)
{
    if (!limits)
        return;
    print_limit("calls", limits->calls_per_second);
    print_limit("events", limits->events_per_second);
    print_limit("bytes", limits->bytes_per_second);
}
