/* Getting events. A pull whose answer was lost is sent with its id again, and gets the same events,
 * as long as their leases are worth something. */
#include "base/clock.h"
#include "consumer_parts.h"
#include "triggers/v1/subscriptions.pb-c.h"

static void ask_lease(struct triggers_consumer *consumer)
{
    Triggers__V1__GetSubscriptionRequest request = TRIGGERS__V1__GET_SUBSCRIPTION_REQUEST__INIT;
    request.name = consumer->subscription;
    errand_send(&consumer->pull, SUBSCRIPTION_SERVICE "GetSubscription", &request.base);
}

static void read_lease(struct triggers_consumer *consumer, triggers_reply *reply)
{
    const Triggers__V1__GetSubscriptionResponse *response =
        (const Triggers__V1__GetSubscriptionResponse *)reply->message;
    if (reply->code == TRIGGERS_OK && response->subscription)
        consumer->load.lease_s = response->subscription->lease_seconds;
    consumer_end_errand(consumer, &consumer->pull, reply, consumer->load.lease_s > 0);
}

void consumer_send_pull(struct triggers_consumer *consumer)
{
    uint32_t lease_s = consumer->load.lease_s;
    int64_t now_ms = clock_monotonic_ms();
    if (lease_s == 0) {
        ask_lease(consumer);
        return;
    }
    if (!consumer->pull_id[0] || now_ms - consumer->pull_since_ms >= (int64_t)lease_s * 500) {
        triggers_make_event_id(consumer->pull_id);
        consumer->pull_since_ms = now_ms;
    }
    Triggers__V1__PullRequest request = TRIGGERS__V1__PULL_REQUEST__INIT;
    request.name = consumer->subscription;
    request.max_events = (uint32_t)consumer_room(consumer);
    request.lease_seconds = lease_s;
    request.wait_ms = consumer->options.no_wait ? 0 : TRIGGERS_MAX_WAIT_MS;
    request.pull_id = consumer->pull_id;
    errand_send(&consumer->pull, SUBSCRIPTION_SERVICE "Pull", &request.base);
}

/* Takes the reply. */
static void read_deliveries(struct triggers_consumer *consumer, triggers_reply *reply)
{
    struct errand *pull = &consumer->pull;
    const Triggers__V1__PullResponse *response = (const Triggers__V1__PullResponse *)reply->message;
    bool empty = response->n_deliveries == 0;
    errand_succeed(pull, true);
    consumer->pull_id[0] = '\0';
    if (empty && consumer->options.no_wait && consumer_is_idle(consumer))
        consumer->stopping = true;
    else if (empty && clock_monotonic_ms() - pull->sent_ms < SOON_MS)
        errand_rest(pull);
    workload_hold(&consumer->load, reply, consumer->pull_since_ms);
    pthread_cond_broadcast(&consumer->begun);
}

void consumer_read_pull(struct triggers_consumer *consumer)
{
    triggers_reply *reply = errand_take_reply(&consumer->pull);
    if (!reply)
        return;
    if (consumer->load.lease_s == 0)
        read_lease(consumer, reply);
    else if (reply->code == TRIGGERS_OK)
        read_deliveries(consumer, reply);
    else
        consumer_end_errand(consumer, &consumer->pull, reply, true);
}
