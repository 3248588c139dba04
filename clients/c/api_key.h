/* The key that a client's calls have: given once, or asked of the program now and then, so that it
 * can be replaced. Nothing but the calls' envelopes ever has its text. */
#ifndef TRIGGERS_CLIENT_API_KEY_H
#define TRIGGERS_CLIENT_API_KEY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "triggers.h"

#define API_KEY_BEARER "Bearer " /* RFC 6750, 2.1 */
/* Of the value of "authorization", with its NUL. */
#define API_KEY_VALUE_SIZE (sizeof(API_KEY_BEARER) - 1 + TRIGGERS_KEY_SIZE)

/* Zeroed: there is no key, and never will be. */
struct api_key {
    triggers_key_source *source; /* NULL: the key stays as it is */
    void *source_data;
    /* clock_monotonic_ms; of the opening thread, then the keeper. */
    int64_t asked_ms;
    int64_t refused_ms; /* when it was asked because of a refusal; 0: never */

    pthread_mutex_t mutex;        /* the rest */
    unsigned version;             /* grows when the text changes */
    char text[TRIGGERS_KEY_SIZE]; /* "": none */
};

/* Takes the key of the options, or asks for it. `key` is zeroed. False, with nothing to free: the
 * key cannot be one, or there is none yet. */
bool api_key_init(struct api_key *key, const triggers_client_options *options,
                  struct status *status) MUST_CHECK;

/* Wipes the key. */
void api_key_fini(struct api_key *key);

/* Writes the value of "authorization", "" without a key, and returns the version of the key. Any
 * thread. */
unsigned api_key_write(struct api_key *key, char value[API_KEY_VALUE_SIZE]);

/* Whether the key may have changed since that version, or can: false when another try with it would
 * be in vain. Asks the source, at most once a second because of refusals. The keeper's thread,
 * without a lock held. */
bool api_key_renew(struct api_key *key, unsigned version);

/* Asks the source when it is time; returns when it is to be called again. The keeper's thread. */
int64_t api_key_look(struct api_key *key);

#endif
