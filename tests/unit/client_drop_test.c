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
#include "link_core.h"
#include "scripted_answers.h"

#define ANSWERS_EACH 5 /* of all connections; the last one drops its own */
#define USERS 4
#define CLIENTS_EACH 50
#define CALLS_EACH 8

struct dropping_core {
    atomic_uint received;
    atomic_uint answered;
};

/* ---- the core ---- */

/* An empty answer is an empty envelope: OK, with an empty body. */
static void on_received(void *owner, const struct link_asker *asker, const uint8_t *body,
                        size_t size)
{
    struct dropping_core *core = owner;
    (void)body;
    (void)size;
    core->received++;
    link_core_answer(asker, "", 0);
}

static void on_answered(void *owner, struct link *link)
{
    struct dropping_core *core = owner;
    if (++core->answered % ANSWERS_EACH == 0)
        link_close(link);
}

static const struct link_core_events events = {.received = on_received, .answered = on_answered};

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
    struct dropping_core core = {0};
    struct link_core *links = link_core_start(url.text, &events, &core);
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
    link_core_stop(links);
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
