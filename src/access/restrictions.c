#include "access/restrictions.h"

#include <string.h>

#include "access/keyring.h"

static bool is_start(struct slice pattern)
{
    return pattern.size > 0 && pattern.data[pattern.size - 1] == '*';
}

static bool covers(struct slice outer, struct slice inner)
{
    if (!is_start(outer))
        return outer.size == inner.size && memcmp(outer.data, inner.data, outer.size) == 0;
    size_t size = outer.size - 1;
    size_t given = inner.size - is_start(inner);
    return given >= size && memcmp(outer.data, inner.data, size) == 0;
}

bool names_cover(const struct slice *names, size_t count, struct slice inner)
{
    bool covered = count == 0;
    for (size_t i = 0; !covered && i < count; i++)
        covered = covers(names[i], inner);
    return covered;
}

static void add_name(struct slice *names, size_t *count, struct slice name)
{
    bool there = *count > 0 && names_cover(names, *count, name);
    if (!there)
        names[(*count)++] = name;
}

const struct slice *names_intersect(const struct slice *left, size_t left_count,
                                    const struct slice *right, size_t right_count,
                                    struct arena *arena, size_t *count)
{
    struct slice *both = arena_calloc(arena, left_count + right_count + 1, sizeof(*both));
    *count = 0;
    /* Of two that overlap one covers the other, so what fits both is one of the two. */
    for (size_t i = 0; both && i < left_count; i++)
        if (names_cover(right, right_count, left[i]))
            add_name(both, count, left[i]);
    for (size_t i = 0; both && i < right_count; i++)
        if (names_cover(left, left_count, right[i]))
            add_name(both, count, right[i]);
    return both;
}

static bool fits(const struct slice *names, size_t count, struct slice name)
{
    return store_filter_fits(names, count, name);
}

bool access_restricts_events(const struct pass *pass)
{
    const struct known_key *key = (const struct known_key *)pass;
    return key && key->limits->n_sources + key->limits->n_event_types > 0;
}

bool access_allows_event(const struct pass *pass, struct slice source, struct slice type)
{
    const struct known_key *key = (const struct known_key *)pass;
    return !key || (fits(key->sources, key->limits->n_sources, source) &&
                    fits(key->types, key->limits->n_event_types, type));
}

bool access_allows_subscription(const struct pass *pass, struct slice name)
{
    const struct known_key *key = (const struct known_key *)pass;
    return !key || fits(key->subscriptions, key->limits->n_subscriptions, name);
}

/* Without names everything fits, with restrictions not everything may. */
static bool covers_all(const struct slice *limits, size_t limit_count, const struct slice *names,
                       size_t count)
{
    bool covered = limit_count == 0 || count > 0;
    for (size_t i = 0; covered && i < count; i++)
        covered = names_cover(limits, limit_count, names[i]);
    return covered;
}

bool access_allows_filter(const struct pass *pass, const struct store_filter *filter)
{
    const struct known_key *key = (const struct known_key *)pass;
    return !key ||
           (covers_all(key->sources, key->limits->n_sources, filter->sources,
                       filter->source_count) &&
            covers_all(key->types, key->limits->n_event_types, filter->types, filter->type_count));
}

/* False without memory. */
static bool narrow_names(const struct slice *limits, size_t limit_count, struct arena *arena,
                         const struct slice **names, size_t *count, enum store_outcome *outcome)
{
    if (limit_count == 0)
        return true;
    if (*count == 0) {
        *names = limits;
        *count = limit_count;
        return true;
    }
    *names = names_intersect(*names, *count, limits, limit_count, arena, count);
    if (*names && *count == 0)
        *outcome = STORE_NOT_FOUND;
    return *names;
}

bool access_narrow(const struct pass *pass, struct arena *arena, struct store_filter *filter,
                   enum store_outcome *outcome)
{
    const struct known_key *key = (const struct known_key *)pass;
    *outcome = STORE_DONE;
    return !key || (narrow_names(key->sources, key->limits->n_sources, arena, &filter->sources,
                                 &filter->source_count, outcome) &&
                    narrow_names(key->types, key->limits->n_event_types, arena, &filter->types,
                                 &filter->type_count, outcome));
}
