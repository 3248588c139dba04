/* W3C Trace Context: the ids by which the hops of one request find each other in logs. */
#ifndef TRIGGERS_BASE_TRACE_H
#define TRIGGERS_BASE_TRACE_H

#include <stdbool.h>

#define TRACEPARENT_SIZE 56 /* bytes with the NUL */

/* Lower-case hexadecimal digits. */
struct trace {
    char trace_id[33];
    char parent_id[17]; /* the span of the previous hop; "" when there was none */
    char span_id[17];   /* this hop's own */
    char flags[3];
};

/* Continues the trace of a traceparent with a new span. False, with all ids "", when the text is
 * not a traceparent (section 3.2): such a trace must not be continued. */
bool trace_continue(const char *traceparent, struct trace *trace);

/* Starts a trace, not marked as recorded by anyone. */
void trace_start(struct trace *trace);

/* The traceparent for the next hop. */
void trace_format(const struct trace *trace, char traceparent[TRACEPARENT_SIZE]);

#endif
