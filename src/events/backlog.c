/* One operation, which is used again and again. */
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
                   standbys_cell = METRIC_UNKNOWN, snapshot_cell = METRIC_UNKNOWN;

struct metric backlog_pending = {
    .name = "pending_events",
    .help = "Pending events in the store, a few seconds ago; an estimate when they are spread "
            "over more than 200 blocks of the log, of 256 events each.",
    .kind = METRIC_GAUGE,
    .cells = &pending_cell};
struct metric backlog_oldest_age = {
    .name = "oldest_pending_age_seconds",
    .help = "Time since the oldest pending event was created; 0 without one.",
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

static int64_t age_of(const struct store_backlog *found)
{
    int64_t age_us = clock_now_us() - found->oldest_created_at_us;
    return found->pending == 0 || age_us < 0 ? 0 : age_us;
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
        show(backlog->found.pending, age_of(&backlog->found), backlog->found.asynchronous_standbys,
             backlog->found.oldest_snapshot_us);
        warn_of_standbys(backlog);
        warn_of_snapshot(backlog);
    } else {
        show_unknown();
    }
    atomic_store(&backlog->asked, false);
}

void backlog_ask(struct backlog *backlog, struct readers *readers)
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
