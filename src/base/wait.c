/* Conditions on CLOCK_MONOTONIC. */
#include "base/wait.h"

#include <errno.h>
#include <time.h>

#include "base/check.h"

void wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(condition, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_ms)
{
    CHECK(until_ms >= 0);
    int result;
    if (until_ms == INT64_MAX) {
        result = pthread_cond_wait(condition, lock);
    } else {
        struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
        result = pthread_cond_timedwait(condition, lock, &until);
    }
    CHECK(result == 0 || result == ETIMEDOUT);
    return result == 0;
}
