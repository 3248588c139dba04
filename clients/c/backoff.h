/* Waits between tries: random, and longer with each try. */
#ifndef TRIGGERS_CLIENT_BACKOFF_H
#define TRIGGERS_CLIENT_BACKOFF_H

#include <stdint.h>

/* A wait drawn from the upper half of a span of `*span_ms`, which then doubles up to `most_ms`. */
uint32_t backoff_next_ms(uint32_t *span_ms, uint32_t most_ms);

#endif
