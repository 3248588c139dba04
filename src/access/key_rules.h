/* What tenants' names and keys must be, and what a key may give to another. Pure functions; any
 * thread. */
#ifndef TRIGGERS_ACCESS_KEY_RULES_H
#define TRIGGERS_ACCESS_KEY_RULES_H

#include "access/restrictions.h"

#define KEY_NAMES_MAX 100 /* of each kind */

bool tenant_name_is_valid(const char *name); /* [a-z0-9][a-z0-9._-]{0,62} */

/* Of a key. Valid UTF-8. */
bool key_name_is_valid(const char *name);
#define KEY_NAME_RULE "must have 1 to 100 characters, none of them a control character"

/* Whether it has at most so many characters. Valid UTF-8. */
bool text_has_at_most(const char *text, size_t most);

/* What is wrong; all are static, or lie in the arena. */
struct key_fault {
    const char *reason;
    const char *field;
    const char *description; /* NULL: there was no memory */
};

/* Fills a new key as it was asked for, its names as events have them, in the arena. `now_us` is the
 * store's clock. */
bool key_rules_read(const Triggers__V1__CreateKeyRequest *asked, int64_t tenant, int64_t now_us,
                    struct arena *arena, Triggers__V1__Key *key,
                    struct key_fault *fault) MUST_CHECK;

/* NULL: a key may expire then. */
const char *key_rules_check_expiry(const Google__Protobuf__Timestamp *expires_at, int64_t now_us);

/* Whether somebody with these rights and this key, which expires then (microseconds; 0: never), may
 * make `key`. If not, *lacks is the field that has something which his lacks. */
bool key_rules_may_give(uint64_t rights, const struct pass *pass, int64_t expires_us,
                        const Triggers__V1__Key *key, const char **lacks) MUST_CHECK;

/* Whether he may revoke it: an operator's key only with that scope, and none that is about more
 * sources, types or subscriptions than his. Other scopes, addresses and limits do not count, so
 * that who manages keys can end one that was lost. */
bool key_rules_may_end(uint64_t rights, const struct pass *pass, const Triggers__V1__Key *key,
                       const char **lacks) MUST_CHECK;

#endif
