/* A hash table that links the keys themselves, so that nothing is allocated. */
#include "idempotency.h"

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "headers.h"

void idempotency_init(struct idempotency *keys)
{
    *keys = (struct idempotency){0};
    pthread_mutex_init(&keys->mutex, NULL);
}

void idempotency_fini(struct idempotency *keys)
{
    for (size_t i = 0; i < sizeof(keys->buckets) / sizeof(keys->buckets[0]); i++)
        CHECK(!keys->buckets[i]);
    pthread_mutex_destroy(&keys->mutex);
}

static bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

bool idempotency_parse(const char *value, char key[IDEMPOTENCY_KEY_SIZE])
{
    bool quoted = *value == '"';
    size_t length = 0;
    const char *at = value + (quoted ? 1 : 0);
    for (; *at && !(quoted && *at == '"'); at++) {
        if (quoted && *at == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        else if (quoted && *at == '\\')
            return false;
        if (!is_printable(*at) || length + 1 == IDEMPOTENCY_KEY_SIZE)
            return false;
        key[length++] = *at;
    }
    CHECK(length < IDEMPOTENCY_KEY_SIZE);
    key[length] = '\0';
    bool closed = !quoted || (at[0] == '"' && at[1] == '\0');
    return closed && length > 0;
}

/* The key of either header: what both say must be the same. */
static bool read_keys(const struct headers *headers, char key[IDEMPOTENCY_KEY_SIZE])
{
    char other[IDEMPOTENCY_KEY_SIZE];
    bool standard = headers->idempotency_keys > 0;
    if (headers->idempotency_keys > 1 || headers->x_idempotency_keys > 1 ||
        !idempotency_parse(standard ? headers->idempotency_key : headers->x_idempotency_key, key))
        return false;
    return !standard || headers->x_idempotency_keys == 0 ||
           (idempotency_parse(headers->x_idempotency_key, other) && strcmp(key, other) == 0);
}

bool idempotency_read(const struct headers *headers, size_t most, struct idempotency_key *key)
{
    if (headers->idempotency_keys == 0 && headers->x_idempotency_keys == 0)
        return true;
    if (read_keys(headers, key->text) && strlen(key->text) <= most)
        return true;
    key->text[0] = '\0';
    return false;
}

/* FNV-1a, 32 bits. */
static struct idempotency_key **bucket(struct idempotency *keys, const char *key)
{
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return &keys->buckets[hash % (sizeof(keys->buckets) / sizeof(keys->buckets[0]))];
}

/* Keys belong to their source and route, and to whoever sends them. */
static bool is_same_key(const struct idempotency_key *one, const struct idempotency_key *other)
{
    if (strcmp(one->text, other->text) != 0 || !one->source != !other->source ||
        strcmp(one->authorization, other->authorization) != 0)
        return false;
    return !one->source || strcmp(one->source, other->source) == 0;
}

bool idempotency_enter(struct idempotency *keys, struct idempotency_key *key)
{
    if (!key->text[0])
        return true;
    struct idempotency_key **head = bucket(keys, key->text);
    CHECK(!key->next);
    pthread_mutex_lock(&keys->mutex);
    struct idempotency_key *other = *head;
    while (other && !is_same_key(other, key))
        other = other->next;
    if (!other) {
        key->next = *head;
        *head = key;
    }
    pthread_mutex_unlock(&keys->mutex);
    return !other;
}

void idempotency_leave(struct idempotency *keys, struct idempotency_key *key)
{
    if (!key->text[0])
        return;
    struct idempotency_key **link = bucket(keys, key->text);
    pthread_mutex_lock(&keys->mutex);
    while (*link != key) {
        CHECK(*link);
        link = &(*link)->next;
    }
    *link = key->next;
    key->next = NULL;
    pthread_mutex_unlock(&keys->mutex);
}
