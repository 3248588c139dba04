/* A cache of kinds: the number of a pair of source and event type, and the pair of a number. Each
 * session has one of its own. It is bounded, and forgets everything when it is full, so whatever
 * was added may be gone at the next call; it never says anything that was not added. */
#ifndef TRIGGERS_STORE_NAMES_H
#define TRIGGERS_STORE_NAMES_H

#include "store/store.h"

#define NAMES_MAX 16384           /* kinds */
#define NAMES_MAX_TEXT (4u << 20) /* bytes of their names */
#define NAMES_SLOTS (2 * NAMES_MAX)

struct name {
    int64_t tenant;
    int32_t kind;
    uint32_t hash; /* of the tenant and the pair */
    struct slice source, type;
};

struct names {
    struct name *names;
    char *text;
    size_t count, text_size;
    uint16_t *by_pair; /* open addressing: 1 + the index in `names`, 0 where a slot is free */
    uint16_t *by_kind;
};

/* Empty; allocates nothing until the first names_add. */
void names_init(struct names *names);
void names_fini(struct names *names);

/* The kind of the scope's tenant with this pair; 0 when it is not known here. */
int32_t names_kind(const struct names *names, struct scope scope, struct slice source,
                   struct slice type);

/* The pair of the kind; NULL when it is not known here. Valid until the next names_add. */
const struct name *names_pair(const struct names *names, struct scope scope, int32_t kind);

/* Remembers a copy of it, if there is memory. A kind that was added in a transaction may not stay
 * when that is rolled back: call names_clear then. */
void names_add(struct names *names, struct scope scope, int32_t kind, struct slice source,
               struct slice type);

/* Forgets all of them. */
void names_clear(struct names *names);

#endif
