/* Counters and the order of stopping. */
#include "bridge.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"

/* A moment of overload is no reason to take a bridge out of service: its load would go to others.
 */
#define OVERLOADED_AFTER 3

#define STARTING_MS 1000

void bridge_init(struct bridge *bridge)
{
    wait_init(&bridge->idle);
    pthread_mutex_init(&bridge->idle_mutex, NULL);
    idempotency_init(&bridge->keys);
    memory_init(&bridge->memory, (size_t)bridge->settings.max_memory, &bridge->connections);
    connections_init(&bridge->connections, &bridge->memory.budget);
    connections_init(&bridge->monitoring, &bridge->memory.budget);
    bridge->connections.patience_ms = bridge->settings.request_timeout;
    bridge->monitoring.patience_ms = bridge->settings.request_timeout;
    if (bridge->settings.tls_cert)
        bridge->connections.cost += TLS_COST;
}

void bridge_fini(struct bridge *bridge)
{
    CHECK(bridge->calls == 0 && bridge->waiting == 0 && bridge->requests == 0 &&
          bridge->answering == 0);
    connections_fini(&bridge->monitoring);
    connections_fini(&bridge->connections);
    memory_fini(&bridge->memory);
    idempotency_fini(&bridge->keys);
    pthread_mutex_destroy(&bridge->idle_mutex);
    pthread_cond_destroy(&bridge->idle);
}

void bridge_enter(atomic_long *counter)
{
    CHECK(atomic_fetch_add(counter, 1) >= 0);
}

void bridge_leave(struct bridge *bridge, atomic_long *counter)
{
    /* The last one to leave wakes bridge_drain, which sets `draining` before it reads the counter.
     */
    long before = atomic_fetch_sub(counter, 1);
    CHECK(before > 0);
    if (before > 1 || !atomic_load(&bridge->draining))
        return;
    pthread_mutex_lock(&bridge->idle_mutex);
    pthread_cond_signal(&bridge->idle);
    pthread_mutex_unlock(&bridge->idle_mutex);
}

static bool is_full(struct bridge *bridge)
{
    return atomic_load(&bridge->calls) >= bridge->settings.max_calls ||
           memory_is_full(&bridge->memory);
}

void bridge_check(struct bridge *bridge)
{
    connections_check(&bridge->connections);
    connections_check(&bridge->monitoring);
    memory_check(&bridge->memory);
    atomic_store(&bridge->full_for, is_full(bridge) ? atomic_load(&bridge->full_for) + 1 : 0);
}

bool bridge_is_overloaded(struct bridge *bridge)
{
    return atomic_load(&bridge->full_for) >= OVERLOADED_AFTER && is_full(bridge);
}

bool bridge_drain(struct bridge *bridge, atomic_long *counter, int64_t timeout_ms)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    bool in_time = true;
    atomic_store(&bridge->draining, true);
    pthread_mutex_lock(&bridge->idle_mutex);
    while (atomic_load(counter) > 0 && in_time)
        in_time = wait_until(&bridge->idle, &bridge->idle_mutex, until_ms);
    pthread_mutex_unlock(&bridge->idle_mutex);
    return atomic_load(counter) == 0;
}

void bridge_close_client(struct bridge *bridge)
{
    CHECK(!atomic_exchange(&bridge->client_closed, true));
    while (!bridge_drain(bridge, &bridge->starting, STARTING_MS))
        continue; /* this is short: starting a call does not block */
    triggers_client_close(bridge->client);
    bridge->client = NULL;
}
