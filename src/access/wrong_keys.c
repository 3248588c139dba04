/* A token bucket for each address, kept as the time at which it is full again; in sets of a few,
 * among which an address has its place by a hash that nobody outside knows. */
#include "access/wrong_keys.h"

#include <string.h>

#include "base/address_range.h"
#include "base/clock.h"

#define SET 4
#define SETS (WRONG_KEYS_ADDRESSES / SET)
#define TRY_US (1000000 / WRONG_KEYS_A_SECOND)

void wrong_keys_init(struct wrong_keys *wrong_keys)
{
    memset(wrong_keys, 0, sizeof(*wrong_keys));
    pthread_mutex_init(&wrong_keys->lock, NULL);
    random_fill(wrong_keys->key, sizeof(wrong_keys->key));
}

void wrong_keys_fini(struct wrong_keys *wrong_keys)
{
    pthread_mutex_destroy(&wrong_keys->lock);
}

/* Everything that is no address counts as one. */
static void read_network(const char *text, uint8_t network[16])
{
    static const struct address_range IPV4 = {.bytes = {[10] = 0xFF, [11] = 0xFF}, .prefix = 96};
    if (!address_parse(text, network))
        memset(network, 0, 16);
    else if (!address_range_has(&IPV4, network))
        memset(network + 8, 0, 8);
}

/* Its place, or that of the one that is full soonest. Lock held. */
static struct wrong_keys_of *find_address(struct wrong_keys *wrong_keys, const uint8_t network[16])
{
    uint64_t hash = siphash(wrong_keys->key, network, 16);
    struct wrong_keys_of *set = &wrong_keys->addresses[hash % SETS * SET];
    struct wrong_keys_of *found = set;
    for (struct wrong_keys_of *at = set; at < set + SET; at++) {
        if (memcmp(at->address, network, 16) == 0)
            return at;
        if (at->paid_us < found->paid_us)
            found = at;
    }
    memcpy(found->address, network, 16);
    found->paid_us = 0;
    return found;
}

bool wrong_keys_count(struct wrong_keys *wrong_keys, const char *address, int64_t now_us)
{
    uint8_t network[16];
    read_network(address, network);
    pthread_mutex_lock(&wrong_keys->lock);
    struct wrong_keys_of *of = find_address(wrong_keys, network);
    int64_t paid_us = (of->paid_us > now_us ? of->paid_us : now_us) + TRY_US;
    bool fits = paid_us - now_us <= (int64_t)WRONG_KEYS_AT_ONCE * TRY_US;
    if (fits)
        of->paid_us = paid_us;
    pthread_mutex_unlock(&wrong_keys->lock);
    return fits;
}
