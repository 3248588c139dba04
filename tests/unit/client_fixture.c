/* Shared parts of the client's tests. */
#include "client_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A port that was free a moment ago. */
static int free_port(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    close(listener);
    return ntohs(address.sin_port);
}

struct url free_url(const char *scheme)
{
    struct url url;
    snprintf(url.text, sizeof(url.text), "%s://127.0.0.1:%d%s", scheme, free_port(),
             strcmp(scheme, "ws") == 0 ? "/rpc" : "");
    return url;
}

triggers_client *open_client_with(const triggers_client_options *options)
{
    triggers_client *client;
    char error[256];
    assert_int_equal(triggers_client_open(&client, options, error, sizeof(error)), TRIGGERS_OK);
    return client;
}

triggers_client *open_client_that(int no_retry, const char *url)
{
    triggers_client_options options = {
        .url = url, .name = "test/1", .timeout_ms = PATIENCE_MS, .no_retry = no_retry};
    return open_client_with(&options);
}

triggers_client *open_client(const char *url, uint32_t timeout_ms, uint32_t max_in_flight)
{
    triggers_client_options options = {
        .url = url,
        .name = "test/1",
        .timeout_ms = timeout_ms,
        .max_in_flight = max_in_flight,
        .no_retry = TRIGGERS_NO_BACKOFF, /* these tests are about what a try ends with */
    };
    return open_client_with(&options);
}

struct pair pair_start(const char *scheme, uint32_t timeout_ms)
{
    struct url url = free_url(scheme);
    struct scripted_core *core = scripted_core_start(url.text);
    return (struct pair){core, open_client(url.text, timeout_ms, 0)};
}

void pair_stop(struct pair *pair)
{
    triggers_client_close(pair->client);
    scripted_core_stop(pair->core);
}

const triggers_new_event some_event = {
    .source = "crm", .event_type = "lead.created", .payload = "{}", .payload_size = 2};

triggers_call_options script(const char *request_id)
{
    return (triggers_call_options){.request_id = request_id};
}

void assert_failed(triggers_reply *reply, triggers_code code, const char *reason)
{
    assert_string_equal(reply->error.reason, reason);
    assert_int_equal(reply->code, code);
    assert_int_equal(reply->error.code, code);
    assert_int_equal(reply->item_count, 0);
    assert_true(strlen(reply->error.message) > 0);
    triggers_reply_free(reply);
}

void tally_reply(triggers_reply *reply, void *user_data)
{
    struct tally *tally = user_data;
    pthread_mutex_lock(&tally->mutex);
    tally->total++;
    tally->ok += reply->code == TRIGGERS_OK;
    tally->cancelled += reply->code == TRIGGERS_CANCELLED;
    snprintf(tally->reason, sizeof(tally->reason), "%s", reply->error.reason);
    tally->late += strcmp(reply->error.reason, "DEADLINE_EXCEEDED") == 0;
    triggers_client *again = tally->again;
    pthread_cond_broadcast(&tally->changed);
    pthread_mutex_unlock(&tally->mutex);
    triggers_reply_free(reply);
    if (again)
        triggers_get_async(again, "evt_again", NULL, NULL, NULL);
}

void tally_wait(struct tally *tally, size_t total)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_MS / 1000;
    int result = 0;
    pthread_mutex_lock(&tally->mutex);
    while (tally->total < total && result == 0)
        result = pthread_cond_timedwait(&tally->changed, &tally->mutex, &deadline);
    pthread_mutex_unlock(&tally->mutex);
    assert_int_equal(result, 0);
}
