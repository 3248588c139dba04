/* How much tenants may have at once: pending events, bytes, subscriptions, deliveries that are out.
 * Only tenants that have such a cap are here; for others nothing is done. What a tenant has is
 * counted in the store now and then (store_usage); since then counts what this core writes, and how
 * far the log is, of which others tell too. Any thread; nothing blocks. */
#ifndef TRIGGERS_EVENTS_CAPS_H
#define TRIGGERS_EVENTS_CAPS_H

#include "store/store.h"

/* What every event counts beside its payload, about what is kept with it. */
#define CAPS_EVENT_BYTES 200

struct caps;

/* 0: no cap. */
struct tenant_caps {
    uint64_t pending_events;
    uint64_t storage_bytes;
    uint32_t subscriptions;
    uint32_t outstanding;
};

/* NULL without memory. */
struct caps *caps_open(void);
void caps_close(
    struct caps *caps); /* NULL is allowed, here and in all the others: there are none */

/* From now on these are the tenant's. False without memory: the same may be put again later. */
bool caps_put(struct caps *caps, int64_t tenant, const struct tenant_caps *most) MUST_CHECK;

/* The tenant's subscriptions; 0: no cap. */
uint32_t caps_subscriptions(struct caps *caps, int64_t tenant);

/* ---- events ---- */

/* Room for events that are to be created, and the bytes of their payloads, is held until they are
 * returned, written or not. False: RESOURCE_EXHAUSTED, TOO_MANY_PENDING_EVENTS or STORAGE_FULL;
 * nothing is held. While the tenant was not counted yet, there is room. */
bool caps_hold(struct caps *caps, int64_t tenant, size_t events, size_t bytes,
               struct status *status) MUST_CHECK;
void caps_return(struct caps *caps, int64_t tenant, size_t events, size_t bytes);

/* This core has written these. */
void caps_note(struct caps *caps, int64_t tenant, const struct store_write *write);

/* Another has: the log ends at `last`, or after it. */
void caps_hear(struct caps *caps, int64_t tenant, int64_t last);

/* ---- counting ---- */

/* The next tenant, of those that are to be counted now, whose number is higher; with the next step
 * of its count, which is caps_end_count's when it was taken. One thread at a time. */
bool caps_begin_count(struct caps *caps, int64_t after, int64_t *tenant,
                      struct store_usage *step) MUST_CHECK;
void caps_end_count(struct caps *caps, int64_t tenant, const struct store_usage *step);

/* ---- deliveries ---- */

/* What one subscription has told of. */
struct caps_share {
    uint64_t life;  /* of what was told to */
    uint32_t count; /* of deliveries */
};

/* The subscription has so many out; returns how many more the tenant may have, UINT32_MAX without a
 * cap. Those of subscriptions that have told nothing to this core do not count. */
uint32_t caps_tell_outstanding(struct caps *caps, int64_t tenant, struct caps_share *share,
                               size_t count);

#endif
