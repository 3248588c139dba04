/* The threads on which handlers run, and what is told to those whose delivery is lost. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "consumer_parts.h"

/* Nothing may be begun whose lease is over: it goes back. */
static struct work *take_waiting(struct triggers_consumer *consumer)
{
    struct work *work = consumer->load.lists[WORK_WAITING].first;
    if (!work || consumer->stopping)
        return NULL;
    if (clock_monotonic_ms() < work->lease_end_ms) {
        work_move(&consumer->load, work, WORK_RUNNING);
        consumer->handled++;
        return work;
    }
    work->outcome.kind = TRIGGERS_OUTCOME_RELEASE;
    work_move(&consumer->load, work, WORK_DONE);
    tender_stir(&consumer->tender);
    return NULL;
}

/* Cuts a reason where it is no UTF-8, as after a cut through a character: no core would take it. */
static void trim_reason(char *reason)
{
    const char *end = reason + strnlen(reason, TRIGGERS_MAX_REASON);
    const char *at = reason;
    uint32_t character = 0;
    while (at < end && character != TEXT_NO_CHARACTER) {
        size_t length = text_next(at, end, &character);
        at += character == TEXT_NO_CHARACTER ? 0 : length;
    }
    reason[at - reason] = '\0';
}

static void *run_handler(void *data)
{
    struct triggers_consumer *consumer = data;
    pthread_mutex_t *lock = &consumer->tender.lock;
    pthread_mutex_lock(lock);
    while (!consumer->over) {
        struct work *work = take_waiting(consumer);
        if (!work) {
            if (workload_count(&consumer->load, WORK_WAITING) == 0 || consumer->stopping)
                pthread_cond_wait(&consumer->begun, lock);
            continue;
        }
        pthread_mutex_unlock(lock);
        consumer->options.handle(&work->delivery, &work->outcome, consumer->options.user_data);
        trim_reason(work->outcome.reason);
        pthread_mutex_lock(lock);
        CHECK(work->outcome.kind <= TRIGGERS_OUTCOME_KEEP);
        bool kept = work->outcome.kind == TRIGGERS_OUTCOME_KEEP && !work->lost;
        work_move(&consumer->load, work, kept ? WORK_KEPT : WORK_DONE);
        tender_stir(&consumer->tender);
    }
    pthread_mutex_unlock(lock);
    return NULL;
}

bool consumer_start_handlers(struct triggers_consumer *consumer)
{
    bool good = true;
    while (good && consumer->handler_count < consumer->options.concurrency) {
        pthread_t *handler = &consumer->handlers[consumer->handler_count];
        good = pthread_create(handler, NULL, run_handler, consumer) == 0;
        consumer->handler_count += good;
    }
    return good;
}

void consumer_join_handlers(struct triggers_consumer *consumer)
{
    for (size_t i = 0; i < consumer->handler_count; i++)
        pthread_join(consumer->handlers[i], NULL);
}

void consumer_tell_lost(struct triggers_consumer *consumer)
{
    const struct work_list *running = &consumer->load.lists[WORK_RUNNING];
    struct work *work = running->first;
    while (work) {
        bool news = work->lost && !work->told;
        struct work *next = work->next;
        if (news) {
            work->told = true;
            pthread_mutex_unlock(&consumer->tender.lock);
            if (consumer->options.lost)
                consumer->options.lost(&work->delivery, consumer->options.user_data);
            pthread_mutex_lock(&consumer->tender.lock);
            next = running->first; /* others may have left it */
        }
        work = next;
    }
}
