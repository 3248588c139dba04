/* A consumer: what its threads share. One, the tender, decides everything: it makes the calls, and
 * it alone frees deliveries. The handlers' threads take what waits and leave what is done. Leases
 * are measured from when their call was sent, so no clock but this machine's matters. */
#ifndef TRIGGERS_CLIENT_CONSUMER_STATE_H
#define TRIGGERS_CLIENT_CONSUMER_STATE_H

#include "consumer_work.h"
#include "errand.h"
#include "triggers.h"

#define SUBSCRIPTION_SERVICE "triggers.v1.SubscriptionService/"
#define SOON_MS 500 /* an empty answer that comes sooner has not waited */

/* The deliveries that a call is about. */
struct work_batch {
    struct work *works[TRIGGERS_MAX_BATCH];
    size_t count;
};

struct triggers_consumer {
    triggers_consumer_options options;
    char *subscription;
    char pull_id[TRIGGERS_ID_SIZE]; /* of the pull whose answer has not come; "" */
    int64_t pull_since_ms;          /* when that was first sent */
    struct errand pull; /* its client, the puller, is the tender's; NULL: it was closed */
    struct errand settle;
    struct errand extend;
    struct work_batch settled;
    struct work_batch extended;
    pthread_t tender_thread;
    pthread_t *handlers;
    size_t handler_count;

    struct tender tender; /* its lock is for the rest, and the answers of errands */
    pthread_cond_t begun; /* for the handlers: something waits, or it is over */
    pthread_cond_t end;   /* for triggers_consumer_wait */
    struct workload load;
    uint64_t handled; /* given to handlers */
    bool stopping;
    int64_t give_up_ms; /* then outcomes are not sent any more; 0: not set */
    bool over;
    triggers_reply *failure; /* why it stopped; NULL: no failure */
};

/* All of these are called with the lock held. */

/* Nothing is to be begun, runs, or is to be settled. */
bool consumer_is_idle(const struct triggers_consumer *consumer);

/* As many were given to handlers as were wanted. */
bool consumer_has_handled_all(const struct triggers_consumer *consumer);

/* How many deliveries there is room for. */
size_t consumer_room(const struct triggers_consumer *consumer);

/* Releases the lock meanwhile. `delivery` may be NULL. */
void consumer_tell_failed(struct triggers_consumer *consumer, const triggers_error *error,
                          const triggers_delivery *delivery);

/* Deals with the answer of an errand; `has_sense` is of a good one. After one that failed as a
 * whole the call will be made again, or the consumer stops. Takes the reply; releases the lock
 * meanwhile.
 */
void consumer_end_errand(struct triggers_consumer *consumer, struct errand *errand,
                         triggers_reply *reply, bool has_sense);

#endif
