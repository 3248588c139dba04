/* A fixed pool of calls, each with a REP context of its own that is at any moment receiving, being
 * handled, or sending. nng runs the callbacks on its few threads; nothing here blocks them. */
#include "net/server.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/listen.h"

/* How long an answer may wait for a peer that does not read, before its connection is closed: long,
 * unless such peers take up most of the calls. */
#define SEND_TIMEOUT_MS 10000
#define SEND_TIMEOUT_PRESSED_MS 1000
#define PRESSED (SERVER_MAX_CALLS / 4 * 3)

/* Bytes of requests and answers in hand. Small answers are let through, to say so. */
#define MAX_BYTES (64u << 20)
#define SMALL_ANSWER 4096

/* nng counts an answer as sent when its connection has taken it, and nng_close drops what has not
 * reached the kernel by then. */
#define FLUSH_MS 100

/* Descriptors kept back from connections, for the store and its files. */
#define SPARE_FILES 256

/* How often the deadlines of the calls in hand are looked at. */
#define WATCH_MS 20

enum slot_state { SLOT_RECEIVING, SLOT_HANDLING, SLOT_SENDING };

struct slot {
    struct call call; /* first: a call is its slot */
    struct server *server;
    nng_ctx context;
    nng_aio *aio;
    nng_msg *answer;
    nng_pipe peer;
    size_t charged; /* of the server's bytes */
    enum slot_state state;
    struct slot *next;  /* in the outbox */
    atomic_int holders; /* the handler and the answer, until each is done */
};

/* Answers made on threads that are not nng's. Sending takes the locks that nng's own threads hold
 * most: another thread would wait for them, and be woken, again and again. So one of nng's sends
 * all that has come together. */
struct outbox {
    pthread_mutex_t lock;
    struct slot *first;
    struct slot **last;
    bool emptying;   /* `sender` is under way */
    nng_aio *sender; /* its callback sends */
};

struct server {
    nng_socket socket;
    struct outbox outbox;
    struct dispatcher *dispatcher;
    struct slot *slots;
    size_t slot_count;
    atomic_size_t bytes; /* in hand */
    size_t max_peers;
    atomic_size_t peers; /* connections that stand */
    atomic_bool crowded; /* the last one was one too many */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    atomic_size_t busy; /* slots not receiving; set under `lock`, as the rest */
    pthread_t watcher;
    bool watching; /* the thread exists */
    bool resting;  /* it waits for calls */
    bool stopping;
    pthread_cond_t wake; /* for it */
};

static metric_cell connections_cell;
struct metric server_connections = {.name = "connections",
                                    .help = "Connections of clients that stand.",
                                    .kind = METRIC_GAUGE,
                                    .cells = &connections_cell};

/* Replaces what the slot is charged for; false, charging nothing, when that is over the limit. */
static bool slot_charge(struct slot *slot, size_t size, bool must)
{
    atomic_fetch_sub(&slot->server->bytes, slot->charged);
    slot->charged = 0;
    if (atomic_fetch_add(&slot->server->bytes, size) + size > MAX_BYTES && !must) {
        atomic_fetch_sub(&slot->server->bytes, size);
        return false;
    }
    slot->charged = size;
    return true;
}

static uint8_t *slot_reserve(struct call *call, size_t size)
{
    struct slot *slot = (struct slot *)call;
    /* The answer takes the place of the request, but for a handler that has not let go of it. */
    if (!call->expired && !slot_charge(slot, size, size <= SMALL_ANSWER))
        return NULL;
    if (nng_msg_alloc(&slot->answer, size) != 0)
        return NULL;
    return nng_msg_body(slot->answer);
}

static void slot_receive(struct slot *slot)
{
    slot->state = SLOT_RECEIVING;
    nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(slot->context, slot->aio);
}

static void count_busy(struct server *server, int change)
{
    pthread_mutex_lock(&server->lock);
    server->busy += (size_t)change;
    if (server->busy == 0)
        pthread_cond_broadcast(&server->idle);
    else if (server->resting)
        pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
}

static void slot_let_go(struct slot *slot)
{
    if (atomic_fetch_sub(&slot->holders, 1) > 1)
        return;
    slot_charge(slot, 0, true);
    count_busy(slot->server, -1);
    slot_receive(slot);
}

/* The handler is done. The answer may wait long for its peer; the call's memory need not. */
static void slot_leave(struct call *call)
{
    arena_reset(&call->arena);
    slot_let_go((struct slot *)call);
}

static void slot_send_now(struct slot *slot)
{
    if (!slot->call.expired)
        slot_leave(&slot->call);
    if (!slot->answer) {
        slot_let_go(slot);
        return;
    }
    slot->state = SLOT_SENDING;
    nng_aio_set_msg(slot->aio, slot->answer);
    slot->answer = NULL;
    bool pressed = slot->server->busy > PRESSED;
    nng_aio_set_timeout(slot->aio, pressed ? SEND_TIMEOUT_PRESSED_MS : SEND_TIMEOUT_MS);
    nng_ctx_send(slot->context, slot->aio);
}

/* The answers that wait. When there are none, the sender is done. */
static struct slot *outbox_take(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct slot *slots = outbox->first;
    outbox->first = NULL;
    outbox->last = &outbox->first;
    outbox->emptying = slots != NULL;
    pthread_mutex_unlock(&outbox->lock);
    return slots;
}

static void outbox_empty(void *argument)
{
    struct outbox *outbox = argument;
    struct slot *slot;
    while ((slot = outbox_take(outbox))) {
        while (slot) {
            struct slot *next = slot->next;
            slot_send_now(slot);
            slot = next;
        }
    }
}

static void outbox_put(struct outbox *outbox, struct slot *slot)
{
    slot->next = NULL;
    pthread_mutex_lock(&outbox->lock);
    *outbox->last = slot;
    outbox->last = &slot->next;
    bool start = !outbox->emptying;
    outbox->emptying = true;
    pthread_mutex_unlock(&outbox->lock);
    if (start && nng_aio_begin(outbox->sender))
        nng_aio_finish(outbox->sender, 0);
}

static _Thread_local bool receiving; /* this thread is one of nng's, in slot_received */

/* A lone call's answer finds the locks free, and should not wait for another thread to wake. */
static void slot_send(struct call *call)
{
    struct slot *slot = (struct slot *)call;
    if (receiving || slot->server->busy == 1)
        slot_send_now(slot);
    else
        outbox_put(&slot->server->outbox, slot);
}

static const struct call_transport SLOT_TRANSPORT = {
    .reserve = slot_reserve, .send = slot_send, .leave = slot_leave};

static void slot_received(struct slot *slot)
{
    nng_msg *request = nng_aio_get_msg(slot->aio);
    size_t size = nng_msg_len(request);
    slot->state = SLOT_HANDLING;
    atomic_store(&slot->holders, 2);
    slot->peer = nng_msg_get_pipe(request);
    count_busy(slot->server, 1);
    receiving = true;
    if (slot_charge(slot, size, false))
        dispatch(slot->server->dispatcher, &slot->call, nng_msg_body(request), size);
    else
        dispatch_refuse_busy(&slot->call);
    receiving = false;
    nng_msg_free(request);
}

static void slot_sent(struct slot *slot, int error)
{
    if (error != 0) {
        nng_msg_free(nng_aio_get_msg(slot->aio)); /* a failed send leaves the message with us */
        log_warning("a peer does not read its answers, closing its connection",
                    {"error", nng_strerror(error)});
        nng_pipe_close(slot->peer);
    }
    slot_let_go(slot);
}

static void on_event(void *argument)
{
    struct slot *slot = argument;
    int error = nng_aio_result(slot->aio);
    if (slot->state == SLOT_SENDING)
        slot_sent(slot, error);
    else if (error == 0)
        slot_received(slot);
    else if (error != NNG_ECLOSED && error != NNG_ECANCELED)
        slot_receive(slot); /* such as no memory: this request is lost, the next may fare better */
}

static struct timespec moment(int64_t monotonic_ms)
{
    return (struct timespec){monotonic_ms / 1000, monotonic_ms % 1000 * 1000000};
}

/* Answers calls whose deadline passes while their handler waits for the store. */
static void *watch_deadlines(void *argument)
{
    struct server *server = argument;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        server->resting = server->busy == 0;
        struct timespec until = moment(clock_monotonic_ms() + WATCH_MS);
        if (server->resting)
            pthread_cond_wait(&server->wake, &server->lock);
        else
            pthread_cond_timedwait(&server->wake, &server->lock, &until);
        server->resting = false;
        pthread_mutex_unlock(&server->lock);
        int64_t now_ms = clock_monotonic_ms();
        for (size_t i = 0; i < server->slot_count; i++)
            call_expire(&server->slots[i].call, now_ms);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void stop_watching(struct server *server)
{
    if (!server->watching)
        return;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->watcher, NULL);
}

static bool outbox_open(struct outbox *outbox)
{
    outbox->last = &outbox->first;
    pthread_mutex_init(&outbox->lock, NULL);
    return nng_aio_alloc(&outbox->sender, outbox_empty, outbox) == 0;
}

/* What is still in it is not sent. */
static void outbox_close(struct outbox *outbox)
{
    if (outbox->sender) {
        nng_aio_stop(outbox->sender);
        nng_aio_free(outbox->sender);
    }
    for (struct slot *slot = outbox->first; slot; slot = slot->next)
        nng_msg_free(slot->answer);
    pthread_mutex_destroy(&outbox->lock);
}

static bool slot_open(struct slot *slot, struct server *server)
{
    slot->server = server;
    call_init(&slot->call, &SLOT_TRANSPORT);
    if (nng_ctx_open(&slot->context, server->socket) != 0)
        return false;
    return nng_aio_alloc(&slot->aio, on_event, slot) == 0;
}

/* As many connections as descriptors allow, of which the program may have as many as the system
 * lets it. */
static size_t count_peers_allowed(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur > 2 * SPARE_FILES ? limit.rlim_cur - SPARE_FILES : SPARE_FILES;
}

static void on_peer(nng_pipe pipe, nng_pipe_ev event, void *argument)
{
    struct server *server = argument;
    if (event == NNG_PIPE_EV_REM_POST) {
        atomic_fetch_sub(&server->peers, 1);
        metric_add(&server_connections, 0, -1);
        return;
    }
    metric_add(&server_connections, 0, 1);
    bool crowded = atomic_fetch_add(&server->peers, 1) >= server->max_peers;
    if (crowded && !atomic_exchange(&server->crowded, true))
        log_warning("too many connections, refusing more",
                    {"limit", NULL, (double)server->max_peers});
    if (crowded)
        nng_pipe_close(pipe);
    else
        atomic_store(&server->crowded, false);
}

static bool server_open(struct server *server, struct dispatcher *dispatcher)
{
    *server = (struct server){.dispatcher = dispatcher};
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->idle, &attributes);
    pthread_cond_init(&server->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    bool opened = outbox_open(&server->outbox);
    if (nng_rep0_open(&server->socket) != 0 || !opened)
        return false;
    server->max_peers = count_peers_allowed();
    if (nng_pipe_notify(server->socket, NNG_PIPE_EV_ADD_PRE, on_peer, server) != 0 ||
        nng_pipe_notify(server->socket, NNG_PIPE_EV_REM_POST, on_peer, server) != 0)
        return false;
    server->slots = calloc(SERVER_MAX_CALLS, sizeof(*server->slots));
    if (!server->slots)
        return false;
    while (server->slot_count < SERVER_MAX_CALLS) {
        server->slot_count++;
        if (!slot_open(&server->slots[server->slot_count - 1], server))
            return false;
    }
    server->watching = pthread_create(&server->watcher, NULL, watch_deadlines, server) == 0;
    return server->watching;
}

bool server_start(const struct server_config *config, struct dispatcher *dispatcher,
                  struct server **out, struct status *status)
{
    *out = NULL;
    struct server *server = malloc(sizeof(*server));
    if (!server || !server_open(server, dispatcher)) {
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "cannot set up the server");
    } else if (listen_all(server->socket, config, status)) {
        for (size_t i = 0; i < server->slot_count; i++)
            slot_receive(&server->slots[i]);
        *out = server;
        return true;
    }
    if (server)
        server_stop(server);
    return false;
}

bool server_drain(struct server *server, int64_t timeout_ms)
{
    struct timespec until = moment(clock_monotonic_ms() + timeout_ms);
    int waited = 0;
    pthread_mutex_lock(&server->lock);
    while (server->busy > 0 && waited == 0)
        waited = pthread_cond_timedwait(&server->idle, &server->lock, &until);
    bool done = server->busy == 0;
    pthread_mutex_unlock(&server->lock);
    return done;
}

void server_stop(struct server *server)
{
    stop_watching(server);
    nng_msleep(FLUSH_MS);
    nng_close(server->socket);
    outbox_close(&server->outbox);
    for (size_t i = 0; i < server->slot_count; i++) {
        struct slot *slot = &server->slots[i];
        if (slot->aio) {
            nng_aio_stop(slot->aio);
            nng_aio_free(slot->aio);
        }
        call_fini(&slot->call);
    }
    free(server->slots);
    pthread_cond_destroy(&server->idle);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
