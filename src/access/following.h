/* Keeps the keyring, and the list of tenants that the core looks after, as the store has them; and
 * knows the store's clock. Any thread. */
#ifndef TRIGGERS_ACCESS_FOLLOWING_H
#define TRIGGERS_ACCESS_FOLLOWING_H

#include <pthread.h>

#include "access/keyring.h"
#include "events/tenants.h"

/* A change as it was read. */
struct known_change {
    int64_t version; /* 0: none */
    enum store_access_kind kind;
    char id[STORE_ACCESS_ID_MAX + 1];
};

struct following {
    pthread_mutex_t lock; /* held by who reads changes */
    struct keyring *keyring;
    struct tenants *tenants;  /* told of each tenant before its keys count; NULL: nobody is told */
    struct known_change last; /* the last one, when all up to it were read; it tells whether the
                                 store is still the same */
    atomic_bool known;        /* everything was read once */
    atomic_int_fast64_t offset_us; /* of the store's clock from the monotonic one */
};

void following_init(struct following *following, struct keyring *keyring, struct tenants *tenants);
void following_fini(struct following *following);

/* Reads what has changed; at first, or when the store was restored from a backup, everything. What
 * was committed before is known when it returns STORE_OK. Blocks. */
enum store_result following_catch_up(struct following *following, struct store_session *session,
                                     struct status *status);

/* The store's clock, in microseconds; before the first answer this machine's. */
int64_t following_now_us(const struct following *following);

#endif
