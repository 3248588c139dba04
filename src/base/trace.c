/* Parsing and making of traceparents. */
#include "base/trace.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hex.h"

/* `length` digits and then `end`, if that is not 0. */
static bool is_hex(const char *text, size_t length, char end)
{
    return strspn(text, HEX_DIGITS) == length && (end == 0 || text[length] == end);
}

static bool is_zero(const char *text, size_t length)
{
    return strspn(text, "0") >= length;
}

/* All zeros would be no id, but is less likely than a failing machine. */
static void make_id(char *id, size_t digits)
{
    uint8_t made[16];
    CHECK(digits / 2 <= sizeof(made));
    random_fill(made, digits / 2);
    hex_write(made, digits / 2, id);
}

/* A later version may have more after the flags (section 4, "Versioning of traceparent"). */
static bool is_traceparent(const char *text)
{
    if (!is_hex(text, 2, '-') || strncmp(text, "ff", 2) == 0)
        return false;
    if (!is_hex(text + 3, 32, '-') || is_zero(text + 3, 32))
        return false;
    if (!is_hex(text + 36, 16, '-') || is_zero(text + 36, 16) || !is_hex(text + 53, 2, 0))
        return false;
    return text[55] == '\0' || (text[55] == '-' && strncmp(text, "00", 2) != 0);
}

bool trace_continue(const char *traceparent, struct trace *trace)
{
    *trace = (struct trace){0};
    if (!is_traceparent(traceparent))
        return false;
    memcpy(trace->trace_id, traceparent + 3, 32);
    memcpy(trace->parent_id, traceparent + 36, 16);
    make_id(trace->span_id, 16);
    /* Of the flags only "sampled" is known to version 00; the others must be sent as 0. */
    bool sampled = strchr("13579bdf", traceparent[54]) != NULL;
    strcpy(trace->flags, sampled ? "01" : "00");
    return true;
}

void trace_start(struct trace *trace)
{
    *trace = (struct trace){.flags = "00"};
    make_id(trace->trace_id, 32);
    make_id(trace->span_id, 16);
}

void trace_format(const struct trace *trace, char traceparent[TRACEPARENT_SIZE])
{
    int length = snprintf(traceparent, TRACEPARENT_SIZE, "00-%s-%s-%s", trace->trace_id,
                          trace->span_id, trace->flags);
    CHECK(length == TRACEPARENT_SIZE - 1); /* it was started */
}
