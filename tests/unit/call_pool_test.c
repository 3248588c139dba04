/* Calls of two connections stepped through their life in random orders, see steps.h, beside a model
 * of what each of them is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rpc/call.h"
#include "service/parking.h"
#include "steps.h"

enum { STEPS = 300000, MAX_RUNNING = 3, MAX_PARKED = 3, OBJECTS = MAX_RUNNING + MAX_PARKED };
enum { SOURCES = 2, KEYS = 2, LIMIT_MS = 6 };

/* What the model holds of a call. */
struct stepped {
    struct call call; /* first */
    struct call_waiter waiter;
    struct charge charge;
    uint8_t answer[512];
    int64_t deadline_ms, until_ms;
    size_t from; /* its source */
    bool held;   /* by its handler */
    bool parked;
    bool answered;
    bool sending;  /* its answer has not left */
    bool refusing; /* there is no room for an answer */
};

static struct call_pool pool;
static struct budget budget = {.ceiling = (size_t)1 << 20};
static struct budget_share share = {.budget = &budget};
static struct stepped *calls[OBJECTS]; /* that have not ended */
static size_t call_count;
static struct call_source sources[SOURCES];
static bool waiting[SOURCES];
static bool stopping;
static struct pass passes[KEYS]; /* each has a reference of the test's until it is over */
static size_t woken[CALL_REVOKED + 1], expired, refused, ended, freed;

static struct stepped *stepped_of(struct call *call)
{
    return (struct stepped *)call;
}

/* ---- the transport ---- */

static uint8_t *on_reserve(struct call *call, size_t size)
{
    struct stepped *stepped = stepped_of(call);
    assert_true(size <= sizeof(stepped->answer));
    return stepped->refusing ? NULL : stepped->answer;
}

static void on_send(struct call *call)
{
    struct stepped *stepped = stepped_of(call);
    assert_false(stepped->answered || stepped->parked);
    stepped->answered = true;
    if (chance(2) == 0)
        call_release(call);
    else
        stepped->sending = true;
}

static void on_end(struct call *call)
{
    struct stepped *stepped = stepped_of(call);
    assert_true(stepped->answered && !stepped->held && !stepped->parked && !stepped->sending);
    assert_int_equal(call_state_of(call), CALL_ENDED);
    assert_int_equal(stepped->charge.held, 0);
    for (size_t i = 0; i < call_count; i++) {
        if (calls[i] == stepped)
            calls[i] = calls[--call_count];
    }
    ended++;
    call_pool_put(&pool, call);
}

static void on_place(struct call_source *source)
{
    assert_true(waiting[source - sources]);
    waiting[source - sources] = false;
}

static const struct call_transport TRANSPORT = {on_reserve, on_send, on_end};

/* ---- keys ---- */

static void on_freed(struct pass *pass);

/* A new key in the place of one that is over. */
static void make_pass(struct pass *pass)
{
    *pass = (struct pass){.references = 1, .free = on_freed};
}

static void on_freed(struct pass *pass)
{
    assert_true(atomic_load(&pass->over));
    for (size_t i = 0; i < call_count; i++)
        assert_ptr_not_equal(calls[i]->call.pass, pass);
    freed++;
    make_pass(pass);
}

static void revoke_one(void)
{
    struct pass *pass = &passes[chance(KEYS)];
    if (!atomic_exchange(&pass->over, true))
        pass_release(pass);
}

static bool is_over(const struct stepped *stepped)
{
    return stepped->call.pass && atomic_load(&stepped->call.pass->over);
}

/* ---- the handler ---- */

static void answer(struct stepped *stepped)
{
    struct status status;
    stepped->held = false; /* what follows may end the call */
    if (chance(2) == 0) {
        call_reply(&stepped->call, NULL);
        return;
    }
    status_fail(&status, STATUS_NOT_FOUND, "NOT_FOUND", "there is none");
    call_fail(&stepped->call, &status, NULL, 0);
}

static void on_woken(struct call_waiter *waiter, enum call_wake why)
{
    struct stepped *stepped = stepped_of(waiter->call);
    bool closed = sources[stepped->from].closed;
    assert_true(stepped->parked && !stepped->held);
    assert_int_equal(why, stopping           ? CALL_STOPPING
                          : closed           ? CALL_GONE
                          : is_over(stepped) ? CALL_REVOKED
                                             : CALL_DUE);
    if (why == CALL_DUE)
        assert_true(stepped->until_ms <= clock_monotonic_ms());
    stepped->parked = false;
    stepped->held = true;
    woken[why]++;
    if (chance(2) == 0)
        answer(stepped);
}

/* ---- steps ---- */

/* A call for which `which` holds; NULL: none. */
static struct stepped *any(bool (*which)(const struct stepped *))
{
    size_t first = chance(OBJECTS);
    for (size_t i = 0; i < call_count; i++) {
        struct stepped *stepped = calls[(first + i) % call_count];
        if (which(stepped))
            return stepped;
    }
    return NULL;
}

static bool is_held(const struct stepped *stepped)
{
    return stepped->held;
}

static bool is_parked(const struct stepped *stepped)
{
    return stepped->parked;
}

static bool is_sending(const struct stepped *stepped)
{
    return stepped->sending;
}

static size_t count(bool (*which)(const struct stepped *))
{
    size_t found = 0;
    for (size_t i = 0; i < call_count; i++)
        found += which(calls[i]);
    return found;
}

static size_t count_waiting(void)
{
    return (size_t)waiting[0] + waiting[1];
}

static void request(void)
{
    size_t from = chance(SOURCES);
    struct call_source *source = &sources[from];
    if (waiting[from] || source->closed)
        return;
    bool granted = source->granted;
    bool free = pool.running < MAX_RUNNING && count_waiting() == 0;
    struct call *call = call_pool_take(&pool, source);
    assert_int_equal(call != NULL, granted || free);
    if (!call) {
        waiting[from] = true;
        return;
    }
    struct stepped *stepped = stepped_of(call);
    assert_int_equal(call_state_of(call), CALL_ENDED);
    stepped->from = from;
    stepped->charge.share = &share;
    call->arena.charge = &stepped->charge;
    stepped->held = true;
    stepped->answered = false;
    stepped->refusing = chance(256) == 0;
    stepped->deadline_ms = chance(4) > 0 ? clock_monotonic_ms() + LIMIT_MS : INT64_MAX;
    calls[call_count++] = stepped;
    call_begin(call);
    assert_null(call->pass);
    struct pass *pass = chance(2) == 0 ? &passes[chance(KEYS)] : NULL;
    if (pass && !atomic_load(&pass->over)) {
        atomic_fetch_add(&pass->references, 1);
        call->pass = pass;
    }
    atomic_store(&call->deadline_ms, stepped->deadline_ms);
    assert_non_null(arena_alloc(&call->arena, 1 + chance(9000)));
}

static void answer_one(void)
{
    struct stepped *stepped = any(is_held);
    if (stepped)
        answer(stepped);
}

static void park_one(void)
{
    struct stepped *stepped = any(is_held);
    if (!stepped)
        return;
    bool over = sources[stepped->from].closed || stopping;
    enum call_parking expected = over                             ? CALL_PARKS_NO_MORE
                                 : count(is_parked) == MAX_PARKED ? CALL_TOO_MANY_PARKED
                                 : stepped->answered              ? CALL_PARKS_NO_MORE
                                                                  : CALL_PARKS;
    bool may = expected == CALL_PARKS;
    int64_t until_ms = clock_monotonic_ms() + chance(2 * LIMIT_MS);
    stepped->waiter.woken = on_woken;
    assert_int_equal(call_park(&stepped->call, &stepped->waiter, until_ms), expected);
    stepped->until_ms = until_ms < stepped->deadline_ms ? until_ms : stepped->deadline_ms;
    stepped->parked = may;
    stepped->held = !may;
    refused += !may;
}

static void unpark_one(void)
{
    struct stepped *stepped = any(is_parked);
    if (!stepped)
        return;
    bool gone = sources[stepped->from].closed; /* the watcher wakes it */
    assert_int_equal(call_unpark(&stepped->call), !gone);
    if (gone)
        return;
    stepped->parked = false;
    stepped->held = true;
    if (chance(8) > 0)
        answer(stepped);
}

static void send_one(void)
{
    struct stepped *stepped = any(is_sending);
    if (!stepped)
        return;
    stepped->sending = false;
    call_release(&stepped->call);
}

static void close_one(void)
{
    size_t from = chance(SOURCES);
    call_pool_leave(&pool, &sources[from]);
    assert_false(sources[from].granted);
    bool unused = !waiting[from];
    for (size_t i = 0; i < call_count; i++)
        unused = unused && calls[i]->from != from;
    if (unused)
        sources[from] = (struct call_source){0}; /* another connection */
}

static void watch(void)
{
    bool due[OBJECTS];
    struct stepped *before[OBJECTS];
    size_t before_count = call_count, ended_before = ended;
    for (size_t i = 0; i < call_count; i++) {
        before[i] = calls[i];
        due[i] =
            calls[i]->held && !calls[i]->answered && calls[i]->deadline_ms <= clock_monotonic_ms();
    }
    call_pool_watch(&pool, clock_monotonic_ms());
    for (size_t i = 0; i < before_count; i++) {
        expired += due[i];
        assert_true(!due[i] || before[i]->answered);
    }
    for (size_t i = 0; i < call_count; i++)
        assert_true(!calls[i]->parked ||
                    (calls[i]->until_ms > clock_monotonic_ms() && !sources[calls[i]->from].closed &&
                     !stopping && !is_over(calls[i])));
    assert_true(count_waiting() == 0 || pool.running >= MAX_RUNNING || ended > ended_before);
}

static void step(void)
{
    void (*const steps[])(void) = {request,  request,    request,  answer_one,
                                   park_one, unpark_one, send_one, watch};
    if (chance(3) == 0)
        steps_pass_ms(1);
    if (chance(100) == 0)
        revoke_one();
    else if (chance(100) == 0)
        close_one();
    else
        steps[chance(sizeof(steps) / sizeof(steps[0]))]();
    assert_int_equal(pool.parked, count(is_parked));
    size_t granted = (size_t)sources[0].granted + sources[1].granted;
    assert_int_equal(pool.running, call_count - count(is_parked) + granted);
}

static void open_pool(void)
{
    struct call_pool_config config = {.transport = &TRANSPORT,
                                      .resume = on_place,
                                      .object_size = sizeof(struct stepped),
                                      .max_running = MAX_RUNNING,
                                      .max_parked = MAX_PARKED};
    assert_true(call_pool_open(&pool, &config));
}

static void a_call_is_answered_once_and_ends_once_whoever_comes_first(void **state)
{
    (void)state;
    open_pool();
    for (size_t i = 0; i < KEYS; i++)
        make_pass(&passes[i]);
    for (int i = 0; i < STEPS; i++)
        step();
    assert_true(woken[CALL_DUE] > 0 && woken[CALL_GONE] > 0 && woken[CALL_REVOKED] > 0);
    assert_true(expired > 0 && refused > 0 && freed > 0);
    stopping = true;
    assert_false(call_pool_drain(&pool, 0) && call_count > 0);
    while (call_count > 0 || sources[0].granted || sources[1].granted) {
        void (*const steps[])(void) = {answer_one, park_one, send_one, watch, close_one};
        steps[chance(5)]();
    }
    assert_true(call_pool_drain(&pool, 0));
    assert_int_equal(budget.held, 0);
    for (size_t i = 0; i < KEYS; i++) /* no call has a reference any more */
        assert_true(atomic_load(&passes[i].references) == 1 && !atomic_load(&passes[i].over));
    print_message("%zu calls, %zu expired, %zu due, %zu gone, %zu revoked, %zu stopping\n", ended,
                  expired, woken[CALL_DUE], woken[CALL_GONE], woken[CALL_REVOKED],
                  woken[CALL_STOPPING]);
    call_pool_close(&pool);
}

/* Whose work is over at its deadline may be told that it is late, or what became of it. */
static void work_ends_before_the_deadline(void **state)
{
    (void)state;
    static struct call call;
    steps_pass_ms(1000);
    int64_t now_ms = clock_monotonic_ms();
    struct {
        int64_t left_ms, work_ms;
    } cases[] = {{15000, 14500}, {2000, 1500}, {1999, 1500}, {400, 300}, {4, 3}, {1, 1}, {0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        atomic_store(&call.deadline_ms, now_ms + cases[i].left_ms);
        assert_int_equal(call_answer_by_ms(&call), now_ms + cases[i].work_ms);
    }
}

static void no_wait_is_shorter_than_asked_for(void **state)
{
    (void)state;
    static struct call call;
    atomic_store(&call.deadline_ms, INT64_MAX);
    for (int i = 0; i < 3000; i++) {
        steps_monotonic_us++; /* at every part of a millisecond */
        int64_t until_us = parking_until_ms(&call, 300) * 1000;
        assert_in_range(until_us, steps_monotonic_us + 300000, steps_monotonic_us + 301000);
    }
}

int main(void)
{
    steps_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_ends_before_the_deadline),
        cmocka_unit_test(no_wait_is_shorter_than_asked_for),
        cmocka_unit_test(a_call_is_answered_once_and_ends_once_whoever_comes_first),
    };
    return cmocka_run_group_tests_name("call_pool", tests, NULL, NULL);
}
