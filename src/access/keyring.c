/* Two tables with chains: of keys by id, of tenants by number. A tenant has a list of its keys. */
#include "access/keyring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/siphash.h"

#define FIRST_BUCKETS 64 /* a power of 2 */
#define MINUTE_US INT64_C(60000000)
#define DAY_US (24 * 60 * MINUTE_US)
#define WARNING_DAYS 14
#define PAGE_BYTES ((size_t)1 << 20) /* of bodies, of which one may be larger */

struct known_tenant {
    int64_t number;
    int64_t version; /* 0: keys have named it, but its own row was not read yet */
    uint64_t load;
    Triggers__V1__TenantState state;
    struct slice name;
    struct slice body;
    struct quota *quota;
    size_t bytes; /* about so many it takes without its keys */
    struct pass_waits *waits;
    struct known_key *keys;
    size_t key_count;
    struct known_tenant *next; /* of its bucket */
};

struct keyring {
    /* Guards all below but `key` and `default_quota`. What upkeep alone changes it changes with the
     * lock held for reading, so that going through all keys keeps no call waiting. */
    pthread_rwlock_t lock;
    uint8_t key[SIPHASH_KEY_SIZE];
    struct quota *default_quota;
    const atomic_uint *cores; /* NULL: there is one */
    struct known_key **buckets;
    size_t bucket_count;
    size_t key_count;
    struct known_tenant **tenants;
    size_t tenant_bucket_count;
    size_t tenant_count;    /* with those of version 0 */
    uint64_t load;          /* number of the last reading of everything */
    int64_t next_expiry_us; /* no pass ends before that; INT64_MAX: none does */
    int64_t looked_us;      /* when the last ones were ended */
    size_t bytes;           /* about so many the keys and tenants take */
    struct budget_share share;
    struct charge charge; /* `bytes`, as far as they could be charged */
};

/* ---- life ---- */

struct keyring *keyring_new(struct budget *budget)
{
    pthread_rwlockattr_t attributes;
    struct keyring *keyring = calloc(1, sizeof(*keyring));
    if (!keyring)
        return NULL;
    keyring->bucket_count = keyring->tenant_bucket_count = FIRST_BUCKETS;
    keyring->buckets = calloc(FIRST_BUCKETS, sizeof(struct known_key *));
    keyring->tenants = calloc(FIRST_BUCKETS, sizeof(struct known_tenant *));
    keyring->default_quota = quota_new();
    keyring->next_expiry_us = INT64_MAX;
    keyring->share.budget = budget;
    keyring->charge = (struct charge){.share = budget ? &keyring->share : NULL, .urgent = true};
    random_fill(keyring->key, sizeof(keyring->key));
    /* Else calls that come without a gap would keep changes out. */
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&keyring->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    if (keyring->buckets && keyring->tenants && keyring->default_quota)
        return keyring;
    keyring_free(keyring);
    return NULL;
}

void keyring_share(struct keyring *keyring, const atomic_uint *cores)
{
    keyring->cores = cores;
}

static struct pass_waits *waits_new(const struct keyring *keyring)
{
    struct pass_waits *waits = calloc(1, sizeof(*waits));
    if (waits) {
        atomic_init(&waits->references, 1);
        waits->cores = keyring->cores;
    }
    return waits;
}

static void waits_release(struct pass_waits *waits)
{
    if (waits && atomic_fetch_sub(&waits->references, 1) == 1)
        free(waits);
}

static void free_key(struct pass *pass)
{
    struct known_key *key = (struct known_key *)pass;
    triggers__v1__key__free_unpacked(key->limits, NULL);
    free(key->sources);
    free(key->types);
    free(key->subscriptions);
    free(key->addresses);
    quota_release(key->quota);
    quota_release(key->of_tenant);
    waits_release(key->pass.waits);
    free((char *)key->body.data);
    free(key);
}

static bool describe_limits(const struct pass *pass, char policy[PASS_LIMITS_SIZE],
                            char left[PASS_LIMITS_SIZE])
{
    const struct known_key *key = (const struct known_key *)pass;
    int64_t now_us = clock_monotonic_us();
    policy[0] = left[0] = '\0';
    quota_describe(key->quota, "", now_us, policy, left);
    quota_describe(key->of_tenant, "tenant-", now_us, policy, left);
    return policy[0] != '\0';
}

static void free_tenant(struct known_tenant *tenant)
{
    free((char *)tenant->name.data);
    free((char *)tenant->body.data);
    quota_release(tenant->quota);
    waits_release(tenant->waits);
    free(tenant);
}

/* ---- memory ---- */

#define MALLOC_BYTES 16   /* of malloc's for each block */
#define BUCKET_BYTES 16   /* of a table that is half full, for each */
#define KEY_BLOCKS 12     /* of a key, besides its names */
#define SHARE_OF_BUDGET 4 /* a quarter is for keys and tenants */
#define SHARE_AT_MOST 2   /* no more than half is charged, so that calls are served */

/* A name is in the message, as a slice or range, and in the row's body. */
static size_t bytes_of_key(const struct known_key *key)
{
    const Triggers__V1__Key *limits = key->limits;
    size_t names = limits->n_sources + limits->n_event_types + limits->n_subscriptions;
    size_t each = sizeof(char *) + MALLOC_BYTES;
    return sizeof(*key) + sizeof(*limits) + sizeof(struct quota) + 2 * key->body.size +
           names * (each + sizeof(struct slice)) +
           limits->n_addresses * (each + sizeof(struct address_range)) + BUCKET_BYTES +
           KEY_BLOCKS * MALLOC_BYTES;
}

static size_t bytes_of_tenant(const struct known_tenant *tenant)
{
    return sizeof(*tenant) + sizeof(struct quota) + sizeof(struct pass_waits) + tenant->name.size +
           tenant->body.size + BUCKET_BYTES + 5 * MALLOC_BYTES;
}

/* With the lock held for writing. */
static void charge(struct keyring *keyring)
{
    const struct budget *budget = keyring->share.budget;
    if (!budget)
        return;
    size_t most = atomic_load(&budget->ceiling) / SHARE_AT_MOST;
    size_t wanted = keyring->bytes < most ? keyring->bytes : most;
    if (wanted < keyring->charge.held)
        charge_release(&keyring->charge, keyring->charge.held - wanted);
    else if (wanted > keyring->charge.held)
        (void)charge_add(&keyring->charge, wanted - keyring->charge.held); /* else later */
    if (keyring->bytes > most)
        log_error_limited("keys",
                          "keys and tenants take over half of what TRIGGERS_MAX_MEMORY "
                          "leaves for callers; allow more",
                          {"bytes", NULL, (double)keyring->bytes});
}

void keyring_charge(struct keyring *keyring)
{
    pthread_rwlock_wrlock(&keyring->lock);
    charge(keyring);
    pthread_rwlock_unlock(&keyring->lock);
}

/* Notes that an element takes so much from now on. With the lock held for writing. */
static void resize(struct keyring *keyring, size_t *bytes, size_t now)
{
    CHECK(keyring->bytes >= *bytes);
    keyring->bytes += now - *bytes;
    *bytes = now;
}

/* ---- finding; with the lock held ---- */

static struct known_key **key_bucket(struct keyring *keyring, const char *id)
{
    uint64_t hash = siphash(keyring->key, id, KEY_ID_LENGTH);
    return &keyring->buckets[hash & (keyring->bucket_count - 1)];
}

static struct known_key *find_key(struct keyring *keyring, const char *id)
{
    struct known_key *key = *key_bucket(keyring, id);
    while (key && memcmp(key->pass.key_id, id, KEY_ID_LENGTH) != 0)
        key = key->next;
    return key;
}

static struct known_tenant **tenant_bucket(struct keyring *keyring, int64_t number)
{
    return &keyring->tenants[(uint64_t)number & (keyring->tenant_bucket_count - 1)];
}

static struct known_tenant *find_tenant(struct keyring *keyring, int64_t number)
{
    struct known_tenant *tenant = *tenant_bucket(keyring, number);
    while (tenant && tenant->number != number)
        tenant = tenant->next;
    return tenant;
}

static bool bytes_equal(struct slice left, struct slice right)
{
    return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

static struct known_tenant *find_tenant_named(struct keyring *keyring, struct slice name)
{
    for (size_t i = 0; i < keyring->tenant_bucket_count; i++)
        for (struct known_tenant *at = keyring->tenants[i]; at; at = at->next)
            if (at->version > 0 && bytes_equal(at->name, name))
                return at;
    return NULL;
}

/* ---- the tables; with the lock held for writing ---- */

/* Without memory the chains become longer. */
static void grow_keys(struct keyring *keyring)
{
    if (keyring->key_count < keyring->bucket_count)
        return;
    struct known_key **old = keyring->buckets;
    size_t old_count = keyring->bucket_count;
    struct known_key **new = calloc(2 * old_count, sizeof(*new));
    if (!new)
        return;
    keyring->buckets = new;
    keyring->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct known_key *next, *at = old[i]; at; at = next) {
            struct known_key **bucket = key_bucket(keyring, at->pass.key_id);
            next = at->next;
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(old);
}

static void grow_tenants(struct keyring *keyring)
{
    if (keyring->tenant_count < keyring->tenant_bucket_count)
        return;
    struct known_tenant **old = keyring->tenants;
    size_t old_count = keyring->tenant_bucket_count;
    struct known_tenant **new = calloc(2 * old_count, sizeof(*new));
    if (!new)
        return;
    keyring->tenants = new;
    keyring->tenant_bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct known_tenant *next, *at = old[i]; at; at = next) {
            struct known_tenant **bucket = tenant_bucket(keyring, at->number);
            next = at->next;
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(old);
}

static void add_key(struct keyring *keyring, struct known_key *key, struct known_tenant *tenant)
{
    grow_keys(keyring);
    struct known_key **bucket = key_bucket(keyring, key->pass.key_id);
    key->next = *bucket;
    *bucket = key;
    key->tenant = tenant;
    key->of_tenant = quota_hold(tenant->quota);
    key->pass.waits = tenant->waits;
    atomic_fetch_add(&tenant->waits->references, 1);
    key->next_of_tenant = tenant->keys;
    tenant->keys = key;
    tenant->key_count++;
    keyring->key_count++;
    resize(keyring, &key->bytes, bytes_of_key(key));
}

static void remove_key(struct keyring *keyring, struct known_key *key)
{
    struct known_key **place = key_bucket(keyring, key->pass.key_id);
    while (*place != key)
        place = &(*place)->next;
    *place = key->next;
    for (place = &key->tenant->keys; *place != key;)
        place = &(*place)->next_of_tenant;
    *place = key->next_of_tenant;
    key->tenant->key_count--;
    keyring->key_count--;
    resize(keyring, &key->bytes, 0);
    atomic_store(&key->pass.over, true);
    pass_release(&key->pass);
}

static void remove_tenant(struct keyring *keyring, struct known_tenant *tenant)
{
    while (tenant->keys)
        remove_key(keyring, tenant->keys);
    struct known_tenant **place = tenant_bucket(keyring, tenant->number);
    while (*place != tenant)
        place = &(*place)->next;
    *place = tenant->next;
    keyring->tenant_count--;
    resize(keyring, &tenant->bytes, 0);
    free_tenant(tenant);
}

/* The tenant of this number, which is new perhaps; NULL without memory. */
static struct known_tenant *add_tenant(struct keyring *keyring, int64_t number)
{
    struct known_tenant *tenant = find_tenant(keyring, number);
    if (tenant)
        return tenant;
    tenant = calloc(1, sizeof(*tenant));
    if (!tenant)
        return NULL;
    tenant->quota =
        number == SCOPE_DEFAULT.tenant ? quota_hold(keyring->default_quota) : quota_new();
    tenant->waits = waits_new(keyring);
    if (!tenant->quota || !tenant->waits) {
        free_tenant(tenant);
        return NULL;
    }
    grow_tenants(keyring);
    struct known_tenant **bucket = tenant_bucket(keyring, number);
    tenant->number = number;
    tenant->load = keyring->load;
    tenant->next = *bucket;
    *bucket = tenant;
    keyring->tenant_count++;
    resize(keyring, &tenant->bytes, bytes_of_tenant(tenant));
    return tenant;
}

void keyring_free(struct keyring *keyring)
{
    if (!keyring)
        return;
    for (size_t i = 0; keyring->tenants && i < keyring->tenant_bucket_count; i++)
        while (keyring->tenants[i])
            remove_tenant(keyring, keyring->tenants[i]);
    charge_release(&keyring->charge, keyring->charge.held);
    free(keyring->tenants);
    free(keyring->buckets);
    quota_release(keyring->default_quota);
    pthread_rwlock_destroy(&keyring->lock);
    free(keyring);
}

/* ---- what the store has ---- */

/* Sets whether calls with the key are to end. With the lock held for writing, or by keyring_expire.
 */
static void refresh(struct keyring *keyring, struct known_key *key, int64_t now_us)
{
    bool expired = key->expires_us && key->expires_us <= now_us;
    bool active = key->tenant->state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE;
    atomic_store(&key->pass.over, key->revoked_us || expired || !active);
    if (key->expires_us && !expired && key->expires_us < keyring->next_expiry_us)
        keyring->next_expiry_us = key->expires_us;
}

/* False without memory. */
static bool copy_bytes(struct slice from, struct slice *to)
{
    char *copy = malloc(from.size + 1);
    if (!copy)
        return false;
    memcpy(copy, from.data, from.size);
    *to = (struct slice){copy, from.size};
    return true;
}

static struct slice *copy_names(char **names, size_t count)
{
    struct slice *slices = calloc(count + 1, sizeof(*slices));
    for (size_t i = 0; slices && i < count; i++)
        slices[i] = slice_of(names[i]);
    return slices;
}

static bool read_addresses(struct known_key *key)
{
    const Triggers__V1__Key *limits = key->limits;
    key->addresses = calloc(limits->n_addresses + 1, sizeof(*key->addresses));
    for (size_t i = 0; key->addresses && i < limits->n_addresses; i++)
        if (!address_range_parse(limits->addresses[i], strlen(limits->addresses[i]),
                                 &key->addresses[i]))
            return false;
    return key->addresses;
}

static uint64_t rights_of(const Triggers__V1__Key *limits, int64_t tenant)
{
    uint64_t rights = 0;
    for (size_t i = 0; i < limits->n_scopes; i++)
        if (limits->scopes[i] > 0 && limits->scopes[i] < 64)
            rights |= (uint64_t)1 << limits->scopes[i];
    return tenant == SCOPE_DEFAULT.tenant ? rights : rights & ~RIGHTS_OF_DEFAULT;
}

/* NULL: the row is damaged, or there is no memory. */
static struct known_key *read_key(const struct store_access_row *row)
{
    struct slice message = row_key_message(row->body);
    struct known_key *key = calloc(1, sizeof(*key));
    if (!key || row->id.size != KEY_ID_LENGTH || message.size == 0) {
        free(key);
        return NULL;
    }
    atomic_init(&key->pass.references, 1);
    key->pass.free = free_key;
    key->pass.limits = describe_limits;
    memcpy(key->pass.key_id, row->id.data, KEY_ID_LENGTH);
    memcpy(key->hash, row->body.data, KEY_HASH_SIZE);
    key->version = row->version;
    key->limits = triggers__v1__key__unpack(NULL, message.size, (const uint8_t *)message.data);
    const Triggers__V1__Key *limits = key->limits;
    key->quota = quota_new();
    if (limits && key->quota) {
        quota_set(key->quota, limits->limits);
        key->pass.scope = (struct scope){row->tenant, rights_of(limits, row->tenant)};
        key->sources = copy_names(limits->sources, limits->n_sources);
        key->types = copy_names(limits->event_types, limits->n_event_types);
        key->subscriptions = copy_names(limits->subscriptions, limits->n_subscriptions);
        key->created_us = row_time_us(limits->created_at);
        key->expires_us = row_time_us(limits->expires_at);
        key->revoked_us = row_time_us(limits->revoked_at);
        key->rotated = limits->rotated_to[0] != '\0';
        if (key->sources && key->types && key->subscriptions && read_addresses(key) &&
            copy_bytes(row->body, &key->body))
            return key;
    }
    free_key(&key->pass);
    return NULL;
}

static bool names_equal(char **left, size_t left_count, char **right, size_t right_count)
{
    bool equal = left_count == right_count;
    for (size_t i = 0; equal && i < left_count; i++)
        equal = strcmp(left[i], right[i]) == 0;
    return equal;
}

static bool limits_equal(const struct known_key *left, const struct known_key *right)
{
    const Triggers__V1__Key *l = left->limits, *r = right->limits;
    return memcmp(left->hash, right->hash, KEY_HASH_SIZE) == 0 &&
           left->pass.scope.tenant == right->pass.scope.tenant &&
           left->pass.scope.rights == right->pass.scope.rights &&
           names_equal(l->sources, l->n_sources, r->sources, r->n_sources) &&
           names_equal(l->event_types, l->n_event_types, r->event_types, r->n_event_types) &&
           names_equal(l->subscriptions, l->n_subscriptions, r->subscriptions,
                       r->n_subscriptions) &&
           names_equal(l->addresses, l->n_addresses, r->addresses, r->n_addresses);
}

/* Takes over what may change of a key. */
static void change_key(struct known_key *key, struct known_key *changed)
{
    struct slice body = key->body;
    key->version = changed->version;
    key->created_us = changed->created_us;
    key->expires_us = changed->expires_us;
    key->revoked_us = changed->revoked_us;
    key->rotated = changed->rotated;
    key->body = changed->body;
    changed->body = body;
}

static bool apply_key(struct keyring *keyring, const struct store_access_row *row, int64_t now_us)
{
    struct known_key *read = row->gone ? NULL : read_key(row);
    if (!read && !row->gone)
        log_error_limited("key", "a key's row cannot be read, so it is refused",
                          {"tenant", NULL, (double)row->tenant});
    pthread_rwlock_wrlock(&keyring->lock);
    struct known_key *key = row->id.size == KEY_ID_LENGTH ? find_key(keyring, row->id.data) : NULL;
    struct known_tenant *tenant = read ? add_tenant(keyring, row->tenant) : NULL;
    bool same = key && tenant && limits_equal(key, read);
    if (same) {
        change_key(key, read);
        resize(keyring, &key->bytes, bytes_of_key(key));
    }
    if (!same && tenant)
        add_key(keyring, read, tenant);
    if (key && !same) {
        if (tenant)
            atomic_store(&read->used_us, atomic_load(&key->used_us));
        remove_key(keyring, key);
    }
    if (tenant) {
        struct known_key *now = same ? key : read;
        now->load = keyring->load;
        refresh(keyring, now, now_us);
    }
    pthread_rwlock_unlock(&keyring->lock);
    if (read && (same || !tenant))
        pass_release(&read->pass);
    return !read || tenant;
}

/* What a row's body says: an empty one is that of the tenant "default". NULL: it is damaged. */
static Triggers__V1__Tenant *read_tenant(struct slice body)
{
    Triggers__V1__Tenant *message =
        triggers__v1__tenant__unpack(NULL, body.size, (const uint8_t *)body.data);
    if (message && !message->state)
        message->state = TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE;
    return message;
}

static bool apply_tenant(struct keyring *keyring, const struct store_access_row *row,
                         int64_t now_us)
{
    struct slice name = {NULL, 0}, body = {NULL, 0};
    if (!row->gone && (!copy_bytes(row->id, &name) || !copy_bytes(row->body, &body))) {
        free((char *)name.data);
        return false;
    }
    Triggers__V1__Tenant *message = row->gone ? NULL : read_tenant(row->body);
    if (!row->gone && !message)
        log_error_limited("tenant", "a tenant's row cannot be read, so its keys are refused",
                          {"tenant", NULL, (double)row->tenant});
    pthread_rwlock_wrlock(&keyring->lock);
    struct known_tenant *tenant =
        row->gone ? find_tenant(keyring, row->tenant) : add_tenant(keyring, row->tenant);
    if (row->gone && tenant) {
        remove_tenant(keyring, tenant);
    } else if (tenant) {
        struct known_tenant old = *tenant;
        tenant->version = row->version;
        tenant->load = keyring->load;
        tenant->state =
            message ? message->state : TRIGGERS__V1__TENANT_STATE__TENANT_STATE_UNSPECIFIED;
        quota_set(tenant->quota, message ? message->limits : NULL);
        atomic_store(&tenant->waits->most,
                     message && message->caps ? message->caps->waiting_calls : 0);
        tenant->name = name;
        tenant->body = body;
        resize(keyring, &tenant->bytes, bytes_of_tenant(tenant));
        name = old.name;
        body = old.body;
        for (struct known_key *key = tenant->keys; key; key = key->next_of_tenant)
            refresh(keyring, key, now_us);
    }
    pthread_rwlock_unlock(&keyring->lock);
    triggers__v1__tenant__free_unpacked(message, NULL);
    free((char *)name.data);
    free((char *)body.data);
    return row->gone || tenant;
}

bool keyring_apply(struct keyring *keyring, const struct store_access_row *rows, size_t count,
                   int64_t now_us)
{
    bool applied = true;
    for (size_t i = 0; applied && i < count; i++)
        applied = rows[i].kind == STORE_KEY ? apply_key(keyring, &rows[i], now_us)
                                            : apply_tenant(keyring, &rows[i], now_us);
    keyring_charge(keyring);
    return applied;
}

void keyring_begin_load(struct keyring *keyring)
{
    pthread_rwlock_wrlock(&keyring->lock);
    keyring->load++;
    pthread_rwlock_unlock(&keyring->lock);
}

static void remove_old(struct keyring *keyring, struct known_tenant *tenant, int64_t now_us)
{
    for (struct known_key *next, *key = tenant->keys; key; key = next) {
        next = key->next_of_tenant;
        if (key->load != keyring->load)
            remove_key(keyring, key);
        else
            refresh(keyring, key, now_us);
    }
    if (tenant->load != keyring->load || tenant->version == 0)
        remove_tenant(keyring, tenant);
}

void keyring_end_load(struct keyring *keyring, int64_t now_us)
{
    pthread_rwlock_wrlock(&keyring->lock);
    for (size_t i = 0; i < keyring->tenant_bucket_count; i++) {
        for (struct known_tenant *next, *at = keyring->tenants[i]; at; at = next) {
            next = at->next;
            remove_old(keyring, at, now_us);
        }
    }
    charge(keyring);
    pthread_rwlock_unlock(&keyring->lock);
}

void keyring_expire(struct keyring *keyring, int64_t now_us)
{
    pthread_rwlock_rdlock(&keyring->lock);
    bool due = now_us >= keyring->next_expiry_us || now_us < keyring->looked_us;
    keyring->looked_us = now_us;
    if (due)
        keyring->next_expiry_us = INT64_MAX;
    for (size_t i = 0; due && i < keyring->bucket_count; i++)
        for (struct known_key *key = keyring->buckets[i]; key; key = key->next)
            refresh(keyring, key, now_us);
    pthread_rwlock_unlock(&keyring->lock);
}

/* ---- a call ---- */

struct known_key *keyring_find(struct keyring *keyring, const char id[KEY_ID_LENGTH],
                               struct key_state *state)
{
    pthread_rwlock_rdlock(&keyring->lock);
    struct known_key *key = find_key(keyring, id);
    if (key) {
        atomic_fetch_add(&key->pass.references, 1);
        state->revoked = key->revoked_us != 0;
        state->expires_us = key->expires_us;
        state->tenant_state = key->tenant->state;
    }
    pthread_rwlock_unlock(&keyring->lock);
    return key;
}

struct quota *keyring_default_quota(struct keyring *keyring)
{
    return keyring->default_quota;
}

/* ---- management ---- */

/* With the lock held. NULL: no memory, or the row is damaged. */
static bool copy_tenant(const struct known_tenant *tenant, struct arena *arena,
                        struct tenant_copy *copy)
{
    Triggers__V1__Tenant *message =
        row_unpack(arena, &triggers__v1__tenant__descriptor, tenant->body);
    *copy = (struct tenant_copy){.number = tenant->number,
                                 .version = tenant->version,
                                 .message = message,
                                 .keys = tenant->key_count};
    if (!message)
        return false;
    message->name = arena_copy(arena, tenant->name.data, tenant->name.size);
    message->state = tenant->state;
    return message->name;
}

static bool copy_key(const struct known_key *key, struct arena *arena, struct key_copy *copy)
{
    *copy = (struct key_copy){
        .tenant = key->pass.scope.tenant,
        .version = key->version,
        .used_us = atomic_load(&key->used_us),
        .message = row_unpack(arena, &triggers__v1__key__descriptor, row_key_message(key->body)),
    };
    memcpy(copy->hash, key->hash, KEY_HASH_SIZE);
    if (copy->message)
        copy->message->key_id = arena_copy(arena, key->pass.key_id, KEY_ID_LENGTH);
    return copy->message && copy->message->key_id;
}

struct tenant_copy *keyring_tenant(struct keyring *keyring, struct slice name, struct arena *arena)
{
    struct tenant_copy *copy = arena_alloc(arena, sizeof(*copy));
    pthread_rwlock_rdlock(&keyring->lock);
    struct known_tenant *tenant = copy ? find_tenant_named(keyring, name) : NULL;
    bool copied = tenant && copy_tenant(tenant, arena, copy);
    pthread_rwlock_unlock(&keyring->lock);
    return copied ? copy : NULL;
}

struct tenant_copy *keyring_tenant_of(struct keyring *keyring, int64_t number, struct arena *arena)
{
    struct tenant_copy *copy = arena_alloc(arena, sizeof(*copy));
    pthread_rwlock_rdlock(&keyring->lock);
    struct known_tenant *tenant = copy ? find_tenant(keyring, number) : NULL;
    bool copied = tenant && tenant->version > 0 && copy_tenant(tenant, arena, copy);
    pthread_rwlock_unlock(&keyring->lock);
    return copied ? copy : NULL;
}

struct key_copy *keyring_key(struct keyring *keyring, struct slice id, struct arena *arena)
{
    struct key_copy *copy = arena_alloc(arena, sizeof(*copy));
    pthread_rwlock_rdlock(&keyring->lock);
    struct known_key *key = copy && id.size == KEY_ID_LENGTH ? find_key(keyring, id.data) : NULL;
    bool copied = key && copy_key(key, arena, copy);
    pthread_rwlock_unlock(&keyring->lock);
    return copied ? copy : NULL;
}

size_t keyring_tenants(struct keyring *keyring)
{
    pthread_rwlock_rdlock(&keyring->lock);
    size_t count = keyring->tenant_count;
    pthread_rwlock_unlock(&keyring->lock);
    return count;
}

size_t keyring_keys(struct keyring *keyring)
{
    pthread_rwlock_rdlock(&keyring->lock);
    size_t count = keyring->key_count;
    pthread_rwlock_unlock(&keyring->lock);
    return count;
}

size_t keyring_bytes(struct keyring *keyring)
{
    pthread_rwlock_rdlock(&keyring->lock);
    size_t bytes = keyring->bytes;
    pthread_rwlock_unlock(&keyring->lock);
    return bytes;
}

bool keyring_has_room(struct keyring *keyring, size_t bytes)
{
    const struct budget *budget = keyring->share.budget;
    return !budget ||
           keyring_bytes(keyring) + bytes <= atomic_load(&budget->ceiling) / SHARE_OF_BUDGET;
}

bool keyring_has_tenant(struct keyring *keyring, int64_t number)
{
    pthread_rwlock_rdlock(&keyring->lock);
    bool has = find_tenant(keyring, number);
    pthread_rwlock_unlock(&keyring->lock);
    return has;
}

static int by_number(const void *left, const void *right)
{
    int64_t l = (*(struct known_tenant *const *)left)->number;
    int64_t r = (*(struct known_tenant *const *)right)->number;
    return (l > r) - (l < r);
}

static int by_time_and_id(const void *left, const void *right)
{
    const struct known_key *l = *(struct known_key *const *)left;
    const struct known_key *r = *(struct known_key *const *)right;
    int by_time = (l->created_us > r->created_us) - (l->created_us < r->created_us);
    return by_time ? by_time : memcmp(l->pass.key_id, r->pass.key_id, KEY_ID_LENGTH);
}

/* With the lock held. NULL without memory. */
static struct known_tenant **sort_tenants(struct keyring *keyring, int64_t after,
                                          struct arena *arena, size_t *count)
{
    struct known_tenant **found = arena_calloc(arena, keyring->tenant_count + 1, sizeof(*found));
    *count = 0;
    for (size_t i = 0; found && i < keyring->tenant_bucket_count; i++)
        for (struct known_tenant *at = keyring->tenants[i]; at; at = at->next)
            if (at->version > 0 && at->number > after)
                found[(*count)++] = at;
    if (found)
        qsort(found, *count, sizeof(*found), by_number);
    return found;
}

struct tenant_copy *keyring_list_tenants(struct keyring *keyring, int64_t after, uint32_t limit,
                                         struct arena *arena, size_t *count, bool *more)
{
    pthread_rwlock_rdlock(&keyring->lock);
    size_t all, bytes = 0;
    struct known_tenant **found = sort_tenants(keyring, after, arena, &all);
    for (*count = 0; found && *count < all && *count < limit && bytes < PAGE_BYTES; ++*count)
        bytes += found[*count]->body.size;
    *more = *count < all;
    struct tenant_copy *copies = arena_calloc(arena, *count + 1, sizeof(*copies));
    bool copied = found && copies;
    for (size_t i = 0; copied && i < *count; i++)
        copied = copy_tenant(found[i], arena, &copies[i]);
    pthread_rwlock_unlock(&keyring->lock);
    return copied ? copies : NULL;
}

/* With the lock held. NULL without memory. */
static struct known_key **sort_keys(const struct known_tenant *tenant, int64_t after_us,
                                    struct arena *arena, size_t *count)
{
    struct known_key **found =
        arena_calloc(arena, (tenant ? tenant->key_count : 0) + 1, sizeof(*found));
    *count = 0;
    for (struct known_key *at = found && tenant ? tenant->keys : NULL; at; at = at->next_of_tenant)
        if (at->created_us > after_us)
            found[(*count)++] = at;
    if (found)
        qsort(found, *count, sizeof(*found), by_time_and_id);
    return found;
}

struct key_copy *keyring_list_keys(struct keyring *keyring, int64_t tenant, int64_t after_us,
                                   uint32_t limit, struct arena *arena, size_t *count, bool *more)
{
    size_t all, bytes = 0;
    pthread_rwlock_rdlock(&keyring->lock);
    struct known_key **found = sort_keys(find_tenant(keyring, tenant), after_us, arena, &all);
    for (*count = 0; found && *count < all && *count < limit && bytes < PAGE_BYTES; ++*count)
        bytes += found[*count]->body.size;
    while (found && *count > 0 && *count < all &&
           found[*count]->created_us == found[*count - 1]->created_us)
        ++*count;
    *more = *count < all;
    struct key_copy *copies = arena_calloc(arena, *count + 1, sizeof(*copies));
    bool copied = found && copies;
    for (size_t i = 0; copied && i < *count; i++)
        copied = copy_key(found[i], arena, &copies[i]);
    pthread_rwlock_unlock(&keyring->lock);
    return copied ? copies : NULL;
}

static bool has_ended(const struct known_key *key, int64_t before_us)
{
    return (key->revoked_us && key->revoked_us < before_us) ||
           (key->expires_us && key->expires_us < before_us);
}

struct key_copy *keyring_list_ended(struct keyring *keyring, int64_t before_us, uint32_t limit,
                                    struct arena *arena, size_t *count)
{
    struct key_copy *copies = arena_calloc(arena, limit, sizeof(*copies));
    bool copied = copies;
    *count = 0;
    pthread_rwlock_rdlock(&keyring->lock);
    for (size_t i = 0; copied && i < keyring->bucket_count; i++)
        for (struct known_key *at = keyring->buckets[i]; copied && at && *count < limit;
             at = at->next)
            if (has_ended(at, before_us))
                copied = copy_key(at, arena, &copies[(*count)++]);
    pthread_rwlock_unlock(&keyring->lock);
    return copied ? copies : NULL;
}

/* ---- upkeep ---- */

struct store_key_use *keyring_list_uses(struct keyring *keyring, uint32_t limit,
                                        struct arena *arena, size_t *count)
{
    struct store_key_use *uses = arena_calloc(arena, limit, sizeof(*uses));
    *count = 0;
    pthread_rwlock_rdlock(&keyring->lock);
    for (size_t i = 0; uses && i < keyring->bucket_count; i++) {
        for (struct known_key *at = keyring->buckets[i]; at && *count < limit; at = at->next) {
            int64_t used_us = atomic_load(&at->used_us);
            if (used_us == at->noted_us)
                continue;
            const char *id = arena_copy(arena, at->pass.key_id, KEY_ID_LENGTH);
            uses[*count] = (struct store_key_use){{id, KEY_ID_LENGTH}, used_us};
            *count += id != NULL;
        }
    }
    pthread_rwlock_unlock(&keyring->lock);
    return uses;
}

void keyring_note_uses(struct keyring *keyring, const struct store_key_use *uses, size_t count)
{
    pthread_rwlock_rdlock(&keyring->lock);
    for (size_t i = 0; i < count; i++) {
        struct known_key *key = find_key(keyring, uses[i].id.data);
        if (key)
            key->noted_us = uses[i].used_us;
    }
    pthread_rwlock_unlock(&keyring->lock);
}

static void warn(struct known_key *key, int days)
{
    key->warned_days = days;
    log_warning("a key is about to expire", {"key_id", key->pass.key_id},
                {"tenant", NULL, (double)key->pass.scope.tenant}, {"name", key->limits->name},
                {"days", NULL, days});
}

size_t keyring_count_expiring(struct keyring *keyring, int64_t now_us)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&keyring->lock);
    for (size_t i = 0; i < keyring->bucket_count; i++) {
        for (struct known_key *at = keyring->buckets[i]; at; at = at->next) {
            int64_t left_us = at->expires_us - now_us;
            if (!at->expires_us || at->rotated || atomic_load(&at->pass.over) || left_us <= 0 ||
                left_us > WARNING_DAYS * DAY_US)
                continue;
            int days = (int)(left_us / DAY_US);
            count++;
            if (at->warned_days == 0 || (at->warned_days > 1 && days < 1))
                warn(at, days > 0 ? days : 1);
        }
    }
    pthread_rwlock_unlock(&keyring->lock);
    return count;
}
