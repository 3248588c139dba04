/* Tests of libtriggers against a scripted core: what becomes of calls when answers, connections or
 * the core do not come, when many run at once, when they are cancelled and when the client is
 * closed. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "client_fixture.h"
#include "invocation.h"
#include "triggers/v1/events.pb-c.h"

/* ---- deadlines and connections ---- */

static void silence_ends_at_the_deadline(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", 300);
    triggers_call_options options = script("silent");
    int64_t start = clock_monotonic_ms();
    assert_failed(triggers_get(pair.client, "evt_1", &options), TRIGGERS_DEADLINE_EXCEEDED,
                  "DEADLINE_EXCEEDED");
    int64_t took = clock_monotonic_ms() - start;
    assert_in_range(took, 250, 5000);
    pair_stop(&pair);
}

/* The first to end gives the silent connection up, under the eyes of the others. */
static void all_calls_of_a_silent_connection_are_late(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", 1200);
    struct tally tally = TALLY_INIT;
    triggers_call_options options = script("silent");
    for (int i = 0; i < 50; i++)
        triggers_get_async(pair.client, "evt_1", &options, tally_reply, &tally);
    tally_wait(&tally, 50);
    assert_int_equal(tally.late, 50);
    pair_stop(&pair);
}

static void late_answers_do_not_reach_the_next_call(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_call_options options = {.request_id = "hold", .timeout_ms = 300};
    assert_failed(triggers_get(pair.client, "size:1", &options), TRIGGERS_DEADLINE_EXCEEDED,
                  "DEADLINE_EXCEEDED");
    scripted_core_wait(pair.core, 1);
    scripted_core_release(pair.core);
    triggers_reply *reply = triggers_get(pair.client, "size:7", NULL);
    assert_int_equal(reply->items[0].event.payload_size, 7);
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void a_dropped_connection_sends_the_same_event_again(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_call_options options = script("drop");
    triggers_reply *reply = triggers_create(pair.client, &some_event, &options);
    assert_string_equal(reply->error.message, "");
    scripted_core_wait(pair.core, 2);
    assert_string_equal(scripted_core_last(pair.core).event_id, reply->items[0].event.event_id);
    triggers_reply_free(reply);
    pair_stop(&pair);
}

/* What becomes of a call that asks for `script`, and how many requests came of it. */
static void expect_of_client(int no_retry, const char *asked, const char *reason, size_t requests)
{
    struct url url = free_url("tcp");
    struct scripted_core *core = scripted_core_start(url.text);
    triggers_client *client = open_client_that(no_retry, url.text);
    triggers_call_options options = script(asked);
    triggers_reply *reply = triggers_create(client, &some_event, &options);
    assert_string_equal(reply->error.reason, reason);
    assert_int_equal(reply->code, *reason ? TRIGGERS_UNAVAILABLE : TRIGGERS_OK);
    triggers_reply_free(reply);
    /* Over the next connection, before which what the last one lost would have come. */
    reply = triggers_create(client, &some_event, NULL);
    assert_string_equal(reply->error.message, "");
    triggers_reply_free(reply);
    assert_int_equal(scripted_core_count(core), requests + 1);
    triggers_client_close(client);
    scripted_core_stop(core);
}

static void calls_are_sent_as_often_as_the_client_was_told(void **state)
{
    (void)state;
    expect_of_client(0, "drop", "", 2);
    expect_of_client(0, "busy", "", 2);
    expect_of_client(TRIGGERS_NO_BACKOFF, "drop", "", 2);
    expect_of_client(TRIGGERS_NO_BACKOFF, "busy", "BUSY", 1);
    expect_of_client(TRIGGERS_SEND_ONCE, "drop", "CONNECTION_LOST", 1);
    expect_of_client(TRIGGERS_SEND_ONCE, "busy", "BUSY", 1);
}

/* With two cores; how many requests came to both. */
static size_t count_with_two_cores(int no_retry, const char *asked, uint32_t timeout_ms,
                                   const char *reason)
{
    struct url urls[2] = {free_url("tcp"), free_url("tcp")};
    struct scripted_core *cores[2];
    char both[2 * sizeof(urls[0].text)];
    for (int i = 0; i < 2; i++)
        cores[i] = scripted_core_start(urls[i].text);
    snprintf(both, sizeof(both), "%s,%s", urls[0].text, urls[1].text);
    triggers_client *client = open_client_that(no_retry, both);
    for (int i = 0; i < 2; i++) { /* until both are connected */
        while (scripted_core_count(cores[i]) == 0)
            triggers_reply_free(triggers_health(client, NULL));
    }
    size_t before = scripted_core_count(cores[0]) + scripted_core_count(cores[1]);
    triggers_call_options options = {.request_id = asked, .timeout_ms = timeout_ms};
    triggers_reply *reply = triggers_create(client, &some_event, &options);
    assert_string_equal(reply->error.reason, reason);
    triggers_reply_free(reply);
    size_t after = scripted_core_count(cores[0]) + scripted_core_count(cores[1]);
    triggers_client_close(client);
    for (int i = 0; i < 2; i++)
        scripted_core_stop(cores[i]);
    return after - before;
}

static void a_call_that_is_sent_once_is_not_sent_elsewhere(void **state)
{
    (void)state;
    assert_true(count_with_two_cores(TRIGGERS_NO_BACKOFF, "stopping", 1000, "STOPPING") > 1);
    assert_int_equal(count_with_two_cores(TRIGGERS_SEND_ONCE, "stopping", 1000, "STOPPING"), 1);
    /* Longer than the time after which others go to another core. */
    assert_int_equal(count_with_two_cores(TRIGGERS_SEND_ONCE, "silent", 5500, "DEADLINE_EXCEEDED"),
                     1);
}

/* ---- what the table of methods says ---- */

/* Starts a CreateEvent as if the table said so of it; its request is empty. */
static void start_as(triggers_client *client, const struct method *method, const char *asked,
                     uint32_t timeout_ms, struct tally *tally)
{
    triggers_call_options options = {.request_id = asked, .timeout_ms = timeout_ms};
    struct invocation call = {method, &options, 0, tally_reply, tally};
    Triggers__V1__CreateEventRequest request = TRIGGERS__V1__CREATE_EVENT_REQUEST__INIT;
    invocation_start(client, &call, &request.base);
}

/* Calls one method that asks so, of a client that sends as often as it likes. */
static void expect_of_method(bool repeatable, const char *asked, const char *reason,
                             size_t requests)
{
    struct api_method api = api_methods[API_CREATE_EVENT];
    api.repeatable = repeatable;
    const struct method method = {&api, reply_methods[API_CREATE_EVENT].read};
    struct tally tally = TALLY_INIT;
    struct url url = free_url("ws");
    struct scripted_core *core = scripted_core_start(url.text);
    triggers_client *client = open_client_that(0, url.text);
    start_as(client, &method, asked, 0, &tally);
    tally_wait(&tally, 1);
    assert_string_equal(tally.reason, reason);
    scripted_core_wait(core, requests);
    assert_int_equal(scripted_core_count(core), requests);
    triggers_client_close(client);
    scripted_core_stop(core);
}

static void only_what_is_repeatable_is_sent_again(void **state)
{
    (void)state;
    expect_of_method(true, "drop", "", 2);
    expect_of_method(false, "drop", "CONNECTION_LOST", 1);
    expect_of_method(true, "busy", "", 2);
    expect_of_method(false, "busy", "BUSY", 1);
}

/* The late call would find its connection silent for more than a second, by the one that waits. */
static void a_call_that_waits_does_not_make_its_connection_silent(void **state)
{
    (void)state;
    struct api_method api = api_methods[API_CREATE_EVENT];
    api.waits = true;
    const struct method waiting = {&api, reply_methods[API_CREATE_EVENT].read};
    struct tally waits = TALLY_INIT, late = TALLY_INIT;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    start_as(pair.client, &waiting, "hold", 0, &waits);
    scripted_core_wait(pair.core, 1);
    nanosleep(&(struct timespec){.tv_nsec = 700 * 1000 * 1000}, NULL);
    start_as(pair.client, &reply_methods[API_CREATE_EVENT], "silent", 600, &late);
    tally_wait(&late, 1);
    assert_string_equal(late.reason, "DEADLINE_EXCEEDED");
    scripted_core_release(pair.core);
    tally_wait(&waits, 1);
    assert_int_equal(waits.ok, 1);
    scripted_core_wait(pair.core, 2);
    assert_int_equal(scripted_core_count(pair.core), 2); /* neither was sent again */
    pair_stop(&pair);
}

static void no_core_is_unreachable_after_a_second(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    triggers_client *client = open_client(url.text, PATIENCE_MS, 0);
    int64_t start = clock_monotonic_ms();
    triggers_reply *reply = triggers_create(client, &some_event, NULL);
    assert_in_range(clock_monotonic_ms() - start, 900, 6000);
    assert_int_equal(reply->error.retry_delay_ms, 1000);
    assert_non_null(strstr(reply->error.message, url.text));
    assert_failed(reply, TRIGGERS_UNAVAILABLE, "CORE_UNREACHABLE");
    triggers_client_close(client);
}

static void a_core_that_starts_meanwhile_gets_the_call(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    triggers_client *client = open_client(url.text, PATIENCE_MS, 0);
    struct tally tally = TALLY_INIT;
    triggers_get_async(client, "evt_1", NULL, tally_reply, &tally);
    struct scripted_core *core = scripted_core_start(url.text);
    tally_wait(&tally, 1);
    assert_int_equal(tally.ok, 1);
    triggers_client_close(client);
    scripted_core_stop(core);
}

static void *stop_core(void *data)
{
    struct scripted_core *core = data;
    scripted_core_wait(core, 1);
    scripted_core_stop(core);
    return NULL;
}

static void a_connection_that_stays_lost(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", 1500);
    pthread_t stopper;
    assert_int_equal(pthread_create(&stopper, NULL, stop_core, pair.core), 0);
    triggers_call_options options = script("hold");
    assert_failed(triggers_create(pair.client, &some_event, &options), TRIGGERS_UNAVAILABLE,
                  "CONNECTION_LOST");
    pthread_join(stopper, NULL);
    triggers_client_close(pair.client);
}

/* ---- memory ---- */

static struct pair bounded_pair(size_t bytes, triggers_memory **memory)
{
    struct url url = free_url("ws");
    struct pair pair = {.core = scripted_core_start(url.text)};
    char error[256];
    *memory = triggers_memory_new(bytes);
    triggers_client_options options = {
        .url = url.text, .timeout_ms = PATIENCE_MS, .memory = *memory, .no_retry = 1};
    assert_int_equal(triggers_client_open(&pair.client, &options, error, sizeof(error)),
                     TRIGGERS_OK);
    return pair;
}

/* Those that are not answered hold what the bound leaves to large ones; small ones go on. */
static void calls_hold_no_more_than_the_bound(void **state)
{
    (void)state;
    triggers_memory *memory;
    struct pair pair = bounded_pair(2 << 20, &memory);
    struct tally tally = TALLY_INIT;
    static char payload[250000] = "{}";
    memset(payload + 2, ' ', sizeof(payload) - 2);
    triggers_new_event event = some_event;
    event.payload = payload;
    event.payload_size = sizeof(payload);
    triggers_call_options options = script("hold");
    size_t held = 0;
    for (size_t refused = 0; refused < 2;) { /* the first may come while a call is still sent */
        size_t told = tally.total;
        triggers_create_async(pair.client, &event, &options, tally_reply, &tally);
        bool refusal = tally.total > told; /* is told at once */
        refused = refusal ? refused + 1 : 0;
        if (refusal)
            nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        else
            scripted_core_wait(pair.core, ++held);
    }
    size_t refusals = tally.total;
    assert_in_range(held, 2, 4);
    assert_failed(triggers_create(pair.client, &event, NULL), TRIGGERS_RESOURCE_EXHAUSTED,
                  "CLIENT_BUSY");
    triggers_reply *reply = triggers_create(pair.client, &some_event, NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    triggers_reply_free(reply);
    scripted_core_release(pair.core);
    tally_wait(&tally, held + refusals);
    assert_int_equal(tally.ok, held);
    reply = triggers_create(pair.client, &event, NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    triggers_reply_free(reply);
    pair_stop(&pair);
    triggers_memory_free(memory);
}

/* Replies count until they are freed, which may be after the client. */
static void replies_that_are_kept_hold_memory(void **state)
{
    (void)state;
    triggers_memory *memory;
    struct pair pair = bounded_pair(2 << 20, &memory);
    triggers_reply *first = triggers_get(pair.client, "size:400000", NULL);
    assert_int_equal(first->code, TRIGGERS_OK);
    assert_failed(triggers_get(pair.client, "size:400000", NULL), TRIGGERS_RESOURCE_EXHAUSTED,
                  "ANSWER_TOO_LARGE");
    triggers_reply *small = triggers_get(pair.client, "size:100", NULL);
    assert_int_equal(small->code, TRIGGERS_OK);
    triggers_reply_free(first);
    triggers_reply *second = triggers_get(pair.client, "size:400000", NULL);
    assert_int_equal(second->items[0].event.payload_size, 400000);
    pair_stop(&pair);
    triggers_reply_free(second);
    triggers_reply_free(small);
    triggers_memory_free(memory);
}

/* ---- peers that do not answer ---- */

/* A listener that takes connections and never says a word. */
static int mute_listener(const char *scheme, struct url *url)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(url->text, sizeof(url->text), "%s://127.0.0.1:%d/rpc", scheme,
             ntohs(address.sin_port));
    return listener;
}

static void mute_address_is_unreachable(const char *scheme)
{
    struct url url;
    int listener = mute_listener(scheme, &url);
    triggers_client *client = open_client(url.text, PATIENCE_MS, 0);
    assert_failed(triggers_get(client, "evt_1", NULL), TRIGGERS_UNAVAILABLE, "CORE_UNREACHABLE");
    triggers_client_close(client);
    close(listener);
}

static void an_address_that_never_answers_is_unreachable(void **state)
{
    (void)state;
    mute_address_is_unreachable("ws");
    mute_address_is_unreachable("tcp");
}

static void calls_go_to_the_address_that_lives(void **state)
{
    (void)state;
    struct url mute;
    int listener = mute_listener("ws", &mute);
    struct url dead = free_url("ws");
    struct url live = free_url("ws");
    char urls[512];
    snprintf(urls, sizeof(urls), " %s, %s ,%s", mute.text, dead.text, live.text);
    struct scripted_core *core = scripted_core_start(live.text);
    triggers_client *client = open_client(urls, PATIENCE_MS, 0);
    for (int i = 0; i < 20; i++) {
        triggers_reply *reply = triggers_get(client, "evt_1", NULL);
        assert_string_equal(reply->error.message, "");
        triggers_reply_free(reply);
    }
    triggers_client_close(client);
    scripted_core_stop(core);
    close(listener);
}

static void localhost_is_both_families(void **state)
{
    (void)state;
    struct url listen = free_url("ws");
    char url[64];
    snprintf(url, sizeof(url), "ws://localhost%s", strrchr(listen.text, ':'));
    struct scripted_core *core = scripted_core_start(listen.text);
    triggers_client *client = open_client(url, PATIENCE_MS, 0);
    triggers_reply *reply = triggers_health(client, NULL);
    assert_string_equal(reply->error.message, "");
    triggers_reply_free(reply);
    triggers_client_close(client);
    scripted_core_stop(core);
}

/* ---- many calls ---- */

static void more_than_max_in_flight_are_refused_at_once(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    struct scripted_core *core = scripted_core_start(url.text);
    triggers_client *client = open_client(url.text, PATIENCE_MS, 2);
    struct tally tally = TALLY_INIT;
    triggers_call_options options = script("hold");
    triggers_get_async(client, "evt_1", &options, tally_reply, &tally);
    triggers_get_async(client, "evt_2", &options, tally_reply, &tally);
    assert_failed(triggers_get(client, "evt_3", NULL), TRIGGERS_RESOURCE_EXHAUSTED,
                  "TOO_MANY_CALLS");
    scripted_core_wait(core, 2);
    scripted_core_release(core);
    tally_wait(&tally, 2);
    assert_int_equal(tally.ok, 2);
    triggers_reply *reply = triggers_get(client, "evt_3", NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    triggers_reply_free(reply);
    triggers_client_close(client);
    scripted_core_stop(core);
}

static void closing_cancels_what_is_in_flight(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    struct tally tally = TALLY_INIT;
    tally.again = pair.client; /* and callbacks may still start calls */
    triggers_call_options options = script("hold");
    for (int i = 0; i < 50; i++)
        triggers_get_async(pair.client, "evt_1", &options, tally_reply, &tally);
    scripted_core_wait(pair.core, 50);
    triggers_client_close(pair.client);
    assert_int_equal(tally.total, 50);
    assert_int_equal(tally.cancelled, 50);
    scripted_core_stop(pair.core);
}

static void closing_cancels_what_waits_for_a_connection(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    triggers_client *client = open_client(url.text, PATIENCE_MS, 0);
    struct tally tally = TALLY_INIT;
    for (int i = 0; i < 50; i++)
        triggers_get_async(client, "evt_1", NULL, tally_reply, &tally);
    triggers_client_close(client);
    assert_int_equal(tally.total, 50);
    assert_int_equal(tally.cancelled, 50);
}

static void a_cancelled_call_ends_alone(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    struct tally cancelled = TALLY_INIT, kept = TALLY_INIT;
    triggers_call_options options = script("hold");
    triggers_get_async(pair.client, "evt_1", &options, tally_reply, &kept);
    options.tag = &cancelled;
    triggers_get_async(pair.client, "evt_2", &options, tally_reply, &cancelled);
    triggers_get_async(pair.client, "evt_3", &options, tally_reply, &cancelled);
    scripted_core_wait(pair.core, 3);
    triggers_cancel(pair.client, &cancelled);
    tally_wait(&cancelled, 2);
    assert_int_equal(cancelled.cancelled, 2);
    scripted_core_release(pair.core);
    tally_wait(&kept, 1);
    assert_int_equal(kept.ok, 1);
    options = (triggers_call_options){.tag = &cancelled}; /* a cancelled tag may be used again */
    triggers_reply *reply = triggers_get(pair.client, "evt_4", &options);
    assert_int_equal(reply->code, TRIGGERS_OK);
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void *cancel_soon(void *data)
{
    struct pair *pair = data;
    scripted_core_wait(pair->core, 1);
    triggers_cancel(pair->client, pair);
    return NULL;
}

static void another_thread_cancels_a_call_that_is_waited_for(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &pair), 0);
    triggers_call_options options = script("silent");
    options.tag = &pair;
    assert_failed(triggers_get(pair.client, "evt_1", &options), TRIGGERS_CANCELLED,
                  "CALL_CANCELLED");
    pthread_join(thread, NULL);
    pair_stop(&pair);
}

static void a_call_without_a_connection_can_be_cancelled(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    triggers_client *client = open_client(url.text, PATIENCE_MS, 0);
    struct tally tally = TALLY_INIT;
    triggers_call_options options = {.tag = &tally};
    triggers_get_async(client, "evt_1", &options, tally_reply, &tally);
    triggers_cancel(client, NULL);
    triggers_cancel(client, client);
    assert_int_equal(tally.total, 0);
    triggers_cancel(client, &tally);
    tally_wait(&tally, 1);
    assert_int_equal(tally.cancelled, 1);
    triggers_client_close(client);
}

/* Closing must not meet the end of a handshake. */
static void clients_that_only_open_and_close(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    struct scripted_core *core = scripted_core_start(url.text);
    for (int i = 0; i < 300; i++)
        triggers_client_close(open_client(url.text, PATIENCE_MS, 0));
    scripted_core_stop(core);
}

#define STARTERS 4
#define CALLS_EACH 250

struct starter {
    triggers_client *client;
    struct tally *tally;
    triggers_call_options options;
};

static void *start_calls(void *data)
{
    struct starter *starter = data;
    for (int i = 0; i < CALLS_EACH; i++)
        triggers_create_async(starter->client, &some_event, &starter->options, tally_reply,
                              starter->tally);
    return NULL;
}

static void a_thousand_calls_from_several_threads(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    struct tally tally = TALLY_INIT;
    struct starter starter = {pair.client, &tally, {0}};
    pthread_t threads[STARTERS];
    for (int i = 0; i < STARTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_calls, &starter), 0);
    for (int i = 0; i < STARTERS; i++)
        pthread_join(threads[i], NULL);
    tally_wait(&tally, STARTERS * CALLS_EACH);
    assert_int_equal(tally.ok, STARTERS * CALLS_EACH);
    pair_stop(&pair);
    assert_int_equal(tally.total, STARTERS * CALLS_EACH);
}

/* A cancel can come at any moment of a call, between its operations too: each ends once. */
static void calls_that_end_while_they_are_cancelled(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    struct tally tally = TALLY_INIT;
    struct starter starter = {pair.client, &tally, {.tag = &tally}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, start_calls, &starter), 0);
    for (int i = 0; i < CALLS_EACH; i++)
        triggers_cancel(pair.client, &tally);
    pthread_join(thread, NULL);
    triggers_cancel(pair.client, &tally);
    tally_wait(&tally, CALLS_EACH);
    pair_stop(&pair);
    assert_int_equal(tally.total, CALLS_EACH);
    assert_int_equal(tally.ok + tally.cancelled, CALLS_EACH);
}

/* A call whose callback starts the next, until none is left. */
struct chain {
    triggers_client *client;
    struct tally tally;
    atomic_int left;
};

static void chain_next(triggers_reply *reply, void *user_data)
{
    struct chain *chain = user_data;
    if (chain->left-- > 0)
        triggers_get_async(chain->client, "evt_1", NULL, chain_next, chain);
    tally_reply(reply, &chain->tally);
}

static void callbacks_start_calls(void **state)
{
    (void)state;
    struct url url = free_url("ws");
    struct scripted_core *core = scripted_core_start(url.text);
    /* Room for one call: a callback runs when its own call no longer counts. */
    struct chain chain = {
        .client = open_client(url.text, PATIENCE_MS, 1), .tally = TALLY_INIT, .left = 200};
    triggers_get_async(chain.client, "evt_1", NULL, chain_next, &chain);
    tally_wait(&chain.tally, 201);
    assert_int_equal(chain.tally.ok, 201);
    triggers_client_close(chain.client);
    scripted_core_stop(core);
}

/* With a pattern as its argument, the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(calls_hold_no_more_than_the_bound),
        cmocka_unit_test(replies_that_are_kept_hold_memory),
        cmocka_unit_test(all_calls_of_a_silent_connection_are_late),
        cmocka_unit_test(late_answers_do_not_reach_the_next_call),
        cmocka_unit_test(a_dropped_connection_sends_the_same_event_again),
        cmocka_unit_test(calls_are_sent_as_often_as_the_client_was_told),
        cmocka_unit_test(a_call_that_is_sent_once_is_not_sent_elsewhere),
        cmocka_unit_test(only_what_is_repeatable_is_sent_again),
        cmocka_unit_test(a_call_that_waits_does_not_make_its_connection_silent),
        cmocka_unit_test(no_core_is_unreachable_after_a_second),
        cmocka_unit_test(a_core_that_starts_meanwhile_gets_the_call),
        cmocka_unit_test(a_connection_that_stays_lost),
        cmocka_unit_test(an_address_that_never_answers_is_unreachable),
        cmocka_unit_test(calls_go_to_the_address_that_lives),
        cmocka_unit_test(localhost_is_both_families),
        cmocka_unit_test(more_than_max_in_flight_are_refused_at_once),
        cmocka_unit_test(closing_cancels_what_is_in_flight),
        cmocka_unit_test(closing_cancels_what_waits_for_a_connection),
        cmocka_unit_test(a_cancelled_call_ends_alone),
        cmocka_unit_test(another_thread_cancels_a_call_that_is_waited_for),
        cmocka_unit_test(a_call_without_a_connection_can_be_cancelled),
        cmocka_unit_test(clients_that_only_open_and_close),
        cmocka_unit_test(a_thousand_calls_from_several_threads),
        cmocka_unit_test(calls_that_end_while_they_are_cancelled),
        cmocka_unit_test(callbacks_start_calls),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
