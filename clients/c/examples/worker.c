/* Works on the inbox until Ctrl-C, four events at once. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <triggers.h>
#include <unistd.h>

/* The event is acknowledged when this returns, unless the outcome says otherwise. */
static void handle(const triggers_delivery *delivery, triggers_outcome *outcome, void *user_data)
{
    const triggers_event *event = &delivery->event;
    printf("%s %s %s\n", event->event_id, event->event_type, event->payload);
    if (fflush(stdout) != 0) {
        outcome->kind = TRIGGERS_OUTCOME_NACK; /* it comes again */
        snprintf(outcome->reason, sizeof(outcome->reason), "cannot print it");
    }
    (void)user_data;
}

/* A worker that fails for good ends the wait below, as Ctrl-C does. */
static void on_ended(void *user_data)
{
    (void)user_data;
    kill(getpid(), SIGINT);
}

int main(void)
{
    sigset_t interrupt;
    int number;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL); /* for all threads to come */
    triggers_client_options options = {
        .url = getenv("TRIGGERS_CORE"), .api_key = getenv("TRIGGERS_API_KEY"), .name = "example/1"};
    triggers_consumer_options four = {
        .subscription = "inbox", .concurrency = 4, .handle = handle, .ended = on_ended};
    triggers_client *client, *puller;
    triggers_consumer *consumer;
    char error[256];
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_OK ||
        triggers_client_open(&puller, &options, error, sizeof(error)) != TRIGGERS_OK ||
        triggers_consumer_open(&consumer, client, puller, &four, error, sizeof(error)) !=
            TRIGGERS_OK)
        return fprintf(stderr, "%s\n", error), 1;
    sigwait(&interrupt, &number);
    triggers_consumer_stop(consumer); /* what runs is finished and acknowledged */
    const triggers_error *failure = triggers_consumer_wait(consumer, NULL);
    int failed = failure->code != TRIGGERS_OK;
    if (failed)
        fprintf(stderr, "%s\n", failure->message);
    triggers_consumer_close(consumer);
    triggers_client_close(client);
    return failed;
}
