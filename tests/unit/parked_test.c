/* Calls that wait in a real server, over real connections: they take no place among those that run,
 * and are woken by what they wait for, their time, the end of their connection, and the shutdown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "client_fixture.h"
#include "net/server.h"
#include "triggers/health/v1/health.pb-c.h"

enum { WAITING = SERVER_MAX_CALLS + 500, IN_FLIGHT = WAITING + 10 };

/* ---- a service whose calls wait when they ask for "wait" ---- */

struct waiting {
    struct call_waiter waiter; /* first */
    struct waiting *next;
    struct waiting **previous;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct waiting *listed; /* under `lock`, as the counts */
static size_t listed_count, asked, could_not_wait, woken[CALL_STOPPING + 1];

static void answer(struct call *call, const char *version)
{
    Triggers__Health__V1__HealthCheckResponse response =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.version = (char *)version;
    call_reply(call, &response.base);
}

static void unlist(struct waiting *waiting)
{
    *waiting->previous = waiting->next;
    if (waiting->next)
        waiting->next->previous = waiting->previous;
    listed_count--;
}

static void on_woken(struct call_waiter *waiter, enum call_wake why)
{
    struct status status;
    pthread_mutex_lock(&lock);
    unlist((struct waiting *)waiter);
    woken[why]++;
    pthread_mutex_unlock(&lock);
    if (why == CALL_DUE) {
        answer(waiter->call, "due");
        return;
    }
    status_fail(&status, STATUS_UNAVAILABLE, "SENT_HOME", "nobody waits here any more");
    call_fail(waiter->call, &status, NULL, 0);
}

/* Whether the call waits now, until a second before its deadline. */
static bool wait_for_something(struct call *call)
{
    struct waiting *waiting = arena_calloc(&call->arena, 1, sizeof(*waiting));
    assert_non_null(waiting);
    waiting->waiter.woken = on_woken;
    pthread_mutex_lock(&lock);
    asked++;
    int64_t until_ms = atomic_load(&call->deadline_ms) - 1000;
    bool parked = call_park(call, &waiting->waiter, until_ms) == CALL_PARKS;
    if (parked) {
        waiting->next = listed;
        waiting->previous = &listed;
        if (listed)
            listed->previous = &waiting->next;
        listed = waiting;
        listed_count++;
    } else {
        could_not_wait++;
    }
    pthread_mutex_unlock(&lock);
    return parked;
}

static void check(Triggers__Health__V1__Health_Service *service,
                  const Triggers__Health__V1__HealthCheckRequest *request,
                  Triggers__Health__V1__HealthCheckResponse_Closure closure, void *call)
{
    (void)service;
    (void)closure;
    if (strcmp(request->service, "wait") != 0 || !wait_for_something(call))
        answer(call, "at once");
}

/* What the calls wait for happens. */
static size_t wake_all(void)
{
    struct waiting *ours = NULL;
    size_t count = 0;
    pthread_mutex_lock(&lock);
    for (struct waiting *waiting = listed; waiting;) {
        struct waiting *next = waiting->next;
        if (call_unpark(waiting->waiter.call)) {
            unlist(waiting);
            waiting->next = ours;
            ours = waiting;
        }
        waiting = next;
    }
    pthread_mutex_unlock(&lock);
    for (; ours; count++) {
        struct waiting *next = ours->next;
        answer(ours->waiter.call, "woken");
        ours = next;
    }
    return count;
}

/* ---- a server with it ---- */

static Triggers__Health__V1__Health_Service health;
static ProtobufCService *services[] = {&health.base, NULL};
static struct dispatcher dispatcher;
static struct budget budget;
static struct server *server;
static struct url url;

static int setup(void **state)
{
    (void)state;
    struct status status;
    health = (Triggers__Health__V1__Health_Service)TRIGGERS__HEALTH__V1__HEALTH__INIT();
    health.check = check;
    url = free_url("tcp");
    budget = (struct budget){.ceiling = (size_t)64 << 20};
    listed_count = asked = could_not_wait = 0;
    memset(woken, 0, sizeof(woken));
    dispatcher_init(&dispatcher, services);
    struct server_config config = {
        .listen.urls = url.text, .budget = &budget, .max_connections = 100};
    assert_true(server_start(&config, &dispatcher, &server, &status));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_true(server_drain(server, PATIENCE_MS));
    server_stop(server);
    assert_int_equal(budget.held, 0);
    assert_null(listed);
    return 0;
}

static void ask(triggers_client *client, const char *service, uint32_t timeout_ms, size_t count,
                struct tally *tally)
{
    Triggers__Health__V1__HealthCheckRequest request =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    triggers_call_options options = {.timeout_ms = timeout_ms};
    request.service = (char *)service;
    for (size_t i = 0; i < count; i++)
        triggers_call_async(client, "triggers.health.v1.Health/Check", &request.base, &options,
                            tally_reply, tally);
}

static bool are(const size_t *counter, size_t count)
{
    pthread_mutex_lock(&lock);
    bool equal = *counter == count;
    pthread_mutex_unlock(&lock);
    return equal;
}

static void wait_until_are(const size_t *counter, size_t count)
{
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (!are(counter, count)) {
        assert_true(clock_monotonic_ms() < until_ms);
        usleep(1000);
    }
}

static void assert_served(triggers_client *client)
{
    triggers_reply *reply = triggers_health(client, NULL);
    assert_int_equal(reply->code, TRIGGERS_OK);
    assert_string_equal(reply->server_version, "at once");
    triggers_reply_free(reply);
}

static void more_wait_than_may_run(void **state)
{
    (void)state;
    triggers_client *client = open_client(url.text, PATIENCE_MS, IN_FLIGHT);
    struct tally tally = TALLY_INIT;
    assert_served(client);
    size_t before = budget.held;
    ask(client, "wait", PATIENCE_MS, WAITING, &tally);
    wait_until_are(&listed_count, WAITING);
    assert_true(budget.held >= before + (size_t)WAITING * CALL_BYTES); /* they are charged */
    for (int i = 0; i < 100; i++)
        assert_served(client);
    assert_int_equal(wake_all(), WAITING);
    tally_wait(&tally, WAITING);
    assert_int_equal(tally.ok, WAITING);
    assert_int_equal(could_not_wait, 0);
    triggers_client_close(client);
}

static void who_waits_is_answered_when_its_time_is_over(void **state)
{
    (void)state;
    triggers_client *client = open_client(url.text, PATIENCE_MS, 100);
    struct tally tally = TALLY_INIT;
    ask(client, "wait", 1200, 50, &tally);
    tally_wait(&tally, 50);
    assert_int_equal(tally.ok, 50);
    assert_true(are(&woken[CALL_DUE], 50));
    triggers_client_close(client);
}

static void who_has_gone_waits_no_longer(void **state)
{
    (void)state;
    triggers_client *other = open_client(url.text, PATIENCE_MS, 100);
    triggers_client *client = open_client(url.text, PATIENCE_MS, 100);
    struct tally tally = TALLY_INIT, stays = TALLY_INIT;
    ask(other, "wait", PATIENCE_MS, 1, &stays);
    ask(client, "wait", PATIENCE_MS, 50, &tally);
    wait_until_are(&listed_count, 51);
    triggers_client_close(client);
    assert_int_equal(tally.cancelled, 50);
    wait_until_are(&woken[CALL_GONE], 50);
    assert_true(are(&listed_count, 1));
    assert_int_equal(wake_all(), 1);
    tally_wait(&stays, 1);
    assert_int_equal(stays.ok, 1);
    triggers_client_close(other);
}

static void a_shutdown_sends_home_who_waits(void **state)
{
    (void)state;
    triggers_client *client = open_client(url.text, PATIENCE_MS, 200);
    struct tally tally = TALLY_INIT;
    ask(client, "wait", PATIENCE_MS, 100, &tally);
    wait_until_are(&listed_count, 100);
    assert_true(server_drain(server, PATIENCE_MS));
    tally_wait(&tally, 100);
    assert_string_equal(tally.reason, "SENT_HOME");
    assert_true(are(&woken[CALL_STOPPING], 100));
    ask(client, "wait", PATIENCE_MS, 1, &tally); /* nobody waits any more */
    tally_wait(&tally, 101);
    assert_int_equal(tally.ok, 1);
    assert_int_equal(could_not_wait, 1);
    triggers_client_close(client);
}

static bool is_tallied(struct tally *tally, size_t total)
{
    pthread_mutex_lock(&tally->mutex);
    bool equal = tally->total == total;
    pthread_mutex_unlock(&tally->mutex);
    return equal;
}

/* Who cannot wait is answered at once, or refused when not even that has room. */
static void memory_bounds_how_many_wait(void **state)
{
    (void)state;
    enum { ROOM = 300, ASKED = 2 * ROOM };
    budget.ceiling = (size_t)ROOM * CALL_BYTES;
    triggers_client *client = open_client(url.text, PATIENCE_MS, ASKED);
    struct tally tally = TALLY_INIT;
    ask(client, "wait", PATIENCE_MS, ASKED, &tally);
    tally_wait(&tally, ASKED - ROOM);
    pthread_mutex_lock(&lock);
    assert_true(listed_count < ROOM);
    pthread_mutex_unlock(&lock);
    assert_true(wake_all() > 0);
    for (size_t i = 0; i < PATIENCE_MS / 10 && !is_tallied(&tally, ASKED); i++) {
        usleep(10000);
        wake_all(); /* those that were on their way */
    }
    tally_wait(&tally, ASKED);
    assert_true(tally.ok > 0);
    triggers_client_close(client);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(more_wait_than_may_run),       TEST(who_waits_is_answered_when_its_time_is_over),
        TEST(who_has_gone_waits_no_longer), TEST(a_shutdown_sends_home_who_waits),
        TEST(memory_bounds_how_many_wait),
    };
    return cmocka_run_group_tests_name("parked", tests, NULL, NULL);
}
