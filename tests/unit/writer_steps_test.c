/* The writer between a lane and a store that do, step by step, all that they may, see steps.h: the
 * lane divides operations, stops, and is without the store; the store refuses items, is in the way,
 * loses sessions after a commit or before it, fails for good, and asks for more. What each item is
 * told is held against what became of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "events/writer.h"
#include "steps.h"

enum { ROUNDS = 2000, OPS = 6, ITEMS = 16, IDS = 60 };
enum { MAX_TRIES = 9, MAX_REJECTED = 16, MAX_LOCKED = 4, MAX_AHEAD_US = 1000000 };
#define TWO_DAYS_MS ((int64_t)48 * 3600 * 1000)

/* What is known of an item beside what the writer is told. */
struct model_item {
    bool poison, locked;    /* the store never takes it */
    bool has_former, asked; /* an id, and whether it is there */
    uint8_t former_id[TYPEID_BYTES];
    uint8_t id[TYPEID_BYTES]; /* by which it is to be written */
    size_t place;             /* in the batch */
    int64_t time_us;
    bool committed; /* by a transaction, whoever was told */
    bool told;      /* of one the writer was told */
    bool doubt;     /* one was lost with its session */
    enum store_outcome outcome;
};

struct model_op {
    struct write_op write; /* first */
    struct write_item items[ITEMS];
    struct model_item model[ITEMS];
    struct arena arena;
    bool roomy; /* its arena */
    bool queued;
    bool taken; /* by the run */
};

struct model_event {
    bool there;
    char content;
    int64_t created_us, acknowledged_us;
};

static struct model_op ops[OPS];
static struct model_event events[IDS];
static int64_t last_time_us, commits, created, acknowledged, opened_ms;
static int run_count, unknown_count, gathered_count; /* that were seen */
static struct {
    struct store_session session;
    bool lost;
    unsigned faults; /* one operation of the store in so many; 0: none */
    bool passing;    /* all of them are */
    bool stopping;
} world;

/* One run of the writer. */
static struct {
    struct op *batch;
    size_t count, poison, locked;
    int64_t deadline_ms;
    bool over;   /* nothing more may be asked of the store */
    bool in_way; /* somebody was, and the lane has not been asked whether to go on */
    bool lost;   /* a session was, in a get too */
    bool get_lost;
    enum store_result last;
    size_t writes, answers;         /* of these that were not passing */
    const struct store_item *first; /* of the last write */
    size_t size, tries;             /* of that */
} run;

/* ---- a store ---- */

/* Ids say whose they are, and by their last byte of which event. */
static struct model_item *model_of(const uint8_t *id)
{
    return &ops[id[0]].model[id[1]];
}

static const struct write_item *item_of(const uint8_t *id)
{
    return &ops[id[0]].items[id[1]];
}

static struct model_event *event_of(const uint8_t *id)
{
    return &events[id[TYPEID_BYTES - 1]];
}

static int number_of(const uint8_t *id)
{
    return id[0] * ITEMS + id[1];
}

static enum store_result fail_with(enum store_result result, const char *reason, int number,
                                   struct status *status)
{
    status_fail(status, STATUS_UNAVAILABLE, reason, "number %d", number);
    return result;
}

/* A fault, or STORE_OK. */
static enum store_result any_fault(struct status *status)
{
    if (world.faults == 0 || !one_in(world.faults))
        return STORE_OK;
    switch (world.passing ? 0 : chance(5)) {
    case 0:
    case 1: run.in_way = true; return fail_with(STORE_RETRY, "STORE_CONTENTION", 0, status);
    case 2: run.over = true; return fail_with(STORE_UNAVAILABLE, "STORE_FULL", 0, status);
    default: world.lost = run.lost = true; return fail_with(STORE_LOST, "STORE_LOST", 0, status);
    }
}

static void check_asked(const struct store_session *session)
{
    assert_ptr_equal(session, &world.session);
    assert_false(world.lost || run.over || run.in_way);
    steps_pass_ms(chance(one_in(16) ? 2000 : 20));
    world.stopping = world.stopping || one_in(200);
}

static enum store_result stepped_get(struct store_session *session, struct scope scope,
                                     struct store_get **gets, size_t count, struct status *status)
{
    (void)scope;
    assert_true(clock_monotonic_ms() <= opened_ms + TWO_DAYS_MS);
    check_asked(session);
    enum store_result result = any_fault(status);
    run.get_lost = run.get_lost || result == STORE_LOST;
    run.last = result;
    for (size_t i = 0; result == STORE_OK && i < count; i++) {
        const struct model_event *event = event_of(gets[i]->id);
        const struct write_item *item = item_of(gets[i]->id);
        struct model_item *model = model_of(gets[i]->id);
        assert_memory_equal(gets[i]->id, model->former_id, TYPEID_BYTES);
        assert_true(model->has_former && !model->asked);
        model->asked = true;
        gets[i]->outcome = event->there ? STORE_DONE : STORE_NOT_FOUND;
        gets[i]->no_memory = one_in(8);
        gets[i]->event.source = (struct slice){&event->content, !gets[i]->no_memory};
        if (event->there &&
            (gets[i]->no_memory || event->content == item->stored.event.source.data[0]))
            memcpy(model->id, model->former_id, TYPEID_BYTES);
    }
    return result;
}

static void commit_append(struct store_item *item, struct model_event *event, bool tell)
{
    char content = item->event.source.data[0];
    enum store_outcome outcome = !event->there               ? STORE_DONE
                                 : event->content == content ? STORE_REPEATED
                                                             : STORE_CONFLICT;
    if (outcome == STORE_DONE)
        *event = (struct model_event){true, content, item->event.created_at_us, 0};
    if (!tell)
        return;
    created += outcome == STORE_DONE;
    item->outcome = outcome;
    if (outcome == STORE_REPEATED)
        item->event.created_at_us = event->created_us;
}

static void commit_ack(struct store_item *item, struct model_event *event, bool tell)
{
    enum store_outcome outcome = !event->there            ? STORE_NOT_FOUND
                                 : event->acknowledged_us ? STORE_REPEATED
                                                          : STORE_DONE;
    if (outcome == STORE_DONE)
        event->acknowledged_us = item->event.acknowledged_at_us;
    if (!tell)
        return;
    acknowledged += outcome == STORE_DONE;
    item->outcome = outcome;
    if (outcome == STORE_REPEATED)
        item->event.acknowledged_at_us = event->acknowledged_us;
}

static void commit(const struct store_write *batch, bool tell)
{
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        for (size_t i = 0; i < batch->count; i++) {
            struct store_item *item = batch->items[i];
            if (item->kind == kind)
                (kind == STORE_APPEND ? commit_append : commit_ack)(item, event_of(item->event.id),
                                                                    tell);
        }
    }
    commits += tell;
}

/* What the store says to a batch when nothing else happens. */
static enum store_result natural_result(const struct store_write *batch, struct status *status)
{
    const uint8_t *poison = NULL, *locked = NULL;
    for (size_t i = 0; i < batch->count; i++) {
        const uint8_t *id = batch->items[i]->event.id;
        poison = poison || !model_of(id)->poison ? poison : id;
        locked = locked || !model_of(id)->locked ? locked : id;
    }
    if (poison)
        return fail_with(STORE_REJECTED, "STORE_REJECTED", number_of(poison), status);
    if (locked)
        return fail_with(STORE_LOCKED, "STORE_LOCKED", number_of(locked), status);
    return STORE_OK;
}

static void check_item_to_write(const struct store_item *item, size_t place)
{
    const struct model_item *model = model_of(item->event.id);
    bool append = item->kind == STORE_APPEND;
    assert_int_equal(model->place, place);
    assert_false(model->told || item_of(item->event.id)->wrong);
    assert_memory_equal(item->event.id, model->id, TYPEID_BYTES);
    assert_int_equal(append ? item->event.created_at_us : item->event.acknowledged_at_us,
                     model->time_us);
    if (model->has_former && ops[item->event.id[0]].roomy)
        assert_true(model->asked || clock_monotonic_ms() > opened_ms + TWO_DAYS_MS);
}

/* The first write is the whole batch; the others are parts of it, each with the next items. */
static void check_write(const struct store_write *batch)
{
    assert_true(batch->count > 0);
    size_t first = model_of(batch->items[0]->event.id)->place;
    assert_true(first + batch->count <= run.count);
    assert_true(run.writes > 0 || batch->count == run.count);
    assert_int_equal(batch->part, batch->count < run.count);
    bool same = run.first == batch->items[0] && run.size == batch->count;
    run.tries = same ? run.tries + 1 : 1;
    run.first = batch->items[0];
    run.size = batch->count;
    run.writes++;
    assert_true(run.tries <= MAX_TRIES);
    assert_true(!batch->gather || (run.tries == 1 && !batch->part));
    for (size_t i = 0; i < batch->count; i++)
        check_item_to_write(batch->items[i], first + i);
}

/* The writer adds what the lane has got meanwhile. */
static enum store_result gather(struct store_write *batch, struct status *status)
{
    size_t before = batch->count;
    enum store_result result = batch->gather(batch, status);
    assert_int_equal(batch->count, run.count);
    run.size = batch->count;
    for (size_t i = before; i < batch->count && result == STORE_OK; i++)
        check_item_to_write(batch->items[i], i);
    gathered_count += batch->count > before;
    return result;
}

static enum store_result stepped_write(struct store_session *session, struct scope scope,
                                       struct store_write *batch, struct status *status)
{
    (void)scope;
    check_asked(session);
    check_write(batch);
    struct status ignored;
    enum store_result result = STORE_OK;
    if (batch->gather && one_in(4))
        result = gather(batch, status);
    if (result != STORE_OK)
        return result;
    result = any_fault(status);
    if (result == STORE_OK)
        result = natural_result(batch, status);
    bool commits_unseen =
        result == STORE_LOST && natural_result(batch, &ignored) == STORE_OK && one_in(2);
    if (result == STORE_OK || commits_unseen)
        commit(batch, result == STORE_OK);
    bool settled = result == STORE_OK || result == STORE_REJECTED;
    run.last = result;
    run.answers += settled || result == STORE_LOCKED;
    for (size_t i = 0; i < batch->count; i++) {
        struct model_item *model = model_of(batch->items[i]->event.id);
        model->committed = model->committed || result == STORE_OK || commits_unseen;
        model->told = result == STORE_OK;
        model->doubt = !settled && (model->doubt || result == STORE_LOST);
        model->outcome = batch->items[i]->outcome;
    }
    return result;
}

static const struct store_driver DRIVER = {
    .name = "stepped", .get = stepped_get, .write = stepped_write};
static struct store store = {.driver = &DRIVER, .description = (char *)"stepped"};

/* ---- a lane ---- */

struct worker {
    int unused;
};
struct lane {
    struct lane_config config;
};
static struct lane lane;
static struct worker worker;

struct lane *lane_open(const struct lane_config *config)
{
    lane.config = *config;
    opened_ms = clock_monotonic_ms();
    return &lane;
}

void lane_close(struct lane *closed)
{
    assert_ptr_equal(closed, &lane);
}

bool lane_submit(struct lane *to, struct op *op, struct status *status)
{
    (void)status;
    assert_ptr_equal(to, &lane);
    assert_int_equal(op->items, ((struct model_op *)op)->write.count);
    op->first = op->end = 0;
    op->status = STATUS_INIT;
    ((struct model_op *)op)->queued = true;
    return true;
}

struct store_session *worker_session(struct worker *of)
{
    assert_ptr_equal(of, &worker);
    return &world.session;
}

void *worker_context(struct worker *of)
{
    (void)of;
    return lane.config.context;
}

void worker_note_store(const struct worker *of, int64_t started_us, enum store_result result)
{
    (void)of;
    (void)result;
    assert_true(started_us <= steps_monotonic_us);
}

bool worker_may_retry(struct worker *of, int64_t deadline_ms)
{
    (void)of;
    assert_int_equal(deadline_ms, run.deadline_ms);
    run.over = world.stopping || clock_monotonic_ms() >= deadline_ms;
    run.in_way = false;
    return !run.over;
}

bool worker_reconnect(struct worker *of, int64_t deadline_ms, struct status *status)
{
    (void)of;
    assert_true(world.lost);
    assert_int_equal(deadline_ms, run.deadline_ms);
    steps_pass_ms(chance(500));
    world.lost = world.stopping || one_in(6);
    run.over = world.lost;
    if (world.lost)
        status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "no session");
    return !world.lost;
}

/* ---- runs ---- */

/* The writer's times ascend, but where the clock was set back by much. */
static int64_t next_time_us(void)
{
    bool follows = steps_now_us > last_time_us || last_time_us - steps_now_us > MAX_AHEAD_US;
    return last_time_us = follows ? steps_now_us : last_time_us + 1;
}

static void add_to_run(struct model_op *op, size_t end)
{
    struct op *base = &op->write.op;
    base->end = end;
    for (size_t i = base->first; i < end; i++) {
        struct model_item *model = &op->model[i];
        bool append = op->items[i].stored.kind == STORE_APPEND;
        if (op->items[i].wrong)
            continue;
        model->place = run.count++;
        model->time_us = append ? next_time_us() : steps_now_us;
        run.poison += model->poison;
        run.locked += model->locked && !model->poison;
    }
    if (base->deadline_ms > run.deadline_ms)
        run.deadline_ms = base->deadline_ms;
}

/* Some of what is queued, of each perhaps not all items. */
static struct op *take_some(void)
{
    struct op *batch = NULL;
    struct op **end = &batch;
    for (size_t i = 0; i < OPS; i++) {
        struct op *op = &ops[i].write.op;
        if (!ops[i].queued || ops[i].taken || one_in(3))
            continue;
        ops[i].taken = true;
        size_t rest = op->items - op->first;
        add_to_run(&ops[i], op->first + (one_in(3) ? 1 + chance((unsigned)rest) : rest));
        *end = op;
        end = &op->next;
    }
    *end = NULL;
    return batch;
}

struct op *worker_take_more(struct worker *of)
{
    struct op *last = run.batch;
    (void)of;
    while (last->next)
        last = last->next;
    return last->next = take_some();
}

/* What lay on the stack is there no more. */
static void overwrite_stack(void)
{
    char bytes[200000];
    explicit_bzero(bytes, sizeof(bytes));
}

/* While the store answers, whoever is guilty is told so, and nobody else. */
static void check_guilt(const struct model_op *op, size_t index)
{
    const struct status *why = op->items[index].failure;
    const struct model_item *model = &op->model[index];
    char expected[32];
    if (op->items[index].wrong)
        return;
    assert_int_equal(why != NULL, model->poison || model->locked);
    if (!why)
        return;
    snprintf(expected, sizeof(expected), "number %d", number_of(model->id));
    assert_string_equal(why->message, op->roomy ? expected : "the database refused to store this");
}

static void check_run(const struct op *batch)
{
    /* Nothing is asked again and again of a store that takes nothing. */
    assert_true(run.poison < run.count || run.answers <= 60);
    assert_true(run.locked < run.count || run.answers <= 20);
    bool answered = !run.over && !run.lost && run.last != STORE_RETRY;
    if (!answered || run.poison >= MAX_REJECTED || run.locked >= MAX_LOCKED)
        return;
    run_count++;
    for (const struct op *op = batch; op; op = op->next) {
        for (size_t i = op->first; i < op->end; i++)
            check_guilt((const struct model_op *)op, i);
    }
}

static void run_some(void)
{
    memset(&run, 0, sizeof(run));
    for (size_t i = 0; i < OPS; i++)
        ops[i].taken = false;
    struct op *batch = run.batch = take_some();
    if (!batch)
        return;
    lane.config.run(&worker, batch);
    overwrite_stack();
    check_run(batch);
    while (batch) {
        struct op *op = batch;
        batch = op->next;
        assert_true(op->end > op->first && op->end <= op->items);
        if (op->end == op->items)
            op->done(op);
        else
            op->first = op->end;
    }
}

/* The lane has no session, or it is too late to begin. */
static void fail_queued(enum status_code code)
{
    for (size_t i = 0; i < OPS; i++) {
        struct op *op = &ops[i].write.op;
        if (!ops[i].queued || (code == STATUS_DEADLINE_EXCEEDED && op->first > 0))
            continue;
        status_fail(&op->status, code, "BY_THE_LANE", "the lane failed it");
        op->end = op->items;
        op->done(op);
    }
}

/* ---- callers ---- */

/* What an item is told is true. */
static void check_item(const struct model_op *op, size_t index, const struct status *why)
{
    const struct model_item *model = &op->model[index];
    if (op->items[index].wrong) {
        assert_false(model->told || model->committed);
        return;
    }
    bool unknown = why && strcmp(why->reason, "OUTCOME_UNKNOWN") == 0;
    assert_int_equal(model->told, why == NULL);
    if (!why)
        assert_int_equal(op->items[index].stored.outcome, model->outcome);
    if (unknown)
        assert_true(model->doubt || run.get_lost);
    if (why && !unknown)
        assert_false(model->doubt || model->committed);
    unknown_count += unknown;
}

/* What is true of all items is told once. */
static void check_told_once(const struct write_op *write)
{
    const struct status *why = NULL;
    bool same = true;
    for (size_t i = 0; i < write->count; i++) {
        const struct write_item *item = &write->items[i];
        same = same && (item->wrong || (item->failure && (!why || item->failure == why)));
        why = item->wrong ? why : item->failure;
    }
    bool own = why && (strcmp(why->reason, "STORE_REJECTED") == 0 ||
                       strcmp(why->reason, "STORE_LOCKED") == 0);
    assert_true(!same || !why || own || write->op.status.code != STATUS_OK);
}

static void on_done(struct write_op *write)
{
    struct model_op *op = (struct model_op *)write;
    bool whole = write->op.status.code != STATUS_OK;
    assert_true(op->queued);
    op->queued = false;
    check_told_once(write);
    for (size_t i = 0; i < write->count; i++)
        check_item(op, i, whole ? &write->op.status : write->items[i].failure);
    arena_fini(&op->arena);
}

static void make_item(struct model_op *op, size_t index, unsigned poisoned, unsigned locked)
{
    static const char contents[] = "ab";
    struct store_item *item = &op->items[index].stored;
    struct model_item *model = &op->model[index];
    const uint8_t id[TYPEID_BYTES] = {(uint8_t)(op - ops), (uint8_t)index,
                                      [TYPEID_BYTES - 1] = (uint8_t)chance(IDS)};
    *model = (struct model_item){.poison = poisoned && one_in(poisoned),
                                 .locked = locked && one_in(locked)};
    op->items[index] = (struct write_item){0};
    op->items[index].wrong = one_in(10) ? (struct item_failure *)op : NULL; /* not looked at */
    item->kind = one_in(3) ? STORE_ACK : STORE_APPEND;
    item->event.source = (struct slice){&contents[chance(2)], 1};
    memcpy(item->event.id, id, TYPEID_BYTES);
    memcpy(model->id, id, TYPEID_BYTES);
    memcpy(model->former_id, id, TYPEID_BYTES);
    model->former_id[TYPEID_BYTES - 1] = (uint8_t)chance(IDS);
    model->has_former = item->kind == STORE_APPEND && one_in(8);
    op->items[index].former_id = model->has_former ? model->former_id : NULL;
}

static void submit_one(struct writer *writer)
{
    static const unsigned rates[] = {0, 0, 0, 20, 5, 1};
    struct model_op *op = &ops[chance(OPS)];
    struct status status;
    if (op->queued)
        return;
    unsigned poisoned = rates[chance(6)], locked = rates[chance(6)];
    op->roomy = !one_in(8);
    arena_init(&op->arena, op->roomy ? 1 << 16 : 1);
    op->write = (struct write_op){
        .items = op->items, .count = 1 + chance(ITEMS), .arena = &op->arena, .done = on_done};
    op->write.op.deadline_ms = clock_monotonic_ms() + 1 + chance(one_in(4) ? 100 : 10000);
    for (size_t i = 0; i < op->write.count; i++)
        make_item(op, i, poisoned, locked);
    assert_true(writer_submit(writer, &op->write, &status));
}

static void step(struct writer *writer)
{
    switch (chance(12)) {
    case 0: fail_queued(STATUS_UNAVAILABLE); break;
    case 1: fail_queued(STATUS_DEADLINE_EXCEEDED); break;
    case 2: steps_now_us += chance(2) ? 300000 : -400000; break;
    case 3: steps_now_us += one_in(8) ? -INT64_C(3600000000) : 0; break;
    case 4: steps_pass_ms(one_in(20) ? TWO_DAYS_MS : chance(100)); break;
    case 5:
    case 6:
    case 7: run_some(); break;
    default: submit_one(writer);
    }
    world.lost = false; /* the lane has connected again */
}

static void go_one_round(void)
{
    static const unsigned faults[] = {0, 0, 40, 10, 3, 1};
    world.session.store = &store;
    world.lost = world.stopping = false;
    world.faults = faults[chance(6)];
    world.passing = one_in(3);
    last_time_us = 0;
    memset(events, 0, sizeof(events));
    struct writer *writer = writer_open(&store, 1, NULL, NULL);
    for (int i = 0; i < 60; i++)
        step(writer);
    fail_queued(STATUS_UNAVAILABLE);
    for (size_t i = 0; i < OPS; i++)
        assert_false(ops[i].queued);
    writer_close(writer);
    assert_int_equal(atomic_load(writer_commits.cells), commits);
    assert_int_equal(atomic_load(writer_created.cells), created);
    assert_int_equal(atomic_load(writer_acknowledged.cells), acknowledged);
}

static void each_item_is_told_what_became_of_it(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++)
        go_one_round();
    assert_true(run_count > ROUNDS && unknown_count > ROUNDS && gathered_count > ROUNDS / 4);
}

int main(void)
{
    steps_begin();
    log_init("writer_steps", LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_is_told_what_became_of_it),
    };
    return cmocka_run_group_tests_name("writer_steps", tests, NULL, NULL);
}
