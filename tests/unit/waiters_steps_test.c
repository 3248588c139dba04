/* Those who wait for events, stepped in random orders, see steps.h: they read, park, are woken by
 * events, by time or by their end, while this process and others commit, tell of it late, out of
 * order or never, and looks come and fail. Nobody may wait for an event that is there, be woken
 * twice, or without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "events/waiters.h"
#include "steps.h"

enum { ROUNDS = 1500, STEPS = 400, WAITERS = 48, MAX_IN_TURN = 32, EVENTS = 4000, COMMITS = 8 };

/* What the model holds of a waiter. */
struct stepped_waiter {
    struct log_waiter waiter; /* first */
    struct store_filter filter;
    enum { AWAY, READING, READ, PARKED, TAKEN } state; /* TAKEN: by its time or its end */
    int64_t start;
    int64_t seen; /* by the read: the end of the log */
};

/* A commit that has not been told yet. */
struct commit {
    bool ours;
    int64_t first, last;
};

static const struct slice NAMES[] = {{"crm", 3}, {"crm.b", 5}, {"erp", 3}, {"c*", 2}, {"crm*", 4}};
enum { PLAIN = 3, PATTERNS = 5 };

static struct stepped_waiter all[WAITERS];
static struct store_event events[EVENTS + 1]; /* by sequence */
static int64_t end;                           /* the highest sequence */
static struct commit untold[COMMITS];
static size_t untold_count, looks, answered, given_up;
static struct list_op *look; /* at the readers */
static int64_t look_seen;
static bool others, stopping;
static struct waiters *waiters;

/* ---- the store ---- */

static bool passes(const struct store_filter *filter, const struct store_event *event)
{
    return store_filter_fits(filter->sources, filter->source_count, event->source) &&
           store_filter_fits(filter->types, filter->type_count, event->type);
}

/* The first event from after `after` to `last` that passes; 0: none. */
static int64_t find(const struct store_filter *filter, int64_t after, int64_t last)
{
    for (int64_t i = after + 1; i <= last; i++) {
        if (passes(filter, &events[i]))
            return i;
    }
    return 0;
}

bool readers_submit_list(struct readers *readers, struct list_op *op, struct status *status)
{
    assert_null(readers);
    assert_null(look);
    assert_true(others && op->list.set == STORE_LOG && op->list.oldest_first);
    if (one_in(5))
        return status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "it is away");
    look = op;
    look_seen = end;
    return true;
}

static void finish_look(void)
{
    struct list_op *op = look;
    struct store_list *list = &op->list;
    look = NULL;
    looks++;
    if (one_in(5)) {
        op->op.status.code = STATUS_UNAVAILABLE;
        op->op.done(&op->op);
        return;
    }
    int64_t there = look_seen > list->after ? look_seen - list->after : 0;
    list->count = there > 3 ? 3 : (size_t)there;
    list->more = there > 3;
    list->events = &events[list->after + 1];
    list->read_to = list->after + (int64_t)list->count;
    op->op.done(&op->op);
}

/* ---- the owner of a waiter ---- */

static bool on_park(struct log_waiter *base)
{
    struct stepped_waiter *stepped = (struct stepped_waiter *)base;
    assert_int_equal(stepped->state, READ);
    if (stopping || one_in(10))
        return false;
    stepped->state = PARKED;
    return true;
}

static bool on_unpark(struct log_waiter *base)
{
    struct stepped_waiter *stepped = (struct stepped_waiter *)base;
    assert_true(stepped->state == PARKED || stepped->state == TAKEN);
    if (stepped->state == TAKEN)
        return false;
    stepped->state = READING;
    stepped->seen = -1;
    return true;
}

static void on_look(struct log_waiter *base)
{
    struct stepped_waiter *stepped = (struct stepped_waiter *)base;
    assert_int_equal(stepped->state, READING);
    assert_false(stopping);
    assert_true(find(&stepped->filter, base->after, end) > 0);
}

static const struct log_waiter_calls CALLS = {on_park, on_unpark, on_look};

static void leave(struct stepped_waiter *stepped)
{
    stepped->state = AWAY;
    waiters_leave(waiters, &stepped->waiter);
    assert_int_equal(find(&stepped->filter, stepped->start, stepped->waiter.after), 0);
}

static void join(struct stepped_waiter *stepped)
{
    size_t sources = chance(3), types = chance(2);
    unsigned first = chance(PATTERNS - 1);
    stepped->filter =
        (struct store_filter){.sources = &NAMES[first],
                              .source_count = first + sources > PATTERNS ? 1 : sources,
                              .types = &NAMES[chance(PATTERNS)],
                              .type_count = types};
    stepped->start =
        one_in(10) ? end + chance(10) : end - (end > 0 ? chance((unsigned)end) % 8 : 0);
    stepped->waiter = (struct log_waiter){.calls = &CALLS,
                                          .scope = SCOPE_DEFAULT,
                                          .filter = &stepped->filter,
                                          .after = stepped->start};
    stepped->state = READING;
    stepped->seen = -1;
    assert_true(waiters_join(waiters, &stepped->waiter));
}

/* It has read: it is answered, parks, or reads on. */
static void finish_read(struct stepped_waiter *stepped)
{
    int64_t after = stepped->waiter.after;
    int64_t read_to = stepped->seen > after ? stepped->seen : after;
    if (find(&stepped->filter, after, stepped->seen) > 0) {
        answered++;
        leave(stepped);
        return;
    }
    stepped->state = READ;
    switch (waiters_park(waiters, &stepped->waiter, read_to)) {
    case LOG_WAITER_WAITS: break; /* and may have been woken */
    case LOG_WAITER_LOOKS_AGAIN:
        assert_true(find(&stepped->filter, stepped->waiter.after, end) > 0);
        stepped->state = READING;
        stepped->seen = -1;
        break;
    case LOG_WAITER_CANNOT: leave(stepped); break;
    }
}

/* ---- steps ---- */

static void step_waiter(void)
{
    struct stepped_waiter *stepped = &all[chance(WAITERS)];
    switch (stepped->state) {
    case AWAY:
        if (!stopping)
            join(stepped);
        break;
    case READING:
        if (stepped->seen < 0)
            stepped->seen = end;
        else
            finish_read(stepped);
        break;
    case READ: fail(); break;
    case PARKED:
        if (stopping || one_in(20))
            stepped->state = TAKEN;
        break;
    case TAKEN:
        given_up++;
        leave(stepped);
        break;
    }
}

static void commit(void)
{
    int64_t count = 1 + (int64_t)chance(4);
    if (untold_count == COMMITS || end + count > EVENTS)
        return;
    for (int64_t i = end + 1; i <= end + count; i++)
        events[i] = (struct store_event){
            .sequence = i, .source = NAMES[chance(PLAIN)], .type = NAMES[chance(PLAIN)]};
    untold[untold_count++] = (struct commit){!others || one_in(2), end + 1, end + count};
    end += count;
}

static void tell(void)
{
    const struct store_event *told[4];
    if (untold_count == 0)
        return;
    size_t which = chance((unsigned)untold_count);
    struct commit commit = untold[which];
    untold[which] = untold[--untold_count];
    if (commit.ours) {
        for (int64_t i = commit.first; i <= commit.last; i++)
            told[i - commit.first] = &events[i];
        waiters_note(waiters, SCOPE_DEFAULT, told, (size_t)(commit.last - commit.first + 1));
    } else if (!one_in(3)) {
        waiters_hear(waiters, SCOPE_DEFAULT.tenant, commit.last);
    }
}

static void step(void)
{
    switch (chance(8)) {
    case 0:
        if (one_in(4))
            commit();
        break;
    case 1: tell(); break;
    case 2:
        if (look)
            finish_look();
        break;
    case 3:
        if (others && one_in(10))
            waiters_look(waiters);
        break;
    default: step_waiter();
    }
}

static bool is_reading(void)
{
    for (size_t i = 0; i < WAITERS; i++) {
        if (all[i].state == READING)
            return true;
    }
    return false;
}

/* Everything that was begun ends. */
static void come_to_rest(void)
{
    while (untold_count > 0 || look || is_reading()) {
        tell();
        if (look)
            finish_look();
        for (size_t i = 0; i < WAITERS; i++) {
            if (all[i].state == READING) {
                all[i].seen = end;
                finish_read(&all[i]);
            }
        }
    }
}

/* What others did not tell, or a look did not find, is found by those that come every second. */
static void nobody_waits_for_what_is_there(void)
{
    come_to_rest();
    for (int i = 0; others && i < 100; i++) {
        waiters_look(waiters);
        come_to_rest();
    }
    for (size_t i = 0; i < WAITERS; i++) {
        if (all[i].state == PARKED)
            assert_int_equal(find(&all[i].filter, all[i].waiter.after, end), 0);
    }
}

static void none_is_lost_and_none_is_woken_in_vain(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        end = 0;
        others = round % 2 == 1;
        stopping = false;
        waiters = waiters_open(NULL);
        assert_non_null(waiters);
        for (int i = 0; i < STEPS; i++)
            step();
        if (round % 3 > 0)
            nobody_waits_for_what_is_there();
        stopping = true;
        waiters_stop(waiters);
        come_to_rest();
        for (size_t i = 0; i < WAITERS; i++) {
            if (all[i].state == PARKED || all[i].state == TAKEN)
                leave(&all[i]);
        }
        waiters_close(waiters);
    }
    print_message("%zu answered, %zu given up, %zu looks\n", answered, given_up, looks);
    assert_true(answered > 0 && given_up > 0 && looks > 0);
}

/* Many who wait for rare events: a commit wakes those whose event it has, and nobody else. */
static void a_commit_wakes_only_whom_it_concerns(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static struct stepped_waiter many[MANY];
    static char texts[MANY][8];
    static struct slice names[MANY];
    others = stopping = false;
    waiters = waiters_open(NULL);
    for (size_t i = 0; i < MANY; i++) {
        texts[i][0] = (char)('a' + i % 10);
        texts[i][1] = (char)('a' + i / 10 % 10);
        texts[i][2] = (char)('a' + i / 100);
        names[i] = (struct slice){texts[i], 3};
        many[i] = (struct stepped_waiter){.filter = {.sources = &names[i], .source_count = 1}};
        many[i].waiter =
            (struct log_waiter){.calls = &CALLS, .scope = SCOPE_DEFAULT, .filter = &many[i].filter};
        assert_true(waiters_join(waiters, &many[i].waiter));
        many[i].state = READ;
        while (many[i].state != PARKED)
            (void)!waiters_park(waiters, &many[i].waiter, 0);
    }
    for (end = 1; end <= MANY; end++) {
        events[end] =
            (struct store_event){.sequence = end, .source = names[end - 1], .type = NAMES[0]};
        const struct store_event *event = &events[end];
        waiters_note(waiters, SCOPE_DEFAULT, &event, 1);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(many[i].state, (int64_t)i == end - 1 ? READING : PARKED);
        many[end - 1].state = READ;
        waiters_leave(waiters, &many[end - 1].waiter);
        many[end - 1].state = PARKED; /* for the others' comparison */
        assert_true(end == MANY || many[end % MANY].waiter.after == end);
    }
    waiters_close(waiters);
}

/* Those whom one event wakes read in turn, so that there is room for others. */
static void many_read_in_turn(void **state)
{
    (void)state;
    enum { MANY = 100 };
    static struct stepped_waiter many[MANY];
    others = stopping = false;
    waiters = waiters_open(NULL);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = (struct stepped_waiter){.state = READ};
        many[i].waiter =
            (struct log_waiter){.calls = &CALLS, .scope = SCOPE_DEFAULT, .filter = &many[i].filter};
        assert_true(waiters_join(waiters, &many[i].waiter));
        while (many[i].state != PARKED)
            (void)!waiters_park(waiters, &many[i].waiter, 0);
    }
    end = 1;
    events[1] = (struct store_event){.sequence = 1, .source = NAMES[0], .type = NAMES[0]};
    const struct store_event *event = &events[1];
    waiters_note(waiters, SCOPE_DEFAULT, &event, 1);
    for (size_t done = 0; done < MANY; done++) {
        size_t reading = 0;
        struct stepped_waiter *last = NULL;
        for (size_t i = 0; i < MANY; i++) {
            reading += many[i].state == READING;
            last = many[i].state == READING ? &many[i] : last;
        }
        assert_int_equal(reading, MANY - done < MAX_IN_TURN ? MANY - done : MAX_IN_TURN);
        last->state = AWAY;
        waiters_leave(waiters, &last->waiter);
    }
    waiters_close(waiters);
}

int main(void)
{
    steps_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_lost_and_none_is_woken_in_vain),
        cmocka_unit_test(a_commit_wakes_only_whom_it_concerns),
        cmocka_unit_test(many_read_in_turn),
    };
    return cmocka_run_group_tests_name("waiters", tests, NULL, NULL);
}
