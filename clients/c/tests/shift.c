/* Handlers that take their time, unless they are told that their lease is lost. */
#include "shift.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wait.h"

#define WORKERS_MAX 8
#define BEGUN_MAX 1000 /* deliveries of a scenario */

/* A delivery that a handler has or had. */
struct begun {
    const triggers_delivery *delivery; /* NULL: the handler has ended */
    char event_id[64];
    uint32_t attempt;
    bool lost;
};

struct shift {
    int64_t handle_ms;
    const char *fail; /* NULL: handlers succeed */
    int64_t count;
    triggers_consumer *workers[WORKERS_MAX];
    size_t worker_count;
    triggers_error refused; /* a worker could not be opened */
    char refusal[256];
    const triggers_error *error;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct begun begun[BEGUN_MAX];
    size_t begun_count;
    int64_t handled;
    bool over; /* one of them has stopped by itself */
};

static void handle(const triggers_delivery *delivery, triggers_outcome *outcome, void *user_data)
{
    struct shift *shift = user_data;
    int64_t end_ms = clock_monotonic_ms() + shift->handle_ms;
    pthread_mutex_lock(&shift->lock);
    if (shift->begun_count == BEGUN_MAX)
        abort();
    struct begun *begun = &shift->begun[shift->begun_count++];
    begun->delivery = delivery;
    begun->attempt = delivery->attempt;
    begun->lost = triggers_delivery_lost(delivery); /* before it could be found */
    snprintf(begun->event_id, sizeof(begun->event_id), "%s", delivery->event.event_id);
    while (!begun->lost && wait_until(&shift->changed, &shift->lock, end_ms))
        continue;
    begun->delivery = NULL;
    shift->handled++;
    pthread_cond_broadcast(&shift->changed);
    pthread_mutex_unlock(&shift->lock);
    if (!shift->fail)
        return;
    outcome->kind = TRIGGERS_OUTCOME_NACK;
    snprintf(outcome->reason, sizeof(outcome->reason), "%s", shift->fail);
}

static void on_lost(const triggers_delivery *delivery, void *user_data)
{
    struct shift *shift = user_data;
    pthread_mutex_lock(&shift->lock);
    for (size_t i = 0; i < shift->begun_count; i++)
        shift->begun[i].lost |= shift->begun[i].delivery == delivery;
    pthread_cond_broadcast(&shift->changed);
    pthread_mutex_unlock(&shift->lock);
}

static void on_ended(void *user_data)
{
    struct shift *shift = user_data;
    pthread_mutex_lock(&shift->lock);
    shift->over = true;
    pthread_cond_broadcast(&shift->changed);
    pthread_mutex_unlock(&shift->lock);
}

static bool open_worker(struct shift *shift, triggers_client *client,
                        const triggers_client_options *how, const struct value *request)
{
    triggers_consumer_options options = {
        .subscription = value_member_text(request, "subscription"),
        .concurrency = (uint32_t)value_member_number(request, "concurrency", 1),
        .lease_seconds = (uint32_t)value_member_number(request, "lease_seconds", 0),
        .handle = handle,
        .lost = on_lost,
        .ended = on_ended,
        .user_data = shift,
    };
    triggers_client *puller;
    triggers_consumer **worker = &shift->workers[shift->worker_count];
    char *text = shift->refusal;
    triggers_code code = triggers_client_open(&puller, how, text, sizeof(shift->refusal));
    if (code == TRIGGERS_OK)
        code =
            triggers_consumer_open(worker, client, puller, &options, text, sizeof(shift->refusal));
    shift->refused = (triggers_error){.code = code, .reason = "", .message = text};
    shift->worker_count += code == TRIGGERS_OK;
    return code == TRIGGERS_OK;
}

static void stop_workers(struct shift *shift)
{
    for (size_t i = 0; i < shift->worker_count; i++)
        triggers_consumer_stop(shift->workers[i]);
    for (size_t i = 0; i < shift->worker_count; i++) {
        const triggers_error *error = triggers_consumer_wait(shift->workers[i], NULL);
        if (shift->error->code == TRIGGERS_OK)
            shift->error = error;
    }
}

struct shift *shift_work(triggers_client *client, const triggers_client_options *how,
                         const struct value *request)
{
    struct shift *shift = calloc(1, sizeof(*shift));
    if (!shift)
        abort();
    pthread_mutex_init(&shift->lock, NULL);
    wait_init(&shift->changed);
    shift->handle_ms = value_member_number(request, "handle_ms", 0);
    shift->fail = value_member_text(request, "fail");
    shift->count = value_member_number(request, "count", 1);
    int64_t workers = value_member_number(request, "workers", 1);
    bool good = workers <= WORKERS_MAX;
    while (good && (int64_t)shift->worker_count < workers)
        good = open_worker(shift, client, how, request);
    pthread_mutex_lock(&shift->lock);
    while (good && shift->handled < shift->count && !shift->over)
        pthread_cond_wait(&shift->changed, &shift->lock);
    pthread_mutex_unlock(&shift->lock);
    shift->error = &shift->refused;
    stop_workers(shift);
    return shift;
}

const triggers_error *shift_error(const struct shift *shift)
{
    return shift->error;
}

struct value *shift_deliveries(struct arena *arena, const struct shift *shift)
{
    struct value *list = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < shift->begun_count; i++) {
        const struct begun *begun = &shift->begun[i];
        struct value *value = value_new(arena, VALUE_OBJECT);
        struct value *lost = value_new(arena, VALUE_BOOLEAN);
        lost->number = begun->lost;
        value_set(arena, value, "event_id", value_text(arena, begun->event_id));
        value_set(arena, value, "attempt", value_number(arena, begun->attempt));
        value_set(arena, value, "lost", lost);
        value_push(arena, list, value);
    }
    return list;
}

void shift_free(struct shift *shift)
{
    if (!shift)
        return;
    for (size_t i = 0; i < shift->worker_count; i++)
        triggers_consumer_close(shift->workers[i]);
    pthread_cond_destroy(&shift->changed);
    pthread_mutex_destroy(&shift->lock);
    free(shift);
}
