/* The options that say which events are listed. */
#ifndef TRIGGERS_CLI_FILTER_OPTIONS_H
#define TRIGGERS_CLI_FILTER_OPTIONS_H

#include "cli.h"

extern struct word_list filter_sources;
extern struct word_list filter_event_types;
extern int64_t filter_since_us; /* 0: not given */
extern int64_t filter_until_us;

/* Rows of a command's table. */
#define FILTER_OPTIONS                                                                             \
    {"source", OPTION_LIST, &filter_sources, "SOURCE",                                             \
     "Only of this source, or with * at its end of those that begin so; may be repeated"},         \
        {"event-type", OPTION_LIST, &filter_event_types, "TYPE",                                   \
         "Only of this type, in the same way"},                                                    \
        {"since", OPTION_TIME, &filter_since_us, "TIME",                                           \
         "Only those stored at or after a time, such as 2h (ago) or 2026-01-31T12:00:00Z"},        \
        {"until", OPTION_TIME, &filter_until_us, "TIME", "Only those stored before a time"},

/* What these options ask for. */
triggers_filter filter_asked(void);

#endif
