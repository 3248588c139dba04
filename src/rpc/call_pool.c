/* As many unused objects as may run keep the first block of their arena for their next call. */
#include "rpc/call_pool.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"

bool call_pool_open(struct call_pool *pool, const struct call_pool_config *config)
{
    CHECK(config->object_size >= sizeof(struct call) && config->max_running > 0);
    *pool = (struct call_pool){.config = *config};
    pool->last_waiting = &pool->first_waiting;
    pool->objects = calloc(config->max_running + config->max_parked, config->object_size);
    pthread_mutex_init(&pool->lock, NULL);
    wait_init(&pool->idle);
    return pool->objects != NULL;
}

static struct call *object(const struct call_pool *pool, size_t number)
{
    return (struct call *)(pool->objects + number * pool->config.object_size);
}

void call_pool_close(struct call_pool *pool)
{
    CHECK(pool->running == 0 && pool->parked == 0 && !pool->first_waiting);
    for (size_t i = 0; i < pool->used; i++)
        call_fini(object(pool, i));
    free(pool->objects);
    pthread_cond_destroy(&pool->idle);
    pthread_mutex_destroy(&pool->lock);
}

/* ---- running ---- */

/* One that was never taken. Called with the lock held. */
static struct call *make_object(struct call_pool *pool)
{
    CHECK(pool->used < pool->config.max_running + pool->config.max_parked);
    struct call *call = object(pool, pool->used);
    call_init(call, pool->config.transport);
    call->pool = pool;
    atomic_fetch_add(&pool->used, 1); /* last: from here on it is watched */
    return call;
}

struct call *call_pool_take(struct call_pool *pool, struct call_source *source)
{
    pthread_mutex_lock(&pool->lock);
    bool full = pool->first_waiting || pool->running >= pool->config.max_running;
    if (full && !source->granted) {
        source->next = NULL;
        *pool->last_waiting = source;
        pool->last_waiting = &source->next;
        pthread_mutex_unlock(&pool->lock);
        return NULL;
    }
    pool->running += !source->granted;
    source->granted = false;
    struct call *call = pool->unused;
    if (call) {
        CHECK(pool->unused_count > 0);
        pool->unused = call->next;
        pool->unused_count--;
    } else {
        call = make_object(pool);
    }
    call->source = source;
    pthread_mutex_unlock(&pool->lock);
    return call;
}

/* Gives up so many places, and returns the source that has waited longest, when there is a place
 * for it, which it has then. Called with the lock held. */
static struct call_source *pass_places(struct call_pool *pool, size_t given_up)
{
    CHECK(pool->running >= given_up);
    pool->running -= given_up;
    if (pool->running == 0 && pool->parked == 0)
        pthread_cond_broadcast(&pool->idle);
    struct call_source *source = pool->first_waiting;
    if (!source || pool->running >= pool->config.max_running)
        return NULL;
    CHECK(!source->granted);
    pool->first_waiting = source->next;
    if (!pool->first_waiting)
        pool->last_waiting = &pool->first_waiting;
    source->granted = true;
    pool->running++;
    return source;
}

void call_pool_put(struct call_pool *pool, struct call *call)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->unused_count + pool->running > pool->config.max_running)
        arena_fini(&call->arena);
    call->next = pool->unused;
    pool->unused = call;
    pool->unused_count++;
    struct call_source *source = pass_places(pool, 1);
    pthread_mutex_unlock(&pool->lock);
    if (source)
        pool->config.resume(source);
}

void call_pool_leave(struct call_pool *pool, struct call_source *source)
{
    struct call_source *next = NULL;
    pthread_mutex_lock(&pool->lock);
    source->closed = true;
    if (source->granted) {
        source->granted = false;
        next = pass_places(pool, 1);
    }
    pthread_mutex_unlock(&pool->lock);
    if (next)
        pool->config.resume(next);
}

/* ---- parked ---- */

/* Whether the call may wait, which is charged then. Called with the lock held. */
static bool may_park(struct call_pool *pool, struct call *call)
{
    return !pool->stopping && !call->source->closed && pool->parked < pool->config.max_parked &&
           (!call->arena.charge || charge_add(call->arena.charge, CALL_BYTES));
}

static void uncharge_parked(struct call *call)
{
    if (call->arena.charge)
        charge_release(call->arena.charge, CALL_BYTES);
}

bool call_park(struct call *call, struct call_waiter *waiter, int64_t until_ms)
{
    struct call_pool *pool = call->pool;
    int64_t deadline_ms = atomic_load(&call->deadline_ms);
    waiter->call = call;
    call->waiter = waiter;
    atomic_store(&call->parked_until_ms, until_ms < deadline_ms ? until_ms : deadline_ms);
    pthread_mutex_lock(&pool->lock);
    bool allowed = may_park(pool, call);
    bool parked = allowed && call_change(call, atomic_load(&call->life), CALL_RUNNING, CALL_PARKED);
    if (parked) {
        CHECK(pool->running > 0);
        pool->parked++;
        pool->running--; /* for call_pool_watch to pass on: here nobody may be resumed */
    } else if (allowed) {
        uncharge_parked(call);
    }
    pthread_mutex_unlock(&pool->lock);
    return parked;
}

/* Called with the lock held. False when another has woken it. */
static bool unpark(struct call_pool *pool, struct call *call)
{
    if (!call_change(call, atomic_load(&call->life), CALL_PARKED, CALL_RUNNING))
        return false;
    CHECK(pool->parked > 0);
    pool->running++; /* even if there is no place: it will be answered soon */
    pool->parked--;
    uncharge_parked(call);
    return true;
}

bool call_unpark(struct call *call)
{
    struct call_pool *pool = call->pool;
    pthread_mutex_lock(&pool->lock);
    bool unparked = unpark(pool, call);
    pthread_mutex_unlock(&pool->lock);
    return unparked;
}

/* Why a parked call is to be woken now; CALL_WAITS: it is not. Called with the lock held. */
static enum call_wake why_wake(const struct call_pool *pool, const struct call *call,
                               int64_t now_ms)
{
    if (pool->stopping)
        return CALL_STOPPING;
    if (call->source->closed)
        return CALL_GONE;
    return atomic_load(&call->parked_until_ms) <= now_ms ? CALL_DUE : CALL_WAITS;
}

static void wake_parked(struct call_pool *pool, int64_t now_ms)
{
    struct call *woken = NULL;
    pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; pool->parked > 0 && i < pool->used; i++) {
        struct call *call = object(pool, i);
        if (call_state_of(call) != CALL_PARKED)
            continue;
        call->why = why_wake(pool, call, now_ms);
        if (call->why == CALL_WAITS || !unpark(pool, call))
            continue;
        call->next = woken;
        woken = call;
    }
    pthread_mutex_unlock(&pool->lock);
    while (woken) {
        struct call *call = woken;
        woken = call->next;
        call->waiter->woken(call->waiter, call->why);
    }
}

/* ---- all of them ---- */

bool call_pool_is_busy(const struct call_pool *pool)
{
    return pool->running > 0 || pool->parked > 0;
}

void call_pool_watch(struct call_pool *pool, int64_t now_ms)
{
    struct call_source *source;
    do {
        pthread_mutex_lock(&pool->lock);
        source = pass_places(pool, 0);
        pthread_mutex_unlock(&pool->lock);
        if (source)
            pool->config.resume(source);
    } while (source);
    if (pool->parked > 0)
        wake_parked(pool, now_ms);
    for (size_t i = 0; i < pool->used; i++)
        call_expire(object(pool, i), now_ms);
}

bool call_pool_drain(struct call_pool *pool, int64_t timeout_ms)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    bool in_time = true;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    while (call_pool_is_busy(pool) && in_time)
        in_time = wait_until(&pool->idle, &pool->lock, until_ms);
    bool idle = !call_pool_is_busy(pool);
    pthread_mutex_unlock(&pool->lock);
    return idle;
}
