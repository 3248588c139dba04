/* Waiting on conditions until a time of the monotonic clock. Every condition of ours that is waited
 * on with a time limit is initialised here. */
#ifndef TRIGGERS_BASE_WAIT_H
#define TRIGGERS_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Does not fail; pthread_cond_destroy ends it. */
void wait_init(pthread_cond_t *condition);

/* Waits until the condition is signalled or clock_monotonic_ms is `until_ms`; INT64_MAX: without
 * limit. Called with the lock held, and it is held again on return. False when the time has passed.
 * As with any condition it may return early: check again what is waited for. */
bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_ms);

#endif
