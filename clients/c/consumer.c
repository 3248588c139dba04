/* Working on a subscription's events: the tender's loop, opening and closing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "base/wait.h"
#include "consumer_parts.h"

#define PREFETCH_MAX 1000
#define SETTLE_LAST_MS 10000 /* after the last handler of a consumer that stops */

/* ---- the tender ---- */

static void release_list(struct triggers_consumer *consumer, enum work_state state)
{
    struct work *work;
    while ((work = consumer->load.lists[state].first)) {
        work->outcome.kind = TRIGGERS_OUTCOME_RELEASE;
        work_move(&consumer->load, work, WORK_DONE);
    }
}

/* A pull that the core holds would get what is released. The end of its connection ends it; one
 * that was just sent is likely to bring something, and is waited for. Called with the lock held,
 * which it releases meanwhile. */
static void close_puller(struct triggers_consumer *consumer, int64_t now_ms)
{
    triggers_client *puller = consumer->pull.client;
    if (!puller || (consumer->pull.out && now_ms < consumer->pull.sent_ms + SOON_MS))
        return;
    pthread_mutex_unlock(&consumer->tender.lock);
    triggers_client_close(puller); /* its callback has run then */
    pthread_mutex_lock(&consumer->tender.lock);
    consumer->pull.client = NULL;
    consumer->tender.stirred = true;
}

/* What a consumer that stops does besides: what was not begun, or kept, goes back, for so long as
 * there is hope. */
static void wind_up(struct triggers_consumer *consumer, int64_t now_ms)
{
    close_puller(consumer, now_ms);
    if (consumer->pull.client)
        return;
    release_list(consumer, WORK_WAITING);
    release_list(consumer, WORK_KEPT);
    if (workload_count(&consumer->load, WORK_RUNNING) > 0)
        return;
    if (consumer->give_up_ms == 0)
        consumer->give_up_ms = now_ms + SETTLE_LAST_MS;
    if (now_ms >= consumer->give_up_ms) {
        workload_lose_all(&consumer->load);
        triggers_cancel(consumer->settle.client, &consumer->settle);
        triggers_cancel(consumer->settle.client, &consumer->extend);
    }
}

static bool is_over(const struct triggers_consumer *consumer)
{
    return consumer->stopping && consumer_is_idle(consumer) &&
           workload_count(&consumer->load, WORK_KEPT) == 0 && !consumer->pull.client &&
           !consumer->pull.out && !consumer->settle.out && !consumer->extend.out;
}

/* Makes the calls that are due. Returns when to look again, unless there is news. */
static int64_t make_calls(struct triggers_consumer *consumer, int64_t now_ms)
{
    int64_t wake_ms = consumer->give_up_ms > now_ms ? consumer->give_up_ms : INT64_MAX;
    if (consumer->stopping && consumer->pull.client)
        wake_ms = consumer->pull.sent_ms + SOON_MS;
    if (!consumer->stopping && consumer_room(consumer) > 0 &&
        errand_is_due(&consumer->pull, 0, now_ms, &wake_ms))
        consumer_send_pull(consumer);
    if (errand_is_due(&consumer->extend, consumer->load.extend_due_ms, now_ms, &wake_ms))
        consumer_send_extend(consumer);
    if (workload_count(&consumer->load, WORK_DONE) > 0 &&
        errand_is_due(&consumer->settle, 0, now_ms, &wake_ms))
        consumer_send_settle(consumer);
    return wake_ms;
}

/* Nothing more to handle: max_events were, or, with no_wait, what is kept has filled the room. */
static bool is_finished(const struct triggers_consumer *consumer)
{
    bool full = consumer->options.no_wait && workload_count(&consumer->load, WORK_KEPT) > 0 &&
                consumer_room(consumer) == 0;
    return consumer_is_idle(consumer) && (consumer_has_handled_all(consumer) || full);
}

static void read_replies(struct triggers_consumer *consumer)
{
    consumer_read_pull(consumer);
    consumer_read_settle(consumer);
    consumer_read_extend(consumer);
    consumer_tell_lost(consumer);
    if (is_finished(consumer))
        consumer->stopping = true;
    if (consumer->options.no_wait && consumer_is_idle(consumer) && !consumer->pull.told)
        consumer->pull.not_before_ms = 0; /* it looks for the last time */
}

static void *run_tender(void *data)
{
    struct triggers_consumer *consumer = data;
    pthread_mutex_lock(&consumer->tender.lock);
    for (;;) {
        consumer->tender.stirred = false;
        read_replies(consumer);
        int64_t now_ms = clock_monotonic_ms();
        if (consumer->stopping)
            wind_up(consumer, now_ms);
        if (is_over(consumer))
            break;
        int64_t wake_ms = make_calls(consumer, now_ms);
        if (!consumer->tender.stirred)
            wait_until(&consumer->tender.news, &consumer->tender.lock, wake_ms);
    }
    consumer->over = true;
    pthread_cond_broadcast(&consumer->begun);
    pthread_cond_broadcast(&consumer->end);
    pthread_mutex_unlock(&consumer->tender.lock);
    if (consumer->options.ended)
        consumer->options.ended(consumer->options.user_data);
    return NULL;
}

/* ---- opening and closing ---- */

static bool check_consumer(const triggers_client *client, const triggers_client *puller,
                           const triggers_consumer_options *options, struct status *status)
{
    if (!client || !puller || client == puller)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "CLIENT_MISSING",
                           "a consumer needs two clients; open them with triggers_client_open");
    if (!options || !options->subscription || !options->handle)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "CONSUMER_INVALID",
                           "a consumer needs a subscription and a handler");
    if (options->concurrency > TRIGGERS_MAX_CONCURRENCY)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "CONCURRENCY_INVALID",
                           "the concurrency is %u; accepted is up to %d", options->concurrency,
                           TRIGGERS_MAX_CONCURRENCY);
    return options->prefetch <= PREFETCH_MAX ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "PREFETCH_INVALID",
                       "the prefetch is %u; accepted is up to %d", options->prefetch, PREFETCH_MAX);
}

static void consumer_free(struct triggers_consumer *consumer)
{
    triggers_reply_free(consumer->failure);
    pthread_cond_destroy(&consumer->begun);
    pthread_cond_destroy(&consumer->end);
    tender_fini(&consumer->tender);
    free(consumer->handlers);
    free(consumer->subscription);
    free(consumer);
}

/* One that does not work yet; NULL without memory. */
static struct triggers_consumer *consumer_new(triggers_client *client, triggers_client *puller,
                                              const triggers_consumer_options *options)
{
    struct triggers_consumer *consumer = calloc(1, sizeof(*consumer));
    if (!consumer)
        return NULL;
    tender_init(&consumer->tender);
    errand_init(&consumer->pull, &consumer->tender, puller);
    errand_init(&consumer->settle, &consumer->tender, client);
    errand_init(&consumer->extend, &consumer->tender, client);
    pthread_cond_init(&consumer->begun, NULL);
    pthread_cond_init(&consumer->end, NULL);
    consumer->options = *options;
    if (consumer->options.concurrency == 0)
        consumer->options.concurrency = 1;
    consumer->load.lease_s = options->lease_seconds;
    consumer->load.extend_due_ms = INT64_MAX;
    consumer->subscription = strdup(options->subscription);
    consumer->handlers = calloc(consumer->options.concurrency, sizeof(*consumer->handlers));
    if (consumer->subscription && consumer->handlers)
        return consumer;
    consumer_free(consumer);
    return NULL;
}

static bool consumer_start(struct triggers_consumer *consumer)
{
    if (consumer_start_handlers(consumer) &&
        pthread_create(&consumer->tender_thread, NULL, run_tender, consumer) == 0)
        return true;
    pthread_mutex_lock(&consumer->tender.lock);
    consumer->over = true;
    pthread_cond_broadcast(&consumer->begun);
    pthread_mutex_unlock(&consumer->tender.lock);
    consumer_join_handlers(consumer);
    return false;
}

static struct triggers_consumer *consumer_open(triggers_client *client, triggers_client *puller,
                                               const triggers_consumer_options *options,
                                               struct status *status)
{
    if (!check_consumer(client, puller, options, status))
        return NULL;
    struct triggers_consumer *consumer = consumer_new(client, puller, options);
    if (consumer && consumer_start(consumer))
        return consumer;
    if (consumer)
        consumer_free(consumer);
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory or threads");
    return NULL;
}

triggers_code triggers_consumer_open(triggers_consumer **consumer, triggers_client *client,
                                     triggers_client *puller,
                                     const triggers_consumer_options *options, char *error,
                                     size_t error_size)
{
    struct status status = STATUS_INIT;
    *consumer = consumer_open(client, puller, options, &status);
    if (!*consumer && puller != client)
        triggers_client_close(puller);
    if (error && error_size > 0)
        snprintf(error, error_size, "%s", status.message);
    return (triggers_code)status.code;
}

void triggers_consumer_stop(triggers_consumer *consumer)
{
    pthread_mutex_lock(&consumer->tender.lock);
    consumer->stopping = true;
    tender_stir(&consumer->tender);
    pthread_mutex_unlock(&consumer->tender.lock);
}

const triggers_error *triggers_consumer_wait(triggers_consumer *consumer,
                                             triggers_consumer_counts *counts)
{
    static const triggers_error none = {.reason = "", .message = ""};
    pthread_mutex_lock(&consumer->tender.lock);
    while (!consumer->over)
        pthread_cond_wait(&consumer->end, &consumer->tender.lock);
    if (counts)
        *counts = consumer->load.counts;
    const triggers_error *error = consumer->failure ? &consumer->failure->error : &none;
    pthread_mutex_unlock(&consumer->tender.lock);
    return error;
}

void triggers_consumer_close(triggers_consumer *consumer)
{
    if (!consumer)
        return;
    triggers_consumer_stop(consumer);
    pthread_join(consumer->tender_thread, NULL);
    consumer_join_handlers(consumer);
    consumer_free(consumer);
}
