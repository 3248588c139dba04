/* Calls that are made again until they succeed. */
#include "errand.h"

#include "backoff.h"
#include "base/clock.h"
#include "base/wait.h"

#define REST_MS 1000
#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS 5000

void tender_init(struct tender *tender)
{
    pthread_mutex_init(&tender->lock, NULL);
    wait_init(&tender->news);
}

void tender_fini(struct tender *tender)
{
    pthread_cond_destroy(&tender->news);
    pthread_mutex_destroy(&tender->lock);
}

void tender_stir(struct tender *tender)
{
    tender->stirred = true;
    pthread_cond_signal(&tender->news);
}

void errand_init(struct errand *errand, struct tender *tender, triggers_client *client)
{
    errand->tender = tender;
    errand->client = client;
    errand->span_ms = RETRY_FIRST_MS;
}

static void on_errand_done(triggers_reply *reply, void *user_data)
{
    struct errand *errand = user_data;
    pthread_mutex_lock(&errand->tender->lock);
    errand->reply = reply;
    tender_stir(errand->tender);
    pthread_mutex_unlock(&errand->tender->lock);
}

void errand_send(struct errand *errand, const char *method, const ProtobufCMessage *request)
{
    triggers_call_options options = {.tag = errand};
    errand->out = true;
    errand->sent_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&errand->tender->lock);
    triggers_call_async(errand->client, method, request, &options, on_errand_done, errand);
    pthread_mutex_lock(&errand->tender->lock);
}

bool errand_is_due(const struct errand *errand, int64_t due_ms, int64_t now_ms, int64_t *wake_ms)
{
    if (errand->out)
        return false;
    if (due_ms < errand->not_before_ms)
        due_ms = errand->not_before_ms;
    if (due_ms <= now_ms)
        return true;
    if (due_ms < *wake_ms)
        *wake_ms = due_ms;
    return false;
}

triggers_reply *errand_take_reply(struct errand *errand)
{
    triggers_reply *reply = errand->reply;
    errand->reply = NULL;
    if (reply)
        errand->out = false;
    return reply;
}

void errand_rest(struct errand *errand)
{
    errand->not_before_ms = clock_monotonic_ms() + REST_MS;
}

void errand_succeed(struct errand *errand, bool has_sense)
{
    errand->told = false;
    errand->span_ms = RETRY_FIRST_MS;
    if (!has_sense)
        errand_rest(errand);
}

bool errand_put_off(struct errand *errand, const triggers_error *error)
{
    uint32_t wait_ms = backoff_next_ms(&errand->span_ms, RETRY_MOST_MS);
    if (error->retry_delay_ms > wait_ms)
        wait_ms = error->retry_delay_ms;
    errand->not_before_ms = clock_monotonic_ms() + wait_ms;
    bool first = !errand->told;
    errand->told = true;
    return first;
}
