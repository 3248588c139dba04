/* Requests become calls in flight; the outcome of each try decides whether there is another, and in
 * the end what the reply is. */
#include "invocation.h"

#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "base/check.h"
#include "base/clock.h"
#include "envelope.h"

#define CONNECT_RETRY_MS 1000

/* The core gets a deadline earlier than the caller's (by a twentieth, at most this much), so that
 * its answer to a call that it could not do in time still arrives in time. */
#define MARGIN_MAX_MS 250

/* A core that is stopping refuses new calls; with several addresses another one gets them. Requests
 * go round the connections, so after a few refusals no other core is connected: further tries are
 * spread over the time that a core needs to start. */
#define QUICK_REFUSALS 8
#define MAX_REFUSALS 40
#define REFUSAL_WAIT_MS 50

#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS 2000

/* The route of a request is its number, which has the highest bit set. */
#define ROUTE_SIZE 4
#define ROUTE_END FLIGHT_ID_END

/* ---- ends of calls ---- */

static void hand_over(triggers_reply *reply, triggers_callback *callback, void *user_data)
{
    CHECK(reply);
    if (callback)
        callback(reply, user_data);
    else
        triggers_reply_free(reply);
}

void invocation_refuse(const struct invocation *invocation, const struct status *status)
{
    hand_over(reply_from_status(status), invocation->callback, invocation->user_data);
}

/* A message of ours, from its making until it has left. */
struct parcel {
    struct link_message message; /* first */
    struct charge charge;
};

static void parcel_free(struct link_message *message)
{
    struct parcel *parcel = (struct parcel *)message;
    link_discard(message);
    charge_release(&parcel->charge, parcel->charge.held);
    free(parcel);
}

static void flight_free(struct flight *flight)
{
    if (flight->message)
        parcel_free(flight->message);
    CHECK(flight->magic == FLIGHT_MAGIC);
    CHECK(flight->phase == FLIGHT_ENDED || flight->phase == FLIGHT_OWNED);
    flight->magic = 0;
    free(flight->request);
    triggers_reply_free(flight->refusal);
    charge_release(&flight->charge, flight->charge.held);
    free(flight);
}

/* The call no longer counts when the callback runs, so that the callback can start the next one. */
static void finish(struct flight *flight, triggers_reply *reply)
{
    flights_end(&flight->client->flights, flight);
    triggers_callback *callback = flight->callback;
    void *user_data = flight->user_data;
    flight_free(flight);
    hand_over(reply, callback, user_data);
}

static void finish_failed(struct flight *flight, const struct status *status)
{
    finish(flight, reply_from_status(status));
}

static bool fail_closed(struct status *status)
{
    return status_fail(status, STATUS_CANCELLED, "CLIENT_CLOSED",
                       "the client was closed before the call ended");
}

/* Why there is no room for another call. */
static bool fail_full(const struct flights *flights, struct status *status)
{
    if (flights->closing)
        return fail_closed(status);
    return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS",
                       "%u calls are in flight, which is this client's limit", flights->max);
}

static bool fail_memory(struct status *status)
{
    return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the call");
}

static bool fail_unreachable(const triggers_client *client, struct status *status)
{
    status_fail(
        status, STATUS_UNAVAILABLE, "CORE_UNREACHABLE",
        "no connection to triggersd; check that it runs%s and that the address is right: %s",
        client->peers.uses_tls ? ", that its certificate is for this host and signed by the CA"
                               : "",
        client->urls);
    status->retry_delay_ms = CONNECT_RETRY_MS;
    return false;
}

static bool fail_timeout(const struct flight *flight, struct status *status)
{
    bool connected = flight->client->peers.open > 0;
    if (!connected && !flight->left)
        return fail_unreachable(flight->client, status);
    /* A connection that this client closed was not lost: its core was reachable, but silent. */
    if (!connected && !flight->client->peers.gave_up) {
        status_fail(status, STATUS_UNAVAILABLE, "CONNECTION_LOST",
                    "the connection was lost and did not come back within %u ms; the call may or "
                    "may not have been done",
                    flight->timeout_ms);
        status->retry_delay_ms = CONNECT_RETRY_MS;
        return false;
    }
    return status_fail(status, STATUS_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                       "no answer within %u ms; the call may or may not have been done",
                       flight->timeout_ms);
}

/* ---- sending ---- */

static int64_t time_left_ms(const struct flight *flight)
{
    int64_t left = flight->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* The deadline that the core gets when so much time is left. */
static uint32_t core_timeout(uint32_t left_ms)
{
    uint32_t margin = left_ms / 20;
    return left_ms - (margin < MARGIN_MAX_MS ? margin : MARGIN_MAX_MS);
}

/* Writes the end of an envelope for a try, and returns its size. */
static size_t pack_end(struct flight *flight, uint32_t left_ms, uint8_t end[ENVELOPE_MAX_END_SIZE])
{
    char authorization[API_KEY_VALUE_SIZE] = "";
    if (!flight->keyless)
        flight->key_version = api_key_write(&flight->client->api_key, authorization);
    return envelope_pack_end(core_timeout(left_ms), authorization, end);
}

/* Makes the message of a try. False without memory. */
static bool make_message(struct flight *flight, struct status *status)
{
    const uint32_t number = ROUTE_END | flight->id;
    const uint8_t route[ROUTE_SIZE] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                       (uint8_t)(number >> 8), (uint8_t)number};
    uint8_t end[ENVELOPE_MAX_END_SIZE];
    CHECK(time_left_ms(flight) <= flight->timeout_ms);
    uint32_t left_ms = (uint32_t)time_left_ms(flight);
    size_t end_size = pack_end(flight, left_ms > 0 ? left_ms : 1, end);
    size_t size = flight->request_size + end_size;
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        return fail_memory(status);
    parcel->charge.share = flight->client->peers.memory;
    bool fits = charge_add(&parcel->charge, sizeof(*parcel) + size);
    uint8_t *out = fits ? link_reserve(&parcel->message, route, sizeof(route), size) : NULL;
    if (!out) {
        parcel_free(&parcel->message);
        return fits ? fail_memory(status) : envelope_fail_busy(status);
    }
    memcpy(out, flight->request, flight->request_size);
    memcpy(out + flight->request_size, end, end_size);
    CHECK(!flight->message);
    flight->message = &parcel->message;
    return true;
}

/* Sends the owned call once more, or lets it wait for a peer. */
static void send_once_more(struct flight *flight)
{
    struct status status;
    if (!make_message(flight, &status)) {
        fail_memory(&status); /* CLIENT_BUSY would say that it was never sent */
        finish_failed(flight, &status);
        return;
    }
    flights_place(&flight->client->flights, flight);
}

static void finish_lost(struct flight *flight)
{
    struct status status;
    status_fail(
        &status, STATUS_UNAVAILABLE, "CONNECTION_LOST",
        "the connection was lost; the call may or may not have been done, and it is sent once");
    status.retry_delay_ms = CONNECT_RETRY_MS;
    finish_failed(flight, &status);
}

/* What was given to the lost connection may have reached the core, however much of it has left. */
static void on_lost(void *owner, struct peer *peer)
{
    triggers_client *client = owner;
    struct flight *lost = flights_take_lost(&client->flights, peer);
    while (lost) {
        struct flight *flight = lost;
        lost = flight->next;
        (flight->repeatable ? send_once_more : finish_lost)(flight);
    }
}

/* ---- answers ---- */

/* Sends a refused call again when it may find another core. */
static bool send_elsewhere(struct flight *flight, const triggers_reply *reply)
{
    triggers_client *client = flight->client;
    if (client->no_retry == TRIGGERS_SEND_ONCE || client->peers.count == 1 ||
        strcmp(reply->error.reason, "STOPPING") != 0 || ++flight->refusals > MAX_REFUSALS ||
        time_left_ms(flight) <= REFUSAL_WAIT_MS)
        return false;
    if (flight->refusals > QUICK_REFUSALS) {
        flights_pause(&client->flights, flight, clock_monotonic_ms() + REFUSAL_WAIT_MS);
        return true;
    }
    flights_renew(&client->flights, flight);
    send_once_more(flight);
    return true;
}

/* Lets a call whose key was refused wait for the keeper, which asks for another one. */
static bool send_with_another_key(struct flight *flight, triggers_reply *reply)
{
    triggers_client *client = flight->client;
    if (reply->code != TRIGGERS_UNAUTHENTICATED || flight->keyless || flight->renewed ||
        !client->api_key.source || client->no_retry == TRIGGERS_SEND_ONCE)
        return false;
    CHECK(!flight->refusal);
    flight->refusal = reply;
    flights_pause(&client->flights, flight, clock_monotonic_ms());
    return true;
}

/* Lets the call wait for another try; false when the reply ends the call: its code is final, or the
 * wait would pass the deadline. */
static bool send_later(struct flight *flight, const triggers_reply *reply)
{
    bool passing = triggers_code_is_retryable(reply->code) &&
                   reply->code != TRIGGERS_DEADLINE_EXCEEDED; /* which this reply is the end of */
    if (!passing || flight->client->no_retry || !flight->method.api->repeatable)
        return false;
    uint32_t wait = backoff_next_ms(&flight->backoff_ms, RETRY_MOST_MS);
    uint32_t advised = reply->error.retry_delay_ms;
    wait = wait > advised ? wait : advised;
    if (wait >= time_left_ms(flight))
        return false;
    flights_pause(&flight->client->flights, flight, clock_monotonic_ms() + wait);
    return true;
}

static void on_answer(struct flight *flight, const void *bytes, size_t size)
{
    CHECK(flight->phase == FLIGHT_OWNED);
    charge_release(&flight->charge, flight->answer_room);
    flight->answer_room = 0;
    triggers_reply *reply = reply_from_message(&flight->method, flight->item_count, bytes, size,
                                               flight->client->peers.memory);
    if (send_with_another_key(flight, reply))
        return;
    if (send_elsewhere(flight, reply) || send_later(flight, reply))
        triggers_reply_free(reply);
    else
        finish(flight, reply);
}

static void on_received(void *owner, const struct link_received *received)
{
    triggers_client *client = owner;
    const uint8_t *route = received->route;
    uint32_t end =
        (uint32_t)route[0] << 24 | (uint32_t)route[1] << 16 | (uint32_t)route[2] << 8 | route[3];
    if (received->route_size != ROUTE_SIZE)
        return;
    struct flight *flight = flights_take_answered(&client->flights, end & ~ROUTE_END);
    if (flight && received->body)
        on_answer(flight, received->body, received->size);
    else if (flight)
        finish(flight, reply_too_large());
}

static void on_opened(void *owner)
{
    triggers_client *client = owner;
    flights_send_waiting(&client->flights);
}

const struct peer_events invocation_events = {
    .received = on_received,
    .sent = parcel_free,
    .opened = on_opened,
    .lost = on_lost,
};

/* ---- what is due ---- */

static void end_late(struct flight *flight)
{
    struct status status;
    if (flight->left)
        peers_close_silent(&flight->client->peers);
    fail_timeout(flight, &status);
    finish_failed(flight, &status);
}

static void serve_refused(struct flight *flight)
{
    triggers_reply *refusal = flight->refusal;
    flight->refusal = NULL;
    if (time_left_ms(flight) == 0 ||
        !api_key_renew(&flight->client->api_key, flight->key_version)) {
        finish(flight, refusal);
        return;
    }
    triggers_reply_free(refusal);
    flight->renewed = true;
    send_once_more(flight);
}

static void serve_due(struct flight *flight)
{
    struct status status;
    CHECK(flight->phase == FLIGHT_OWNED);
    if (flight->cancelled) {
        status_fail(&status, STATUS_CANCELLED, "CALL_CANCELLED",
                    "the caller cancelled the call; it may or may not have been done");
        finish_failed(flight, &status);
    } else if (flight->client->flights.closing) {
        fail_closed(&status);
        finish_failed(flight, &status);
    } else if (flight->refusal) {
        serve_refused(flight);
    } else if (time_left_ms(flight) == 0) {
        end_late(flight);
    } else if (flight->message) { /* it has waited longer for a peer than an impatient call may */
        fail_unreachable(flight->client, &status);
        finish_failed(flight, &status);
    } else {
        send_once_more(flight);
    }
}

void invocations_serve_due(triggers_client *client)
{
    struct flight *due = flights_take_due(&client->flights);
    while (due) {
        struct flight *flight = due;
        due = flight->next;
        serve_due(flight);
    }
}

/* ---- starting ---- */

/* A call that waits and has no timeout of its own has the client's, and the time that it waits. */
static uint32_t timeout_of(const triggers_client *client, const struct invocation *invocation,
                           const ProtobufCMessage *body)
{
    const triggers_call_options *options = invocation->options;
    const uint32_t *wait_ms = api_wait_ms(invocation->method->api, body);
    uint64_t timeout = client->timeout_ms;
    if (options && options->timeout_ms)
        timeout = options->timeout_ms;
    else if (wait_ms)
        timeout += *wait_ms < TRIGGERS_MAX_WAIT_MS ? *wait_ms : TRIGGERS_MAX_WAIT_MS;
    return timeout < INT32_MAX ? (uint32_t)timeout : INT32_MAX;
}

static bool pack(struct flight *flight, const struct invocation *invocation,
                 const ProtobufCMessage *body, struct status *status)
{
    const triggers_call_options *options = invocation->options;
    struct envelope envelope = {
        .method = invocation->method->api->name,
        .request_id = options ? options->request_id : NULL,
        .traceparent = options ? options->traceparent : NULL,
        .caller = options ? options->caller : NULL,
        .authorization = options ? options->authorization : NULL,
        .address = options ? options->address : NULL,
        .client = flight->client->name,
    };
    uint8_t end[ENVELOPE_MAX_END_SIZE];
    size_t end_size = pack_end(flight, flight->timeout_ms, end);
    if (!charge_add(&flight->charge, sizeof(*flight) + REPLY_ORDINARY))
        return envelope_fail_busy(status);
    flight->answer_room = REPLY_ORDINARY;
    return envelope_pack(&envelope, body, end_size, &flight->charge, &flight->request,
                         &flight->request_size, status) &&
           make_message(flight, status);
}

/* A call with its message, NULL when it cannot be made. */
static struct flight *flight_new(triggers_client *client, const struct invocation *invocation,
                                 const ProtobufCMessage *body, struct status *status)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    if (!flight) {
        fail_memory(status);
        return NULL;
    }
    flight->magic = FLIGHT_MAGIC;
    flight->client = client;
    flight->charge.share = client->peers.memory;
    flight->method = *invocation->method;
    flight->item_count = invocation->item_count;
    flight->callback = invocation->callback;
    flight->user_data = invocation->user_data;
    flight->tag = invocation->options ? invocation->options->tag : NULL;
    flight->timeout_ms = timeout_of(client, invocation, body);
    flight->deadline_ms = clock_monotonic_ms() + flight->timeout_ms;
    flight->repeatable = flight->method.api->repeatable && client->no_retry != TRIGGERS_SEND_ONCE;
    flight->impatient = client->no_retry != 0;
    flight->keyless = invocation->options && invocation->options->authorization;
    flight->backoff_ms = RETRY_FIRST_MS;
    flight->id = flights_next_id(&client->flights);
    if ((flight->keyless || api_key_ask(&client->api_key, status)) &&
        pack(flight, invocation, body, status))
        return flight;
    flight_free(flight);
    return NULL;
}

/* Checks the limit before the request is made, too, because refusals should cost little. */
void invocation_start(triggers_client *client, const struct invocation *invocation,
                      const ProtobufCMessage *body)
{
    struct status status;
    struct flight *flight = NULL;
    if (!flights_have_room(&client->flights)) {
        fail_full(&client->flights, &status);
    } else if ((flight = flight_new(client, invocation, body, &status))) {
        if (flights_begin(&client->flights, flight))
            return;
        fail_full(&client->flights, &status);
        flight_free(flight);
    }
    invocation_refuse(invocation, &status);
}
