/* The parameters of the lists of events: the inbox, the log, and the log as a stream. */
#ifndef TRIGGERS_BRIDGE_QUERY_H
#define TRIGGERS_BRIDGE_QUERY_H

#include "request.h"

enum query_kind { QUERY_INBOX = 1, QUERY_LOG = 2, QUERY_STREAM = 4 };

/* What was asked for. Texts are in the request's arena. */
struct query {
    triggers_filter filter;
    int32_t limit; /* 0: not stated */
    /* The inbox. */
    triggers_status status;
    bool no_events; /* in the old service's way: a status that no event has */
    bool oldest_first;
    const char *cursor; /* NULL: not stated */
    /* The log. */
    int64_t after;
    bool has_after;
    bool latest; /* the end of the log in place of `after` */
    int64_t wait_s;
};

/* Reads the parameters that a list of this kind has. Others are ignored; of repeated ones the last
 * counts, except that sources and event types add up. False after having answered. On the
 * connection's thread. */
bool query_read(struct request *request, enum query_kind kind, struct query *query);

/* Reads a position in the log: a whole number that an int64_t holds. */
bool query_read_position(const char *text, int64_t *after);

/* Answers that one parameter or header is wrong. */
void query_refuse(struct request *request, const char *name, const char *accepted);

/* What a position is, for those that are none. */
#define QUERY_POSITION "must be a sequence: a whole number from 0 to 9223372036854775807"

#endif
