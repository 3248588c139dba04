/* What a consumer has to do, and what it tells of calls that failed. */
#include "consumer_state.h"

#define DONE_MAX 1000 /* outcomes that wait to be sent; with more, nothing is pulled */

static size_t count_of(const struct triggers_consumer *consumer, enum work_state state)
{
    return workload_count(&consumer->load, state);
}

bool consumer_is_idle(const struct triggers_consumer *consumer)
{
    return count_of(consumer, WORK_WAITING) + count_of(consumer, WORK_RUNNING) +
               count_of(consumer, WORK_DONE) + count_of(consumer, WORK_SETTLING) ==
           0;
}

bool consumer_has_handled_all(const struct triggers_consumer *consumer)
{
    uint64_t max = consumer->options.max_events;
    return max > 0 && consumer->handled + count_of(consumer, WORK_WAITING) >= max;
}

size_t consumer_room(const struct triggers_consumer *consumer)
{
    size_t waiting = count_of(consumer, WORK_WAITING);
    size_t held = waiting + count_of(consumer, WORK_RUNNING) + count_of(consumer, WORK_KEPT);
    size_t most = consumer->options.concurrency + consumer->options.prefetch;
    size_t left = held < most ? most - held : 0;
    if (count_of(consumer, WORK_DONE) >= DONE_MAX || consumer_has_handled_all(consumer))
        left = 0;
    if (consumer->options.max_events > 0 && left > 0) {
        uint64_t wanted = consumer->options.max_events - consumer->handled - waiting;
        left = wanted < left ? (size_t)wanted : left;
    }
    return left < TRIGGERS_MAX_BATCH ? left : TRIGGERS_MAX_BATCH;
}

void consumer_tell_failed(struct triggers_consumer *consumer, const triggers_error *error,
                          const triggers_delivery *delivery)
{
    if (!consumer->options.failed)
        return;
    pthread_mutex_unlock(&consumer->tender.lock);
    consumer->options.failed(error, delivery, consumer->options.user_data);
    pthread_mutex_lock(&consumer->tender.lock);
}

/* Whether another request of this kind may have a better answer. */
static bool may_pass(triggers_code code)
{
    return triggers_code_is_retryable(code) || code == TRIGGERS_CANCELLED ||
           code == TRIGGERS_UNKNOWN || code == TRIGGERS_INTERNAL || code == TRIGGERS_DATA_LOSS;
}

void consumer_end_errand(struct triggers_consumer *consumer, struct errand *errand,
                         triggers_reply *reply, bool has_sense)
{
    if (reply->code == TRIGGERS_OK) {
        errand_succeed(errand, has_sense);
    } else if (!may_pass(reply->code) && !consumer->failure) {
        consumer->failure = reply;
        consumer->stopping = true;
        workload_lose_all(&consumer->load);
        return;
    } else if (errand_put_off(errand, &reply->error) && !consumer->stopping) {
        consumer_tell_failed(consumer, &reply->error, NULL);
    }
    triggers_reply_free(reply);
}
