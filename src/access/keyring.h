/* Tenants and keys in memory, as the store has them. Looking one up takes a lock that many hold at
 * once, and no memory. Any thread; nothing blocks. Times are the store's, in microseconds. */
#ifndef TRIGGERS_ACCESS_KEYRING_H
#define TRIGGERS_ACCESS_KEYRING_H

#include "access/quota.h"
#include "access/rows.h"
#include "base/address_range.h"
#include "base/budget.h"
#include "base/pass.h"

#define KEYRING_TENANTS_MAX 10000
#define KEYRING_KEYS_MAX 1000 /* of a tenant */

struct keyring;
struct known_tenant;

/* A key as it was made. Another structure takes its place when a key of the same id has other
 * limits, as after the store was restored from a backup. */
struct known_key {
    struct pass pass; /* first */
    uint8_t hash[KEY_HASH_SIZE];
    Triggers__V1__Key *limits; /* what it may do; the times in it are those of when it was first
                                  read, and others may hold */
    struct slice *sources;     /* the limits' names, as store_filter_fits takes them */
    struct slice *types;
    struct slice *subscriptions;
    struct address_range *addresses; /* limits->n_addresses of them */
    struct quota *quota;             /* its own */
    struct quota *of_tenant;         /* that of all keys of its tenant */
    atomic_int_fast64_t used_us;     /* by a call to this core, to the minute */
    /* The keyring's, with its lock held. */
    int64_t version;
    int64_t created_us, expires_us, revoked_us; /* 0: never */
    bool rotated;
    struct slice body; /* of its row */
    size_t bytes;      /* about so many it takes */
    int64_t noted_us;  /* use that the store has been told of */
    int warned_days;   /* before it expires the log has said so */
    uint64_t load;
    struct known_tenant *tenant;
    struct known_key *next; /* of its bucket */
    struct known_key *next_of_tenant;
};

/* How a key was when it was looked up. */
struct key_state {
    bool revoked;
    int64_t expires_us; /* 0: never */
    Triggers__V1__TenantState tenant_state;
};

/* `budget`, which outlives it, is charged for what it holds, as far as half of it; NULL: nothing
 * is. NULL without memory. */
struct keyring *keyring_new(struct budget *budget);
void keyring_free(struct keyring *keyring);

/* So many cores share what a tenant's calls may wait. Before the first row; it outlives the
 * keyring. */
void keyring_share(struct keyring *keyring, const atomic_uint *cores);

/* ---- what the store has ---- */

/* Takes over rows that were read. False without memory: some are taken over, and the same may be
 * applied again. One thread at a time, as the next two. */
bool keyring_apply(struct keyring *keyring, const struct store_access_row *rows, size_t count,
                   int64_t now_us) MUST_CHECK;

/* Everything is read anew: what is not applied between these two has gone. */
void keyring_begin_load(struct keyring *keyring);
void keyring_end_load(struct keyring *keyring, int64_t now_us);

/* Ends the passes of keys that have expired. Cheap when there is none. One thread at a time. */
void keyring_expire(struct keyring *keyring, int64_t now_us);

/* ---- a call ---- */

/* The key of this id, with a reference for the caller, and how it is; NULL: there is none. */
struct known_key *keyring_find(struct keyring *keyring, const char id[KEY_ID_LENGTH],
                               struct key_state *state);

/* Of calls without a key: that of the tenant "default", which lives as long as the keyring. */
struct quota *keyring_default_quota(struct keyring *keyring);

/* ---- management: copies in an arena; NULL without memory, as the arena remembers ---- */

struct tenant_copy {
    int64_t number, version;
    Triggers__V1__Tenant *message;
    size_t keys;
};

struct key_copy {
    int64_t tenant, version;
    uint8_t hash[KEY_HASH_SIZE];
    int64_t used_us; /* by a call to this core */
    Triggers__V1__Key *message;
};

/* NULL: there is none, too. */
struct tenant_copy *keyring_tenant(struct keyring *keyring, struct slice name, struct arena *arena);
struct tenant_copy *keyring_tenant_of(struct keyring *keyring, int64_t number, struct arena *arena);
struct key_copy *keyring_key(struct keyring *keyring, struct slice id, struct arena *arena);

size_t keyring_tenants(struct keyring *keyring);
size_t keyring_keys(struct keyring *keyring);
/* Whether new keys and tenants may take so many bytes more in memory: in all a quarter of the
 * budget. Those that others make are taken over in any case. */
bool keyring_has_room(struct keyring *keyring, size_t bytes);
size_t keyring_bytes(struct keyring *keyring);

bool keyring_has_tenant(struct keyring *keyring, int64_t number);

/* The tenants after a number, -1 at first, in the order of their numbers; fewer than `limit` when
 * they are large. *more: there are others. */
struct tenant_copy *keyring_list_tenants(struct keyring *keyring, int64_t after, uint32_t limit,
                                         struct arena *arena, size_t *count, bool *more);

/* The keys of a tenant that were made after a time, in that order; fewer than `limit` when they are
 * large, and perhaps more, as those of one time are not parted. */
struct key_copy *keyring_list_keys(struct keyring *keyring, int64_t tenant, int64_t after_us,
                                   uint32_t limit, struct arena *arena, size_t *count, bool *more);

/* Keys that were revoked or have expired before a time, at most `limit`. */
struct key_copy *keyring_list_ended(struct keyring *keyring, int64_t before_us, uint32_t limit,
                                    struct arena *arena, size_t *count);

/* ---- upkeep; each of these by one thread at a time ---- */

/* Charges the budget what could not be charged before, as others held too much. */
void keyring_charge(struct keyring *keyring);

/* Uses that the store has not been told of, at most `limit`; ids are in the arena. */
struct store_key_use *keyring_list_uses(struct keyring *keyring, uint32_t limit,
                                        struct arena *arena, size_t *count);
/* It has been told. */
void keyring_note_uses(struct keyring *keyring, const struct store_key_use *uses, size_t count);

/* Counts the keys that will expire within 14 days and have not been rotated; warns of each in the
 * log, once, and again on its last day. */
size_t keyring_count_expiring(struct keyring *keyring, int64_t now_us);

#endif
