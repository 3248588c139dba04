/* The consumers of a scenario's `work`: they share a client until enough handlers have ended. */
#ifndef TRIGGERS_CONFORMANCE_SHIFT_H
#define TRIGGERS_CONFORMANCE_SHIFT_H

#include "triggers.h"
#include "value.h"

struct shift;

/* Works as the request says, and returns when all is settled. The pullers are opened with `how`. */
struct shift *shift_work(triggers_client *client, const triggers_client_options *how,
                         const struct value *request);

/* Why it ended; OK when enough was handled. Lives as long as the shift. */
const triggers_error *shift_error(const struct shift *shift);

/* What the handlers had, in the order in which they began. */
struct value *shift_deliveries(struct arena *arena, const struct shift *shift);

void shift_free(struct shift *shift); /* NULL is allowed */

#endif
