/* A subscription among those who wait for events (events/waiters.h). */
#include "base/check.h"
#include "subscriptions/subscription.h"

static struct subscription *waiter_owner(struct log_waiter *waiter)
{
    return (struct subscription *)((char *)waiter - offsetof(struct subscription, waiter));
}

static bool begin_to_wait(struct log_waiter *waiter)
{
    (void)waiter;
    return true;
}

/* It is touched until it has looked. */
static bool begin_to_look(struct log_waiter *waiter)
{
    atomic_fetch_add(&waiter_owner(waiter)->users, 1);
    return true;
}

static void look_again(struct log_waiter *waiter)
{
    struct subscription *subscription = waiter_owner(waiter);
    pthread_mutex_lock(&subscription->lock);
    subscription->look = subscription->woken = true;
    pthread_mutex_unlock(&subscription->lock);
    subscription->all->go_on(subscription);
    atomic_fetch_sub(&subscription->users, 1);
}

void subscription_take_waiter(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    if (subscription->woken)
        subscription->waiter_state = WAITER_READS;
    subscription->woken = false;
    pthread_mutex_unlock(&subscription->lock);
}

static const struct log_waiter_calls WAITER_CALLS = {begin_to_wait, begin_to_look, look_again};

void subscription_leave(struct subscription *subscription)
{
    if (subscription->waiter_state != WAITER_OUTSIDE)
        waiters_leave(subscription->all->waiters, &subscription->waiter);
    subscription->waiter_state = WAITER_OUTSIDE;
    pthread_mutex_lock(&subscription->lock);
    subscription->look = true;
    subscription->woken = false;
    pthread_mutex_unlock(&subscription->lock);
}

bool subscription_join(struct subscription *subscription, int64_t after)
{
    subscription_take_waiter(subscription);
    if (subscription->waiter_state == WAITER_READS)
        return true;
    CHECK(subscription->waiter_state == WAITER_OUTSIDE);
    subscription->waiter = (struct log_waiter){.calls = &WAITER_CALLS,
                                               .scope = subscription->scope,
                                               .filter = &subscription->settings.filter,
                                               .after = after};
    if (!waiters_join(subscription->all->waiters, &subscription->waiter))
        return false;
    subscription->waiter_state = WAITER_READS;
    return true;
}

void subscription_wait(struct subscription *subscription, int64_t read_to)
{
    pthread_mutex_lock(&subscription->lock);
    subscription->look = false;
    pthread_mutex_unlock(&subscription->lock);
    subscription->waiter_state = WAITER_PARKED;
    if (waiters_park(subscription->all->waiters, &subscription->waiter, read_to) ==
        LOG_WAITER_WAITS)
        return;
    subscription->waiter_state = WAITER_READS;
    pthread_mutex_lock(&subscription->lock);
    subscription->look = true;
    pthread_mutex_unlock(&subscription->lock);
}
