/* A lane: a bounded queue of operations and the workers that carry them out, each with a store
 * session of its own. There is one lane for writes, one for reads by id, one for lists and one for
 * the ledgers of subscriptions, so that none waits for another. A worker takes everything that
 * queued while it was busy: group commit without a timer. Callers are served in turn, see turns.h,
 * and while there are several, no batch keeps the others waiting for long. */
#ifndef TRIGGERS_EVENTS_LANE_H
#define TRIGGERS_EVENTS_LANE_H

#include "base/metrics.h"
#include "events/turns.h"
#include "store/store.h"

struct lane;
struct worker;

/* What the lane is for, in logs and metrics. */
enum lane_kind { LANE_WRITES, LANE_GETS, LANE_LISTS, LANE_LEDGERS, LANE_KIND_COUNT };

/* By kind, for the whole process. */
extern struct metric lane_queue_depth, lane_batch_items, lane_sessions, lane_store_duration,
    lane_store_errors;

struct lane_config {
    enum lane_kind kind;
    struct store *store;
    bool read_only;
    unsigned workers;
    struct held max_held;   /* operations queued or at the store; more are RESOURCE_EXHAUSTED */
    size_t max_batch;       /* items a worker takes at once */
    size_t max_batch_bytes; /* of operations that are not divided */
    bool divides;           /* an operation's items may be carried out in several batches */
    /* Carries out a list of operations of one tenant (linked by `next`): of each, the items from
     * `first` to before `end`. Sets its status when it fails, and `end` to all its items when the
     * rest need not be carried out. Uses worker_session; runs on a worker's thread and may block.
     */
    void (*run)(struct worker *worker, struct op *ops);
    void *context; /* for `run`, see worker_context */
};

/* Starts the workers, which connect by themselves and again whenever the session is lost. NULL
 * without memory or threads. `config` is copied. */
struct lane *lane_open(const struct lane_config *config);

/* The same without the threads: lane_step does what each of them would, once, with the number of
 * its worker, and is false when that is done. So tests go through what the workers do, one step
 * after the other. */
struct lane *lane_new(const struct lane_config *config);
bool lane_step(struct lane *lane, unsigned worker);

/* Waits until the first worker has tried to connect once; returns its result, with the status
 * unless it is STORE_OK. The other workers connect when every lane of the store has a session. */
enum store_result lane_await_first_try(struct lane *lane, struct status *status);

/* Queues an operation; never blocks. False, with `status` filled and `op` not taken, when the queue
 * or its caller's share of it is full, or the store is unavailable. Any thread. */
bool lane_submit(struct lane *lane, struct op *op, struct status *status) MUST_CHECK;

/* Whether a worker has a session now. Any thread. */
bool lane_is_connected(struct lane *lane);

/* Takes no more operations and finishes what is queued; it no longer waits for a store that is
 * unavailable. Does not block. */
void lane_stop(struct lane *lane);

/* The same, then waits for the workers and frees the lane. Nothing may be submitted any more. When
 * the store is unavailable, what is queued fails with UNAVAILABLE. NULL is allowed. */
void lane_close(struct lane *lane);

/* For `run`. The session is not NULL when `run` is called. */
struct store_session *worker_session(struct worker *worker);
void *worker_context(struct worker *worker);

/* For `run`: takes further operations, which came meanwhile, if they are of the same tenant and fit
 * into the batch. Returns the first of them, which follow those that `run` was given in their list;
 * NULL: none. */
struct op *worker_take_more(struct worker *worker);

/* Counts an operation of the store that began at `started_us` (monotonic) and has just ended. */
void worker_note_store(const struct worker *worker, int64_t started_us, enum store_result result);

/* Whether to try again after a passing failure: not after `deadline_ms`, nor when the lane stops.
 */
bool worker_may_retry(struct worker *worker, int64_t deadline_ms);

/* Closes the lost session, if there is one, and connects again, with back-off, until `deadline_ms`
 * (monotonic). False with the last status when that failed; the session is NULL then. */
bool worker_reconnect(struct worker *worker, int64_t deadline_ms, struct status *status) MUST_CHECK;

#endif
