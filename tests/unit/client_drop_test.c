/* Tests of libtriggers against a core that drops every connection after a few answers: clients are
 * opened, used and closed at any moment of losing a connection and making the next. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "client_fixture.h"
#include "scripted_answers.h"
#include "sp/link.h"

#define ANSWERS_EACH 5 /* of all connections; the last one drops its own */
#define USERS 4
#define CLIENTS_EACH 50
#define CALLS_EACH 8

struct dropping_core {
    nng_stream_listener *listener;
    nng_aio *accept;
    struct link_address address;
    atomic_bool stopping;
    atomic_uint received;
    atomic_uint answered;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t links; /* that are not unused yet */
    struct link **unused;
    size_t unused_count;
};

/* ---- the core ---- */

/* An empty answer is an empty envelope: OK, with an empty body. */
static bool on_received(void *owner, struct link *link, const struct link_received *received)
{
    struct dropping_core *core = owner;
    struct link_message *message = calloc(1, sizeof(*message));
    must(message && link_reserve(message, received->route, received->route_size, 0));
    core->received++;
    link_send(link, message);
    return true;
}

static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    struct dropping_core *core = owner;
    free(message);
    if (left && ++core->answered % ANSWERS_EACH == 0)
        link_close(link);
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    (void)owner;
    (void)link;
    must(why == NULL); /* the client always behaves */
}

static void on_unused(void *owner, struct link *link)
{
    struct dropping_core *core = owner;
    pthread_mutex_lock(&core->mutex);
    core->unused = realloc(core->unused, (core->unused_count + 1) * sizeof(struct link *));
    must(core->unused != NULL);
    core->unused[core->unused_count++] = link;
    core->links--;
    pthread_cond_signal(&core->changed);
    pthread_mutex_unlock(&core->mutex);
}

static const struct link_events events = {
    .received = on_received,
    .sent = on_sent,
    .closed = on_closed,
    .unused = on_unused,
    .max_body = LINK_MAX_MESSAGE,
};

static void on_accepted(void *data)
{
    struct dropping_core *core = data;
    if (nng_aio_result(core->accept) == 0) {
        struct link *link = link_new(nng_aio_get_output(core->accept, 0), &core->address,
                                     LINK_REPLIER, &events, core);
        must(link != NULL);
        pthread_mutex_lock(&core->mutex);
        core->links++;
        pthread_mutex_unlock(&core->mutex);
        link_start(link);
    }
    if (!core->stopping)
        nng_stream_listener_accept(core->listener, core->accept);
}

static void core_start(struct dropping_core *core, const char *url)
{
    *core = (struct dropping_core){
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    must(link_address_init(&core->address, url) == 0);
    must(link_make_listener(&core->address, &core->listener) == 0);
    must(nng_stream_listener_listen(core->listener) == 0);
    must(nng_aio_alloc(&core->accept, on_accepted, core) == 0);
    nng_stream_listener_accept(core->listener, core->accept);
}

/* The clients have gone, and with them the links. */
static void core_stop(struct dropping_core *core)
{
    core->stopping = true;
    nng_stream_listener_close(core->listener);
    nng_aio_stop(core->accept);
    pthread_mutex_lock(&core->mutex);
    while (core->links > 0)
        pthread_cond_wait(&core->changed, &core->mutex);
    pthread_mutex_unlock(&core->mutex);
    for (size_t i = 0; i < core->unused_count; i++)
        link_free(core->unused[i]);
    nng_aio_free(core->accept);
    nng_stream_listener_free(core->listener);
    link_address_fini(&core->address);
    free(core->unused);
}

/* ---- its users ---- */

struct user {
    const char *url;
    size_t ok;
};

/* Some calls are waited for and some are in flight when the client is closed. */
static void *use_clients(void *data)
{
    struct user *user = data;
    for (int i = 0; i < CLIENTS_EACH; i++) {
        triggers_client *client = open_client(user->url, PATIENCE_MS, 0);
        struct tally tally = TALLY_INIT;
        size_t waited = (size_t)i % (CALLS_EACH + 1);
        for (int call = 0; call < CALLS_EACH; call++)
            triggers_health_async(client, NULL, tally_reply, &tally);
        tally_wait(&tally, waited);
        triggers_client_close(client);
        must(tally.total == CALLS_EACH && tally.ok + tally.cancelled == CALLS_EACH);
        must(tally.ok >= waited);
        user->ok += tally.ok;
    }
    return NULL;
}

static void use_all(const char *scheme)
{
    struct url url = free_url(scheme);
    struct dropping_core core;
    core_start(&core, url.text);
    pthread_t threads[USERS];
    struct user users[USERS];
    for (size_t i = 0; i < USERS; i++) {
        users[i] = (struct user){.url = url.text};
        assert_int_equal(pthread_create(&threads[i], NULL, use_clients, &users[i]), 0);
    }
    for (size_t i = 0; i < USERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(users[i].ok >= CLIENTS_EACH);
    }
    core_stop(&core);
    assert_true(core.received > USERS * CLIENTS_EACH);
}

static void clients_come_and_go_over_ws(void **state)
{
    (void)state;
    use_all("ws");
}

static void clients_come_and_go_over_tcp(void **state)
{
    (void)state;
    use_all("tcp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_come_and_go_over_ws),
        cmocka_unit_test(clients_come_and_go_over_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
