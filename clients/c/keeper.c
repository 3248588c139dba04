/* One thread that sleeps until it is asked for. */
#include "keeper.h"

#include <signal.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"

/* Clears the time before it serves: a request that comes meanwhile may be too late for this round,
 * and is kept for the next. */
static void *keep(void *data)
{
    struct keeper *keeper = data;
    pthread_mutex_lock(&keeper->mutex);
    while (!keeper->stopping) {
        if (keeper->wake_ms > clock_monotonic_ms()) {
            wait_until(&keeper->work, &keeper->mutex, keeper->wake_ms);
            continue;
        }
        keeper->wake_ms = INT64_MAX;
        pthread_mutex_unlock(&keeper->mutex);
        keeper->serve(keeper->owner);
        pthread_mutex_lock(&keeper->mutex);
    }
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

static void keeper_fini(struct keeper *keeper)
{
    pthread_cond_destroy(&keeper->work);
    pthread_mutex_destroy(&keeper->mutex);
}

/* Signals are for the program's own threads. */
bool keeper_start(struct keeper *keeper, void (*serve)(void *owner), void *owner)
{
    CHECK(serve && !keeper->serve);
    sigset_t all, before;
    keeper->serve = serve;
    keeper->owner = owner;
    keeper->wake_ms = INT64_MAX;
    pthread_mutex_init(&keeper->mutex, NULL);
    wait_init(&keeper->work);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&keeper->thread, NULL, keep, keeper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started)
        keeper_fini(keeper);
    return started;
}

void keeper_stop(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->mutex);
    CHECK(!keeper->stopping);
    keeper->stopping = true;
    pthread_cond_signal(&keeper->work);
    pthread_mutex_unlock(&keeper->mutex);
    pthread_join(keeper->thread, NULL);
    keeper_fini(keeper);
}

/* Nearly always it will serve earlier anyway, and no lock is taken. */
void keeper_look_at(struct keeper *keeper, int64_t when_ms)
{
    if (when_ms >= keeper->wake_ms)
        return;
    pthread_mutex_lock(&keeper->mutex);
    if (when_ms < keeper->wake_ms)
        keeper->wake_ms = when_ms;
    pthread_cond_signal(&keeper->work);
    pthread_mutex_unlock(&keeper->mutex);
}
