/* Trying a call again: a copy of its request, and how long to wait between tries. */
#ifndef TRIGGERS_CLIENT_RETRY_H
#define TRIGGERS_CLIENT_RETRY_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct retry {
    nng_msg *request; /* owned; NULL: the call is tried once */
    uint32_t most_ms; /* longest wait before the next try */
};

/* Keeps a copy of the request. False, with no copy, without memory. */
bool retry_init(struct retry *retry, const nng_msg *request) MUST_CHECK;
/* Of a zeroed one, too. */
void retry_fini(struct retry *retry);

/* A wait before the next try: drawn from the upper half of a span that doubles from try to try, and
 * no shorter than `delay_ms`, the core's advice. */
uint32_t retry_next_wait_ms(struct retry *retry, uint32_t delay_ms);

/* The request once more, with another timeout; the caller owns it. NULL without memory. */
nng_msg *retry_request(const struct retry *retry, uint32_t timeout_ms);

#endif
