/* Two operations, which are used again and again: for tenant 0, and for one of the others. */
#include "events/backlog.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#define INTERVAL_MS 5000
#define DEADLINE_MS 10000
#define OLD_SNAPSHOT_US (INT64_C(300) * 1000 * 1000)
#define OLD_SNAPSHOT_TRANSACTIONS 1000000

static metric_cell pending_cell = METRIC_UNKNOWN, age_cell = METRIC_UNKNOWN,
                   standbys_cell = METRIC_UNKNOWN, snapshot_cell = METRIC_UNKNOWN,
                   others_pending_cell = METRIC_UNKNOWN, others_age_cell = METRIC_UNKNOWN;

struct metric backlog_pending = {
    .name = "pending_events",
    .help = "Pending events of the tenant default, a few seconds ago; an estimate when they are "
            "spread over more than 200 blocks of the log, of 256 events each.",
    .kind = METRIC_GAUGE,
    .cells = &pending_cell};
struct metric backlog_oldest_age = {
    .name = "oldest_pending_age_seconds",
    .help = "Time since the oldest pending event of the tenant default was created; 0 without one.",
    .kind = METRIC_GAUGE,
    .unit = 1e-6,
    .cells = &age_cell};
struct metric backlog_standbys = {
    .name = "asynchronous_standbys",
    .help = "Standbys of the database when none is synchronous: a failover to one may lose events "
            "that were acknowledged.",
    .kind = METRIC_GAUGE,
    .cells = &standbys_cell};
struct metric backlog_oldest_snapshot = {
    .name = "oldest_snapshot_seconds",
    .help = "For how long the transaction has been open that keeps removed rows of the database "
            "from being cleaned away. After five minutes the core's log names who holds it.",
    .kind = METRIC_GAUGE,
    .unit = 1e-6,
    .cells = &snapshot_cell};

struct metric backlog_others_pending = {
    .name = "other_tenants_pending_events",
    .help = "Pending events of all tenants but default together, each as of a look when its turn "
            "came: of one in a second.",
    .kind = METRIC_GAUGE,
    .cells = &others_pending_cell};
struct metric backlog_others_oldest_age = {
    .name = "other_tenants_oldest_pending_age_seconds",
    .help =
        "Time since the oldest pending event of all tenants but default was created, as of these "
        "looks; 0 without one.",
    .kind = METRIC_GAUGE,
    .unit = 1e-6,
    .cells = &others_age_cell};

static void show(int64_t pending, int64_t age_us, int64_t standbys, int64_t snapshot_us)
{
    metric_set(&backlog_oldest_snapshot, 0, snapshot_us);
    metric_set(&backlog_pending, 0, pending);
    metric_set(&backlog_oldest_age, 0, age_us);
    metric_set(&backlog_standbys, 0, standbys);
}

static void show_unknown(void)
{
    show(METRIC_UNKNOWN, METRIC_UNKNOWN, METRIC_UNKNOWN, METRIC_UNKNOWN);
}

/* Of what was created then; 0: of nothing. */
static int64_t age_of(int64_t created_us)
{
    int64_t age_us = clock_now_us() - created_us;
    return created_us == 0 || age_us < 0 ? 0 : age_us;
}

static void warn_of_standbys(struct backlog *backlog)
{
    int64_t standbys = backlog->found.asynchronous_standbys;
    if (standbys > 0 && !backlog->warned)
        log_warning("no standby of the database is synchronous: a failover to one may lose events "
                    "that were acknowledged",
                    {"standbys", NULL, (double)standbys});
    backlog->warned = standbys > 0;
}

/* A slot, or a standby, does not say for how long. */
static void warn_of_snapshot(struct backlog *backlog)
{
    const struct store_backlog *found = &backlog->found;
    bool old = found->oldest_snapshot_us > OLD_SNAPSHOT_US ||
               (found->oldest_snapshot_us == 0 &&
                found->oldest_snapshot_transactions > OLD_SNAPSHOT_TRANSACTIONS);
    if (!old) {
        backlog->warned_of[0] = '\0';
        return;
    }
    if (strcmp(found->snapshot_holder, backlog->warned_of) == 0)
        return;
    memcpy(backlog->warned_of, found->snapshot_holder, sizeof(backlog->warned_of));
    log_warning("an old transaction or replication slot keeps removed rows in the database, which "
                "slows it down over time: end the transaction, or drop an unused slot",
                {"holder", found->snapshot_holder},
                {"seconds", NULL, (double)found->oldest_snapshot_us / 1e6},
                {"transactions", NULL, (double)found->oldest_snapshot_transactions});
}

static enum store_result ask_store(struct store_session *session, struct list_op *op,
                                   struct status *status)
{
    struct backlog *backlog = (struct backlog *)op;
    return session->store->driver->backlog(session, op->op.scope, &backlog->found, status);
}

static void on_found(struct op *op)
{
    struct backlog *backlog = (struct backlog *)op;
    CHECK(atomic_load(&backlog->asked));
    if (op->status.code == STATUS_OK) {
        show(backlog->found.pending, age_of(backlog->found.oldest_created_at_us),
             backlog->found.asynchronous_standbys, backlog->found.oldest_snapshot_us);
        warn_of_standbys(backlog);
        warn_of_snapshot(backlog);
    } else {
        show_unknown();
    }
    atomic_store(&backlog->asked, false);
}

/* ---- the other tenants ---- */

static enum store_result ask_about_other(struct store_session *session, struct list_op *op,
                                         struct status *status)
{
    struct backlog_round *round = (struct backlog_round *)op;
    return session->store->driver->backlog(session, op->op.scope, &round->found, status);
}

static void on_found_other(struct op *op)
{
    struct backlog_round *round = (struct backlog_round *)op;
    int64_t oldest_us = round->found.oldest_created_at_us;
    if (op->status.code == STATUS_OK) {
        round->pending += round->found.pending;
        if (oldest_us != 0 && (round->oldest_us == 0 || oldest_us < round->oldest_us))
            round->oldest_us = oldest_us;
    } else {
        round->failed = true;
    }
    atomic_store(&round->asked, false);
}

/* Shows what it has found, and begins another. */
static void end_round(struct backlog_round *round)
{
    metric_set(&backlog_others_pending, 0, round->failed ? METRIC_UNKNOWN : round->pending);
    metric_set(&backlog_others_oldest_age, 0,
               round->failed ? METRIC_UNKNOWN : age_of(round->oldest_us));
    round->after = round->pending = round->oldest_us = 0;
    round->failed = false;
}

static void ask_about_next(struct backlog_round *round, struct readers *readers,
                           struct tenants *tenants)
{
    struct status status;
    struct tenant tenant;
    if (atomic_load(&round->asked))
        return;
    if (!tenants_next(tenants, round->after, &tenant)) {
        end_round(round);
        return;
    }
    round->after = tenant.number;
    atomic_store(&round->asked, true);
    round->op = (struct list_op){
        .op = {.done = on_found_other,
               .scope = {tenant.number, UINT64_MAX},
               .deadline_ms = clock_monotonic_ms() + DEADLINE_MS},
        .ask = ask_about_other,
    };
    if (readers_submit_list(readers, &round->op, &status))
        return;
    round->failed = true;
    atomic_store(&round->asked, false);
}

/* ---- tenant 0 ---- */

static void ask_about_default(struct backlog *backlog, struct readers *readers)
{
    struct status status;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < backlog->next_time_ms || atomic_exchange(&backlog->asked, true))
        return;
    backlog->next_time_ms = now_ms + INTERVAL_MS;
    backlog->op = (struct list_op){
        .op = {.done = on_found, .scope = SCOPE_DEFAULT, .deadline_ms = now_ms + DEADLINE_MS},
        .ask = ask_store,
    };
    if (readers_submit_list(readers, &backlog->op, &status))
        return;
    show_unknown();
    atomic_store(&backlog->asked, false);
}

void backlog_ask(struct backlog *backlog, struct readers *readers, struct tenants *tenants)
{
    ask_about_default(backlog, readers);
    ask_about_next(&backlog->round, readers, tenants);
}
