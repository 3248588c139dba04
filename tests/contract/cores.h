/* Cores in this process, over the store of a world, without a server; and requests of
 * subscriptions, which are waited for. Each asserts that it succeeds where it returns no status. */
#ifndef TRIGGERS_TESTS_CONTRACT_CORES_H
#define TRIGGERS_TESTS_CONTRACT_CORES_H

#include "contract.h"
#include "subscriptions/subscriptions.h"

#define PATIENCE_MS 10000

struct core {
    struct store *store;
    struct writer *writer;
    struct readers *readers;
    struct waiters *waiters;
    struct asks *asks;
    struct tenants *tenants;
    struct subscriptions *subscriptions;
    struct scope scope; /* of what is asked; of tenant 0 at first */
};

struct core *core_open(struct world *world);
struct core *core_over(struct store *store); /* which it takes over */
void core_close(struct core *core); /* in two steps, after the first of which it is idle: */
void core_stop(struct core *core);
void core_end(struct core *core);

/* What a request of the tests is followed by in memory: a pull's payloads are copied in `done`. */
struct asked {
    bool done;
    struct arena arena;
};

/* Makes a request, which is followed by its memory; and waits for its `done`. */
void begin(struct core *core, struct asked *asked, struct subscription_request *request,
           const char *name);
void await_done(struct asked *asked);

/* A pull that may wait, in a test's own way: it is parked until somebody takes it out. */
struct waiting_pull {
    struct pull pull; /* first */
    struct asked asked;
};

void start_pull(struct core *core, struct waiting_pull *waiting, const char *name,
                uint32_t max_events, bool waits);
/* One that does not wait. */
struct waiting_pull *pull(struct core *core, const char *name, uint32_t max_events);
void free_pull(struct waiting_pull *waiting);

static const struct put_subscription EARLIEST = {.start = {.kind = START_EARLIEST}};
void put(struct core *core, const char *name, struct put_subscription put,
         enum status_code expected);

/* Settles the deliveries from `first` on, and returns the outcome of the last of them. */
struct settle_result settle_some(struct core *core, const char *name, const struct waiting_pull *of,
                                 size_t first, size_t count, struct settle settle);
enum settle_outcome ack(struct core *core, const char *name, const struct waiting_pull *of,
                        size_t first, size_t count);

struct subscription_figures figures_of(struct core *core, const char *name);
struct seek_subscription seek(struct core *core, const char *name, struct start to, bool dry_run);
struct dead_letter_request settle_letters(struct core *core, const char *name,
                                          struct dead_letter_request request);

/* Appends events through the core, so that it wakes who waits. */
void create(struct core *core, uint32_t first, uint32_t count);
void create_items(struct core *core, const struct store_item *events, size_t count);

#endif
