#include "cores.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wait.h"

static void on_committed(void *context, struct scope scope, const struct store_event *const *events,
                         size_t count)
{
    struct core *core = context;
    waiters_note(core->waiters, scope, events, count);
}

struct core *core_over(struct store *store)
{
    struct core *core = calloc(1, sizeof(*core));
    core->store = store;
    core->scope = SCOPE_DEFAULT;
    core->readers = readers_open(core->store, 1);
    core->waiters = waiters_open(core->readers);
    core->writer = writer_open(core->store, 1, on_committed, core);
    core->asks = asks_open(core->store, 1);
    core->tenants = tenants_open(0, 0);
    core->subscriptions =
        subscriptions_open(core->store, core->writer, core->waiters, core->asks, core->tenants);
    struct status status;
    assert_int_equal(lane_await_first_try(writer_lane(core->writer), &status), STORE_OK);
    assert_int_equal(lane_await_first_try(asks_lane(core->asks), &status), STORE_OK);
    return core;
}

struct core *core_open(struct world *world)
{
    return core_over(store_at(world->url));
}

void core_stop(struct core *core)
{
    subscriptions_stop(core->subscriptions);
    waiters_stop(core->waiters);
}

void core_end(struct core *core)
{
    readers_close(core->readers);
    writer_close(core->writer);
    asks_close(core->asks);
    subscriptions_close(core->subscriptions);
    waiters_close(core->waiters);
    tenants_close(core->tenants);
    core->store->driver->close(core->store);
    free(core);
}

void core_close(struct core *core)
{
    core_stop(core);
    core_end(core);
}

/* ---- requests, waited for ---- */

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_changed = PTHREAD_COND_INITIALIZER;

static struct asked *asked_of(struct subscription_request *request)
{
    return (struct asked *)((char *)request->arena - offsetof(struct asked, arena));
}

static void on_done(struct subscription_request *request)
{
    pthread_mutex_lock(&done_lock);
    asked_of(request)->done = true;
    pthread_cond_broadcast(&done_changed);
    pthread_mutex_unlock(&done_lock);
}

void await_done(struct asked *asked)
{
    pthread_mutex_lock(&done_lock);
    while (!asked->done)
        pthread_cond_wait(&done_changed, &done_lock);
    pthread_mutex_unlock(&done_lock);
}

void begin(struct core *core, struct asked *asked, struct subscription_request *request,
           const char *name)
{
    asked->done = false;
    arena_init(&asked->arena, (size_t)16 << 20);
    *request = (struct subscription_request){.scope = core->scope,
                                             .deadline_ms = clock_monotonic_ms() + PATIENCE_MS,
                                             .name = slice_of(name),
                                             .arena = &asked->arena,
                                             .done = on_done};
}

static bool park(struct pull *pull)
{
    (void)pull;
    return true;
}

static const struct pull_calls WAITS = {park, park};

void start_pull(struct core *core, struct waiting_pull *waiting, const char *name,
                uint32_t max_events, bool waits)
{
    waiting->pull = (struct pull){
        .calls = waits ? &WAITS : NULL, .max_events = max_events, .max_bytes = PULL_MAX_BYTES};
    begin(core, &waiting->asked, &waiting->pull.request, name);
    subscriptions_pull(core->subscriptions, &waiting->pull);
}

struct waiting_pull *pull(struct core *core, const char *name, uint32_t max_events)
{
    struct waiting_pull *waiting = calloc(1, sizeof(*waiting));
    start_pull(core, waiting, name, max_events, false);
    await_done(&waiting->asked);
    assert_int_equal(waiting->pull.request.status.code, STATUS_OK);
    return waiting;
}

void free_pull(struct waiting_pull *waiting)
{
    arena_fini(&waiting->asked.arena);
    free(waiting);
}

void put(struct core *core, const char *name, struct put_subscription put,
         enum status_code expected)
{
    struct asked asked;
    begin(core, &asked, &put.request, name);
    subscriptions_put(core->subscriptions, &put);
    await_done(&asked);
    assert_int_equal(put.request.status.code, expected);
    arena_fini(&asked.arena);
}

struct settle_result settle_some(struct core *core, const char *name, const struct waiting_pull *of,
                                 size_t first, size_t count, struct settle settle)
{
    struct asked asked;
    const char *ids[SETTLE_MAX];
    struct settle_result results[SETTLE_MAX];
    for (size_t i = 0; i < count; i++)
        ids[i] = of->pull.deliveries[first + i].ack_id;
    begin(core, &asked, &settle.request, name);
    settle.ack_ids = ids;
    settle.count = count;
    settle.results = results;
    subscriptions_settle(core->subscriptions, &settle);
    await_done(&asked);
    assert_int_equal(settle.request.status.code, STATUS_OK);
    arena_fini(&asked.arena);
    return results[count - 1];
}

enum settle_outcome ack(struct core *core, const char *name, const struct waiting_pull *of,
                        size_t first, size_t count)
{
    return settle_some(core, name, of, first, count, (struct settle){.kind = SETTLE_ACK}).outcome;
}

struct subscription_figures figures_of(struct core *core, const char *name)
{
    struct asked asked;
    struct get_subscription get;
    begin(core, &asked, &get.request, name);
    subscriptions_get(core->subscriptions, &get);
    await_done(&asked);
    assert_int_equal(get.request.status.code, STATUS_OK);
    arena_fini(&asked.arena);
    return get.figures;
}

static void on_created(struct write_op *op)
{
    struct asked *asked = (struct asked *)((char *)op->arena - offsetof(struct asked, arena));
    pthread_mutex_lock(&done_lock);
    asked->done = true;
    pthread_cond_broadcast(&done_changed);
    pthread_mutex_unlock(&done_lock);
}

void create_items(struct core *core, const struct store_item *events, size_t count)
{
    struct asked asked = {.done = false};
    struct status status;
    struct write_item *items = calloc(count, sizeof(*items));
    arena_init(&asked.arena, 1 << 20);
    for (size_t i = 0; i < count; i++)
        items[i].stored = events[i];
    struct write_op op = {
        .op = {.deadline_ms = clock_monotonic_ms() + PATIENCE_MS, .scope = core->scope},
        .items = items,
        .count = count,
        .arena = &asked.arena,
        .done = on_created};
    assert_true(writer_submit(core->writer, &op, &status));
    await_done(&asked);
    assert_int_equal(op.op.status.code, STATUS_OK);
    arena_fini(&asked.arena);
    free(items);
}

void create(struct core *core, uint32_t first, uint32_t count)
{
    struct store_item *events = calloc(count, sizeof(*events));
    for (uint32_t i = 0; i < count; i++)
        events[i] = event_numbered(first + i);
    create_items(core, events, count);
    free(events);
}

struct dead_letter_request settle_letters(struct core *core, const char *name,
                                          struct dead_letter_request request)
{
    struct asked asked;
    begin(core, &asked, &request.request, name);
    subscriptions_dead_letter(core->subscriptions, &request);
    await_done(&asked);
    assert_int_equal(request.request.status.code, STATUS_OK);
    arena_fini(&asked.arena);
    return request;
}

struct seek_subscription seek(struct core *core, const char *name, struct start to, bool dry_run)
{
    struct asked asked;
    struct seek_subscription seek = {.to = to, .dry_run = dry_run};
    begin(core, &asked, &seek.request, name);
    subscriptions_seek(core->subscriptions, &seek);
    await_done(&asked);
    assert_int_equal(seek.request.status.code, STATUS_OK);
    arena_fini(&asked.arena);
    return seek;
}
