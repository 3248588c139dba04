/* An array in the order of the numbers: tenants are read often, and seldom changed. */
#include "events/tenants.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct looked_after {
    struct tenant tenant; /* as it was put */
    struct tenant_removal removal;
};

struct tenants {
    int64_t keep_acknowledged_us, keep_pending_us; /* the server's */
    struct caps *caps;
    pthread_mutex_t lock;
    struct looked_after *list;
    size_t count, room;
};

/* ---- the array; all called with the lock held ---- */

/* The place of the first whose number is at least this. */
static size_t place_of(const struct tenants *tenants, int64_t number)
{
    size_t from = 0, to = tenants->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tenants->list[middle].tenant.number < number)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static struct looked_after *find_tenant(struct tenants *tenants, int64_t number)
{
    size_t place = place_of(tenants, number);
    bool found = place < tenants->count && tenants->list[place].tenant.number == number;
    return found ? &tenants->list[place] : NULL;
}

/* NULL without memory. */
static struct looked_after *add_tenant(struct tenants *tenants, int64_t number)
{
    size_t place = place_of(tenants, number);
    if (tenants->count == tenants->room) {
        size_t room = tenants->room * 2;
        struct looked_after *list = realloc(tenants->list, room * sizeof(*list));
        if (!list)
            return NULL;
        tenants->list = list;
        tenants->room = room;
    }
    struct looked_after *added = &tenants->list[place];
    memmove(added + 1, added, (tenants->count - place) * sizeof(*added));
    *added = (struct looked_after){0};
    tenants->count++;
    return added;
}

static int64_t stated_or(int64_t keep_us, int64_t server_us)
{
    return keep_us == TENANT_KEEPS_AS_SERVER ? server_us : keep_us;
}

/* With the times that count. */
static struct tenant effective(const struct tenants *tenants, const struct tenant *put)
{
    struct tenant tenant = *put;
    tenant.keep_acknowledged_us =
        stated_or(put->keep_acknowledged_us, tenants->keep_acknowledged_us);
    tenant.keep_pending_us = stated_or(put->keep_pending_us, tenants->keep_pending_us);
    if (tenant.keep_acknowledged_us == 0)
        tenant.keep_pending_us = 0;
    else if (tenant.keep_pending_us != 0 && tenant.keep_pending_us < tenant.keep_acknowledged_us)
        tenant.keep_pending_us = tenant.keep_acknowledged_us;
    return tenant;
}

/* ---- for everybody ---- */

bool tenants_put(struct tenants *tenants, const struct tenant *tenant)
{
    CHECK(tenant->number >= 0 && !(tenant->number == 0 && tenant->deleting));
    CHECK(tenant->keep_acknowledged_us >= TENANT_KEEPS_AS_SERVER &&
          tenant->keep_pending_us >= TENANT_KEEPS_AS_SERVER);
    pthread_mutex_lock(&tenants->lock);
    struct looked_after *at = find_tenant(tenants, tenant->number);
    if (!at)
        at = add_tenant(tenants, tenant->number);
    if (at) {
        if (!tenant->deleting)
            at->removal = (struct tenant_removal){0};
        at->tenant = *tenant;
    }
    pthread_mutex_unlock(&tenants->lock);
    return at != NULL;
}

void tenants_drop(struct tenants *tenants, int64_t number)
{
    CHECK(number != 0);
    pthread_mutex_lock(&tenants->lock);
    struct looked_after *at = find_tenant(tenants, number);
    bool uncapped = caps_put(tenants->caps, number, &(struct tenant_caps){0});
    CHECK(uncapped); /* which needs no memory */
    if (at) {
        tenants->count--;
        memmove(at, at + 1, (size_t)(tenants->list + tenants->count - at) * sizeof(*at));
    }
    pthread_mutex_unlock(&tenants->lock);
}

bool tenants_get(struct tenants *tenants, int64_t number, struct tenant *tenant)
{
    pthread_mutex_lock(&tenants->lock);
    const struct looked_after *at = find_tenant(tenants, number);
    if (at)
        *tenant = effective(tenants, &at->tenant);
    pthread_mutex_unlock(&tenants->lock);
    return at != NULL;
}

bool tenants_next(struct tenants *tenants, int64_t after, struct tenant *tenant)
{
    pthread_mutex_lock(&tenants->lock);
    size_t place = place_of(tenants, after + 1);
    bool found = place < tenants->count;
    if (found)
        *tenant = effective(tenants, &tenants->list[place].tenant);
    pthread_mutex_unlock(&tenants->lock);
    return found;
}

size_t tenants_count(struct tenants *tenants)
{
    pthread_mutex_lock(&tenants->lock);
    size_t count = tenants->count;
    pthread_mutex_unlock(&tenants->lock);
    return count;
}

struct caps *tenants_caps(struct tenants *tenants)
{
    return tenants ? tenants->caps : NULL;
}

/* ---- removal ---- */

void tenants_note_removal(struct tenants *tenants, int64_t number, int64_t events, bool done)
{
    pthread_mutex_lock(&tenants->lock);
    struct looked_after *at = find_tenant(tenants, number);
    if (at && at->tenant.deleting) {
        at->removal.events += events;
        at->removal.done = at->removal.done || done;
    }
    pthread_mutex_unlock(&tenants->lock);
}

void tenants_removal(struct tenants *tenants, int64_t number, struct tenant_removal *removal)
{
    pthread_mutex_lock(&tenants->lock);
    const struct looked_after *at = find_tenant(tenants, number);
    *removal = at ? at->removal : (struct tenant_removal){0};
    pthread_mutex_unlock(&tenants->lock);
}

/* ---- life ---- */

struct tenants *tenants_open(int64_t keep_acknowledged_us, int64_t keep_pending_us)
{
    CHECK(keep_acknowledged_us >= 0 && keep_pending_us >= 0);
    CHECK(keep_pending_us == 0 ||
          (keep_acknowledged_us > 0 && keep_pending_us >= keep_acknowledged_us));
    struct tenants *tenants = calloc(1, sizeof(*tenants));
    struct looked_after *list = calloc(1, sizeof(*list));
    struct caps *caps = caps_open();
    if (!tenants || !list || !caps) {
        free(tenants);
        free(list);
        caps_close(caps);
        return NULL;
    }
    list->tenant = (struct tenant){.keep_acknowledged_us = TENANT_KEEPS_AS_SERVER,
                                   .keep_pending_us = TENANT_KEEPS_AS_SERVER};
    tenants->keep_acknowledged_us = keep_acknowledged_us;
    tenants->keep_pending_us = keep_pending_us;
    tenants->list = list;
    tenants->caps = caps;
    tenants->count = tenants->room = 1;
    pthread_mutex_init(&tenants->lock, NULL);
    return tenants;
}

void tenants_close(struct tenants *tenants)
{
    if (!tenants)
        return;
    pthread_mutex_destroy(&tenants->lock);
    free(tenants->list);
    caps_close(tenants->caps);
    free(tenants);
}
