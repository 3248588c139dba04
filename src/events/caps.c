/* A short list: few tenants have caps, and without one nothing is locked. */
#include "events/caps.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

#define STEP_BLOCKS 200      /* of one count: about 10 ms */
#define BUSY_MS 1900         /* between two counts of a tenant that writes */
#define REFUSED_MS 900       /* the same while it is refused something */
#define IDLE_MS 60000        /* of one that does nothing here */
#define EVENTS_RETRY_MS 1000 /* room comes with the next acknowledgement */
#define BYTES_RETRY_MS 10000 /* and this with retention */
#define CAPS_BUCKETS 256     /* a power of 2 */

struct capped {
    struct capped *next;
    int64_t tenant;
    uint64_t life; /* of this struct, so that shares of an earlier one do not count */
    struct tenant_caps most;
    /* As it was counted. */
    bool counted;
    int64_t pending, bytes, last;
    int64_t counted_ms; /* monotonic; when that ended */
    /* Since then. */
    int64_t acknowledged, written_bytes; /* by this core */
    int64_t end;                         /* the log's, as far as it is known */
    bool changed, refused;
    uint64_t held_events, held_bytes; /* of creates that are under way */
    /* The count that is under way. */
    struct store_usage step;
    int64_t step_acknowledged, step_bytes, step_end; /* those above when the last step began */
    int64_t sum_pending, sum_events, sum_bytes;
    uint64_t outstanding;
};

struct caps {
    pthread_mutex_t lock;
    atomic_size_t count;
    uint64_t lives;
    struct capped *buckets[CAPS_BUCKETS];
};

struct caps *caps_open(void)
{
    struct caps *caps = calloc(1, sizeof(*caps));
    if (caps)
        pthread_mutex_init(&caps->lock, NULL);
    return caps;
}

void caps_close(struct caps *caps)
{
    if (!caps)
        return;
    for (size_t i = 0; i < CAPS_BUCKETS; i++) {
        for (struct capped *next, *at = caps->buckets[i]; at; at = next) {
            next = at->next;
            free(at);
        }
    }
    pthread_mutex_destroy(&caps->lock);
    free(caps);
}

/* ---- finding ---- */

/* What points to it, or where it would be. Lock held. */
static struct capped **place_of(struct caps *caps, int64_t tenant)
{
    struct capped **place = &caps->buckets[(uint64_t)tenant & (CAPS_BUCKETS - 1)];
    while (*place && (*place)->tenant != tenant)
        place = &(*place)->next;
    return place;
}

/* The tenant's, with the lock held; NULL, without it: it has no caps. */
static struct capped *lock_capped(struct caps *caps, int64_t tenant)
{
    if (!caps || atomic_load_explicit(&caps->count, memory_order_relaxed) == 0)
        return NULL;
    pthread_mutex_lock(&caps->lock);
    struct capped *capped = *place_of(caps, tenant);
    if (!capped)
        pthread_mutex_unlock(&caps->lock);
    return capped;
}

static struct capped *add_capped(struct caps *caps, int64_t tenant)
{
    struct capped *capped = calloc(1, sizeof(*capped));
    if (!capped)
        return NULL;
    capped->tenant = tenant;
    capped->life = ++caps->lives;
    capped->step.after_block = -1;
    *place_of(caps, tenant) = capped;
    atomic_fetch_add(&caps->count, 1);
    return capped;
}

bool caps_put(struct caps *caps, int64_t tenant, const struct tenant_caps *most)
{
    if (!caps)
        return true;
    bool any =
        most->pending_events || most->storage_bytes || most->subscriptions || most->outstanding;
    pthread_mutex_lock(&caps->lock);
    struct capped **place = place_of(caps, tenant);
    struct capped *capped = *place;
    if (!any && capped) {
        *place = capped->next;
        free(capped);
        atomic_fetch_sub(&caps->count, 1);
    } else if (any && !capped) {
        capped = add_capped(caps, tenant);
    }
    if (any && capped)
        capped->most = *most;
    pthread_mutex_unlock(&caps->lock);
    return !any || capped;
}

uint32_t caps_subscriptions(struct caps *caps, int64_t tenant)
{
    struct capped *capped = lock_capped(caps, tenant);
    if (!capped)
        return 0;
    uint32_t most = capped->most.subscriptions;
    pthread_mutex_unlock(&caps->lock);
    return most;
}

/* ---- events; lock held ---- */

static uint64_t at_least_0(int64_t number)
{
    return number > 0 ? (uint64_t)number : 0;
}

static int64_t events_since(const struct capped *capped)
{
    return capped->end > capped->last ? capped->end - capped->last : 0;
}

static uint64_t pending_of(const struct capped *capped)
{
    return at_least_0(capped->pending + events_since(capped) - capped->acknowledged) +
           capped->held_events;
}

static uint64_t bytes_of(const struct capped *capped)
{
    return at_least_0(capped->bytes + capped->written_bytes +
                      CAPS_EVENT_BYTES * events_since(capped)) +
           capped->held_bytes;
}

static bool exceeds(uint64_t most, uint64_t has, uint64_t more)
{
    return most > 0 && (has > most || more > most - has);
}

static bool refuse(struct capped *capped, bool bytes, struct status *status)
{
    capped->refused = true;
    if (bytes)
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "STORAGE_FULL",
                    "the tenant may have %" PRIu64 " bytes of events; there is room when old ones "
                    "are removed, or the cap is raised",
                    capped->most.storage_bytes);
    else
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_PENDING_EVENTS",
                    "the tenant may have %" PRIu64 " pending events; there is room when some are "
                    "acknowledged",
                    capped->most.pending_events);
    status->retry_delay_ms = bytes ? BYTES_RETRY_MS : EVENTS_RETRY_MS;
    return false;
}

bool caps_hold(struct caps *caps, int64_t tenant, size_t events, size_t bytes,
               struct status *status)
{
    struct capped *capped = events > 0 ? lock_capped(caps, tenant) : NULL;
    if (!capped)
        return true;
    bool held = true;
    bytes += CAPS_EVENT_BYTES * events;
    if (capped->counted && exceeds(capped->most.pending_events, pending_of(capped), events))
        held = refuse(capped, false, status);
    else if (capped->counted && exceeds(capped->most.storage_bytes, bytes_of(capped), bytes))
        held = refuse(capped, true, status);
    if (held) {
        capped->held_events += events;
        capped->held_bytes += bytes;
    }
    pthread_mutex_unlock(&caps->lock);
    return held;
}

void caps_return(struct caps *caps, int64_t tenant, size_t events, size_t bytes)
{
    struct capped *capped = events > 0 ? lock_capped(caps, tenant) : NULL;
    if (!capped)
        return;
    bytes += CAPS_EVENT_BYTES * events;
    /* They may have been held before the tenant had caps. */
    capped->held_events -= events < capped->held_events ? events : capped->held_events;
    capped->held_bytes -= bytes < capped->held_bytes ? bytes : capped->held_bytes;
    pthread_mutex_unlock(&caps->lock);
}

/* One that is there already may have come by a commit whose answer was lost. */
static void note_item(struct capped *capped, const struct store_item *item)
{
    bool done = item->outcome == STORE_DONE;
    bool there = item->kind == STORE_APPEND && (done || item->outcome == STORE_REPEATED);
    if (there && item->event.sequence > capped->end)
        capped->end = item->event.sequence;
    if (item->kind == STORE_APPEND && done)
        capped->written_bytes += (int64_t)item->event.payload.size;
    if (item->kind == STORE_ACK && done)
        capped->acknowledged++;
    if (item->kind == STORE_SETTLE && done)
        capped->acknowledged += (int64_t)item->settlement->acknowledged_count;
}

void caps_note(struct caps *caps, int64_t tenant, const struct store_write *write)
{
    struct capped *capped = lock_capped(caps, tenant);
    if (!capped)
        return;
    for (size_t i = 0; i < write->count; i++)
        note_item(capped, write->items[i]);
    capped->changed = true;
    pthread_mutex_unlock(&caps->lock);
}

void caps_hear(struct caps *caps, int64_t tenant, int64_t last)
{
    struct capped *capped = lock_capped(caps, tenant);
    if (!capped)
        return;
    capped->end = last > capped->end ? last : capped->end;
    capped->changed = true;
    pthread_mutex_unlock(&caps->lock);
}

/* ---- counting ---- */

static bool is_due(const struct capped *capped, int64_t now_ms)
{
    int64_t since_ms = now_ms - capped->counted_ms;
    bool counts = capped->most.pending_events > 0 || capped->most.storage_bytes > 0;
    return counts && (!capped->counted || capped->step.after_block >= 0 || since_ms >= IDLE_MS ||
                      (capped->changed && since_ms >= BUSY_MS) ||
                      (capped->refused && since_ms >= REFUSED_MS));
}

bool caps_begin_count(struct caps *caps, int64_t after, int64_t *tenant, struct store_usage *step)
{
    int64_t now_ms = clock_monotonic_ms();
    struct capped *next = NULL;
    if (!caps || atomic_load(&caps->count) == 0)
        return false;
    pthread_mutex_lock(&caps->lock);
    for (size_t i = 0; i < CAPS_BUCKETS; i++)
        for (struct capped *at = caps->buckets[i]; at; at = at->next)
            if (at->tenant > after && is_due(at, now_ms) && (!next || at->tenant < next->tenant))
                next = at;
    if (next) {
        if (next->step.after_block < 0)
            next->changed = next->refused = false;
        next->step_acknowledged = next->acknowledged;
        next->step_bytes = next->written_bytes;
        next->step_end = next->end;
        next->step.blocks = STEP_BLOCKS;
        *step = next->step;
        *tenant = next->tenant;
    }
    pthread_mutex_unlock(&caps->lock);
    return next;
}

/* What was counted while this core wrote counts once, if it was written before the last step
 * began. */
static void end_count(struct capped *capped, const struct store_usage *step)
{
    int64_t events = step->last - step->first + 1 + capped->sum_events;
    capped->pending = capped->sum_pending;
    capped->bytes = step->bytes + capped->sum_bytes + CAPS_EVENT_BYTES * events;
    capped->last = step->last;
    if (capped->end < step->last || capped->end == capped->step_end)
        capped->end = step->last; /* be it lower, as in a store that was restored */
    capped->acknowledged -= capped->step_acknowledged;
    capped->written_bytes -= capped->step_bytes;
    capped->counted = true;
    capped->counted_ms = clock_monotonic_ms();
    capped->sum_pending = capped->sum_events = capped->sum_bytes = 0;
    capped->step = (struct store_usage){.after_block = -1};
}

void caps_end_count(struct caps *caps, int64_t tenant, const struct store_usage *step)
{
    struct capped *capped = lock_capped(caps, tenant);
    if (!capped)
        return;
    capped->sum_pending += step->pending;
    capped->sum_events += step->single_events;
    capped->sum_bytes += step->single_bytes;
    if (step->more)
        capped->step.after_block = step->after_block;
    else
        end_count(capped, step);
    pthread_mutex_unlock(&caps->lock);
}

/* ---- deliveries ---- */

uint32_t caps_tell_outstanding(struct caps *caps, int64_t tenant, struct caps_share *share,
                               size_t count)
{
    struct capped *capped = lock_capped(caps, tenant);
    if (!capped)
        return UINT32_MAX;
    uint32_t before = share->life == capped->life ? share->count : 0;
    *share = (struct caps_share){capped->life, count < UINT32_MAX ? (uint32_t)count : UINT32_MAX};
    capped->outstanding = capped->outstanding - before + share->count;
    uint64_t most = capped->most.outstanding, out = capped->outstanding;
    pthread_mutex_unlock(&caps->lock);
    return most == 0 ? UINT32_MAX : out < most ? (uint32_t)(most - out) : 0;
}
