/* The options that say how much may be done in a second, and how that is printed. */
#ifndef TRIGGERS_CLI_LIMIT_OPTIONS_H
#define TRIGGERS_CLI_LIMIT_OPTIONS_H

#include "cli.h"
#include "triggers/v1/access.pb-c.h"

extern long limit_calls, limit_events, limit_bytes; /* -1: not given */

#define LIMIT_MAX_COUNT 1000000000L
#define LIMIT_MAX_BYTES 1000000000000L

/* Rows of a command's table; `with` is the action that they go with. */
#define LIMIT_OPTIONS(with)                                                                        \
    {"calls-per-second",                                                                           \
     OPTION_NUMBER,                                                                                \
     &limit_calls,                                                                                 \
     "COUNT",                                                                                      \
     "With " with ": how many calls; 0: not limited, as is what is not given beside others",       \
     0,                                                                                            \
     LIMIT_MAX_COUNT},                                                                             \
        {"events-per-second",                                                                      \
         OPTION_NUMBER,                                                                            \
         &limit_events,                                                                            \
         "COUNT",                                                                                  \
         "With " with ": how many events may be created",                                          \
         0,                                                                                        \
         LIMIT_MAX_COUNT},                                                                         \
        {"bytes-per-second",                                                                       \
         OPTION_NUMBER,                                                                            \
         &limit_bytes,                                                                             \
         "BYTES",                                                                                  \
         "With " with ": how large their payloads may be together",                                \
         0,                                                                                        \
         LIMIT_MAX_BYTES},

/* What they ask for, in `limits`; NULL: none is given. */
Triggers__V1__Limits *limits_asked(Triggers__V1__Limits *limits);

/* A line for each that is limited; NULL is allowed. */
void limits_print(const Triggers__V1__Limits *limits);

#endif
