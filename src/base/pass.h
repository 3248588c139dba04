/* What the key of a caller allows, as far as those below src/access need to know. */
#ifndef TRIGGERS_BASE_PASS_H
#define TRIGGERS_BASE_PASS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/scope.h"

#define PASS_LIMITS_SIZE 320

/* How many calls of a tenant wait for events in this core. */
struct pass_waits {
    atomic_uint references;
    atomic_uint waiting;
    atomic_uint most;         /* in all cores; 0: not capped */
    const atomic_uint *cores; /* that share that; NULL: this is the only one */
};

/* Any thread. Each call with a key has a reference until it has ended. */
struct pass {
    struct scope scope;
    char key_id[13];  /* for logs */
    atomic_bool over; /* the key is good no more: calls with it are to end soon */
    atomic_uint references;
    struct pass_waits *waits;        /* NULL: they are not counted */
    void (*free)(struct pass *pass); /* when the last reference is gone */
    /* Writes how much may be done, and how much of it is left now, as the headers RateLimit-Policy
     * and RateLimit say it (draft-ietf-httpapi-ratelimit-headers-10). False: it is not limited.
     * NULL: the same. */
    bool (*limits)(const struct pass *pass, char policy[PASS_LIMITS_SIZE],
                   char left[PASS_LIMITS_SIZE]);
};

/* Whether one more may wait; it counts until pass_end_wait. NULL, here and there: it may. */
static inline bool pass_begin_wait(const struct pass *pass)
{
    struct pass_waits *waits = pass ? pass->waits : NULL;
    if (!waits)
        return true;
    unsigned most = atomic_load(&waits->most);
    unsigned cores = waits->cores ? atomic_load(waits->cores) : 1;
    unsigned part = most > cores ? (most + cores - 1) / cores : 1;
    if (most > 0 && atomic_load(&waits->waiting) >= part)
        return false;
    atomic_fetch_add(&waits->waiting, 1);
    return true;
}

static inline void pass_end_wait(const struct pass *pass)
{
    if (pass && pass->waits)
        atomic_fetch_sub(&pass->waits->waiting, 1);
}

static inline void pass_release(struct pass *pass)
{
    if (pass && atomic_fetch_sub(&pass->references, 1) == 1)
        pass->free(pass);
}

#endif
