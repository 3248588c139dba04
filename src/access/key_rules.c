#include "access/key_rules.h"

#include <string.h>

#include "access/keyring.h"
#include "base/text.h"
#include "events/rules.h"

#define NAME_MAX_BYTES 63
#define KEY_NAME_MAX 100 /* characters */
#define SCOPES_RULE "must have at least one, each of those that there are"
#define DEFAULT_RULE                                                                               \
    "must not have operator or metrics:read but in keys of the tenant \"" TENANT_DEFAULT_NAME "\""
#define COUNT_RULE "must have at most 100 elements"
#define SUBSCRIPTION_RULE                                                                          \
    "must be names of subscriptions: at most 63 of a-z, 0-9, \".\", \"_\" and \"-\"; each may "    \
    "end with '*'"
#define ADDRESSES_RULE                                                                             \
    "must be addresses or ranges of them, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32, with " \
    "nothing but zeros after the prefix"

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool are_name_characters(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_name_character(text[i]))
            return false;
    return size <= NAME_MAX_BYTES;
}

bool tenant_name_is_valid(const char *name)
{
    size_t size = strlen(name);
    return size >= 1 && are_name_characters(name, size) && !strchr("._-", name[0]);
}

bool text_has_at_most(const char *text, size_t most)
{
    const char *end = text + strlen(text);
    size_t count = 0;
    uint32_t character;
    for (const char *at = text; at < end && count <= most; count++)
        at += text_next(at, end, &character);
    return count <= most;
}

bool key_name_is_valid(const char *text)
{
    const char *end = text + strlen(text);
    uint32_t character;
    for (const char *at = text; at < end;) {
        at += text_next(at, end, &character);
        if (!text_is_shown(character))
            return false;
    }
    return end > text && text_has_at_most(text, KEY_NAME_MAX);
}

/* ---- a key as it was asked for ---- */

static bool fail(struct key_fault *fault, const char *reason, const char *field,
                 const char *description)
{
    *fault = (struct key_fault){reason, field, description};
    return false;
}

/* Each once, in their order. */
static bool read_scopes(const Triggers__V1__CreateKeyRequest *asked, int64_t tenant,
                        struct arena *arena, Triggers__V1__Key *key, struct key_fault *fault)
{
    const ProtobufCEnumDescriptor *known = &triggers__api__v1__scope__descriptor;
    uint64_t given = 0;
    for (size_t i = 0; i < asked->n_scopes; i++) {
        bool fits = asked->scopes[i] > TRIGGERS__API__V1__SCOPE__SCOPE_NONE &&
                    protobuf_c_enum_descriptor_get_value(known, (int)asked->scopes[i]);
        if (!fits)
            return fail(fault, "SCOPES_INVALID", "scopes", SCOPES_RULE);
        given |= ACCESS_RIGHT(asked->scopes[i]);
    }
    if (given == 0)
        return fail(fault, "SCOPES_INVALID", "scopes", SCOPES_RULE);
    if (given & RIGHTS_OF_DEFAULT && tenant != SCOPE_DEFAULT.tenant)
        return fail(fault, "SCOPES_INVALID", "scopes", DEFAULT_RULE);
    key->scopes = arena_calloc(arena, 64, sizeof(*key->scopes));
    if (!key->scopes)
        return fail(fault, "", "scopes", NULL);
    for (unsigned scope = 0; scope < 64; scope++)
        if (given & ACCESS_RIGHT(scope))
            key->scopes[key->n_scopes++] = (Triggers__Api__V1__Scope)scope;
    return true;
}

/* Names of events, as they are stored. */
static bool read_patterns(char **asked, size_t count, const char *field, struct arena *arena,
                          char ***names, struct key_fault *fault)
{
    if (count > KEY_NAMES_MAX)
        return fail(fault, "NAMES_INVALID", field, COUNT_RULE);
    *names = arena_calloc(arena, count + 1, sizeof(**names));
    for (size_t i = 0; *names && i < count; i++) {
        struct slice pattern;
        const char *description;
        if (!rule_pattern(asked[i], arena, &pattern, &description))
            return fail(fault, "NAMES_INVALID", field, description);
        (*names)[i] = arena_copy(arena, pattern.data, pattern.size);
        if (!(*names)[i])
            return fail(fault, "", field, NULL);
    }
    return *names ? true : fail(fault, "", field, NULL);
}

static bool check_subscriptions(const Triggers__V1__CreateKeyRequest *asked,
                                struct key_fault *fault)
{
    if (asked->n_subscriptions > KEY_NAMES_MAX)
        return fail(fault, "NAMES_INVALID", "subscriptions", COUNT_RULE);
    for (size_t i = 0; i < asked->n_subscriptions; i++) {
        const char *name = asked->subscriptions[i];
        size_t size = strlen(name);
        bool is_start = size > 0 && name[size - 1] == '*';
        if (size == 0 || !are_name_characters(name, size - is_start))
            return fail(fault, "NAMES_INVALID", "subscriptions", SUBSCRIPTION_RULE);
    }
    return true;
}

static bool check_addresses(const Triggers__V1__CreateKeyRequest *asked, struct key_fault *fault)
{
    struct address_range range;
    if (asked->n_addresses > KEY_NAMES_MAX)
        return fail(fault, "ADDRESSES_INVALID", "addresses", COUNT_RULE);
    for (size_t i = 0; i < asked->n_addresses; i++)
        if (!address_range_parse(asked->addresses[i], strlen(asked->addresses[i]), &range))
            return fail(fault, "ADDRESSES_INVALID", "addresses", ADDRESSES_RULE);
    return true;
}

const char *key_rules_check_expiry(const Google__Protobuf__Timestamp *expires_at, int64_t now_us)
{
    return !expires_at || row_time_us(expires_at) > now_us ? NULL : "must be in the future";
}

bool key_rules_read(const Triggers__V1__CreateKeyRequest *asked, int64_t tenant, int64_t now_us,
                    struct arena *arena, Triggers__V1__Key *key, struct key_fault *fault)
{
    const char *wrong = key_rules_check_expiry(asked->expires_at, now_us);
    triggers__v1__key__init(key);
    if (!key_name_is_valid(asked->name))
        return fail(fault, "KEY_NAME_INVALID", "name", KEY_NAME_RULE);
    if (!read_scopes(asked, tenant, arena, key, fault) ||
        !read_patterns(asked->sources, asked->n_sources, "sources", arena, &key->sources, fault) ||
        !read_patterns(asked->event_types, asked->n_event_types, "event_types", arena,
                       &key->event_types, fault) ||
        !check_subscriptions(asked, fault) || !check_addresses(asked, fault))
        return false;
    if (wrong)
        return fail(fault, "EXPIRY_INVALID", "expires_at", wrong);
    key->name = asked->name;
    key->n_sources = asked->n_sources;
    key->n_event_types = asked->n_event_types;
    key->n_subscriptions = asked->n_subscriptions;
    key->subscriptions = asked->subscriptions;
    key->n_addresses = asked->n_addresses;
    key->addresses = asked->addresses;
    key->limits = asked->limits;
    key->created_at = row_time(arena, now_us);
    key->expires_at = row_time(arena, row_time_us(asked->expires_at));
    return key->created_at && (key->expires_at || !asked->expires_at)
               ? true
               : fail(fault, "", "expires_at", NULL);
}

/* ---- what a key may give ---- */

static bool all_covered(const struct slice *limits, size_t limit_count, char **names, size_t count)
{
    bool covered = limit_count == 0 || count > 0;
    for (size_t i = 0; covered && i < count; i++)
        covered = names_cover(limits, limit_count, slice_of(names[i]));
    return covered;
}

static bool range_covered(const struct known_key *own, const char *address)
{
    struct address_range range;
    bool covered = false;
    if (!address_range_parse(address, strlen(address), &range))
        return false;
    for (size_t i = 0; !covered && i < own->limits->n_addresses; i++)
        covered = address_range_covers(&own->addresses[i], &range);
    return covered;
}

static bool addresses_covered(const struct known_key *own, const Triggers__V1__Key *key)
{
    bool covered = own->limits->n_addresses == 0 || key->n_addresses > 0;
    if (own->limits->n_addresses == 0)
        return true;
    for (size_t i = 0; covered && i < key->n_addresses; i++)
        covered = range_covered(own, key->addresses[i]);
    return covered;
}

static bool limit_covered(uint64_t own, uint64_t given)
{
    return own == 0 || (given > 0 && given <= own);
}

static bool limits_covered(const Triggers__V1__Limits *own, const Triggers__V1__Limits *given)
{
    static const Triggers__V1__Limits NONE = TRIGGERS__V1__LIMITS__INIT;
    own = own ? own : &NONE;
    given = given ? given : &NONE;
    return limit_covered(own->calls_per_second, given->calls_per_second) &&
           limit_covered(own->events_per_second, given->events_per_second) &&
           limit_covered(own->bytes_per_second, given->bytes_per_second);
}

/* The field of names in which a key is about more than this one; NULL: there is none. */
static const char *names_exceeded(const struct known_key *own, const Triggers__V1__Key *key)
{
    const Triggers__V1__Key *limits = own->limits;
    if (!all_covered(own->sources, limits->n_sources, key->sources, key->n_sources))
        return "sources";
    if (!all_covered(own->types, limits->n_event_types, key->event_types, key->n_event_types))
        return "event_types";
    if (!all_covered(own->subscriptions, limits->n_subscriptions, key->subscriptions,
                     key->n_subscriptions))
        return "subscriptions";
    return NULL;
}

bool key_rules_may_give(uint64_t rights, const struct pass *pass, int64_t expires_us,
                        const Triggers__V1__Key *key, const char **lacks)
{
    const struct known_key *own = (const struct known_key *)pass;
    *lacks = NULL;
    for (size_t i = 0; i < key->n_scopes; i++)
        if (key->scopes[i] >= 64 || !(rights & ACCESS_RIGHT(key->scopes[i])))
            *lacks = "scopes";
    if (*lacks || !own)
        return !*lacks;
    *lacks = names_exceeded(own, key);
    if (*lacks)
        return false;
    if (!addresses_covered(own, key))
        *lacks = "addresses";
    else if (!limits_covered(own->limits->limits, key->limits))
        *lacks = "limits";
    else if (expires_us && (!key->expires_at || row_time_us(key->expires_at) > expires_us))
        *lacks = "expires_at";
    return !*lacks;
}

bool key_rules_may_end(uint64_t rights, const struct pass *pass, const Triggers__V1__Key *key,
                       const char **lacks)
{
    const struct known_key *own = (const struct known_key *)pass;
    *lacks = own ? names_exceeded(own, key) : NULL;
    for (size_t i = 0; i < key->n_scopes; i++)
        if (key->scopes[i] == TRIGGERS__API__V1__SCOPE__SCOPE_OPERATOR &&
            !(rights & ACCESS_RIGHT(key->scopes[i])))
            *lacks = "scopes";
    return !*lacks;
}
