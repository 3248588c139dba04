#include "events/core_count.h"

#include <string.h>

#include "base/clock.h"

void core_count_init(struct core_count *cores)
{
    memset(cores, 0, sizeof(*cores));
    pthread_mutex_init(&cores->lock, NULL);
    atomic_init(&cores->count, 1);
    random_fill(&cores->id, sizeof(cores->id));
    cores->id = (cores->id & INT64_MAX) | 1;
    cores->told_ms = INT64_MIN / 2;
}

void core_count_fini(struct core_count *cores)
{
    pthread_mutex_destroy(&cores->lock);
}

/* Lock held. */
static void count_cores(struct core_count *cores, int64_t now_ms)
{
    unsigned count = 1;
    for (size_t i = 0; i < CORE_COUNT_MAX; i++) {
        struct heard_core *other = &cores->others[i];
        if (other->id != 0 && now_ms - other->heard_ms >= CORE_GONE_MS)
            other->id = 0;
        count += other->id != 0;
    }
    atomic_store(&cores->count, count);
}

void core_count_hear(struct core_count *cores, int64_t id, int64_t now_ms)
{
    struct heard_core *place = NULL;
    pthread_mutex_lock(&cores->lock);
    for (size_t i = 0; i < CORE_COUNT_MAX && (!place || place->id != id); i++)
        if (cores->others[i].id == id || (cores->others[i].id == 0 && !place))
            place = &cores->others[i];
    if (place)
        *place = (struct heard_core){id, now_ms};
    count_cores(cores, now_ms);
    pthread_mutex_unlock(&cores->lock);
}

bool core_count_look(struct core_count *cores, int64_t now_ms)
{
    pthread_mutex_lock(&cores->lock);
    count_cores(cores, now_ms);
    pthread_mutex_unlock(&cores->lock);
    if (now_ms - cores->told_ms < CORE_TELL_MS)
        return false;
    cores->told_ms = now_ms;
    return true;
}
