/* Waiting on conditions until a moment of the clock that never steps. Every condition of ours that
 * is waited on with a limit in time is initialised here. */
#ifndef TRIGGERS_BASE_WAIT_H
#define TRIGGERS_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Does not fail; pthread_cond_destroy ends it. */
void wait_init(pthread_cond_t *condition);

/* Waits until the condition is signalled or clock_monotonic_ms is `until_ms`, with INT64_MAX for
 * ever. Called with the lock held, which it holds again when it returns. False when the time has
 * passed. As with any condition it may return early: look again at what is waited for. */
bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_ms);

#endif
