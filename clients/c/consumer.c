/* Working on a subscription's events. One thread, the tender, decides everything: it makes the
 * calls, one of each sort at a time, so that outcomes gather into the next call while one is under
 * way; and it alone frees deliveries. The handlers' threads take what waits and leave what is done.
 * Leases are measured from when their call was sent, so no clock but this machine's matters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"
#include "invocation.h"
#include "triggers/v1/subscriptions.pb-c.h"

#define SERVICE "triggers.v1.SubscriptionService/"
#define PREFETCH_MAX 1000
#define WAIT_MS 10000 /* of a pull: a connection that died without a word is noticed after it */
#define SOON_MS 500   /* an empty answer that comes sooner has not waited */
#define REST_MS 1000
#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS 5000
#define DONE_MAX 1000        /* outcomes that wait to be sent; with more, nothing is pulled */
#define SETTLE_LAST_MS 10000 /* after the last handler of a consumer that stops */

enum work_state { WORK_WAITING, WORK_RUNNING, WORK_KEPT, WORK_DONE, WORK_SETTLING, WORK_STATES };

/* A pull's reply and how many of its deliveries are held. */
struct pulled_page {
    triggers_reply *reply;
    size_t held;
};

struct work {
    triggers_delivery delivery; /* first */
    struct pulled_page *page;   /* has its texts */
    enum work_state state;
    triggers_outcome outcome;
    int64_t lease_end_ms;
    int64_t extend_at_ms;
    bool extending; /* in the call that is under way */
    bool lost;
    bool told;             /* the handler was, that it is lost */
    struct work *previous; /* in the list of its state */
    struct work *next;
};

struct work_list {
    struct work *first;
    struct work *last;
    size_t count;
};

/* Calls of one sort. */
struct errand {
    triggers_consumer *consumer;
    bool out;              /* one is under way */
    triggers_reply *reply; /* under the lock: its answer, until it is read */
    int64_t sent_ms;
    int64_t not_before_ms;                  /* the next one */
    uint32_t span_ms;                       /* see backoff_next_ms */
    bool told;                              /* that it failed */
    struct work *works[TRIGGERS_MAX_BATCH]; /* what it is about */
    size_t count;
};

struct triggers_consumer {
    triggers_client *client;
    triggers_client *puller; /* the tender's: for pulls; NULL: it was closed */
    triggers_consumer_options options;
    char *subscription;
    char pull_id[TRIGGERS_ID_SIZE]; /* of the pull whose answer has not come; "" */
    int64_t pull_since_ms;          /* when that was first sent */
    uint32_t lease_s;               /* 0: not known yet */
    struct errand pull;
    struct errand settle;
    struct errand extend;
    pthread_t tender;
    pthread_t *handlers;
    size_t handler_count;

    pthread_mutex_t lock; /* the rest */
    pthread_cond_t news;  /* for the tender */
    pthread_cond_t begun; /* for the handlers: something waits, or it is over */
    pthread_cond_t end;   /* for triggers_consumer_wait */
    struct work_list lists[WORK_STATES];
    int64_t extend_due_ms; /* no lease is to be extended before */
    uint64_t handled;      /* given to handlers */
    bool stirred;          /* the tender is to look again */
    bool stopping;
    int64_t give_up_ms; /* then outcomes are not sent any more; 0: not set */
    bool over;
    triggers_consumer_counts counts;
    triggers_reply *failure; /* why it stopped; NULL: no failure */
};

/* Called with the lock held. */
static void stir(struct triggers_consumer *consumer)
{
    consumer->stirred = true;
    pthread_cond_signal(&consumer->news);
}

/* ---- deliveries ---- */

static void unlink_work(struct triggers_consumer *consumer, struct work *work)
{
    struct work_list *list = &consumer->lists[work->state];
    *(work->previous ? &work->previous->next : &list->first) = work->next;
    *(work->next ? &work->next->previous : &list->last) = work->previous;
    list->count--;
}

static void link_work(struct triggers_consumer *consumer, struct work *work, enum work_state state)
{
    struct work_list *list = &consumer->lists[state];
    work->state = state;
    work->next = NULL;
    work->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = work;
    list->last = work;
    list->count++;
}

static void move_work(struct triggers_consumer *consumer, struct work *work, enum work_state state)
{
    unlink_work(consumer, work);
    link_work(consumer, work, state);
}

static void drop_page(struct pulled_page *page)
{
    if (--page->held > 0)
        return;
    triggers_reply_free(page->reply);
    free(page);
}

static void free_work(struct triggers_consumer *consumer, struct work *work)
{
    CHECK(!work->extending && work->state != WORK_RUNNING);
    unlink_work(consumer, work);
    drop_page(work->page);
    free(work);
}

static size_t count_of(const struct triggers_consumer *consumer, enum work_state state)
{
    return consumer->lists[state].count;
}

/* It is somebody else's, or nobody's. Whoever uses it sees that, and it is freed when nobody does.
 */
static void lose(struct triggers_consumer *consumer, struct work *work)
{
    work->lost = true;
    if (work->state == WORK_RUNNING || work->state == WORK_SETTLING || work->extending)
        return;
    if (work->state == WORK_DONE && work->outcome.kind < TRIGGERS_OUTCOME_RELEASE)
        consumer->counts.lost++;
    free_work(consumer, work);
}

static void lose_all(struct triggers_consumer *consumer)
{
    for (int state = 0; state < WORK_STATES; state++) {
        struct work *next;
        for (struct work *work = consumer->lists[state].first; work; work = next) {
            next = work->next;
            lose(consumer, work);
        }
    }
}

/* Called with the lock held, which it releases meanwhile: only this thread frees. */
static void tell_lost(struct triggers_consumer *consumer)
{
    struct work *work = consumer->lists[WORK_RUNNING].first;
    while (work) {
        bool news = work->lost && !work->told;
        struct work *next = work->next;
        if (news) {
            work->told = true;
            pthread_mutex_unlock(&consumer->lock);
            if (consumer->options.lost)
                consumer->options.lost(&work->delivery, consumer->options.user_data);
            pthread_mutex_lock(&consumer->lock);
            next = consumer->lists[WORK_RUNNING].first; /* others may have left it */
        }
        work = next;
    }
}

static void tell_failed(struct triggers_consumer *consumer, const triggers_error *error,
                        const triggers_delivery *delivery)
{
    if (!consumer->options.failed)
        return;
    pthread_mutex_unlock(&consumer->lock);
    consumer->options.failed(error, delivery, consumer->options.user_data);
    pthread_mutex_lock(&consumer->lock);
}

/* ---- handlers ---- */

/* Nothing may be begun whose lease is over: it goes back. */
static struct work *take_waiting(struct triggers_consumer *consumer)
{
    struct work *work = consumer->lists[WORK_WAITING].first;
    if (!work || consumer->stopping)
        return NULL;
    if (clock_monotonic_ms() < work->lease_end_ms) {
        move_work(consumer, work, WORK_RUNNING);
        consumer->handled++;
        return work;
    }
    work->outcome.kind = TRIGGERS_OUTCOME_RELEASE;
    move_work(consumer, work, WORK_DONE);
    stir(consumer);
    return NULL;
}

static void *run_handler(void *data)
{
    struct triggers_consumer *consumer = data;
    pthread_mutex_lock(&consumer->lock);
    while (!consumer->over) {
        struct work *work = take_waiting(consumer);
        if (!work) {
            if (count_of(consumer, WORK_WAITING) == 0 || consumer->stopping)
                pthread_cond_wait(&consumer->begun, &consumer->lock);
            continue;
        }
        pthread_mutex_unlock(&consumer->lock);
        consumer->options.handle(&work->delivery, &work->outcome, consumer->options.user_data);
        pthread_mutex_lock(&consumer->lock);
        CHECK(work->outcome.kind <= TRIGGERS_OUTCOME_KEEP);
        bool kept = work->outcome.kind == TRIGGERS_OUTCOME_KEEP && !work->lost;
        move_work(consumer, work, kept ? WORK_KEPT : WORK_DONE);
        stir(consumer);
    }
    pthread_mutex_unlock(&consumer->lock);
    return NULL;
}

/* ---- calls ---- */

static void consumer_free(struct triggers_consumer *consumer)
{
    triggers_reply_free(consumer->failure);
    pthread_cond_destroy(&consumer->news);
    pthread_cond_destroy(&consumer->begun);
    pthread_cond_destroy(&consumer->end);
    pthread_mutex_destroy(&consumer->lock);
    free(consumer->handlers);
    free(consumer->subscription);
    free(consumer);
}

static void on_errand_done(triggers_reply *reply, void *user_data)
{
    struct errand *errand = user_data;
    struct triggers_consumer *consumer = errand->consumer;
    pthread_mutex_lock(&consumer->lock);
    errand->reply = reply;
    stir(consumer);
    pthread_mutex_unlock(&consumer->lock);
}

/* Starts a call; called with the lock held, which it releases meanwhile. */
static void send_errand(struct errand *errand, const char *method, const ProtobufCMessage *request)
{
    struct triggers_consumer *consumer = errand->consumer;
    triggers_call_options options = {.tag = errand};
    errand->out = true;
    errand->sent_ms = clock_monotonic_ms();
    triggers_client *client = errand == &consumer->pull ? consumer->puller : consumer->client;
    pthread_mutex_unlock(&consumer->lock);
    triggers_call_async(client, method, request, &options, on_errand_done, errand);
    pthread_mutex_lock(&consumer->lock);
}

/* Whether another request of this kind may have a better answer. */
static bool may_pass(triggers_code code)
{
    return triggers_code_is_retryable(code) || code == TRIGGERS_CANCELLED ||
           code == TRIGGERS_UNKNOWN || code == TRIGGERS_INTERNAL || code == TRIGGERS_DATA_LOSS;
}

/* Deals with a call that failed as a whole: it will be made again, or the consumer stops. Takes the
 * reply. */
static void fail_errand(struct errand *errand, triggers_reply *reply)
{
    struct triggers_consumer *consumer = errand->consumer;
    uint32_t wait_ms = backoff_next_ms(&errand->span_ms, RETRY_MOST_MS);
    if (reply->error.retry_delay_ms > wait_ms)
        wait_ms = reply->error.retry_delay_ms;
    errand->not_before_ms = clock_monotonic_ms() + wait_ms;
    bool first = !errand->told;
    errand->told = true;
    if (!may_pass(reply->code) && !consumer->failure) {
        consumer->failure = reply;
        consumer->stopping = true;
        lose_all(consumer);
        return;
    }
    if (first && !consumer->stopping)
        tell_failed(consumer, &reply->error, NULL);
    triggers_reply_free(reply);
}

static void succeed_errand(struct errand *errand)
{
    errand->told = false;
    errand->span_ms = RETRY_FIRST_MS;
}

/* The answer of an errand, if it has come; called with the lock held. */
static triggers_reply *take_reply(struct errand *errand)
{
    triggers_reply *reply = errand->reply;
    errand->reply = NULL;
    if (reply)
        errand->out = false;
    return reply;
}

/* ---- pull ---- */

static bool has_handled_all(const struct triggers_consumer *consumer)
{
    uint64_t max = consumer->options.max_events;
    return max > 0 && consumer->handled + count_of(consumer, WORK_WAITING) >= max;
}

/* How many deliveries there is room for. */
static size_t room(const struct triggers_consumer *consumer)
{
    size_t held = count_of(consumer, WORK_WAITING) + count_of(consumer, WORK_RUNNING) +
                  count_of(consumer, WORK_KEPT);
    size_t most = consumer->options.concurrency + consumer->options.prefetch;
    size_t left = held < most ? most - held : 0;
    if (count_of(consumer, WORK_DONE) >= DONE_MAX || has_handled_all(consumer))
        left = 0;
    if (consumer->options.max_events > 0 && left > 0) {
        uint64_t wanted =
            consumer->options.max_events - consumer->handled - count_of(consumer, WORK_WAITING);
        left = wanted < left ? (size_t)wanted : left;
    }
    return left < TRIGGERS_MAX_BATCH ? left : TRIGGERS_MAX_BATCH;
}

static bool is_idle(const struct triggers_consumer *consumer)
{
    return count_of(consumer, WORK_WAITING) + count_of(consumer, WORK_RUNNING) +
               count_of(consumer, WORK_DONE) + count_of(consumer, WORK_SETTLING) ==
           0;
}

static void ask_lease(struct triggers_consumer *consumer)
{
    Triggers__V1__GetSubscriptionRequest request = TRIGGERS__V1__GET_SUBSCRIPTION_REQUEST__INIT;
    request.name = consumer->subscription;
    send_errand(&consumer->pull, SERVICE "GetSubscription", &request.base);
}

/* A pull whose answer was lost is sent with its id again, and gets the same events, as long as
 * their leases are worth something. */
static void send_pull(struct triggers_consumer *consumer)
{
    int64_t now_ms = clock_monotonic_ms();
    Triggers__V1__PullRequest request = TRIGGERS__V1__PULL_REQUEST__INIT;
    if (!consumer->pull_id[0] ||
        now_ms - consumer->pull_since_ms >= (int64_t)consumer->lease_s * 500) {
        triggers_make_event_id(consumer->pull_id);
        consumer->pull_since_ms = now_ms;
    }
    request.name = consumer->subscription;
    request.max_events = (uint32_t)room(consumer);
    request.lease_seconds = consumer->lease_s;
    request.wait_ms = consumer->options.no_wait ? 0 : WAIT_MS;
    request.pull_id = consumer->pull_id;
    send_errand(&consumer->pull, SERVICE "Pull", &request.base);
}

static void set_lease(struct triggers_consumer *consumer, struct work *work, int64_t from_ms)
{
    int64_t lease_ms = (int64_t)consumer->lease_s * 1000;
    work->lease_end_ms = from_ms + lease_ms;
    work->extend_at_ms = from_ms + lease_ms / 3;
    if (work->extend_at_ms < consumer->extend_due_ms)
        consumer->extend_due_ms = work->extend_at_ms;
}

/* Takes the reply. What there is no memory for comes again when its lease is over. */
static void hold_deliveries(struct triggers_consumer *consumer, triggers_reply *reply)
{
    const Triggers__V1__PullResponse *response = (const Triggers__V1__PullResponse *)reply->message;
    struct pulled_page *page = calloc(1, sizeof(*page));
    if (!page) {
        triggers_reply_free(reply);
        return;
    }
    page->reply = reply;
    page->held = 1; /* by us, for now */
    for (size_t i = 0; i < response->n_deliveries; i++) {
        const Triggers__V1__Delivery *from = response->deliveries[i];
        struct work *work = from->event ? calloc(1, sizeof(*work)) : NULL;
        if (!work)
            continue;
        triggers_event_read(&from->event->base, &work->delivery.event);
        work->delivery.ack_id = from->ack_id;
        work->delivery.attempt = from->delivery_attempt;
        work->delivery.lease_expires_at_us = reply_time_us(from->lease_expires_at);
        work->page = page;
        page->held++;
        link_work(consumer, work, WORK_WAITING);
        set_lease(consumer, work, consumer->pull_since_ms);
    }
    drop_page(page);
    pthread_cond_broadcast(&consumer->begun);
}

/* Takes the reply to a pull. */
static void read_pull(struct triggers_consumer *consumer, triggers_reply *reply)
{
    struct errand *pull = &consumer->pull;
    const Triggers__V1__PullResponse *response = (const Triggers__V1__PullResponse *)reply->message;
    bool empty = response->n_deliveries == 0;
    int64_t now_ms = clock_monotonic_ms();
    succeed_errand(pull);
    consumer->pull_id[0] = '\0';
    if (empty && consumer->options.no_wait && is_idle(consumer))
        consumer->stopping = true;
    else if (empty && now_ms - pull->sent_ms < SOON_MS)
        pull->not_before_ms = now_ms + REST_MS;
    hold_deliveries(consumer, reply);
}

static void read_pull_errand(struct triggers_consumer *consumer)
{
    triggers_reply *reply = take_reply(&consumer->pull);
    if (!reply)
        return;
    if (reply->code != TRIGGERS_OK) {
        fail_errand(&consumer->pull, reply);
    } else if (consumer->lease_s > 0) {
        read_pull(consumer, reply);
    } else {
        const Triggers__V1__GetSubscriptionResponse *response =
            (const Triggers__V1__GetSubscriptionResponse *)reply->message;
        consumer->lease_s = response->subscription ? response->subscription->lease_seconds : 0;
        if (consumer->lease_s == 0)
            consumer->pull.not_before_ms = clock_monotonic_ms() + REST_MS; /* no core answers so */
        triggers_reply_free(reply);
    }
}

/* ---- settle ---- */

static bool is_settled_alike(const triggers_outcome *a, const triggers_outcome *b)
{
    return a->kind == b->kind &&
           (a->kind != TRIGGERS_OUTCOME_NACK ||
            (a->delayed == b->delayed && a->delay_seconds == b->delay_seconds &&
             a->dead_letter == b->dead_letter && strcmp(a->reason, b->reason) == 0));
}

/* Moves what is done and can be settled in one call into the errand. */
static void gather_settled(struct triggers_consumer *consumer)
{
    struct errand *settle = &consumer->settle;
    struct work *next;
    settle->count = 0;
    for (struct work *work = consumer->lists[WORK_DONE].first; work; work = next) {
        next = work->next;
        if (work->extending)
            continue;
        if (work->lost) {
            lose(consumer, work);
        } else if (settle->count < TRIGGERS_MAX_BATCH &&
                   (settle->count == 0 ||
                    is_settled_alike(&settle->works[0]->outcome, &work->outcome))) {
            settle->works[settle->count++] = work;
            move_work(consumer, work, WORK_SETTLING);
        }
    }
}

static void send_settle(struct triggers_consumer *consumer)
{
    struct errand *settle = &consumer->settle;
    char *ids[TRIGGERS_MAX_BATCH];
    gather_settled(consumer);
    if (settle->count ==
        0) { /* lost ones are gone; others wait for the answer about their leases */
        consumer->stirred |= count_of(consumer, WORK_DONE) == 0;
        return;
    }
    for (size_t i = 0; i < settle->count; i++)
        ids[i] = (char *)settle->works[i]->delivery.ack_id;
    triggers_outcome *outcome = &settle->works[0]->outcome;
    Triggers__V1__AckRequest ack = TRIGGERS__V1__ACK_REQUEST__INIT;
    Triggers__V1__NackRequest nack = TRIGGERS__V1__NACK_REQUEST__INIT;
    Triggers__V1__ReleaseRequest release = TRIGGERS__V1__RELEASE_REQUEST__INIT;
    ack.name = nack.name = release.name = consumer->subscription;
    ack.ack_ids = nack.ack_ids = release.ack_ids = ids;
    ack.n_ack_ids = nack.n_ack_ids = release.n_ack_ids = settle->count;
    nack.reason = outcome->reason;
    nack.dead_letter = outcome->dead_letter;
    if (outcome->delayed) {
        nack.delay_case = TRIGGERS__V1__NACK_REQUEST__DELAY_DELAY_SECONDS;
        nack.delay_seconds = outcome->delay_seconds;
    }
    if (outcome->kind == TRIGGERS_OUTCOME_ACK)
        send_errand(settle, SERVICE "Ack", &ack.base);
    else if (outcome->kind == TRIGGERS_OUTCOME_NACK)
        send_errand(settle, SERVICE "Nack", &nack.base);
    else
        send_errand(settle, SERVICE "Release", &release.base);
}

/* The results in any of the four answers; NULL when there are not `count`. */
static Triggers__V1__SettleResult **results_in(const ProtobufCMessage *message, size_t count)
{
    size_t found = 0;
    Triggers__V1__SettleResult **results = NULL;
#define READ(Type, type)                                                                           \
    if (message->descriptor == &triggers__v1__##type##_response__descriptor) {                     \
        found = ((const Triggers__V1__##Type##Response *)message)->n_results;                      \
        results = ((const Triggers__V1__##Type##Response *)message)->results;                      \
    }
    READ(Ack, ack)
    READ(Nack, nack)
    READ(Extend, extend)
    READ(Release, release)
#undef READ
    return found == count ? results : NULL;
}

static bool is_settled_error(const Triggers__V1__ItemError *error)
{
    return error->code == TRIGGERS__RPC__V1__CODE__FAILED_PRECONDITION;
}

static void count_settled(struct triggers_consumer *consumer, const struct work *work,
                          const Triggers__V1__SettleResult *result)
{
    enum triggers_outcome_kind kind = work->outcome.kind;
    uint64_t *counts[] = {[TRIGGERS_OUTCOME_ACK] = &consumer->counts.acked,
                          [TRIGGERS_OUTCOME_NACK] = &consumer->counts.nacked,
                          [TRIGGERS_OUTCOME_RELEASE] = &consumer->counts.released};
    if (!result->error) {
        (*counts[kind])++;
    } else if (kind != TRIGGERS_OUTCOME_RELEASE) {
        consumer->counts.lost++;
        triggers_error error = {
            .code = (triggers_code)result->error->code,
            .reason = result->error->details ? result->error->details->reason : "",
            .message = result->error->message,
        };
        tell_failed(consumer, &error, &work->delivery);
    }
}

static void read_settle(struct triggers_consumer *consumer)
{
    struct errand *settle = &consumer->settle;
    triggers_reply *reply = take_reply(settle);
    if (!reply)
        return;
    bool good = reply->code == TRIGGERS_OK;
    Triggers__V1__SettleResult **results = good ? results_in(reply->message, settle->count) : NULL;
    for (size_t i = 0; i < settle->count; i++) {
        struct work *work = settle->works[i];
        if (results) {
            count_settled(consumer, work, results[i]);
            free_work(consumer, work);
        } else {
            move_work(consumer, work, WORK_DONE);
            consumer->extend_due_ms = 0;
        }
    }
    if (good) {
        succeed_errand(settle);
        if (!results)
            settle->not_before_ms = clock_monotonic_ms() + REST_MS; /* no core answers so */
        triggers_reply_free(reply);
    } else {
        fail_errand(settle, reply);
    }
}

/* ---- extend ---- */

/* The leases that are due, and when the next one is. */
static void gather_extended(struct triggers_consumer *consumer, int64_t now_ms)
{
    struct errand *extend = &consumer->extend;
    extend->count = 0;
    consumer->extend_due_ms = INT64_MAX;
    for (int state = WORK_WAITING; state <= WORK_DONE; state++) {
        for (struct work *work = consumer->lists[state].first; work; work = work->next) {
            if (work->lost)
                continue;
            if (work->extend_at_ms <= now_ms && extend->count < TRIGGERS_MAX_BATCH) {
                extend->works[extend->count++] = work;
                work->extending = true;
            } else if (work->extend_at_ms < consumer->extend_due_ms) {
                consumer->extend_due_ms = work->extend_at_ms;
            }
        }
    }
}

static void send_extend(struct triggers_consumer *consumer)
{
    struct errand *extend = &consumer->extend;
    char *ids[TRIGGERS_MAX_BATCH];
    Triggers__V1__ExtendRequest request = TRIGGERS__V1__EXTEND_REQUEST__INIT;
    gather_extended(consumer, clock_monotonic_ms());
    if (extend->count == 0) {
        consumer->stirred = true; /* it is due later */
        return;
    }
    for (size_t i = 0; i < extend->count; i++)
        ids[i] = (char *)extend->works[i]->delivery.ack_id;
    request.name = consumer->subscription;
    request.ack_ids = ids;
    request.n_ack_ids = extend->count;
    request.lease_seconds = consumer->lease_s;
    send_errand(extend, SERVICE "Extend", &request.base);
}

static void read_extended(struct triggers_consumer *consumer, struct work *work,
                          const Triggers__V1__SettleResult *result)
{
    if (!result) { /* the call failed: it stays due */
        consumer->extend_due_ms = 0;
    } else if (!result->error) {
        set_lease(consumer, work, consumer->extend.sent_ms);
    } else if (result->error->code == TRIGGERS__RPC__V1__CODE__ABORTED ||
               is_settled_error(result->error)) {
        lose(consumer, work);
    } else {
        work->extend_at_ms = INT64_MAX; /* it has had all that a lease may last */
    }
}

static void read_extend(struct triggers_consumer *consumer)
{
    struct errand *extend = &consumer->extend;
    triggers_reply *reply = take_reply(extend);
    if (!reply)
        return;
    bool good = reply->code == TRIGGERS_OK;
    Triggers__V1__SettleResult **results = good ? results_in(reply->message, extend->count) : NULL;
    for (size_t i = 0; i < extend->count; i++) {
        struct work *work = extend->works[i];
        work->extending = false;
        if (work->lost)
            lose(consumer, work); /* which could not be freed before */
        else
            read_extended(consumer, work, results ? results[i] : NULL);
    }
    if (good) {
        succeed_errand(extend);
        if (!results)
            extend->not_before_ms = clock_monotonic_ms() + REST_MS; /* no core answers so */
        triggers_reply_free(reply);
    } else {
        fail_errand(extend, reply);
    }
}

/* ---- the tender ---- */

static void release_list(struct triggers_consumer *consumer, enum work_state state)
{
    struct work *work;
    while ((work = consumer->lists[state].first)) {
        work->outcome.kind = TRIGGERS_OUTCOME_RELEASE;
        move_work(consumer, work, WORK_DONE);
    }
}

/* A pull that the core holds would get what is released. The end of its connection ends it; one
 * that was just sent is likely to bring something, and is waited for. Called with the lock held,
 * which it releases meanwhile. */
static void close_puller(struct triggers_consumer *consumer, int64_t now_ms)
{
    triggers_client *puller = consumer->puller;
    if (!puller || (consumer->pull.out && now_ms < consumer->pull.sent_ms + SOON_MS))
        return;
    pthread_mutex_unlock(&consumer->lock);
    triggers_client_close(puller); /* its callback has run then */
    pthread_mutex_lock(&consumer->lock);
    consumer->puller = NULL;
    consumer->stirred = true;
}

/* What a consumer that stops does besides: what was not begun, or kept, goes back, for so long as
 * there is hope. */
static void wind_up(struct triggers_consumer *consumer, int64_t now_ms)
{
    close_puller(consumer, now_ms);
    if (consumer->puller)
        return;
    release_list(consumer, WORK_WAITING);
    release_list(consumer, WORK_KEPT);
    if (count_of(consumer, WORK_RUNNING) > 0)
        return;
    if (consumer->give_up_ms == 0)
        consumer->give_up_ms = now_ms + SETTLE_LAST_MS;
    if (now_ms >= consumer->give_up_ms) {
        lose_all(consumer);
        triggers_cancel(consumer->client, &consumer->settle);
        triggers_cancel(consumer->client, &consumer->extend);
    }
}

static bool is_over(const struct triggers_consumer *consumer)
{
    return consumer->stopping && is_idle(consumer) && count_of(consumer, WORK_KEPT) == 0 &&
           !consumer->puller && !consumer->pull.out && !consumer->settle.out &&
           !consumer->extend.out;
}

/* Whether a call is due now; else lowers *wake_ms to when it will be. */
static bool is_errand_due(const struct errand *errand, int64_t due_ms, int64_t now_ms,
                          int64_t *wake_ms)
{
    if (errand->out)
        return false;
    if (due_ms < errand->not_before_ms)
        due_ms = errand->not_before_ms;
    if (due_ms <= now_ms)
        return true;
    if (due_ms < *wake_ms)
        *wake_ms = due_ms;
    return false;
}

/* Makes the calls that are due. Returns when to look again, unless there is news. */
static int64_t make_calls(struct triggers_consumer *consumer, int64_t now_ms)
{
    int64_t wake_ms = consumer->give_up_ms > now_ms ? consumer->give_up_ms : INT64_MAX;
    if (consumer->stopping && consumer->puller)
        wake_ms = consumer->pull.sent_ms + SOON_MS;
    if (!consumer->stopping && room(consumer) > 0 &&
        is_errand_due(&consumer->pull, 0, now_ms, &wake_ms))
        (consumer->lease_s > 0 ? send_pull : ask_lease)(consumer);
    if (is_errand_due(&consumer->extend, consumer->extend_due_ms, now_ms, &wake_ms))
        send_extend(consumer);
    if (count_of(consumer, WORK_DONE) > 0 && is_errand_due(&consumer->settle, 0, now_ms, &wake_ms))
        send_settle(consumer);
    return wake_ms;
}

/* Nothing more to handle: max_events were, or, with no_wait, what is kept has filled the room. */
static bool is_finished(const struct triggers_consumer *consumer)
{
    bool full =
        consumer->options.no_wait && count_of(consumer, WORK_KEPT) > 0 && room(consumer) == 0;
    return is_idle(consumer) && (has_handled_all(consumer) || full);
}

static void read_replies(struct triggers_consumer *consumer)
{
    read_pull_errand(consumer);
    read_settle(consumer);
    read_extend(consumer);
    tell_lost(consumer);
    if (is_finished(consumer))
        consumer->stopping = true;
    if (consumer->options.no_wait && is_idle(consumer) && !consumer->pull.told)
        consumer->pull.not_before_ms = 0; /* it looks for the last time */
}

static void *run_tender(void *data)
{
    struct triggers_consumer *consumer = data;
    pthread_mutex_lock(&consumer->lock);
    for (;;) {
        consumer->stirred = false;
        read_replies(consumer);
        int64_t now_ms = clock_monotonic_ms();
        if (consumer->stopping)
            wind_up(consumer, now_ms);
        if (is_over(consumer))
            break;
        int64_t wake_ms = make_calls(consumer, now_ms);
        if (!consumer->stirred)
            wait_until(&consumer->news, &consumer->lock, wake_ms);
    }
    consumer->over = true;
    pthread_cond_broadcast(&consumer->begun);
    pthread_cond_broadcast(&consumer->end);
    pthread_mutex_unlock(&consumer->lock);
    if (consumer->options.ended)
        consumer->options.ended(consumer->options.user_data);
    return NULL;
}

/* ---- opening and closing ---- */

static bool check_consumer(const triggers_client *client, const triggers_client *puller,
                           const triggers_consumer_options *options, struct status *status)
{
    if (!client || !puller || client == puller)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "CLIENT_MISSING",
                           "a consumer needs two clients; open them with triggers_client_open");
    if (!options || !options->subscription || !options->handle)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "CONSUMER_INVALID",
                           "a consumer needs a subscription and a handler");
    if (options->concurrency > TRIGGERS_MAX_CONCURRENCY)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "CONCURRENCY_INVALID",
                           "the concurrency is %u; accepted is up to %d", options->concurrency,
                           TRIGGERS_MAX_CONCURRENCY);
    return options->prefetch <= PREFETCH_MAX ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "PREFETCH_INVALID",
                       "the prefetch is %u; accepted is up to %d", options->prefetch, PREFETCH_MAX);
}

/* One that does not work yet; NULL without memory. */
static struct triggers_consumer *consumer_new(triggers_client *client, triggers_client *puller,
                                              const triggers_consumer_options *options)
{
    struct triggers_consumer *consumer = calloc(1, sizeof(*consumer));
    if (!consumer)
        return NULL;
    struct errand *errands[] = {&consumer->pull, &consumer->settle, &consumer->extend};
    for (size_t i = 0; i < sizeof(errands) / sizeof(errands[0]); i++) {
        errands[i]->consumer = consumer;
        errands[i]->span_ms = RETRY_FIRST_MS;
    }
    pthread_mutex_init(&consumer->lock, NULL);
    wait_init(&consumer->news);
    pthread_cond_init(&consumer->begun, NULL);
    pthread_cond_init(&consumer->end, NULL);
    consumer->client = client;
    consumer->puller = puller;
    consumer->options = *options;
    if (consumer->options.concurrency == 0)
        consumer->options.concurrency = 1;
    consumer->lease_s = options->lease_seconds;
    consumer->extend_due_ms = INT64_MAX;
    consumer->subscription = strdup(options->subscription);
    consumer->handlers = calloc(consumer->options.concurrency, sizeof(*consumer->handlers));
    if (consumer->subscription && consumer->handlers)
        return consumer;
    consumer_free(consumer);
    return NULL;
}

static void join_handlers(struct triggers_consumer *consumer)
{
    for (size_t i = 0; i < consumer->handler_count; i++)
        pthread_join(consumer->handlers[i], NULL);
}

static bool consumer_start(struct triggers_consumer *consumer)
{
    bool good = true;
    while (good && consumer->handler_count < consumer->options.concurrency) {
        pthread_t *handler = &consumer->handlers[consumer->handler_count];
        good = pthread_create(handler, NULL, run_handler, consumer) == 0;
        consumer->handler_count += good;
    }
    if (good && pthread_create(&consumer->tender, NULL, run_tender, consumer) == 0)
        return true;
    pthread_mutex_lock(&consumer->lock);
    consumer->over = true;
    pthread_cond_broadcast(&consumer->begun);
    pthread_mutex_unlock(&consumer->lock);
    join_handlers(consumer);
    return false;
}

static struct triggers_consumer *consumer_open(triggers_client *client, triggers_client *puller,
                                               const triggers_consumer_options *options,
                                               struct status *status)
{
    if (!check_consumer(client, puller, options, status))
        return NULL;
    struct triggers_consumer *consumer = consumer_new(client, puller, options);
    if (consumer && consumer_start(consumer))
        return consumer;
    if (consumer)
        consumer_free(consumer);
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory or threads");
    return NULL;
}

triggers_code triggers_consumer_open(triggers_consumer **consumer, triggers_client *client,
                                     triggers_client *puller,
                                     const triggers_consumer_options *options, char *error,
                                     size_t error_size)
{
    struct status status = STATUS_INIT;
    *consumer = consumer_open(client, puller, options, &status);
    if (!*consumer && puller != client)
        triggers_client_close(puller);
    if (error && error_size > 0)
        snprintf(error, error_size, "%s", status.message);
    return (triggers_code)status.code;
}

void triggers_consumer_stop(triggers_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    consumer->stopping = true;
    stir(consumer);
    pthread_mutex_unlock(&consumer->lock);
}

const triggers_error *triggers_consumer_wait(triggers_consumer *consumer,
                                             triggers_consumer_counts *counts)
{
    static const triggers_error none = {.reason = "", .message = ""};
    pthread_mutex_lock(&consumer->lock);
    while (!consumer->over)
        pthread_cond_wait(&consumer->end, &consumer->lock);
    if (counts)
        *counts = consumer->counts;
    const triggers_error *error = consumer->failure ? &consumer->failure->error : &none;
    pthread_mutex_unlock(&consumer->lock);
    return error;
}

void triggers_consumer_close(triggers_consumer *consumer)
{
    if (!consumer)
        return;
    triggers_consumer_stop(consumer);
    pthread_join(consumer->tender, NULL);
    join_handlers(consumer);
    consumer_free(consumer);
}
