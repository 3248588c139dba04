/* How many wrong keys an address may try: some at once, then a few each second. It says how wrong
 * keys are answered, never whether a right one is taken: others may share its address. Any thread.
 */
#ifndef TRIGGERS_ACCESS_WRONG_KEYS_H
#define TRIGGERS_ACCESS_WRONG_KEYS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"

#define WRONG_KEYS_AT_ONCE 200
#define WRONG_KEYS_A_SECOND 20
#define WRONG_KEYS_ADDRESSES 4096 /* remembered: those with the fewest tries make room */

struct wrong_keys {
    pthread_mutex_t lock;
    uint8_t key[SIPHASH_KEY_SIZE];
    struct wrong_keys_of {
        uint8_t address[16]; /* of IPv6 the first 64 bits, which one network has */
        int64_t paid_us;     /* monotonic; until then its tries are used up at the lasting rate */
    } addresses[WRONG_KEYS_ADDRESSES];
};

void wrong_keys_init(struct wrong_keys *wrong_keys);
void wrong_keys_fini(struct wrong_keys *wrong_keys);

/* A wrong key came from the address, "" when that is not known. False: there were too many. */
bool wrong_keys_count(struct wrong_keys *wrong_keys, const char *address, int64_t now_us);

#endif
