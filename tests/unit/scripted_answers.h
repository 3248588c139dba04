/* The scripted core's good answers. */
#ifndef TRIGGERS_TESTS_SCRIPTED_ANSWERS_H
#define TRIGGERS_TESTS_SCRIPTED_ANSWERS_H

#include <stdio.h>
#include <stdlib.h>

#include "triggers/rpc/v1/envelope.pb-c.h"

/* cmocka's asserts work on the test's thread only. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Sets the response's body, which is malloc'd: creates and acknowledgements echo the ids, but the
 * second event of a batch fails; a batch of acknowledgements has one result; GetEvent of "size:N"
 * answers with a payload of N bytes; ListInbox has two events and the next page "more"; Health is
 * SERVING. */
void answer_well(const Triggers__Rpc__V1__Request *request, Triggers__Rpc__V1__Response *response);

#endif
