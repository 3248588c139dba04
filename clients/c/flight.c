/* Calls in flight, from the request to the one reply. Whoever has taken a call out of its list, or
 * has just begun it, is its only owner until it is placed again or ends. */
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "base/check.h"
#include "base/clock.h"
#include "client.h"
#include "envelope.h"

/* A call that finds no connection waits this long for one. */
#define CONNECT_WAIT_MS 1000
#define CONNECT_RETRY_MS 1000

/* Unless calls are sent once, the request of a repeatable method is sent again when its connection
 * drops, and after this long without an answer when there is another one and the method does not
 * wait. More often would only burden a core that is slow. */
#define RESEND_MS 5000

/* The core is told a deadline so much earlier than the caller's (a twentieth, at most this) that
 * its answer to a call that it could not do in time still arrives in time. */
#define MARGIN_MAX_MS 250

/* A core that is stopping refuses new calls; with several addresses another one gets them. Requests
 * go round the connections, so after a few refusals no other is connected: the further tries are
 * spread over the time in which one that has just been started will be. */
#define QUICK_REFUSALS 8
#define MAX_REFUSALS 40
#define REFUSAL_WAIT_MS 50

#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS 2000

/* The route of a request is its number, which has the highest bit set. */
#define ROUTE_SIZE 4
#define ROUTE_END 0x80000000u

enum flight_phase {
    FLIGHT_OWNED,
    FLIGHT_WAITING, /* for a connection, in client->waiting, its message at hand */
    FLIGHT_SENT,    /* waits for its answer, in peer->sent */
    FLIGHT_PAUSED,  /* until `due_ms`, to be tried again */
    FLIGHT_ENDED,   /* its reply is handed over next */
};

#define FLIGHT_MAGIC 0x464c4954u

struct flight {
    unsigned magic;
    triggers_client *client;
    struct method method;
    size_t item_count;
    triggers_callback *callback;
    void *user_data;
    const void *tag; /* for triggers_cancel */
    uint32_t timeout_ms;
    int64_t deadline_ms;  /* on the monotonic clock */
    struct charge charge; /* the flight, its request and `answer_room` */
    size_t answer_room;   /* kept for an ordinary answer, so that this can be received */
    uint8_t *request;     /* its envelope, but for the timeout */
    size_t request_size;
    unsigned refusals;
    uint32_t backoff_ms; /* see backoff_next_ms */
    atomic_bool cancelled;

    uint32_t id;                  /* of this try: with an answer it is over */
    bool left;                    /* this try has been sent */
    struct peer *peer;            /* which was sent it last; NULL: none */
    struct link_message *message; /* not sent yet; NULL: none is made */

    /* Under the client's mutex. */
    enum flight_phase phase;
    int64_t due_ms;             /* when the keeper goes on with it or ends it */
    struct flight *next_in_row; /* of the table */
    struct flight *previous;    /* in the list of its phase */
    struct flight *next;
};

/* ---- the lists and the table; the mutex is held ---- */

static void flight_move(struct flight *flight, enum flight_phase to)
{
    CHECK(flight->magic == FLIGHT_MAGIC);
    CHECK(flight->phase != FLIGHT_ENDED && (flight->phase == FLIGHT_OWNED) != (to == FLIGHT_OWNED));
    CHECK((to == FLIGHT_WAITING) <= (flight->message != NULL));
    flight->phase = to;
}

static void list_append(struct flight_list *list, struct flight *flight)
{
    flight->previous = list->last;
    flight->next = NULL;
    *(list->last ? &list->last->next : &list->first) = flight;
    list->last = flight;
}

static void list_remove(struct flight_list *list, struct flight *flight)
{
    CHECK((flight->previous ? flight->previous->next : list->first) == flight);
    CHECK((flight->next ? flight->next->previous : list->last) == flight);
    *(flight->previous ? &flight->previous->next : &list->first) = flight->next;
    *(flight->next ? &flight->next->previous : &list->last) = flight->previous;
}

static struct flight **row_of(triggers_client *client, uint32_t id)
{
    return &client->flights[id % FLIGHT_TABLE_SIZE];
}

static uint32_t next_id(triggers_client *client)
{
    return client->next_id++ & ~ROUTE_END;
}

static void table_put(struct flight *flight)
{
    struct flight **row = row_of(flight->client, flight->id);
    CHECK((flight->id & ROUTE_END) == 0);
    flight->next_in_row = *row;
    *row = flight;
}

static void table_remove(struct flight *flight)
{
    struct flight **place = row_of(flight->client, flight->id);
    while (*place != flight) {
        CHECK(*place);
        place = &(*place)->next_in_row;
    }
    *place = flight->next_in_row;
}

static struct flight *table_find(triggers_client *client, uint32_t id)
{
    struct flight *flight = *row_of(client, id);
    while (flight && flight->id != id)
        flight = flight->next_in_row;
    return flight;
}

/* ---- ends of calls ---- */

static void hand_over(triggers_reply *reply, triggers_callback *callback, void *user_data)
{
    if (callback)
        callback(reply, user_data);
    else
        triggers_reply_free(reply);
}

void client_refuse_call(const struct invocation *call, const struct status *status)
{
    hand_over(reply_from_status(status), call->callback, call->user_data);
}

/* A message of ours, from its making until it has left. */
struct parcel {
    struct link_message message; /* first */
    struct charge charge;
};

static void parcel_free(struct parcel *parcel)
{
    link_discard(&parcel->message);
    charge_release(&parcel->charge, parcel->charge.held);
    free(parcel);
}

void flights_free_message(struct link_message *message)
{
    parcel_free((struct parcel *)message);
}

static void flight_free(struct flight *flight)
{
    if (flight->message)
        flights_free_message(flight->message);
    CHECK(flight->magic == FLIGHT_MAGIC);
    flight->magic = 0;
    free(flight->request);
    charge_release(&flight->charge, flight->charge.held);
    free(flight);
}

/* The call does not count any more when the callback runs, so that this can start the next one. */
static void finish(struct flight *flight, triggers_reply *reply)
{
    triggers_client *client = flight->client;
    pthread_mutex_lock(&client->mutex);
    flight_move(flight, FLIGHT_ENDED);
    table_remove(flight);
    CHECK(client->in_flight > 0);
    client->in_flight--;
    if (client->closing && client->in_flight == 0)
        pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->mutex);
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

static bool fail_cancelled(const struct flight *flight, struct status *status)
{
    if (!flight->cancelled)
        return fail_closed(status);
    return status_fail(status, STATUS_CANCELLED, "CALL_CANCELLED",
                       "the caller cancelled the call; it may or may not have been done");
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
        client->uses_tls ? ", that its certificate is for this host and signed by the CA" : "",
        client->urls);
    status->retry_delay_ms = CONNECT_RETRY_MS;
    return false;
}

static bool fail_lost(struct status *status)
{
    status_fail(
        status, STATUS_UNAVAILABLE, "CONNECTION_LOST",
        "the connection was lost; the call may or may not have been done, and it is sent once");
    status->retry_delay_ms = CONNECT_RETRY_MS;
    return false;
}

static bool fail_timeout(const struct flight *flight, struct status *status)
{
    bool connected = flight->client->standing > 0;
    if (!connected && !flight->left)
        return fail_unreachable(flight->client, status);
    /* A connection that this client closed was not lost: its core was there, and silent. */
    if (!connected && !flight->client->gave_up) {
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

/* ---- placing; the mutex is held ---- */

static int64_t min_time(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A call that was cancelled while it was owned is due at once. */
static void set_due(struct flight *flight, int64_t due_ms)
{
    bool unwanted = flight->cancelled || flight->client->closing;
    flight->due_ms = unwanted ? 0 : min_time(due_ms, flight->deadline_ms);
    keeper_look_at(flight->client, flight->due_ms);
}

/* Whether it may be sent again when it is not known what became of it. */
static bool is_repeatable(const struct flight *flight)
{
    return flight->method.api->repeatable && flight->client->no_retry != TRIGGERS_SEND_ONCE;
}

static int64_t resend_time(const struct flight *flight, int64_t now_ms)
{
    bool elsewhere = flight->client->peer_count > 1 && is_repeatable(flight);
    return elsewhere && !flight->method.api->waits ? now_ms + RESEND_MS : INT64_MAX;
}

/* A message and the link on which it is to leave, held; NULL: none. */
struct departure {
    struct link *link;
    struct link_message *message;
};

static struct departure place_on_peer(struct flight *flight, struct peer *peer)
{
    struct departure departure = {peer->link, flight->message};
    int64_t now_ms = clock_monotonic_ms();
    link_hold(peer->link);
    if (peer->waiting_since_ms == 0 && !flight->method.api->waits)
        peer->waiting_since_ms = now_ms;
    CHECK(peer->state == PEER_STANDS && flight->message);
    flight->message = NULL;
    flight->left = true;
    flight->peer = peer;
    flight_move(flight, FLIGHT_SENT);
    list_append(&peer->sent, flight);
    set_due(flight, resend_time(flight, now_ms));
    return departure;
}

static void place_in_line(struct flight *flight)
{
    triggers_client *client = flight->client;
    bool gives_up = !flight->left && client->no_retry;
    flight_move(flight, FLIGHT_WAITING);
    list_append(&client->waiting, flight);
    set_due(flight, gives_up ? clock_monotonic_ms() + CONNECT_WAIT_MS : INT64_MAX);
}

static struct departure place(struct flight *flight)
{
    struct peer *peer = peers_choose(flight->client, flight->peer);
    if (peer)
        return place_on_peer(flight, peer);
    place_in_line(flight);
    return (struct departure){NULL, NULL};
}

/* Takes it from the list of its phase. */
static void take(struct flight *flight)
{
    if (flight->phase == FLIGHT_WAITING)
        list_remove(&flight->client->waiting, flight);
    if (flight->phase == FLIGHT_SENT)
        list_remove(&flight->peer->sent, flight);
    flight_move(flight, FLIGHT_OWNED);
}

/* ---- sending ---- */

static int64_t time_left_ms(const struct flight *flight)
{
    int64_t left = flight->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* The deadline that the core is told when so much is left. */
static uint32_t core_timeout(uint32_t left_ms)
{
    uint32_t margin = left_ms / 20;
    return left_ms - (margin < MARGIN_MAX_MS ? margin : MARGIN_MAX_MS);
}

/* Makes the message of a try. False without memory. */
static bool make_message(struct flight *flight, struct status *status)
{
    const uint32_t end = ROUTE_END | flight->id;
    const uint8_t route[ROUTE_SIZE] = {(uint8_t)(end >> 24), (uint8_t)(end >> 16),
                                       (uint8_t)(end >> 8), (uint8_t)end};
    uint8_t timeout[ENVELOPE_MAX_TIMEOUT_SIZE];
    uint32_t left_ms = (uint32_t)time_left_ms(flight);
    size_t timeout_size = envelope_pack_timeout(core_timeout(left_ms > 0 ? left_ms : 1), timeout);
    size_t size = flight->request_size + timeout_size;
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        return fail_memory(status);
    parcel->charge.share = flight->client->memory;
    bool fits = charge_add(&parcel->charge, sizeof(*parcel) + size);
    uint8_t *out = fits ? link_reserve(&parcel->message, route, sizeof(route), size) : NULL;
    if (!out) {
        parcel_free(parcel);
        return fits ? fail_memory(status) : envelope_fail_busy(status);
    }
    memcpy(out, flight->request, flight->request_size);
    CHECK(timeout_size <= sizeof(timeout));
    memcpy(out + flight->request_size, timeout, timeout_size);
    CHECK(!flight->message);
    flight->message = &parcel->message;
    return true;
}

static void depart(const struct departure *departure)
{
    if (!departure->link)
        return;
    link_send(departure->link, departure->message);
    link_let_go(departure->link);
}

/* Sends the owned call once more, or puts it in line. */
static void send_once_more(struct flight *flight)
{
    struct status status;
    if (!make_message(flight, &status)) {
        fail_memory(&status); /* CLIENT_BUSY would say that it was never sent */
        finish_failed(flight, &status);
        return;
    }
    pthread_mutex_lock(&flight->client->mutex);
    struct departure departure = place(flight);
    pthread_mutex_unlock(&flight->client->mutex);
    depart(&departure);
}

void flights_send_waiting(triggers_client *client)
{
    struct departure departure = {NULL, NULL};
    do {
        pthread_mutex_lock(&client->mutex);
        struct flight *flight = client->waiting.first;
        struct peer *peer = flight ? peers_choose(client, flight->peer) : NULL;
        departure.link = NULL;
        if (peer) {
            take(flight);
            departure = place_on_peer(flight, peer);
        }
        pthread_mutex_unlock(&client->mutex);
        depart(&departure);
    } while (departure.link);
}

/* Takes the calls of a list from it; each is linked to the next. The mutex is held. */
static struct flight *take_all(struct flight_list *list)
{
    struct flight *taken = list->first;
    for (struct flight *flight = taken; flight; flight = flight->next)
        flight_move(flight, FLIGHT_OWNED);
    *list = (struct flight_list){NULL, NULL};
    return taken;
}

static void finish_lost(struct flight *flight)
{
    struct status status;
    fail_lost(&status);
    finish_failed(flight, &status);
}

/* What was given to the lost connection may have reached the core, whatever of it has left. */
void flights_lose(struct peer *peer)
{
    pthread_mutex_lock(&peer->client->mutex);
    struct flight *lost = take_all(&peer->sent);
    pthread_mutex_unlock(&peer->client->mutex);
    while (lost) {
        struct flight *flight = lost;
        lost = flight->next;
        (is_repeatable(flight) ? send_once_more : finish_lost)(flight);
    }
}

/* ---- answers ---- */

/* Another try, whose answer is not to be mistaken for a late one of the last. The mutex is held. */
static void begin_try(struct flight *flight)
{
    table_remove(flight);
    flight->id = next_id(flight->client);
    flight->left = false;
    table_put(flight);
}

static void try_now(struct flight *flight)
{
    pthread_mutex_lock(&flight->client->mutex);
    begin_try(flight);
    pthread_mutex_unlock(&flight->client->mutex);
    send_once_more(flight);
}

static void try_later(struct flight *flight, uint32_t wait_ms)
{
    pthread_mutex_lock(&flight->client->mutex);
    begin_try(flight);
    flight_move(flight, FLIGHT_PAUSED);
    set_due(flight, clock_monotonic_ms() + wait_ms);
    pthread_mutex_unlock(&flight->client->mutex);
}

/* Sends a refused call again when it may find another core. */
static bool send_elsewhere(struct flight *flight, const triggers_reply *reply)
{
    const triggers_client *client = flight->client;
    if (client->no_retry == TRIGGERS_SEND_ONCE || client->peer_count == 1 ||
        strcmp(reply->error.reason, "STOPPING") != 0 || ++flight->refusals > MAX_REFUSALS ||
        time_left_ms(flight) <= REFUSAL_WAIT_MS)
        return false;
    if (flight->refusals <= QUICK_REFUSALS)
        try_now(flight);
    else
        try_later(flight, REFUSAL_WAIT_MS);
    return true;
}

/* Waits for another try; false when the reply is the call's end: its code is final, or the wait
 * would pass the deadline. */
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
    try_later(flight, wait);
    return true;
}

static void on_answer(struct flight *flight, const void *bytes, size_t size)
{
    CHECK(flight->phase == FLIGHT_OWNED);
    charge_release(&flight->charge, flight->answer_room);
    flight->answer_room = 0;
    triggers_reply *reply = reply_from_message(&flight->method, flight->item_count, bytes, size,
                                               flight->client->memory);
    if (send_elsewhere(flight, reply) || send_later(flight, reply))
        triggers_reply_free(reply);
    else
        finish(flight, reply);
}

/* The call that waits for this answer, taken; NULL: an answer that came too late. */
static struct flight *take_answered(struct peer *peer, uint32_t id)
{
    pthread_mutex_lock(&peer->client->mutex);
    peer->waiting_since_ms = 0;
    struct flight *flight = table_find(peer->client, id);
    if (flight && flight->phase == FLIGHT_SENT)
        take(flight);
    else
        flight = NULL;
    pthread_mutex_unlock(&peer->client->mutex);
    return flight;
}

void flights_take_answer(struct peer *peer, const struct link_received *received)
{
    const uint8_t *route = received->route;
    uint32_t end =
        (uint32_t)route[0] << 24 | (uint32_t)route[1] << 16 | (uint32_t)route[2] << 8 | route[3];
    if (received->route_size != ROUTE_SIZE)
        return;
    struct flight *flight = take_answered(peer, end & ~ROUTE_END);
    if (!flight)
        return;
    if (received->body) {
        on_answer(flight, received->body, received->size);
        return;
    }
    finish(flight, reply_too_large());
}

/* ---- what is due ---- */

/* A call that is due to be sent elsewhere waits on when there is nowhere else. */
static bool waits_on(const struct flight *flight, int64_t now_ms)
{
    return flight->phase == FLIGHT_SENT && flight->client->standing == 1 &&
           now_ms < flight->deadline_ms && flight->due_ms != 0;
}

struct flight *flights_take_due(triggers_client *client, int64_t now_ms, int64_t *next_ms)
{
    struct flight *due = NULL;
    *next_ms = INT64_MAX;
    for (size_t i = 0; i < FLIGHT_TABLE_SIZE; i++) {
        for (struct flight *flight = client->flights[i]; flight; flight = flight->next_in_row) {
            if (flight->phase == FLIGHT_OWNED)
                continue;
            if (flight->due_ms <= now_ms && waits_on(flight, now_ms))
                set_due(flight, resend_time(flight, now_ms));
            if (flight->due_ms > now_ms && !client->closing) {
                *next_ms = min_time(*next_ms, flight->due_ms);
                continue;
            }
            take(flight);
            flight->next = due;
            due = flight;
        }
    }
    return due;
}

static void end_late(struct flight *flight)
{
    struct status status;
    if (flight->left)
        peers_close_silent(flight->client);
    fail_timeout(flight, &status);
    finish_failed(flight, &status);
}

static void serve_due(struct flight *flight)
{
    struct status status;
    CHECK(flight->phase == FLIGHT_OWNED);
    if (flight->cancelled || flight->client->closing) {
        fail_cancelled(flight, &status);
        finish_failed(flight, &status);
    } else if (time_left_ms(flight) == 0) {
        end_late(flight);
    } else if (flight->message) { /* in line for longer than a call that does not wait */
        fail_unreachable(flight->client, &status);
        finish_failed(flight, &status);
    } else {
        send_once_more(flight);
    }
}

void flights_serve_due(struct flight *due)
{
    while (due) {
        struct flight *flight = due;
        due = flight->next;
        serve_due(flight);
    }
}

/* ---- starting and stopping ---- */

static uint32_t timeout_of(const triggers_client *client, const triggers_call_options *options)
{
    uint32_t timeout = options && options->timeout_ms ? options->timeout_ms : client->timeout_ms;
    return timeout < INT32_MAX ? timeout : INT32_MAX;
}

static bool pack(struct flight *flight, const struct invocation *call, const ProtobufCMessage *body,
                 struct status *status)
{
    const triggers_call_options *options = call->options;
    struct envelope envelope = {
        .method = call->method->api->name,
        .request_id = options ? options->request_id : NULL,
        .traceparent = options ? options->traceparent : NULL,
        .caller = options ? options->caller : NULL,
        .client = flight->client->name,
    };
    if (!charge_add(&flight->charge, sizeof(*flight) + REPLY_ORDINARY))
        return envelope_fail_busy(status);
    flight->answer_room = REPLY_ORDINARY;
    return envelope_pack(&envelope, body, core_timeout(flight->timeout_ms), &flight->charge,
                         &flight->request, &flight->request_size, status) &&
           make_message(flight, status);
}

/* A call with its message, NULL when it cannot be made. */
static struct flight *flight_new(triggers_client *client, const struct invocation *call,
                                 const ProtobufCMessage *body, struct status *status)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    if (!flight) {
        fail_memory(status);
        return NULL;
    }
    flight->magic = FLIGHT_MAGIC;
    flight->client = client;
    flight->charge.share = client->memory;
    flight->method = *call->method;
    flight->item_count = call->item_count;
    flight->callback = call->callback;
    flight->user_data = call->user_data;
    flight->tag = call->options ? call->options->tag : NULL;
    flight->timeout_ms = timeout_of(client, call->options);
    flight->deadline_ms = clock_monotonic_ms() + flight->timeout_ms;
    flight->backoff_ms = RETRY_FIRST_MS;
    flight->id = next_id(client);
    if (pack(flight, call, body, status))
        return flight;
    flight_free(flight);
    return NULL;
}

static bool admit(const triggers_client *client, struct status *status)
{
    if (client->closing)
        return fail_closed(status);
    return client->in_flight < client->max_in_flight ||
           status_fail(status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS",
                       "%u calls are in flight, which is this client's limit",
                       client->max_in_flight);
}

/* Has the call count, and sends it or puts it in line. False when it is not admitted. */
static bool launch(triggers_client *client, struct flight *flight, struct status *status)
{
    struct departure departure = {NULL, NULL};
    pthread_mutex_lock(&client->mutex);
    bool admitted = admit(client, status);
    if (admitted) {
        CHECK(flight->phase == FLIGHT_OWNED && flight->message);
        client->in_flight++;
        table_put(flight);
        departure = place(flight);
    }
    pthread_mutex_unlock(&client->mutex);
    depart(&departure);
    return admitted;
}

/* Looks at the limit before the request is made, too, as refusals should cost little. */
void client_start_call(triggers_client *client, const struct invocation *call,
                       const ProtobufCMessage *body)
{
    struct status status;
    struct flight *flight = admit(client, &status) ? flight_new(client, call, body, &status) : NULL;
    if (flight && launch(client, flight, &status))
        return;
    if (flight)
        flight_free(flight);
    client_refuse_call(call, &status);
}

/* A call that is owned meets this when it is placed again. */
void triggers_cancel(triggers_client *client, const void *tag)
{
    if (!client || !tag)
        return;
    pthread_mutex_lock(&client->mutex);
    for (size_t i = 0; i < FLIGHT_TABLE_SIZE; i++) {
        for (struct flight *flight = client->flights[i]; flight; flight = flight->next_in_row) {
            if (flight->tag != tag)
                continue;
            flight->cancelled = true;
            set_due(flight, 0);
        }
    }
    pthread_mutex_unlock(&client->mutex);
}

void flights_stop(triggers_client *client)
{
    CHECK(client->closing);
    pthread_mutex_lock(&client->mutex);
    keeper_look_at(client, 0);
    while (client->in_flight > 0)
        pthread_cond_wait(&client->changed, &client->mutex);
    CHECK(!client->waiting.first && !client->waiting.last);
    pthread_mutex_unlock(&client->mutex);
}
