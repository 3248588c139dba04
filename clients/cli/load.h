/* A load on the core: a number of calls of one kind, kept in flight for a while. */
#ifndef TRIGGERS_CLI_LOAD_H
#define TRIGGERS_CLI_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "triggers.h"

enum load_op { LOAD_CREATE, LOAD_GET, LOAD_INBOX, LOAD_ACK, LOAD_HEALTH };

#define LOAD_REASONS 16 /* different reasons of failure that are told apart */

struct load_failure {
    char reason[64];
    triggers_code code;
    uint64_t count;
};

struct load {
    /* Set before load_run. */
    triggers_client *client;
    enum load_op op;
    long concurrency;
    long batch; /* events in a call, for create and ack */
    int64_t duration_us;
    const triggers_new_event *new_events; /* `batch` events, which create calls send */
    const char (*ids)[TRIGGERS_ID_SIZE];  /* of existing events, for get and ack */
    size_t id_count;

    /* Results. */
    struct histogram latency; /* of calls that succeeded */
    atomic_uint_fast64_t calls;
    atomic_uint_fast64_t events; /* in them */
    struct load_failure failures[LOAD_REASONS];
    size_t failure_count;
    int64_t elapsed_us;

    /* Private. */
    int64_t end_us;
    atomic_size_t next_id;
    pthread_mutex_t mutex; /* of failures and running */
    pthread_cond_t ended;
    long running; /* workers */
};

/* Runs to the end of the duration, and until the last calls have been answered. An ack load ends
 * when all ids are acknowledged; a get load uses its ids in turn. False without memory. */
bool load_run(struct load *load);

#endif
