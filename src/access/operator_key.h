/* The key of an operator, put into the store by whoever can reach it: it has every scope, and is of
 * the tenant "default". */
#ifndef TRIGGERS_ACCESS_OPERATOR_KEY_H
#define TRIGGERS_ACCESS_OPERATOR_KEY_H

#include "access/key_text.h"
#include "store/store.h"

/* What became of it. */
enum operator_key {
    OPERATOR_KEY_MADE,
    OPERATOR_KEY_THERE,   /* it was there, and is good */
    OPERATOR_KEY_REVOKED, /* it was there, and is good no more */
    OPERATOR_KEY_EXPIRED,
    OPERATOR_KEY_ROTATED, /* it was there; it may be good for some time */
};

/* Adds the key of this text, which need not end with a NUL, if it is not there. Blocks. When it
 * fails, `status` says why: INVALID_ARGUMENT, the text is no key's; ALREADY_EXISTS, another key has
 * its id; else the result is not STORE_OK. No text of it has the secret. */
enum store_result operator_key_put(struct store_session *session, struct slice text,
                                   const char *name, enum operator_key *found,
                                   struct status *status) MUST_CHECK;

/* Opens the store of a DATABASE_URL and makes a new one: `text` is shown this once. False with a
 * status. Blocks for some seconds at most. */
bool operator_key_make(const char *database_url, const char *name, char text[KEY_TEXT_LENGTH + 1],
                       struct status *status) MUST_CHECK;

#endif
