#include "subscriptions/subscription_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define FIRST_BUCKETS 64

static uint64_t hash_of(const struct subscription_table *table, int64_t tenant, struct slice name)
{
    char bytes[sizeof(tenant) + SUBSCRIPTION_NAME_MAX];
    CHECK(name.size <= SUBSCRIPTION_NAME_MAX);
    memcpy(bytes, &tenant, sizeof(tenant));
    memcpy(bytes + sizeof(tenant), name.data, name.size);
    return siphash(table->key, bytes, sizeof(tenant) + name.size);
}

static struct subscription **bucket_of(const struct subscription_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->bucket_count - 1)];
}

static void put_into_bucket(struct subscription_table *table, struct subscription *subscription)
{
    struct subscription **bucket = bucket_of(table, subscription->hash);
    subscription->next_in_bucket = *bucket;
    *bucket = subscription;
}

/* As many buckets as subscriptions, at least. Without memory for more, there are as many as before.
 */
static bool make_room(struct subscription_table *table)
{
    if (table->count < table->bucket_count)
        return true;
    size_t count = table->bucket_count ? 2 * table->bucket_count : FIRST_BUCKETS;
    struct subscription **buckets = calloc(count, sizeof(struct subscription *));
    if (!buckets)
        return table->bucket_count > 0;
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
    for (struct subscription *at = table->list; at; at = at->next)
        put_into_bucket(table, at);
    return true;
}

static bool is_gone(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->lock);
    bool gone = subscription->state == SUBSCRIPTION_GONE;
    pthread_mutex_unlock(&subscription->lock);
    return gone;
}

void subscription_table_init(struct subscription_table *table)
{
    *table = (struct subscription_table){0};
    random_fill(table->key, sizeof(table->key));
}

void subscription_table_fini(struct subscription_table *table)
{
    CHECK(!table->list && table->count == 0);
    free(table->buckets);
}

struct subscription *subscription_table_find(const struct subscription_table *table,
                                             struct scope scope, struct slice name)
{
    if (table->bucket_count == 0)
        return NULL;
    struct subscription *at = *bucket_of(table, hash_of(table, scope.tenant, name));
    while (at && (at->scope.tenant != scope.tenant || strlen(at->name) != name.size ||
                  memcmp(at->name, name.data, name.size) != 0 || is_gone(at)))
        at = at->next_in_bucket;
    return at;
}

bool subscription_table_add(struct subscription_table *table, struct subscription *subscription)
{
    struct slice name = {subscription->name, strlen(subscription->name)};
    if (!make_room(table))
        return false;
    subscription->hash = hash_of(table, subscription->scope.tenant, name);
    put_into_bucket(table, subscription);
    subscription->next = table->list;
    table->list = subscription;
    table->count++;
    return true;
}

struct subscription *subscription_table_take(struct subscription_table *table,
                                             struct subscription **place)
{
    struct subscription *taken = *place;
    struct subscription **in_bucket = bucket_of(table, taken->hash);
    while (*in_bucket != taken)
        in_bucket = &(*in_bucket)->next_in_bucket;
    *in_bucket = taken->next_in_bucket;
    *place = taken->next;
    table->count--;
    return taken;
}
