/* The cache of kinds; see names.h. */
#include "store/names.h"

#include <stdlib.h>
#include <string.h>

#include "store/items.h"

#include "base/check.h"

void names_init(struct names *names)
{
    *names = (struct names){0};
}

void names_fini(struct names *names)
{
    free(names->names);
    free(names->text);
    free(names->by_pair);
    free(names->by_kind);
    names_init(names);
}

void names_clear(struct names *names)
{
    if (names->count == 0)
        return;
    memset(names->by_pair, 0, NAMES_SLOTS * sizeof(*names->by_pair));
    memset(names->by_kind, 0, NAMES_SLOTS * sizeof(*names->by_kind));
    names->count = names->text_size = 0;
}

/* FNV-1a. Pairs that somebody chose to collide cost time, at most that of NAMES_MAX steps. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 0x100000001B3u;
    return hash;
}

static uint32_t hash_pair(struct scope scope, struct slice source, struct slice type)
{
    uint64_t hash = hash_bytes(0xCBF29CE484222325u, &scope.tenant, sizeof(scope.tenant));
    hash = hash_bytes(hash, &source.size, sizeof(source.size));
    hash = hash_bytes(hash, source.data, source.size);
    hash = hash_bytes(hash, type.data, type.size);
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t hash_kind(int64_t tenant, int32_t kind)
{
    return (uint32_t)(((uint64_t)tenant * NAMES_MAX + (uint64_t)kind) * 0x9E3779B97F4A7C15u >> 32);
}

int32_t names_kind(const struct names *names, struct scope scope, struct slice source,
                   struct slice type)
{
    if (names->count == 0)
        return 0;
    uint32_t hash = hash_pair(scope, source, type);
    for (uint32_t slot = hash % NAMES_SLOTS; names->by_pair[slot] != 0;
         slot = (slot + 1) % NAMES_SLOTS) {
        const struct name *name = &names->names[names->by_pair[slot] - 1];
        if (name->hash == hash && name->tenant == scope.tenant &&
            slice_equals(name->source, source) && slice_equals(name->type, type))
            return name->kind;
    }
    return 0;
}

const struct name *names_pair(const struct names *names, struct scope scope, int32_t kind)
{
    if (names->count == 0)
        return NULL;
    for (uint32_t slot = hash_kind(scope.tenant, kind) % NAMES_SLOTS; names->by_kind[slot] != 0;
         slot = (slot + 1) % NAMES_SLOTS) {
        const struct name *name = &names->names[names->by_kind[slot] - 1];
        if (name->kind == kind && name->tenant == scope.tenant)
            return name;
    }
    return NULL;
}

static bool allocate(struct names *names)
{
    if (names->names)
        return true;
    names->names = malloc(NAMES_MAX * sizeof(*names->names));
    names->text = malloc(NAMES_MAX_TEXT);
    names->by_pair = calloc(NAMES_SLOTS, sizeof(*names->by_pair));
    names->by_kind = calloc(NAMES_SLOTS, sizeof(*names->by_kind));
    bool ok = names->names && names->text && names->by_pair && names->by_kind;
    if (!ok)
        names_fini(names);
    return ok;
}

static void take_slot(uint16_t *slots, uint32_t hash, size_t number)
{
    uint32_t slot = hash % NAMES_SLOTS;
    while (slots[slot] != 0)
        slot = (slot + 1) % NAMES_SLOTS;
    slots[slot] = (uint16_t)number;
}

static struct slice keep(struct names *names, struct slice slice)
{
    char *copy = names->text + names->text_size;
    if (slice.size > 0)
        memcpy(copy, slice.data, slice.size);
    names->text_size += slice.size;
    return (struct slice){copy, slice.size};
}

void names_add(struct names *names, struct scope scope, int32_t kind, struct slice source,
               struct slice type)
{
    CHECK(kind > 0);
    size_t size = source.size + type.size;
    if (names_pair(names, scope, kind) || size > NAMES_MAX_TEXT || !allocate(names))
        return;
    if (names->count == NAMES_MAX || size > NAMES_MAX_TEXT - names->text_size)
        names_clear(names);
    struct name *name = &names->names[names->count++];
    *name = (struct name){.tenant = scope.tenant,
                          .kind = kind,
                          .hash = hash_pair(scope, source, type),
                          .source = keep(names, source),
                          .type = keep(names, type)};
    take_slot(names->by_pair, name->hash, names->count);
    take_slot(names->by_kind, hash_kind(name->tenant, kind), names->count);
}
