/* Calls of a client in random orders of answers, lost connections, cancellations and time, without
 * threads: its peers and its keeper are played here. See steps.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "invocation.h"
#include "steps.h"
#include "triggers/v1/events.pb-c.h"

enum { ROUNDS = 400, STEPS = 300, MAX_CALLS = 48, MAX_IN_FLIGHT = 12, MAX_PEERS = 3 };
enum { RESEND_MS = 5000, CONNECT_WAIT_MS = 1000 };

/* One call as its caller and its cores see it. */
struct story {
    struct method method;
    struct api_method api;
    int64_t begun_ms, deadline_ms;
    int64_t sent_ms;    /* last */
    unsigned sent;      /* how often */
    unsigned permitted; /* how often it may have been sent, but for silence */
    unsigned ended;
    triggers_code code; /* of the reply */
    char reason[32];
};

/* A request that a peer has; it may be answered more than once. */
struct arrived {
    struct story *story;
    struct peer *peer;
    uint32_t id;
    bool over; /* this try has been answered */
};

static triggers_client *client;
static struct story stories[MAX_CALLS];
static size_t story_count;
static struct arrived arrived[STEPS * 2];
static size_t arrived_count;
static int64_t wake_ms; /* of the keeper */
static unsigned held;   /* peers */

/* ---- the peers and the keeper ---- */

void keeper_look_at(struct keeper *keeper, int64_t when_ms)
{
    assert_ptr_equal(keeper, &client->keeper);
    wake_ms = when_ms < wake_ms ? when_ms : wake_ms;
}

struct peer *peers_hold_next(struct peers *peers, struct peer *avoided)
{
    struct peer *other = NULL;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->items[i];
        if (peer->state == PEER_OPEN && (!other || other == avoided || one_in(2)) &&
            (!other || peer != avoided))
            other = peer;
    }
    held += other != NULL;
    return other;
}

void peer_expect_answer(struct peer *peer, int64_t by_ms)
{
    assert_int_equal(peer->state, PEER_OPEN);
    assert_true(by_ms > clock_monotonic_ms());
}

/* Whether so many tries are right is known by what has become of the ones before. */
void peer_send(struct peer *peer, struct link_message *message)
{
    struct flight *flight = client->flights.sent[peer->number].last;
    struct story *story = flight->user_data;
    int64_t now_ms = clock_monotonic_ms();
    bool silent = story->sent > 0 && now_ms >= story->sent_ms + RESEND_MS &&
                  story->api.repeatable && !story->api.waits && client->peers.count > 1 &&
                  client->no_retry != TRIGGERS_SEND_ONCE;
    story->permitted += silent;
    assert_int_equal(story->ended, 0);
    assert_true(++story->sent <= story->permitted);
    assert_true(now_ms < story->deadline_ms);
    story->sent_ms = now_ms;
    assert_true(arrived_count < sizeof(arrived) / sizeof(arrived[0]));
    arrived[arrived_count++] = (struct arrived){story, peer, flight->id, false};
    held--;
    invocation_events.sent(message);
}

void peers_close_silent(struct peers *peers)
{
    assert_ptr_equal(peers, &client->peers);
}

/* ---- steps ---- */

static void on_reply(triggers_reply *reply, void *user_data)
{
    struct story *story = user_data;
    story->ended++;
    story->code = reply->code;
    snprintf(story->reason, sizeof(story->reason), "%s", reply->error.reason);
    triggers_reply_free(reply);
}

static void begin_call(void)
{
    if (story_count == MAX_CALLS)
        return;
    struct story *story = &stories[story_count++];
    bool full = client->flights.count == MAX_IN_FLIGHT;
    uint32_t timeout_ms = 1 + chance(one_in(2) ? 400 : 15000);
    *story = (struct story){.api = api_methods[API_GET_EVENT], .permitted = 1};
    story->api.repeatable = !one_in(3);
    story->api.waits = one_in(4);
    story->method = (struct method){&story->api, reply_read_message};
    story->begun_ms = clock_monotonic_ms();
    story->deadline_ms = story->begun_ms + timeout_ms;
    triggers_call_options options = {.timeout_ms = timeout_ms, .tag = story};
    struct invocation call = {&story->method, &options, 0, on_reply, story};
    Triggers__V1__GetEventRequest request = TRIGGERS__V1__GET_EVENT_REQUEST__INIT;
    invocation_start(client, &call, &request.base);
    assert_int_equal(story->ended, full);
    if (full)
        assert_string_equal(story->reason, "TOO_MANY_CALLS");
}

static void receive(const struct arrived *request, triggers_code code, const char *reason)
{
    uint8_t bytes[128];
    Triggers__Rpc__V1__ErrorDetails details = TRIGGERS__RPC__V1__ERROR_DETAILS__INIT;
    Triggers__Rpc__V1__Response response = TRIGGERS__RPC__V1__RESPONSE__INIT;
    details.reason = (char *)reason;
    details.retry_delay_ms = chance(3000);
    response.code = (Triggers__Rpc__V1__Code)code;
    response.details = code ? &details : NULL;
    uint32_t end = FLIGHT_ID_END | request->id;
    struct link_received received = {
        .route = {(uint8_t)(end >> 24), (uint8_t)(end >> 16), (uint8_t)(end >> 8), (uint8_t)end},
        .route_size = 4,
        .body = bytes,
        .size = triggers__rpc__v1__response__pack(&response, bytes),
    };
    invocation_events.received(client, &received);
}

/* Whether the answer to it counts. A try that was sent to several peers is over with one answer. */
static bool is_awaited(const struct arrived *request)
{
    for (size_t i = 0; i < client->peers.count; i++) {
        struct flight *flight = client->flights.sent[i].first;
        while (flight && flight->user_data != request->story)
            flight = flight->next;
        if (flight)
            return !request->over;
    }
    return false;
}

static void end_try(const struct story *story)
{
    for (size_t i = 0; i < arrived_count; i++)
        arrived[i].over = arrived[i].over || arrived[i].story == story;
}

/* When the keeper goes on with it. */
static int64_t due_ms(const struct story *story)
{
    for (size_t i = 0; i < FLIGHT_TABLE_SIZE; i++) {
        struct flight *flight = client->flights.table[i];
        while (flight && flight->user_data != story)
            flight = flight->next_in_row;
        if (flight)
            return flight->due_ms;
    }
    fail();
    return 0;
}

static void answer(void)
{
    static const char *const reasons[] = {"", "BUSY", "STOPPING", "LATE"};
    static const triggers_code codes[] = {TRIGGERS_OK, TRIGGERS_UNAVAILABLE, TRIGGERS_UNAVAILABLE,
                                          TRIGGERS_DEADLINE_EXCEEDED};
    if (arrived_count == 0)
        return;
    const struct arrived *request = &arrived[chance((unsigned)arrived_count)];
    if (request->peer->state != PEER_OPEN)
        return;
    struct story *story = request->story;
    unsigned ended = story->ended;
    bool awaited = is_awaited(request);
    unsigned what = chance(4);
    const char *reason = reasons[what];
    bool elsewhere = strcmp(reason, "STOPPING") == 0 && client->peers.count > 1 &&
                     client->no_retry != TRIGGERS_SEND_ONCE;
    bool passing = codes[what] == TRIGGERS_UNAVAILABLE;
    bool again = elsewhere || (passing && story->api.repeatable && !client->no_retry);
    story->permitted += awaited && again;
    if (awaited)
        end_try(story);
    receive(request, codes[what], reason);
    if (!awaited) {
        assert_int_equal(story->ended, ended);
    } else if (!again) {
        assert_int_equal(story->ended, 1);
        assert_string_equal(story->reason, reason);
    } else if (!story->ended) {
        assert_true(due_ms(story) < story->deadline_ms || story->sent_ms == clock_monotonic_ms());
    }
}

static void open_or_lose(void)
{
    struct peer *peer = &client->peers.items[chance((unsigned)client->peers.count)];
    if (peer->state != PEER_OPEN) {
        peer->state = PEER_OPEN;
        client->peers.open++;
        invocation_events.opened(client);
        assert_null(client->flights.waiting.first);
        return;
    }
    peer->state = PEER_CLOSED;
    client->peers.open--;
    struct flight *flight = client->flights.sent[peer->number].first;
    for (; flight; flight = flight->next) {
        struct story *story = flight->user_data;
        bool again = story->api.repeatable && client->no_retry != TRIGGERS_SEND_ONCE;
        story->permitted += again;
    }
    invocation_events.lost(client, peer);
    assert_null(client->flights.sent[peer->number].first);
}

/* The keeper serves at each moment that it was asked for; nobody is late. */
static void pass(int64_t ms)
{
    int64_t until_ms = clock_monotonic_ms() + ms;
    while (wake_ms <= until_ms) {
        if (wake_ms > clock_monotonic_ms())
            steps_pass_ms(wake_ms - clock_monotonic_ms());
        wake_ms = INT64_MAX;
        invocations_serve_due(client);
    }
    steps_pass_ms(until_ms - clock_monotonic_ms());
}

static void cancel(void)
{
    if (story_count == 0)
        return;
    struct story *story = &stories[chance((unsigned)story_count)];
    bool ended = story->ended > 0;
    triggers_code code = story->code;
    flights_cancel(&client->flights, story);
    pass(0);
    assert_int_equal(story->ended, 1);
    assert_int_equal(story->code, ended ? code : TRIGGERS_CANCELLED);
}

static void check_all(void)
{
    unsigned open = 0;
    assert_int_equal(held, 0);
    for (size_t i = 0; i < story_count; i++) {
        assert_true(stories[i].ended <= 1);
        assert_true(stories[i].ended || clock_monotonic_ms() < stories[i].deadline_ms);
        assert_true(stories[i].ended || stories[i].sent > 0 || !client->no_retry ||
                    clock_monotonic_ms() < stories[i].begun_ms + CONNECT_WAIT_MS);
        open += !stories[i].ended;
    }
    assert_int_equal(client->flights.count, open);
}

/* ---- rounds ---- */

static void open_client(void)
{
    client = calloc(1, sizeof(*client));
    assert_non_null(client);
    client->name = client->urls = (char *)"test";
    client->no_retry = (int)chance(3);
    client->peers.keeper = &client->keeper;
    client->peers.count = 1 + chance(MAX_PEERS);
    for (size_t i = 0; i < client->peers.count; i++)
        client->peers.items[i].number = i;
    client->flights.peers = &client->peers;
    flights_init(&client->flights, MAX_IN_FLIGHT);
    story_count = arrived_count = 0;
    wake_ms = INT64_MAX;
}

static void each_call_ends_once_and_in_time(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        open_client();
        for (int step = 0; step < STEPS; step++) {
            switch (chance(8)) {
            case 0: begin_call(); break;
            case 1: open_or_lose(); break;
            case 2: pass(chance(one_in(8) ? 6000 : 60)); break;
            case 3:
                if (one_in(4))
                    cancel();
                break;
            default: answer(); break;
            }
            check_all();
        }
        pass(15001);
        check_all();
        flights_fini(&client->flights);
        free(client);
    }
}

int main(void)
{
    steps_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_ends_once_and_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
