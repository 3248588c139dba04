/* How many cores share a store, by the notices in which each tells of itself every few seconds: so
 * they share what limits allow, and nothing is written for it. Behind a pooler, where there are no
 * notices, each counts itself alone. Any thread. */
#ifndef TRIGGERS_EVENTS_CORE_COUNT_H
#define TRIGGERS_EVENTS_CORE_COUNT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CORE_COUNT_MAX 64  /* others beside us */
#define CORE_TELL_MS 5000  /* between two times that a core tells of itself */
#define CORE_GONE_MS 16000 /* after which one that was silent is not counted any more */

/* What a notice of a core has in place of a tenant; in place of a sequence it has the core's id. */
#define CORE_COUNT_TENANT (-1)

struct core_count {
    pthread_mutex_t lock;
    int64_t id;      /* ours, random, from 1 */
    int64_t told_ms; /* the main thread's */
    struct heard_core {
        int64_t id;
        int64_t heard_ms; /* monotonic */
    } others[CORE_COUNT_MAX];
    atomic_uint count; /* with us */
};

void core_count_init(struct core_count *cores);
void core_count_fini(struct core_count *cores);

/* Another core has told of itself. */
void core_count_hear(struct core_count *cores, int64_t id, int64_t now_ms);

/* Leaves out those that are silent; true when it is time to tell the others of `id`. Once a second,
 * the main thread. */
bool core_count_look(struct core_count *cores, int64_t now_ms);

#endif
