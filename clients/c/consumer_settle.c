/* Saying what became of deliveries: outcomes that are alike go together in a call. */
#include <string.h>

#include "consumer_parts.h"
#include "triggers/v1/subscriptions.pb-c.h"

static bool is_settled_alike(const triggers_outcome *a, const triggers_outcome *b)
{
    return a->kind == b->kind &&
           (a->kind != TRIGGERS_OUTCOME_NACK ||
            (a->delayed == b->delayed && a->delay_seconds == b->delay_seconds &&
             a->dead_letter == b->dead_letter && strcmp(a->reason, b->reason) == 0));
}

/* Moves what is done and can be settled in one call into the batch. */
static void gather_settled(struct triggers_consumer *consumer)
{
    struct work_batch *batch = &consumer->settled;
    struct work *next;
    batch->count = 0;
    for (struct work *work = consumer->load.lists[WORK_DONE].first; work; work = next) {
        next = work->next;
        if (work->extending)
            continue;
        if (work->lost) {
            work_lose(&consumer->load, work);
        } else if (batch->count < TRIGGERS_MAX_BATCH &&
                   (batch->count == 0 ||
                    is_settled_alike(&batch->works[0]->outcome, &work->outcome))) {
            batch->works[batch->count++] = work;
            work_move(&consumer->load, work, WORK_SETTLING);
        }
    }
}

void consumer_send_settle(struct triggers_consumer *consumer)
{
    struct errand *settle = &consumer->settle;
    struct work_batch *batch = &consumer->settled;
    char *ids[TRIGGERS_MAX_BATCH];
    gather_settled(consumer);
    if (batch->count == 0) {
        /* Lost ones are gone; others wait for the answer about their leases. */
        consumer->tender.stirred |= workload_count(&consumer->load, WORK_DONE) == 0;
        return;
    }
    for (size_t i = 0; i < batch->count; i++)
        ids[i] = (char *)batch->works[i]->delivery.ack_id;
    triggers_outcome *outcome = &batch->works[0]->outcome;
    Triggers__V1__AckRequest ack = TRIGGERS__V1__ACK_REQUEST__INIT;
    Triggers__V1__NackRequest nack = TRIGGERS__V1__NACK_REQUEST__INIT;
    Triggers__V1__ReleaseRequest release = TRIGGERS__V1__RELEASE_REQUEST__INIT;
    ack.name = nack.name = release.name = consumer->subscription;
    ack.ack_ids = nack.ack_ids = release.ack_ids = ids;
    ack.n_ack_ids = nack.n_ack_ids = release.n_ack_ids = batch->count;
    nack.reason = outcome->reason;
    nack.dead_letter = outcome->dead_letter;
    if (outcome->delayed) {
        nack.delay_case = TRIGGERS__V1__NACK_REQUEST__DELAY_DELAY_SECONDS;
        nack.delay_seconds = outcome->delay_seconds;
    }
    if (outcome->kind == TRIGGERS_OUTCOME_ACK)
        errand_send(settle, SUBSCRIPTION_SERVICE "Ack", &ack.base);
    else if (outcome->kind == TRIGGERS_OUTCOME_NACK)
        errand_send(settle, SUBSCRIPTION_SERVICE "Nack", &nack.base);
    else
        errand_send(settle, SUBSCRIPTION_SERVICE "Release", &release.base);
}

/* The results in any of the three answers; NULL when there are not `count`. */
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
    READ(Release, release)
#undef READ
    return found == count ? results : NULL;
}

static void count_settled(struct triggers_consumer *consumer, const struct work *work,
                          const Triggers__V1__SettleResult *result)
{
    triggers_consumer_counts *counts = &consumer->load.counts;
    enum triggers_outcome_kind kind = work->outcome.kind;
    uint64_t *counters[] = {[TRIGGERS_OUTCOME_ACK] = &counts->acked,
                            [TRIGGERS_OUTCOME_NACK] = &counts->nacked,
                            [TRIGGERS_OUTCOME_RELEASE] = &counts->released};
    if (!result->error) {
        (*counters[kind])++;
    } else if (kind != TRIGGERS_OUTCOME_RELEASE) {
        counts->lost++;
        triggers_error error = {
            .code = (triggers_code)result->error->code,
            .reason = result->error->details ? result->error->details->reason : "",
            .message = result->error->message,
        };
        consumer_tell_failed(consumer, &error, &work->delivery);
    }
}

void consumer_read_settle(struct triggers_consumer *consumer)
{
    struct work_batch *batch = &consumer->settled;
    triggers_reply *reply = errand_take_reply(&consumer->settle);
    if (!reply)
        return;
    Triggers__V1__SettleResult **results =
        reply->code == TRIGGERS_OK ? results_in(reply->message, batch->count) : NULL;
    for (size_t i = 0; i < batch->count; i++) {
        struct work *work = batch->works[i];
        if (results) {
            count_settled(consumer, work, results[i]);
            work_free(&consumer->load, work);
        } else {
            work_move(&consumer->load, work, WORK_DONE);
            consumer->load.extend_due_ms = 0;
        }
    }
    consumer_end_errand(consumer, &consumer->settle, reply, results != NULL);
}
