/* The options that say how much a tenant may have at once, and how that is printed. */
#ifndef TRIGGERS_CLI_CAP_OPTIONS_H
#define TRIGGERS_CLI_CAP_OPTIONS_H

#include "cli.h"
#include "triggers/v1/access.pb-c.h"

extern long cap_pending, cap_bytes, cap_subscriptions, cap_waiting, cap_outstanding; /* -1: none */

#define CAP_MAX_COUNT 1000000000L
#define CAP_MAX_BYTES 1000000000000000L

/* Rows of a command's table. */
#define CAP_OPTIONS                                                                                \
    {"max-pending",                                                                                \
     OPTION_NUMBER,                                                                                \
     &cap_pending,                                                                                 \
     "COUNT",                                                                                      \
     "With put: how many events may be pending; 0: no cap, as is what is not given beside others", \
     0,                                                                                            \
     CAP_MAX_COUNT},                                                                               \
        {"max-bytes",                                                                              \
         OPTION_NUMBER,                                                                            \
         &cap_bytes,                                                                               \
         "BYTES",                                                                                  \
         "With put: how large all events that are kept may be, each with 200 bytes more",          \
         0,                                                                                        \
         CAP_MAX_BYTES},                                                                           \
        {"max-subscriptions",                                                                      \
         OPTION_NUMBER,                                                                            \
         &cap_subscriptions,                                                                       \
         "COUNT",                                                                                  \
         "With put: how many subscriptions there may be",                                          \
         0,                                                                                        \
         CAP_MAX_COUNT},                                                                           \
        {"max-waiting",                                                                            \
         OPTION_NUMBER,                                                                            \
         &cap_waiting,                                                                             \
         "COUNT",                                                                                  \
         "With put: how many calls may wait for events",                                           \
         0,                                                                                        \
         CAP_MAX_COUNT},                                                                           \
        {"max-outstanding",                                                                        \
         OPTION_NUMBER,                                                                            \
         &cap_outstanding,                                                                         \
         "COUNT",                                                                                  \
         "With put: how many deliveries may be out, of all subscriptions",                         \
         0,                                                                                        \
         CAP_MAX_COUNT},

/* What they ask for, in `caps`; NULL: none is given. */
Triggers__V1__Caps *caps_asked(Triggers__V1__Caps *caps);

/* A line for each that is set, with how much there is when `usage` is not NULL. */
void caps_print(const Triggers__V1__Caps *caps, const Triggers__V1__Usage *usage);

#endif
