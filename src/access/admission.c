/* For whom a call is, and the life of access. Whatever is wrong with a key, the same is done and
 * answered: it is found or not, a hash is made and compared, and only then its state counts. */
#include <stdlib.h>
#include <string.h>

#include "access/access_metrics.h"
#include "access/access_state.h"
#include "base/check.h"
#include "base/clock.h"
#include "events/tenants.h"

#define MINUTE_US INT64_C(60000000)

/* ---- life ---- */

struct access *access_open(struct asks *asks, struct tenants *tenants,
                           const struct core_count *cores, struct budget *budget,
                           enum access_mode mode)
{
    struct access *access = calloc(1, sizeof(*access));
    struct keyring *keyring = keyring_new(budget);
    struct quota *without_key = quota_new();
    if (!access || !keyring || !without_key) {
        quota_release(without_key);
        keyring_free(keyring);
        free(access);
        return NULL;
    }
    access->mode = mode;
    access->asks = asks;
    access->tenants = tenants;
    access->cores = cores;
    access->keyring = keyring;
    if (cores)
        keyring_share(keyring, &cores->count);
    access->without_key = without_key;
    following_init(&access->following, keyring, tenants);
    recorder_init(&access->recorder);
    wrong_keys_init(&access->wrong_keys);
    return access;
}

void access_close(struct access *access)
{
    if (!access)
        return;
    for (size_t i = 0; i < WORK_COUNT; i++)
        CHECK(!atomic_load(&access->tasks[i].busy));
    upkeep_fini(access);
    wrong_keys_fini(&access->wrong_keys);
    recorder_fini(&access->recorder);
    following_fini(&access->following);
    keyring_free(access->keyring);
    quota_release(access->without_key);
    free(access);
}

void access_look(struct access *access)
{
    if (access->mode != ACCESS_OFF)
        upkeep_look(access);
}

bool access_is_known(const struct access *access)
{
    return access->mode == ACCESS_OFF || atomic_load(&access->following.known);
}

/* ---- refusing ---- */

static bool refuse(enum access_refusal refusal, struct status *status)
{
    metric_add(&access_refusals, refusal, 1);
    switch (refusal) {
    case REFUSED_MISSING:
        return status_fail(status, STATUS_UNAUTHENTICATED, "KEY_MISSING",
                           "a key is needed: authorization: Bearer trg_...");
    case REFUSED_TOO_MANY:
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_WRONG_KEYS",
                    "the key is not valid, and too many such have come from this address");
        status->retry_delay_ms = status->pause_ms = 1000;
        return false;
    case REFUSED_SUSPENDED:
        return status_fail(status, STATUS_PERMISSION_DENIED, "TENANT_SUSPENDED",
                           "the tenant of this key is suspended");
    case REFUSED_UNKNOWN:
        status_fail(status, STATUS_UNAVAILABLE, "KEYS_NOT_READ",
                    "the server has not read the keys from its store yet; try again");
        status->retry_delay_ms = 1000;
        return false;
    case REFUSED_INVALID:
    case REFUSED_RATE:
    case REFUSAL_COUNT: break;
    }
    return status_fail(status, STATUS_UNAUTHENTICATED, "KEY_INVALID",
                       "the key is not valid: it is unknown, wrong, revoked, has expired, or must "
                       "not be used from this address");
}

static bool refuse_wrong(struct access *access, const char *address, struct status *status)
{
    bool few = wrong_keys_count(&access->wrong_keys, address, clock_monotonic_us());
    return refuse(few ? REFUSED_INVALID : REFUSED_TOO_MANY, status);
}

/* ---- how much ---- */

static bool has_room(struct quota *quota, const char *whose, enum quota_kind kind, uint64_t amount,
                     unsigned cores, int64_t now_us, struct status *status)
{
    static const char *const WHAT[] = {
        [QUOTA_CALLS] = "calls", [QUOTA_EVENTS] = "events", [QUOTA_BYTES] = "bytes of payloads"};
    int64_t wait_us = quota_wait_us(quota, kind, now_us);
    if (wait_us == 0)
        return true;
    metric_add(&access_refusals, REFUSED_RATE, 1);
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "RATE_LIMITED",
                "the %s may have %llu %s a second, and has had more; try again later", whose,
                (unsigned long long)atomic_load(&quota->buckets[kind].per_second), WHAT[kind]);
    int64_t rest_us = quota_rest_us(quota, kind, amount, cores, now_us);
    status->pause_ms = (uint32_t)(rest_us / 1000 + 1);
    status->retry_delay_ms = (uint32_t)(wait_us / 1000 + 1); /* at most an hour and a second */
    if (status->retry_delay_ms < status->pause_ms)
        status->retry_delay_ms = status->pause_ms;
    return false;
}

/* Takes so much of each of the kinds, or nothing, from the key and its tenant. */
static bool take(struct access *access, const struct pass *pass,
                 const uint64_t amounts[QUOTA_KINDS], struct status *status)
{
    const struct known_key *key = (const struct known_key *)pass;
    struct quota *of_tenant = key ? key->of_tenant : keyring_default_quota(access->keyring);
    int64_t now_us = clock_monotonic_us();
    unsigned cores = access->cores ? atomic_load(&access->cores->count) : 1;
    for (enum quota_kind kind = 0; kind < QUOTA_KINDS; kind++) {
        uint64_t amount = amounts[kind];
        if (amount > 0 &&
            ((key && !has_room(key->quota, "key", kind, amount, cores, now_us, status)) ||
             !has_room(of_tenant, "tenant", kind, amount, cores, now_us, status)))
            return false;
    }
    for (enum quota_kind kind = 0; kind < QUOTA_KINDS; kind++) {
        if (key && amounts[kind] > 0)
            quota_take(key->quota, kind, amounts[kind], cores, now_us);
        if (amounts[kind] > 0)
            quota_take(of_tenant, kind, amounts[kind], cores, now_us);
    }
    return true;
}

bool access_take_events(struct access *access, const struct pass *pass, size_t events, size_t bytes,
                        struct status *status)
{
    const uint64_t amounts[QUOTA_KINDS] = {[QUOTA_EVENTS] = events, [QUOTA_BYTES] = bytes};
    return !access || access->mode == ACCESS_OFF || take(access, pass, amounts, status);
}

bool access_hold_room(struct access *access, struct scope scope, size_t events, size_t bytes,
                      struct status *status)
{
    return !access || caps_hold(tenants_caps(access->tenants), scope.tenant, events, bytes, status);
}

void access_return_room(struct access *access, struct scope scope, size_t events, size_t bytes)
{
    if (access)
        caps_return(tenants_caps(access->tenants), scope.tenant, events, bytes);
}

void access_return_events(struct access *access, const struct pass *pass, size_t events,
                          size_t bytes)
{
    if (!access || access->mode == ACCESS_OFF)
        return;
    const struct known_key *key = (const struct known_key *)pass;
    struct quota *of_tenant = key ? key->of_tenant : keyring_default_quota(access->keyring);
    unsigned cores = access->cores ? atomic_load(&access->cores->count) : 1;
    struct quota *quotas[] = {of_tenant, key ? key->quota : NULL};
    for (size_t i = 0; i < 2 && quotas[i]; i++) {
        quota_give_back(quotas[i], QUOTA_EVENTS, events, cores);
        quota_give_back(quotas[i], QUOTA_BYTES, bytes, cores);
    }
}

/* ---- a key ---- */

static bool allows_address(const struct known_key *key, const char *address)
{
    uint8_t bytes[16];
    bool known = address_parse(address, bytes);
    bool allowed = key->limits->n_addresses == 0;
    for (size_t i = 0; known && !allowed && i < key->limits->n_addresses; i++)
        allowed = address_range_has(&key->addresses[i], bytes);
    return allowed;
}

/* Whether the secret is the key's; of an unknown key it never is, in the same time. */
static bool is_secret_of(const struct known_key *key, const char *text)
{
    static const uint8_t NO_HASH[KEY_HASH_SIZE];
    uint8_t hash[KEY_HASH_SIZE];
    key_text_hash(text, hash);
    bool matches = key_hashes_match(key ? key->hash : NO_HASH, hash);
    explicit_bzero(hash, sizeof(hash));
    return key && matches;
}

/* To the minute, so that a call hardly ever writes. */
static void note_use(struct known_key *key, int64_t now_us)
{
    int64_t minute_us = now_us - now_us % MINUTE_US;
    if (atomic_load_explicit(&key->used_us, memory_order_relaxed) != minute_us)
        atomic_store_explicit(&key->used_us, minute_us, memory_order_relaxed);
}

static bool admit_key(struct access *access, const char *text, const char *address,
                      struct pass **pass, struct scope *scope, struct status *status)
{
    struct key_state state = {0};
    int64_t now_us = following_now_us(&access->following);
    struct known_key *key = keyring_find(access->keyring, key_text_id(text), &state);
    bool good = is_secret_of(key, text) && !state.revoked &&
                (!state.expires_us || now_us < state.expires_us) && allows_address(key, address);
    bool suspended = state.tenant_state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_SUSPENDED;
    if (good && state.tenant_state == TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE) {
        note_use(key, now_us);
        *pass = &key->pass;
        *scope = key->pass.scope;
        return true;
    }
    if (key)
        pass_release(&key->pass);
    return good && suspended ? refuse(REFUSED_SUSPENDED, status)
                             : refuse_wrong(access, address, status);
}

/* With a key, or where none is needed; how much it does is not looked at. */
static bool identify(struct access *access, struct slice authorization, const char *address,
                     struct pass **pass, struct scope *scope, struct status *status)
{
    scope->rights = ACCESS_RIGHTS_WITHOUT_KEY;
    if (!authorization.data)
        return access->mode == ACCESS_OPTIONAL || refuse(REFUSED_MISSING, status);
    const char *text = key_text_of_authorization(authorization.data, authorization.size);
    if (!text)
        return refuse_wrong(access, address, status);
    if (!atomic_load(&access->following.known))
        return refuse(REFUSED_UNKNOWN, status);
    return admit_key(access, text, address, pass, scope, status);
}

bool access_admit(struct access *access, struct slice authorization, const char *address,
                  struct pass **pass, struct scope *scope, struct status *status)
{
    static const uint64_t ONE_CALL[QUOTA_KINDS] = {[QUOTA_CALLS] = 1};
    *pass = NULL;
    *scope = SCOPE_DEFAULT;
    if (access->mode == ACCESS_OFF)
        return true;
    if (!identify(access, authorization, address, pass, scope, status))
        return false;
    return take(access, *pass, ONE_CALL, status);
}
