/* Call slots: each carries one call at a time from sending to its reply, with a REQ context of its
 * own, and is used again for later calls. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client.h"
#include "envelope.h"
#include "retry.h"

/* A call that finds no connection waits this long for one. */
#define CONNECT_WAIT_MS 1000
#define CONNECT_RETRY_MS 1000

/* The core is told a deadline so much earlier than the caller's (a twentieth, at most this) that
 * its answer to a call that it could not do in time still arrives in time. */
#define MARGIN_MAX_MS 250

/* A core that is stopping refuses new calls; with several addresses another one gets them. Requests
 * go round the connections, so after a few refusals no other is connected: the further tries are
 * spread over the time in which one that has just been started will be. */
#define QUICK_REFUSALS 8
#define MAX_REFUSALS 40
#define REFUSAL_WAIT_MS 50

struct slot {
    triggers_client *client;
    struct slot *next; /* of all */
    struct slot *next_free;
    nng_ctx context;
    nng_aio *aio;
    /* The call on it; the owner is whoever started it, then nng's callback. */
    enum { SLOT_SENDING, SLOT_RECEIVING, SLOT_WAITING } phase;
    int64_t deadline_ms; /* on the monotonic clock */
    uint32_t timeout_ms;
    const struct method *method;
    size_t item_count;
    triggers_callback *callback;
    void *user_data;
    struct retry retry;
    unsigned refusals;
    const void *tag; /* for triggers_cancel; under the client's mutex */
    atomic_bool cancelled;
};

static void on_io_done(void *data);

/* ---- pool ---- */

static void slot_free(struct slot *slot)
{
    nng_ctx_close(slot->context);
    nng_aio_free(slot->aio);
    free(slot);
}

static struct slot *slot_new(triggers_client *client)
{
    struct slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return NULL;
    slot->client = client;
    if (nng_ctx_open(&slot->context, client->socket) != 0) {
        free(slot);
        return NULL;
    }
    if (nng_aio_alloc(&slot->aio, on_io_done, slot) != 0) {
        nng_ctx_close(slot->context);
        free(slot);
        return NULL;
    }
    return slot;
}

static bool fail_closed(struct status *status)
{
    return status_fail(status, STATUS_CANCELLED, "CLIENT_CLOSED",
                       "the client was closed before the call ended");
}

/* Reserves room for one call and enters; *slot is a free slot or NULL when a new one is needed. */
static bool reserve(triggers_client *client, struct slot **slot, struct status *status)
{
    pthread_mutex_lock(&client->mutex);
    bool closing = client->closing;
    bool reserved = !closing && client->in_flight < client->max_in_flight;
    if (reserved) {
        client->in_flight++;
        client->inside++;
        *slot = client->free;
        if (*slot)
            client->free = (*slot)->next_free;
    }
    pthread_mutex_unlock(&client->mutex);
    if (reserved)
        return true;
    if (closing)
        return fail_closed(status);
    return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS",
                       "%u calls are in flight, which is this client's limit",
                       client->max_in_flight);
}

/* The mutex is held. */
static void tell_when_idle(triggers_client *client)
{
    if (client->in_flight == 0 && client->inside == 0)
        pthread_cond_broadcast(&client->changed);
}

/* This thread is done with the client, which may be freed from now on. */
static void leave(triggers_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->inside--;
    tell_when_idle(client);
    pthread_mutex_unlock(&client->mutex);
}

static void add_slot(triggers_client *client, struct slot *slot)
{
    pthread_mutex_lock(&client->mutex);
    slot->next = client->slots;
    client->slots = slot;
    pthread_mutex_unlock(&client->mutex);
}

static void unreserve(triggers_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->in_flight--;
    client->inside--;
    tell_when_idle(client);
    pthread_mutex_unlock(&client->mutex);
}

/* A slot for one call, whose starter has to leave the client; NULL when the call is refused. */
static struct slot *acquire(triggers_client *client, struct status *status)
{
    struct slot *slot = NULL;
    if (!reserve(client, &slot, status))
        return NULL;
    if (slot)
        return slot;
    slot = slot_new(client);
    if (slot) {
        add_slot(client, slot);
        return slot;
    }
    unreserve(client);
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for another call");
    return NULL;
}

/* ---- ends of calls ---- */

static void hand_over(triggers_reply *reply, triggers_callback *callback, void *user_data)
{
    if (callback)
        callback(reply, user_data);
    else
        triggers_reply_free(reply);
}

void client_refuse_call(const struct call *call, const struct status *status)
{
    hand_over(reply_from_status(status), call->callback, call->user_data);
}

/* Frees the slot before the callback runs, so that the callback can start the next call on it. */
static void finish(struct slot *slot, triggers_reply *reply)
{
    triggers_client *client = slot->client;
    triggers_callback *callback = slot->callback;
    void *user_data = slot->user_data;
    retry_fini(&slot->retry);
    pthread_mutex_lock(&client->mutex);
    slot->tag = NULL;
    slot->cancelled = false;
    slot->next_free = client->free;
    client->free = slot;
    client->in_flight--;
    client->inside++;
    pthread_mutex_unlock(&client->mutex);
    hand_over(reply, callback, user_data);
    leave(client);
}

static bool fail_cancelled(const struct slot *slot, struct status *status)
{
    if (!slot->cancelled)
        return fail_closed(status);
    return status_fail(status, STATUS_CANCELLED, "CALL_CANCELLED",
                       "the caller cancelled the call; it may or may not have been done");
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

static bool fail_timeout(const struct slot *slot, struct status *status)
{
    bool connected = slot->client->pipes > 0;
    if (!connected && slot->phase == SLOT_SENDING)
        return fail_unreachable(slot->client, status);
    /* A connection that this client closed was not lost: its core was there, and silent. */
    if (!connected && !slot->client->gave_up) {
        status_fail(status, STATUS_UNAVAILABLE, "CONNECTION_LOST",
                    "the connection was lost and did not come back within %u ms; the call may or "
                    "may not have been done",
                    slot->timeout_ms);
        status->retry_delay_ms = CONNECT_RETRY_MS;
        return false;
    }
    return status_fail(status, STATUS_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                       "no answer within %u ms; the call may or may not have been done",
                       slot->timeout_ms);
}

/* Ends the call with what a failed send or receive means. */
static void finish_failed(struct slot *slot, int result)
{
    struct status status;
    switch (result) {
    case NNG_ETIMEDOUT: fail_timeout(slot, &status); break;
    case NNG_ECANCELED:
    case NNG_ECLOSED: fail_cancelled(slot, &status); break;
    case NNG_ENOMEM:
        status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory to send the call");
        break;
    default:
        status_fail(&status, STATUS_INTERNAL, "TRANSPORT", "the call could not be sent: %s",
                    nng_strerror(result));
    }
    finish(slot, reply_from_status(&status));
}

/* ---- sending and receiving ---- */

static int64_t time_left_ms(const struct slot *slot)
{
    int64_t left = slot->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* A close or cancel that comes while an operation starts would miss it: look again. The aio is
 * still there, as closing waits for the thread that is here. */
static void cancel_when_unwanted(struct slot *slot)
{
    if (slot->client->closing || slot->cancelled)
        nng_aio_cancel(slot->aio);
}

/* Waits in steps for a connection, to notice well before the deadline that there is none. Not once
 * there is one: nng 1.5 can deliver the end of a step to the receive that follows the send. nng
 * takes a timeout of 0 as "at once", so the least is 1. */
static void start_send(struct slot *slot)
{
    int64_t left = time_left_ms(slot);
    bool stepping = slot->client->pipes == 0 && left > CONNECT_WAIT_MS;
    int64_t wait = stepping ? CONNECT_WAIT_MS : left;
    slot->phase = SLOT_SENDING;
    nng_aio_set_timeout(slot->aio, wait > 0 ? (nng_duration)wait : 1);
    nng_ctx_send(slot->context, slot->aio);
    cancel_when_unwanted(slot);
}

static void start_receive(struct slot *slot)
{
    int64_t left = time_left_ms(slot);
    slot->phase = SLOT_RECEIVING;
    nng_aio_set_timeout(slot->aio, left > 0 ? (nng_duration)left : 1);
    nng_ctx_recv(slot->context, slot->aio);
    cancel_when_unwanted(slot);
}

static void on_sent(struct slot *slot, int result)
{
    if (result == 0) {
        peers_note_sent(slot->client);
        start_receive(slot);
        return;
    }
    /* nng has given the message back. */
    bool wait_longer = slot->client->retries || slot->client->pipes > 0;
    if (result == NNG_ETIMEDOUT && wait_longer && time_left_ms(slot) > 0) {
        start_send(slot);
        return;
    }
    nng_msg_free(nng_aio_get_msg(slot->aio));
    nng_aio_set_msg(slot->aio, NULL);
    finish_failed(slot, result);
}

/* The deadline that the core is told when so much is left. */
static uint32_t core_timeout(uint32_t left_ms)
{
    uint32_t margin = left_ms / 20;
    return left_ms - (margin < MARGIN_MAX_MS ? margin : MARGIN_MAX_MS);
}

static bool send_again(struct slot *slot)
{
    uint32_t left = (uint32_t)time_left_ms(slot);
    nng_msg *request = retry_request(&slot->retry, core_timeout(left > 0 ? left : 1));
    if (!request)
        return false;
    nng_aio_set_msg(slot->aio, request);
    start_send(slot);
    return true;
}

static void start_wait(struct slot *slot, uint32_t wait_ms)
{
    slot->phase = SLOT_WAITING;
    nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
    nng_sleep_aio((nng_duration)wait_ms, slot->aio);
    cancel_when_unwanted(slot);
}

/* Sends a refused call again when it may find another core. */
static bool send_elsewhere(struct slot *slot, const triggers_reply *reply)
{
    if (slot->client->dialers == 1 || strcmp(reply->error.reason, "STOPPING") != 0 ||
        ++slot->refusals > MAX_REFUSALS || time_left_ms(slot) <= REFUSAL_WAIT_MS)
        return false;
    if (slot->refusals <= QUICK_REFUSALS)
        return send_again(slot);
    start_wait(slot, REFUSAL_WAIT_MS);
    return true;
}

/* Waits for another try; false when the reply is the call's end: its code is final, or the wait
 * would pass the deadline. */
static bool send_later(struct slot *slot, const triggers_reply *reply)
{
    bool passing =
        reply->code == TRIGGERS_UNAVAILABLE || reply->code == TRIGGERS_RESOURCE_EXHAUSTED;
    if (!passing || !slot->client->retries)
        return false;
    uint32_t wait = retry_next_wait_ms(&slot->retry, reply->error.retry_delay_ms);
    if (wait >= time_left_ms(slot))
        return false;
    start_wait(slot, wait);
    return true;
}

static void on_waited(struct slot *slot, int result)
{
    if (result != 0 || !send_again(slot))
        finish_failed(slot, result != 0 ? result : NNG_ENOMEM);
}

static void on_received(struct slot *slot, int result)
{
    if (result == NNG_ETIMEDOUT)
        peers_close_silent(slot->client);
    if (result != 0) {
        finish_failed(slot, result);
        return;
    }
    nng_msg *message = nng_aio_get_msg(slot->aio);
    nng_aio_set_msg(slot->aio, NULL);
    peers_note_heard(slot->client, nng_msg_get_pipe(message));
    triggers_reply *reply = reply_from_message(slot->method, slot->item_count,
                                               nng_msg_body(message), nng_msg_len(message));
    nng_msg_free(message);
    if (send_elsewhere(slot, reply) || send_later(slot, reply))
        triggers_reply_free(reply);
    else
        finish(slot, reply);
}

static void on_io_done(void *data)
{
    struct slot *slot = data;
    int result = nng_aio_result(slot->aio);
    switch (slot->phase) {
    case SLOT_SENDING: on_sent(slot, result); break;
    case SLOT_RECEIVING: on_received(slot, result); break;
    case SLOT_WAITING: on_waited(slot, result); break;
    }
}

/* ---- calls ---- */

static uint32_t timeout_of(const triggers_client *client, const triggers_call_options *options)
{
    uint32_t timeout = options && options->timeout_ms ? options->timeout_ms : client->timeout_ms;
    return timeout < INT32_MAX ? timeout : INT32_MAX; /* nng's limit: 24 days */
}

static bool pack(const triggers_client *client, const struct call *call,
                 const ProtobufCMessage *body, nng_msg **message, struct status *status)
{
    const triggers_call_options *options = call->options;
    struct envelope envelope = {
        .method = call->method->name,
        .timeout_ms = core_timeout(timeout_of(client, options)),
        .request_id = options ? options->request_id : NULL,
        .traceparent = options ? options->traceparent : NULL,
        .client = client->name,
    };
    return envelope_pack(&envelope, body, message, status);
}

static void set_tag(struct slot *slot, const void *tag)
{
    pthread_mutex_lock(&slot->client->mutex);
    slot->tag = tag;
    pthread_mutex_unlock(&slot->client->mutex);
}

static void start(struct slot *slot, const struct call *call, const ProtobufCMessage *body)
{
    triggers_client *client = slot->client;
    struct status status;
    nng_msg *message;
    slot->timeout_ms = timeout_of(client, call->options);
    slot->deadline_ms = clock_monotonic_ms() + slot->timeout_ms;
    slot->method = call->method;
    slot->item_count = call->item_count;
    slot->callback = call->callback;
    slot->user_data = call->user_data;
    if (!pack(client, call, body, &message, &status)) {
        finish(slot, reply_from_status(&status));
        return;
    }
    slot->refusals = 0;
    if ((client->retries || client->dialers > 1) && !retry_init(&slot->retry, message)) {
        nng_msg_free(message);
        status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the call");
        finish(slot, reply_from_status(&status));
        return;
    }
    if (call->options && call->options->tag)
        set_tag(slot, call->options->tag);
    nng_aio_set_msg(slot->aio, message);
    start_send(slot);
}

void client_start_call(triggers_client *client, const struct call *call,
                       const ProtobufCMessage *body)
{
    struct status status;
    struct slot *slot = acquire(client, &status);
    if (!slot) {
        client_refuse_call(call, &status);
        return;
    }
    start(slot, call, body);
    leave(client);
}

/* Under the mutex a slot with the tag still carries the call. */
void triggers_cancel(triggers_client *client, const void *tag)
{
    if (!client || !tag)
        return;
    pthread_mutex_lock(&client->mutex);
    for (struct slot *slot = client->slots; slot; slot = slot->next) {
        if (slot->tag != tag)
            continue;
        slot->cancelled = true;
        nng_aio_cancel(slot->aio);
    }
    pthread_mutex_unlock(&client->mutex);
}

static void cancel_calls(triggers_client *client)
{
    pthread_mutex_lock(&client->mutex);
    struct slot *slot = client->slots;
    pthread_mutex_unlock(&client->mutex);
    for (; slot; slot = slot->next)
        nng_aio_cancel(slot->aio);
}

void client_stop_calls(triggers_client *client)
{
    cancel_calls(client);
    pthread_mutex_lock(&client->mutex);
    while (client->in_flight > 0 || client->inside > 0)
        pthread_cond_wait(&client->changed, &client->mutex);
    pthread_mutex_unlock(&client->mutex);
    while (client->slots) {
        struct slot *slot = client->slots;
        client->slots = slot->next;
        slot_free(slot);
    }
}
