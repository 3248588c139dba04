/* The tenants that this core looks after, by number, and for how long their events are kept. Tenant
 * 0 is always there; src/access puts and drops the others, as it reads of them. Whatever the core
 * does by itself goes from one of them to the next. Any thread; nothing blocks. */
#ifndef TRIGGERS_EVENTS_TENANTS_H
#define TRIGGERS_EVENTS_TENANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "events/caps.h"

struct tenants;

/* Of a time that a tenant does not state: it is the server's. */
#define TENANT_KEEPS_AS_SERVER (-1)

/* Times are in microseconds; 0: for ever. */
struct tenant {
    int64_t number;
    bool deleting; /* everything it has is to be removed */
    int64_t keep_acknowledged_us;
    int64_t keep_pending_us;
};

/* With tenant 0 alone. The times are the server's: 0 or more, and pending events are kept as long
 * as acknowledged ones or longer. NULL without memory. */
struct tenants *tenants_open(int64_t keep_acknowledged_us, int64_t keep_pending_us);

/* Nobody uses it any more. NULL is allowed. */
void tenants_close(struct tenants *tenants);

/* Adds the tenant, or changes it; tenant 0 is not deleted. Times may be TENANT_KEEPS_AS_SERVER.
 * False without memory: the same may be put again later. */
bool tenants_put(struct tenants *tenants, const struct tenant *tenant) MUST_CHECK;

/* The tenant is gone. Not tenant 0; one that is not there does no harm. */
void tenants_drop(struct tenants *tenants, int64_t number);

/* Fills `tenant`, whose times are those that count: the server's where it states none, and pending
 * events are kept as long as acknowledged ones or longer. False: there is none of this number. */
bool tenants_get(struct tenants *tenants, int64_t number, struct tenant *tenant) MUST_CHECK;

/* The same for the one with the next higher number; `after` is -1 for the first, which is tenant
 * 0. */
bool tenants_next(struct tenants *tenants, int64_t after, struct tenant *tenant) MUST_CHECK;

size_t tenants_count(struct tenants *tenants);

/* How much they may have at once; NULL of NULL. */
struct caps *tenants_caps(struct tenants *tenants);

/* ---- how far the removal of one is that is deleted ---- */

struct tenant_removal {
    int64_t events; /* that this core has removed since it began */
    bool done;      /* nothing is left, in the store, and nobody writes any more */
};

/* A step has removed so many events; `done` when it was the last one. Of a tenant that is not there
 * any more nothing is noted. */
void tenants_note_removal(struct tenants *tenants, int64_t number, int64_t events, bool done);

/* What was noted since the tenant was put as one that is deleted; zeros for others. */
void tenants_removal(struct tenants *tenants, int64_t number, struct tenant_removal *removal);

#endif
