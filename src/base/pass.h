/* What the key of a caller allows, as far as those below src/access need to know. */
#ifndef TRIGGERS_BASE_PASS_H
#define TRIGGERS_BASE_PASS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/scope.h"

#define PASS_LIMITS_SIZE 320

/* Any thread. Each call with a key has a reference until it has ended. */
struct pass {
    struct scope scope;
    char key_id[13];  /* for logs */
    atomic_bool over; /* the key is good no more: calls with it are to end soon */
    atomic_uint references;
    void (*free)(struct pass *pass); /* when the last reference is gone */
    /* Writes how much may be done, and how much of it is left now, as the headers RateLimit-Policy
     * and RateLimit say it (draft-ietf-httpapi-ratelimit-headers-10). False: it is not limited.
     * NULL: the same. */
    bool (*limits)(const struct pass *pass, char policy[PASS_LIMITS_SIZE],
                   char left[PASS_LIMITS_SIZE]);
};

static inline void pass_release(struct pass *pass)
{
    if (pass && atomic_fetch_sub(&pass->references, 1) == 1)
        pass->free(pass);
}

#endif
