/* Checks of requests. Each function returns false after having answered the call, with
 * INVALID_ARGUMENT and the field at fault, or for want of memory. */
#ifndef TRIGGERS_SERVICE_REQUEST_CHECKS_H
#define TRIGGERS_SERVICE_REQUEST_CHECKS_H

#include "rpc/call.h"

/* Answers the call; always false. */
bool request_refuse(struct call *call, const char *reason, const char *field,
                    const char *description);

/* From `least` to `most`, both included. */
bool request_check_range(struct call *call, const char *reason, const char *field, uint32_t value,
                         uint32_t least, uint32_t most);

/* At most `most` characters; `text` is valid UTF-8. */
bool request_check_length(struct call *call, const char *reason, const char *field,
                          const char *text, size_t most);

/* The elements of a batch: 1 to 1000. */
bool request_check_count(struct call *call, const char *field, size_t count);

#endif
