/* What is asked of subscriptions finds the one that it is for; and the clock, a thread, looks at
 * each when its next event is due, once a second whether other cores have written to the ledgers of
 * those that wait, and now and then for what was removed. Where it asks the store, the tenants take
 * turns. */
#include "subscriptions/subscriptions.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"
#include "subscriptions/subscription_table.h"
#include "subscriptions/watching.h"

#define LOOK_MS 1000 /* between two rounds of looks at what other cores have written */
#define LOOKS 16     /* tenants of such a round; when more wait, the others come in the next ones */
#define DEADLINE_MS 10000
#define WATCH_MS 15000       /* between the beginnings of two looks at all for metrics */
#define SWEEP_MS (2 * 60000) /* a round through all tenants takes at least so long */
#define SWEEP_PAGE 100       /* subscriptions */
#define SWEEP_STEPS 10       /* of removing, in one operation */

/* ---- by name ---- */

static void fail_request(struct subscription_request *request, const struct status *status)
{
    request->status = *status;
    request->done(request);
}

/* A tenant that is being deleted gets no new ones: the built-in one would be made again. */
static bool has_tenant(struct subscriptions *all, int64_t number)
{
    struct tenant tenant;
    return number == 0 || (tenants_get(all->tenants, number, &tenant) && !tenant.deleting);
}

/* Lock held. NULL without memory. */
static struct subscription *find_or_add(struct subscriptions *all,
                                        const struct subscription_request *request)
{
    struct subscription *subscription =
        subscription_table_find(&all->table, request->scope, request->name);
    if (subscription)
        return subscription;
    subscription = subscription_new(all, request->scope, request->name);
    if (subscription && !subscription_table_add(&all->table, subscription)) {
        subscription_free(subscription);
        return NULL;
    }
    return subscription;
}

/* The one that the request may be for, until put_down; NULL: the request was answered. */
static struct subscription *pick_up_any(struct subscriptions *all,
                                        struct subscription_request *request)
{
    struct status status;
    if (!subscription_name_is_valid(request->name)) {
        status_fail(
            &status, STATUS_NOT_FOUND, "SUBSCRIPTION_NOT_FOUND",
            "there is no such subscription: a name is 1 to %d of a-z, 0-9, \".\", \"_\" and "
            "\"-\", and begins with a letter or digit",
            SUBSCRIPTION_NAME_MAX);
        fail_request(request, &status);
        return NULL;
    }
    if (!has_tenant(all, request->scope.tenant)) {
        status_fail(&status, STATUS_NOT_FOUND, "SUBSCRIPTION_NOT_FOUND",
                    "there is no such subscription: its tenant is deleted");
        fail_request(request, &status);
        return NULL;
    }
    pthread_mutex_lock(&all->lock);
    bool stopping = all->stopping;
    struct subscription *subscription = stopping ? NULL : find_or_add(all, request);
    if (subscription)
        atomic_fetch_add(&subscription->users, 1);
    pthread_mutex_unlock(&all->lock);
    if (subscription)
        return subscription;
    if (stopping) {
        status_fail(&status, STATUS_UNAVAILABLE, "STOPPING", "the server stops; try another");
        status.retry_delay_ms = 1000;
    } else {
        subscription_no_memory(&status);
    }
    fail_request(request, &status);
    return NULL;
}

static void put_down(struct subscription *subscription)
{
    subscription_go_on(subscription);
    atomic_fetch_sub(&subscription->users, 1);
}

/* The same with its lock held, and not gone: what is queued now will be answered. */
static struct subscription *pick_up(struct subscriptions *all, struct subscription_request *request)
{
    for (;;) {
        struct subscription *subscription = pick_up_any(all, request);
        if (!subscription)
            return NULL;
        pthread_mutex_lock(&subscription->lock);
        if (subscription->state != SUBSCRIPTION_GONE)
            return subscription;
        pthread_mutex_unlock(&subscription->lock);
        put_down(subscription);
    }
}

/* ---- requests ---- */

void subscriptions_pull(struct subscriptions *all, struct pull *pull)
{
    struct subscription *subscription = pick_up(all, &pull->request);
    if (!subscription)
        return;
    CHECK(pull->max_events >= 1 && pull->max_events <= PULL_MAX_EVENTS);
    pull->count = 0;
    pull->parked = pull->admitted = pull->ended = false;
    pull->subscription = subscription;
    pulls_add(&subscription->pulls, pull);
    pthread_mutex_unlock(&subscription->lock);
    put_down(subscription);
}

void subscriptions_unpark_pull(struct subscriptions *all, struct pull *pull)
{
    struct subscription *subscription = pull->subscription;
    CHECK(subscription->all == all);
    pthread_mutex_lock(&subscription->lock); /* who parks it may not have left it yet */
    CHECK(pull->parked);
    pulls_remove(&subscription->pulls, pull);
    pull->parked = false;
    pthread_mutex_unlock(&subscription->lock);
}

/* The pulls with this id get nothing any more; subscription_go_on answers them. Lock held. */
static void end_pulls(struct subscription *subscription, uint64_t id)
{
    struct pull *lists[] = {subscription->pulls.first, subscription->granted.first,
                            subscription->taking.first, subscription->settling.pulls.first};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        for (struct pull *pull = lists[i]; pull; pull = pull->next)
            pull->ended = pull->ended || pull->id == id;
}

void subscriptions_settle(struct subscriptions *all, struct settle *settle)
{
    struct subscription *subscription = pick_up(all, &settle->request);
    if (!subscription)
        return;
    CHECK(settle->count >= (settle->pull ? 0 : 1) && settle->count <= SETTLE_MAX);
    settle->request.status = STATUS_INIT;
    settle->request.caught_up = false;
    if (settle->pull != 0)
        end_pulls(subscription, settle->pull);
    queue_add(&subscription->settles, &settle->request);
    pthread_mutex_unlock(&subscription->lock);
    put_down(subscription);
}

/* Requests of management are about what the store has now. */
static void manage(struct subscriptions *all, struct subscription_request *request,
                   enum managing managing)
{
    struct subscription *subscription = pick_up(all, request);
    if (!subscription)
        return;
    managing_set(request, managing);
    subscription->stale = true;
    queue_add(&subscription->requests, request);
    pthread_mutex_unlock(&subscription->lock);
    put_down(subscription);
}

void subscriptions_put(struct subscriptions *all, struct put_subscription *put)
{
    put->created = false;
    manage(all, &put->request, MANAGE_PUT);
}

void subscriptions_get(struct subscriptions *all, struct get_subscription *get)
{
    manage(all, &get->request, MANAGE_GET);
}

void subscriptions_remove(struct subscriptions *all, struct remove_subscription *remove)
{
    manage(all, &remove->request, MANAGE_REMOVE);
}

void subscriptions_seek(struct subscriptions *all, struct seek_subscription *seek)
{
    manage(all, &seek->request, MANAGE_SEEK);
}

void subscriptions_dead_letters(struct subscriptions *all, struct list_dead_letters *list)
{
    manage(all, &list->request, MANAGE_DEAD_LETTERS);
}

void subscriptions_dead_letter(struct subscriptions *all, struct dead_letter_request *request)
{
    manage(all, &request->request, MANAGE_DEAD_LETTER);
}

/* ---- the list of them ---- */

struct row_listing {
    struct ask_op op; /* first */
    struct subscriptions *all;
    struct list_subscriptions *list;
};

/* The built-in one is made, if it is not there. */
static enum store_result make_inbox(struct row_listing *listing, struct store_session *session,
                                    struct status *status)
{
    bool found;
    struct slice name = {SUBSCRIPTION_INBOX, sizeof(SUBSCRIPTION_INBOX) - 1};
    struct subscription *inbox = subscription_new(listing->all, listing->op.op.scope, name);
    if (!inbox) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    enum store_result result = subscription_find(inbox, session, &found, status);
    subscription_free(inbox);
    return result;
}

static enum store_result run_listing(struct ask_op *op, struct store_session *session,
                                     struct status *status)
{
    struct row_listing *listing = (struct row_listing *)op;
    struct list_subscriptions *list = listing->list;
    struct store_subscriptions rows = {
        .after = list->after, .limit = list->limit, .arena = list->request.arena};
    enum store_result result = list->after == 0 ? make_inbox(listing, session, status) : STORE_OK;
    if (result == STORE_OK)
        result = session->store->driver->subscriptions(session, op->op.scope, &rows, status);
    if (result != STORE_OK)
        return result;
    list->views = arena_calloc(list->request.arena, rows.count + 1, sizeof(*list->views));
    list->count = 0;
    bool viewed = list->views && !rows.no_memory;
    for (size_t i = 0; viewed && i < rows.count; i++) {
        list->after = rows.subscriptions[i].id;
        if (!rows.subscriptions[i].removed)
            viewed = subscription_view_row(&rows.subscriptions[i], &list->views[list->count++],
                                           list->request.arena);
    }
    list->more = rows.more;
    if (!viewed) {
        subscription_no_memory(status);
        return STORE_UNAVAILABLE;
    }
    return STORE_OK;
}

static void on_listed(struct op *op)
{
    struct row_listing *listing = (struct row_listing *)op;
    fail_request(&listing->list->request, &op->status);
}

void subscriptions_list(struct subscriptions *all, struct list_subscriptions *list)
{
    struct status status;
    struct row_listing *listing = arena_calloc(list->request.arena, 1, sizeof(*listing));
    if (!listing) {
        subscription_no_memory(&status);
        fail_request(&list->request, &status);
        return;
    }
    *listing = (struct row_listing){
        .op = {.op = {.scope = list->request.scope,
                      .caller = list->request.caller,
                      .deadline_ms = list->request.deadline_ms,
                      .bytes = sizeof(*listing),
                      .done = on_listed},
               .run = run_listing},
        .all = all,
        .list = list,
    };
    if (!asks_submit(all->asks, &listing->op, &status))
        fail_request(&list->request, &status);
}

/* ---- what other cores have written ---- */

/* Marks it when it is behind. */
static void note_head(struct subscription *subscription, int64_t id,
                      const struct store_ledger_head *head)
{
    pthread_mutex_lock(&subscription->lock);
    if (subscription->state == SUBSCRIPTION_READY && subscription->id == id) {
        struct ledger_figures figures = ledger_figures_of(subscription->ledger);
        if (head->revision != subscription->revision || head->take != figures.take.number ||
            head->settlement > figures.settlement.number)
            subscription->stale = true;
    }
    pthread_mutex_unlock(&subscription->lock);
}

/* Starts an operation of the clock's, about a tenant. */
static void start_own(struct subscriptions *all, int64_t tenant, struct ask_op *op,
                      enum store_result (*run)(struct ask_op *op, struct store_session *session,
                                               struct status *status),
                      void (*done)(struct op *op))
{
    struct status status;
    *op = (struct ask_op){
        .op = {.scope = {tenant, UINT64_MAX},
               .deadline_ms = clock_monotonic_ms() + DEADLINE_MS,
               .bytes = sizeof(*op),
               .done = done},
        .run = run,
    };
    if (asks_submit(all->asks, op, &status))
        return;
    op->op.status = status;
    done(&op->op);
}

static enum store_result run_look(struct ask_op *op, struct store_session *session,
                                  struct status *status)
{
    struct subscriptions *all =
        (struct subscriptions *)((char *)op - offsetof(struct subscriptions, look));
    return session->store->driver->ledger_heads(session, op->op.scope, &all->heads, status);
}

static void look_at_next(struct subscriptions *all);

static void on_looked(struct op *op)
{
    struct subscriptions *all =
        (struct subscriptions *)((char *)op - offsetof(struct subscriptions, look));
    struct store_ledger_heads heads = all->heads;
    struct subscription **looked_at = all->looked_at;
    for (size_t i = 0; i < heads.count; i++) {
        if (op->status.code == STATUS_OK)
            note_head(looked_at[i], heads.ids[i], &heads.heads[i]);
        put_down(looked_at[i]);
    }
    free((void *)(uintptr_t)heads.ids);
    free(heads.heads);
    free(looked_at);
    pthread_mutex_lock(&all->lock);
    all->looking = false;
    pthread_mutex_unlock(&all->lock);
    look_at_next(all);
}

/* Whether somebody waits for it. */
static bool is_waited_for(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool waited_for = subscription->state == SUBSCRIPTION_READY && subscription->pulls.first;
    pthread_mutex_unlock(&subscription->lock);
    return waited_for;
}

/* The next tenant that somebody waits for a subscription of; -1: none. Lock held. */
static int64_t next_waiting(const struct subscriptions *all)
{
    int64_t next = -1;
    for (struct subscription *at = all->table.list; at; at = at->next) {
        int64_t tenant = at->scope.tenant;
        if (tenant > all->look_after && (next < 0 || tenant < next) && is_waited_for(at))
            next = tenant;
    }
    return next;
}

/* Gathers those of the tenant that somebody waits for; they are in use then. Lock held. False
 * without memory. */
static bool gather_heads(struct subscriptions *all, int64_t tenant)
{
    size_t room = all->table.count;
    int64_t *ids = calloc(room, sizeof(*ids));
    all->heads =
        (struct store_ledger_heads){.ids = ids, .heads = calloc(room, sizeof(*all->heads.heads))};
    all->looked_at = calloc(room, sizeof(struct subscription *));
    if (!ids || !all->heads.heads || !all->looked_at) {
        free(ids);
        free(all->heads.heads);
        free(all->looked_at);
        return false;
    }
    for (struct subscription *at = all->table.list; at; at = at->next) {
        if (at->scope.tenant != tenant || !is_waited_for(at))
            continue;
        atomic_fetch_add(&at->users, 1);
        all->looked_at[all->heads.count] = at;
        ids[all->heads.count++] = at->id;
    }
    return true;
}

/* At the next tenant's, unless this second's looks are used up, or the round is at its end. */
static void look_at_next(struct subscriptions *all)
{
    pthread_mutex_lock(&all->lock);
    bool may = !all->stopping && !all->looking && all->looks_left > 0;
    int64_t tenant = may ? next_waiting(all) : -1;
    if (may && tenant < 0) {
        all->looks_left = 0;
        all->look_after = -1;
    }
    bool looks = tenant >= 0 && gather_heads(all, tenant);
    if (looks) {
        all->looking = true;
        all->look_after = tenant;
        all->looks_left--;
    }
    pthread_mutex_unlock(&all->lock);
    if (looks)
        start_own(all, tenant, &all->look, run_look, on_looked);
}

static void look_at_others(struct subscriptions *all)
{
    if (!all->store->driver->notice_open)
        return;
    pthread_mutex_lock(&all->lock);
    all->looks_left = LOOKS;
    pthread_mutex_unlock(&all->lock);
    look_at_next(all);
}

/* ---- what was removed ---- */

/* Who removed a subscription may have stopped before its rows were gone, and stores keep its own
 * row for a minute. This goes on, in a few steps. */
static enum store_result run_sweep(struct ask_op *op, struct store_session *session,
                                   struct status *status)
{
    struct subscriptions *all =
        (struct subscriptions *)((char *)op - offsetof(struct subscriptions, sweep));
    const struct store_driver *driver = session->store->driver;
    struct arena arena;
    int steps = 0;
    struct store_subscriptions rows = {.limit = SWEEP_PAGE, .arena = &arena, .more = true};
    enum store_result result = STORE_OK;
    arena_init(&arena, (size_t)16 << 20);
    while (result == STORE_OK && rows.more && steps < SWEEP_STEPS) {
        arena_reset(&arena);
        result = driver->subscriptions(session, op->op.scope, &rows, status);
        if (result == STORE_OK && rows.no_memory)
            break;
        for (size_t i = 0; result == STORE_OK && i < rows.count; i++) {
            rows.after = rows.subscriptions[i].id;
            bool more = rows.subscriptions[i].removed;
            while (result == STORE_OK && more && steps++ < SWEEP_STEPS)
                result =
                    driver->subscription_remove(session, op->op.scope, rows.after, &more, status);
        }
    }
    arena_fini(&arena);
    all->sweep_more = steps >= SWEEP_STEPS;
    return result;
}

/* The next tenant that is not deleted, or 0: the round has come to its end. */
static int64_t next_tenant(struct subscriptions *all, int64_t after)
{
    struct tenant tenant = {.number = after};
    while (tenants_next(all->tenants, tenant.number, &tenant))
        if (!tenant.deleting)
            return tenant.number;
    return 0;
}

static void on_swept(struct op *op)
{
    struct subscriptions *all =
        (struct subscriptions *)((char *)op - offsetof(struct subscriptions, sweep));
    bool goes_on = op->status.code == STATUS_OK && all->sweep_more;
    int64_t now_ms = clock_monotonic_ms();
    if (!goes_on)
        all->sweep_tenant = next_tenant(all, all->sweep_tenant);
    int64_t next_ms = now_ms + LOOK_MS;
    if (!goes_on && all->sweep_tenant == 0 && all->sweep_began_ms + SWEEP_MS > next_ms)
        next_ms = all->sweep_began_ms + SWEEP_MS;
    pthread_mutex_lock(&all->lock);
    all->sweep_ms = next_ms;
    pthread_mutex_unlock(&all->lock);
}

/* A step a second at most: of one tenant. */
static void sweep_when_due(struct subscriptions *all)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&all->lock);
    bool due = now_ms >= all->sweep_ms;
    if (due)
        all->sweep_ms = INT64_MAX;
    pthread_mutex_unlock(&all->lock);
    if (!due)
        return;
    if (all->sweep_tenant == 0 && !all->sweep_more)
        all->sweep_began_ms = now_ms;
    start_own(all, all->sweep_tenant, &all->sweep, run_sweep, on_swept);
}

/* ---- tenants that are deleted ---- */

/* Has those of deleted tenants answer what waits for them, and go. */
static void end_deleted(struct subscriptions *all)
{
    size_t count = 0;
    pthread_mutex_lock(&all->lock);
    struct subscription **ended = calloc(all->table.count + 1, sizeof(struct subscription *));
    if (!ended) {
        pthread_mutex_unlock(&all->lock);
        return; /* the next look does it */
    }
    for (struct subscription *at = all->table.list; at; at = at->next) {
        if (has_tenant(all, at->scope.tenant))
            continue;
        atomic_fetch_add(&at->users, 1);
        ended[count++] = at;
    }
    pthread_mutex_unlock(&all->lock);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&ended[i]->lock);
        ended[i]->ended = true;
        pthread_mutex_unlock(&ended[i]->lock);
        put_down(ended[i]);
    }
    free(ended);
}

/* ---- what metrics show: of tenant 0 ---- */

static enum store_result run_watch(struct ask_op *op, struct store_session *session,
                                   struct status *status)
{
    struct subscriptions *all =
        (struct subscriptions *)((char *)op - offsetof(struct subscriptions, watch));
    return watching_step(all, op->op.scope, session, &all->watching.more, status);
}

static void on_watch_done(struct op *op)
{
    struct subscriptions *all =
        (struct subscriptions *)((char *)op - offsetof(struct subscriptions, watch));
    bool known = op->status.code == STATUS_OK;
    if (!known)
        watching_lost(all);
    pthread_mutex_lock(&all->lock);
    int64_t next_ms = all->watched_ms + WATCH_MS;
    all->watch_ms = known && all->watching.more ? 0 : next_ms;
    pthread_mutex_unlock(&all->lock);
}

/* A step a second, until all were looked at. */
static void watch_when_due(struct subscriptions *all)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&all->lock);
    bool due = now_ms >= all->watch_ms;
    if (due && all->watch_ms > 0)
        all->watched_ms = now_ms;
    if (due)
        all->watch_ms = INT64_MAX;
    pthread_mutex_unlock(&all->lock);
    if (due)
        start_own(all, SCOPE_DEFAULT.tenant, &all->watch, run_watch, on_watch_done);
}

/* ---- the clock ---- */

/* The next after `after`, NULL: of all, whose time has come; NULL: none. It is in use then, and no
 * other thread takes any out of the list. */
static struct subscription *next_due(struct subscriptions *all, const struct subscription *after,
                                     int64_t now_ms)
{
    struct subscription *due = NULL;
    pthread_mutex_lock(&all->lock);
    for (struct subscription *at = after ? after->next : all->table.list; at && !due;
         at = at->next) {
        pthread_mutex_lock(&at->lock);
        if (at->wake_ms <= now_ms || subscription_misses_turns(at)) {
            at->wake_ms = INT64_MAX;
            due = at;
        }
        pthread_mutex_unlock(&at->lock);
    }
    if (due)
        atomic_fetch_add(&due->users, 1);
    pthread_mutex_unlock(&all->lock);
    return due;
}

/* Frees those that are gone. Lock held. */
static void free_gone(struct subscriptions *all)
{
    struct subscription **place = &all->table.list;
    while (*place) {
        struct subscription *at = *place;
        pthread_mutex_lock(&at->lock);
        bool gone = at->state == SUBSCRIPTION_GONE && atomic_load(&at->users) == 0 &&
                    subscription_is_idle(at);
        pthread_mutex_unlock(&at->lock);
        if (gone)
            subscription_free(subscription_table_take(&all->table, place));
        else
            place = &at->next;
    }
}

/* Waits until something is due, at most until `until_ms`; false when the end has come. */
static bool wait_for_due(struct subscriptions *all, int64_t until_ms)
{
    pthread_mutex_lock(&all->lock);
    free_gone(all);
    all->wake_ms = until_ms;
    for (struct subscription *at = all->table.list; at; at = at->next) {
        pthread_mutex_lock(&at->lock);
        if (at->wake_ms < all->wake_ms)
            all->wake_ms = at->wake_ms;
        pthread_mutex_unlock(&at->lock);
    }
    while (!all->stopping && clock_monotonic_ms() < all->wake_ms)
        wait_until(&all->changed, &all->lock, all->wake_ms);
    bool goes_on = !all->stopping;
    pthread_mutex_unlock(&all->lock);
    return goes_on;
}

static void *clock_main(void *argument)
{
    struct subscriptions *all = argument;
    int64_t look_ms = clock_monotonic_ms() + LOOK_MS;
    prctl(PR_SET_NAME, "subscriptions");
    while (wait_for_due(all, look_ms)) {
        int64_t now_ms = clock_monotonic_ms();
        for (struct subscription *due = NULL; (due = next_due(all, due, now_ms));)
            put_down(due);
        if (now_ms < look_ms)
            continue;
        look_at_others(all);
        end_deleted(all);
        sweep_when_due(all);
        watch_when_due(all);
        look_ms = now_ms + LOOK_MS;
    }
    return NULL;
}

/* ---- life ---- */

struct subscriptions *subscriptions_open(struct store *store, struct writer *writer,
                                         struct waiters *waiters, struct asks *asks,
                                         struct tenants *tenants)
{
    struct subscriptions *all = calloc(1, sizeof(*all));
    if (!all)
        return NULL;
    all->store = store;
    all->writer = writer;
    all->waiters = waiters;
    all->asks = asks;
    all->tenants = tenants;
    all->look_after = -1;
    subscription_table_init(&all->table);
    all->go_on = subscription_go_on;
    store_clock_init(&all->clock);
    subscription_shown(0, false);
    all->watch_ms = 1;
    pthread_mutex_init(&all->lock, NULL);
    wait_init(&all->changed);
    if (pthread_create(&all->thread, NULL, clock_main, all) == 0)
        return all;
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
    return NULL;
}

/* Waits until nothing is under way for it; nothing is begun any more. */
static void finish(struct subscription *subscription)
{
    struct status status;
    bool busy = true;
    while (busy) {
        pthread_mutex_lock(&subscription->lock);
        busy = subscription->working || subscription->settling.under_way;
        pthread_mutex_unlock(&subscription->lock);
        if (busy)
            usleep(1000);
    }
    status_fail(&status, STATUS_UNAVAILABLE, "STOPPING", "the server stops; try another");
    subscription_fail(subscription, &status);
    subscription_leave(subscription);
}

void subscriptions_stop(struct subscriptions *all)
{
    pthread_mutex_lock(&all->lock);
    atomic_store(&all->stopping, true);
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    pthread_join(all->thread, NULL);
    for (struct subscription *at = all->table.list; at; at = at->next)
        finish(at);
}

void subscriptions_close(struct subscriptions *all)
{
    if (!all)
        return;
    CHECK(atomic_load(&all->stopping));
    while (all->table.list)
        subscription_free(subscription_table_take(&all->table, &all->table.list));
    subscription_table_fini(&all->table);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
