/* Who may do what: tenants and keys in memory, as the store has them.
 *
 * Every process of a store follows the changes of all, so a key that is revoked by one is refused
 * by the others within five seconds. Functions may be called from any thread unless they say
 * otherwise, and none blocks. */
#ifndef TRIGGERS_ACCESS_ACCESS_H
#define TRIGGERS_ACCESS_ACCESS_H

#include "base/pass.h"
#include "store/store.h"
#include "triggers/v1/access.pb-c.h"

enum access_mode { ACCESS_OFF, ACCESS_OPTIONAL, ACCESS_REQUIRED };

/* The bit of a scope in struct scope's rights. */
#define ACCESS_RIGHT(scope) ((uint64_t)1 << (scope))

/* Of calls without a key, with ACCESS_OPTIONAL: events, subscriptions and metrics. */
#define ACCESS_RIGHTS_WITHOUT_KEY                                                                  \
    (ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_NONE) |                                          \
     ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_WRITE) |                                  \
     ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_READ) |                                   \
     ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_ACK) |                                    \
     ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_SUBSCRIPTIONS_CONSUME) |                         \
     ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_SUBSCRIPTIONS_MANAGE) |                          \
     ACCESS_RIGHT(TRIGGERS__API__V1__SCOPE__SCOPE_METRICS_READ))

struct access;
struct budget;
struct asks;
struct tenants;
struct core_count;

/* `asks`, `tenants`, which gets all tenants there are, `cores`, who share what limits allow, and
 * `budget`, which the memory of keys and tenants is charged to, outlive it; all but the first may
 * be NULL. NULL without memory. */
struct access *access_open(struct asks *asks, struct tenants *tenants,
                           const struct core_count *cores, struct budget *budget,
                           enum access_mode mode);
void access_close(struct access *access); /* after asks has ended; NULL is allowed */

/* Asks the store for changes, notes when keys were used, and removes what is over, each when it is
 * time. Once a second, the main thread. Nothing with ACCESS_OFF. */
void access_look(struct access *access);

/* Decides for whom a call is: fills `scope`, and `pass` with a reference, or with NULL for a call
 * without a key. `authorization` is the value of the metadata of that name, data NULL: none;
 * `address` is where the call came from, "" when that is not known. False, with the pass of a good
 * key that is beyond its limits all the same: UNAUTHENTICATED
 * (KEY_MISSING, KEY_INVALID), RESOURCE_EXHAUSTED (TOO_MANY_WRONG_KEYS from this address, or
 * RATE_LIMITED), PERMISSION_DENIED (TENANT_SUSPENDED), or UNAVAILABLE before the keys are known. */
bool access_admit(struct access *access, struct slice authorization, const char *address,
                  struct pass **pass, struct scope *scope, struct status *status) MUST_CHECK;

/* Counts events that a call is to create, and the bytes of their payloads. False, when the key or
 * its tenant has had more than its limits allow: RESOURCE_EXHAUSTED, RATE_LIMITED. `access` NULL:
 * nothing is limited. */
bool access_take_events(struct access *access, const struct pass *pass, size_t events, size_t bytes,
                        struct status *status) MUST_CHECK;

/* Holds room for events that a call is to create, see caps_hold, until it is returned. */
bool access_hold_room(struct access *access, struct scope scope, size_t events, size_t bytes,
                      struct status *status) MUST_CHECK;
void access_return_room(struct access *access, struct scope scope, size_t events, size_t bytes);

/* Gives them back: nothing was queued, so none will be created. */
void access_return_events(struct access *access, const struct pass *pass, size_t events,
                          size_t bytes);

/* Whether everything was read once, so that keys are known. Always with ACCESS_OFF. */
bool access_is_known(const struct access *access);

/* Whether there are events that a pass does not allow. NULL: there are none. */
bool access_restricts_events(const struct pass *pass);

/* Whether a pass allows an event, or the use of a subscription. NULL: all. */
bool access_allows_event(const struct pass *pass, struct slice source, struct slice type);
bool access_allows_subscription(const struct pass *pass, struct slice name);

/* Whether a pass allows every event that fits a filter. NULL: all. */
bool access_allows_filter(const struct pass *pass, const struct store_filter *filter);

/* Narrows a filter's names to what the pass allows, in the arena. STORE_DONE; STORE_NOT_FOUND:
 * nothing is left, so nothing is to be listed. False without memory. */
bool access_narrow(const struct pass *pass, struct arena *arena, struct store_filter *filter,
                   enum store_outcome *outcome) MUST_CHECK;

#endif
