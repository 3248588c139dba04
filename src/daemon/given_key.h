/* The operator's key that the settings give: it is added to the store when it is not there. While
 * the store is unavailable, that is tried again. */
#ifndef TRIGGERS_DAEMON_GIVEN_KEY_H
#define TRIGGERS_DAEMON_GIVEN_KEY_H

#include <pthread.h>

#include "access/operator_key.h"
#include "events/asks.h"

struct given_key {
    struct ask_op op; /* first */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    enum { GIVEN_NONE, GIVEN_WAITS, GIVEN_ASKED } state; /* NONE: none was given, or it is done */
    char text[KEY_TEXT_LENGTH + 1];                      /* wiped when it is done */
    /* Of the store's answer: */
    enum operator_key found;
    struct status status;
};

/* Takes the text of the key, or reads it from the file; NULL: not set. False when both are, or it
 * is no key. */
bool given_key_read(struct given_key *key, const char *text, const char *file,
                    struct status *status) MUST_CHECK;

/* Adds it, and waits for that, unless the store is unavailable. False: another key has its
 * id.
 * Once, from the main thread. */
bool given_key_add(struct given_key *key, struct asks *asks, struct status *status) MUST_CHECK;

/* Tries again if it is not added yet. The main thread, once a second. */
void given_key_look(struct given_key *key, struct asks *asks);

#endif
