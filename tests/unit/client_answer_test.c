/* Tests of libtriggers against a scripted core: what goes out, what the answers become, and which
 * arguments are refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_fixture.h"

/* ---- answers ---- */

static void create_answers_with_the_id_that_the_client_made(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_call_options options = {
        .timeout_ms = 12345, .request_id = "r1", .traceparent = "t1", .caller = "c1"};
    triggers_reply *reply = triggers_create(pair.client, &some_event, &options);
    assert_int_equal(reply->code, TRIGGERS_OK);
    assert_int_equal(reply->item_count, 1);
    struct scripted_request seen = scripted_core_last(pair.core);
    const triggers_event *event = &reply->items[0].event;
    assert_string_equal(event->event_id, seen.event_id);
    assert_int_equal(strlen(event->event_id), TRIGGERS_ID_SIZE - 1);
    assert_int_equal(event->created_at_us, 1700000000123456);
    assert_int_equal(event->acknowledged_at_us, 0);
    assert_string_equal(event->source, "");
    assert_string_equal(event->payload, "");
    assert_string_equal(reply->request_id, "from-the-core");
    assert_string_equal(seen.method, "triggers.v1.EventService/CreateEvent");
    assert_string_equal(seen.request_id, "r1");
    assert_string_equal(seen.traceparent, "t1");
    assert_string_equal(seen.caller, "c1");
    /* A little less, so that the answer that it ran out can still come. */
    assert_in_range(seen.timeout_ms, 12345 * 9 / 10, 12345 - 1);
    char client[64];
    snprintf(client, sizeof(client), "test/1 libtriggers/%s", triggers_version());
    assert_string_equal(seen.client, client);
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void a_given_event_id_is_kept(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_new_event event = some_event;
    event.event_id = "evt_mine";
    triggers_reply *reply = triggers_create(pair.client, &event, NULL);
    assert_string_equal(reply->items[0].event.event_id, "evt_mine");
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void batch_items_succeed_and_fail_by_themselves(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_new_event events[3] = {some_event, some_event, some_event};
    events[2].event_id = "evt_mine";
    triggers_reply *reply = triggers_create_batch(pair.client, events, 3, NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    assert_int_equal(reply->item_count, 3);
    assert_int_equal(reply->items[0].error.code, TRIGGERS_OK);
    assert_int_equal(strlen(reply->items[0].event.event_id), TRIGGERS_ID_SIZE - 1);
    assert_int_equal(reply->items[1].error.code, TRIGGERS_ALREADY_EXISTS);
    assert_string_equal(reply->items[1].error.message, "taken");
    assert_string_equal(reply->items[1].event.event_id, "");
    assert_string_equal(reply->items[2].event.event_id, "evt_mine");
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void reads_carry_events(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_reply *reply = triggers_get(pair.client, "evt_1", NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    const triggers_event *event = &reply->items[0].event;
    assert_string_equal(event->source, "crm");
    assert_string_equal(event->event_type, "lead.created");
    assert_string_equal(event->payload, "xx");
    assert_int_equal(event->payload_size, 2);
    assert_int_equal(event->status, TRIGGERS_STATUS_PENDING);
    triggers_reply_free(reply);

    reply = triggers_list(pair.client, NULL, NULL);
    assert_int_equal(reply->item_count, 2);
    assert_string_equal(reply->next_page_token, "more");
    assert_string_equal(reply->items[0].event.payload, "x");
    assert_string_equal(reply->items[1].event.payload, "");
    assert_int_equal(reply->items[1].event.status, TRIGGERS_STATUS_ACKNOWLEDGED);
    assert_int_equal(reply->items[1].event.acknowledged_at_us, 1700000000123456);
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void acknowledgements_health_and_stats(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_reply *reply = triggers_ack(pair.client, "evt_1", NULL);
    assert_string_equal(reply->items[0].event.event_id, "evt_1");
    assert_int_equal(reply->items[0].event.status, TRIGGERS_STATUS_ACKNOWLEDGED);
    triggers_reply_free(reply);

    const char *ids[] = {"evt_1"};
    reply = triggers_ack_batch(pair.client, ids, 1, NULL);
    assert_int_equal(reply->item_count, 1);
    triggers_reply_free(reply);

    reply = triggers_health(pair.client, NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    assert_int_equal(reply->serving, TRIGGERS_SERVING);
    assert_string_equal(reply->server_version, "9.9");
    assert_string_equal(reply->server_store, "scripted");
    assert_string_equal(reply->stats, "");
    triggers_reply_free(reply);

    reply = triggers_stats(pair.client, NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    assert_string_equal(reply->stats, "triggers_core_scripted 1\n");
    triggers_reply_free(reply);
    pair_stop(&pair);
}

static void errors_carry_their_details(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_call_options options = script("error");
    triggers_reply *reply = triggers_create(pair.client, &some_event, &options);
    assert_int_equal(reply->error.retry_delay_ms, 7);
    assert_int_equal(reply->error.violation_count, 1);
    assert_string_equal(reply->error.violations[0].field, "source");
    assert_string_equal(reply->error.violations[0].description, "must not be odd");
    assert_failed(reply, TRIGGERS_INVALID_ARGUMENT, "SOURCE_ODD");
    options = script("future");
    assert_failed(triggers_health(pair.client, &options), TRIGGERS_UNKNOWN, "SOURCE_ODD");
    pair_stop(&pair);
}

static void nonsense_is_internal(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    const triggers_code code = TRIGGERS_INTERNAL;
    triggers_call_options options = script("garbage");
    assert_failed(triggers_get(pair.client, "evt_1", &options), code, "ANSWER_MALFORMED");
    options = script("bad-body");
    assert_failed(triggers_get(pair.client, "evt_1", &options), code, "ANSWER_MALFORMED");
    options = script("no-items");
    assert_failed(triggers_get(pair.client, "evt_1", &options), code, "ANSWER_MALFORMED");
    const char *ids[] = {"evt_1", "evt_2"}; /* one result comes back */
    assert_failed(triggers_ack_batch(pair.client, ids, 2, NULL), code, "ANSWER_MALFORMED");
    pair_stop(&pair);
}

/* ---- sizes ---- */

static void carry_big_messages(const char *scheme)
{
    struct pair pair = pair_start(scheme, PATIENCE_MS);
    const size_t sizes[] = {2 << 20, (8 << 20) - 1000};
    char *payload = malloc(sizes[1]);
    memset(payload, ' ', sizes[1]);
    for (int i = 0; i < 2; i++) {
        triggers_new_event event = some_event;
        event.payload = payload;
        event.payload_size = sizes[i];
        triggers_reply *reply = triggers_create(pair.client, &event, NULL);
        assert_string_equal(reply->error.message, "");
        triggers_reply_free(reply);
        char id[32];
        snprintf(id, sizeof(id), "size:%zu", sizes[i]);
        reply = triggers_get(pair.client, id, NULL);
        assert_string_equal(reply->error.message, "");
        assert_int_equal(reply->items[0].event.payload_size, sizes[i]);
        assert_int_equal(strlen(reply->items[0].event.payload), sizes[i]);
        triggers_reply_free(reply);
    }
    free(payload);
    pair_stop(&pair);
}

static void big_messages_over_ws(void **state)
{
    (void)state;
    carry_big_messages("ws");
}

static void big_messages_over_tcp(void **state)
{
    (void)state;
    carry_big_messages("tcp");
}

static void too_big_requests_are_not_sent(void **state)
{
    (void)state;
    struct pair pair = pair_start("ws", PATIENCE_MS);
    triggers_new_event event = some_event;
    event.payload_size = TRIGGERS_MAX_MESSAGE;
    char *payload = calloc(1, event.payload_size);
    event.payload = payload;
    assert_failed(triggers_create(pair.client, &event, NULL), TRIGGERS_INVALID_ARGUMENT,
                  "MESSAGE_TOO_LARGE");
    free(payload);
    assert_int_equal(scripted_core_count(pair.core), 0);
    pair_stop(&pair);
}

/* The first try of a call is its longest, and the longest that is let out has all the bytes that
 * a core takes. */
static void the_largest_request_is_sent_again(void **state)
{
    (void)state;
    struct url url = free_url("tcp");
    struct scripted_core *core = scripted_core_start(url.text);
    triggers_client *client = open_client_that(0, url.text);
    char *payload = calloc(1, TRIGGERS_MAX_MESSAGE);
    triggers_new_event event = some_event;
    event.payload = payload;
    event.payload_size = TRIGGERS_MAX_MESSAGE / 2;
    triggers_call_options options = script("fine");
    triggers_reply_free(triggers_create(client, &event, &options));
    event.payload_size += TRIGGERS_MAX_MESSAGE - scripted_core_last(core).size;

    options = script("busy");
    triggers_reply *reply = triggers_create(client, &event, &options);
    assert_string_equal(reply->error.message, "");
    triggers_reply_free(reply);
    assert_int_equal(scripted_core_count(core), 3);
    assert_int_equal(scripted_core_last(core).size, TRIGGERS_MAX_MESSAGE);

    event.payload_size++;
    assert_failed(triggers_create(client, &event, &options), TRIGGERS_INVALID_ARGUMENT,
                  "MESSAGE_TOO_LARGE");
    assert_int_equal(scripted_core_count(core), 3);
    free(payload);
    triggers_client_close(client);
    scripted_core_stop(core);
}

/* ---- arguments ---- */

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    const triggers_code code = TRIGGERS_INVALID_ARGUMENT;
    struct url url = free_url("ws");
    triggers_client *client = open_client(url.text, PATIENCE_MS, 0);
    assert_failed(triggers_create(NULL, &some_event, NULL), code, "CLIENT_MISSING");
    assert_failed(triggers_create(client, NULL, NULL), code, "EVENT_MISSING");
    triggers_new_event event = some_event;
    event.source = NULL;
    assert_failed(triggers_create(client, &event, NULL), code, "SOURCE_INVALID");
    event = some_event;
    event.event_type = NULL;
    assert_failed(triggers_create_batch(client, &event, 1, NULL), code, "EVENT_TYPE_INVALID");
    event = some_event;
    event.payload = NULL;
    assert_failed(triggers_create(client, &event, NULL), code, "PAYLOAD_INVALID");
    event = some_event;
    event.deliver_at_us = 1;
    event.delay_seconds = 1;
    assert_failed(triggers_create(client, &event, NULL), code, "DELIVERY_INVALID");
    assert_failed(triggers_create_batch(client, &event, 0, NULL), code, "BATCH_SIZE_INVALID");
    assert_failed(triggers_create_batch(client, &event, 1001, NULL), code, "BATCH_SIZE_INVALID");
    assert_failed(triggers_create_batch(client, NULL, 1, NULL), code, "BATCH_SIZE_INVALID");
    assert_failed(triggers_get(client, NULL, NULL), code, "EVENT_ID_INVALID");
    assert_failed(triggers_ack(client, NULL, NULL), code, "EVENT_ID_INVALID");
    const char *ids[] = {"evt_1", NULL};
    assert_failed(triggers_ack_batch(client, ids, 2, NULL), code, "EVENT_ID_INVALID");
    assert_failed(triggers_list(NULL, NULL, NULL), code, "CLIENT_MISSING");
    assert_failed(triggers_health(NULL, NULL), code, "CLIENT_MISSING");
    assert_failed(triggers_stats(NULL, NULL), code, "CLIENT_MISSING");
    triggers_client_close(client);
    triggers_client_close(NULL);
    triggers_reply_free(NULL);
}

static void assert_not_opened(const char *url, const char *ca_file, const char *named)
{
    triggers_client_options options = {.url = url, .tls_ca_file = ca_file};
    triggers_client *client;
    char error[256] = "";
    assert_int_equal(triggers_client_open(&client, &options, error, sizeof(error)),
                     TRIGGERS_INVALID_ARGUMENT);
    assert_null(client);
    assert_non_null(strstr(error, named));
    assert_int_equal(triggers_client_open(&client, &options, NULL, 0), TRIGGERS_INVALID_ARGUMENT);
}

static void bad_addresses_are_named(void **state)
{
    (void)state;
    assert_not_opened("http://127.0.0.1:7300", NULL, "ws://, wss://, tcp://");
    assert_not_opened("127.0.0.1:7300", NULL, "127.0.0.1:7300");
    assert_not_opened("ws://", NULL, "ws://");
    assert_not_opened("", NULL, "empty");
    assert_not_opened("ws://127.0.0.1:7300/rpc,,", NULL, "empty");
    assert_not_opened("ws://127.0.0.1:notaport/rpc", NULL, "notaport");
    assert_not_opened("tcp://127.0.0.1:65536", NULL, "65535");
    assert_not_opened("ws://[::1/rpc", NULL, "[::1");
    assert_not_opened("ws://me:secret@127.0.0.1:7300/rpc", NULL, "user name");
    assert_not_opened("wss://127.0.0.1:7300/rpc", NULL, "certificates to trust");
    assert_not_opened("tls+tcp://127.0.0.1:7300", "/nowhere/ca.pem", "/nowhere/ca.pem");
    assert_not_opened("tls+tcp://127.0.0.1:7300", "/dev/null", "PEM");
}

static void an_unknown_way_to_retry_is_refused(void **state)
{
    (void)state;
    for (int no_retry = -1; no_retry <= 3; no_retry += 4) {
        triggers_client_options options = {.no_retry = no_retry};
        triggers_client *client;
        char error[256] = "";
        assert_int_equal(triggers_client_open(&client, &options, error, sizeof(error)),
                         TRIGGERS_INVALID_ARGUMENT);
        assert_non_null(strstr(error, "no_retry"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_answers_with_the_id_that_the_client_made),
        cmocka_unit_test(a_given_event_id_is_kept),
        cmocka_unit_test(batch_items_succeed_and_fail_by_themselves),
        cmocka_unit_test(reads_carry_events),
        cmocka_unit_test(acknowledgements_health_and_stats),
        cmocka_unit_test(errors_carry_their_details),
        cmocka_unit_test(nonsense_is_internal),
        cmocka_unit_test(big_messages_over_ws),
        cmocka_unit_test(big_messages_over_tcp),
        cmocka_unit_test(too_big_requests_are_not_sent),
        cmocka_unit_test(the_largest_request_is_sent_again),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(bad_addresses_are_named),
        cmocka_unit_test(an_unknown_way_to_retry_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
