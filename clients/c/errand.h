/* Errands: the calls that a consumer's tender makes, one of each sort at a time, so that what comes
 * up while one is under way goes together in the next. */
#ifndef TRIGGERS_CLIENT_ERRAND_H
#define TRIGGERS_CLIENT_ERRAND_H

#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdbool.h>

#include "triggers.h"

/* Where the tender, a thread, sleeps until there is something to do. */
struct tender {
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool stirred; /* it is to look again */
};

void tender_init(struct tender *tender);
void tender_fini(struct tender *tender);

/* Called with the lock held, as are the rest. */
void tender_stir(struct tender *tender);

/* Calls of one sort. */
struct errand {
    struct tender *tender;
    triggers_client *client;
    bool out;              /* one is under way */
    triggers_reply *reply; /* its answer, until it is read */
    int64_t sent_ms;
    int64_t not_before_ms; /* the next one */
    uint32_t span_ms;      /* see backoff_next_ms */
    bool told;             /* that it failed */
};

void errand_init(struct errand *errand, struct tender *tender, triggers_client *client);

/* Starts a call; releases the lock meanwhile. */
void errand_send(struct errand *errand, const char *method, const ProtobufCMessage *request);

/* Whether a call is due now; else lowers *wake_ms to when it will be. */
bool errand_is_due(const struct errand *errand, int64_t due_ms, int64_t now_ms, int64_t *wake_ms);

/* The answer, if it has come. */
triggers_reply *errand_take_reply(struct errand *errand);

/* After a good answer; one without sense, which no core gives, is followed by a rest. */
void errand_succeed(struct errand *errand, bool has_sense);

/* No call is made for a second. */
void errand_rest(struct errand *errand);

/* After a call that failed as a whole and is made again, after a pause. Whether it was the first of
 * a row. */
bool errand_put_off(struct errand *errand, const triggers_error *error);

#endif
