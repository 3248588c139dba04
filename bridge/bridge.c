/* Counters and the order of stopping. */
#include "bridge.h"

#include <time.h>

void bridge_init(struct bridge *bridge)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&bridge->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&bridge->idle_mutex, NULL);
    pthread_rwlock_init(&bridge->gate, NULL);
    idempotency_init(&bridge->keys);
    connections_init(&bridge->connections);
}

void bridge_fini(struct bridge *bridge)
{
    connections_fini(&bridge->connections);
    idempotency_fini(&bridge->keys);
    pthread_rwlock_destroy(&bridge->gate);
    pthread_mutex_destroy(&bridge->idle_mutex);
    pthread_cond_destroy(&bridge->idle);
}

bool bridge_take_memory(struct bridge *bridge, size_t bytes)
{
    long wanted = (long)bytes;
    if (atomic_fetch_add(&bridge->memory, wanted) + wanted <= bridge->settings.max_memory)
        return true;
    atomic_fetch_sub(&bridge->memory, wanted);
    return false;
}

void bridge_give_memory(struct bridge *bridge, size_t bytes)
{
    atomic_fetch_sub(&bridge->memory, (long)bytes);
}

void bridge_enter(atomic_long *counter)
{
    atomic_fetch_add(counter, 1);
}

void bridge_leave(struct bridge *bridge, atomic_long *counter)
{
    /* The last one out wakes bridge_drain, which sets `draining` before it looks at the counter. */
    if (atomic_fetch_sub(counter, 1) != 1 || !atomic_load(&bridge->draining))
        return;
    pthread_mutex_lock(&bridge->idle_mutex);
    pthread_cond_signal(&bridge->idle);
    pthread_mutex_unlock(&bridge->idle_mutex);
}

static struct timespec monotonic_deadline(int64_t timeout_ms)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    int64_t nanoseconds = deadline.tv_nsec + timeout_ms % 1000 * 1000000;
    deadline.tv_sec += timeout_ms / 1000 + nanoseconds / 1000000000;
    deadline.tv_nsec = nanoseconds % 1000000000;
    return deadline;
}

bool bridge_drain(struct bridge *bridge, atomic_long *counter, int64_t timeout_ms)
{
    struct timespec deadline = monotonic_deadline(timeout_ms);
    int expired = 0;
    atomic_store(&bridge->draining, true);
    pthread_mutex_lock(&bridge->idle_mutex);
    while (atomic_load(counter) > 0 && !expired)
        expired = pthread_cond_timedwait(&bridge->idle, &bridge->idle_mutex, &deadline);
    pthread_mutex_unlock(&bridge->idle_mutex);
    return atomic_load(counter) == 0;
}

void bridge_close_client(struct bridge *bridge)
{
    pthread_rwlock_wrlock(&bridge->gate);
    bridge->client_closed = true;
    pthread_rwlock_unlock(&bridge->gate);
    triggers_client_close(bridge->client);
    bridge->client = NULL;
}
