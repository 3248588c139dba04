/* Errors of the protocol as errors of the public header. */
#ifndef TRIGGERS_CLIENT_REPLY_ERROR_H
#define TRIGGERS_CLIENT_REPLY_ERROR_H

#include "base/arena.h"
#include "triggers.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

/* No error: OK and empty texts. */
#define REPLY_NO_ERROR                                                                             \
    (triggers_error)                                                                               \
    {                                                                                              \
        .code = TRIGGERS_OK, .reason = "", .message = ""                                           \
    }

/* Fills `error` from the parts that envelopes and batch items have in common; `details` may be
 * NULL. The texts are borrowed, the list of violations is put into the arena. False without
 * memory. */
bool reply_error_read(struct arena *arena, Triggers__Rpc__V1__Code code, const char *message,
                      const Triggers__Rpc__V1__ErrorDetails *details, triggers_error *error);

#endif
