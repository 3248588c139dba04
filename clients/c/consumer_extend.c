/* Extending leases while their deliveries wait, run, or are to be settled. */
#include "base/clock.h"
#include "consumer_parts.h"
#include "triggers/v1/subscriptions.pb-c.h"

/* The leases that are due, and when the next one is. */
static void gather_extended(struct triggers_consumer *consumer, int64_t now_ms)
{
    struct work_batch *batch = &consumer->extended;
    struct workload *load = &consumer->load;
    batch->count = 0;
    load->extend_due_ms = INT64_MAX;
    for (int state = WORK_WAITING; state <= WORK_DONE; state++) {
        for (struct work *work = load->lists[state].first; work; work = work->next) {
            if (work->lost)
                continue;
            if (work->extend_at_ms <= now_ms && batch->count < TRIGGERS_MAX_BATCH) {
                batch->works[batch->count++] = work;
                work->extending = true;
            } else if (work->extend_at_ms < load->extend_due_ms) {
                load->extend_due_ms = work->extend_at_ms;
            }
        }
    }
}

void consumer_send_extend(struct triggers_consumer *consumer)
{
    struct work_batch *batch = &consumer->extended;
    char *ids[TRIGGERS_MAX_BATCH];
    Triggers__V1__ExtendRequest request = TRIGGERS__V1__EXTEND_REQUEST__INIT;
    gather_extended(consumer, clock_monotonic_ms());
    if (batch->count == 0) {
        consumer->tender.stirred = true; /* it is due later */
        return;
    }
    for (size_t i = 0; i < batch->count; i++)
        ids[i] = (char *)batch->works[i]->delivery.ack_id;
    request.name = consumer->subscription;
    request.ack_ids = ids;
    request.n_ack_ids = batch->count;
    request.lease_seconds = consumer->load.lease_s;
    errand_send(&consumer->extend, SUBSCRIPTION_SERVICE "Extend", &request.base);
}

static bool is_lost(const Triggers__V1__SettleResult *result)
{
    return result && result->error &&
           (result->error->code == TRIGGERS__RPC__V1__CODE__ABORTED ||
            result->error->code == TRIGGERS__RPC__V1__CODE__FAILED_PRECONDITION);
}

/* `result` is NULL when the call failed. */
static void read_extended(struct triggers_consumer *consumer, struct work *work,
                          const Triggers__V1__SettleResult *result)
{
    struct workload *load = &consumer->load;
    work->extending = false;
    if (work->lost || is_lost(result)) {
        work_lose(load, work); /* one that was lost before could not be freed until now */
    } else if (!result) {
        load->extend_due_ms = 0; /* it stays due */
    } else if (!result->error) {
        work_set_lease(load, work, consumer->extend.sent_ms);
    } else {
        work->extend_at_ms = INT64_MAX; /* it has had all that a lease may last */
    }
}

void consumer_read_extend(struct triggers_consumer *consumer)
{
    struct work_batch *batch = &consumer->extended;
    triggers_reply *reply = errand_take_reply(&consumer->extend);
    if (!reply)
        return;
    const Triggers__V1__ExtendResponse *response =
        (const Triggers__V1__ExtendResponse *)reply->message;
    bool has_sense = reply->code == TRIGGERS_OK && response->n_results == batch->count;
    for (size_t i = 0; i < batch->count; i++)
        read_extended(consumer, batch->works[i], has_sense ? response->results[i] : NULL);
    consumer_end_errand(consumer, &consumer->extend, reply, has_sense);
}
