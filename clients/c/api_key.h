/* The key that a client's calls have: given once, or asked of the program for each call, so that it
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

    pthread_mutex_t asking;       /* while the source runs */
    pthread_mutex_t mutex;        /* the rest */
    unsigned version;             /* grows when the text changes */
    char text[TRIGGERS_KEY_SIZE]; /* "": none */
};

/* Takes the key of the options, or its source. `key` is zeroed. False, with nothing to free: the
 * key cannot be one. */
bool api_key_init(struct api_key *key, const triggers_client_options *options,
                  struct status *status) MUST_CHECK;

/* Wipes the key. */
void api_key_fini(struct api_key *key);

/* Asks the source, if there is one, for the key of a new call. False: there is none now. Any
 * thread, without a lock held. */
bool api_key_ask(struct api_key *key, struct status *status) MUST_CHECK;

/* Writes the value of "authorization", "" without a key, and returns the version of the key. Any
 * thread. */
unsigned api_key_write(struct api_key *key, char value[API_KEY_VALUE_SIZE]);

/* Whether there is another key than that version, which the core refused: unless there is already,
 * the source is asked. The keeper's thread, without a lock held. */
bool api_key_renew(struct api_key *key, unsigned version);

#endif
