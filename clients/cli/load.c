/* Each worker has one call in flight; its callback records the answer and starts the next call. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct load_worker {
    struct load *load;
    int64_t start_us; /* of the call in flight */
    const char **ids; /* room for load->batch of them, for acknowledging */
};

/* Set while a call is started: a callback that runs inside reports a failure that would repeat at
 * once, without end. */
static _Thread_local bool starting;

static void on_reply(triggers_reply *reply, void *user_data);

/* ---- starting calls ---- */

static void start_create(struct load_worker *worker)
{
    struct load *load = worker->load;
    if (load->batch == 1)
        triggers_create_async(load->client, load->new_events, NULL, on_reply, worker);
    else
        triggers_create_batch_async(load->client, load->new_events, (size_t)load->batch, NULL,
                                    on_reply, worker);
}

/* False when no ids are left. */
static bool start_ack(struct load_worker *worker)
{
    struct load *load = worker->load;
    size_t count = (size_t)load->batch;
    size_t first = atomic_fetch_add(&load->next_id, count);
    if (first >= load->id_count)
        return false;
    if (count > load->id_count - first)
        count = load->id_count - first;
    if (load->batch == 1) {
        triggers_ack_async(load->client, load->ids[first], NULL, on_reply, worker);
        return true;
    }
    for (size_t i = 0; i < count; i++)
        worker->ids[i] = load->ids[first + i];
    triggers_ack_batch_async(load->client, worker->ids, count, NULL, on_reply, worker);
    return true;
}

static void start_get(struct load_worker *worker)
{
    struct load *load = worker->load;
    size_t index = atomic_fetch_add(&load->next_id, 1) % load->id_count;
    triggers_get_async(load->client, load->ids[index], NULL, on_reply, worker);
}

static bool start_call(struct load_worker *worker)
{
    struct load *load = worker->load;
    switch (load->op) {
    case LOAD_CREATE: start_create(worker); return true;
    case LOAD_GET: start_get(worker); return true;
    case LOAD_INBOX: triggers_list_async(load->client, NULL, NULL, on_reply, worker); return true;
    case LOAD_ACK: return start_ack(worker);
    case LOAD_HEALTH: triggers_health_async(load->client, NULL, on_reply, worker); return true;
    }
    return false;
}

static void worker_end(struct load_worker *worker)
{
    struct load *load = worker->load;
    pthread_mutex_lock(&load->mutex);
    if (--load->running == 0)
        pthread_cond_signal(&load->ended);
    pthread_mutex_unlock(&load->mutex);
}

static void worker_go_on(struct load_worker *worker)
{
    int64_t now = clock_monotonic_us();
    worker->start_us = now;
    bool started = false;
    if (now < worker->load->end_us) {
        bool outer = starting;
        starting = true;
        started = start_call(worker);
        starting = outer;
    }
    if (!started)
        worker_end(worker);
}

/* ---- recording answers ---- */

static void record_failure(struct load *load, const triggers_error *error)
{
    const char *reason = *error->reason ? error->reason : triggers_code_name(error->code);
    pthread_mutex_lock(&load->mutex);
    size_t i = 0;
    while (i < load->failure_count && strcmp(load->failures[i].reason, reason) != 0)
        i++;
    if (i == load->failure_count && i < LOAD_REASONS) {
        load->failure_count++;
        load->failures[i].code = error->code;
        snprintf(load->failures[i].reason, sizeof(load->failures[i].reason), "%s", reason);
    }
    if (i < load->failure_count)
        load->failures[i].count++;
    pthread_mutex_unlock(&load->mutex);
}

static void record(struct load_worker *worker, const triggers_reply *reply)
{
    struct load *load = worker->load;
    if (reply->code != TRIGGERS_OK) {
        record_failure(load, &reply->error);
        return;
    }
    histogram_add(&load->latency, (uint64_t)(clock_monotonic_us() - worker->start_us));
    atomic_fetch_add(&load->calls, 1);
    size_t good = 0;
    for (size_t i = 0; i < reply->item_count; i++) {
        if (reply->items[i].error.code == TRIGGERS_OK)
            good++;
        else
            record_failure(load, &reply->items[i].error);
    }
    atomic_fetch_add(&load->events, good);
}

static void on_reply(triggers_reply *reply, void *user_data)
{
    struct load_worker *worker = user_data;
    record(worker, reply);
    triggers_reply_free(reply);
    if (starting)
        worker_end(worker);
    else
        worker_go_on(worker);
}

/* ---- running ---- */

static void run_workers(struct load *load, struct load_worker *workers, const char **ids)
{
    pthread_mutex_init(&load->mutex, NULL);
    pthread_cond_init(&load->ended, NULL);
    load->running = load->concurrency;
    int64_t start_us = clock_monotonic_us();
    load->end_us = start_us + load->duration_us;
    for (long i = 0; i < load->concurrency; i++) {
        workers[i].load = load;
        workers[i].ids = ids + (load->op == LOAD_ACK ? i * load->batch : 0);
        worker_go_on(&workers[i]);
    }
    pthread_mutex_lock(&load->mutex);
    while (load->running > 0)
        pthread_cond_wait(&load->ended, &load->mutex);
    pthread_mutex_unlock(&load->mutex);
    load->elapsed_us = clock_monotonic_us() - start_us;
    pthread_cond_destroy(&load->ended);
    pthread_mutex_destroy(&load->mutex);
}

bool load_run(struct load *load)
{
    size_t id_room = load->op == LOAD_ACK ? (size_t)load->batch : 0;
    size_t count = (size_t)load->concurrency;
    struct load_worker *workers = calloc(count, sizeof(*workers));
    const char **ids = calloc(count * id_room + 1, sizeof(*ids));
    bool ready = workers && ids;
    if (ready)
        run_workers(load, workers, ids);
    free(ids);
    free(workers);
    return ready;
}
