/* A hash table of the requests themselves, so that nothing is allocated. */
#include "idempotency.h"

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "routes.h"

void idempotency_init(struct idempotency *keys)
{
    *keys = (struct idempotency){0};
    pthread_mutex_init(&keys->mutex, NULL);
}

void idempotency_fini(struct idempotency *keys)
{
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

bool idempotency_read(struct request *request)
{
    const struct headers *headers = &request->headers;
    if (headers->idempotency_keys == 0 && headers->x_idempotency_keys == 0)
        return true;
    size_t most = IDEMPOTENCY_KEY_SIZE - 1;
    if (request->route->body == BODY_BATCH)
        most -= IDEMPOTENCY_SUFFIX_MAX;
    if (read_keys(headers, request->key) && strlen(request->key) <= most)
        return true;
    request->key[0] = '\0';
    request_fail(request, 400, "IDEMPOTENCY_KEY_INVALID",
                 "Idempotency-Key must be one string of 1 to 255 printable ASCII characters (250 "
                 "for a batch), quoted or bare");
    return false;
}

/* FNV-1a, 32 bits. */
static struct request **bucket(struct idempotency *keys, const char *key)
{
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return &keys->buckets[hash % (sizeof(keys->buckets) / sizeof(keys->buckets[0]))];
}

/* Keys belong to their source and route. */
static bool is_same_key(const struct request *one, const struct request *other)
{
    if (strcmp(one->key, other->key) != 0 || !one->key_source != !other->key_source)
        return false;
    return !one->key_source || strcmp(one->key_source, other->key_source) == 0;
}

bool idempotency_enter(struct idempotency *keys, struct request *request)
{
    if (!request->key[0])
        return true;
    struct request **head = bucket(keys, request->key);
    pthread_mutex_lock(&keys->mutex);
    struct request *other = *head;
    while (other && !is_same_key(other, request))
        other = other->next_keyed;
    if (!other) {
        request->next_keyed = *head;
        *head = request;
    }
    pthread_mutex_unlock(&keys->mutex);
    return !other;
}

void idempotency_leave(struct idempotency *keys, struct request *request)
{
    if (!request->key[0])
        return;
    struct request **link = bucket(keys, request->key);
    pthread_mutex_lock(&keys->mutex);
    while (*link != request) {
        CHECK(*link);
        link = &(*link)->next_keyed;
    }
    *link = request->next_keyed;
    request->next_keyed = NULL;
    pthread_mutex_unlock(&keys->mutex);
}
