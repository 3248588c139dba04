/* The keeper: the thread of a client for work that is done later or may block. It sleeps until the
 * earliest time that it was asked for. */
#ifndef TRIGGERS_CLIENT_KEEPER_H
#define TRIGGERS_CLIENT_KEEPER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeroed before keeper_start. */
struct keeper {
    void (*serve)(void *owner);
    void *owner;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    _Atomic int64_t wake_ms; /* when it serves next; lowered under `mutex` */
    bool stopping;           /* under `mutex` */
};

/* Starts the thread; false when that is not possible. From then on `serve` runs on it, without a
 * lock held, each time it was asked for. It does what is due and asks for the next time. */
bool keeper_start(struct keeper *keeper, void (*serve)(void *owner), void *owner);

/* Ends the thread and waits for it. What was asked for is no longer served. */
void keeper_stop(struct keeper *keeper);

/* Makes it serve no later than `when_ms` (clock_monotonic_ms; 0: now). `serve` must be able to see
 * what is due before this is called. Any thread, with any lock held. */
void keeper_look_at(struct keeper *keeper, int64_t when_ms);

#endif
