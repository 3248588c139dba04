/* One call of a scenario, made with libtriggers, and its outcome as the scenarios name things. */
#ifndef TRIGGERS_CONFORMANCE_CALLS_H
#define TRIGGERS_CONFORMANCE_CALLS_H

#include "triggers.h"
#include "value.h"

/* Makes `times` calls, at once from as many threads when `parallel`; returns the list of outcomes.
 * `request` is expanded. `how` is how the client was opened. */
const struct value *calls_make(struct arena *arena, triggers_client *client,
                               const triggers_client_options *how, const char *method,
                               const struct value *request, uint32_t timeout_ms, size_t times,
                               bool parallel);

#endif
